"""Who calls: the tenant check and the request's context, from the headers that the token filter has verified.

Filters of the paste file, after ``authtoken``, which removes such headers from what a client sends.
"""
from trove.common import exception, wsgi
from trove.common.context import TroveContext
from trove.common.fault import REQUEST_ID_KEY

_CONFIRMED = "Confirmed"


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

    Neither the token nor the catalog goes into it: contexts cross the bus, guests read the bus, and nothing of ours
    acts with the caller's token.
    """

    def __init__(self, app):
        self._app = app

    def __call__(self, environ, start_response):
        roles = [role for role in environ.get("HTTP_X_ROLES", "").split(",") if role]
        environ[wsgi.CONTEXT_KEY] = TroveContext(
            user_id=environ.get("HTTP_X_USER_ID"), user_name=environ.get("HTTP_X_USER_NAME"),
            project_id=environ.get("HTTP_X_PROJECT_ID"), project_name=environ.get("HTTP_X_PROJECT_NAME"),
            roles=roles, is_admin=wsgi.is_admin(roles), request_id=environ.get(REQUEST_ID_KEY))
        return self._app(environ, start_response)


def authorization_factory(_global_conf, **_local_conf):
    """Paste filter factory of the tenant check."""
    return AuthorizationMiddleware


def context_factory(_global_conf, **_local_conf):
    """Paste filter factory of the context."""
    return ContextMiddleware
