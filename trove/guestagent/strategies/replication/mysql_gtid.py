"""Replication by global transaction ids as MySQL and Percona Server have them: sets, by server."""
import re

from trove.guestagent.strategies.replication.mysql_base import MysqlReplicationBase, source_of

_INTERVAL = re.compile(r"(\d+)(?:-(\d+))?")


def count_transactions(sets):
    """How many transactions there are in the union of sets (texts such as ``uuid:1-5:7,uuid2:1-3``; tags count too)."""
    intervals = {}
    for text in sets:
        for part in filter(None, (part.strip() for part in (text or "").split(","))):
            owner, *pieces = part.split(":")
            for piece in pieces:
                found = _INTERVAL.fullmatch(piece)
                if found is None:  # a tag: what follows is counted apart
                    owner = f"{owner.split(':')[0]}:{piece}"
                    continue
                intervals.setdefault(owner, []).append((int(found[1]), int(found[2] or found[1])))
    total = 0
    for pieces in intervals.values():
        end = 0
        for first, last in sorted(pieces):
            total += max(0, last - max(first, end + 1) + 1)
            end = max(end, last)
    return total


def of_position(text):
    """The set of transactions in the file that the copying program writes: log file, position, set, between tabs."""
    parts = (text or "").split("\t")
    return parts[2].replace("\n", "").strip() if len(parts) > 2 else ""


class MysqlGTIDReplication(MysqlReplicationBase):
    """A replica tells its source what it has, and gets the rest."""

    def follow(self, session, info, position):
        """See the base."""
        # Data that was cloned has its set inside; a copy by another program only knows it beside.
        if position is not None and not session.execute("SELECT @@gtid_executed")[0][0]:
            session.execute("SET GLOBAL gtid_purged = %s", (of_position(position),))
        return {"AUTO_POSITION": 1}

    def get_latest_txn_id(self):
        """See the base."""
        return self._query("SELECT @@gtid_executed").replace("\n", "")

    def get_last_txn(self):
        """See the base."""
        status, executed = self._status(), self.get_latest_txn_id()
        received = (status.get("Retrieved_Gtid_Set") or "").replace("\n", "")
        both = ",".join(filter(None, (executed, received)))
        return {"source": source_of(status), "count": count_transactions([both]), "txn": both}

    def wait_for_txn(self, txn, seconds):
        """See the base."""
        return self._query("SELECT WAIT_FOR_EXECUTED_GTID_SET(%s, %s)", (txn, seconds)) == 0
