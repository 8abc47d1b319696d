"""Stories of real guests: boot, reach, attach, reboot, survive, vanish. Needs root; starts its own small cloud."""

from __future__ import annotations

import base64
import ipaddress
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from minicloud import image, janitor, services
from minicloud.config import Config
from minicloud.host import network, volume
from minicloud.host.client import HostClient, HostError

pytestmark = pytest.mark.scenario

DEADLINE = 600  # seconds; ends what hangs: boots take less than one
ANY_TCP = {"protocol": "tcp"}
WEB_SERVICE = """\
[Service]
ExecStart=/usr/bin/python3 -m http.server %d
"""


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def web_server(port: int = 8080) -> list[dict]:
    """Injected files that make a guest serve HTTP on `port` as soon as it boots."""
    wants = "[Unit]\nWants=web.service\n"
    return [
        {"path": "/etc/systemd/system/web.service", "content": b64(WEB_SERVICE % port)},
        {"path": "/etc/systemd/system/multi-user.target.d/web.conf", "content": b64(wants)},
    ]


def spec(guest_id: str, number: int, guest_image: Path, **changes) -> dict:
    base = {
        "guest_id": guest_id,
        "hostname": guest_id,
        "layers": [str(guest_image)],
        "binds": [],
        "memory_mb": 256,
        "vcpus": 1,
        "address": at(number),
        "allowed": [ANY_TCP],
        "files": web_server(),
    }
    return base | changes


_clouds = []  # the one of this module


@pytest.fixture(scope="module", autouse=True)
def _remember(cloud):
    _clouds[:] = [cloud]


def at(number: int, config: Config | None = None) -> str:
    """Return an address of the cloud's subnet."""
    return str(ipaddress.ip_network((config or _clouds[0]).subnet)[number])


def until(condition, what: str):
    """Return the first true value of `condition()`; fail after DEADLINE."""
    deadline = time.monotonic() + DEADLINE
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {DEADLINE} s: {what}"
        time.sleep(0.02)


def answers(address: str, port: int = 8080, timeout: float = 1.0) -> bool:
    try:
        socket.create_connection((address, port), timeout).close()
    except OSError:
        return False
    return True


def until_answers(address: str, port: int = 8080) -> None:
    until(lambda: answers(address, port), f"{address}:{port} answers")


def shell(host, guest_id: str, script: str) -> str:
    result = host.exec_guest(guest_id, ["sh", "-ec", script])
    assert result["rc"] == 0, result
    return result["stdout"].strip()


def connects(host, guest_id: str, address: str, port: int) -> str:
    """What a guest sees when it connects: "ok", "refused", "timeout" or "unreachable"."""
    program = (
        "import socket,sys\n"
        "try: socket.create_connection((sys.argv[1], int(sys.argv[2])), 1); print('ok')\n"
        "except ConnectionRefusedError: print('refused')\n"
        "except TimeoutError: print('timeout')\n"
        "except OSError: print('unreachable')\n"
    )
    result = host.exec_guest(guest_id, ["python3", "-c", program, address, str(port)])
    return result["stdout"].strip()


def state(host, guest_id: str) -> dict:
    return next(guest for guest in host.list_guests() if guest["guest_id"] == guest_id)


def traces(prefix: str, directory: Path) -> set[str]:
    """Everything on this machine that belongs to a cloud by its prefix, or lies in or mentions `directory`."""
    found = {f"link {path.name}" for path in Path("/sys/class/net").iterdir() if path.name.startswith(prefix)}
    if network.NETNS_DIR.is_dir():
        found |= {f"namespace {path.name}" for path in network.NETNS_DIR.iterdir() if path.name.startswith(prefix)}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split()[4]
        if " - cgroup" in line and Path(point, f"minicloud-{prefix}").exists():
            found.add(f"control group in {point}")
        if str(directory) in line or f"/{prefix}-" in point:
            found.add(f"mount {point}")
    found |= {f"loop device {device}" for device, backing in volume.loops() if backing.startswith(str(directory))}
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if str(directory) in entry.read_text():
                found.add(f"process {entry.parent.name}")
    return found


def test_a_guest_boots_with_its_identity_and_files(host, guest_image):
    user_data = "#!/bin/sh\nhostname > /root/user-data-ran\n"
    created = host.create_guest(
        **spec("one", 10, guest_image),
        config_drive={"openstack/latest/meta_data.json": b64('{"uuid": "one"}')},
        user_data=b64(user_data),
    )
    until_answers(at(10))
    assert state(host, "one") == {
        "guest_id": "one",
        "state": "running",
        "pid": created["pid"],
        "address": at(10),
    }
    until(lambda: shell(host, "one", "systemctl is-system-running || true") == "running", "all units run")
    assert shell(host, "one", "hostname; cat /etc/hostname; getent hosts one").split() == ["one", "one", at(10), "one"]
    assert shell(host, "one", "cat /root/user-data-ran") == "one"
    assert json.loads(shell(host, "one", "cat /mnt/config/openstack/latest/meta_data.json")) == {"uuid": "one"}
    assert int(shell(host, "one", "awk '/MemTotal/ {print $2}' /proc/meminfo")) == 256 * 1024
    assert shell(host, "one", "ps -o comm= 1") == "systemd"
    assert "web.service" in host.console("one", 0)
    assert host.create_guest(**spec("one", 10, guest_image)) == created


def test_cloud_config_is_applied_before_init_starts(host, guest_image):
    config = """\
#cloud-config
write_files:
- path: /etc/systemd/system/early.service
  content: |
    [Unit]
    DefaultDependencies=no
    [Service]
    Type=oneshot
    ExecStart=/bin/touch /run/early
- path: /etc/systemd/system/sysinit.target.d/early.conf
  content: |
    [Unit]
    Requires=early.service
    After=early.service
- {path: /root/owned, content: x, owner: "daemon:mail", permissions: '0640'}
runcmd:
- [sh, -c, "echo one > /root/ran"]
- echo two >> /root/ran
"""
    host.create_guest(**spec("cc", 11, guest_image), user_data=b64(config))
    until(lambda: host.exec_guest("cc", ["test", "-s", "/root/ran"])["rc"] == 0, "runcmd has run")
    assert shell(host, "cc", "cat /root/ran; ls /run/early; stat -c %U:%G:%a /root/owned") == (
        "one\ntwo\n/run/early\ndaemon:mail:640"
    )


def test_rules_decide_what_reaches_a_guest(host, cloud, guest_image):
    host.create_guest(**spec("srv", 12, guest_image, allowed=[]))
    host.create_guest(**spec("cli", 13, guest_image))
    until_answers(at(13))
    until(lambda: connects(host, "srv", at(12), 8080) == "ok", "the server listens")
    assert connects(host, "cli", at(12), 8080) == "timeout"
    assert not answers(at(12))

    host.set_rules("srv", [{"protocol": "tcp", "port_min": 8080, "port_max": 8080, "cidr": f"{at(13)}/32"}])
    assert connects(host, "cli", at(12), 8080) == "ok"
    assert not answers(at(12)), "the host is not in the rule's cidr"
    host.set_rules("srv", [{"protocol": "tcp", "port_min": 8080, "cidr": None}])
    assert answers(at(12))
    host.set_rules("srv", [])
    assert connects(host, "cli", at(12), 8080) == "timeout"
    with pytest.raises(HostError, match="bad_request: allowed: protocol"):
        host.set_rules("srv", [{"protocol": "sctp"}])


def test_guests_reach_only_the_listed_ports_of_the_gateway(host, cloud, guest_image):
    host.create_guest(**spec("in", 14, guest_image))
    until_answers(at(14))
    listener = ["ip", "netns", "exec", cloud.netns, "python3", "-m", "http.server", "--bind", cloud.gateway]
    servers = [subprocess.Popen([*listener, str(port)], stderr=subprocess.DEVNULL) for port in (5672, 15672)]
    on_host = socket.create_server(("0.0.0.0", 0))
    try:
        for port in (5672, 15672):
            until_answers(cloud.gateway, port)
        assert connects(host, "in", cloud.gateway, 5672) == "ok"
        assert connects(host, "in", cloud.gateway, 15672) == "refused"
        assert connects(host, "in", cloud.host_address, on_host.getsockname()[1]) in ("refused", "unreachable")
        assert connects(host, "in", "192.0.2.1", 80) == "unreachable"
    finally:
        on_host.close()
        for server in servers:
            server.kill()
            server.wait()


def test_a_guest_cannot_speak_for_another(host, guest_image):
    host.create_guest(**spec("liar", 15, guest_image))
    host.create_guest(**spec("peer", 16, guest_image))
    until_answers(at(15))
    until_answers(at(16))
    assert connects(host, "liar", at(16), 8080) == "ok"
    shell(host, "liar", f"ip addr add {at(99)}/32 dev eth0; ip route replace default via {at(1)} src {at(99)}")
    assert connects(host, "liar", at(16), 8080) == "timeout"


def test_a_volume_lives_through_attach_grow_reboot_and_moves(host, guest_image):
    host.create_volume("vol", 1)
    host.create_volume("vol", 1)
    host.create_guest(**spec("db", 17, guest_image))
    host.create_guest(**spec("db2", 18, guest_image))
    until_answers(at(17))
    host.attach_volume("vol", "db")
    host.attach_volume("vol", "db")
    with pytest.raises(HostError, match="conflict.*attached to guest db"):
        host.attach_volume("vol", "db2")
    shell(host, "db", "mkfs.ext3 -q /dev/vdb; mkdir /data; mount /dev/vdb /data; echo kept > /data/file; sync")
    with pytest.raises(HostError, match="conflict.*mounted"):
        host.detach_volume("vol", "db")
    with pytest.raises(HostError, match="conflict.*attached"):
        host.delete_volume("vol")
    host.grow_volume("vol", 2)
    assert shell(host, "db", "blockdev --getsize64 /dev/vdb") == str(2 << 30)
    with pytest.raises(HostError, match="bad_request.*shrink"):
        host.grow_volume("vol", 1)

    host.reboot_guest("db")
    until_answers(at(17))
    shell(host, "db", "e2fsck -fp /dev/vdb; resize2fs /dev/vdb; mount /dev/vdb /data")
    assert shell(host, "db", "cat /data/file; df -BG --output=size /data | tail -1 | tr -d ' '") == "kept\n2G"

    shell(host, "db", "umount /data")
    host.detach_volume("vol", "db")
    host.detach_volume("vol", "db")
    assert host.exec_guest("db", ["ls", "/dev/vdb"])["rc"] != 0
    host.attach_volume("vol", "db2", "/dev/vdc")
    assert shell(host, "db2", "mount /dev/vdc /mnt; cat /mnt/file") == "kept"
    assert host.list_volumes() == [{"volume_id": "vol", "size_gb": 2, "guest_id": "db2", "device": "/dev/vdc"}]
    host.delete_guest("db2")
    assert host.list_volumes() == [{"volume_id": "vol", "size_gb": 2, "guest_id": None, "device": None}]


def test_a_guest_cannot_open_disks_of_the_host(host, guest_image):
    host.create_guest(**spec("thief", 19, guest_image))
    until_answers(at(19))
    root_disk = Path("/").stat().st_dev
    script = f"mknod /dev/disk b {os.major(root_disk)} {os.minor(root_disk)} && head -c 1 /dev/disk"
    assert host.exec_guest("thief", ["sh", "-c", script])["rc"] != 0
    assert host.exec_guest("thief", ["date", "-s", "2001-01-01"])["rc"] != 0
    trigger = "test ! -e /proc/sysrq-trigger || test -c /proc/sysrq-trigger"  # /dev/null lies over it
    assert host.exec_guest("thief", ["sh", "-c", trigger])["rc"] == 0
    assert host.exec_guest("thief", ["sh", "-c", "echo 1 > /proc/sys/kernel/panic"])["rc"] != 0


def test_power_and_reboot_as_the_guest_and_the_cloud_ask(host, guest_image):
    host.create_guest(**spec("pw", 20, guest_image))
    until_answers(at(20))
    first = state(host, "pw")["pid"]
    host.reboot_guest("pw", hard=True)
    until_answers(at(20))
    second = state(host, "pw")["pid"]
    assert second != first

    host.exec_guest("pw", ["systemctl", "reboot", "--force"])
    until(lambda: state(host, "pw")["pid"] not in (None, second), "the guest has rebooted by itself")
    until_answers(at(20))

    host.exec_guest("pw", ["systemctl", "poweroff", "--force"])
    until(lambda: state(host, "pw")["state"] == "stopped", "the guest has powered itself off")
    assert not answers(at(20))
    host.start_guest("pw")
    until_answers(at(20))
    host.stop_guest("pw")
    host.stop_guest("pw")
    assert state(host, "pw") == {"guest_id": "pw", "state": "stopped", "pid": None, "address": at(20)}
    host.reboot_guest("pw")
    until_answers(at(20))
    os.kill(state(host, "pw")["pid"], signal.SIGKILL)
    until(lambda: state(host, "pw")["state"] == "crashed", "a killed guest has crashed")
    host.start_guest("pw")
    until_answers(at(20))


def test_memory_is_limited_and_a_resize_is_seen(host, guest_image):
    host.create_guest(**spec("mem", 21, guest_image, memory_mb=128))
    until_answers(at(21))
    eater = ["python3", "-c", "x = bytearray(300 << 20); print(len(x))"]
    assert host.exec_guest("mem", eater)["rc"] == 128 + signal.SIGKILL
    host.resize_guest("mem", 512, 2)
    assert host.exec_guest("mem", eater)["stdout"].strip() == str(300 << 20)
    assert int(shell(host, "mem", "awk '/MemTotal/ {print $2}' /proc/meminfo")) == 512 * 1024
    assert state(host, "mem")["state"] == "running"


def test_layers_and_binds(host, guest_image, tmp_path):
    tree = tmp_path / "tree"
    (tree / "usr/share/extra").mkdir(parents=True)
    (tree / "usr/share/extra/file").write_text("layer\n")
    image.layer(tree, tmp_path / "extra.squashfs")
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "file").write_text("bind\n")
    binds = [{"source": str(shared), "target": "/opt/shared"}]
    host.create_guest(
        **spec("lay", 22, guest_image, layers=[str(guest_image), str(tmp_path / "extra.squashfs")], binds=binds)
    )
    until_answers(at(22))
    assert shell(host, "lay", "cat /usr/share/extra/file /opt/shared/file") == "layer\nbind"
    assert host.exec_guest("lay", ["touch", "/opt/shared/new"])["rc"] != 0
    assert shell(host, "lay", "touch /usr/share/extra/new; ls /usr/share/extra") == "file\nnew"


def test_the_daemon_may_be_killed_at_any_time(host, cloud, guest_image):
    host.create_guest(**spec("sur", 23, guest_image))
    host.create_volume("keep", 1)
    host.attach_volume("keep", "sur")
    until_answers(at(23))
    shell(host, "sur", "mkfs.ext4 -q /dev/vdb")
    os.kill(services.identity(cloud.state_dir, "host")["pid"], signal.SIGKILL)
    with pytest.raises(HostError, match="no answer from the host daemon"):
        until(lambda: host.list_guests() == "never", "the daemon is dead")
    assert answers(at(23))

    services.ensure(cloud, ["host"])
    assert state(host, "sur")["state"] == "running"
    shell(host, "sur", "mount /dev/vdb /mnt && echo x > /mnt/x")
    # And a guest that reboots while no daemon is there comes back by itself.
    before = state(host, "sur")["pid"]
    os.kill(services.identity(cloud.state_dir, "host")["pid"], signal.SIGKILL)
    os.kill(before, signal.SIGINT)
    until(lambda: not answers(at(23)), "the guest goes down")
    until_answers(at(23))
    services.ensure(cloud, ["host"])
    assert state(host, "sur")["pid"] != before
    assert shell(host, "sur", "mount /dev/vdb /mnt && cat /mnt/x") == "x"


def test_a_guest_whose_waiter_was_killed_still_runs_and_can_be_deleted(host, cloud, guest_image):
    host.create_guest(**spec("orp", 24, guest_image))
    until_answers(at(24))
    parent = int(Path(f"/proc/{state(host, 'orp')['pid']}/stat").read_text().rpartition(")")[2].split()[1])
    grandparent = int(Path(f"/proc/{parent}/stat").read_text().rpartition(")")[2].split()[1])
    for waiter in (grandparent, parent):
        os.kill(waiter, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{parent}").exists() or "Z" in Path(f"/proc/{parent}/stat").read_text(), "killed")
    assert state(host, "orp")["state"] == "running"
    assert host.start_guest("orp")["pid"] == state(host, "orp")["pid"]
    host.delete_guest("orp")
    host.delete_guest("orp")
    assert not answers(at(24))


def test_callers_that_do_the_same_at_once_agree(host, guest_image):
    with ThreadPoolExecutor(8) as pool:
        created = list(pool.map(lambda _: host.create_guest(**spec("twin", 28, guest_image)), range(5)))
        assert {result["pid"] for result in created} == {state(host, "twin")["pid"]}
        host.create_volume("once", 1)
        list(pool.map(lambda _: host.attach_volume("once", "twin"), range(5)))
        list(pool.map(lambda _: host.detach_volume("once", "twin"), range(5)))
        until_answers(at(28))
        list(pool.map(lambda _: host.stop_guest("twin"), range(3)))
        started = list(pool.map(lambda _: host.start_guest("twin"), range(5)))
        assert len({result["pid"] for result in started}) == 1
        # A deletion does not wait for the clean shutdown that somebody else has asked for.
        pool.submit(host.stop_guest, "twin")
        list(pool.map(lambda _: host.delete_guest("twin"), range(3)))
    assert host.list_guests() == []


def test_twenty_at_once(host, guest_image):
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda n: host.create_guest(**spec(f"many{n}", 100 + n, guest_image)), range(20)))
        list(pool.map(lambda n: until_answers(at(100 + n)), range(20)))
        assert {guest["state"] for guest in host.list_guests()} == {"running"}
        list(pool.map(lambda n: host.delete_guest(f"many{n}"), range(20)))
    assert host.list_guests() == []


def test_bad_arguments_are_named(host, cloud, guest_image, tmp_path):
    junk = tmp_path / "junk"
    junk.write_text("no image")
    for field, changes in {
        "hostname": {"hostname": "no such host!"},
        "address": {"address": cloud.gateway},
        "layers": {"layers": [str(junk)]},
        "memory_mb": {"memory_mb": 1},
        "vcpus": {"vcpus": 0},
        "binds": {"binds": [{"source": "/does/not/exist", "target": "/x"}]},
        "files": {"files": [{"path": "relative", "content": ""}]},
        "allowed": {"allowed": [{"protocol": "tcp", "port_min": 9, "port_max": 1}]},
    }.items():
        with pytest.raises(HostError, match=f"^bad_request: {field}"):
            host.create_guest(**spec("bad", 25, guest_image, **changes))
    with pytest.raises(HostError, match="^bad_request: id"):
        host.create_guest(**spec("../bad", 25, guest_image))
    with pytest.raises(HostError, match="^bad_request: malformed"):
        host._call("create_volume", volume_id="x")
    for verb in (host.start_guest, host.stop_guest, host.reboot_guest, host.console):
        with pytest.raises(HostError, match="^not_found"):
            verb("absent")
    host.create_guest(**spec("first", 26, guest_image))
    with pytest.raises(HostError, match="^conflict: address"):
        host.create_guest(**spec("second", 26, guest_image))


def test_a_guest_that_cannot_boot_says_why(host, tmp_path):
    (tmp_path / "tree/etc").mkdir(parents=True)
    image.layer(tmp_path / "tree", tmp_path / "empty.squashfs")
    with pytest.raises(HostError, match="^failed: guest hollow not started"):
        host.create_guest(**spec("hollow", 27, tmp_path / "empty.squashfs"))
    assert state(host, "hollow")["state"] == "crashed"


@pytest.fixture
def doomed(tmp_path, guest_image, own_place):
    """A cloud that a test removes itself, with an image file of its own so that its loop devices are known."""
    shutil.copy(guest_image, tmp_path / "image.squashfs")
    prefix, subnet = own_place(2)
    config = Config(tmp_path / "state", prefix=prefix, subnet=subnet)
    janitor.remove_kernel_objects(config.prefix)
    config.state_dir.mkdir()
    config.save()
    services.ensure(config, ["host"])
    yield config
    janitor.remove_kernel_objects(config.prefix)
    janitor.remove_state(config.state_dir)


def test_down_leaves_nothing_even_after_kill(doomed):
    host = HostClient(doomed)
    image_file = doomed.state_dir.parent / "image.squashfs"
    host.create_volume("v", 1)
    for number in (10, 11):
        host.create_guest(**spec(f"g{number}", 1, image_file, address=at(number, doomed)))
    host.attach_volume("v", "g10")
    assert host.exec_guest("g10", ["sh", "-c", "mkfs.ext4 -q /dev/vdb && mount /dev/vdb /mnt"])["rc"] == 0
    kinds = {trace.split()[0] for trace in traces(doomed.prefix, doomed.state_dir.parent)}
    assert kinds == {"link", "namespace", "control", "mount", "loop", "process"}
    os.kill(services.identity(doomed.state_dir, "host")["pid"], signal.SIGKILL)
    for _ in range(2):
        janitor.remove_kernel_objects(doomed.prefix)
        janitor.remove_state(doomed.state_dir)
        until(lambda: not traces(doomed.prefix, doomed.state_dir.parent), "nothing is left")
    assert not doomed.state_dir.exists()


def test_a_creation_interrupted_anywhere_is_finished_by_the_next(doomed):
    host = HostClient(doomed)
    image_file = doomed.state_dir.parent / "image.squashfs"
    wanted = spec("again", 1, image_file, address=at(20, doomed))
    for delay_ms in range(0, 160, 20):
        with ThreadPoolExecutor(1) as pool:
            interrupted = pool.submit(host.create_guest, **wanted)
            time.sleep(delay_ms / 1000)
            os.kill(services.identity(doomed.state_dir, "host")["pid"], signal.SIGKILL)
            with suppress(HostError):
                interrupted.result()
        services.ensure(doomed, ["host"])
        host.create_guest(**wanted)
        until_answers(at(20, doomed))
        with ThreadPoolExecutor(1) as pool:
            interrupted = pool.submit(host.delete_guest, "again")
            time.sleep(delay_ms / 2000)
            os.kill(services.identity(doomed.state_dir, "host")["pid"], signal.SIGKILL)
            with suppress(HostError):
                interrupted.result()
        services.ensure(doomed, ["host"])
        host.delete_guest("again")
        assert host.list_guests() == []
        assert {trace.split()[0] for trace in traces(doomed.prefix + "g", doomed.guests_dir)} == set()


def test_a_prefix_or_subnet_in_use_is_refused(cloud, tmp_path):
    with pytest.raises(HostError, match="^conflict: prefix"):
        network.check_free(Config(tmp_path, prefix=cloud.prefix, subnet="10.215.0.0/16"))
    with pytest.raises(HostError, match="^conflict: subnet"):
        network.check_free(Config(tmp_path, prefix="mcoth", subnet=cloud.subnet))
