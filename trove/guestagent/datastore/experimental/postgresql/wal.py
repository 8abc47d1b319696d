"""PostgreSQL's write-ahead log (WAL): positions, timelines, names of its segments, and the slots that keep it.

A position (LSN) is an integer here; SQL and programs write it as two hexadecimal numbers.
"""
import os
import re

from trove.common import exception
from trove.guestagent.common.waiting import wait_until
from trove.guestagent.datastore.experimental.postgresql import sql

# Bytes of a segment, as initdb makes them by default.
SEGMENT_SIZE = 16 * 1024 * 1024
# The server's word for a slot that somebody uses.
_IN_USE = "55006"
_LSN = re.compile(r"([0-9A-F]{1,8})/([0-9A-F]{1,8})")
_SEGMENTS_OF_ID = 0x100000000 // SEGMENT_SIZE
# The most of the data volume that WAL may take which waits for somebody, in per cent; and the least amount, in MB.
_SHARE, _LEAST = 20, 128


def parse_lsn(text):
    """Return a position as an integer. text: such as ``0/3000148``. Raises ValueError."""
    found = _LSN.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a position in the write-ahead log")
    return int(found[1], 16) << 32 | int(found[2], 16)


def format_lsn(lsn):
    """Return a position as SQL and programs write it."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def segment_name(timeline, lsn):
    """Return the name of the file that holds the byte at a position."""
    number = lsn // SEGMENT_SIZE
    return f"{timeline:08X}{number // _SEGMENTS_OF_ID:08X}{number % _SEGMENTS_OF_ID:08X}"


def segment_names(timeline, start, stop):
    """Return the names of the files that hold the WAL from ``start`` up to, not including, ``stop``."""
    return [segment_name(timeline, lsn)
            for lsn in range(start - start % SEGMENT_SIZE, max(stop, start + 1), SEGMENT_SIZE)]


def timeline_of(name):
    """Return the timeline of a segment with this name."""
    return int(name[:8], 16)


def end_of(name):
    """Return the position right behind a segment with this name."""
    return (int(name[8:16], 16) * _SEGMENTS_OF_ID + int(name[16:], 16) + 1) * SEGMENT_SIZE


def following(name):
    """Return the name of the segment that follows one on its timeline."""
    return segment_name(timeline_of(name), end_of(name))


def slot_limit_mb(mount_point):
    """Return the MB of WAL that slots may keep on the volume at ``mount_point`` before they lose it."""
    stats = os.statvfs(mount_point)
    return max(_LEAST, stats.f_blocks * stats.f_frsize * _SHARE // 100 // 1024 ** 2)


def in_recovery(session):
    """Return whether the server is a standby, which takes no writes."""
    [(answer,)] = session.execute("SELECT pg_is_in_recovery()")
    return answer


def position(session):
    """Return (timeline, position) of the newest WAL that a server has on its disk and, as a standby, has replayed."""
    if in_recovery(session):
        [(timeline, lsn)] = session.execute(
            "SELECT COALESCE((SELECT received_tli FROM pg_stat_wal_receiver), "
            "(SELECT timeline_id FROM pg_control_checkpoint())), pg_last_wal_replay_lsn()::text")
        return timeline, parse_lsn(lsn)
    [(name, lsn)] = session.execute(
        "SELECT pg_walfile_name(pg_current_wal_insert_lsn()), pg_current_wal_flush_lsn()::text")
    return int(name[:8], 16), parse_lsn(lsn)


def make_slot(session, name, copy_of=None):
    """Make a physical slot that keeps WAL from now on, or from where the slot ``copy_of`` does.

    One that is there stays as it is, unless it has lost its WAL.
    """
    rows = session.execute("SELECT wal_status FROM pg_replication_slots WHERE slot_name = $1", (name,))
    if rows and rows[0][0] != "lost":
        return
    if rows:
        drop_slot(session, name)
    if copy_of:
        session.execute("SELECT pg_copy_physical_replication_slot($1, $2)", (copy_of, name))
    else:
        session.execute("SELECT pg_create_physical_replication_slot($1, true)", (name,))


def drop_slot(session, name):
    """Remove a slot if it exists, and end the connection that uses it. Raises PollTimeOut.

    A replica connects again at once, perhaps before the slot is gone.
    """
    def is_gone():
        session.execute("SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots "
                        "WHERE slot_name = $1 AND active_pid IS NOT NULL", (name,))
        try:
            session.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
                            "WHERE slot_name = $1", (name,))
        except sql.DatabaseError as error:
            if sql.code_of(error) != _IN_USE:
                raise
            return False
        return True

    wait_until(is_gone, f"The removal of the replication slot {name}", option="agent_call_low_timeout")


def advance_slot(session, name, lsn):
    """Let a slot keep no WAL before a position any more; one that keeps less already stays as it is."""
    session.execute("SELECT pg_replication_slot_advance(slot_name, $2::pg_lsn) FROM pg_replication_slots "
                    "WHERE slot_name = $1 AND NOT active AND wal_status <> 'lost' AND restart_lsn < $2::pg_lsn",
                    (name, format_lsn(lsn)))


def decimal_lsn(metadata, what):
    """Return the position ("lsn", decimal) in a backup's metadata. what: names the backup. Raises TroveError."""
    text = (metadata or {}).get("lsn", "")
    if not text.isdigit():
        raise exception.TroveError(f"{what} does not tell the position in the write-ahead log at which it ended (lsn).")
    return int(text)
