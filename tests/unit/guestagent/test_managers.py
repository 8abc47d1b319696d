"""What every datastore manager is held to, whichever it is: the same commands, markers and reports, and a prepare that
may be killed anywhere and sent again.
"""
import dataclasses
import inspect
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from trove import rpc
from trove.common import cfg, exception, remote
from trove.common.context import TroveContext
from trove.common.files.pairs import Pairs
from trove.common.instance import ServiceStatuses
from trove.guestagent import api, dbaas, logs, pkg
from trove.guestagent.common import configuration
from trove.guestagent.datastore import admin, server, service
from trove.guestagent.datastore import manager as base
from trove.guestagent.datastore.service import BaseDbStatus

START, END = BaseDbStatus.PREPARE_START_FILENAME, BaseDbStatus.PREPARE_END_FILENAME
USER = {"_name": "u1", "_host": "%", "_password": "p", "_databases": []}
DATABASE = {"_name": "db1"}


class Killed(BaseException):
    """Stands for a death of the process: no ``except Exception`` sees it."""


@dataclass(frozen=True)
class StoneLayout(server.Layout):
    """The world of a Stone: what outlives the agent. ``die`` names the effect before which the agent dies, ``fail`` the
    one that goes wrong.
    """

    world: SimpleNamespace = None


class StoneStatus(BaseDbStatus):
    def __init__(self, world):
        super().__init__()
        self.world = world

    def get_actual_db_status(self):
        return ServiceStatuses.RUNNING if self.world.up else ServiceStatuses.SHUTDOWN


class StoneProcess:
    def __init__(self, world):
        self.world = world

    def leave_to_agent(self):
        self.world.effect("leave_to_agent")

    def start(self):
        self.world.effect("start")
        self.world.up = True

    def stop(self):
        self.world.effect("stop")
        self.world.up = False


class StoneServer(server.Server):
    """The smallest server: it is up or not, and its data are a file."""

    layout_class = StoneLayout

    def __init__(self, layout):
        super().__init__(layout, StoneStatus(layout.world), configuration.IncludedLayers(
            layout.config_file, layout.config_file.with_name("conf.d"), Pairs()))
        self.world = layout.world

    @property
    def service(self):
        return StoneProcess(self.world)

    def is_data(self, directory):
        return (directory / "names").is_file()

    def initialise(self, directory):
        self.world.effect("initialise")
        directory.mkdir()
        (directory / "names").touch()

    def secure(self, keep_root=False):
        self.world.effect("secure")

    def complete(self):
        self.world.effect("complete")

    def apply_overrides(self, overrides):
        return {}

    def write_certificate(self, text):
        self.world.effect("write_certificate")

    def install_certificate(self, text):
        self.world.effect("install_certificate")


class Stone(base.Manager):
    """The smallest datastore, which has nothing but a server."""

    server_class = StoneServer

    def __init__(self, world):
        super().__init__("mysql", StoneLayout(
            world.root / "data", world.root / "stone.cnf", world.root / "run", world.root / "template",
            world.root / "stone.log", "root", world))
        self.world = world

    def post_prepare(self, context, request):
        self.world.effect("post_prepare")
        super().post_prepare(context, request)


class StoneAdmin(admin.Admin):
    """Databases and users that are names."""

    def __init__(self, app, manager):
        self.world = app.world

    def create_database(self, databases):
        self.world.effect("create_database")
        self.world.databases.update(d["_name"] for d in databases)

    def create_user(self, users):
        self.world.effect("create_user")
        self.world.users.update(u["_name"] for u in users)

    delete_database = list_databases = delete_user = get_user = list_users = change_passwords = None
    update_attributes = list_access = grant_access = revoke_access = None


class StoneRoot(admin.Root):
    def __init__(self, app, manager):
        self.world = app.world

    def enable_root(self, root_password=None):
        self.world.effect("enable_root")
        return {"_name": "root", "_password": root_password}

    def is_root_enabled(self):
        return True

    disable_root = None


class Pebble(Stone):
    """A Stone with an administrator."""

    admin_class = StoneAdmin
    root_class = StoneRoot


class Drop(Pebble):
    """A Pebble that may be a member of a cluster."""

    joins_clusters = True


@pytest.fixture
def world(reports, conf, tmp_path, monkeypatch):
    conf.set_override("backup_strategy", None, group="mysql")
    conf.set_override("replication_strategy", None, group="mysql")
    world = SimpleNamespace(root=tmp_path, up=False, databases=set(), users=set(), effects=[], die=None, fail=None)

    def effect(name):
        world.effects.append(name)
        if world.die == name:
            raise Killed(name)
        if world.fail == name:
            raise OSError(name)

    world.effect = effect
    monkeypatch.setattr(pkg, "install", lambda packages: world.effect("packages"))
    return world


def prepare(manager, **changes):
    manager.prepare(TroveContext(user_id="user-1"), **{
        "packages": "", "databases": [DATABASE], "memory_mb": 512, "users": [USER], "root_password": "r", **changes})


def marked(tmp_path):
    return {path.name for path in (tmp_path / "state").iterdir()}


# The surface

def commands_of(client):
    """{name: signature} of what a class of clients can send."""
    return {name: inspect.signature(method) for name, method in inspect.getmembers(client, inspect.isfunction)
            if not name.startswith("_")}


CLIENT = commands_of(api.API)
MANAGERS = sorted(cfg.CARDS)


def exposed(kind):
    return {name: getattr(kind, name) for name in dir(kind) if hasattr(getattr(kind, name), "exposed")}


def check_commands(client, endpoints):
    """A class of clients sends the commands of all endpoints, each of which one endpoint has, and no others."""
    found = [exposed(type(endpoint)) for endpoint in endpoints]
    commands = {name: method for each in found for name, method in each.items()}
    assert len(commands) == sum(map(len, found)), "two endpoints have the same command"
    known = commands_of(client)
    assert sorted(commands) == sorted(known)
    for command, method in commands.items():
        there = [p.replace(annotation=p.empty) for p in inspect.signature(method).parameters.values()][2:]
        here = list(known[command].parameters.values())[1:]
        assert there == here, command


@pytest.mark.parametrize("name", MANAGERS)
def test_client_and_agent_know_the_same_commands(conf, name):
    manager = dbaas.load_manager(name)
    check_commands(type(remote.guest_client(None, "i-1", name)), [manager, *manager.endpoints])


class Rolling:
    """An endpoint of a datastore's own."""

    def __init__(self, manager):
        self.manager = manager

    @rpc.expose
    def roll(self, context, distance=1):
        return self.manager.manager, distance


class RollingClient(api.API):
    def roll(self, distance=1):
        return self._send("agent_call_low_timeout", "roll", distance=distance)


class RollingStone(Stone):
    endpoint_classes = (Rolling,)


def test_a_datastore_may_have_commands_of_its_own(world, monkeypatch):
    stone = RollingStone(world)
    check_commands(RollingClient, [stone, *stone.endpoints])
    for client in (api.API, type("Other", (RollingClient,), {"rest": lambda self: None})):
        with pytest.raises(AssertionError):
            check_commands(client, [stone, *stone.endpoints])
    assert stone.endpoints[0].roll(None) == ("mysql", 1)
    card = cfg.CARDS["mysql"]
    monkeypatch.setattr(card, "TRAITS", dataclasses.replace(card.TRAITS, client=f"{__name__}.RollingClient"))
    assert isinstance(remote.guest_client(None, "i-1", "mysql"), RollingClient)
    assert type(remote.guest_client(None, "i-1")) is api.API


@pytest.mark.parametrize("name", MANAGERS)
def test_commands_are_final(conf, name):
    kind = type(dbaas.load_manager(name))
    for command in CLIENT:
        assert getattr(kind, command) is getattr(base.Manager, command), command


@pytest.mark.parametrize("name", MANAGERS)
def test_what_a_datastore_is_made_of(conf, name):
    manager = dbaas.load_manager(name)
    assert manager.manager == name
    assert manager.status is manager.status
    assert manager.status.status is None
    assert manager.rpc_ping(None) is True


NEEDS_A_COLLABORATOR = {
    "create_database": ([DATABASE],), "delete_database": (DATABASE,), "list_databases": (), "create_user": ([USER],),
    "delete_user": (USER,), "get_user": ("u", "%"), "list_users": (), "change_passwords": ([],),
    "update_attributes": ("u", "%", {}), "list_access": ("u", "%"), "grant_access": ("u", "%", []),
    "revoke_access": ("u", "%", "db"), "enable_root": (), "enable_root_with_password": (), "disable_root": (),
    "is_root_enabled": (), "create_backup": ({},), "make_read_only": (True,), "get_replica_context": (),
}


@pytest.mark.parametrize(("command", "args"), NEEDS_A_COLLABORATOR.items())
def test_what_a_datastore_cannot_do_is_refused_with_its_name(world, command, args):
    with pytest.raises(exception.DatastoreOperationNotSupported, match="for the 'mysql' datastore"):
        getattr(Stone(world), command)(None, *args)


@pytest.mark.parametrize(("changes", "operation"), [
    ({"cluster_config": {"id": "c-1"}}, "prepare with cluster_config"), ({"backup_info": {"id": "b-1"}}, "restore"),
    ({"snapshot": {"config": ""}}, "attach_replica"),
])
def test_a_prepare_that_a_datastore_cannot_do_is_refused_before_anything_is_made(world, reports, changes, operation):
    with pytest.raises(exception.DatastoreOperationNotSupported, match=operation):
        prepare(Pebble(world), **changes)
    assert world.effects == []
    assert reports.statuses == ["building", "failed to spawn"]


class Misspelt(StoneServer):
    secure = server.Server.secure

    def secrue(self, keep_root=False):
        pass


@pytest.mark.parametrize(("part", "kind", "says"), [
    ("server_class", Misspelt, r"Stone.server_class: .*Misspelt' does not implement secure$"),
    ("server_class", None, "Stone.server_class: 'None' must be a subclass of .*server.Server"),
    ("admin_class", StoneRoot, "Stone.admin_class: .* must be a subclass of .*admin.Admin"),
    ("root_class", admin.Root, "does not implement disable_root, enable_root, is_root_enabled"),
    ("logs_class", logs.ServerLogs, "does not implement guest_logs, is_logging, set_logging"),
])
def test_an_incomplete_part_is_named_when_the_agent_starts(conf, monkeypatch, part, kind, says):
    monkeypatch.setattr(Stone, part, kind)
    conf.set_override("datastore_registry_ext", {"stone": f"{__name__}.Stone"})
    with pytest.raises(ValueError, match=says):
        dbaas.load_manager("stone")


@pytest.mark.parametrize(("option", "value", "says"), [
    ("backup_strategy", "Copy", r"\[mysql\] backup_strategy: .*mysql_impl.Copy' cannot be loaded"),
    ("backup_incremental_strategy", {"MySQLDump": "Increment"}, r"\[mysql\] backup_strategy: .*Increment'"),
    ("restore_namespace", "trove.guestagent.strategies.restore.base", r"\[mysql\] restore_namespace: .*InnoBackupEx'"),
    ("replication_strategy", "Magic", r"\[mysql\] replication_strategy: .*Magic' cannot be loaded"),
])
def test_a_strategy_that_cannot_be_loaded_is_named_when_the_agent_starts(conf, option, value, says):
    conf.set_override(option, value, group="mysql")
    with pytest.raises(ValueError, match=says):
        dbaas.load_manager("mysql")


def test_a_card_that_says_something_else_than_the_manager_is_named(conf, monkeypatch):
    card = cfg.CARDS["mysql"]
    monkeypatch.setattr(card, "TRAITS", dataclasses.replace(card.TRAITS, users=False))
    with pytest.raises(ValueError, match=r"datastore 'mysql' says users=False, and admin_class .*MySqlAdmin"):
        dbaas.load_manager("mysql")


@pytest.mark.parametrize(("name", "warns"), [("mysql", False), ("mariadb", False), ("percona", True)])
def test_an_experimental_manager_warns_when_the_agent_starts(conf, caplog, name, warns):
    dbaas.load_manager(name)
    assert ("The datastore percona is experimental: it may not" in caplog.text) is warns


# Prepare

SERVER_EFFECTS = ("packages", "leave_to_agent", "stop", "initialise", "start", "secure", "complete")


def test_a_prepare_that_goes_well(world, reports, tmp_path):
    manager = Pebble(world)
    prepare(manager)
    assert reports.statuses == ["building", "running"]
    assert marked(tmp_path) == {START, END}
    assert world.effects == [*SERVER_EFFECTS, "create_database", "create_user", "enable_root", "post_prepare"]
    assert (world.databases, world.users, reports.roots) == ({"db1"}, {"u1"}, ["user-1"])


def test_a_second_prepare_only_reports(world, reports, tmp_path):
    prepare(Pebble(world))
    effects = list(world.effects)
    prepare(Pebble(world))
    assert world.effects == effects
    assert reports.statuses == ["building", "running", "running"]


def test_two_prepares_at_once_are_one(world, reports):
    manager = Pebble(world)
    once = world.effect
    world.effect = lambda name: (prepare(manager) if name == "packages" else None, once(name))
    prepare(manager)
    assert world.effects.count("packages") == 1


@pytest.mark.parametrize("where", [*SERVER_EFFECTS, "create_database", "create_user", "enable_root"])
def test_killed_in_mid_prepare_the_agent_stays_silent_until_it_comes_again(world, reports, tmp_path, where):
    world.die = where
    with pytest.raises(Killed):
        prepare(Pebble(world))
    assert marked(tmp_path) == {START}
    world.die = None
    restarted = Pebble(world)
    restarted.update_status()
    assert reports.statuses == ["building"]
    prepare(restarted)
    assert reports.statuses == ["building", "building", "running"]
    assert marked(tmp_path) == {START, END}
    assert (world.up, world.databases, world.users) == (True, {"db1"}, {"u1"})


def test_killed_after_the_end_was_noted_the_agent_reports_by_itself(world, reports):
    world.die = "post_prepare"
    with pytest.raises(Killed):
        prepare(Pebble(world))
    restarted = Pebble(world)
    restarted.update_status()
    assert reports.statuses == ["building", "running", "running"]


@pytest.mark.parametrize("where", SERVER_EFFECTS)
def test_a_failed_prepare_is_reported_and_may_come_again(world, reports, tmp_path, where):
    manager = Pebble(world)
    world.fail = where
    with pytest.raises(OSError, match=where):
        prepare(manager)
    assert reports.statuses == ["building", "failed to spawn"]
    assert marked(tmp_path) == {START}
    assert "create_user" not in world.effects
    manager.update_status()
    assert reports.statuses[2:] == []
    world.fail = None
    prepare(manager)
    assert reports.statuses[2:] == ["building", "running"]


@pytest.mark.parametrize("where", ["create_database", "create_user", "enable_root"])
def test_failing_extras_leave_an_instance_that_is_active(world, reports, where):
    world.fail = where
    prepare(Pebble(world))
    assert reports.statuses == ["building", "running"]
    assert {"create_database", "create_user", "enable_root"} <= set(world.effects)


def test_failing_work_after_prepare_changes_no_status(world, reports, tmp_path):
    world.fail = "post_prepare"
    with pytest.raises(OSError, match="post_prepare"):
        prepare(Pebble(world))
    assert reports.statuses == ["building", "running"]
    assert marked(tmp_path) == {START, END}


def test_a_member_of_a_cluster_is_ready_and_ends_with_the_cluster(world, reports, tmp_path):
    manager = Drop(world)
    prepare(manager, cluster_config={"id": "c-1"})
    assert reports.statuses == ["building", "instance ready"]
    assert marked(tmp_path) == {START}
    assert world.users == set()
    manager.update_status()
    manager.cluster_complete(None)
    assert reports.statuses == ["building", "instance ready", "running"]
    assert marked(tmp_path) == {START, END}


def test_root_of_a_backup_is_not_replaced(world, reports):
    manager = Pebble(world)
    restored = []
    manager.backups = SimpleNamespace(needs_server=lambda info: False,
                                      restore=lambda info, directory: restored.append(directory.name))
    prepare(manager, backup_info={"id": "b-1"})
    assert "enable_root" not in world.effects
    assert restored == ["data.new"]
    assert reports.roots == ["user-1"]  # the one that came with the backup


# Heartbeats

def test_an_agent_without_prepare_is_silent(world, reports):
    Pebble(world).update_status()
    assert reports.statuses == []


def test_heartbeats_tell_the_real_status(world, reports):
    manager = Pebble(world)
    prepare(manager)
    world.up = False
    manager.update_status()
    assert reports.statuses[2:] == ["shutdown"]


def test_nothing_is_reported_inside_a_restart_and_the_end_of_it_is(world, reports):
    manager = Pebble(world)
    prepare(manager)
    manager.status.begin_restart()
    world.up = False
    manager.update_status()
    assert reports.statuses[2:] == []
    world.up = True
    manager.status.end_restart()
    assert reports.statuses[2:] == ["running"]


def test_a_failure_that_could_not_be_reported_is_reported_later(world, reports):
    manager = Pebble(world)
    reports.broken = True
    world.fail = "start"
    with pytest.raises(OSError, match="start"):
        prepare(manager)
    assert reports.statuses == []
    reports.broken = False
    manager.update_status()
    manager.update_status()
    assert reports.statuses == ["failed to spawn"]


def test_only_reports_that_are_not_made_again_are_kept_by_the_broker(world, reports):
    """A heartbeat comes again; the news of an installation come once."""
    manager = Pebble(world)
    prepare(manager)
    assert reports.statuses == ["building", "running"]
    manager.update_status()
    assert reports.kept == [True, True, False]


def test_without_a_bus_prepare_still_ends(world, reports, tmp_path):
    manager = Pebble(world)
    reports.broken = True
    prepare(manager)
    assert marked(tmp_path) == {START, END}
    reports.broken = False
    manager.update_status()
    assert reports.statuses == ["running"]


def test_a_clock_that_is_set_back_does_not_silence_the_agent(world, reports, monkeypatch):
    clock = iter((1000.0, 2000.0, 500.0, 500.0))
    monkeypatch.setattr(service, "time", SimpleNamespace(time=lambda: next(clock)))
    manager = Pebble(world)
    prepare(manager)
    manager.update_status()
    manager.update_status()
    assert reports.times == sorted(set(reports.times))
    assert reports.times[0] == 1000.0


def test_a_disk_without_room_for_the_markers_is_a_failure(world, reports, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")
    monkeypatch.setattr(service.operating_system, "write_file", full)
    with pytest.raises(OSError, match="No space"):
        prepare(Pebble(world))
    assert reports.statuses == ["failed to spawn"]


def test_waiting_for_a_status_ends_at_its_deadline(world, reports, conf):
    conf.set_override("state_change_wait_time", 0)
    with pytest.raises(exception.PollTimeOut, match="state_change_wait_time"):
        Pebble(world).status.wait_for(ServiceStatuses.RUNNING)


# Start of the agent

@pytest.fixture
def booting(monkeypatch, tmp_path):
    marker = tmp_path / "booted"
    monkeypatch.setattr(base.Manager, "booted_marker", marker)
    return marker


def test_a_boot_brings_the_server_back(world, reports, booting):
    Pebble(world).start_of_agent()
    assert world.effects == []
    booting.unlink()
    prepare(Pebble(world))
    world.effects.clear()
    world.up = False
    Pebble(world).start_of_agent()
    assert world.effects == ["start"]


def test_a_server_that_was_to_stay_down_stays_down_at_a_boot(world, reports, booting):
    manager = Pebble(world)
    prepare(manager)
    manager.stop_db(None, do_not_start_on_reboot=True)
    world.effects.clear()
    Pebble(world).start_of_agent()
    assert world.effects == []
    manager.start_db_with_conf_changes(None, "")
    assert not manager.app._stay_down.exists()


def test_a_restart_of_the_agent_alone_leaves_the_server_as_it_is(world, reports, booting):
    prepare(Pebble(world))
    booting.touch()
    world.effects.clear()
    world.up = False
    Pebble(world).start_of_agent()
    assert world.effects == []


# Facts about the guest

def test_facts_about_the_guest(world, reports, conf, tmp_path):
    conf.set_override("mount_point", str(tmp_path), group="mysql")
    manager = Stone(world)
    stats = manager.get_filesystem_stats(None, "/elsewhere")
    assert sorted(stats) == ["block_size", "free", "free_blocks", "total", "total_blocks", "used"]
    assert stats["total"] == pytest.approx(stats["free"] + stats["used"], abs=0.02)
    assert manager.get_hwinfo(None)["mem_total"] > 1000
    assert manager.get_diagnostics(None)["vm_rss"] > 1000


@pytest.mark.parametrize(("given", "meant"), [
    (None, []), ("", []), ("a", ["a"]), ("a, b  c", ["a", "b", "c"]), (["a", ""], ["a"]),
])
def test_packages_come_as_text_or_list(given, meant):
    assert base._as_list(given) == meant


def test_the_repr_of_a_request_has_no_secrets(world, reports):
    seen = []
    manager = Pebble(world)
    manager.do_prepare = lambda context, request: seen.append(repr(request))
    prepare(manager, users=[{**USER, "_password": "hush"}], root_password="hush", config_contents="key = hush")
    assert "hush" not in seen[0]


# The registry

def test_further_managers_come_from_the_option(conf):
    conf.set_override("datastore_registry_ext", {"mine": cfg.traits("mysql").manager})
    assert dbaas.load_manager("mine").manager == "mysql"


def test_a_further_manager_without_the_options_of_a_card_is_named(conf):
    conf.set_override("datastore_registry_ext", {"mine": cfg.traits("mysql").manager})
    conf.set_override("datastore_manager", "mine")
    with pytest.raises(ValueError, match=r"datastore_manager: there is no group of options \[mine\], which the card"):
        dbaas.load_manager("mine")


@pytest.mark.parametrize(("registry", "name", "says"), [
    ({}, "stone", "'stone' is none of mariadb, .*redis"), ({"x": "trove.nowhere.Manager"}, "x", "cannot be loaded"),
    ({"x": "trove.guestagent.api.API"}, "x", "must be a subclass"),
    ({"x": "trove.guestagent.datastore.manager.Manager"}, "x", "server_class: 'None' must be"),
])
def test_a_wrong_registry_says_what_is_wrong(conf, registry, name, says):
    conf.set_override("datastore_registry_ext", registry)
    with pytest.raises(ValueError, match=says):
        dbaas.load_manager(name)


def test_nothing_but_commands_is_exposed(conf):
    assert rpc.expose(lambda: None).exposed is True
    assert not hasattr(base.Manager.update_status, "exposed")
    assert not hasattr(base.Manager.start_of_agent, "exposed")
