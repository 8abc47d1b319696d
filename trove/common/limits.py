"""Rate limits of a tenant in one API process: leaky buckets in bounded memory, and the filter that applies them.

The limits resource shows what is left of them (``RateLimiter.state``). PATCH is not limited.
"""
import collections
import math
import re
import threading
import time
from typing import NamedTuple

from trove.common import wsgi
from trove.common.cfg import CONF

LIMITER_KEY = "trove.rate_limiter"
PERIOD = 60.0
# Buckets kept at most; the one used longest ago goes first, and after PERIOD of silence it is empty anyway.
MAX_BUCKETS = 20000
_ROUNDING = 1e-6  # of sums of floats: who waited exactly as told is served


class RateLimit(NamedTuple):
    """``value`` requests per minute with ``verb`` to the paths below the tenant that match ``regex``."""

    verb: str
    uri: str
    regex: str
    value: int


def configured_limits():
    """The limits that the options set; a value of 0 or less means no limit."""
    limits = (RateLimit("POST", "*", ".*", CONF.http_post_rate),
              RateLimit("PUT", "*", ".*", CONF.http_put_rate),
              RateLimit("DELETE", "*", ".*", CONF.http_delete_rate),
              RateLimit("GET", "*", ".*", CONF.http_get_rate),
              RateLimit("POST", "*/mgmt", "^/mgmt", CONF.http_mgmt_post_rate))
    return tuple(limit for limit in limits if limit.value > 0)


class RateLimiter:
    """The buckets of all tenants. A request pours one unit into each bucket it falls under; units leak out evenly.

    clock: function that gives seconds.
    """

    def __init__(self, limits, clock=time.monotonic, max_buckets=MAX_BUCKETS):
        self.limits = limits
        self._by_verb = {}
        for index, limit in enumerate(limits):
            self._by_verb.setdefault(limit.verb, []).append((index, limit, re.compile(limit.regex)))
        self._clock = clock
        self._max_buckets = max_buckets
        self._lock = threading.Lock()
        self._buckets = collections.OrderedDict()  # (tenant, index of the limit) -> (units, time)

    def _level(self, key, now):
        units, then = self._buckets.get(key, (0.0, now))
        return max(0.0, units - (now - then) * self.limits[key[1]].value / PERIOD)

    def take(self, tenant, verb, path):
        """Count a request. Returns None, or (RateLimit, seconds until there is room) if it is over a limit.

        A request that is refused counts for none of its limits.
        """
        hit = [(tenant, index) for index, _limit, regex in self._by_verb.get(verb, ()) if regex.match(path)]
        now = self._clock()
        with self._lock:
            levels = [self._level(key, now) for key in hit]
            for key, level in zip(hit, levels, strict=True):
                limit = self.limits[key[1]]
                if level + 1 > limit.value + _ROUNDING:
                    return limit, (level + 1 - limit.value) * PERIOD / limit.value
            for key, level in zip(hit, levels, strict=True):
                self._buckets[key] = (level + 1, now)
                self._buckets.move_to_end(key)
            while len(self._buckets) > self._max_buckets:
                self._buckets.popitem(last=False)
        return None

    def state(self, tenant):
        """[(RateLimit, requests left, seconds until one more is allowed)] of a tenant."""
        now = self._clock()
        with self._lock:
            levels = [self._level((tenant, index), now) for index in range(len(self.limits))]
        return [(limit, max(0, math.floor(limit.value - level)),
                 max(0.0, (level + 1 - limit.value) * PERIOD / limit.value))
                for limit, level in zip(self.limits, levels, strict=True)]


class RateLimitingMiddleware:
    """Answers 413 to a tenant that is too fast; behind the context filter, before any work is done."""

    def __init__(self, app):
        self._app = app
        self._limiter = RateLimiter(configured_limits())

    def __call__(self, environ, start_response):
        environ[LIMITER_KEY] = self._limiter
        path = "/" + environ.get("PATH_INFO", "").lstrip("/").partition("/")[2]
        over = self._limiter.take(environ[wsgi.CONTEXT_KEY].project_id, environ["REQUEST_METHOD"], path)
        if over is None:
            return self._app(environ, start_response)
        limit, delay = over
        wait = str(math.ceil(delay))
        answer = wsgi.fault_response(
            413, "Too many requests: this tenant is limited in rate.", {"Retry-After": wait}, retryAfter=wait,
            details=f"At most {limit.value} {limit.verb} requests per minute may be made to {limit.uri}.")
        return answer(environ, start_response)


class TenantShareMiddleware:
    """Rejects requests of a tenant whose requests already hold its share of this process's threads.

    Stands behind the context filter: all that waits (for guests, Keystone's policy, the database) is below it.
    """

    def __init__(self, app):
        self._app = app
        self._most = max(1, int(CONF.trove_api_threads * CONF.tenant_threads_share))
        self._lock = threading.Lock()
        self._held = collections.Counter()  # tenant -> requests under way; no entry for none

    def __call__(self, environ, start_response):
        tenant = environ[wsgi.CONTEXT_KEY].project_id
        with self._lock:
            refused = self._held[tenant] >= self._most
            if not refused:
                self._held[tenant] += 1
        if refused:
            answer = wsgi.fault_response(
                503, f"{self._most} requests of this tenant are being worked on; try again when one is answered.",
                {"Retry-After": "1"})
            return answer(environ, start_response)
        try:
            return self._app(environ, start_response)
        finally:
            with self._lock:
                self._held[tenant] -= 1
                if not self._held[tenant]:
                    del self._held[tenant]


def tenant_share_factory(_global_conf, **_local_conf):
    """Paste filter factory of the tenant's share of the threads."""
    return TenantShareMiddleware


def filter_factory(_global_conf, **_local_conf):
    """Paste filter factory."""
    return RateLimitingMiddleware
