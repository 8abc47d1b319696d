"""Standby mode of PostgreSQL: a server that takes no writes, whether it follows a source or not.

A file in the data directory makes a server a standby at its next start. Promoting it removes the file and begins a
timeline, which the standbys of that server follow.
"""
import contextlib
import re

from oslo_log import log as logging

from trove.common import exception
from trove.common.cfg import CONF
from trove.guestagent.common import operating_system
from trove.guestagent.common.configuration import DEFAULT_GROUP, SYSTEM_GROUP
from trove.guestagent.common.waiting import wait_until
from trove.guestagent.datastore.experimental.postgresql import history, sql, wal

LOG = logging.getLogger(__name__)

# Change ids of the layers over the configuration.
_SLOTS, _FLOOR = "slots", "floor"
_SIGNAL = "standby.signal"
_CONTROL = re.compile(r"^(.+?):\s+(.*)$", re.MULTILINE)
# For replicas and backups, so that a source need not be restarted for its first ones.
_ROOM = {"max_wal_senders": 32, "max_replication_slots": 32}
# A standby needs at least the values that its source has; the names are those of pg_controldata.
_FLOORS = {"max_connections setting": "max_connections", "max_worker_processes setting": "max_worker_processes",
           "max_wal_senders setting": "max_wal_senders", "max_prepared_xacts setting": "max_prepared_transactions",
           "max_locks_per_xact setting": "max_locks_per_transaction"}
PAUSED = ("the replay of changes is paused, as a setting of the replica (max_connections, max_worker_processes, "
          "max_wal_senders, max_prepared_transactions or max_locks_per_transaction) is lower than that of its source. "
          "Restart the replica: that raises it")


def control_data(app, directory):
    """Return what the control file of a data directory says, {name: text}; times are UTC."""
    return dict(_CONTROL.findall(app.run_as_server(
        app.programs / "pg_controldata", directory, env={"TZ": "UTC"})))


def _wish():
    return operating_system.state_dir() / "postgresql.standby"


def want(wanted):
    """Let data that will be restored begin as a standby, or not."""
    if wanted:
        operating_system.write_file(_wish(), "")
    else:
        _wish().unlink(missing_ok=True)


def is_wanted():
    """Return whether data that are restored begin as a standby."""
    return _wish().exists()


def mark(app, directory=None):
    """Let the server be a standby from its next start on. directory: of the data, the server's own by default."""
    operating_system.write_file((directory or app.layout.data) / _SIGNAL, "", mode=0o600, owner=app.layout.user)


def is_marked(app):
    """Return whether the server will be a standby when it starts."""
    return (app.layout.data / _SIGNAL).exists()


def prepare_start(app):
    """Write the settings that depend on the data and on the volume. Called before every start of the server."""
    kept = {"max_slot_wal_keep_size": f"{wal.slot_limit_mb(app.layout.mount_point)}MB"}
    if app.version >= history.SUMMARIES:
        kept["summarize_wal"] = "on"
    app.configuration.apply_override(kept, SYSTEM_GROUP, _SLOTS)
    app.configuration.apply_override(_ROOM, DEFAULT_GROUP, _SLOTS)
    app.configuration.apply_override({}, SYSTEM_GROUP, _FLOOR)
    if not is_marked(app):
        return
    found, floor = control_data(app, app.layout.data), {}
    for label, name in _FLOORS.items():
        own = app.run_as_server(*app.command, "-C", name)
        if int(found[label]) > int(own):
            floor[name] = found[label]
    app.configuration.apply_override(floor, SYSTEM_GROUP, _FLOOR)


def close(app):
    """Make the server a standby, if it is none: nobody writes to it any more, also after a restart.

    All that was acknowledged is on the disk then, and was sent to the standbys that follow it.
    """
    if not is_running_as_standby(app):
        mark(app)
        app.restart()
        LOG.info("%s: the server is a standby", CONF.guest_id)


def is_running_as_standby(app):
    """Return whether the server runs as a standby; one that is down is started first."""
    try:
        with app.session() as session:
            return wal.in_recovery(session)
    except sql.Error:
        if app.service.is_running():
            raise
        app.start()
        with app.session() as session:
            return wal.in_recovery(session)


def open_(app):
    """Promote the server, if it is a standby. Raises TroveError when it cannot be promoted now."""
    with app.session() as session:
        if wal.in_recovery(session):
            check_goes_on(session)
            session.execute("SELECT pg_promote(false)")

            def promoted():
                return not wal.in_recovery(session)
            wait_until(promoted, "The promotion of the server", pause=0.05, longest=0.5)
            history.forget(app, session)
            LOG.info("%s: the server was promoted", CONF.guest_id)
    with contextlib.suppress(FileNotFoundError):  # of a standby that was to be one from its next start on
        (app.layout.data / _SIGNAL).unlink()
    app.configuration.apply_override({}, SYSTEM_GROUP, _FLOOR)


def check_goes_on(session):
    """Raise TroveError when a standby is paused: told to be promoted, the server would end."""
    if is_paused(session):
        raise exception.TroveError(f"The replica cannot be promoted: {PAUSED}.")


def is_paused(session):
    """Return whether a standby has stopped to carry out what it gets."""
    [(state,)] = session.execute("SELECT pg_get_wal_replay_pause_state()")
    return state != "not paused"
