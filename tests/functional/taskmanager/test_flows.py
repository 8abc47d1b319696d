"""The shipped flows from end to end against minicloud."""
import base64
import configparser
import datetime

import pytest
from minicloud.host.client import HostError

from tests.fakes.agent import GUESTS
from tests.functional.taskmanager.conftest import NOTHING, ONE
from tests.waiting import wait_until
from trove import rpc
from trove.common import crypto, exception, remote
from trove.common.instance import ServiceStatuses
from trove.db import get_db_api
from trove.db import models as db_models
from trove.db.sqlalchemy import tables
from trove.instance import models
from trove.instance.tasks import InstanceTasks
from trove.network import models as network_models
from trove.operation import models as operations
from trove.taskmanager import reconcile
from trove.taskmanager.flows import create
from trove.taskmanager.steps import bus

LONG_AGO = datetime.datetime(2001, 1, 1)


def test_create_then_restart_then_delete(world):
    instance_id = world.built()
    instance = world.instance(instance_id)
    assert instance.task is InstanceTasks.NONE
    assert instance.server_status == "ACTIVE"
    address = instance.address_list[0]
    assert (address["network"], address["type"]) == ("private", "private")
    assert world.counts() == ONE
    world.run(world.restart(instance_id))
    assert world.instance(instance_id).task is InstanceTasks.NONE
    assert GUESTS.called("restart") == [{}]
    world.run(world.delete(instance_id))
    assert world.instance(instance_id).deleted
    assert world.service_status(instance_id) is ServiceStatuses.DELETED
    assert world.counts() == NOTHING


def test_a_reboot_stops_the_database_first(world):
    instance_id = world.built()
    world.run(world.reboot(instance_id))
    assert GUESTS.called("stop_db") == [{"do_not_start_on_reboot": False}]
    assert "started" in world.cloud.server.host.guest(world.instance(instance_id).compute_instance_id)["console"][1]
    assert world.instance(instance_id).task is InstanceTasks.NONE
    assert world.service_status(instance_id) is ServiceStatuses.RUNNING


def test_a_guest_that_does_not_come_back_from_a_reboot_is_a_fault(world, conf):
    instance_id = world.built()
    GUESTS.boots = False
    conf.set_override("reboot_time_out", 1)
    operation_id = world.reboot(instance_id)
    world.run(operation_id)
    assert world.operation(operation_id).error_step == "guest"
    assert world.instance(instance_id).task is InstanceTasks.NONE
    assert world.service_status(instance_id) is ServiceStatuses.UNKNOWN
    assert "reboot_time_out" in world.fault(instance_id).message


def test_stop_tells_the_guest_and_says_so_when_it_fails(world):
    instance_id = world.built()
    world.run(world.stop(instance_id))
    assert world.service_status(instance_id) is ServiceStatuses.SHUTDOWN
    assert world.fault(instance_id) is None

    def refuse(_instance_id, _method):
        raise exception.GuestTimeout()
    GUESTS.answer = refuse
    world.run(world.stop(instance_id))
    assert "did not answer" in world.fault(instance_id).message


def test_other_networks_may_connect_than_before(world, conf):
    instance_id = world.built()
    assert world.cidrs(instance_id) == (["0.0.0.0/0"],) * 2
    for wanted in (["203.0.113.0/24", "2001:db8::/64"], ["203.0.113.0/24"], [], ["0.0.0.0/0"]):
        world.run(world.allow(instance_id, *wanted))
        assert world.cidrs(instance_id) == (sorted(wanted),) * 2
    conf.set_override("security_group_time_out", 1)
    group = world.cidrs
    with world.db.writer() as session:
        network_models.delete_groups(session, instance_id)
    world.run(world.allow(instance_id, "203.0.113.0/24"))
    assert "no security group" in world.fault(instance_id).message
    assert group(instance_id)[1] == ["0.0.0.0/0"]


def fail_host(world, verb, times=1):
    """Let the cloud's host refuse a verb."""
    left = [verb] * times

    def on_call(called, _arguments):
        if called in left:
            left.remove(called)
            raise HostError("failed", "out of order")
    world.cloud.server.host.on_call = on_call


@pytest.fixture(autouse=True)
def host_in_order(world):
    yield
    world.cloud.server.host.on_call = None


def test_the_guest_is_told_what_to_build(world):
    instance_id = world.built()
    prepare, = GUESTS.called("prepare")
    assert prepare == {
        "packages": [], "databases": [{"_name": "db1", "_character_set": None, "_collate": None}], "memory_mb": 512,
        "users": [{"_name": "u1", "_host": "%", "_password": "p1", "_databases": []}], "device_path": "/dev/vdb",
        "mount_point": "/var/lib/mysql", "backup_info": None, "config_contents": "buffer_pool = 512\n",
        "root_password": "r00t", "overrides": {}, "cluster_config": None, "snapshot": None, "modules": None}
    with world.db.reader() as session:
        assert session.get(models.RootHistory, instance_id).user == world.context.user_id


def test_the_guest_is_given_its_identity_and_nothing_of_others(world, conf, tmp_path):
    (tmp_path / "agent.conf").write_text("[DEFAULT]\ncontrol_exchange = trove\n")
    conf.set_override("guest_config", str(tmp_path / "agent.conf"))
    instance_id = world.built()
    server_id = world.instance(instance_id).compute_instance_id
    files = {file["path"]: base64.b64decode(file["content"]).decode()
             for file in world.cloud.server.host.guest(server_id)["files"]}
    assert files["/etc/trove/conf.d/trove-guestagent.conf"] == "[DEFAULT]\ncontrol_exchange = trove\n"
    info = configparser.ConfigParser(interpolation=None)
    info.read_string(files["/etc/trove/conf.d/guest_info.conf"])
    values = dict(info["DEFAULT"])
    password = world.broker.users[f"guest-{instance_id}"]["password"]
    assert values == {"guest_id": instance_id, "datastore_manager": "mysql", "tenant_id": "tenant-1",
                      "guest_key": crypto.guest_key(instance_id),
                      "transport_url": f"rabbit://guest-{instance_id}:{password}@10.77.0.1:5672//"}
    assert conf.operation_key[0] not in str(files)


def test_no_secret_stays_in_an_ended_operation(world):
    instance_id, operation_id = world.create()
    world.run(operation_id)
    operation = world.operation(operation_id)
    assert operation.secrets is None
    assert "bus_password" not in operation.data
    assert "r00t" not in operation.arguments + operation.step_data
    assert [entry["step"] for entry in operation.data["history"]] == [step.name for step in create.FLOW.steps]


@pytest.mark.parametrize("credentials", ["per_instance", "shared"])
def test_a_lost_prepare_is_sent_again_and_the_queue_is_made_once(world, conf, monkeypatch, credentials):
    conf.set_override("credentials", credentials, group="guest_bus")
    declared = []
    monkeypatch.setattr(rpc, "declare_queue", lambda topic, server: declared.append((topic, server)))
    conf.set_override("guest_prepare_retry", 0.05)
    GUESTS.lost = 2
    instance_id = world.built()
    assert GUESTS.lost == 0
    assert len(GUESTS.called("prepare")) == 1
    if credentials == "shared":
        assert declared == [(f"guestagent.{instance_id}", instance_id)]
    else:  # with its account
        assert declared == []
        assert world.broker.queues == set(bus.queues(instance_id))


@pytest.mark.parametrize("update_status", [True, False])
def test_a_guest_that_is_never_heard_of(world, conf, update_status):
    conf.set_override("usage_timeout", 1, group="mysql")
    conf.set_override("update_status_on_fail", update_status)
    GUESTS.builds = None
    instance_id, operation_id = world.create()
    world.run(operation_id)
    assert "option usage_timeout" in world.fault(instance_id).message
    if update_status:
        assert world.instance(instance_id).task is InstanceTasks.BUILDING_ERROR_TIMEOUT_GA
        assert world.service_status(instance_id) is ServiceStatuses.FAILED_TIMEOUT_GUESTAGENT
        assert world.counts() == NOTHING
    else:  # it may still come
        assert world.instance(instance_id).task is InstanceTasks.NONE
        assert world.service_status(instance_id) is ServiceStatuses.NEW
        assert world.counts() == ONE
    world.check_quota()
    world.run(world.delete(instance_id))
    assert world.counts() == NOTHING


@pytest.mark.parametrize(("verb", "task", "words"), [
    ("create_volume", InstanceTasks.BUILDING_ERROR_VOLUME, "has the status 'error'"),
    ("create_guest", InstanceTasks.BUILDING_ERROR_SERVER, "failed: "),
])
def test_what_the_cloud_cannot_make_is_the_fault(world, verb, task, words):
    fail_host(world, verb)
    instance_id, operation_id = world.create()
    world.run(operation_id)
    assert world.instance(instance_id).task is task
    assert words in world.fault(instance_id).message
    assert world.counts() == NOTHING


def test_a_refused_server_is_explained_by_nova(world):
    instance_id, operation_id = world.create(image_id="00000000-0000-4000-8000-000000000000")
    world.run(operation_id)
    assert world.fault(instance_id).message.startswith("The cloud refused it: ")
    assert world.instance(instance_id).task is InstanceTasks.BUILDING_ERROR_SERVER
    assert world.counts() == NOTHING


def test_without_volume_and_security_group(world, conf):
    conf.set_override("trove_security_groups_support", False)
    instance_id, operation_id = world.create(volume_size=None)
    world.run(operation_id)
    assert world.operation(operation_id).state == operations.DONE
    counts = world.counts()
    assert (counts["servers"], counts["volumes"], counts["groups"]) == (1, 0, 0)
    prepare, = GUESTS.called("prepare")
    assert (prepare["device_path"], prepare["mount_point"]) == (None, None)
    world.run(world.delete(instance_id))
    assert world.counts() == NOTHING


def test_a_restart_that_fails_frees_the_instance_and_says_why(world):
    instance_id = world.built()

    def refuse(_instance_id, _method):
        raise exception.GuestError(original="mysqld did not stop")

    GUESTS.answer = refuse
    operation_id = world.restart(instance_id)
    world.run(operation_id)
    assert world.operation(operation_id).state == operations.FAILED
    assert world.instance(instance_id).task is InstanceTasks.NONE
    assert "mysqld did not stop" in world.fault(instance_id).message
    assert len(GUESTS.called("restart")) == 1
    GUESTS.reset()
    world.run(world.restart(instance_id))
    assert world.fault(instance_id) is None


def test_a_deletion_does_not_need_the_guest(world):
    instance_id = world.built()

    def silent(_instance_id, _method):
        raise exception.GuestTimeout()

    GUESTS.answer = silent
    operation_id = world.delete(instance_id)
    world.run(operation_id)
    assert world.operation(operation_id).state == operations.DONE
    assert world.counts() == NOTHING


def test_a_deletion_is_content_with_absence(world):
    instance_id = world.built()
    nova = remote.nova_client()
    server_id = world.instance(instance_id).compute_instance_id
    nova.servers.delete(server_id)
    world.broker.users.clear()
    operation_id = world.delete(instance_id)
    world.run(operation_id)
    assert world.operation(operation_id).state == operations.DONE
    assert world.counts() == NOTHING


def test_servers_are_looked_at_in_pages(world, conf, monkeypatch):
    conf.set_override("reconcile_page_size", 2)
    built = [world.built() for _ in range(3)]
    host, requested = world.cloud.server.host, []
    servers = [world.instance(instance_id).compute_instance_id for instance_id in built]
    host.power_off(servers[0])
    remote.nova_client().servers.delete(servers[1])
    # Nova refuses a page that begins after a server which went meanwhile; a task manager looks again a minute later.
    wait_until(lambda: servers[1] not in {each.id for each in remote.nova_client().servers.list()}, pause=0.02)
    before = world.instance(built[2]).address_list
    with get_db_api().writer() as session:
        session.execute(tables.instances.update().values(updated=LONG_AGO))
    listing = type(remote.nova_client().servers).list
    monkeypatch.setattr(type(remote.nova_client().servers), "list",
                        lambda *args, **kwargs: requested.append(kwargs) or listing(*args, **kwargs))

    def seen():
        requested.clear()
        reconcile.look_at_servers()
        return world.instance(built[0]).server_status != "ACTIVE"
    wait_until(seen, pause=0)
    assert len(requested) <= 3
    assert [world.instance(each).server_status for each in built] == ["SHUTOFF", "SHUTDOWN", "ACTIVE"]
    assert world.instance(built[1]).address_list == []
    assert world.instance(built[2]).address_list == before
    changed = [world.instance(each).updated > LONG_AGO for each in built]
    assert changed == [True, True, False]  # to have been looked at is no change
    for instance_id in built:
        world.run(world.delete(instance_id))
    assert world.counts() == NOTHING


@pytest.mark.parametrize(("silence", "asked"), [(0, 1), (3600, 0)])
def test_only_a_guest_that_is_alive_is_asked_to_stop(world, silence, asked):
    instance_id = world.built()
    with world.db.writer() as session:
        models.service_status(session, instance_id).updated_at -= datetime.timedelta(seconds=silence)
        session.add(models.AgentHeartBeat(instance_id=instance_id, updated_at=db_models.utcnow()))
    world.run(world.delete(instance_id))
    assert len(GUESTS.called("stop_db")) == asked
    with world.db.reader() as session:
        assert session.query(models.AgentHeartBeat).count() == 0


def test_servers_that_came_late_are_deleted_and_no_other(world):
    gone, present, building = world.built(), world.built(), world.create()[0]
    world.run(world.delete(gone))
    nova = remote.nova_client()

    def make(instance_id):
        return nova.servers.create("late", world.cloud.image_id, "1", meta={"trove_instance_id": instance_id}).id

    make(gone)
    make(present)  # a twin of the server that the instance has
    kept = [make(building), make("somebody else's")]
    reconcile.look_at_servers()
    left = {server.id for server in nova.servers.list() if getattr(server, "OS-EXT-STS:task_state") != "deleting"}
    assert left == {world.instance(present).compute_instance_id, *kept}
