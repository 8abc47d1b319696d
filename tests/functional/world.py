"""What the tests of instances start from, and what happens to instances behind the API: the work of the task manager,
of guests and of time, done by hand on the rows.
"""
import datetime
import json

import sqlalchemy

from tests.fakes import guest
from trove.common.instance import ServiceStatuses
from trove.datastore.models import DBDatastoreVersionMetadata
from trove.db import models
from trove.db.sqlalchemy import tables
from trove.instance import administration
from trove.instance.models import AgentHeartBeat, DBInstance, InstanceServiceStatus, set_service_status
from trove.instance.tasks import InstanceTasks
from trove.operation import models as operations
from trove.taskmanager import api as taskmanager
from trove.taskmanager import flow, flows

UNKNOWN = "99999999-9999-4999-8999-999999999999"


class World:
    """db: the database layer; catalog: rows of datastores and versions by name; casts: (kind, id) of each
    operation for which the task manager was woken; task_manager_works: whether it carries out changes of databases and
    users at once.
    """

    def __init__(self, db, catalog, monkeypatch):
        self.db = db
        self.catalog = catalog
        self.casts = []
        self._monkeypatch = monkeypatch
        self._real_wake = taskmanager.API.wake
        self.task_manager_works = True
        monkeypatch.setattr(taskmanager.API, "wake", lambda _api, operation_id: self._wake(operation_id))

    def _wake(self, operation_id):
        with self.db.reader() as session:
            kind = session.execute(sqlalchemy.select(tables.operations.c.kind).where(
                tables.operations.c.id == operation_id)).scalar_one()
        self.casts.append((kind, operation_id))
        if kind in administration.CHANGES and self.task_manager_works:
            self.carry_on(operation_id)

    def carry_on(self, operation_id):
        """A task manager works on an operation until it has ended or has to wait. Returns its row."""
        with self.db.writer() as session:
            session.get(operations.Operation, operation_id).lease_until = None
        with self.db.writer() as session:
            operations.claim(session, operation_id, "test", 30)
        outcome = flow.advance(flows.FLOWS, operation_id, "test")
        while outcome is not None and outcome.seconds == 0:
            outcome = flow.advance(flows.FLOWS, operation_id, "test")
        with self.db.reader() as session:
            return session.get(operations.Operation, operation_id)

    def cast_for_real(self):
        """From now on casts go to the bus."""
        self._monkeypatch.setattr(taskmanager.API, "wake", self._real_wake)

    def bind_flavor(self, version, flavor_id):
        """Restrict a version to a flavor."""
        with self.db.writer() as session:
            session.add(DBDatastoreVersionMetadata(
                datastore_version_id=self.catalog[version].id, key="flavor", value=flavor_id, created=models.utcnow()))

    def rows(self, table):
        """All rows of a table, as dicts."""
        with self.db.reader() as session:
            return [dict(row) for row in session.execute(table.select()).mappings()]

    def counts(self):
        """{table: number of rows} of all that a request may write."""
        watched = (tables.instances, tables.service_statuses, tables.operations, tables.reservations,
                   tables.root_enabled_history, tables.instance_faults, tables.backups, tables.configurations,
                   tables.configuration_parameters)
        return {table.name: len(self.rows(table)) for table in watched}

    def row(self, instance_id):
        """The row of an instance."""
        return next(row for row in self.rows(tables.instances) if row["id"] == instance_id)

    def set(self, instance_id, **columns):
        """Write columns of an instance; ``task``: an InstanceTask; ``service``: a ServiceStatus."""
        with self.db.writer() as session:
            row = session.get(DBInstance, instance_id)
            service = columns.pop("service", None)
            for name, value in columns.items():
                setattr(row, name, value)
            if service is not None:
                set_service_status(session, instance_id, service)

    def activate(self, instance_id):
        """The task manager has built the instance, and its guest reports."""
        self.end_operations(instance_id)
        self.set(instance_id, task=InstanceTasks.NONE, service=ServiceStatuses.RUNNING, server_status="ACTIVE",
                 compute_instance_id=f"server-{instance_id[:8]}", volume_id=f"volume-{instance_id[:8]}",
                 address_list=[{"address": "10.1.2.3", "network": "private", "type": "private"}])
        self.report(instance_id)

    def end_operations(self, instance_id, state=operations.DONE, error=None):
        """Every live operation of an instance ends."""
        with self.db.writer() as session:
            for operation in operations.live_for(session, "instance", instance_id):
                operations.claim(session, operation.id, "test", 30)
                data = {"history": [{"step": "volume", "seconds": 1.25}, {"step": "server", "seconds": 2.5}]}
                operations.update_held(session, operation.id, "test", step_data=json.dumps(data),
                                       **operations.end_values(state, error))

    def end_backups(self):
        """Every backup that is being taken fails."""
        with self.db.writer() as session:
            session.execute(tables.backups.update().values(state="FAILED"))
            session.execute(tables.operations.update().where(tables.operations.c.resource_type == "backup").values(
                **operations.end_values(operations.FAILED)))

    def report(self, instance_id, seconds_ago=0, facts=None):
        """The guest's last sign of life was so long ago. facts: as ``instance.health`` takes them; None: the usual."""
        moment = models.utcnow() - datetime.timedelta(seconds=seconds_ago)
        with self.db.writer() as session:
            beats = session.query(AgentHeartBeat).filter_by(instance_id=instance_id).all()
            beat = beats[0] if beats else AgentHeartBeat(instance_id=instance_id)
            beat.updated_at = moment
            beat.facts = json.dumps({"used": 0.11} if facts is None else facts)
            session.add(beat)
            session.query(InstanceServiceStatus).filter_by(instance_id=instance_id).update({"updated_at": moment})

    def silence(self, instance_id):
        """The guest has not reported for an hour."""
        self.report(instance_id, 3600)

    def add_instances(self, tenant, number, **columns):
        """Put so many running instances of a tenant into the database; returns their ids in order."""
        now = models.utcnow()
        ids = sorted(models.new_id() for _ in range(number))
        with self.db.writer() as session:
            session.execute(tables.instances.insert(), [
                {"id": id_, "created": now, "updated": now, "name": f"db-{position}", "tenant_id": tenant,
                 "task_id": InstanceTasks.NONE.code, "task_description": InstanceTasks.NONE.description,
                 "flavor_id": "1", "volume_size": 1, "server_status": "ACTIVE", "deleted": False,
                 "datastore_version_id": self.catalog["mysql 5.7"].id, **columns} for position, id_ in enumerate(ids)])
            session.execute(tables.service_statuses.insert(), [
                {"id": id_, "instance_id": id_, "status_id": ServiceStatuses.RUNNING.code,
                 "status_description": ServiceStatuses.RUNNING.description, "updated_at": now} for id_ in ids])
        return ids

    def add_backup(self, instance_id, state):
        """A backup of an instance, in a state."""
        with self.db.writer() as session:
            session.execute(tables.backups.insert(), {
                "id": models.new_id(), "name": "b", "state": state, "instance_id": instance_id, "deleted": False})

    def operations(self, instance_id):
        """The operations of an instance, oldest first."""
        with self.db.reader() as session:
            return session.query(operations.Operation).filter_by(resource_id=instance_id).order_by("created_at").all()

    def guest(self, instance_id):
        """The fake guest of an instance."""
        return guest.guest(instance_id)


def create_body(**more):
    """The body of a create request that fits; ``more`` goes on top, a value of None takes a key away."""
    given = {"name": "m1", "flavorRef": "1", "volume": {"size": 1}, "datastore": {"type": "mysql"}, **more}
    return {"instance": {key: value for key, value in given.items() if value is not None}}


def create(caller, **more):
    """Create an instance; returns its id."""
    return caller.post("/instances", create_body(**more)).json["instance"]["id"]


def create_active(world, caller, **more):
    """Create an instance that is ACTIVE; returns its id."""
    instance_id = create(caller, **more)
    world.activate(instance_id)
    return instance_id
