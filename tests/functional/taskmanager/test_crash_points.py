"""The process that carries out an operation is killed at every point of every registered flow, and another takes over.

Killing is a BaseException that no code of ours catches; the database, the cloud (over HTTP), the broker and the guests
go on living. A flow without a SCENARIO fails ``test_every_flow_has_a_scenario``; a step that its scenario does not
come to fails its own cases, since these insist on having killed.
"""
import contextlib
import dataclasses

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fakes import agent as fake_agent
from tests.fakes import guest
from tests.fakes.agent import GUESTS
from tests.functional.taskmanager.conftest import NOTHING, ONE
from trove.backup import archives, store
from trove.common import cfg, crypto, exception, remote, sealing
from trove.common.cfg import CONF
from trove.common.instance import ServiceStatuses
from trove.db import get_db_api, guest_secrets
from trove.guestagent.db.models import Database
from trove.instance import models, rotation
from trove.instance.tasks import InstanceTasks
from trove.operation import models as operations
from trove.taskmanager import archiving
from trove.taskmanager.flow import Again
from trove.taskmanager.flows import FLOWS


class Killed(BaseException):
    """The process is gone."""


class LostAnswer(requests.ConnectionError):
    """The connection broke: the request may have had its effect, or not."""


def failing_create(world):
    """A creation whose guest fails at the end, so that everything is undone."""
    GUESTS.builds = False
    return world.create()


def create(world):
    """A creation that succeeds."""
    return world.create()


def configure(world):
    """A change of the group that is attached to an instance which is ACTIVE: one value given, one taken away."""
    instance_id = world.built()
    world.attach(instance_id, {"max_connections": 100})
    return instance_id, world.configure(instance_id, ["wait_timeout"])


def restart_configured(world):
    """A restart of an instance that waits for it, since a value of its group needs it."""
    instance_id = world.built()
    world.attach(instance_id, {"max_connections": 100}, restart_required=["max_connections"])
    world.run(world.configure(instance_id))
    assert world.instance(instance_id).task is InstanceTasks.RESTART_REQUIRED
    GUESTS.overrides.clear()
    return instance_id, world.restart(instance_id)


def reboot_configured(world):
    """The same with a reboot."""
    instance_id = world.built()
    world.attach(instance_id, {"max_connections": 100}, restart_required=["max_connections"])
    world.run(world.configure(instance_id))
    GUESTS.overrides.clear()
    return instance_id, world.reboot(instance_id)


def stop(world):
    """A stop of an instance that is ACTIVE."""
    instance_id = world.built()
    return instance_id, world.stop(instance_id)


def delete(world):
    """A deletion of an instance that is ACTIVE."""
    instance_id = world.built()
    return instance_id, world.delete(instance_id)


def take_backup(world):
    """An increment on a backup that is there; logs are archived."""
    world.archive()
    instance_id = world.built()
    parent, operation_id = world.backup(instance_id)
    world.run(operation_id)
    return instance_id, world.backup(instance_id, parent_id=parent)[1]


def failing_backup(world):
    """A backup whose guest fails; logs are archived."""
    world.archive()
    instance_id = world.built()
    GUESTS.builds = False
    return instance_id, world.backup(instance_id)[1]


def delete_backup(world):
    """A deletion of a backup with an increment."""
    instance_id, operation_id = take_backup(world)
    world.run(operation_id)
    parent = next(row for row in world.backup_rows() if row.parent_id is None and not row.deleted)
    return instance_id, world.delete_backup(parent.id)


def snapshot(world):
    """The snapshot of a source for a replica, which another task manager makes of it meanwhile."""
    instance_id = world.built()
    [_], world.companions, operation_id = world.replicate(instance_id)
    return instance_id, operation_id


def failing_snapshot(world):
    """A snapshot whose guest fails."""
    instance_id, operation_id = snapshot(world)
    GUESTS.builds = False  # also the servers of replicas, but there will be no snapshot for them
    return instance_id, operation_id


def create_replica(world):
    """A replica, while another task manager takes the snapshot."""
    source_id = world.built()
    [instance_id], [operation_id], companion = world.replicate(source_id)
    world.companions = [companion]
    return instance_id, operation_id


def failing_replica(world):
    """A replica whose guest fails, so that everything is undone."""
    found = create_replica(world)
    fail_at_prepare = lambda instance_id, method: setattr(GUESTS, "builds", method != "prepare")  # noqa: E731
    GUESTS.answer = fail_at_prepare
    return found


def detach(world):
    """A replica becomes an instance of its own."""
    _, [instance_id] = world.replicated(1)
    return instance_id, world.detach(instance_id)


def failing_detach(world):
    """The same, and its source cannot be told."""
    found = detach(world)

    def answer(_instance_id, method):
        if method == "cleanup_source_on_replica_detach" and world.instance(
                found[0]).task is InstanceTasks.DETACHING:
            raise exception.NotFound("refused by the test")
    GUESTS.answer = answer
    return found


def promote(world):
    """A replica and its source change places; another replica looks on."""
    source_id, [instance_id, other] = world.replicated()
    scheduled(source_id, instance_id, other)
    return instance_id, world.promote(instance_id)


def scheduled(source_id, *replica_ids):
    """Two events, of which one runs, at a source; replicas have them switched off."""
    GUESTS.servers[source_id].events = {"runs": "enabled", "rests": "disabled"}
    for replica_id in replica_ids:
        GUESTS.servers[replica_id].events = {"runs": "replica", "rests": "replica"}


def failing_promote(world):
    """The same, and the candidate refuses to be opened."""
    source_id, [instance_id] = world.replicated(1)
    scheduled(source_id, instance_id)
    GUESTS.sealed.add(instance_id)
    return instance_id, world.promote(instance_id)


def eject(world):
    """A silent source with two replicas; the second has more of it."""
    source_id, [other, best] = world.replicated()
    scheduled(source_id, other, best)
    GUESTS.servers[best].txn += 5
    return source_id, world.eject(source_id)


def failing_eject(world):
    """The same, and the best replica refuses to be opened."""
    source_id, replicas = world.replicated(1)
    GUESTS.sealed.update(replicas)
    return source_id, world.eject(source_id)


def follows(world, replica_id, source_id):
    """Whether one instance is a replica of another, by the rows and by its guest."""
    server = GUESTS.servers[replica_id]
    assert world.instance(replica_id).slave_of_id == source_id
    assert server.follows == world.instance(source_id).address_list[0]["address"]
    assert server.read_only
    assert cfg.traits("mysql").replica_account.user(replica_id) in GUESTS.servers[source_id].accounts
    return True


def stands_alone(world, instance_id):
    """Whether an instance follows nobody and takes writes."""
    server = GUESTS.servers[instance_id]
    return (world.instance(instance_id).slave_of_id, server.follows, server.read_only) == (None, None, False)


def check_detached(world, instance_id, operation):
    assert operation.state == operations.DONE, operation.error
    assert stands_alone(world, instance_id)
    assert world.instance(instance_id).task is InstanceTasks.NONE
    assert not GUESTS.servers[operation.args["source"]].accounts


def check_detach_undone(world, instance_id, operation):
    assert operation.state == operations.FAILED
    assert world.instance(instance_id).task is InstanceTasks.NONE
    assert world.fault(instance_id) is not None
    assert follows(world, instance_id, operation.args["source"])


def check_promoted(world, instance_id, operation):
    assert operation.state == operations.DONE, operation.error
    assert stands_alone(world, instance_id)
    for other in {operation.args["source"], *operation.args["replicas"]} - {instance_id}:
        assert follows(world, other, instance_id)
        assert world.instance(other).task is InstanceTasks.NONE
        assert world.fault(other) is None
        assert "enabled" not in GUESTS.servers[other].events.values()
    assert GUESTS.servers[instance_id].events == {"runs": "enabled", "rests": "replica"}
    assert world.instance(instance_id).task is InstanceTasks.NONE


def check_promote_undone(world, instance_id, operation):
    assert operation.state == operations.FAILED
    assert "not_undone" not in operation.data
    source_id = operation.args["source"]
    assert stands_alone(world, source_id)
    assert GUESTS.servers[source_id].events == {"runs": "enabled", "rests": "disabled"}
    for replica_id in operation.args["replicas"]:
        assert follows(world, replica_id, source_id)
        assert "enabled" not in GUESTS.servers[replica_id].events.values()
    for each in (source_id, *operation.args["replicas"]):
        assert world.instance(each).task is InstanceTasks.NONE
    assert "refused by the test" in world.fault(instance_id).message


def check_ejected(world, instance_id, operation):
    assert operation.state == operations.DONE, operation.error
    other, best = operation.args["replicas"]
    best, other = (best, other) if GUESTS.servers[best].txn > GUESTS.servers[other].txn else (other, best)
    assert operation.data["candidate"] == best
    assert stands_alone(world, best)
    assert follows(world, other, best)
    assert world.instance(instance_id).slave_of_id is None
    assert "ejected" in world.fault(instance_id).message
    assert "The events db1.runs, db1.rests came from the ejected source" in world.fault(best).message
    assert "ALTER EVENT" in world.fault(best).message
    assert world.instance(instance_id).server_status == "SHUTOFF"
    for each in (instance_id, best, other):
        assert world.instance(each).task is InstanceTasks.NONE
    assert remote.nova_client().servers.get(world.instance(instance_id).compute_instance_id).status == "SHUTOFF"


def check_eject_undone(world, instance_id, operation):
    assert operation.state == operations.FAILED
    assert "not_undone" not in operation.data
    for replica_id in operation.args["replicas"]:
        assert follows(world, replica_id, instance_id)
        assert world.instance(replica_id).task is InstanceTasks.NONE
    assert "refused by the test" in world.fault(instance_id).message
    assert remote.nova_client().servers.get(world.instance(instance_id).compute_instance_id).status == "ACTIVE"


def check_snapshot(world, source_id, operation):
    assert operation.state == operations.DONE, operation.error
    [creation] = world.companions
    assert world.operation(creation).state == operations.DONE, world.operation(creation).error
    check_replica(world, world.operation(creation).resource_id, world.operation(creation))
    assert world.instance(source_id).task is InstanceTasks.NONE


def check_replica(world, instance_id, operation):
    assert operation.state == operations.DONE, operation.error
    for companion in world.companions:
        world.run(companion, "heir")
    row = world.instance(instance_id)
    assert row.task is InstanceTasks.NONE
    server = GUESTS.servers[instance_id]
    assert (server.follows, server.read_only) == (world.instance(row.slave_of_id).address_list[0]["address"], True)
    assert len(GUESTS.servers[row.slave_of_id].accounts) == 1
    assert world.objects() == []
    assert all(backup.deleted for backup in world.backup_rows())
    assert world.counts() == {name: 2 * count for name, count in ONE.items()}


def check_snapshot_undone(world, source_id, operation):
    assert operation.state == operations.FAILED
    assert "not_undone" not in operation.data
    assert "the disk of the test is full" in operation.error
    [creation] = world.companions
    world.run(creation, "heir")
    fault = world.fault(world.operation(creation).resource_id)
    assert "the disk of the test is full" in fault.message
    assert world.instance(world.operation(creation).resource_id).task is InstanceTasks.BUILDING_ERROR_REPLICA
    assert world.objects() == []
    assert world.counts() == ONE
    assert not GUESTS.servers[source_id].accounts


def check_replica_undone(world, instance_id, operation):
    assert operation.state == operations.FAILED
    assert "not_undone" not in operation.data
    for companion in world.companions:
        world.run(companion, "heir")
    assert world.instance(instance_id).task is InstanceTasks.BUILDING_ERROR_REPLICA
    assert world.objects() == []
    assert world.counts() == ONE
    assert not GUESTS.servers[world.instance(instance_id).slave_of_id].accounts


def start(world):
    """An instance whose guest has crashed."""
    instance_id = world.built()
    world.crash(instance_id)
    [operation_id] = world.revive()
    return instance_id, operation_id


def check_started(world, instance_id, operation):
    check_built(world, instance_id, operation)
    assert world.server(instance_id).status == "ACTIVE"


def migrate(world):
    """An instance for another host."""
    instance_id = world.built()
    world.attach(instance_id, {"max_connections": 100})
    return instance_id, world.migrate(instance_id)


def failing_migration(world):
    """The same with a database that does not start there."""
    instance_id, operation_id = migrate(world)

    def refuse(_instance_id, method):
        if method == "restart" and world.operation(operation_id).state == operations.RUNNING:
            raise exception.GuestError(original="the test does not want it.")
    GUESTS.answer = refuse
    return instance_id, operation_id


def check_migrated(world, instance_id, operation):
    check_restarted(world, instance_id, operation)
    assert world.server(instance_id).status == "ACTIVE"


def check_not_migrated(world, instance_id, operation):
    check_as_before(world, instance_id, operation, "the test does not want it")


def resize_flavor(world):
    """Another flavor for an instance with a configuration group that waits for a restart."""
    instance_id = world.built()
    world.attach(instance_id, {"max_connections": 100}, restart_required=["max_connections"])
    world.run(world.configure(instance_id))
    GUESTS.overrides.clear()
    return instance_id, world.resize_flavor(instance_id, "2")


def failing_resize_flavor(world):
    """The same with a database that does not start with the settings for it."""
    GUESTS.unfit = "buffer_pool = 1024"
    return resize_flavor(world)


def resize_volume(world):
    """A larger volume where it has to be detached for that."""
    CONF.set_override("volume_resize_attached", False)
    instance_id = world.built()
    world.attach(instance_id, {"max_connections": 100}, restart_required=["max_connections"])
    world.run(world.configure(instance_id))
    GUESTS.overrides.clear()
    return instance_id, world.resize_volume(instance_id, 2)


def failing_resize_volume(world):
    """The same with a file system that cannot grow."""
    def refuse(_instance_id, method):
        if method == "resize_fs":
            raise exception.GuestError(original="the file system is damaged.")
    GUESTS.answer = refuse
    return resize_volume(world)


def resize_replicas(world):
    """The same for a source and its replica; each has a group and waits for a restart."""
    CONF.set_override("volume_resize_attached", False)
    source_id, [replica_id] = world.replicated(1)
    world.attach(source_id, {"max_connections": 100}, restart_required=["max_connections"])
    world.run(world.configure(source_id))
    with world.db.writer() as session:
        models.DBInstance.get(session, replica_id).configuration_id = world.instance(source_id).configuration_id
    world.run(world.configure(replica_id))
    GUESTS.overrides.clear()
    return source_id, world.resize_volume(source_id, 2)


def failing_resize_replicas(world):
    """The same, and the file system of the replica cannot grow."""
    found = resize_replicas(world)

    def refuse(instance_id, method):
        if method == "resize_fs" and instance_id != found[0]:
            raise exception.GuestError(original="the file system is damaged.")
    GUESTS.answer = refuse
    return found


def check_replicas_grown(world, source_id, operation):
    assert operation.state == operations.DONE, operation.error
    for instance_id in (source_id, *operation.args["replicas"]):
        row = world.instance(instance_id)
        assert (row.task, row.volume_size, GUESTS.filesystems[instance_id]) == (InstanceTasks.NONE, 2, 2)
        assert world.service_status(instance_id) is ServiceStatuses.RUNNING
        assert GUESTS.overrides[instance_id] == {"max_connections": 100}
        assert world.fault(instance_id) is None
        check_volume(world, instance_id)


def check_replicas_not_grown(world, source_id, operation):
    [replica_id] = operation.args["replicas"]
    assert operation.state == operations.FAILED
    assert "not_undone" not in operation.data
    assert f"Replica {replica_id}: " in world.fault(source_id).message
    assert "the file system is damaged" in world.fault(source_id).message
    assert world.volume(source_id).size == 1
    for instance_id in (source_id, replica_id):
        assert world.instance(instance_id).volume_size == 1
        assert world.service_status(instance_id) is ServiceStatuses.RUNNING
    # The source was not touched, so its restart is still due.
    assert world.instance(source_id).task is InstanceTasks.RESTART_REQUIRED
    assert world.instance(replica_id).task is InstanceTasks.NONE
    check_volume(world, replica_id)


def check_resized(world, instance_id, operation):
    check_restarted(world, instance_id, operation)
    assert world.instance(instance_id).flavor_id == world.server(instance_id).flavor["id"] == "2"
    assert GUESTS.contents[instance_id] == "buffer_pool = 1024\n"


def check_not_resized(world, instance_id, operation):
    check_as_before(world, instance_id, operation, "ended right after its start")
    assert world.instance(instance_id).flavor_id == world.server(instance_id).flavor["id"] == "1"
    assert GUESTS.contents[instance_id] == "buffer_pool = 512\n"


def check_grown(world, instance_id, operation):
    check_restarted(world, instance_id, operation)
    assert world.instance(instance_id).volume_size == GUESTS.filesystems[instance_id] == 2
    check_volume(world, instance_id)


def check_not_grown(world, instance_id, operation):
    check_as_before(world, instance_id, operation, "the file system is damaged")
    assert world.instance(instance_id).volume_size == 1
    check_volume(world, instance_id)


def check_volume(world, instance_id):
    assert (world.volume(instance_id).size, world.volume(instance_id).status) == (2, "in-use")
    assert world.volume(instance_id).attachments[0]["server_id"] == world.instance(instance_id).compute_instance_id
    assert instance_id in GUESTS.mounted


def check_as_before(world, instance_id, operation, cause):
    assert operation.state == operations.FAILED
    assert "not_undone" not in operation.data
    assert operation.step == operation.error_step
    assert cause in world.fault(instance_id).message
    assert world.instance(instance_id).task is InstanceTasks.NONE
    assert world.instance(instance_id).server_status == world.server(instance_id).status == "ACTIVE"
    assert world.service_status(instance_id) is ServiceStatuses.RUNNING
    assert GUESTS.overrides[instance_id] == {"max_connections": 100}
    assert world.counts() == ONE


def check_backed_up(world, instance_id, operation):
    assert operation.state == operations.DONE, operation.error
    live = [row for row in world.backup_rows() if not row.deleted]
    full, increment = sorted(live, key=lambda row: row.parent_id is not None)
    assert (full.state, increment.state) == ("COMPLETED", "COMPLETED")
    assert increment.parent_id == full.id
    for row in (full, increment):
        assert store.manifest(store.place(row.id, row.location))[0] == row.checksum
        assert row.location.endswith(f"/database_backups_{row.id}/{row.id}.xbstream.gcm")
        assert row.segments == 1 and row.uploaded > 0
    metadata = store.manifest(store.place(increment.id, increment.location))[1]
    assert (metadata["lsn"], metadata["parent_location"], metadata["segments"]) == ("1234", full.location, "1")
    assert GUESTS.called("create_backup")[-1]["backup_info"]["parent"]["metadata"]["lsn"] == "1234"
    with world.db.reader() as session:
        [archive] = session.query(archives.DBArchive).filter_by(instance_id=instance_id).all()
    assert GUESTS.archives[instance_id] == [archive.id, 0]
    assert all((row.archive_id, row.archive_piece) == (archive.id, 0) and row.archive_since for row in live)
    world.run(world.delete_backup(full.id))
    archiving.look_at_archives()
    assert world.objects() == []


def check_backup_undone(world, _instance_id, operation):
    assert operation.state == operations.FAILED
    assert "not_undone" not in operation.data
    assert "the disk of the test is full" in operation.error
    assert world.backup_rows()[-1].state == "FAILED"
    archiving.look_at_archives()
    assert world.objects() == []


def check_backup_deleted(world, _instance_id, operation):
    assert operation.state == operations.DONE, operation.error
    assert all(row.deleted for row in world.backup_rows())
    archiving.look_at_archives()
    assert world.objects() == []


def check_built(world, instance_id, operation):
    assert operation.state == operations.DONE, operation.error
    assert world.instance(instance_id).task is InstanceTasks.NONE
    assert world.instance(instance_id).server_status == "ACTIVE"
    assert world.service_status(instance_id) is ServiceStatuses.RUNNING
    assert world.fault(instance_id) is None
    assert world.counts() == ONE


def check_stopped(world, instance_id, operation):
    assert operation.state == operations.DONE, operation.error
    assert world.instance(instance_id).task is InstanceTasks.NONE
    assert world.service_status(instance_id) is ServiceStatuses.SHUTDOWN
    assert world.fault(instance_id) is None
    assert world.counts() == ONE


def allow(world):
    """A change of who may connect to an instance that is ACTIVE."""
    instance_id = world.built()
    return instance_id, world.allow(instance_id, "198.51.100.7/32", "203.0.113.0/24")


def check_allowed(world, instance_id, operation):
    check_built(world, instance_id, operation)
    assert world.cidrs(instance_id) == (["198.51.100.7/32", "203.0.113.0/24"],) * 2


def check_configured(world, instance_id, operation):
    check_built(world, instance_id, operation)
    assert GUESTS.overrides[instance_id] == {"max_connections": 100}
    assert GUESTS.variables[instance_id] == {"max_connections": 100, "wait_timeout": None}


def check_restarted(world, instance_id, operation):
    check_built(world, instance_id, operation)
    assert GUESTS.overrides[instance_id] == {"max_connections": 100}


def check_undone(world, instance_id, operation):
    assert operation.state == operations.FAILED
    assert "not_undone" not in operation.data
    assert world.instance(instance_id).task is InstanceTasks.BUILDING_ERROR_SERVER
    assert "could not build" in world.fault(instance_id).message
    assert world.fault(instance_id).request_id == world.context.request_id
    assert world.counts() == NOTHING


def check_deleted(world, instance_id, operation):
    assert operation.state == operations.DONE, operation.error
    assert world.instance(instance_id).deleted
    assert world.service_status(instance_id) is ServiceStatuses.DELETED
    assert world.counts() == NOTHING


@dataclasses.dataclass(frozen=True)
class Scenario:
    """begin(world) -> (instance id, operation id); check(world, instance id, ended operation)."""

    begin: object
    check: object


def rotate(world):
    """New secrets for the guest of an instance that is ACTIVE, once more."""
    instance_id = world.built()
    world.report(instance_id)
    world.run(rotation.begin(instance_id))
    return instance_id, rotation.begin(instance_id)


def check_rotated(world, instance_id, operation):
    check_built(world, instance_id, operation)
    with world.db.reader() as session:
        assert guest_secrets.generations(session, instance_id) == (2, None)
        assert guest_secrets.accounts(session, instance_id) == ([2], [])
    account = f"guest-{instance_id}.2"
    assert set(world.broker.users) == {account}
    sealed = GUESTS.called("rotate_secrets")[-1]["sealed"]
    files = dict(sealing.unseal(crypto.guest_key(instance_id, 1), sealed))
    assert crypto.guest_key(instance_id, 2) in files["guest_info.conf"]
    assert not GUESTS.called("install_certificate")  # there is no CA
    assert f"{account}:{world.broker.users[account]['password']}@" in files["guest_info.conf"]


DATABASE, USER = {"_name": "new"}, {"_name": "eve", "_host": "%", "_password": "p", "_databases": [{"_name": "old"}]}
BOB = {"username": "bob", "hostname": "%"}
# Kind -> (arguments of a change for a guest with the user bob, who may use the one database, what then holds there).
CHANGES = {
    "database.create": ({"databases": [DATABASE]}, lambda there: sorted(there.databases) == ["new", "old"]),
    "database.delete": ({"database": {"_name": "old"}}, lambda there: there.databases == {}),
    "user.create": ({"users": [USER]}, lambda there: there.users["eve", "%"]["_password"] == "p"),
    "user.delete": ({"user": {"_name": "bob", "_host": "%"}}, lambda there: there.users == {}),
    "user.change_password": ({"users": [{"name": "bob", "host": "%", "password": "n"}]},
                             lambda there: there.users["bob", "%"]["_password"] == "n"),
    "user.update_attributes": ({**BOB, "user_attrs": {"name": "al", "password": "n"}},
                               lambda there: {key: user["_password"] for key, user in there.users.items()} == {
                                   ("al", "%"): "n"}),
    "user.grant": ({**BOB, "databases": ["more"]}, lambda there: len(there.users["bob", "%"]["_databases"]) == 2),
    "user.revoke": ({**BOB, "database": "old"}, lambda there: there.users["bob", "%"]["_databases"] == []),
}


def change_scenario(kind):
    """A change of databases or users of an instance that is ACTIVE; the answer to the first command gets lost."""
    arguments, holds = CHANGES[kind]

    def begin(world):
        instance_id = world.built()
        world.report(instance_id)
        there = guest.guest(instance_id)
        there.databases["old"] = Database("old")
        there.users["bob", "%"] = {"_name": "bob", "_host": "%", "_password": "o", "_databases": [{"_name": "old"}]}
        there.lost = 1
        return instance_id, world.change(instance_id, kind, arguments)

    def check(world, instance_id, operation):
        check_built(world, instance_id, operation)
        assert holds(guest.guest(instance_id))
        assert operation.secrets is None
    return Scenario(begin, check)


SCENARIOS = {
    **{kind: change_scenario(kind) for kind in CHANGES},
    "guest.rotate": Scenario(rotate, check_rotated),
    "instance.create": Scenario(create, check_built),
    "instance.configure": Scenario(configure, check_configured),
    "instance.restart": Scenario(restart_configured, check_restarted),
    "instance.reboot": Scenario(reboot_configured, check_restarted),
    "instance.stop": Scenario(stop, check_stopped),
    "instance.access": Scenario(allow, check_allowed),
    "instance.delete": Scenario(delete, check_deleted),
    "instance.resize_flavor": Scenario(resize_flavor, check_resized),
    "instance.resize_volume": Scenario(resize_volume, check_grown),
    "instance.start": Scenario(start, check_started),
    "instance.migrate": Scenario(migrate, check_migrated),
    "backup.create": Scenario(take_backup, check_backed_up),
    "backup.delete": Scenario(delete_backup, check_backup_deleted),
    "backup.snapshot": Scenario(snapshot, check_snapshot),
    "instance.detach": Scenario(detach, check_detached),
    "instance.promote": Scenario(promote, check_promoted),
    "instance.eject": Scenario(eject, check_ejected),
}
UNDO_SCENARIOS = {"instance.create": Scenario(failing_create, check_undone),
                  "instance.resize_flavor": Scenario(failing_resize_flavor, check_not_resized),
                  "instance.migrate": Scenario(failing_migration, check_not_migrated),
                  "instance.resize_volume": Scenario(failing_resize_volume, check_not_grown),
                  "backup.create": Scenario(failing_backup, check_backup_undone),
                  "backup.snapshot": Scenario(failing_snapshot, check_snapshot_undone),
                  "instance.detach": Scenario(failing_detach, check_detach_undone),
                  "instance.promote": Scenario(failing_promote, check_promote_undone),
                  "instance.eject": Scenario(failing_eject, check_eject_undone)}
# The same flow for a replica does more.
REPLICA_SCENARIOS = {"do": Scenario(create_replica, check_replica),
                     "undo": Scenario(failing_replica, check_replica_undone)}

# And a resize of a source and its replicas.
RESIZE_SCENARIOS = {"do": Scenario(resize_replicas, check_replicas_grown),
                    "undo": Scenario(failing_resize_replicas, check_replicas_not_grown)}

# Their scenarios take a second each, for several servers or for what comes before: not for the quick tests.
LONG = ("instance.resize_flavor", "instance.resize_volume", "instance.migrate", "instance.detach", "instance.promote",
        "instance.eject", "backup.snapshot",
        *(kind for kind in CHANGES if kind not in ("database.create", "user.update_attributes", "user.revoke")))
# The steps with replicas have a test of their own.
WITH_REPLICAS = [step for step in FLOWS["instance.resize_volume"].steps if step.name.startswith("replicas_")]
CASES = [pytest.param(kind, step.name, verb, marks=[pytest.mark.slow] if kind in LONG else [])
         for verb in ("do", "undo") for kind, flow in FLOWS.items() for step in flow.steps
         if getattr(step, verb) and step not in WITH_REPLICAS]
POINTS = ("before its effect", "after its effect", "after its commit")


def test_every_flow_has_a_scenario():
    assert set(SCENARIOS) == set(FLOWS)
    assert set(UNDO_SCENARIOS) == {kind for kind, flow in FLOWS.items() if any(step.undo for step in flow.steps)}


def deadly(kind, step_name, verb, point):
    """The flows with one step that kills the process once. Returns (flows, list that is filled by killing)."""
    kills = []

    def kill():
        if not kills:
            kills.append(point)
            raise Killed

    def wrapped(original):
        def call(work):
            if point == "before its effect":
                kill()
            outcome = original(work)
            if point == "after its effect":
                kill()
            if point == "after its commit" and outcome is None:
                work.kill_after_commit = kill
            return outcome
        return call

    flow = FLOWS[kind]
    steps = tuple(dataclasses.replace(step, **{verb: wrapped(getattr(step, verb))}) if step.name == step_name else step
                  for step in flow.steps)
    return {**FLOWS, kind: dataclasses.replace(flow, steps=steps)}, kills


@contextlib.contextmanager
def killing_after_commits(monkeypatch):
    """Let ``Work.writing`` and ``Work.write`` kill after the commit that follows a step marked by ``deadly``."""
    from trove.taskmanager import flow
    original = flow.Work.writing

    @contextlib.contextmanager
    def writing(self, **columns):
        with original(self, **columns) as session:
            yield session
        if hasattr(self, "kill_after_commit"):
            self.kill_after_commit()

    with monkeypatch.context() as patch:
        patch.setattr(flow.Work, "writing", writing)
        yield


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize(("kind", "step", "verb"), CASES)
def test_killed_at_a_step(world, monkeypatch, kind, step, verb, point):
    kill_at(world, monkeypatch, (SCENARIOS if verb == "do" else UNDO_SCENARIOS)[kind], kind, step, verb, point)


def kill_at(world, monkeypatch, scenario, kind, step, verb, point):
    instance_id, operation_id = scenario.begin(world)
    all_flows, kills = deadly(kind, step, verb, point)
    with killing_after_commits(monkeypatch), pytest.raises(Killed):
        world.run(operation_id, "victim", all_flows)
    assert kills == [point]
    world.run(operation_id, "heir")
    scenario.check(world, instance_id, world.operation(operation_id))
    world.check_quota()
    world.delete_all()
    assert world.counts() == NOTHING


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize(("step", "verb"), [
    (step.name, verb) for step in FLOWS["instance.create"].steps for verb in ("do", "undo")
    if (verb == "do" or step.undo) and step.name in ("server", "snapshot", "prepare", "restore")])
def test_a_replica_killed_at_a_step(world, monkeypatch, step, verb, point):
    kill_at(world, monkeypatch, REPLICA_SCENARIOS[verb], "instance.create", step, verb, point)


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize(("step", "verb"), [
    (step.name, verb) for step in WITH_REPLICAS for verb in ("do", "undo") if getattr(step, verb)])
def test_a_resize_of_replicas_killed_at_a_step(world, monkeypatch, step, verb, point):
    kill_at(world, monkeypatch, RESIZE_SCENARIOS[verb], "instance.resize_volume", step, verb, point)


class Wire:
    """Counts what leaves the process - HTTP requests, guest commands, commits - and kills before or after the n-th.

    error: what is raised instead of killing; only HTTP requests are counted then.
    """

    def __init__(self, monkeypatch, error=Killed):
        self.count, self.fatal, self.after, self.error = 0, None, False, error
        self.armed = False
        send, take = requests.Session.send, fake_agent.FakeAgent._take
        monkeypatch.setattr(requests.Session, "send", lambda *args, **kwargs: self._pass(send, *args, **kwargs))
        if error is not Killed:
            return
        monkeypatch.setattr(fake_agent.FakeAgent, "_take", lambda *args, **kwargs: self._pass(take, *args, **kwargs))
        writer = get_db_api().writer

        @contextlib.contextmanager
        def counted_writer():
            if not self.armed:
                with writer() as session:
                    yield session
                return
            commit = contextlib.ExitStack()
            session = commit.enter_context(writer())
            with commit:
                yield session
                self._kill_if(after=False)
            self._kill_if(after=True)

        monkeypatch.setattr(get_db_api(), "writer", counted_writer)

    def _kill_if(self, after):
        if self.armed and not after:
            self.count += 1
        if self.armed and self.count == self.fatal and self.after is after:
            self.armed = False
            raise self.error

    def _pass(self, function, *args, **kwargs):
        self._kill_if(after=False)
        answer = function(*args, **kwargs)
        self._kill_if(after=True)
        return answer

    @contextlib.contextmanager
    def kill(self, number, after):
        """Within the block, kill at the ``number``-th event, before or after it."""
        self.count, self.fatal, self.after, self.armed = 0, number, after, True
        try:
            yield self
        finally:
            self.armed = False


# To be killed after an event is almost the same as before the next one: both are tried where little stands between.
BOTH = ("instance.create", "instance.delete", "backup.create")
WIRE_CASES = [(scenarios, kind, after, f"{kind}{undone}-{'after' if after else 'before'}")
              for scenarios, undone in ((SCENARIOS, ""), (UNDO_SCENARIOS, " undone")) for kind in scenarios
              for after in (False, True) if not after or kind in BOTH
              if kind not in CHANGES or kind == "user.create"]  # they differ in nothing that is on the wire


@pytest.mark.slow
@pytest.mark.parametrize(("scenarios", "kind", "after"), [case[:3] for case in WIRE_CASES],
                         ids=[case[3] for case in WIRE_CASES])
def test_killed_at_every_event_on_the_wire(world, monkeypatch, scenarios, kind, after):
    scenario, wire, number = scenarios[kind], Wire(monkeypatch), 0
    while True:
        number += 1
        GUESTS.reset()
        instance_id, operation_id = scenario.begin(world)
        killed = True
        with wire.kill(number, after):
            try:
                world.run(operation_id, "victim")
                killed = False
            except Killed:
                pass
        world.run(operation_id, "heir")
        scenario.check(world, instance_id, world.operation(operation_id))
        world.check_quota()
        world.delete_all()
        assert world.counts() == NOTHING
        if not killed:
            break
    assert number > 3  # the loop really went through the flow


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True], ids=["request lost", "answer lost"])
@pytest.mark.parametrize(("scenarios", "kind"), [(SCENARIOS, "instance.create"), (SCENARIOS, "instance.delete"),
                                                 (UNDO_SCENARIOS, "instance.create")],
                         ids=["create", "delete", "create undone"])
def test_a_connection_that_breaks_at_any_request_is_no_failure(world, conf, monkeypatch, scenarios, kind, after):
    conf.set_override("operation_retry_interval", 0.01)
    scenario, wire, number, lost = scenarios[kind], Wire(monkeypatch, LostAnswer), 0, True
    while lost:
        number += 1
        GUESTS.reset()
        instance_id, operation_id = scenario.begin(world)
        with wire.kill(number, after):
            world.run(operation_id)
            lost = not wire.armed
        scenario.check(world, instance_id, world.operation(operation_id))
        if not world.instance(instance_id).deleted:
            world.run(world.delete(instance_id))
        assert world.counts() == NOTHING
    assert number > 3


CREATE_STEPS = [step.name for step in FLOWS["instance.create"].steps]


@pytest.mark.parametrize("step", CREATE_STEPS)
def test_deleted_while_a_step_of_the_creation_is_done(world, step):
    instance_id, operation_id = world.create()
    deletion = []

    def deleted_meanwhile(work, original):
        outcome = original(work)
        if not deletion:
            deletion.append(world.delete(instance_id))
        return outcome

    flow = FLOWS["instance.create"]
    steps = tuple(dataclasses.replace(each, do=lambda work, original=each.do: deleted_meanwhile(work, original))
                  if each.name == step else each for each in flow.steps)
    world.run(operation_id, all_flows={**FLOWS, flow.kind: dataclasses.replace(flow, steps=steps)})
    world.run(deletion[0])
    creation = world.operation(operation_id)
    begun = CREATE_STEPS[:CREATE_STEPS.index(step) + 1]
    assert [entry["step"] for entry in creation.data["history"]] == begun, "no step was begun after the request"
    assert creation.state == (operations.DONE if begun == CREATE_STEPS else operations.FAILED)
    check_deleted(world, instance_id, world.operation(deletion[0]))
    assert world.fault(instance_id) is None


@pytest.mark.parametrize("step", CREATE_STEPS)
def test_deleted_after_the_creator_died_in_a_step(world, step):
    instance_id, operation_id = world.create()
    all_flows, kills = deadly("instance.create", step, "do", "after its effect")
    with pytest.raises(Killed):
        world.run(operation_id, "victim", all_flows)
    deletion = world.delete(instance_id)
    with world.db.writer() as session:
        operations.claim(session, deletion, "heir", 60)
    # The creation still counts as held by the dead one: deleting waits for it.
    assert world.advance(deletion, "heir") is not None
    assert world.operation(deletion).step == "stop_others"
    world.run(operation_id, "heir")
    assert world.operation(operation_id).state == operations.FAILED
    world.run(deletion, "heir")
    check_deleted(world, instance_id, world.operation(deletion))


@pytest.mark.parametrize("step", CREATE_STEPS)
def test_refused_at_a_step_of_the_creation(world, step):
    instance_id, operation_id = world.create()

    def refuse(_work):
        raise exception.CloudError(reason="refused by the test")

    flow = FLOWS["instance.create"]
    steps = tuple(dataclasses.replace(each, do=refuse) if each.name == step else each for each in flow.steps)
    world.run(operation_id, all_flows={**FLOWS, flow.kind: dataclasses.replace(flow, steps=steps)})
    instance, fault = world.instance(instance_id), world.fault(instance_id)
    assert instance.task.is_error
    assert (fault.details, fault.request_id) == (step, world.context.request_id)
    assert "refused by the test" in fault.message
    assert world.counts() == NOTHING
    world.run(world.delete(instance_id))
    assert world.instance(instance_id).deleted


@pytest.mark.parametrize(("kind", "step", "verb"), CASES)
def test_a_step_that_never_ends_meets_its_deadline(world, conf, kind, step, verb):
    scenario = (SCENARIOS if verb == "do" else UNDO_SCENARIOS)[kind]
    instance_id, operation_id = scenario.begin(world)
    flow = FLOWS[kind]
    option = next(each.deadline for each in flow.steps if each.name == step)
    calls = []
    if verb == "undo":  # what is not undone may be in the way of the undo steps after it
        for each in flow.steps:
            if each.undo:
                conf.set_override(each.deadline, 2)

    def never(_work):
        calls.append(step)
        conf.set_override(option, 0, group="mysql" if option == "usage_timeout" else None)
        with world.db.writer() as session:  # the time that the option gives has passed
            session.get(operations.Operation, operation_id).deadline = 1
        return Again(0.01)

    steps = tuple(dataclasses.replace(each, **{verb: never}) if each.name == step else each for each in flow.steps)
    world.run(operation_id, all_flows={**FLOWS, kind: dataclasses.replace(flow, steps=steps)})
    operation = world.operation(operation_id)
    assert operation.state == operations.FAILED
    assert calls
    text = operation.error if verb == "do" else operation.data["not_undone"][0]["message"]
    assert f"did not happen within 0 s (option {option})" in text
    expected = {"instance.configure": InstanceTasks.RESTART_REQUIRED,
                "instance.restart": InstanceTasks.RESTART_REQUIRED, "instance.reboot": InstanceTasks.RESTART_REQUIRED,
                "instance.stop": InstanceTasks.NONE, "instance.access": InstanceTasks.NONE,
                "instance.delete": InstanceTasks.DELETING_ERROR}
    assert world.instance(instance_id).task is expected.get(kind, world.instance(instance_id).task)
    assert (world.fault(instance_id) is not None) == (kind.startswith("instance.") or kind in CHANGES)
    world.check_quota()
    conf.clear_override(option, group="mysql" if option == "usage_timeout" else None)
    world.delete_all()
    assert world.instance(instance_id).deleted
    assert world.counts() == NOTHING


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=st.lists(st.tuples(st.integers(1, 12), st.booleans()), max_size=8), delete_after=st.integers(0, 8))
@pytest.mark.slow
def test_any_sequence_of_kills_ends_well(world, moves, delete_after):
    with pytest.MonkeyPatch.context() as patch:
        wire = Wire(patch)
        GUESTS.reset()
        instance_id, operation_id = world.create()
        deletion = None
        for turn, (number, after) in enumerate(moves):
            if turn == delete_after:
                deletion = world.delete(instance_id)
            for live in filter(None, (operation_id, deletion)):
                with wire.kill(number, after), contextlib.suppress(Killed, AssertionError):
                    world.run(live, f"owner-{turn}", looks=3)
    deletion = deletion or world.delete(instance_id)
    world.run(operation_id, "heir")
    world.run(deletion, "heir")
    check_deleted(world, instance_id, world.operation(deletion))
