"""What a guest finds in its own file system: identity, injected files, user data, and settings for life in a guest.

Called by the launcher after pivot_root, so every path here is the guest's and links of the image are followed as the
guest would. Everything is in place before init starts. Must not touch the host.
"""

from __future__ import annotations

import binascii
import os
import sys

USERS = "/etc/passwd"
GROUPS = "/etc/group"
USER_DATA_DIR = "/var/lib/minicloud/user-data"
# Units that wait for hardware, set the host's kernel, or want a login: useless or harmful in a guest of this kind.
MASKED_UNITS = (
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "console-getty.service",
    "dev-hugepages.mount",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty.target",
    "iscsid.service",
    "ldconfig.service",
    "sys-fs-fuse-connections.mount",
    "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "systemd-firstboot.service",
    "systemd-hwdb-update.service",
    "systemd-journal-catalog-update.service",
    "systemd-journal-flush.service",
    "systemd-logind.service",
    "systemd-logind-varlink.socket",
    "systemd-modules-load.service",
    "systemd-networkd-wait-online.service",
    "systemd-pcrphase-initrd.service",
    "systemd-pcrphase-sysinit.service",
    "systemd-pcrphase.service",
    "systemd-random-seed.service",
    "systemd-remount-fs.service",
    "systemd-sysctl.service",
    "systemd-udev-trigger.service",
    "systemd-udevd.service",
    "systemd-update-done.service",
    "systemd-update-utmp-runlevel.service",
    "systemd-update-utmp.service",
)
_JOURNAL = """\
# The console log of the server is the lasting copy; a journal on disk would cost each guest 8 MB.
[Journal]
Storage=volatile
RuntimeMaxUse=16M
ForwardToConsole=yes
MaxLevelConsole=info
"""
_MANAGER = """\
# Its messages reach the console through the journal; progress lines would show everything twice.
[Manager]
ShowStatus=no
"""
_USER_DATA_UNIT = f"""\
[Unit]
Description=User data of this server
After=network.target local-fs.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh {USER_DATA_DIR}/run
"""
_USER_DATA_RUNNER = f"""\
# Runs each script of the user data once in the life of this server, also when a reboot interrupts the series.
for script in {USER_DATA_DIR}/script-*[0-9]; do
    [ -e "$script.status" ] && continue
    "$script"
    status=$?
    echo "$status" >"$script.status"
    echo "user data: $script ended with status $status"
done
"""


def every_boot() -> None:
    """Write the settings that live in /run: they hold for any image and leave its disk alone."""
    os.makedirs("/run/systemd/system")
    for unit in MASKED_UNITS:
        os.symlink("/dev/null", f"/run/systemd/system/{unit}")
    write_file("/run/systemd/journald.conf.d/minicloud.conf", _JOURNAL.encode())
    write_file("/run/systemd/system.conf.d/minicloud.conf", _MANAGER.encode())


def first_boot(plan: dict) -> None:
    """Give the guest its identity and the files of its creator.

    plan  {"hostname", "address", "machine_id", "files": [{"path", "content" (base64), "mode"}],
          "user_files": [the same with "owner" and "append"], "scripts": [base64]}
    A file of `files` that cannot be written stops the boot; one of the user data is reported on the console.
    """
    write_file("/etc/hostname", plan["hostname"].encode() + b"\n")
    write_file("/etc/machine-id", plan["machine_id"].encode() + b"\n", 0o444)
    write_file(
        "/etc/hosts",
        "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"
        f"{plan['address']} {plan['hostname']}\n".encode(),
    )
    for item in plan["files"]:
        write_file(item["path"], binascii.a2b_base64(item["content"]), item["mode"])
    for item in plan["user_files"]:
        try:
            write_file(item["path"], binascii.a2b_base64(item["content"]), item["mode"], item["append"])
            if item["owner"]:
                os.chown(item["path"], *lookup_owner(item["owner"]))
        except (OSError, ValueError) as error:
            print(f"user data: {item['path']} not written: {error}", file=sys.stderr, flush=True)
    if plan["scripts"]:
        _install_user_data(plan["scripts"])


def lookup_owner(owner: str) -> tuple[int, int]:
    """Turn "user", "user:group" or numbers into (uid, gid) by the guest's own files. Raises ValueError if unknown."""
    user, _, group = owner.partition(":")
    uid, login_gid = _lookup(USERS, user)
    return uid, _lookup(GROUPS, group)[0] if group else login_gid


def write_file(path: str, content: bytes, mode: int = 0o644, append: bool = False) -> None:
    """Write a file with exactly this mode, making its directories (0755) as needed."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_APPEND if append else os.O_TRUNC)
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        file.write(content)
        os.fchmod(file.fileno(), mode)


def _install_user_data(scripts: list[str]) -> None:
    for number, script in enumerate(scripts):
        write_file(f"{USER_DATA_DIR}/script-{number:02}", binascii.a2b_base64(script), 0o700)
    write_file(f"{USER_DATA_DIR}/run", _USER_DATA_RUNNER.encode(), 0o700)
    unit = "/etc/systemd/system/minicloud-user-data.service"
    write_file(unit, _USER_DATA_UNIT.encode())
    link = "/etc/systemd/system/multi-user.target.wants/minicloud-user-data.service"
    os.makedirs(os.path.dirname(link), exist_ok=True)
    if not os.path.lexists(link):
        os.symlink(unit, link)


def _lookup(database: str, name: str) -> tuple[int, int]:
    """Return the two numbers after the password field of `name` (uid, gid; of a group: gid and anything)."""
    with open(database) as file:
        for line in file:
            fields = line.rstrip("\n").split(":")
            if len(fields) > 3 and (fields[0] == name or fields[2] == name):
                return int(fields[2]), int(fields[3]) if fields[3].isdigit() else -1
    if name.isdigit():
        return int(name), int(name)
    raise ValueError(f"owner: {name!r} is not in the image's {database}")
