"""Extensions of the API: what GET /extensions lists, and the filter that serves the routes of plug-ins.

A plug-in is an ``Extension`` object named by an entry point of the group ``trove.api.extensions``. Our own routes are
all in ``trove.common.api``; plug-ins are asked first and cannot take over one of ours.
"""
import importlib.metadata
from typing import NamedTuple

from trove.common import api, apischema, policy, wsgi
from trove.common.apischema import contract
from trove.common.routing import Route, Router

ENTRY_POINTS = "trove.api.extensions"
EXTENSIONS_KEY = "trove.extensions"


class Extension(NamedTuple):
    """One extension; ``routes`` are rows as in ``trove.common.api.ROUTES``."""

    name: str
    alias: str
    namespace: str
    description: str
    updated: str
    routes: tuple[Route, ...] = ()


OWN = (
    Extension("Mysql", "MYSQL", "http://TBD", "Databases, users and root of an instance.", "2011-01-22T13:25:27-06:00"),
    Extension("SecurityGroup", "security_group", "http://TBD", "Who may connect to an instance.",
              "2012-02-26T17:25:27-08:00"),
    Extension("Mgmt", "Mgmt", "http://TBD", "Management of everything by administrators.",
              "2011-01-22T13:25:27-06:00"),
)


_string = apischema.string
LIST = apischema.answer("extensions", apischema.array(apischema.view("Extension", {
    **dict.fromkeys(("name", "alias", "namespace", "description", "updated"), _string), "links": apischema.links})))


class ExtensionsController(wsgi.Controller):
    """GET /extensions."""

    @contract(answer=LIST)
    def index(self, req):
        """Every extension, our own first."""
        return {"extensions": [
            {"name": each.name, "alias": each.alias, "namespace": each.namespace, "description": each.description,
             "updated": each.updated, "links": []} for each in req.environ.get(EXTENSIONS_KEY, OWN)]}


class ExtensionMiddleware:
    """Serves the routes of plug-ins and passes on all else. Raises ValueError for a plug-in that cannot be served."""

    def __init__(self, app, plugins):
        for plugin in plugins:
            if not isinstance(plugin, Extension):
                raise ValueError(f"entry point of {ENTRY_POINTS}: {plugin!r} is not a "
                                 f"{__name__}.{Extension.__qualname__}")
        self._extensions = (*OWN, *plugins)
        taken = {(row.path, row.method) for row in api.ROUTES}
        rows = [row for plugin in plugins for row in plugin.routes]
        for row in rows:
            if (row.path, row.method) in taken:
                raise ValueError(f"route {row.method} {row.path} of an extension exists already")
        names = {policy.rule_name(row) for row in rows} & {policy.rule_name(row) for row in api.ROUTES}
        if names:
            raise ValueError(f"controllers of an extension are called as ours are: {', '.join(sorted(names))}")
        self._serve = Router(rows, otherwise=app) if rows else app

    def __call__(self, environ, start_response):
        environ[EXTENSIONS_KEY] = self._extensions
        return self._serve(environ, start_response)


def filter_factory(_global_conf, **_local_conf):
    """Paste filter factory; loads the plug-ins that are installed."""
    plugins = [entry.load() for entry in importlib.metadata.entry_points(group=ENTRY_POINTS)]
    return lambda app: ExtensionMiddleware(app, plugins)
