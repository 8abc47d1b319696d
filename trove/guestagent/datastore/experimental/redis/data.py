"""The data files of a Redis server: its snapshot, and the append-only files of which a snapshot can be the beginning.

A server reads one of the two when it starts, by its setting ``appendonly``; if the files of that kind are missing, it
starts empty. So while there are append-only files they are the truth, whatever the setting says by now.
"""
import os

import redis
from oslo_log import log as logging

from trove.common import exception
from trove.common.cfg import CONF
from trove.guestagent.common import operating_system
from trove.guestagent.common.configuration import SYSTEM_GROUP
from trove.guestagent.common.waiting import wait_until

LOG = logging.getLogger(__name__)

# Names in the data directory; the agent's own settings state them.
SNAPSHOT, APPEND_ONLY, APPEND_ONLY_FILE = "dump.rdb", "appendonlydir", "appendonly.aof"
# Change id of the layer that keeps append-only files in use until a snapshot has taken their place.
_KEPT = "appendonly"
MB = 1024 ** 2


class Data:
    """The data files of a server. app: RedisApp."""

    def __init__(self, app):
        self.app = app

    @property
    def snapshot(self):
        """The file of the newest snapshot."""
        return self.app.layout.data / SNAPSHOT

    @property
    def _append_only(self):
        return self.app.layout.data / APPEND_ONLY

    def _has_append_only(self):
        return (self._append_only / f"{APPEND_ONLY_FILE}.manifest").exists()

    # Around a start

    def arrange(self):
        """Called before a start: let the server find all its data, whatever ``appendonly`` was set to meanwhile."""
        self.app.configuration.remove_override(SYSTEM_GROUP, _KEPT)
        wanted = self.app.setting("appendonly") == "yes"
        if wanted and not self._has_append_only() and self.snapshot.exists():
            self._begin_append_only()
        elif not wanted and self._has_append_only():
            self.app.configuration.apply_override({"appendonly": "yes"}, SYSTEM_GROUP, _KEPT)

    def settle(self):
        """Called after a start: end the use of append-only files if it only went on for their data's sake."""
        self.app.configuration.remove_override(SYSTEM_GROUP, _KEPT)
        if self.app.setting("appendonly") == "yes" or not self._has_append_only():
            return
        try:
            self.switch_append_only(False)
        except exception.TroveError as error:
            LOG.warning("%s: append-only files stay in use until the next start: %s", CONF.guest_id, error)

    def _begin_append_only(self):
        """Make append-only files that begin with the snapshot. They appear in one step."""
        new = self.app.layout.data / f"{APPEND_ONLY}.new"
        operating_system.remove_tree(new)
        operating_system.make_directory(new, self.app.layout.user)
        base = f"{APPEND_ONLY_FILE}.1.base.rdb"
        os.link(self.snapshot, new / base)
        operating_system.write_file(new / f"{APPEND_ONLY_FILE}.manifest", f"file {base} seq 1 type b\n")
        operating_system.change_owner(new, self.app.layout.user)
        operating_system.remove_tree(self._append_only)  # files without a manifest, which say nothing
        new.rename(self._append_only)
        operating_system.sync_directory(self.app.layout.data)

    def switch_append_only(self, on):
        """Let the running server keep append-only files from now on, or snapshots only. When it returns, all its data
        are in files of that kind. Raises TroveError with the server's reason.
        """
        if not on:
            self.save()
            self.app.client().config_set("appendonly", "no")
            operating_system.remove_tree(self._append_only)
            return
        self.app.client().config_set("appendonly", "yes")
        if self._watch(_is_idle, "The writing of append-only files")["aof_last_bgrewrite_status"] != "ok":
            raise exception.TroveError(f"The server could not write append-only files: {self._reason()}")

    def is_kept(self):
        """Return whether the append-only files have all data of the running server, so that it may end without saving.

        Waits for those that are being written for the first time, or anew after a source has sent its data.
        """
        if not self.app.look().info("persistence")["aof_enabled"]:
            return False
        if self.app.source or not self._has_append_only():
            self._watch(_is_idle, "The writing of append-only files")
        return self._has_append_only()

    # Snapshots

    def save(self):
        """Let the server write a snapshot of all its data as of now. Raises TroveError with the server's reason.

        Waits as long as the server makes progress, and backup_idle_timeout seconds without.
        """
        self._check_room()
        before = self._begin()

        # The count is of snapshots that were begun: users' settings may begin another one right after ours.
        info = self._watch(lambda info: not info["rdb_bgsave_in_progress"] or info["rdb_saves"] > before + 1,
                           "The snapshot")
        if info["rdb_last_bgsave_status"] != "ok":
            raise exception.TroveError(f"The server could not write a snapshot: {self._reason()}")

    def _begin(self):
        """Begin a snapshot once no other one is being written. Returns how many were begun before it."""
        while True:
            info = self._watch(_is_idle, "The end of another snapshot of the server")
            try:
                self.app.client().execute_command("BGSAVE")
                return info["rdb_saves"]
            except redis.exceptions.ResponseError as error:
                if "in progress" not in str(error):
                    raise exception.TroveError(
                        f"The server could not begin a snapshot: {self._reason()}") from error

    def _watch(self, done, what):
        """Wait until ``done(info)`` is true, where info is what the server tells of its files; return that."""
        info, progress = self._info(), None
        while not done(info):
            def moved(last=progress):
                nonlocal info
                info = self._info()
                return done(info) or _progress(info) != last
            wait_until(moved, what, option="backup_idle_timeout", pause=0.05, longest=1)
            progress = _progress(info)
        return info

    def _info(self):
        return self.app.client().info("persistence")

    def _check_room(self):
        """Refuse a snapshot that would fill the volume, which stops the writes of users."""
        used = self.app.client().info("memory")["used_memory"]
        last = self.snapshot.stat().st_size if self.snapshot.exists() else used
        needed = min(used, last + last // 2 + 16 * MB) + 16 * MB
        room = os.statvfs(self.app.layout.data)
        free = room.f_bavail * room.f_frsize
        if free < needed:
            raise exception.TroveError(
                f"A snapshot may take {needed // MB} MB on the volume, which has {free // MB} MB left. Resize the "
                "volume or remove data.")

    def _reason(self):
        """Return why the last snapshot failed, as the server's log has it."""
        return self.app.last_words("Can't save in background", "rite error", "Failed opening", "rror moving"
                                   ) or "its log does not say why."

    def hold(self, name):
        """Return the path of another name (``name``) for the newest snapshot, which stays when a newer one is made."""
        path = self.app.layout.data / name
        path.unlink(missing_ok=True)
        os.link(self.snapshot, path)
        return path


def _is_idle(info):
    return not (info["rdb_bgsave_in_progress"] or info["aof_rewrite_in_progress"] or info["aof_rewrite_scheduled"])


def _progress(info):
    return info["current_save_keys_processed"], info["rdb_saves"], info.get("aof_rewrites")
