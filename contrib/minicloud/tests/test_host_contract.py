"""What HostClient promises, held against the fake and (scenario) against the real one."""

import uuid

import pytest

from minicloud.config import Config
from minicloud.host.client import HostError
from minicloud.host.fake import FakeHost


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.scenario)])
def driver(request, tmp_path):
    """(host, configuration, path of a bootable layer)."""
    if request.param == "real":
        return (
            request.getfixturevalue("host"),
            request.getfixturevalue("cloud"),
            str(request.getfixturevalue("guest_image")),
        )
    config = Config(state_dir=tmp_path, driver="fake")
    layer = tmp_path / "layer.squashfs"
    layer.write_bytes(b"")
    return FakeHost(config), config, str(layer)


def new_id():
    return str(uuid.uuid4())


def address_of(config, last):
    return config.gateway.rsplit(".", 1)[0] + f".{last}"


def create(driver, guest_id=None, last=50, **changes):
    host, config, layer = driver
    guest_id = guest_id or new_id()
    arguments = {"hostname": "guest", "layers": [layer], "binds": [], "memory_mb": 128, "vcpus": 1,
                 "address": address_of(config, last), "allowed": [], **changes}  # fmt: skip
    return guest_id, host.create_guest(guest_id, **arguments)


def states(host):
    return {guest["guest_id"]: guest["state"] for guest in host.list_guests()}


def code_of(call, *arguments, **named):
    with pytest.raises(HostError) as error:
        call(*arguments, **named)
    return error.value.code


def test_facts(driver):
    host, config, _ = driver
    facts = host.facts()
    assert {"gateway", "host_address", "subnet", "netns", "version"} <= set(facts)
    assert (facts["gateway"], facts["subnet"]) == (config.gateway, config.subnet)


def test_a_guest_from_creation_to_deletion(driver):
    host, config, _ = driver
    guest_id, made = create(driver)
    assert made["pid"] > 1 and create(driver, guest_id) == (guest_id, made), "the same id again changes nothing"
    listed = next(guest for guest in host.list_guests() if guest["guest_id"] == guest_id)
    assert listed == {
        "guest_id": guest_id,
        "state": "running",
        "pid": made["pid"],
        "address": address_of(config, 50),
    }
    host.stop_guest(guest_id, hard=True)
    host.stop_guest(guest_id, hard=True)
    assert states(host)[guest_id] == "stopped"
    assert host.start_guest(guest_id) == host.start_guest(guest_id)
    host.reboot_guest(guest_id, hard=True)
    host.resize_guest(guest_id, memory_mb=192, vcpus=2)
    assert states(host)[guest_id] == "running"
    assert isinstance(host.console(guest_id, lines=5), str)
    host.set_rules(guest_id, [{"protocol": "tcp", "port_min": 1, "port_max": 2, "cidr": "10.0.0.0/8"}])
    host.delete_guest(guest_id)
    host.delete_guest(guest_id)
    assert guest_id not in states(host)


def test_what_is_not_there(driver):
    host, _, _ = driver
    for call, arguments in (
        (host.start_guest, ()), (host.stop_guest, ()), (host.reboot_guest, ()), (host.resize_guest, (128, 1)),
        (host.console, ()), (host.exec_guest, (["true"],)), (host.set_rules, ([],)), (host.grow_volume, (2,)),
    ):  # fmt: skip
        assert code_of(call, new_id(), *arguments) == "not_found"
    host.delete_guest(new_id())
    host.delete_volume(new_id())


@pytest.mark.parametrize(
    "changes",
    [
        {"layers": ["/nonexistent/layer"]},
        {"layers": []},
        {"binds": [{"source": "/nonexistent/source", "target": "/opt"}]},
        {"address": "203.0.113.9"},
        {"allowed": [{"protocol": "smoke"}]},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_arguments_that_cannot_be(driver, changes):
    host, _, _ = driver
    guest_id = new_id()
    assert code_of(create, driver, guest_id, **changes) == "bad_request"
    assert guest_id not in states(host)


def test_addresses_are_given_once_and_never_the_gateways(driver):
    host, config, _ = driver
    guest_id, _ = create(driver)
    assert code_of(create, driver) == "conflict"
    assert code_of(create, driver, address=config.gateway) == "bad_request"
    host.delete_guest(guest_id)


def test_a_volume_from_creation_to_deletion(driver):
    host, _, _ = driver
    guest_id, _ = create(driver)
    volume_id, other_id = new_id(), new_id()

    def volume():
        return next(v for v in host.list_volumes() if v["volume_id"] == volume_id)

    for _ in range(2):
        host.create_volume(volume_id, 1)
    assert code_of(host.create_volume, volume_id, 2) == "conflict"
    assert volume() == {"volume_id": volume_id, "size_gb": 1, "guest_id": None, "device": None}
    for _ in range(2):
        host.attach_volume(volume_id, guest_id, "/dev/vdb")
    assert (volume()["guest_id"], volume()["device"]) == (guest_id, "/dev/vdb")
    host.create_volume(other_id, 1)
    assert code_of(host.attach_volume, other_id, guest_id, "/dev/vdb") == "conflict"
    assert code_of(host.attach_volume, other_id, guest_id, "/dev/sda") == "bad_request"
    assert code_of(host.attach_volume, new_id(), guest_id, "/dev/vdc") == "not_found"
    assert code_of(host.attach_volume, other_id, new_id(), "/dev/vdc") == "not_found"
    assert code_of(host.delete_volume, volume_id) == "conflict"
    host.grow_volume(volume_id, 2)
    assert code_of(host.grow_volume, volume_id, 1) == "bad_request"
    for _ in range(2):
        host.detach_volume(volume_id, guest_id)
    assert (volume()["guest_id"], volume()["size_gb"]) == (None, 2)
    host.attach_volume(volume_id, guest_id, "/dev/vdc")
    host.delete_guest(guest_id)
    assert volume()["guest_id"] is None, "the end of a guest leaves its volumes"
    for id in (volume_id, other_id):
        host.delete_volume(id)
    assert volume_id not in [v["volume_id"] for v in host.list_volumes()]


def test_commands_need_a_running_guest(driver):
    host, _, _ = driver
    guest_id, _ = create(driver)
    result = host.exec_guest(guest_id, ["/nonexistent/command"])
    assert result["rc"] == 127 and set(result) == {"rc", "stdout", "stderr"}
    host.stop_guest(guest_id, hard=True)
    assert code_of(host.exec_guest, guest_id, ["true"]) == "conflict"
    host.delete_guest(guest_id)
