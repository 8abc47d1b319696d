"""What the facts that a guest reports mean for its users: the health word and the fault of an instance.

Pure functions over plain values, tested as a table. The facts come with heartbeats; ``trove.conductor.models`` checks
and keeps them. A fault that is made here goes away by itself: it is not stored.
"""
import dataclasses

from trove.instance import states

# The kinds of facts a guest may report, and their values.
BINARY_LOG = ("on", "off", "failed")
# Of the archive of a server's logs: it is filled; it lags; it was given up since the volume was short of room while the
# object store did not take the logs, or since logs were removed that it lacks.
ARCHIVE_ENDED = ("no_room", "gap")
ARCHIVE = ("on", "late", *ARCHIVE_ENDED)
_ARCHIVE_PROBLEMS = {
    "late": ("Archiving of the server's logs lags, and the newest point in time to which it can be restored gets old. "
             "The guest goes on by itself when the object store takes the logs again."),
    "no_room": ("Archiving of the server's logs has ended, since the volume was short of room for logs that the object "
                "store did not take. Take a backup to begin again."),
    "gap": ("Archiving of the server's logs has ended, since logs that were not archived are gone. Take a backup to "
            "begin again."),
}
# Words of states in which a database works, so that its problems are no part of what is being done to it.
_WORKING = ("ACTIVE", "BACKUP", "RESTART_REQUIRED", "BLOCKED")


@dataclasses.dataclass(frozen=True)
class Verdict:
    """operating_status: the health word; fault: sentences for the user, None without one; since: seconds since the
    epoch at which the oldest problem began, None when that is unknown.
    """

    operating_status: str
    fault: str | None = None
    since: int | None = None


def problems(facts, replication=None, is_replica=False):
    """Return {kind: sentence with the cure}, the most important one first.

    facts: dict with any of "access" (bool), "volume_full" (bool), "saves" (bool: whether the server can save its data),
    "binary_log" (of BINARY_LOG), "archive" (of ARCHIVE), "clock" (seconds that the guest's clock is ahead, negative
    behind), "follows" (bool: whether the server follows a source); replication: {"running", "lag", "error"} of a
    replica, or None.
    """
    found = {}
    if facts.get("access") is False:
        found["access"] = ("Trove has no access to the database server: its account os_admin was removed or changed. "
                           "The guest repairs it by itself; if this message stays, restart the instance.")
    if facts.get("volume_full"):
        found["volume"] = ("The volume is full, and writes wait or are refused. Resize the volume to make room.")
    if facts.get("saves") is False:
        found["saves"] = ("The database server cannot save its data, and may refuse writes. If the volume has room, a "
                          "restart of the instance helps.")
    if facts.get("binary_log") == "failed":
        found["binary_log"] = ("The database server has switched off its binary log after it could not write it. Make "
                               "room on the volume, restart the instance and create its replicas again.")
    if sentence := _ARCHIVE_PROBLEMS.get(facts.get("archive")):
        found["archive"] = sentence
    if is_replica and facts.get("follows") is False:
        found["replication"] = ("The replica follows no source: its replication settings were removed. Delete it and "
                                "create a new replica.")
    elif is_replica and replication and not replication["running"]:
        cause = f"Replication has stopped: {replication['error'].rstrip('.')}." if replication["error"] else (
            "Replication was stopped.")
        found["replication"] = (f"{cause} Remove the cause; a server that does not go on by itself is started as "
                                "root (START REPLICA). Or delete the replica and create a new one.")
    if clock := facts.get("clock"):
        found["clock"] = (f"The clock of the guest is {abs(clock)} s {'ahead' if clock > 0 else 'behind'}. It refuses "
                          "commands until the clock is set right.")
    return found


def verdict(word, service_status, silent, facts, replication=None, is_replica=False):
    """Return the Verdict on an instance.

    word: its status word; service_status: ServiceStatus; silent: whether the guest has not reported lately, so that its
    facts are old; facts, replication, is_replica: as for ``problems``, facts with "since" ({kind: seconds}).
    """
    found = {} if silent else problems(facts, replication, is_replica)
    if word not in _WORKING:
        found = {kind: sentence for kind, sentence in found.items() if kind == "clock"}
    healthy = states.operating_status(word, service_status)
    if not found:
        return Verdict(healthy)
    began = [facts["since"][kind] for kind in found if kind in facts.get("since", {})]
    return Verdict("ACTIVE" if healthy == "HEALTHY" else healthy, " ".join(found.values()), min(began, default=None))


def merged(before, news, replication, clock, now):
    """Return the facts to keep: those kept so far with the news in them, and since when there is which problem.

    before: facts kept so far; news: facts just reported, which may lack some; replication: of a replica, or None;
    clock: seconds or 0; now: seconds since the epoch. What the news lack stays: a busy guest does not look.
    """
    facts = {**before, **news}
    facts.pop("clock", None)
    if clock:
        facts["clock"] = clock
    # Whether it is to follow anybody is not known here.
    found = problems(facts, replication, is_replica=True)
    since = before.get("since", {})
    facts["since"] = {kind: since.get(kind, int(now)) for kind in found}
    return facts
