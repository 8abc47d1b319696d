"""Controller of /mgmt/instances: the instances of all tenants, for administrators (the route table checks the role)."""
from trove.common import apischema, exception, wsgi
from trove.db import get_db_api
from trove.extensions.common import guest
from trove.extensions.mgmt.instances import schema, views
from trove.instance import actions, loading, models, usage


class MgmtInstanceController(wsgi.Controller):
    """/mgmt/instances and /mgmt/instances/{id}."""

    def index(self, req):
        """All instances; without ``deleted`` in the query also the deleted ones, without ``limit`` on one page."""
        limit, marker = req.page(1000, cap=False) if "limit" in req.GET else (None, req.GET.get("marker"))
        with get_db_api().reader() as session:
            page, following = loading.load_page(
                session, req.GET.get("project_id"), limit, marker, req.flag("include_clustered"), self._deleted(req))
        return {"instances": [views.item(req, loaded) for loaded in page], **wsgi.next_links(req, following)}

    def show(self, req, instance_id):
        """One instance, also a deleted one."""
        with get_db_api().reader() as session:
            details = loading.load_details(session, instance_id, req.context, self._deleted(req))
            root = models.root_history(session, instance_id)
        return {"instance": views.detail(req, details, root, usage.used_gb(req.context, details.loaded))}

    def action(self, req, instance_id, body):
        """Do the one action that the body names."""
        if len(body) != 1 or next(iter(body)) not in schema.ACTIONS:
            raise exception.BadRequest(f"The body must name exactly one action: one of {', '.join(schema.ACTIONS)}.")
        apischema.check(schema.action, body)
        if "reset-task-status" not in body:
            self._load(req, instance_id)
            raise exception.NotImplementedHere(f"The action {next(iter(body))} is not supported.")
        actions.reset_task(req.context, instance_id)
        return wsgi.Result(status=202)

    def root(self, req, instance_id):
        """Who enabled root and when."""
        with get_db_api().reader() as session:
            loading.load(session, instance_id, req.context)
            root = models.root_history(session, instance_id)
        return {"root_history": views.root_history(instance_id, root)}

    def rpc_ping(self, req, instance_id):
        """Whether the agent answers: 204, else an error."""
        guest.client(req.context, self._load(req, instance_id)).rpc_ping()
        return wsgi.Result(status=204)

    @staticmethod
    def _deleted(req):
        return req.flag("deleted") if "deleted" in req.GET else None

    @staticmethod
    def _load(req, instance_id):
        with get_db_api().reader() as session:
            return loading.load(session, instance_id, req.context)
