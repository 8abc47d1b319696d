"""Benchmark of the agent in a guest of the smallest flavor: its memory, its work while nothing is asked, its backups.

Another build can be measured beside it in the same run (``--beside`` names its checkout): both have their own set-up.
"""
import contextlib
import os
import re
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pymysql

from onebox import instance, processes, settings
from onebox.settings import SetupError, secret

NAME = "bench-agent"
BACKUP_TIMEOUT = 300
SETTLE = 15  # seconds after which a new agent has done what belongs to its start
ROW = 1000  # bytes of one row of the table that fills the buffer pool


def run(chosen, progress, arguments):
    """Memory and CPU of an agent on 512 MB, fresh, idle, and after backups of a busy server with a full buffer pool."""
    instance.ensure_m1(chosen, progress)  # as in the other set-up: guests share the pages of programs
    builds = {"this": chosen}
    if arguments.beside:
        builds["other"] = beside(arguments.beside, progress)
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(len(builds)) as pool:
        guests = {name: stack.enter_context(_guest(build, name, progress)) for name, build in builds.items()}
        time.sleep(SETTLE)
        found = dict(zip(guests, pool.map(lambda guest: guest.idle(arguments.seconds), guests.values()), strict=True))
        for name, guest in guests.items():  # one after the other: their servers are busy then
            progress.say(f"        {name}: idle {found[name]}")
            found[name].update(guest.back_up(arguments.backups, arguments.warm_mb, progress))
    rows = []
    for what in found["this"]:
        row = {"what": what, **{name: values[what] for name, values in found.items()}}
        if "other" in found:
            row["ratio"] = round(row["this"] / row["other"], 3) if row["other"] else None
        rows.append(row)
    return rows, bool(found["this"]["servers killed"] or found["this"]["backups failed"])


def beside(checkout, progress):
    """Start the set-up of another checkout and return its Settings. The caller of the tool ends it."""
    checkout = Path(checkout).resolve()
    environment = {name: value for name, value in os.environ.items()
                   if name not in ("TROVE_STATE", "PYTHONPATH", "VIRTUAL_ENV")}
    progress.say(f"        starting the set-up of {checkout}")
    done = subprocess.run([checkout / "tools/quickstart", "--json"], capture_output=True, text=True, timeout=600,
                          check=False, env=environment)
    if done.returncode:
        raise SetupError(f"The set-up of {checkout} does not start: {done.stderr[-1000:]}")
    return settings.load(state=checkout / ".run")


@contextlib.contextmanager
def _guest(build, name, progress):
    api = instance.client(build)
    for old in api.get("/instances?limit=100").json()["instances"]:
        if old["name"] == NAME:
            instance.delete(api, old["id"])
    made = instance.create(api, NAME, secret(build, "bench_user"))
    try:
        found = instance.wait_active(api, made["id"])
        progress.say(f"        {name}: the instance is active")
        yield _Guest(build, api, found)
    finally:
        instance.delete(api, made["id"])


class _Guest:
    """One instance, its agent and its server."""

    def __init__(self, build, api, found):
        self.build, self.api, self.id = build, api, found["id"]
        self.login = {"host": instance.address(found), "user": instance.USER,
                      "password": secret(build, "bench_user").encode(), "database": instance.DATABASE}

    def _pid(self, what):
        # The set-up may have other guests: that of this instance has its id in its configuration.
        for pid in in_guests(self.build.prefix):
            with contextlib.suppress(OSError):
                line = Path(f"/proc/{pid}/cmdline").read_bytes()
                if what in line and self.id in Path(
                        f"/proc/{pid}/root/etc/trove/conf.d/guest_info.conf").read_text():
                    return pid
        raise SetupError(f"The guest of instance {self.id} has no process {what.decode()}")

    def agent(self):
        """Pid of the agent."""
        return self._pid(b"trove-guestagent")

    def server(self):
        """Pid of the database server."""
        return self._pid(b"mariadbd")

    def idle(self, seconds):
        """Memory of a new agent and its CPU while nobody asks anything, for so many seconds."""
        pid = self.agent()
        fresh, begun = processes.memory([pid]) / 1e6, time.monotonic()
        before, woken = _cpu(pid)
        time.sleep(seconds)
        taken, after = time.monotonic() - begun, _cpu(pid)
        return {"fresh, MB": round(fresh, 1), "idle, % of a core": round((after[0] - before) / taken * 100, 3),
                "idle, wake-ups/s": round((after[1] - woken) / taken, 2),
                "threads": len(list(Path(f"/proc/{pid}/task").iterdir()))}

    def back_up(self, count, megabytes, progress):
        """Fill the buffer pool and take backups while somebody writes; what the agent's memory is after each."""
        self._fill(megabytes)
        memory, peak, failed, killed, stop = [], 0, 0, 0, threading.Event()
        writer = threading.Thread(target=self._write, args=(stop,), daemon=True)
        writer.start()
        server = self.server()
        try:
            for number in range(count):
                if not self._one_backup(number):
                    failed += 1
                if not self._same(server):
                    killed += 1
                    server = self._next_server()
                with contextlib.suppress(SetupError):
                    memory.append(round(processes.memory([self.agent()]) / 1e6, 1))
                    peak = max(peak, _peak(self.agent()))
                progress.say(f"        backup {number + 1}: agent {memory[-1:]} MB, {failed} failed, {killed} killed")
        finally:
            stop.set()
            writer.join(30)
        return {"after the first backup, MB": memory[0], "after the last backup, MB": memory[-1],
                "most after a backup, MB": max(memory), "agent's peak (resident), MB": peak,
                "backups failed": failed, "servers killed": killed}

    def _same(self, pid):
        return Path(f"/proc/{pid}/comm").exists() and self._next_server() == pid

    def _next_server(self):
        return processes.wait(lambda: _or_none(self.server), 60, 0.5)

    def _connect(self):
        return pymysql.connect(**self.login, connect_timeout=10, read_timeout=120, autocommit=True)

    def _fill(self, megabytes):
        with self._connect() as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE IF NOT EXISTS filling (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(1000))")
            for _ in range(megabytes):
                values = ",".join(f"('{os.urandom(ROW // 4).hex()}{'x' * (ROW // 2)}')" for _ in range(1000))
                cursor.execute(f"INSERT INTO filling (v) VALUES {values}")  # noqa: S608 - hexadecimal digits
            cursor.execute("SELECT SUM(LENGTH(v)) FROM filling")

    def _write(self, stop):
        while not stop.is_set():
            with contextlib.suppress(pymysql.err.MySQLError), self._connect() as connection, \
                    connection.cursor() as cursor:
                while not stop.wait(0.01):
                    cursor.execute("UPDATE filling SET v = REVERSE(v) WHERE id = 1 + FLOOR(RAND() * 100000)")

    def _one_backup(self, number):
        body = {"backup": {"name": f"bench-{number}", "instance": self.id}}
        made = self.api.post("/backups", json=body).json()["backup"]
        ended = processes.wait(lambda: self._ended(made["id"]), BACKUP_TIMEOUT, 0.5)
        self.api.delete(f"/backups/{made['id']}", raise_exc=False)
        return ended == "COMPLETED"

    def _ended(self, backup_id):
        status = self.api.get(f"/backups/{backup_id}").json()["backup"]["status"]
        return status if status in ("COMPLETED", "FAILED") else None


def _or_none(find):
    try:
        return find()
    except SetupError:
        return None


def _cpu(pid):
    """Seconds of CPU of a process and how often its threads have woken up."""
    seconds = woken = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        seconds += int((task / "schedstat").read_text().split()[0]) / 1e9
        woken += int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", (task / "status").read_text(), re.MULTILINE)[1])
    return seconds, woken


def _peak(pid):
    return round(int(re.search(r"VmHWM:\s*(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1000, 1)


def in_guests(prefix):
    """The processes in the control groups of the guests of a cloud."""
    found = []
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            try:
                groups = (directory / "cgroup").read_text()
            except OSError:  # it ended meanwhile
                continue
            if f"/minicloud-{prefix}/guests/" in groups:
                found.append(int(directory.name))
    return found
