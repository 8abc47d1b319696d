"""The logs of a guest that users may read: the agent's own, and those that the database server writes on demand.

They are published in pieces to the object store, by a signature (TempURL) of the control plane: the guest has no
account. How far that went is kept in the agent's state directory. Called by the managers.
"""
import abc
import dataclasses
import datetime
import json
import os
import pwd
import stat
import threading
import time
from pathlib import Path

from oslo_log import log as logging

from trove.common import exception
from trove.common.cfg import CONF
from trove.guestagent.common import operating_system
from trove.guestagent.strategies.storage import swift

LOG = logging.getLogger(__name__)

SYSTEM, USER = "SYS", "USER"
AGENT = "guest"


@dataclasses.dataclass(frozen=True)
class GuestLog:
    """One log. owner: the user who writes it; a file of anybody else's is not read, whatever lies under the path."""

    name: str
    kind: str
    path: Path | None
    owner: str


@dataclasses.dataclass
class Progress:
    """How far a log was published. inode: of the file; offset: bytes of it that were; published: bytes in all;
    sending: name and end of the piece that is on its way, so that a repetition replaces it.
    """

    inode: int = 0
    offset: int = 0
    published: int = 0
    sending: list | None = None


def agent_log():
    """The agent's own log; without a path when it logs to a stream."""
    path = None
    if CONF.log_file:
        path = Path(CONF.log_dir or ".") / CONF.log_file
    return GuestLog(AGENT, SYSTEM, path, pwd.getpwuid(os.geteuid()).pw_name)


class ServerLogs(abc.ABC):
    """The logs that a database server writes on demand. Made with the Server and the name of the datastore manager."""

    @abc.abstractmethod
    def guest_logs(self):
        """Return a GuestLog for each."""

    @abc.abstractmethod
    def is_logging(self, name):
        """Return whether the server writes a log; False also when it cannot be asked."""

    @abc.abstractmethod
    def set_logging(self, name, on):
        """Turn a log on or off, for now and for the next start. Raises GuestError if the server rejects it."""


class LogKeeper:
    """The logs of this guest. server: ServerLogs, or None for a datastore without any."""

    def __init__(self, server=None):
        self._server = server
        self._lock = threading.Lock()

    def _logs(self):
        return {log.name: log for log in [agent_log(), *(self._server.guest_logs() if self._server else ())]}

    def list_logs(self):
        """Every log, as a dict with name, type, status, published and pending (bytes)."""
        known = _load()
        return [self._view(log, known.get(log.name, Progress())) for log in self._logs().values()]

    def act(self, name, enable, disable, publish, discard, storage):
        """Turn a log on or off, forget what was published of it, publish what is new; returns its dict.

        storage: {"url", "PUT", "prefix"} of the object store, None unless it is to be published. Raises BadRequest for
        an unknown log and for what cannot be done with it.
        """
        logs = self._logs()
        if name not in logs:
            raise exception.BadRequest(f"There is no log '{name}'.")
        log = logs[name]
        with self._lock:
            if enable or disable:
                if log.kind != USER:
                    raise exception.BadRequest(f"The log '{name}' is always on.")
                self._server.set_logging(name, bool(enable))
            known = _load()
            progress = known.setdefault(name, Progress())
            if discard:
                known[name] = progress = Progress()
                _save(known)
            if publish:
                _publish(log, progress, storage, lambda: _save(known))
            return self._view(log, progress)

    def _view(self, log, progress):
        enabled = log.kind == SYSTEM or self._server.is_logging(log.name)
        try:
            with _opened(log) as file:
                facts = os.fstat(file.fileno())
        except OSError:
            facts = None
        rotated = facts is not None and progress.published > 0 and _is_another(facts, progress)
        pending = 0 if facts is None else facts.st_size - (0 if _is_another(facts, progress) else progress.offset)
        return {"name": log.name, "type": log.kind, "published": progress.published, "pending": pending,
                "status": status(log.kind, enabled, facts is not None, progress.published, pending, rotated)}


def status(kind, enabled, exists, published, pending, rotated):
    """The word for the state of a log."""
    if not enabled:
        return "Disabled"
    if not exists:
        return "Unavailable" if kind == SYSTEM else "Enabled"
    if rotated:
        return "Rotated"
    if published:
        return "Partial" if pending else "Published"
    return "Ready" if pending else "Enabled"


def _is_another(facts, progress):
    """Whether the file is not the one that was read, or was made shorter since."""
    return facts.st_ino != progress.inode or facts.st_size < progress.offset


def _opened(log):
    """The file of a log, open for reading. Raises OSError.

    Whoever rules the database server can put a link in its place, and the agent may read everything.
    """
    if log.path is None:
        raise FileNotFoundError(log.name)
    file = operating_system.open_plain(log.path)
    facts = os.fstat(file.fileno())
    if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1 or facts.st_uid != pwd.getpwnam(log.owner).pw_uid:
        file.close()
        raise PermissionError(f"{log.path} is not a file that {log.owner} wrote")
    return file


def _publish(log, progress, storage, save):
    """Send what was not sent yet, at most for half of agent_call_high_timeout: the next call goes on."""
    end = time.monotonic() + CONF.agent_call_high_timeout / 2
    try:
        file = _opened(log)
    except OSError as error:
        raise exception.BadRequest(f"The log '{log.name}' cannot be published: there is nothing of it.") from error
    with file:
        facts = os.fstat(file.fileno())
        if _is_another(facts, progress):
            progress.inode, progress.offset, progress.sending = facts.st_ino, 0, None
        while progress.offset < facts.st_size and time.monotonic() < end:
            if progress.sending is None:
                moment = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
                piece = _piece(file, progress.offset, facts.st_size)
                progress.sending = [f"log-{moment}", progress.offset + len(piece)]
                save()
            name, stop = progress.sending
            file.seek(progress.offset)
            content = file.read(stop - progress.offset)
            swift.put(storage, storage["prefix"] + name, content, {
                "Content-Type": "text/plain", "X-Object-Meta-Lines": str(len(content.splitlines())),
                "X-Delete-After": str(CONF.guest_log_expiry)}, patience=max(0, end - time.monotonic()))
            progress.published += len(content)
            progress.offset, progress.sending = progress.offset + len(content), None
            save()
    meta = {"log": log.name, "type": log.kind, "published": progress.published, "offset": progress.offset}
    swift.put(storage, f"{storage['prefix'].rstrip('/')}_metafile", json.dumps(meta).encode(),
              {"Content-Type": "application/json", "X-Delete-After": str(CONF.guest_log_expiry)},
              patience=max(0, end - time.monotonic()))


def _piece(file, start, end):
    """The bytes of the next piece: at most guest_log_limit, whole lines if one fits."""
    file.seek(start)
    content = file.read(min(CONF.guest_log_limit, end - start))
    if start + len(content) < end and b"\n" in content:
        content = content[:content.rindex(b"\n") + 1]
    return content


def _path():
    return operating_system.state_dir() / "logs.json"


def _load():
    """{name of a log: Progress}; what cannot be read counts as nothing published."""
    try:
        found = json.loads(operating_system.read_file(_path()) or "{}")
        return {name: Progress(**values) for name, values in found.items()}
    except (ValueError, TypeError, AttributeError) as error:
        LOG.warning("%s: %s is damaged (%s); logs are published from their beginning", CONF.guest_id, _path(), error)
        return {}


def _save(known):
    operating_system.write_file(_path(), json.dumps({
        name: dataclasses.asdict(progress) for name, progress in known.items()}), mode=0o600)
