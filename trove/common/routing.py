"""The router of the API: turns rows of (path, method, controller, action) into a WSGI application.

Used by ``trove.common.api`` for our own table and by ``trove.common.extensions`` for those of plug-ins. A path that is
known but lacks the method answers 405; the wire's traps with suffixes and encodings end here (rest-api 1.11).
"""
from typing import NamedTuple

import routes

from trove.common import exception, policy, wsgi
from trove.common.cfg import CONF
from trove.common.strategies import strategy

# A user may come from a network, whose mask stands behind a slash: carol@10.0.0.0/255.255.240.0.
_USER = r"[^/]+(?:@[0-9A-Fa-f.:]+/[0-9.]+)?"


class Route(NamedTuple):
    """One row of a route table.

    path: below ``/v1.0``; a variable whose name ends in ``_id`` is an id, any other may be a name with dots in it;
    controller: dotted path of a Controller; action: its method; role: who may call it if the operator does not say
    otherwise, a check of ``trove.common.policy``.
    """

    path: str
    method: str
    controller: str
    action: str
    role: str = policy.MEMBER


class Router:
    """A WSGI application over a route table; all controllers are loaded and checked when it is made.

    table: Routes, the first matching path wins; otherwise: WSGI application for unknown paths, or None to answer 404;
    guarded: whether requests have a context, whose caller is then checked. Raises ValueError for a row whose controller
    or action does not exist, and as ``Policy`` does.
    """

    def __init__(self, table, otherwise=None, guarded=True):
        self._otherwise = otherwise
        self._policy = policy.Policy(table) if guarded else None
        self._methods = {}
        controllers = {}
        self._mapper = routes.Mapper(register=False, explicit=True)
        self._mapper.minimization = False
        for row in table:
            if row.controller not in controllers:
                controllers[row.controller] = strategy.load(row.controller, wsgi.Controller)()
            controller = controllers[row.controller]
            if not callable(getattr(controller, row.action, None)):
                raise ValueError(f"route {row.method} {row.path}: {row.controller} has no method {row.action}")
            if row.path not in self._methods:
                self._methods[row.path] = {}
                variable = row.path.partition("/users/{")[2].partition("}")[0]
                self._mapper.connect(row.path, template=row.path, requirements={variable: _USER} if variable else {})
            self._methods[row.path][row.method] = (controller, row)
        self._mapper.create_regs()

    def match(self, path):
        """(template, variables) of the route that ``path`` (decoded) belongs to, or None."""
        found = self._mapper.match(path, environ={"PATH_INFO": path})
        stem = _without_suffix(path)
        if stem != path and (found is None or _ends_in_id(found["template"])):
            # A format name may follow a word or an id, never a name: names have dots of their own.
            shorter = self._mapper.match(stem, environ={"PATH_INFO": stem})
            if shorter is not None and (not shorter["template"].endswith("}") or _ends_in_id(shorter["template"])):
                found = shorter
        return (found.pop("template"), found) if found is not None else None

    def __call__(self, environ, start_response):
        try:
            return self._dispatch(environ)(environ, start_response)
        except exception.TroveError as error:
            headers = {"Allow": error.kwargs["allow"]} if isinstance(error, exception.MethodNotAllowed) else None
            return wsgi.error_response(error, headers)(environ, start_response)

    def _dispatch(self, environ):
        try:
            path = environ.get("PATH_INFO", "").encode("latin-1").decode() or "/"
        except UnicodeDecodeError:
            path = "\0"
        # A path that no database could store has nothing behind it.
        found = self.match(path) if "\0" not in path else None
        if found is None:
            if self._otherwise is not None:
                return self._otherwise
            raise exception.NotFound("There is nothing at this address.")
        template, variables = found
        methods = self._methods[template]
        if environ["REQUEST_METHOD"] not in methods:
            raise exception.MethodNotAllowed(f"The method {environ['REQUEST_METHOD']} is not allowed here.",
                                             allow=", ".join(sorted(methods)))
        controller, row = methods[environ["REQUEST_METHOD"]]
        variables.pop("tenant_id", None)  # checked against the token; the context has it
        if self._policy is not None:
            self._policy.check(row, environ[wsgi.CONTEXT_KEY], variables)
        environ[wsgi.ROUTE_KEY] = (row.action, variables)
        return controller


class Mount:
    """A WSGI application that hands requests on by the beginning of their path, which goes to SCRIPT_NAME.

    applications: {beginning without a slash at its end: WSGI application}; the longest one that fits is asked. One for
    the empty beginning must be among them.
    """

    def __init__(self, applications):
        self._applications = sorted(applications.items(), key=lambda item: -len(item[0]))

    def __call__(self, environ, start_response):
        path = environ.get("PATH_INFO", "")
        for prefix, application in self._applications:
            if not prefix or path == prefix or path.startswith(f"{prefix}/"):
                environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + prefix
                environ["PATH_INFO"] = path[len(prefix):]
                return application(environ, start_response)
        raise ValueError("no application for paths of any kind is mounted")


def mount_factory(loader, global_conf, **applications):
    """Paste composite factory: the keys are beginnings of paths, the values names of applications.

    Raises ValueError when none is for ``/``, which all else belongs to.
    """
    if "/" not in applications:
        raise ValueError("the composite names no application for /")
    return Mount({prefix.rstrip("/"): loader.get_app(name, global_conf=global_conf)
                  for prefix, name in applications.items()})


def _without_suffix(path):
    """``path`` without a format suffix (option ``expected_filetype_suffixes``)."""
    for suffix in CONF.expected_filetype_suffixes:
        if path.endswith(f".{suffix}"):
            return path[:-len(suffix) - 1]
    return path


def _ends_in_id(template):
    return template.endswith("_id}")
