"""The service dies at every call of the host, before and after it took effect; the next start brings all to its end."""

import threading
from pathlib import Path

import pytest

from minicloud.api import server_create, servers, volumes
from minicloud.api.app import build_cloud
from minicloud.api.tokens import stamp
from minicloud.api.web import Context
from minicloud.config import Config
from minicloud.host.client import HostError
from minicloud.host.fake import FakeHost
from minicloud.store import Store

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
CHANGING = {
    "create_guest", "delete_guest", "resize_guest", "reboot_guest", "stop_guest", "start_guest",
    "create_volume", "delete_volume", "grow_volume", "attach_volume", "detach_volume", "set_rules",
}  # fmt: skip


class Death(BaseException):
    """The process ends here: nothing catches this."""


class World:
    """One state directory and one host, over which services come and go."""

    def __init__(self, directory: Path):
        self.config = Config(state_dir=directory, driver="fake")
        directory.mkdir(exist_ok=True)
        self.host = FakeHost(self.config)
        self.dead = threading.Event()
        self.store = self.cloud = None
        self.boot()
        project = self.store.list("project", name="admin")[0]["id"]
        self.context = Context("user", "user", project, ("admin",), {})
        layer = directory / "layer"
        layer.write_bytes(b"x")
        self.store.add(
            "image",
            {
                "id": "image",
                "name": "i",
                "project_id": project,
                "status": "active",
                "visibility": "public",
                "min_ram": 0,
                "min_disk": 0,
                "members": {},
                "minicloud_file": str(layer),
                "properties": {},
                "created_at": stamp(0),
            },
        )

    def boot(self):
        """Start a service on what the last one left."""
        self.host.on_call = None
        self.dead.clear()
        self.store = Store(self.config.state_dir / "store.sqlite")
        self.cloud = build_cloud(self.config, self.host, self.store, "password")
        self.cloud.jobs.start()

    def settle(self):
        assert self.cloud.jobs.wait_idle(10), "operations do not end"

    def die_at(self, number, after):
        """Let the service die at its n-th change of the host, before or after the change."""
        count = [0]

        def on_call(verb, arguments):
            if verb not in CHANGING:
                return
            if self.dead.is_set():
                raise Death
            count[0] += 1
            if count[0] == number:
                if after:
                    self.host.on_call = None
                    getattr(self.host, verb)(**arguments)
                    self.host.on_call = on_call
                self.dead.set()
                raise Death

        self.host.on_call = on_call

    def stop(self):
        self.cloud.jobs.stop()
        self.store.close()

    # The user's part

    def volume(self):
        made = volumes.create(self.cloud, self.context, 1)
        self.settle()
        return made["id"]

    def create(self, **more):
        body = {"name": "s", "imageRef": "image", "flavorRef": "1", **more}
        return server_create.create(self.cloud, self.context, body)[0]["id"]

    def running(self, **more):
        server_id = self.create(**more)
        self.settle()
        return server_id

    def server(self, server_id):
        return self.store.find("server", server_id)


def create(world):
    volume_id = world.volume()
    yield
    server_id = world.create(block_device_mapping=[{"volume_id": volume_id, "device_name": "vdb"}])
    yield
    assert (world.server(server_id)["vm_state"], world.server(server_id)["task_state"]) == ("active", None)
    assert world.store.get("volume", volume_id)["status"] == "in-use"
    assert [(v["guest_id"], v["device"]) for v in world.host.list_volumes()] == [(server_id, "/dev/vdb")]


def delete(world):
    volume_id = world.volume()
    mapping = [{"volume_id": volume_id, "device_name": "vdb", "delete_on_termination": True}]
    server_id = world.running(block_device_mapping=mapping)
    yield
    servers.delete(world.cloud, server_id)
    yield
    assert world.server(server_id) is None and world.store.list("port") == [] and world.store.list("volume") == []
    assert world.host.list_guests() == [] and world.host.list_volumes() == []


def resize(world):
    server_id = world.running()
    flavor = world.cloud.store.find("flavor", "2")
    yield
    before = {"before_resize": {"flavor": world.server(server_id)["flavor"], "vm_state": "active"}}
    servers.begin(world.cloud, server_id, "resize", "resize_migrating", "server.resize", fields=before, flavor=flavor)
    yield
    assert (world.server(server_id)["vm_state"], world.server(server_id)["flavor"]["id"]) == ("resized", "2")
    assert world.host.guest(server_id)["memory_mb"] == 1024


def attach(world):
    volume_id, server_id = world.volume(), world.running()
    yield
    with world.cloud.jobs.transaction() as add:
        volumes.reserve(world.cloud, volume_id, server_id, None, False)
        add("server.attach", server_id, volume_id=volume_id)
    yield
    assert world.store.get("volume", volume_id)["status"] == "in-use"
    assert world.host.list_volumes()[0]["guest_id"] == server_id


def detach(world):
    volume_id = world.volume()
    server_id = world.running(block_device_mapping=[{"volume_id": volume_id, "device_name": "vdb"}])
    yield
    with world.cloud.jobs.transaction() as add:
        volumes.move(world.cloud, volume_id, ("in-use",), "detaching")
        add("server.detach", server_id, volume_id=volume_id)
    yield
    assert world.store.get("volume", volume_id)["status"] == "available"
    assert world.host.list_volumes()[0]["guest_id"] is None


def create_volume(world):
    yield
    volume_id = volumes.create(world.cloud, world.context, 1)["id"]
    yield
    assert world.store.get("volume", volume_id)["status"] == "available"
    assert [v["volume_id"] for v in world.host.list_volumes()] == [volume_id]


def extend(world):
    volume_id = world.volume()
    yield
    volumes.extend(world.cloud, volume_id, 2)
    yield
    found = world.store.get("volume", volume_id)
    assert (found["status"], found["size"], world.host.list_volumes()[0]["size_gb"]) == ("available", 2, 2)


def delete_volume(world):
    volume_id = world.volume()
    yield
    volumes.delete(world.cloud, volume_id)
    yield
    assert world.store.list("volume") == [] and world.host.list_volumes() == []


STORIES = [create, delete, resize, attach, detach, create_volume, extend, delete_volume]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_what_was_accepted_is_finished_after_a_death(tmp_path, story, after):
    for number in range(1, 10):
        world = World(tmp_path / str(number))
        told = story(world)
        next(told)
        world.die_at(number, after)
        next(told)
        died = world.dead.wait(0.3)
        if died:
            world.boot()
        world.settle()
        with pytest.raises(StopIteration):
            next(told)
        assert world.store.operations() == []
        world.stop()
        if not died:
            break
    assert not died and number > 1, "every call of the host has had its death"


@pytest.mark.parametrize("verb", ["create_guest", "attach_volume"])
def test_a_creation_that_fails_gives_back_its_volume(tmp_path, verb):
    world = World(tmp_path)
    volume_id = world.volume()

    def refuse(called, arguments):
        if called == verb:
            raise HostError("failed", "no")

    world.host.on_call = refuse
    server_id = world.running(block_device_mapping=[{"volume_id": volume_id, "device_name": "vdb"}])
    world.host.on_call = None
    assert world.server(server_id)["vm_state"] == "error"
    assert world.store.get("volume", volume_id)["status"] == "available"
    servers.delete(world.cloud, server_id)
    world.settle()
    assert world.host.list_guests() == [] and world.store.list("port") == []
    world.stop()


def test_operations_of_one_server_keep_their_order(tmp_path):
    world = World(tmp_path)
    begun, gate, order = threading.Event(), threading.Event(), []

    def slow(verb, arguments):
        if verb in CHANGING:
            order.append(verb)
        if verb == "create_guest":
            begun.set()
            gate.wait(5)

    world.host.on_call = slow
    server_id = world.create()
    assert begun.wait(5)
    servers.delete(world.cloud, server_id)
    gate.set()
    world.settle()
    assert order == ["create_guest", "delete_guest"] and world.server(server_id) is None
    world.stop()
