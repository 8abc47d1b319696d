"""Which notification tells of which operation, and with which traits."""
import json
from types import SimpleNamespace

import pytest
import sqlalchemy

from trove.common import exception
from trove.common.context import TroveContext
from trove.db.sqlalchemy import tables
from trove.notification import events, usage
from trove.operation import models as operations
from trove.taskmanager.flows import FLOWS

CREATE = {"name": "m1", "flavor": {"id": "7"}, "image_id": "img", "availability_zone": None, "volume_size": 2,
          "datastore": {"name": "mysql", "version": "8"}, "databases": [{"_name": "db1"}], "nics": [],
          "user_names": ["u1", "u2"],
          "backup_id": None}
BACKUP = {"name": "b", "instance_id": "i", "description": None, "parent_id": "p", "backup_type": "x"}
TABLE = [
    ("instance.create", CREATE, "instance_create", {
        "instance_id": "r", "name": "m1", "flavor_id": "7", "datastore": "mysql", "datastore_version": "8",
        "image_id": "img", "availability_zone": None, "databases": ["db1"], "users": ["u1", "u2"], "volume_size": 2}),
    ("instance.create", {**CREATE, "backup_id": "b", "databases": [], "user_names": [], "volume_size": None,
                         "nics": [{"net-id": "n"}]}, "instance_create", {
        "instance_id": "r", "name": "m1", "flavor_id": "7", "datastore": "mysql", "datastore_version": "8",
        "image_id": "img", "availability_zone": None, "backup_id": "b", "nics": [{"net-id": "n"}]}),
    ("instance.delete", {}, "instance_delete", {"instance_id": "r"}),
    ("instance.restart", {}, "instance_restart", {"instance_id": "r"}),
    ("instance.promote", {}, "instance_promote", {"instance_id": "r"}),
    ("instance.eject", {}, "instance_eject", {"instance_id": "r"}),
    ("instance.detach", {}, "instance_detach", {"instance_id": "r"}),
    ("instance.resize_volume", {"size": 3}, "instance_resize_volume", {"instance_id": "r", "new_size": 3}),
    ("instance.resize_flavor", {"flavor": {"id": "8"}}, "instance_resize_instance",
     {"instance_id": "r", "new_flavor_id": "8"}),
    ("instance.configure", {"event": "instance_attach_configuration", "configuration_id": "c"},
     "instance_attach_configuration", {"instance_id": "r", "configuration_id": "c"}),
    ("instance.configure", {"event": "instance_detach_configuration"}, "instance_detach_configuration",
     {"instance_id": "r"}),
    ("instance.configure", {}, "instance_configure", {"instance_id": "r"}),
    ("backup.create", BACKUP, "backup_create",
     {"backup_id": "r", "name": "b", "instance_id": "i", "description": None, "parent_id": "p"}),
    ("backup.delete", {"ids": ["r"]}, "backup_delete", {"backup_id": "r"}),
    ("instance.reboot", {}, "instance_reboot", {"instance_id": "r"}),
    ("instance.start", {}, "instance_start", {"instance_id": "r"}),
    ("instance.stop", {}, "instance_stop", {"instance_id": "r"}),
    ("instance.migrate", {"host": None}, "instance_migrate", {"instance_id": "r"}),
    ("share.tear", {}, "share_tear", {"share_id": "r"}),
]


@pytest.mark.parametrize(("kind", "args", "name", "traits"), TABLE)
def test_names_and_traits(kind, args, name, traits):
    operation = SimpleNamespace(kind=kind, args=args, resource_id="r", resource_type=kind.partition(".")[0])
    assert events.of_operation(operation) == (name, traits)


def test_every_flow_has_a_name():
    """A kind that is not named would be told under its own name."""
    assert set(FLOWS) - events.INTERNAL <= set(events.OPERATIONS)
    assert set(usage.EVENTS) <= set(events.OPERATIONS)


@pytest.fixture
def told(conf, db):
    """A function that gives [(event type, payload)] of what waits to be sent."""
    conf.set_override("driver", ["test"], group="oslo_messaging_notifications")

    def waiting():
        with db.reader() as session:
            return [(row.event_type, json.loads(row.payload)) for row in session.execute(
                sqlalchemy.select(tables.notifications).order_by(tables.notifications.c.id))]
    return waiting


CONTEXT = {"user_id": "u", "project_id": "t", "request_id": "req-1", "client_ip": "10.0.0.9", "server_ip": "api:8779"}
BASE = {"tenant_id": "t", "client_ip": "10.0.0.9", "server_ip": "api:8779", "server_type": "api",
        "request_id": "req-1"}


def begin(session):
    return operations.begin(session, "instance.restart", "instance", "r", TroveContext(overwrite=False, **CONTEXT))


def test_an_operation_is_told_if_and_only_if_it_is_committed(told, db):
    with pytest.raises(ZeroDivisionError), db.writer() as session:
        begin(session)
        raise ZeroDivisionError
    assert told() == []
    with db.writer() as session:
        operation = begin(session)
    assert told() == [("dbaas.instance_restart.start", {**BASE, "instance_id": "r"})]
    with db.writer() as session:
        events.ended(session, operation)
        events.failed(session, operation, "it broke", OSError("x"))
    assert told()[1:] == [
        ("dbaas.instance_restart.end", {**BASE, "server_type": "taskmanager", "instance_id": "r"}),
        ("dbaas.instance_restart.error", {**BASE, "server_type": "taskmanager", "instance_id": "r",
                                          "message": "it broke", "exception": "OSError"})]


def test_what_the_control_plane_begins_by_itself_is_its_own(told, db):
    with db.writer() as session:
        operations.begin(session, "instance.start", "instance", "r", TroveContext(overwrite=False))
    (event_type, payload), = told()
    assert (event_type, payload["server_type"]) == ("dbaas.instance_start.start", "taskmanager")


def test_what_the_api_does_by_itself_is_told(told):
    context = TroveContext(overwrite=False, **CONTEXT)
    with events.told(context, "configuration_create", name="c") as more:
        more["configuration_id"] = "c-1"
    with pytest.raises(exception.NotFound), events.told(context, "user_delete", instance_id="r", username="bob"):
        raise exception.NotFound(resource="user", id="bob")
    assert told() == [
        ("dbaas.configuration_create.start", {**BASE, "name": "c"}),
        ("dbaas.configuration_create.end", {**BASE, "name": "c", "configuration_id": "c-1"}),
        ("dbaas.user_delete.start", {**BASE, "instance_id": "r", "username": "bob"}),
        ("dbaas.user_delete.error", {**BASE, "instance_id": "r", "username": "bob", "exception": "NotFound",
                                     "message": str(exception.NotFound(resource="user", id="bob"))})]


def test_without_a_driver_nothing_is_written(told, conf, db):
    conf.clear_override("driver", group="oslo_messaging_notifications")
    with db.writer() as session:
        begin(session)
    with events.told(TroveContext(overwrite=False), "user_delete"):
        pass
    assert told() == []


def test_the_older_option_names_drivers_too(told, conf, db):
    conf.clear_override("driver", group="oslo_messaging_notifications")
    conf.set_override("notification_driver", ["messagingv2"])
    with db.writer() as session:
        begin(session)
    assert len(told()) == 1
