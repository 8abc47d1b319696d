"""The data volume of a guest: found, formatted once, mounted, grown. Called by managers.

A device that carries any signature is never formatted. Mounts are told by the numbers of devices, as the names that
the kernel shows need not be those in the guest's /dev.
"""
import os
import shlex
import stat
from pathlib import Path

from oslo_log import log as logging

from trove.common import exception
from trove.common.cfg import CONF
from trove.guestagent.common import operating_system
from trove.guestagent.common.waiting import wait_until

LOG = logging.getLogger(__name__)

FSTAB = "/etc/fstab"
_EXT = ("ext2", "ext3", "ext4")
GB = 1024 ** 3


class VolumeError(exception.TroveError):
    """The volume is not there or not in a state in which it can be used."""

    message = "Volume %(device)s: %(reason)s"


def mounted_device(mount_point):
    """The device number mounted last at ``mount_point`` ("major:minor"), or None."""
    found = None
    path = str(Path(mount_point).resolve())
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        fields = line.split()
        if fields[4].replace("\\040", " ") == path:
            found = fields[2]
    return found


def mount_recorded(mount_point):
    """Mount at boot what /etc/fstab says of ``mount_point``, if it says something and it is not mounted."""
    recorded = [line.split()[0] for line in _fstab_lines() if _mount_point_of(line) == str(mount_point)]
    if recorded:
        VolumeDevice(recorded[-1]).mount(mount_point)


def _fstab_lines():
    return (operating_system.read_file(FSTAB) or "").splitlines()


def _mount_point_of(line):
    fields = line.split()
    return fields[1] if len(fields) > 1 and not line.lstrip().startswith("#") else None


class VolumeDevice:
    """A block device. Every method may be repeated; each raises VolumeError or ProcessError."""

    def __init__(self, device_path):
        self.device_path = device_path

    def _fail(self, reason):
        raise VolumeError(device=self.device_path, reason=reason)

    def _number(self):
        try:
            status = Path(self.device_path).stat()
        except FileNotFoundError:
            return None
        if not stat.S_ISBLK(status.st_mode):
            self._fail("is no block device.")
        return f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"

    def wait(self):
        """Wait until the device is there: num_tries looks, one second apart."""
        try:
            wait_until(self._number, "The device", option="num_tries", pause=1)
        except exception.PollTimeOut:
            self._fail(f"did not appear (option num_tries: {CONF.num_tries}).")

    def filesystem(self):
        """The type of the file system, or None for a device without any signature. Anything else is an error."""
        said = operating_system.run(["blkid", "-p", "-o", "export", self.device_path], ok=(0, 2))
        found = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
        if found.get("TYPE") and found.get("USAGE", "filesystem") == "filesystem":
            return found["TYPE"]
        if found.keys() - {"DEVNAME"}:
            self._fail(f"carries {found.get('TYPE') or found.get('PTTYPE') or 'something unknown'} and no file system; "
                       "it is not formatted, lest data be lost.")
        return None

    @property
    def _format_marker(self):
        return operating_system.state_dir() / f".formatting.{Path(self.device_path).name}"

    def format(self):
        """Make a file system if there is none. One whose making was interrupted is made again."""
        self.wait()
        if self.filesystem() and not (self._format_marker.exists() and not self._is_usable()):
            self._format_marker.unlink(missing_ok=True)
            return
        kind = CONF.volume_fstype
        if kind == "xfs":
            argv = ["mkfs.xfs", "-q", "-f", self.device_path]
        else:
            argv = [f"mkfs.{kind}", "-q", "-F", "-E", "lazy_itable_init=1,lazy_journal_init=1",
                    *shlex.split(CONF.format_options), self.device_path]
        LOG.info("Making a file system of type %s on %s", kind, self.device_path)
        operating_system.write_file(self._format_marker, kind)
        operating_system.run(argv, timeout=CONF.volume_format_timeout)
        self._format_marker.unlink()

    def _is_usable(self):
        """Whether the file system can be mounted. Asked only after its making was interrupted."""
        trial = operating_system.state_dir() / "trial"
        trial.mkdir(exist_ok=True)
        try:
            operating_system.run(["mount", "-o", "ro", self.device_path, str(trial)])
        except operating_system.ProcessError:
            return False
        operating_system.run(["umount", str(trial)])
        return True

    def mount(self, mount_point, record=True):
        """Mount the device and (``record``) note it in /etc/fstab. Another device in its place is an error."""
        self.wait()
        present = mounted_device(mount_point)
        if present is None:
            Path(mount_point).mkdir(parents=True, exist_ok=True)
            operating_system.run(["mount", "-o", CONF.mount_options, self.device_path, str(mount_point)])
        elif present != self._number():
            self._fail(f"cannot be mounted at {mount_point}: device {present} is mounted there.")
        if record:
            self._record(mount_point)

    def _record(self, mount_point):
        # noauto: without udev systemd waits for the device in vain, and the agent mounts before it starts the server.
        entry = f"{self.device_path} {mount_point} auto {CONF.mount_options},noauto,nofail 0 0"
        lines = _fstab_lines()
        kept = [line for line in lines if _mount_point_of(line) != str(mount_point)]
        if lines != [*kept, entry]:
            operating_system.write_file(FSTAB, "\n".join([*kept, entry]) + "\n")

    def unmount(self, mount_point):
        """Unmount whatever is mounted at ``mount_point``; nothing is fine."""
        while mounted_device(mount_point) is not None:
            operating_system.run(["umount", str(mount_point)])

    def resize_fs(self, mount_point, online=False, size=None):
        """Let the file system fill its device. A mounted one is taken down for it, except XFS, which grows mounted.

        online: leave it mounted and give up where kernel or file system do not allow that; size: GB that the device
        must have before. Returns whether it fills its device.
        """
        self._wait_until_large(size)
        kind = self.filesystem()
        if kind in _EXT:
            return self._grow_ext(mount_point, online)
        if kind == "xfs":
            return self._grow_xfs(mount_point)
        return self._fail(f"a file system of type {kind} cannot be grown.")

    def _grow_ext(self, mount_point, online):
        mounted = mounted_device(mount_point) is not None
        if self._is_filled():
            return True
        if online:
            try:
                operating_system.run(["resize2fs", self.device_path], timeout=CONF.volume_format_timeout)
            except operating_system.ProcessError as error:
                LOG.info("The file system on %s cannot grow while it is mounted: %s", self.device_path, error)
                return False
            return True
        self.unmount(mount_point)
        # 1: errors were found and mended.
        operating_system.run(["e2fsck", "-f", "-p", self.device_path], ok=(0, 1), timeout=CONF.volume_format_timeout)
        operating_system.run(["resize2fs", self.device_path], timeout=CONF.volume_format_timeout)
        if mounted:
            self.mount(mount_point, record=False)
        return True

    def _grow_xfs(self, mount_point):
        mounted = mounted_device(mount_point) is not None
        self.mount(mount_point, record=False)
        operating_system.run(["xfs_growfs", str(mount_point)])
        if not mounted:
            self.unmount(mount_point)
        return True

    def _bytes(self):
        return int(operating_system.run(["blockdev", "--getsize64", self.device_path]))

    def _is_filled(self):
        """Whether an ext file system leaves no more of its device than it cannot use: less than a block group."""
        said = operating_system.run(["dumpe2fs", "-h", self.device_path])
        found = {name.strip(): value.strip() for name, _, value in
                 (line.partition(":") for line in said.splitlines()) if value}
        block = int(found["Block size"])
        used, group = int(found["Block count"]) * block, int(found["Blocks per group"]) * block
        return self._bytes() - used < group

    def _wait_until_large(self, size):
        """Wait until the device is there with at least ``size`` GB (None: any): num_tries looks, one second apart."""
        self.wait()
        wanted = (size or 0) * GB
        try:
            wait_until(lambda: self._bytes() >= wanted, "The device's growth", option="num_tries", pause=1)
        except exception.PollTimeOut:
            self._fail(f"did not grow to {size} GB (option num_tries: {CONF.num_tries}).")


# A file system with less than this is full: servers write in larger steps.
_LEAST_BYTES, _LEAST_FILES = 8 * 1024 * 1024, 8


def used_gb(path):
    """Return the GB that are used on the file system of ``path``."""
    stats = os.statvfs(path)
    return round((stats.f_blocks - stats.f_bfree) * stats.f_frsize / GB, 2)


def is_full(mount_point):
    """Whether a server that writes below ``mount_point`` may wait for room, for bytes or for files."""
    try:
        room = os.statvfs(mount_point)
    except OSError as error:
        LOG.debug("%s: %s cannot be asked for its room: %s", CONF.guest_id, mount_point, error)
        return False
    return room.f_bavail * room.f_frsize < _LEAST_BYTES or bool(room.f_files) and room.f_favail < _LEAST_FILES
