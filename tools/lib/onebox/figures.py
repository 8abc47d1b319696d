"""What requests cost, counted exactly, on a database as of a large cloud: for tools/bench api and the functional tests.

Knows the tables and the client library of the cloud; asks nobody by itself.
"""
import uuid
from unittest import mock

import sqlalchemy
from keystoneauth1 import session as keystone

from trove.common.instance import ServiceStatuses
from trove.db import models
from trove.db.sqlalchemy import tables
from trove.instance.tasks import InstanceTasks


def add_instances(session, tenant, version_id, number, **columns):
    """Insert running instances of a tenant with everything that comes with one; returns their ids in order.

    Each has a service status, a heartbeat, a fault, root's history, a finished operation, a backup, a configuration
    group and a security group with a rule. columns: of the instances, on top.
    """
    now, ids = models.utcnow(), sorted(models.new_id() for _ in range(number))
    written = {"created": now, "updated": now, "deleted": False}

    def each(**values):
        return [{"id": str(uuid.uuid4()), **{name: id_ if value is id else value for name, value in values.items()}}
                for id_ in ids]

    for table, rows in (
            (tables.instances, [
                {"id": id_, "name": f"db-{position}", "tenant_id": tenant, "task_id": InstanceTasks.NONE.code,
                 "task_description": InstanceTasks.NONE.description, "flavor_id": "1", "volume_size": 1,
                 "server_status": "ACTIVE", "datastore_version_id": version_id, **written, **columns}
                for position, id_ in enumerate(ids)]),
            (tables.service_statuses, each(
                instance_id=id, status_id=ServiceStatuses.RUNNING.code,
                status_description=ServiceStatuses.RUNNING.description, updated_at=now)),
            (tables.agent_heartbeats, each(instance_id=id, updated_at=now, deleted=False)),
            (tables.instance_faults, each(instance_id=id, message="it failed", created=now)),
            (tables.root_enabled_history, each(id=id, user="u", created=now)),
            (tables.operations, each(
                kind="instance.create", resource_type="instance", resource_id=id, tenant_id=tenant, arguments="{}",
                context="{}", state="done", step_data="{}", cancel=False, run_after=1e9, attempts=1, created_at=1e9,
                updated_at=1e9)),
            (tables.backups, each(instance_id=id, name="b", state="COMPLETED", tenant_id=tenant,
                                  datastore_version_id=version_id, **written)),
            (tables.configurations, each(name="c", tenant_id=tenant, datastore_version_id=version_id, **written)),
            (tables.security_groups, each(id=id, name="g", tenant_id=tenant, **written)),
            (tables.security_group_rules, each(group_id=id, cidr="0.0.0.0/0", protocol="tcp", from_port=3306,
                                               to_port=3306, **written)),
            (tables.security_group_instance_associations, each(security_group_id=id, instance_id=id, **written))):
        session.execute(table.insert(), rows)
    return ids


# How many rows the statements of a session have read so far: a sum over the last column.
_ROWS_READ = {
    "mysql": "SHOW SESSION STATUS LIKE 'Handler_read%'",
    # Rows of tables that were scanned, and entries of indexes, in this transaction.
    "postgresql": "SELECT sum(pg_stat_get_xact_tuples_returned(oid)) FROM pg_class "
                  "WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i')",
}


class Costs:
    """A context in which requests are measured.

    engine: of the database. ``calls``: what was asked of the cloud; a caller may add others.
    """

    def __init__(self, engine):
        self.calls = []
        self._engine = engine
        self._statements = self._steps = self._rows_before = 0
        self._request = keystone.Session.request
        self._patch = mock.patch.object(keystone.Session, "request", lambda *args, **kwargs: (
            self.calls.append(args[1]), self._request(*args, **kwargs))[1])

    def __enter__(self):
        self._patch.start()
        sqlalchemy.event.listen(self._engine, "before_cursor_execute", self._note)
        sqlalchemy.event.listen(self._engine, "after_cursor_execute", self._count)
        return self

    def __exit__(self, *_error):
        sqlalchemy.event.remove(self._engine, "before_cursor_execute", self._note)
        sqlalchemy.event.remove(self._engine, "after_cursor_execute", self._count)
        self._patch.stop()

    def _note(self, connection, cursor, statement, _parameters, _context, _many):
        if hasattr(cursor.connection, "set_progress_handler"):  # SQLite
            cursor.connection.set_progress_handler(self._step, 1)
        else:  # asking reads rows as well, always as many
            first = self._rows_read(connection)
            second = self._rows_read(connection)
            self._rows_before = second + (second - first)
        self._statements += statement.lstrip().startswith(("SELECT", "INSERT", "UPDATE", "DELETE"))

    def _count(self, connection, _cursor, _statement, _parameters, _context, _many):
        if connection.dialect.name in _ROWS_READ:
            self._steps += self._rows_read(connection) - self._rows_before

    @staticmethod
    def _rows_read(connection):
        with connection.connection.cursor() as cursor:
            cursor.execute(_ROWS_READ[connection.dialect.name])
            return sum(int(row[-1] or 0) for row in cursor.fetchall())

    def _step(self):
        self._steps += 1

    def measure(self, ask):
        """Ask once for the caches, then again; returns that answer's status and bytes, and its figures.

        ask: function that makes the request and returns a WebOb response; statements: of SQL; steps: of SQLite's
        machine in them; with MariaDB and PostgreSQL the rows and index entries that they read.
        """
        ask()
        self.calls[:], self._statements, self._steps = [], 0, 0
        answer = ask()
        return {"status": answer.status_int, "bytes": len(answer.body), "statements": self._statements,
                "steps": self._steps, "calls": list(self.calls)}
