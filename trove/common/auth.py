"""Who calls: the tenant check and the request's context, from the headers that the token filter has verified.

Filters of the paste file, after ``authtoken``, which removes such headers from what a client sends; and before it
the memory of tokens that it has verified.
"""
import collections
import threading
import time

from trove.common import exception, profile, wsgi
from trove.common.cfg import CONF
from trove.common.context import TroveContext
from trove.common.fault import GLOBAL_REQUEST_ID_KEY, REQUEST_ID_KEY

# Named in the paste file, in the section of authtoken.
TOKEN_CACHE_KEY = "trove.token_cache"  # noqa: S105 - the name of a key
MAX_TOKENS = 10000

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


class AuthorizationMiddleware:
    """Refuses a path whose tenant is not the token's project; administrators are no exception."""

    def __init__(self, app):
        self._app = app

    def __call__(self, environ, start_response):
        if environ.get("HTTP_X_IDENTITY_STATUS", _CONFIRMED) != _CONFIRMED:
            return wsgi.error_response(exception.Unauthorized())(environ, start_response)
        tenant = environ.get("PATH_INFO", "").lstrip("/").partition("/")[0]
        if tenant and tenant != environ.get("HTTP_X_PROJECT_ID"):
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
    """Paste filter factory of the token cache, which is left out if [keystone_authtoken] memcached_servers is set."""
    if "keystone_authtoken" in CONF and CONF.keystone_authtoken.memcached_servers:
        return lambda app: app
    return TokenCacheMiddleware


def authorization_factory(_global_conf, **_local_conf):
    """Paste filter factory of the tenant check."""
    return AuthorizationMiddleware


def context_factory(_global_conf, **_local_conf):
    """Paste filter factory of the context."""
    return ContextMiddleware
