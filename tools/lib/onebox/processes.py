"""Long-running processes of a set-up: start, find, stop.

Each gets the state directory in its environment, and children inherit it. So everything that a set-up started can
be found in /proc, whatever became of the process that started it, and nothing else is ever signalled.
"""
import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

from onebox.settings import SetupError

MARK = "TROVE_ONEBOX"  # environment variable: the state directory
NAME = "TROVE_ONEBOX_NAME"  # and the name of the service
# setproctitle, which servers use to name themselves, would write its titles over the environment.
KEEP_ENVIRONMENT = {"SPT_NOENV": "1"}
STARTED_WITHIN = 5  # seconds until a new process shows its environment, on a machine that is very busy
STOPPING = "stopping"  # the name that a service of ours takes when it was told to end
LISTEN = "0A"  # a state in /proc/net/tcp


def start(settings, name, command, environment=None):
    """Start a service in a session of its own with its output appended to its log; returns its pid.

    command: argument list; environment: added to a minimal one (PATH, LANG, HOME).
    """
    settings.logs.mkdir(parents=True, exist_ok=True)
    base = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8",
            "HOME": str(settings.state), "PYTHONUNBUFFERED": "1"}
    with (settings.logs / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=settings.state,
            env={**base, **(environment or {}), **KEEP_ENVIRONMENT, MARK: str(settings.state), NAME: name})
    # Popen returns a moment before the kernel shows the new program's environment, by which we find it.
    wait(lambda: process.pid in running(settings) or process.poll() is not None, STARTED_WITHIN, pause=0.005)
    return process.pid


def running(settings, name=None):
    """{pid: name} of the live processes of the set-up, or of one service of it."""
    mark, found = f"{MARK}={settings.state}".encode(), {}
    for directory in Path("/proc").iterdir():
        if not directory.name.isdigit():
            continue
        try:
            values = (directory / "environ").read_bytes().split(b"\0")
        except OSError:  # it ended meanwhile
            continue
        if mark in values:
            service = next((v.decode().partition("=")[2] for v in values if v.startswith(NAME.encode() + b"=")), "?")
            if name in (None, service):
                found[int(directory.name)] = service
    return found


def main_pid(settings, name):
    """The pid of a service: the oldest of its processes (the others are its workers); None if it does not run."""
    return min(running(settings, name), key=started, default=None)


def stopping(settings, name):
    """Whether a service was told to end and is about it, as its processes then say by their name."""
    for pid in running(settings, name):
        with contextlib.suppress(OSError):  # it ended meanwhile
            if Path(f"/proc/{pid}/comm").read_text().strip() == STOPPING:
                return True
    return False


def started(pid):
    """When a process began, in clock ticks since boot; infinity if it is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return float("inf")


def stop(settings, name=None, timeout=15):
    """End a service, or all of the set-up: SIGTERM, and SIGKILL to what is left after ``timeout`` seconds.

    Raises SetupError when a process survives that.
    """
    for pid in running(settings, name):
        _signal(pid, signal.SIGTERM)
    if not wait(lambda: not running(settings, name), timeout):
        for pid in running(settings, name):
            _signal(pid, signal.SIGKILL)
        if not wait(lambda: not running(settings, name), 10):
            raise SetupError(f"These processes cannot be ended: {running(settings, name)}")


def wait(condition, timeout, pause=0.05):
    """Look again until ``condition()`` is true (returns its value) or ``timeout`` seconds are over (returns None)."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            return None
        time.sleep(pause)


def listens(pids, port):
    """Whether one of these processes listens on a TCP port (IPv4) in its network namespace."""
    for pid in pids:
        with contextlib.suppress(OSError):  # it ended meanwhile
            lines = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
            sockets = {f"socket:[{line[9]}]" for line in lines
                       if line[3] == LISTEN and int(line[1].rpartition(":")[2], 16) == port}
            if any(str(entry.readlink()) in sockets for entry in Path(f"/proc/{pid}/fd").iterdir()):
                return True
    return False


def memory(pids):
    """Memory of processes in bytes, shared pages counted once (proportional set size)."""
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:  # it ended meanwhile
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


def _signal(pid, number):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
