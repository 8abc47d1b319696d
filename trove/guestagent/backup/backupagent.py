"""What the agent does for backups: takes one at a time and reports how it went, and restores chains of them.

A file of the agent names the backup in work and keeps its last report until the bus has taken it: after a death of the
agent the backup is reported as failed, never left running.
"""
import contextlib
import json
import threading
from pathlib import Path

from oslo_log import log as logging

from trove import rpc
from trove.common import exception
from trove.common.cfg import CONF
from trove.common.context import TroveContext
from trove.common.strategies import strategy
from trove.conductor import api as conductor_api
from trove.guestagent import volume
from trove.guestagent.backup import cipher, streams
from trove.guestagent.backup.pipeline import Pipeline
from trove.guestagent.common import operating_system
from trove.guestagent.strategies.backup.base import BackupRunner
from trove.guestagent.strategies.restore.base import RestoreRunner
from trove.guestagent.strategies.storage.base import Storage

LOG = logging.getLogger(__name__)


def _load(namespace, name, base, option):
    return strategy.load(f"{namespace}.{name}", base=base, option=option)


class BackupAgent:
    """Backups of one server. manager: name of the datastore manager; app: its server, whose ``explain`` gives errors
    of the server and of programs a sentence for users.
    """

    FILENAME = ".guestagent.backup"

    def __init__(self, manager, app):
        self.manager = manager
        self.app = app
        self.working = threading.Lock()  # held while a backup is taken or reported

    @staticmethod
    def check(manager):
        """Resolve every class that the options of a datastore name for its backups.

        Raises ValueError that names the option and what is missing.
        """
        options = CONF[manager]
        increments = options.backup_incremental_strategy if options.backup_strategy else {}
        for name in sorted({options.backup_strategy, *increments, *increments.values()} - {None, ""}):
            _load(options.backup_namespace, name, BackupRunner, f"[{manager}] backup_strategy")
            _load(options.restore_namespace, name, RestoreRunner, f"[{manager}] restore_namespace")
        if options.backup_strategy:
            _storage_class()

    # What is remembered

    @property
    def _file(self):
        return operating_system.state_dir() / self.FILENAME

    def _remember(self, context, backup_id, report=None, sent=False, kind=None):
        operating_system.write_file(self._file, json.dumps({
            "id": backup_id, "report": report, "sent": sent, "type": kind, "request_id": context.request_id,
            "origin": context.origin}), mode=0o600)

    def _remembered(self):
        return json.loads(operating_system.read_file(self._file) or "{}")

    # Reports

    def _report(self, context, backup_id, report):
        self._remember(context, backup_id, report)
        conductor_api.API(context).update_backup(CONF.guest_id, backup_id, **report)
        self._remember(context, backup_id, report, sent=True)

    def report_unsent(self):
        """Called with every heartbeat: send what the bus did not take, and what an agent that died left unsaid."""
        if not self.working.acquire(blocking=False):
            return
        try:
            last = self._remembered()
            if last and not last["sent"]:
                request = TroveContext(request_id=last.get("request_id"), origin=last.get("origin"), overwrite=False)
                self._report(request, last["id"], last["report"] or self._given_up(last))
        except rpc.DeliveryFailure as error:
            LOG.warning("%s: a backup could not be reported: %s", CONF.guest_id, error)
        finally:
            self.working.release()

    def _given_up(self, last):
        """The report of a backup during which the agent died; what is left of it in the guest is removed."""
        if last.get("type"):
            try:
                self._kind(last["type"]).clean(self.app)
            except Exception:  # the server may be down; the next backup removes it
                LOG.exception("%s: what is left of backup %s could not be removed", CONF.guest_id, last["id"])
        return _failure("The guest agent ended while the backup was taken.")

    # Taking

    def _kind(self, name):
        return _load(CONF[self.manager].backup_namespace, name, BackupRunner, "backup_strategy")

    def create_backup(self, context, backup):
        """Take a backup and report how it went.

        backup: backup_info of the command. One that runs goes on, one that has ended is reported again.
        """
        if not self.working.acquire(blocking=False):
            if self._remembered().get("id") != backup["id"]:
                conductor_api.API(context).update_backup(
                    CONF.guest_id, backup["id"], **_failure("The guest is taking another backup."))
            return
        try:
            last = self._remembered()
            if last.get("id") == backup["id"]:
                report = last["report"] or self._given_up(last)
            else:
                self._remember(context, backup["id"], kind=backup["backup_type"])
                report = self._take(context, backup)
            self._report(context, backup["id"], report)
        except rpc.DeliveryFailure as error:
            LOG.warning("%s: backup %s could not be reported: %s", CONF.guest_id, backup["id"], error)
        finally:
            self.working.release()

    def _take(self, context, backup):
        """Take it; returns the report of its end."""
        size = volume.used_gb(CONF[self.manager].mount_point)
        LOG.info("%s: taking backup %s (%s)", CONF.guest_id, backup["id"], backup["backup_type"])
        try:
            conductor_api.API(context).update_backup(CONF.guest_id, backup["id"], state="BUILDING", size=size)
            saved = self.stream_to_store(backup)
        except Exception as error:
            LOG.exception("%s: backup %s failed", CONF.guest_id, backup["id"])
            return _failure(exception.sentence(self.app.explain(error) or error), size=size)
        LOG.info("%s: backup %s is uploaded: %d bytes in %d segments", CONF.guest_id, backup["id"], saved.size,
                 saved.segments)
        # The control plane checks what was uploaded, makes the manifest, and only then says COMPLETED.
        return {"state": "SAVING", "success": True, "note": None, "checksum": saved.checksum, "size": size,
                "segments": saved.segments, "uploaded": saved.size}

    def stream_to_store(self, backup):
        """Run the program of a backup and store what it writes, with its metadata. Returns Saved."""
        kind, storage = self._kind(backup["backup_type"]), _storage()
        work = operating_system.state_dir() / "backup"
        operating_system.remove_tree(work)
        work.mkdir(mode=0o700)
        with contextlib.ExitStack() as cleaning:
            cleaning.callback(operating_system.remove_tree, work)
            cleaning.callback(kind.clean, self.app)
            runner = kind(self.app, work, backup.get("parent"))
            compress = streams.compressor()
            programs = [runner.command(), *runner.filters(), *([streams.compressing(compress)] if compress else [])]
            with Pipeline(*programs, cwd=work) as pipeline:
                def checked():
                    yield from pipeline.output(cipher.BLOCK)
                    runner.check(pipeline.said(0))
                saved = storage.save(backup, streams.outgoing(checked(), backup.get("key"), backup["id"]))
            storage.save_metadata(backup, {**runner.metadata(), "compression": streams.COMPRESSIONS[compress]})
            return saved

    # Restoring

    def needs_server(self, info):
        """Whether a backup is restored into a server that runs. info: backup_info of prepare."""
        return self._restorer(info["chain"][0]).needs_server

    def restore(self, info, directory=None):
        """Make a data directory of a chain of backups. info: backup_info of prepare. Raises TroveError."""
        storage, restorer = _storage(), None
        for link in info["chain"]:
            LOG.info("%s: restoring backup %s (%s)", CONF.guest_id, link["id"], link["type"])
            restorer = self._restorer(link)(self.app, directory and Path(directory))
            stream = streams.incoming(storage.load(link), link["location"], link["key"], link["id"])
            try:
                restorer.restore(stream)
            except operating_system.ProcessError as error:
                raise exception.TroveError(
                    f"The backup {link['id']} cannot be restored: {self.app.explain(error) or error}") from error
        restorer.is_replayed = bool(info.get("archive"))
        restorer.finish()

    def _restorer(self, link):
        return _load(CONF[self.manager].restore_namespace, link["type"], RestoreRunner, "restore_namespace")


def _storage_class():
    return _load(CONF.storage_namespace, CONF.storage_strategy, Storage, "storage_strategy")


def _storage():
    return _storage_class()()


def _failure(note, **more):
    return {"state": "FAILED", "success": False, "note": note, **more}
