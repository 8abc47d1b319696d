"""A token filter for tests: takes the place of keystonemiddleware in the pipeline that tests/functional builds.

A token is text of the form ``<tenant>:<user>:<role>,<role>``, or one of minicloud that ``REAL`` knows; anything else is
refused as Keystone's filter does.
"""
import webob.exc

_IDENTITY = ("IDENTITY_STATUS", "PROJECT_ID", "TENANT_ID", "PROJECT_NAME", "USER_ID", "USER_NAME", "ROLES", "ROLE")

# Token of minicloud -> whose it is, in the form above.
REAL = {}


class FakeTokens:
    """Verifies nothing, but leaves the environment as the real filter does."""

    def __init__(self, app):
        self._app = app

    def __call__(self, environ, start_response):
        for name in _IDENTITY:
            environ.pop(f"HTTP_X_{name}", None)
        token = environ.get("HTTP_X_AUTH_TOKEN", "")
        parts = REAL.get(token, token).split(":")
        if len(parts) != 3:
            refusal = webob.exc.HTTPUnauthorized(
                body=b"Authentication required", headers={"WWW-Authenticate": 'Keystone uri="http://keystone"'})
            return refusal(environ, start_response)
        tenant, user, roles = parts
        environ.update(HTTP_X_IDENTITY_STATUS="Confirmed", HTTP_X_PROJECT_ID=tenant, HTTP_X_TENANT_ID=tenant,
                       HTTP_X_PROJECT_NAME=f"{tenant} by name", HTTP_X_USER_ID=user, HTTP_X_USER_NAME=user,
                       HTTP_X_ROLES=roles, HTTP_X_ROLE=roles)
        return self._app(environ, start_response)


def filter_factory(_global_conf, **_local_conf):
    """Paste filter factory."""
    return FakeTokens
