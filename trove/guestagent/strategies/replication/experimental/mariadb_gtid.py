"""Replication by global transaction ids as MariaDB has them: one position, with a number for each domain."""
from trove.guestagent.strategies.replication.mysql_base import MysqlReplicationBase, Word, source_of
from trove.guestagent.strategies.replication.mysql_gtid import of_position


def count_transactions(position):
    """A number that is the greater the newer a position (text such as ``0-1-270,1-2-5``) is."""
    return sum(int(part.rpartition("-")[2]) for part in position.split(",") if part.strip())


class MariaDBGTIDReplication(MysqlReplicationBase):
    """A replica keeps the position to which it has come, and goes on from there with any source."""

    def follow(self, session, info, position):
        """See the base."""
        # Of a server that was a source, its own newest transaction is where it goes on.
        [(current,)] = session.execute("SELECT @@gtid_current_pos")
        session.execute("SET GLOBAL gtid_slave_pos = %s", (current if position is None else of_position(position),))
        return {"USE_GTID": Word("slave_pos")}

    def get_latest_txn_id(self):
        """See the base."""
        return self._query("SELECT @@gtid_current_pos")

    def get_last_txn(self):
        """See the base."""
        status = self._status()
        received = status.get("Gtid_IO_Pos") or self.get_latest_txn_id()
        return {"source": source_of(status), "count": count_transactions(received), "txn": received}

    def wait_for_txn(self, txn, seconds):
        """See the base."""
        return self._query("SELECT MASTER_GTID_WAIT(%s, %s)", (txn, seconds)) == 0
