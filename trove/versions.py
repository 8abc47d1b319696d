"""The version documents: ``GET /`` for everybody, ``GET /v1.0/`` at the end of the API's pipeline."""
from trove.common import apischema, wsgi
from trove.common.apischema import contract
from trove.common.routing import Route, Router

_VERSION = apischema.view("ApiVersion", {"id": apischema.string, "status": {"const": "CURRENT"},
                                         "updated": apischema.string, "links": apischema.links})


def _version(req):
    return {"id": "v1.0", "status": "CURRENT", "updated": "2012-08-01T00:00:00Z",
            "links": [{"rel": "self", "href": f"{req.host_url}/v1.0/"}]}


class VersionsController(wsgi.Controller):
    """What people and monitors read; no client does."""

    @contract(answer=apischema.answer("versions", apischema.array(_VERSION)))
    def index(self, req):
        """All versions of the API: there is one."""
        return {"versions": [_version(req)]}

    @contract(answer=apischema.answer("version", _VERSION))
    def show(self, req):
        """The version whose address was asked for."""
        return {"version": _version(req)}


ROUTES = (Route("/", "GET", f"{__name__}.{VersionsController.__name__}", "index"),)


def app_factory(_global_conf, **_local_conf):
    """The application of the paste file for everything outside ``/v1.0``."""
    return Router(ROUTES, guarded=False)
