"""Data volumes on real loop devices: formatted once, never twice, mounted, grown."""
import contextlib
import os
import struct
import subprocess
from pathlib import Path

import pytest

from trove.guestagent import volume
from trove.guestagent.common import operating_system, waiting
from trove.guestagent.volume import VolumeDevice, VolumeError

pytestmark = pytest.mark.scenario

MB = 1024 ** 2


def command(*argv):
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


class Disk:
    """A loop device on a sparse file."""

    def __init__(self, path, size=64):
        self.path = path
        with path.open("wb") as file:
            file.truncate(size * MB)
        self.device = command("losetup", "--find", "--show", str(path))

    def grow(self, size):
        os.truncate(self.path, size * MB)
        command("losetup", "-c", self.device)

    def remove(self):
        command("losetup", "--detach", self.device)


@pytest.fixture
def disk(conf, tmp_path, monkeypatch):
    conf.set_override("guest_state_dir", str(tmp_path / "state"))
    conf.set_override("volume_fstype", "ext4")
    conf.set_override("num_tries", 1)
    monkeypatch.setattr(volume, "FSTAB", str(tmp_path / "fstab"))
    monkeypatch.setattr(waiting.time, "sleep", lambda seconds: None)
    made = Disk(tmp_path / "disk")
    yield made
    for point in ("m", "other"):
        while volume.mounted_device(tmp_path / point):
            command("umount", str(tmp_path / point))
    made.remove()


@pytest.fixture
def point(tmp_path):
    return tmp_path / "m"


def fstab(tmp_path):
    return operating_system.read_file(tmp_path / "fstab")


@pytest.mark.parametrize("kind", ["ext3", "ext4"])
def test_a_new_volume_is_formatted_and_mounted_and_noted(conf, disk, point, tmp_path, kind):
    conf.set_override("volume_fstype", kind)
    (tmp_path / "fstab").write_text(f"# {point} was here\n/dev/vda / ext4 defaults 0 1\n/dev/old {point} ext3 x 0 0\n")
    device = VolumeDevice(disk.device)
    assert device.filesystem() is None
    device.format()
    assert device.filesystem() == kind
    device.mount(point)
    assert fstab(tmp_path) == (f"# {point} was here\n/dev/vda / ext4 defaults 0 1\n"
                               f"{disk.device} {point} auto defaults,noatime,noauto,nofail 0 0\n")
    assert command("findmnt", "-n", "-o", "FSTYPE", str(point)) == kind


def test_all_of_it_may_be_repeated_and_data_stays(disk, point, tmp_path):
    for _ in range(2):
        device = VolumeDevice(disk.device)
        device.format()
        device.mount(point)
        (point / "kept").touch()
    assert fstab(tmp_path).count(str(point)) == 1
    device.unmount(point)
    device.unmount(point)
    assert not (point / "kept").exists()
    volume.mount_recorded(point)
    volume.mount_recorded(point)
    assert (point / "kept").exists()
    assert sum(1 for line in Path("/proc/self/mountinfo").read_text().splitlines() if f" {point} " in line) == 1


def test_without_a_note_nothing_is_mounted_at_boot(disk, point):
    volume.mount_recorded(point)
    assert volume.mounted_device(point) is None


def partition(disk):
    """Write a partition table with one Linux partition."""
    entry = struct.pack("<B3sB3sII", 0, b"", 0x83, b"", 2048, 4096)
    with open(disk.device, "r+b") as file:
        file.write(bytes(446) + entry + bytes(48) + b"\x55\xaa")


@pytest.mark.parametrize("make", [lambda disk: command("mkswap", disk.device), partition], ids=["swap", "partitions"])
def test_a_device_with_something_else_on_it_is_never_formatted(disk, make):
    make(disk)
    before = disk.path.read_bytes()
    with pytest.raises(VolumeError, match="not formatted, lest data be lost"):
        VolumeDevice(disk.device).format()
    assert disk.path.read_bytes() == before


def test_a_file_system_whose_making_was_interrupted_is_made_again(disk, point):
    device = VolumeDevice(disk.device)
    device.format()
    device._format_marker.write_text("ext4")
    # Block group descriptors are missing, as when mkfs is killed before its end.
    with open(disk.device, "r+b") as file:
        file.seek(1024 + 1024)
        file.write(b"\xff" * 4096)
    with pytest.raises(operating_system.ProcessError):
        device.mount(point)
    device.format()
    device.mount(point)
    assert not device._format_marker.exists()


def test_an_interruption_after_the_making_costs_no_data(disk, point):
    device = VolumeDevice(disk.device)
    device.format()
    device.mount(point)
    (point / "kept").touch()
    device.unmount(point)
    device._format_marker.write_text("ext4")
    device.format()
    device.mount(point)
    assert (point / "kept").exists()


def test_a_damaged_file_system_without_an_interruption_is_an_error_and_not_formatted(disk, point):
    device = VolumeDevice(disk.device)
    device.format()
    with open(disk.device, "r+b") as file:
        file.seek(1024 + 1024)
        file.write(b"\xff" * 4096)
    device.format()
    with pytest.raises(operating_system.ProcessError, match="mount failed"):
        device.mount(point)


@pytest.mark.parametrize("mounted", [True, False])
@pytest.mark.parametrize("kind", ["ext3", "ext4"])
def test_a_volume_that_grew_is_filled(conf, disk, point, mounted, kind):
    conf.set_override("volume_fstype", kind)
    device = VolumeDevice(disk.device)
    device.format()
    device.mount(point)
    (point / "kept").touch()
    before = os.statvfs(point).f_blocks
    if not mounted:
        device.unmount(point)
    disk.grow(128)
    for _ in range(2):
        assert device.resize_fs(point) is True
        assert (volume.mounted_device(point) is not None) is mounted
    device.mount(point)
    assert os.statvfs(point).f_blocks > 1.8 * before
    assert (point / "kept").exists()


@pytest.mark.parametrize("kind", ["ext3", "ext4", "xfs"])
def test_a_mounted_volume_grows_or_is_left_alone_while_files_on_it_are_open(conf, disk, point, kind):
    """Whether the kernel lets this process grow a mounted ext3 or ext4 hangs on its capabilities; both are fine."""
    conf.set_override("volume_fstype", kind)
    disk.remove()
    disk.__init__(disk.path, size=320)
    device = VolumeDevice(disk.device)
    device.format()
    device.mount(point)
    before = os.statvfs(point).f_blocks
    assert kind == "xfs" or device.resize_fs(point, online=True) is True  # it has nothing to grow into
    disk.grow(640)
    with (point / "kept").open("w"):
        grown = device.resize_fs(point, online=True)
        assert volume.mounted_device(point) is not None
        assert grown is (os.statvfs(point).f_blocks > 1.8 * before)
        assert grown or kind != "xfs"


def test_a_device_that_did_not_grow_says_so(disk, point):
    device = VolumeDevice(disk.device)
    device.format()
    device.mount(point)
    with pytest.raises(VolumeError, match="did not grow to 1 GB"):
        device.resize_fs(point, size=1)
    assert volume.mounted_device(point) is not None


def test_another_device_in_its_place_is_an_error(disk, point, tmp_path):
    other = Disk(tmp_path / "second")
    try:
        VolumeDevice(other.device).format()
        VolumeDevice(other.device).mount(point)
        VolumeDevice(disk.device).format()
        with pytest.raises(VolumeError, match="is mounted there"):
            VolumeDevice(disk.device).mount(point)
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            command("umount", str(point))
        other.remove()


@pytest.mark.parametrize(("path", "says"), [("/dev/no-such-device", "did not appear .*num_tries"),
                                            ("/dev/null", "no block device")])
def test_what_is_no_volume(disk, path, says):
    with pytest.raises(VolumeError, match=says):
        VolumeDevice(path).format()


def test_a_file_system_that_cannot_grow_says_so(disk, point):
    command("mkfs.minix", disk.device)
    with pytest.raises(VolumeError, match="minix cannot be grown"):
        VolumeDevice(disk.device).resize_fs(point)
