"""Controllers of /backups, /instances/{id}/backups and /backup_strategies.

Each method reads the request, calls one function of the domain, and answers.
"""
import re

from trove.backup import actions, models, schema, views
from trove.common import apischema, exception, wsgi
from trove.common.apischema import contract
from trove.common.cfg import CONF
from trove.datastore import models as datastore_models
from trove.db import get_db_api
from trove.instance import loading
from trove.operation import models as operations

_QUERY = {**apischema.PAGE, "datastore": apischema.string}


def _marker(text):
    """Return a number of backups as int; links of earlier releases have one. Other markers stay as they are."""
    if text is None or not re.fullmatch("[0-9]{1,10}", text):
        return text
    if int(text) >= 2 ** 31:
        raise exception.BadValue(field="marker", reason="must be the id of a backup or a number below 2147483648.")
    return int(text)


def _list(req, **filters):
    """One page: the next link is there whenever the page is full."""
    limit, marker = req.page(CONF.backups_page_size, cap=False)
    limit = min(limit, 2 ** 31 - 1)
    with get_db_api().reader() as session:
        datastore = req.GET.get("datastore")
        if datastore:
            found = datastore_models.find_datastore(session, datastore)
            filters["version_ids"] = [version.id for version in datastore_models.load_versions(session, found, False)]
        rows = models.page(session, limit, _marker(marker), **filters)
        names = datastore_models.version_names(session)
    return {"backups": [views.item(row, names) for row in rows],
            **wsgi.next_links(req, rows[-1].id if len(rows) == limit else None)}


class BackupController(wsgi.Controller):
    """/backups, /backups/{id} and /instances/{id}/backups."""

    @contract(query=_QUERY | {"instance_id": apischema.string, "all_projects": apischema.boolean,
                              "project_id": apischema.string}, answer=views.LIST, errors=(404,))
    def index(self, req):
        """The tenant's backups, the newest first; an administrator may ask for those of others."""
        tenant_id = req.context.project_id
        if req.context.is_admin:
            tenant_id = req.GET.get("project_id") or (None if req.flag("all_projects") else tenant_id)
        return _list(req, tenant_id=tenant_id, instance_id=req.GET.get("instance_id"))

    @contract(query=_QUERY, answer=views.LIST, errors=(404,))
    def index_by_instance(self, req, instance_id):
        """The backups of one instance."""
        with get_db_api().reader() as session:
            loading.load(session, instance_id, req.context)
        return _list(req, instance_id=instance_id)

    @contract(answer=views.SHOW)
    def show(self, req, backup_id):
        """One backup, with its progress."""
        return {"backup": self._view(req, backup_id)}

    @contract(body=schema.create, answer=views.SHOW, status=202, errors=(404, 422, 501, 503))
    def create(self, req, body):
        """Begin to take a backup."""
        backup_id = actions.create(req.context, actions.parse(body["backup"]))
        return {"backup": self._view(req, backup_id)}

    @contract(status=202, errors=(422,))
    def delete(self, req, backup_id):
        """Begin to delete a backup and all increments on it."""
        actions.delete(req.context, backup_id)

    @contract(body=schema.nothing, status=None, errors=(404,))
    def refuse(self, req, backup_id, body):
        """POST on a backup is nothing."""
        raise exception.NotFound(f"There is no action on the backup {backup_id}.")

    @staticmethod
    def _view(req, backup_id):
        with get_db_api().reader() as session:
            row = models.DBBackup.get(session, backup_id, req.context)
            newest = operations.newest_for(session, "backup", backup_id)
            return views.detail(row, datastore_models.version_names(session), newest)


class BackupStrategyController(wsgi.Controller):
    """/backup_strategies: where backups are kept, which is up to the operator and the same for everybody."""

    @contract(query={"instance_id": apischema.string, "project_id": apischema.string}, answer=views.STRATEGIES,
              errors=(404,))
    def index(self, req):
        """The one strategy that holds, for an instance or a tenant."""
        return {"backup_strategies": [self._view(req, req.GET.get("instance_id"), req.GET.get("project_id"))]}

    @contract(body=schema.strategy, answer=views.STRATEGY, status=202, errors=(404,))
    def create(self, req, body):
        """Ask for the strategy that holds anyway; any other is refused."""
        given = body["backup_strategy"]
        actions.check_storage(given)
        return {"backup_strategy": self._view(req, apischema.last_segment(given.get("instance_id") or ""))}

    @contract(query={"instance_id": apischema.string, "project_id": apischema.string}, status=None,
              errors=(404, 501))
    def delete(self, req):
        """Refused: backups are kept somewhere in any case."""
        self._view(req, req.GET.get("instance_id"), req.GET.get("project_id"))
        raise exception.NotImplementedHere("The place of backups is the operator's choice and cannot be taken away.")

    @staticmethod
    def _view(req, instance_id=None, project_id=None):
        tenant_id = project_id if project_id and req.context.is_admin else req.context.project_id
        if instance_id:
            with get_db_api().reader() as session:
                tenant_id = loading.load(session, instance_id, req.context).row.tenant_id
        return views.strategy(tenant_id, instance_id or None)
