"""Who calls: the tenant check and the request's context, from the headers that the token filter has verified.

Filters of the paste file, after ``authtoken``, which removes such headers from what a client sends; and before it
the memory of tokens that it has verified.
"""
import collections
import socket
import threading
import time

from keystonemiddleware import opts as keystone_opts
from oslo_config import cfg
from oslo_log import log as logging
from oslo_utils import netutils

from trove.common import exception, profile, security, wsgi
from trove.common.cfg import CONF
from trove.common.context import TroveContext
from trove.common.fault import GLOBAL_REQUEST_ID_KEY, REQUEST_ID_KEY

LOG = logging.getLogger(__name__)

# Named in the paste file, in the section of authtoken.
TOKEN_CACHE_KEY = "trove.token_cache"  # noqa: S105 - the name of a key
MAX_TOKENS = 10000
# Longest time in seconds for which a verified token may be believed without asking Keystone: a token that was revoked
# works that long.
LONGEST_TOKEN_CACHE_TIME = 60
# Seconds between two looks whether memcached answers, and for which a look waits for each server.
_WATCH_INTERVAL, _WATCH_TIMEOUT = 30, 1

_CONFIRMED = "Confirmed"


class TokenCache:
    """Verified tokens of this process, in the form in which authtoken speaks to memcached.

    It has one of its own, per thread, without a bound, and looks at all its entries at each request.
    clock: function that gives seconds.
    """

    def __init__(self, size=MAX_TOKENS, clock=time.monotonic):
        self._size = size
        self._clock = clock
        self._lock = threading.Lock()
        self._entries = collections.OrderedDict()  # key -> (end, value), the one used longest ago first

    def get(self, key):
        """The value of ``key``, or None when there is none or its time is over."""
        with self._lock:
            end, value = self._entries.get(key, (0.0, None))
            if value is None or end <= self._clock():
                self._entries.pop(key, None)
                return None
            self._entries.move_to_end(key)
            return value

    def set(self, key, value, time=0):
        """Keep ``value`` for ``time`` seconds."""
        with self._lock:
            self._entries[key] = (self._clock() + time, value)
            self._entries.move_to_end(key)
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)


class TokenCacheMiddleware:
    """Offers a TokenCache to authtoken."""

    def __init__(self, app):
        self._app = app
        self._cache = TokenCache()

    def __call__(self, environ, start_response):
        environ[TOKEN_CACHE_KEY] = self._cache
        return self._app(environ, start_response)


class MemcachedWatch:
    """Logs when no server of ``memcached_servers`` answers any more, and when one does again.

    keystonemiddleware then asks Keystone about every token and says nothing. One request in each 30 seconds looks.
    servers: list of host:port; clock: function that gives seconds.
    """

    def __init__(self, app, servers, clock=time.monotonic):
        self._app = app
        self._servers = servers
        self._clock = clock
        self._looking = threading.Lock()
        self._next = clock() + _WATCH_INTERVAL
        self._answered = True

    def __call__(self, environ, start_response):
        if self._clock() >= self._next and self._looking.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._next = self._clock() + _WATCH_INTERVAL
                self._looking.release()
        return self._app(environ, start_response)

    def _look(self):
        answers = any(memcached_answers(server) for server in self._servers)
        if answers and not self._answered:
            LOG.info("[keystone_authtoken] memcached_servers: %s answer again", ", ".join(self._servers))
        elif self._answered and not answers:
            LOG.error("[keystone_authtoken] memcached_servers: none of %s answers, so Keystone is asked about every "
                      "request's token and trove-api is slow; start memcached again", ", ".join(self._servers))
        self._answered = answers


def memcached_answers(server):
    """Return whether a memcached answers at ``server`` (host:port) within a second."""
    host, port = netutils.parse_host_port(server.removeprefix("inet6:"), default_port=11211)
    try:
        with socket.create_connection((host, port), timeout=_WATCH_TIMEOUT) as connection:
            connection.settimeout(_WATCH_TIMEOUT)
            connection.sendall(b"version\r\n")
            return connection.recv(64).startswith(b"VERSION")
    except (OSError, ValueError):
        return False


def list_token_options():
    """Return keystonemiddleware's options with our default, for the sample of the configuration file."""
    groups = keystone_opts.list_auth_token_opts()
    for _group, options in groups:
        cfg.set_defaults(options, token_cache_time=LONGEST_TOKEN_CACHE_TIME)
    return groups


def prepare_token_options():
    """Set our default of [keystone_authtoken] token_cache_time, and check what the operator's file says.

    Called before the token filter is made. Raises SystemExit naming the option and a value that would do.
    """
    for group, options in keystone_opts.list_auth_token_opts():
        CONF.register_opts(options, group)
    CONF.set_default("token_cache_time", LONGEST_TOKEN_CACHE_TIME, group="keystone_authtoken")
    settings = CONF.keystone_authtoken
    if settings.token_cache_time > LONGEST_TOKEN_CACHE_TIME:
        raise SystemExit(
            f"Cannot start: [keystone_authtoken] token_cache_time is {settings.token_cache_time}: a token that was "
            f"revoked would work for so many seconds. Set it to {LONGEST_TOKEN_CACHE_TIME} or less, or remove it.")
    if settings.memcached_servers and not any(memcached_answers(server) for server in settings.memcached_servers):
        raise SystemExit(
            f"Cannot start: none of [keystone_authtoken] memcached_servers ({', '.join(settings.memcached_servers)}) "
            "answers: start memcached, or remove the option to keep verified tokens in trove-api's own memory.")


class AuthorizationMiddleware:
    """Refuses a path whose tenant is not the token's project; administrators are no exception."""

    def __init__(self, app):
        self._app = app

    def __call__(self, environ, start_response):
        if environ.get("HTTP_X_IDENTITY_STATUS", _CONFIRMED) != _CONFIRMED:
            return wsgi.error_response(exception.Unauthorized())(environ, start_response)
        tenant = environ.get("PATH_INFO", "").lstrip("/").partition("/")[0]
        if tenant and tenant != environ.get("HTTP_X_PROJECT_ID"):
            own = environ.get("HTTP_X_PROJECT_ID")
            security.report("tenant.refused", f"a token of the project {own} came with the address of {tenant}")
            refusal = exception.Forbidden("The token is not for the tenant that the address names.")
            return wsgi.error_response(refusal)(environ, start_response)
        return self._app(environ, start_response)


class ContextMiddleware:
    """Makes the TroveContext of the request.

    Neither the token nor the catalog goes into it: contexts cross the bus, and guests read the bus. Only the publishing
    of logs acts with the caller's token, while the request lasts.
    """

    def __init__(self, app):
        self._app = app

    def __call__(self, environ, start_response):
        roles = [role for role in environ.get("HTTP_X_ROLES", "").split(",") if role]
        environ[wsgi.CONTEXT_KEY] = TroveContext(
            user_id=environ.get("HTTP_X_USER_ID"), user_name=environ.get("HTTP_X_USER_NAME"),
            project_id=environ.get("HTTP_X_PROJECT_ID"), project_name=environ.get("HTTP_X_PROJECT_NAME"),
            roles=roles, is_admin=wsgi.is_admin(roles), request_id=environ.get(REQUEST_ID_KEY),
            global_request_id=environ.get(GLOBAL_REQUEST_ID_KEY), trace_info=profile.current(),
            client_ip=environ.get("REMOTE_ADDR"), server_ip=environ.get("HTTP_HOST"))
        return self._app(environ, start_response)


def token_cache_factory(_global_conf, **_local_conf):
    """Paste filter factory of the token cache; with [keystone_authtoken] memcached_servers, of the watch on those."""
    if "keystone_authtoken" in CONF and CONF.keystone_authtoken.memcached_servers:
        return lambda app: MemcachedWatch(app, CONF.keystone_authtoken.memcached_servers)
    return TokenCacheMiddleware


def authorization_factory(_global_conf, **_local_conf):
    """Paste filter factory of the tenant check."""
    return AuthorizationMiddleware


def context_factory(_global_conf, **_local_conf):
    """Paste filter factory of the context."""
    return ContextMiddleware
