"""Quotas: derived from live rows, never exceeded by requests at the same time, never leaked by what died."""
import threading

import pytest
import sqlalchemy

from trove.common import exception
from trove.datastore.models import DBDatastore, DBDatastoreVersion
from trove.db.sqlalchemy import tables
from trove.instance.models import DBInstance
from trove.instance.tasks import InstanceTasks
from trove.operation import models as operations
from trove.quota import quota

TENANT = "tenant-1"


def add_instance(session, size=1, tenant=TENANT, task=InstanceTasks.NONE, **kwargs):
    instance = DBInstance(name="i", tenant_id=tenant, volume_size=size, datastore_version_id="v", **kwargs)
    instance.task = task
    session.add(instance)
    session.flush()
    return instance


def add_version(db):
    with db.writer() as session:
        session.add(DBDatastore(id="d", name="mysql"))
        session.flush()
        session.add(DBDatastoreVersion(id="v", datastore_id="d", name="8", image_id="i", active=True, manager="mysql"))


@pytest.mark.parametrize(("usage", "delta", "admitted"), [
    (quota.Usage(0, 0, 1), 1, True), (quota.Usage(1, 0, 1), 1, False), (quota.Usage(0, 1, 1), 1, False),
    (quota.Usage(5, 0, 1), 0, True), (quota.Usage(5, 0, 1), -1, True), (quota.Usage(5, 5, -1), 99, True),
    (quota.Usage(0, 0, 0), 1, False), (quota.Usage(3, 1, 9), 5, True), (quota.Usage(3, 1, 9), 6, False),
])
def test_what_a_usage_admits(usage, delta, admitted):
    assert usage.admits(delta) is admitted


def test_usage_is_what_live_rows_amount_to(db_each, conf):
    add_version(db_each)
    with db_each.writer() as session:
        add_instance(session, size=2)
        add_instance(session, size=None, task=InstanceTasks.BUILDING_ERROR_SERVER)
        add_instance(session, size=4, task=InstanceTasks.DELETING)
        add_instance(session, size=8, task=InstanceTasks.DELETING_ERROR)
        add_instance(session, size=16, tenant="another")
        add_instance(session, size=32).soft_delete()
        for deleted in (False, True):
            session.execute(tables.backups.insert().values(
                id=str(deleted), name="b", state="COMPLETED", tenant_id=TENANT, deleted=deleted))
    with db_each.reader() as session:
        assert quota.usages(session, TENANT) == {
            "instances": quota.Usage(2, 0, 5), "volumes": quota.Usage(2, 0, 20), "backups": quota.Usage(1, 0, 50)}


def test_every_resource_that_is_exceeded_is_named(db_each):
    with pytest.raises(exception.QuotaExceeded, match="resources: instances, volumes") as error, \
            db_each.writer() as session:
        quota.reserve(session, TENANT, {"volumes": 21, "instances": 6, "backups": 50})
    assert error.value.code == 413


def test_limits_of_a_tenant_replace_the_defaults(db_each):
    with db_each.writer() as session:
        quota.set_limits(session, TENANT, {"instances": -1, "volumes": 0})
        quota.set_limits(session, TENANT, {"volumes": 7})
    with db_each.writer() as session:
        assert quota.limits(session, TENANT) == {"instances": -1, "volumes": 7, "backups": 50}
        assert quota.limits(session, "another")["instances"] == 5
        quota.reserve(session, TENANT, {"instances": 1000, "volumes": 7})


@pytest.mark.parametrize(("values", "error", "named"), [
    ({"ram": 1}, exception.NotFound, "ram"), ({"instances": -2}, exception.BadValue, "quotas.instances"),
    ({"instances": True}, exception.BadValue, "whole number"), ({"volumes": "7"}, exception.BadValue, "volumes"),
    ({"volumes": 2 ** 31}, exception.BadValue, "volumes"),
])
def test_wrong_limits_are_named(db, values, error, named):
    with db.writer() as session, pytest.raises(error, match=named):
        quota.set_limits(session, TENANT, values)


def test_an_unknown_resource_cannot_be_reserved(db):
    with db.writer() as session, pytest.raises(exception.NotFound, match="ram"):
        quota.reserve(session, TENANT, {"ram": 1})


def test_a_reservation_lives_as_long_as_its_operation(db_each, context):
    with db_each.writer() as session:
        growth = operations.begin(session, "instance.resize_volume", "instance", "i-1", context)
        quota.reserve(session, TENANT, {"volumes": 15}, operation_id=growth.id)
    with db_each.writer() as session:
        assert quota.usages(session, TENANT)["volumes"] == quota.Usage(0, 15, 20)
        with pytest.raises(exception.QuotaExceeded):
            quota.reserve(session, TENANT, {"volumes": 6})
    with db_each.writer() as session:
        operations.claim(session, growth.id, "me", 30)
        operations.update_held(session, growth.id, "me", **operations.end_values(operations.FAILED))
    with db_each.writer() as session:
        assert quota.usages(session, TENANT)["volumes"].reserved == 0
        again = operations.begin(session, "instance.resize_volume", "instance", "i-1", context)
        quota.reserve(session, TENANT, {"volumes": 20}, operation_id=again.id)
        session.flush()
        assert session.execute(sqlalchemy.select(tables.reservations.c.operation_id)).scalars().all() == [again.id]


def test_requests_at_the_same_time_cannot_exceed_together(db_each, conf):
    """Twelve requests for one instance of 2 GB each, where 5 instances but only 7 GB are allowed."""
    add_version(db_each)
    conf.set_override("max_volumes_per_tenant", 7)
    won, lost, broken = [], [], []
    start = threading.Barrier(12)

    @db_each.retry_lost_races
    def request():
        with db_each.writer() as session:
            session.execute(sqlalchemy.select(sqlalchemy.func.count(tables.instances.c.id))).scalar()
            quota.reserve(session, TENANT, {"instances": 1, "volumes": 2})
            add_instance(session, size=2)

    def run():
        start.wait()
        try:
            request()
            won.append(1)
        except exception.QuotaExceeded:
            lost.append(1)
        except Exception as error:
            broken.append(error)

    threads = [threading.Thread(target=run) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert broken == []
    assert (len(won), len(lost)) == (3, 9)
    with db_each.reader() as session:
        assert quota.usages(session, TENANT)["volumes"].in_use == 6
        row = session.execute(sqlalchemy.select(tables.quota_usages.c.in_use).where(
            tables.quota_usages.c.resource == "volumes")).scalar_one()
        assert row == 6


def test_usages_cost_one_statement(db, statements):
    with db.reader() as session:
        quota.usages(session, TENANT)
    assert len(statements) == 1


def test_a_driver_of_another_kind_is_refused_by_name(db, conf):
    conf.set_override("quota_driver", "trove.quota.quota.Usage")
    with db.reader() as session, pytest.raises(ValueError, match="option quota_driver.*must be a subclass"):
        quota.limits(session, TENANT)
