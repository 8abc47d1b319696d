"""Copies of MySQL's data that the server itself makes beside them, with its clone plug-in, while it goes on working.

Used by the strategies that send such a copy somewhere. A copy is as the data was at the end of its making.
"""
import os
from pathlib import Path

import pymysql
from oslo_log import log as logging

from trove.common import exception
from trove.common.cfg import CONF
from trove.guestagent.common import operating_system
from trove.guestagent.common.waiting import wait_until

LOG = logging.getLogger(__name__)

# Beside the data directory, on its volume: the server refuses a place inside of it, and may write nowhere else.
DIRECTORY = "backup.clone"
# Engines that keep data where the plug-in does not look: it would copy empty tables.
_LEFT_OUT = ("MyISAM", "CSV", "ARCHIVE")
_THREADS = 4
_SPARE = 1.1  # of the size of the data; writers go on while it is copied
MB = 1024 * 1024


class CloneError(exception.TroveError):
    """The server cannot copy its data; the text says why."""

    message = "The server's data cannot be cloned: %(reason)s"


def take(app):
    """Make a copy; returns its directory. app: the server (MySqlApp). Raises CloneError."""
    remove(app)
    directory = app.layout.mount_point / DIRECTORY
    with app.session(timeout=CONF.backup_prepare_timeout) as session:
        _check(session, app.layout)
        LOG.info("%s: cloning the data into %s", CONF.guest_id, directory)
        try:
            if not session.execute("SELECT 1 FROM information_schema.PLUGINS WHERE PLUGIN_NAME = 'clone' AND "
                                   "PLUGIN_STATUS = 'ACTIVE'"):
                session.execute("INSTALL PLUGIN clone SONAME 'mysql_clone.so'")
            # Each thread has a buffer of 4 MB, and what they read and write is missing to the users.
            session.execute("SET GLOBAL clone_max_concurrency = %s", (_THREADS,))
            session.execute("CLONE LOCAL DATA DIRECTORY = %s", (str(directory),))
        except pymysql.err.MySQLError as error:
            raise CloneError(reason=f"{app.explain(error)} It may take {CONF.backup_prepare_timeout} s (option "
                                    "backup_prepare_timeout).") from error
    return directory


def _check(session, layout):
    """Refuse what would fail late or leave data out."""
    if not session.dialect.can_clone:
        raise CloneError(reason="only MySQL 8.0.17 and later can.")
    [*tables] = session.execute("SELECT TABLE_SCHEMA, TABLE_NAME, ENGINE FROM information_schema.TABLES WHERE "
                                "ENGINE IN %s AND TABLE_SCHEMA NOT IN ('mysql', 'sys') LIMIT 3", (_LEFT_OUT,))
    if tables:
        names = ", ".join(f"{schema}.{name} ({engine})" for schema, name, engine in tables)
        raise CloneError(reason=f"only InnoDB tables are copied, and there are others: {names}. Change their engine, "
                                "or have backups taken by MySQLDump (option backup_strategy).")
    needed, free = int(size(layout.data) * _SPARE), _free(layout.mount_point)
    if needed > free:
        raise CloneError(reason=f"a copy needs {needed // MB} MB on the volume beside the data, and {free // MB} MB "
                                "are free. Resize the volume, or have backups taken by MySQLDump (option "
                                "backup_strategy).")


def size(directory):
    """Bytes that the files which are copied have on the disk: table spaces, and logs of what is not yet in them."""
    total = 0
    for path, _, names in os.walk(directory):
        for name in names:
            if name.endswith((".ibd", ".ibu")) or name.startswith(("ibdata", "undo_", "#ib_redo")):
                try:
                    total += Path(path, name).lstat().st_blocks * 512
                except FileNotFoundError:  # dropped meanwhile
                    continue
    return total


def _free(directory):
    stats = os.statvfs(directory)
    return stats.f_bavail * stats.f_frsize


def remove(app):
    """Remove a copy, whole or not; a thread of the server that is at it is ended first. None is fine."""
    directory = app.layout.mount_point / DIRECTORY
    if not directory.exists():
        return
    try:
        with app.session() as session:
            _end_cloning(session)
    except pymysql.err.OperationalError:
        if app.service.is_running():
            raise
    operating_system.remove_tree(directory)


def _end_cloning(session):
    def ended():
        threads = session.execute("SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE %s",
                                  ("CLONE LOCAL%",))
        for (thread,) in threads:
            try:
                session.execute("KILL %s", (thread,))
            except pymysql.err.MySQLError as error:
                LOG.debug("Thread %s is gone: %s", thread, error)
        return not threads

    wait_until(ended, "The end of a clone that nobody waits for", pause=0.2)
