"""The archive of a server's logs as the agent fills and reads it; what an engine's log files are, a strategy knows.

An archive is a row of numbered pieces in the object store. A piece is a tar of one or several closed log files behind a
member that names them and the file before the first, compressed and encrypted as backups are. Its number and the
archive's id are part of its encryption, so no piece can take another's place.

A file of the agent names the archive, the last archived log file and the number of pieces. It is written after a piece
is stored: an agent that dies in between stores the same files again, perhaps with newer ones, under the same number.
"""
import contextlib
import itertools
import json
import os
import re
import threading
import time

from oslo_log import log as logging

from trove.common import exception
from trove.common.cfg import CONF
from trove.common.strategies import strategy
from trove.guestagent import volume
from trove.guestagent.backup import streams
from trove.guestagent.backup.pipeline import Pipeline
from trove.guestagent.common import operating_system
from trove.guestagent.strategies.archive.base import ArchiveStrategy, Gap, LogFile
from trove.guestagent.strategies.storage import swift

LOG = logging.getLogger(__name__)

# The first member of a piece.
HEADER = "piece.json"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
# Seconds between two rounds of the thread: shorter than any interval, and until an archive begins.
_PAUSE = 1.0
_IDLE = 60.0
# The longest pause after a failure; the first is _PAUSE, and each is twice the one before.
_LONGEST_PAUSE = 30.0


def load(manager, app):
    """Make the Archiver of a datastore for its server, None if its logs are not archived. Raises ValueError."""
    kind = find(manager)
    return Archiver(kind(app), CONF[manager].mount_point) if kind else None


def find(manager):
    """Return the ArchiveStrategy that the options of a datastore name, or None. Raises ValueError naming the option."""
    options = CONF[manager]
    if not options.archive_strategy:
        return None
    return strategy.load(f"{options.archive_namespace}.{options.archive_strategy}", base=ArchiveStrategy,
                         option=f"[{manager}] archive_strategy")


class Archiver:
    """Fills the archive of one server's logs, in a thread of its own, and reads those of others.

    strategy: ArchiveStrategy; mount_point: of the data volume.
    """

    FILENAME = ".guestagent.archive"

    def __init__(self, strategy_, mount_point):
        self.strategy = strategy_
        self._mount_point = mount_point
        # Held while the file and the strategy agree on what is archived.
        self._lock = threading.Lock()
        self._wanted = threading.Event()
        # Only of this process: when logs were last closed; whether there are more than the last piece took; whether the
        # last round failed; when ``idle`` was called.
        self._rotated = 0.0
        self._more = True
        self._failing = False
        self._idled = None

    # What is remembered

    @property
    def _file(self):
        return operating_system.state_dir() / self.FILENAME

    def _remembered(self):
        return json.loads(operating_system.read_file(self._file) or "{}")

    def _remember(self, state):
        operating_system.write_file(self._file, json.dumps(state), mode=0o600)

    # Commands

    def begin_archive(self, archive, backup_type):
        """Archive logs from now on, unless backups of that type have no use for it. See ``guestagent.api.API``."""
        with self._lock:
            state = self._remembered()
            known = state.get("id") == archive["id"] and not state.get("ended")
            # One that has pieces which are not known here is never begun again: they would be overwritten.
            if backup_type not in self.strategy.bases or not known and (
                    archive["pieces"] or state.get("id") == archive["id"]):
                return {"id": None, "next": 0}
            if not known:
                state = {"pieces": 0, "covers": 0, "position": self.strategy.begin()}
                LOG.info("%s: the archive of logs %s begins after '%s'", CONF.guest_id, archive["id"],
                         state["position"])
            self._remember({**state, **_given(archive)})
        self._wanted.set()
        return {"id": archive["id"], "next": state["pieces"]}

    def renew_archive(self, archive_id, archive):
        """Take new signatures for the archive that is filled, or end it (``archive`` is None)."""
        with self._lock:
            state = self._remembered()
            if archive is None:
                if state.get("id") == archive_id:
                    LOG.info("%s: nobody needs the archive of logs %s any more", CONF.guest_id, archive_id)
                    self.strategy.end()
                    self._file.unlink(missing_ok=True)
            elif state.get("id") == archive_id:
                self._remember({**state, **_given(archive)})
            elif not state:
                # What was archived is not known here any more: that is told with the next heartbeats.
                LOG.error("%s: the agent has lost how far the archive of logs %s is", CONF.guest_id, archive_id)
                self._remember({**_given(archive), "pieces": 0, "covers": 0, "position": "", "ended": "gap"})
        self._wanted.set()

    def facts(self):
        """Return what the heartbeat says of it: {"archive": {"id", "state", "pieces", "covers"}}, or {}."""
        state = self._remembered()
        if not state:
            return {}
        late = self._failing and time.time() - state["covers"] > CONF.archive_late
        return {"archive": {"id": state["id"], "pieces": state["pieces"], "covers": state["covers"],
                            "state": state.get("ended") or ("late" if late else "on")}}

    # The thread

    def run(self, ready, stopping):
        """Fill the archive until ``stopping`` (Event) is set. ready: tells whether the server runs and may be asked."""
        pause = _PAUSE
        while not stopping.is_set():
            try:
                pause = _PAUSE if not ready() or self.step() else _IDLE
                self._failing = False
            except Exception as error:  # noqa: BLE001 - the boundary of the thread: it goes on for the agent's life
                LOG.warning("%s: the logs could not be archived now: %s", CONF.guest_id, error)
                self._failing, pause = True, min(2 * pause, _LONGEST_PAUSE)
            if pause == _IDLE:
                self._wanted.wait(pause)
                self._wanted.clear()
            else:
                stopping.wait(pause)

    def step(self):
        """Do what is due: close the log, store one piece. Returns whether there is an archive to fill.

        Raises what the server or the object store raise, after which the step may be repeated.
        """
        with self._lock:
            state = self._remembered()
            if not state or state.get("ended"):
                if self._idled is None or time.monotonic() - self._idled > _IDLE:
                    self._idled = time.monotonic()
                    self.strategy.idle()
                return False
            began, before = time.time(), time.monotonic()
            due = before - self._rotated >= CONF.archive_interval
            if not due and not self._more:
                return True
            # What is in a log that stays open is not covered.
            rotated = due and not volume.is_full(self._mount_point)
            try:
                if rotated:
                    self.strategy.rotate()
                    self._rotated = before
                files = self.strategy.closed(state["position"])
            except Gap as error:
                self._give_up(state, "gap", error)
                return False
            self._more = True
            if not files:
                self._more = False
                if rotated:
                    self._remember({**state, "covers": began})
                return True
        # Without the lock: a command must not wait for the object store.
        batch = self._batch(files)
        try:
            self._store(state, batch)
        except Exception as error:
            if not self._is_short():
                raise
            with self._lock:
                if (now := self._remembered()).get("id") == state["id"]:  # and no other one was begun meanwhile
                    self._give_up(now, "no_room", error)
            return False
        with self._lock:
            now = self._remembered()
            if now.get("id") != state["id"]:
                return True  # another archive was begun, or none is wanted, meanwhile
            now.update(pieces=state["pieces"] + 1, position=batch[-1].name)
            if len(batch) == len(files) and rotated:
                now["covers"] = began
            self._remember(now)
            self._more = len(batch) < len(files)
            # A death before this line is made good by the next release.
            self.strategy.release(batch[-1].name)
        LOG.debug("%s: piece %d of the archive of logs is stored: %s to %s", CONF.guest_id, state["pieces"],
                  batch[0].name, batch[-1].name)
        return True

    @staticmethod
    def _batch(files):
        """The first files of a list that fit into one piece, at least one."""
        batch, size = [], 0
        for file in files:
            length = file.path.stat().st_size
            if batch and size + length > CONF.archive_piece_size:
                break
            batch.append(file)
            size += length
        return batch

    def _is_short(self):
        """Whether logs that cannot be archived now may not be kept any longer."""
        room = os.statvfs(self._mount_point)
        return room.f_bavail * 100 < CONF.archive_least_free * room.f_blocks

    def _give_up(self, state, why, error):
        LOG.error("%s: the archive of logs %s ends after piece %d (%s): %s", CONF.guest_id, state.get("id"),
                  state.get("pieces", 0) - 1, why, error)
        if state:
            self._remember({**state, "ended": why})
        self.strategy.end()

    def _store(self, state, batch):
        """Store log files as the next piece. It may have been stored before; then it is replaced."""
        name = piece_name(state["id"], state["pieces"])
        work = operating_system.state_dir() / "archive"
        operating_system.remove_tree(work)
        work.mkdir(mode=0o700)
        try:
            operating_system.write_file(work / HEADER, json.dumps(
                {"after": state["position"], "files": [file.name for file in batch]}), mode=0o600)
            members = list(itertools.chain.from_iterable(
                (f"--directory={file.path.parent}", file.name) for file in batch))
            compress = streams.compressor()
            programs = [["tar", "--create", f"--directory={work}", HEADER, *members],
                        *([streams.compressing(compress)] if compress else [])]

            def content():
                with Pipeline(*programs, cwd=work) as pipeline:
                    yield from streams.outgoing(pipeline.output(streams.BLOCK), state.get("key"), name)
            swift.put_stream(state["storage"], name, content)
        finally:
            operating_system.remove_tree(work)

    # Replay

    def replay(self, archive, directory):
        """Bring restored data to a point in time. archive: "archive" of prepare's backup_info. Raises TroveError."""
        work = directory.with_name(f"{directory.name}.logs")
        operating_system.remove_tree(work)
        work.mkdir(mode=0o700)
        try:
            LOG.info("%s: replaying the archive of logs %s until %s", CONF.guest_id, archive["id"], archive["point"])
            with contextlib.closing(self._fetched(archive, work)) as files:
                self.strategy.replay(directory, files, archive["point"])
        finally:
            operating_system.remove_tree(work)

    @staticmethod
    def _fetched(archive, work):
        """The log files of an archive, one after another, as the strategy's ``replay`` takes them."""
        after = None
        for number in range(archive["first"], archive["count"]):
            name = piece_name(archive["id"], number)
            piece = work / f"{number:08d}"
            piece.mkdir()
            blocks = swift.get_stream(archive["storage"], name)
            streams.recognised(blocks, archive["key"], name).into(
                ["tar", "--extract", "--no-same-owner", f"--directory={piece}"])
            header = _header(piece, name)
            if after not in (None, header["after"]):
                raise exception.TroveError(f"The piece {name} of the archive of logs does not follow the one before: "
                                           f"it begins after {header['after']}, that ends with {after}.")
            for file in header["files"]:
                path = piece / file
                if path.is_symlink() or not path.is_file():
                    raise exception.TroveError(f"The piece {name} of the archive of logs lacks the file {file}.")
                yield LogFile(file, path)
                path.unlink(missing_ok=True)
                after = file
            operating_system.remove_tree(piece)


def _given(archive):
    """Of what the control plane says of an archive, that which is remembered."""
    return {name: archive[name] for name in ("id", "key", "storage")}


def piece_name(archive_id, number):
    """Return the name of the object of a piece."""
    return f"{archive_id}_{number:08d}"


def _header(piece, name):
    """Return what a piece says of itself: {"after", "files"}. Raises TroveError when it is not of our making."""
    path = piece / HEADER
    try:
        if path.is_symlink():
            raise ValueError("a link")
        header = json.loads(operating_system.read_file(path) or "")
        after, files = header["after"], header["files"]
        fits = isinstance(after, str) and isinstance(files, list) and files and all(
            isinstance(file, str) and _NAME.fullmatch(file) and file != HEADER for file in files)
    except (ValueError, KeyError, TypeError):
        fits = False
    if not fits:
        raise exception.TroveError(f"The piece {name} of the archive of logs does not tell which log files it holds.")
    return {"after": after, "files": files}
