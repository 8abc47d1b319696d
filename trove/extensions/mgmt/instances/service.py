"""Controller of /mgmt/instances: the instances of all tenants, for administrators."""
from trove.common import apischema, exception, wsgi
from trove.common.apischema import contract
from trove.db import get_db_api
from trove.extensions.common import guest
from trove.extensions.mgmt.instances import schema, views
from trove.instance import actions, loading, models, resize

_DONE_BY = {"stop": actions.stop, "reboot": actions.reboot, "reset-task-status": actions.reset_task,
            "migrate": resize.migrate}

# Administrators' lists are long: clients of administrators do not follow links by themselves.
LARGEST_PAGE = 1000


class MgmtInstanceController(wsgi.Controller):
    """/mgmt/instances and /mgmt/instances/{id}."""

    @contract(query={**apischema.PAGE, "include_clustered": apischema.boolean, "deleted": apischema.boolean,
                     "project_id": apischema.string}, answer=views.LIST)
    def index(self, req):
        """One page of all instances; without ``deleted`` in the query also the deleted ones."""
        limit, marker = req.page(LARGEST_PAGE)
        with get_db_api().reader() as session:
            page, following = loading.load_page(
                session, req.GET.get("project_id"), limit, marker, req.flag("include_clustered"), self._deleted(req))
        return {"instances": [views.item(req, loaded) for loaded in page], **wsgi.next_links(req, following)}

    @contract(query={"deleted": apischema.boolean}, answer=views.SHOW)
    def show(self, req, instance_id):
        """One instance, also a deleted one."""
        with get_db_api().reader() as session:
            details = loading.load_details(session, instance_id, req.context, self._deleted(req))
            root = models.root_history(session, instance_id)
        return {"instance": views.detail(req, details, root)}

    @contract(body=schema.action, status=202, errors=(422, 501))
    def action(self, req, instance_id, body):
        """Do the one action that the body names."""
        name = next(iter(body))
        if name not in _DONE_BY:
            self._load(req, instance_id)
            raise exception.NotImplementedHere(f"The action {name} is not supported.")
        _DONE_BY[name](req.context, instance_id, **(body[name] if name == "migrate" and body[name] else {}))

    @contract(answer=views.ROOT_HISTORY)
    def root(self, req, instance_id):
        """Who enabled root and when."""
        with get_db_api().reader() as session:
            loading.load(session, instance_id, req.context)
            root = models.root_history(session, instance_id)
        return {"root_history": views.root_history(instance_id, root)}

    @contract(status=204, errors=(503,))
    def rpc_ping(self, req, instance_id):
        """Whether the agent answers: 204, else an error."""
        guest.client(req.context, self._load(req, instance_id)).rpc_ping()

    @contract(answer=views.DIAGNOSTICS, errors=(503,))
    def diagnostics(self, req, instance_id):
        """Version and memory of the agent."""
        found = guest.client(req.context, self._load(req, instance_id)).get_diagnostics()
        return {"diagnostics": views.diagnostics(found)}

    @contract(answer=views.HWINFO, errors=(503,))
    def hwinfo(self, req, instance_id):
        """Memory and processors that the guest has."""
        found = guest.client(req.context, self._load(req, instance_id)).get_hwinfo()
        return {"hwinfo": {name: found[name] for name in ("mem_total", "num_cpus")}}

    @contract(body=schema.upgrade, status=None, errors=(501,))
    def upgrade(self, req, instance_id, body):
        """Replace the agent in a guest, which cannot be done here."""
        self._load(req, instance_id)
        raise exception.NotImplementedHere("Agents cannot be upgraded in place; build an instance from a newer image.")

    @staticmethod
    def _deleted(req):
        return req.flag("deleted") if "deleted" in req.GET else None

    @staticmethod
    def _load(req, instance_id):
        with get_db_api().reader() as session:
            return loading.load(session, instance_id, req.context)
