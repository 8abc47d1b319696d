"""Requests at the same time, on every database engine: each rule holds, whoever is first."""
import datetime
import threading

import pytest
import sqlalchemy

from trove.common import exception
from trove.common.context import TroveContext
from trove.common.instance import ServiceStatuses
from trove.datastore.models import DBDatastore, DBDatastoreVersion
from trove.db import models as db_models
from trove.db.sqlalchemy import tables
from trove.flavor import models as flavors
from trove.instance import actions, create, loading, models
from trove.instance.tasks import InstanceTasks
from trove.operation import models as operations
from trove.taskmanager import api as taskmanager

THREADS = 4


@pytest.fixture
def world(db_each, conf, monkeypatch):
    """A datastore, a flavor, and a task manager that is not there."""
    monkeypatch.setattr(taskmanager.API, "wake", lambda *_args: None)
    flavor = flavors.Flavor("1", "tiny", 512, 1, 5, 0)
    monkeypatch.setattr(flavors, "get_flavor", lambda _flavor_id, _project_id=None: flavor)
    with db_each.writer() as session:
        session.add(DBDatastore(id="d", name="mysql", default_version_id="v"))
        session.flush()
        session.add(DBDatastoreVersion(id="v", datastore_id="d", name="8", image_id="i", active=True, manager="mysql"))
    return db_each


def add_instance(db, tenant="tenant-1", task=InstanceTasks.NONE, **columns):
    """A running instance; returns its id."""
    with db.writer() as session:
        row = models.DBInstance(id=db_models.new_id(), name="i", tenant_id=tenant, volume_size=1, flavor_id="1",
                                datastore_version_id="v", server_status="ACTIVE", task=task, **columns)
        session.add(row)
        session.add(models.InstanceServiceStatus(instance_id=row.id, status=ServiceStatuses.RUNNING))
        return row.id


def at_once(function):
    """Call ``function`` from several threads at the same moment; returns the classes of what each raised, or None."""
    outcomes, together = [], threading.Barrier(THREADS)

    def run():
        together.wait(30)
        try:
            function()
        except exception.TroveError as error:
            outcomes.append(type(error))
        else:
            outcomes.append(None)
    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(outcomes) == THREADS, "a thread died of something else"
    return outcomes


def kinds(db, instance_id):
    with db.reader() as session:
        return sorted(session.execute(sqlalchemy.select(operations.Operation.kind).where(
            operations.Operation.resource_id == instance_id)).scalars())


def test_of_many_restarts_one_wins(world, context):
    instance_id = add_instance(world)
    outcomes = at_once(lambda: actions.restart(context, instance_id))
    assert sorted(outcomes, key=str) == [exception.UnprocessableEntity] * (THREADS - 1) + [None]
    assert kinds(world, instance_id) == ["instance.restart"]


def test_many_deletes_are_one(world, context):
    instance_id = add_instance(world)
    assert at_once(lambda: actions.delete(context, instance_id)) == [None] * THREADS
    assert kinds(world, instance_id) == ["instance.delete"]


def test_a_restart_and_a_delete_end_as_a_delete(world, context):
    instance_id = add_instance(world)
    turns = iter([actions.restart, actions.delete] * THREADS)
    at_once(lambda: next(turns)(context, instance_id))
    with world.reader() as session:
        assert session.get(models.DBInstance, instance_id).task == InstanceTasks.DELETING
        live = {operation.kind: operation.cancel for operation in operations.live_for(session, "instance", instance_id)}
    assert live.pop("instance.delete") is False
    assert live in ({}, {"instance.restart": True})


def test_many_creates_stay_within_the_quota(world, conf, context):
    conf.set_override("max_instances_per_tenant", 2)
    spec = create.Spec(name="i", flavor_id="1", datastore="mysql", volume_size=1)
    outcomes = at_once(lambda: create.create(context, None, spec))
    assert sorted(outcomes, key=str) == [exception.QuotaExceeded] * 2 + [None] * 2
    with world.reader() as session:
        for table in (tables.instances, tables.operations, tables.service_statuses):
            assert session.execute(sqlalchemy.select(sqlalchemy.func.count()).select_from(table)).scalar_one() == 2


def test_what_is_loaded_is_the_same_everywhere(world, context):
    moment = db_models.utcnow()  # one for all: then a list comes in the order of the ids
    ids = sorted(add_instance(world, created=moment) for _ in range(3))
    add_instance(world, tenant="other")
    deleted = add_instance(world, deleted=True)
    with world.writer() as session:
        session.execute(tables.backups.insert().values(id="b", name="b", state="SAVING", instance_id=ids[1],
                                                       deleted=False))
        session.add(models.AgentHeartBeat(instance_id=ids[2], updated_at=db_models.utcnow()))
    with world.reader() as session:
        page, marker = loading.load_page(session, "tenant-1", 2)
        assert ([loaded.id for loaded in page], marker) == (ids[:2], ids[1])
        assert [loaded.status for loaded in page] == ["ACTIVE", "BACKUP"]
        rest, marker = loading.load_page(session, "tenant-1", 2, marker)
        assert ([(loaded.id, loaded.datastore, loaded.version) for loaded in rest], marker) == (
            [(ids[2], "mysql", "8")], None)
        everything, _none = loading.load_page(session, None, None, deleted=None)
        assert len(everything) == 5
        with pytest.raises(exception.NotFound):
            loading.load(session, deleted, context)
        assert loading.load(session, deleted, context, deleted=None).status == "SHUTDOWN"


@pytest.mark.parametrize(("seconds", "expiry", "silent"), [(0, 60, False), (59, 60, False), (62, 60, True)])
def test_silence_begins_after_the_expiry(world, conf, seconds, expiry, silent):
    conf.set_override("agent_heartbeat_expiry", expiry)
    instance_id = add_instance(world)
    with world.writer() as session:
        models.service_status(session, instance_id).updated_at = (
            db_models.utcnow() - datetime.timedelta(seconds=seconds))
    with world.reader() as session:
        assert loading.load(session, instance_id).silent is silent


def test_an_administrator_may_what_others_may_not(world, context):
    instance_id = add_instance(world, tenant="other")
    for action in (actions.restart, actions.delete, actions.reset_status, actions.reset_task):
        with pytest.raises(exception.NotFound):
            action(context, instance_id)
    admin = TroveContext(user_id="root", project_id="ops", roles=["admin"], is_admin=True)
    actions.restart(admin, instance_id)
    actions.delete(admin, instance_id)
