"""Becomes one guest's init: builds its mounts and namespaces, then executes /sbin/init of its image.

Run by host/waiter.sh as first process of a new pid namespace: `launcher.py GUEST_DIR REPORT_FD`. Reads launch.json and
devices.json in GUEST_DIR, tells its pid (or why it failed) to REPORT_FD as one JSON line. Imports little: its start
is part of every boot.
"""

from __future__ import annotations

import fcntl
import json
import os
import resource
import stat
import sys
import termios

from minicloud.host import personalise, syscalls
from minicloud.host.syscalls import bind, mount

CONSOLE_LIMIT = 32 << 20  # bytes of console.log; it starts afresh at a boot that finds it half full
_NODES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}
_HIDDEN = ("/proc/sysrq-trigger", "/proc/kcore", "/proc/kmsg", "/proc/timer_list")
_INIT = "/sbin/init"
_DISK_GROUP = 6
_TTY_GROUP = 5


def main(guest_dir: str, report: int) -> None:
    """Launch the guest. Returns only by exec; on failure reports the reason and exits with 1."""
    os.set_inheritable(report, False)
    try:
        for name in os.listdir("/proc/self/fd"):  # the waiter's lock and the like must not reach the guest
            if int(name) > 2 and os.path.exists(f"/proc/self/fd/{name}"):
                os.set_inheritable(int(name), False)
        _launch(guest_dir, report)
    except (OSError, ValueError, KeyError) as error:
        print(f"minicloud: guest not started: {error!r}", file=sys.stderr, flush=True)
        _tell(report, {"error": str(error)})
        sys.exit(1)


def identity() -> dict:
    """Return {"pid", "start_time"} of this process as the host sees it (needs the host's /proc)."""
    with open("/proc/self/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return {"pid": int(os.readlink("/proc/self")), "start_time": int(fields[19])}


def _launch(guest_dir: str, report: int) -> None:
    os.chdir(guest_dir)
    os.umask(0o022)
    with open("launch.json") as file:
        plan = json.load(file)
    me = identity()
    home = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    _join(plan["join_first"])
    _forget_last_run()
    master, slave = _open_console()
    log = os.open("console.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if os.fstat(log).st_size > CONSOLE_LIMIT // 2:
        os.ftruncate(log, 0)

    with open(plan["netns"], "rb") as netns:
        syscalls.setns(netns.fileno(), syscalls.CLONE_NEWNET)
    syscalls.unshare(syscalls.CLONE_NEWNS | syscalls.CLONE_NEWUTS | syscalls.CLONE_NEWIPC)
    mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
    _mount_root(plan["layers"])
    _mount_dev("root/dev", slave)
    mount(
        "tmpfs",
        "root/run",
        "tmpfs",
        syscalls.MS_NOSUID | syscalls.MS_NODEV,
        f"mode=755,size={max(plan['memory_mb'] // 4, 16)}m",
    )

    _join(plan["join_last"])
    syscalls.unshare(syscalls.CLONE_NEWCGROUP)  # after joining: the guest sees its own group as the root
    _enter_root(plan["binds"])
    syscalls.set_host_name(plan["hostname"])
    personalise.every_boot()
    _inject(home)

    if not os.access(_INIT, os.X_OK):
        raise FileNotFoundError(f"the image has no {_INIT}")
    syscalls.drop_capabilities()
    _keep_console(master, slave, log)
    _write_run(home, me)
    _tell(report, me)
    os.setsid()
    for descriptor in (0, 1, 2):
        os.dup2(slave, descriptor)
    os.execve(_INIT, [_INIT], {"container": "minicloud", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TERM": "dumb"})


def _join(groups: list[str]) -> None:
    for path in groups:
        with open(path, "w") as group:
            group.write("0")


def _forget_last_run() -> None:
    for name in ("exit", "run.json"):
        try:
            os.unlink(name)
        except FileNotFoundError:
            pass


def _open_console() -> tuple[int, int]:
    """Open the terminal whose slave becomes the guest's /dev/console (systemd writes to nothing but terminals)."""
    master, slave = os.openpty()
    attributes = termios.tcgetattr(slave)
    attributes[1] &= ~termios.OPOST  # keep the log free of carriage returns
    attributes[3] &= ~termios.ECHO
    termios.tcsetattr(slave, termios.TCSANOW, attributes)
    return master, slave


def _keep_console(master: int, slave: int, log: int) -> None:
    """Start the process that keeps what is written to the console: the image's own `cat`.

    It lives in all of the guest's namespaces, so it opens no way to the host and ends with the guest. systemd spares
    processes whose name starts with "@" until the very end of a shutdown.
    """
    if os.fork() == 0:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_FSIZE, (CONSOLE_LIMIT, CONSOLE_LIMIT))
        os.dup2(master, 0)
        os.set_inheritable(slave, True)  # while it is open here, reading does not fail between two writers
        os.dup2(log, 1)
        os.dup2(log, 2)
        try:
            os.execve("/bin/cat", ["@minicloud-console", "-u"], {})
        except OSError as error:
            os.write(2, f"minicloud: no console log: /bin/cat of the image: {error}\n".encode())
            os._exit(1)


def _mount_root(layers: list[str]) -> None:
    """Mount the image's layers and the guest's own writable layer over them at ./root.

    Short relative names keep the option string valid whatever characters the state directory has.
    """
    for number, layer in enumerate(layers):
        target = f"layers/{number}"
        os.makedirs(target, exist_ok=True)
        device, descriptor = _layer_device(layer)
        mount(device, target, "squashfs", syscalls.MS_RDONLY | syscalls.MS_NODEV)
        os.close(descriptor)
    lower = ":".join(f"layers/{number}" for number in reversed(range(len(layers))))
    for name in ("upper", "work", "root"):
        os.makedirs(name, exist_ok=True)
    os.chmod("upper", 0o755)
    mount("overlay", "root", "overlay", options=f"lowerdir={lower},upperdir=upper,workdir=work")


def _layer_device(path: str) -> tuple[str, int]:
    """Return a read-only loop device of an image file: the one other guests use, so that its cache is shared, or new.

    The device clears itself after the last guest; holding it open until it is mounted keeps it from doing so too early.
    """
    # Guests that start at the same time share as well, hence the lock. It has a descriptor of its own: a loop device
    # keeps the one it was given, and would hold the lock as long as it lives.
    with open(path, "rb") as lock, open(path, "rb") as layer:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name in os.listdir("/sys/block"):
            if name.startswith("loop") and _backing_file(name) == path:
                descriptor = os.open(f"/dev/{name}", os.O_RDONLY | os.O_CLOEXEC)
                if _backing_file(name) == path:
                    return f"/dev/{name}", descriptor
                os.close(descriptor)
        return syscalls.attach_loop(layer.fileno(), read_only=True, autoclear=True)


def _backing_file(device: str) -> str:
    try:
        with open(f"/sys/block/{device}/loop/backing_file") as file:
            return file.read().rstrip("\n")
    except OSError:
        return ""


def _mount_dev(dev: str, terminal: int) -> None:
    mount("tmpfs", dev, "tmpfs", syscalls.MS_NOSUID, "mode=755,size=1m")
    os.umask(0)
    for name, (major, minor) in _NODES.items():
        os.mknod(f"{dev}/{name}", stat.S_IFCHR | 0o666, os.makedev(major, minor))
    for name, target in _LINKS.items():
        os.symlink(target, f"{dev}/{name}")
    with open("devices.json") as file:
        for name, volume in json.load(file).items():
            path = f"{dev}/{os.path.basename(name)}"
            os.mknod(path, stat.S_IFBLK | 0o660, os.makedev(*volume["number"]))
            os.chown(path, 0, _DISK_GROUP)
    os.umask(0o022)
    os.mkdir(f"{dev}/pts")
    mount(
        "devpts",
        f"{dev}/pts",
        "devpts",
        syscalls.MS_NOSUID | syscalls.MS_NOEXEC,
        f"newinstance,ptmxmode=0666,mode=620,gid={_TTY_GROUP}",
    )
    os.mkdir(f"{dev}/shm")
    mount("tmpfs", f"{dev}/shm", "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, "mode=1777")
    os.close(os.open(f"{dev}/console", os.O_CREAT | os.O_WRONLY, 0o600))
    bind(os.ttyname(terminal), f"{dev}/console")


def _enter_root(binds: list[dict]) -> None:
    """Make ./root the root directory; what still has to come from the host is taken over while both are visible."""
    home = os.getcwd()
    sources = [(os.path.realpath(item["source"]), item["target"]) for item in binds]
    if os.path.isdir("config-drive"):
        sources.append((os.path.realpath("config-drive"), "/mnt/config"))
    host = "/run/.host"
    os.mkdir(f"root{host}")
    syscalls.pivot_root("root", f"root{host}")
    os.chdir("/")
    flags = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
    mount("proc", "/proc", "proc", flags)
    mount("sysfs", "/sys", "sysfs", flags | syscalls.MS_RDONLY)
    mount("cgroup2", "/sys/fs/cgroup", "cgroup2", flags)
    bind("/proc/sys", "/proc/sys", read_only=True)
    bind(f"{host}{home}/meminfo", "/proc/meminfo", read_only=True)
    for path in _HIDDEN:
        if os.path.exists(path):
            bind("/dev/null", path)
    for source, target in sources:
        _bind_into(f"{host}{source}", target)
    syscalls.umount(host, syscalls.MNT_DETACH)
    os.rmdir(host)


def _bind_into(source: str, target: str) -> None:
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    elif not os.path.exists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    bind(source, target, read_only=True)


def _inject(home: int) -> None:
    """At the first boot write the creator's files; what was injected is then forgotten on the host."""
    try:
        descriptor = os.open("inject.json", os.O_RDONLY | os.O_CLOEXEC, dir_fd=home)
    except FileNotFoundError:
        return
    with os.fdopen(descriptor) as file:
        personalise.first_boot(json.load(file))
    os.unlink("inject.json", dir_fd=home)


def _write_run(home: int, me: dict) -> None:
    descriptor = os.open("run.json.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600, dir_fd=home)
    with os.fdopen(descriptor, "w") as file:
        json.dump(me, file)
    os.replace("run.json.new", "run.json", src_dir_fd=home, dst_dir_fd=home)


def _tell(report: int, message: dict) -> None:
    try:
        os.write(report, json.dumps(message).encode() + b"\n")
    except BrokenPipeError:
        pass  # a reboot from within: nobody waits


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
