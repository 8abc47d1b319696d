"""A plug-in of the API: shows what a controller was given, and fails as it is told."""
from trove.common import exception, wsgi
from trove.common.extensions import Extension
from trove.common.policy import ADMIN
from trove.common.routing import Route

_HERE = f"{__name__}.EchoController"


class EchoController(wsgi.Controller):
    """Answers with what arrived."""

    def show(self, req, **arguments):
        """GET."""
        limit, marker = req.page(20)
        return {"echo": {"arguments": arguments, "limit": limit, "marker": marker, "flag": req.flag("flag"),
                         "tenant": req.context.project_id, "user": req.context.user_id,
                         "is_admin": req.context.is_admin, "request_id": req.context.request_id,
                         "global_request_id": req.context.global_request_id,
                         "token": req.context.auth_token, "headers": sorted(req.headers)},
                **wsgi.next_links(req, req.GET.get("next"))}

    def create(self, req, body):
        """POST."""
        return wsgi.Result({"echo": body}, 201)

    def delete(self, req, name):
        """DELETE."""
        return wsgi.Result(status=202)

    def fail(self, req, name):
        """Raise the error of the class ``name``; of no class of ours, ZeroDivisionError."""
        error = getattr(exception, name, None)
        if error is None:
            raise ZeroDivisionError("the secret is 42")
        raise error("told to", allow="GET") if name == "MethodNotAllowed" else error("told to")


class MgmtEchoController(EchoController):
    """The same for administrators."""


EXTENSION = Extension(
    "Echo", "ECHO", "http://example.org/echo", "Answers with what arrived.", "2026-01-01T00:00:00Z", (
        Route("/{tenant_id}/echo", "GET", _HERE, "show"),
        Route("/{tenant_id}/echo", "POST", _HERE, "create"),
        Route("/{tenant_id}/echo/{name}", "GET", _HERE, "show"),
        Route("/{tenant_id}/echo/{name}", "DELETE", _HERE, "delete"),
        Route("/{tenant_id}/echoes/{echo_id}", "GET", _HERE, "show"),
        Route("/{tenant_id}/fail/{name}", "GET", _HERE, "fail"),
        Route("/{tenant_id}/mgmt/echo", "GET", f"{__name__}.MgmtEchoController", "show", ADMIN),
    ))
