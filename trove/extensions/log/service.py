"""Controller of /instances/{id}/log."""
from trove.common import cfg, exception, wsgi
from trove.common.apischema import contract
from trove.db import get_db_api
from trove.extensions.log import schema, views
from trove.instance import loading

_ACTIONS = ("enable", "disable", "publish", "discard")


class LogController(wsgi.Controller):
    """/instances/{id}/log."""

    @contract(answer=views.LIST, errors=(501,))
    def index(self, req, instance_id):
        """Every log of an instance, with what is published of it."""
        return {"logs": self._logs(req, instance_id)}

    @contract(body=schema.action, answer=views.ITEM, errors=(501,))
    def action(self, req, instance_id, body):
        """Show a log (no flag set); to turn it on or off, publish or discard it is refused: guests have no store."""
        found = {log["name"]: log for log in self._logs(req, instance_id)}
        name = body["name"]
        if name not in found:
            raise exception.NotFound(f"The instance {instance_id} has no log '{name}'.")
        wanted = {action for action in _ACTIONS if body.get(action)}
        if not wanted:
            return {"log": found[name]}
        if {"enable", "disable"} <= wanted:
            raise exception.BadRequest("A log is either enabled or disabled, not both.")
        raise exception.NotImplementedHere(
            f"The log '{name}' can be neither changed nor published: guests have no access to the object store.")

    @staticmethod
    def _logs(req, instance_id):
        with get_db_api().reader() as session:
            loaded = loading.load(session, instance_id, req.context)
        return views.logs(cfg.datastore_options(loaded.manager).guest_log_exposed_logs)
