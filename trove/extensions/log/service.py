"""Controller of /instances/{id}/log: what its guest says of its logs, and what is published of them."""
from oslo_log import log as logging

from trove.common import cfg, exception, wsgi
from trove.common.apischema import contract
from trove.db import get_db_api
from trove.extensions.common import guest
from trove.extensions.log import schema, store, views
from trove.instance import loading

LOG = logging.getLogger(__name__)
_ACTIONS = ("enable", "disable", "publish", "discard")


def _names(loaded):
    """The logs that users may see: the agent's, and those of the option guest_log_exposed_logs."""
    exposed = cfg.datastore_options(loaded.manager).guest_log_exposed_logs
    return ["guest", *(name.strip() for name in exposed.split(",") if name.strip())]


class LogController(wsgi.Controller):
    """/instances/{id}/log."""

    @contract(answer=views.LIST, errors=(501, 503))
    def index(self, req, instance_id):
        """Every log of an instance, with how far it is published; all are unavailable while its guest is not there."""
        with get_db_api().reader() as session:
            loaded = loading.load(session, instance_id, req.context)
        names = _names(loaded)
        if not loaded.guest_answers:
            return {"logs": views.unknown(names)}
        found = {log["name"]: log for log in guest.client(req.context, loaded).guest_log_list()}
        return {"logs": [views.log(loaded, found[name]) for name in names if name in found]}

    @contract(body=schema.action, answer=views.ITEM, errors=(409, 422, 501, 503))
    def action(self, req, instance_id, body):
        """Turn a log on or off, discard what is published of it, publish it, in this order; no flag: show it."""
        with get_db_api().reader() as session:
            loaded = loading.load(session, instance_id, req.context)
        name = body["name"]
        if name not in _names(loaded):
            raise exception.NotFound(f"The instance {instance_id} has no log '{name}'.")
        wanted = {action: bool(body.get(action)) for action in _ACTIONS}
        if wanted["enable"] and wanted["disable"]:
            raise exception.BadRequest("A log is either enabled or disabled, not both.")
        if not any(wanted.values()):
            return {"log": next(log for log in self.index(req, instance_id)["logs"] if log["name"] == name)}
        loaded = guest.load_running(req.context, instance_id, users=False)
        start = store.prefix(instance_id, loaded.manager, name)
        if wanted["discard"]:
            store.discard(req, start)
        storage = store.grant(req, start) if wanted["publish"] else None
        found = guest.client(req.context, loaded).guest_log_action(name, **wanted, storage=storage)
        LOG.info("instance %s: log '%s': %s by user %s", instance_id, name,
                 ", ".join(action for action in _ACTIONS if wanted[action]), req.context.user_id)
        return {"log": views.log(loaded, {**found, "name": name})}
