"""What a guest can reach and read, and several guests at once."""
from concurrent.futures import ThreadPoolExecutor

from onebox import broker
from onebox.settings import SetupError

from tests.scenarios.support import PASSWORD

CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)"


def reaches(system, address, port):
    """Whether a process in m1 can open a TCP connection."""
    try:
        system.guest(system.m1["id"], "python3", "-c", CONNECT, str(address), str(port))
    except SetupError:
        return False
    return True


def test_a_guest_reaches_the_bus_and_nothing_else_of_the_host(system):
    """The management API of the broker, trove-api and whatever else listens are for the host."""
    gateway = system.settings.gateway
    assert reaches(system, gateway, broker.AMQP_PORT)
    assert not reaches(system, gateway, broker.MANAGEMENT_PORT)
    assert not reaches(system, gateway, system.settings.api_port)
    assert not reaches(system, gateway, 22)


def test_a_guest_has_a_bus_account_of_its_own_that_may_little(system):
    """It reads its own commands and writes to the guests' exchange; it makes nothing, manages nothing."""
    name = next(name for kind, name in system.inventory() if kind == "broker user" and system.m1["id"] in name)
    [permissions] = broker.request(system.settings, "GET", f"/api/users/{name}/permissions")
    assert permissions["configure"] == "^$"
    assert system.m1["id"] in permissions["read"].replace("\\", "")
    assert ".*" not in (permissions["configure"], permissions["write"], permissions["read"])
    assert broker.request(system.settings, "GET", f"/api/users/{name}")["tags"] == []


def test_the_injected_files_are_for_root_alone(system):
    """The database server, which users command, must not read the keys."""
    assert system.guest(system.m1["id"], "find", "/etc/trove/conf.d", "-type", "f", "-perm", "/077") == ""
    assert system.guest(system.m1["id"], "stat", "--format=%a", "/var/lib/trove").strip() == "700"


def test_the_secrets_of_the_control_plane_are_in_no_guest(system):
    """Neither its database, nor its keys, nor the passwords of the cloud."""
    files = system.guest(system.m1["id"], "cat", "/etc/trove/conf.d/guest_info.conf",
                         "/etc/trove/conf.d/trove-guestagent.conf")
    for word in ("operation_key", "nova_proxy", "management_", "sqlite"):
        assert word not in files


def test_four_at_once(system, leaves_nothing):
    """All become ACTIVE and answer SQL."""
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda number: system.create(f"many-{number}"), range(4)))
        try:
            ended = list(pool.map(system.wait_ended, made))
            assert [found["status"] for found in ended] == ["ACTIVE"] * 4
            for found in ended:
                assert system.sql("SELECT 1", found["ip"][0], "alice", PASSWORD, "app") == ((1,),)
        finally:
            list(pool.map(system.delete, made))


def test_a_silent_guest_slows_no_list_down(system):
    """The list asks nobody; commands to the guest end with a sentence after the short timeout."""
    system.guest(system.m1["id"], "systemctl", "stop", "trove-guestagent")
    try:
        assert system.api.get("/instances").status_code == 200
        answer = system.api.get(f"/instances/{system.m1['id']}/databases", raise_exc=False)
        assert answer.status_code == 400
        assert "guest" in answer.json()["badRequest"]["message"].lower()
        assert system.show(system.m1["id"])["name"] == "m1"
    finally:
        system.guest(system.m1["id"], "systemctl", "start", "trove-guestagent")
