"""Replication by the name of the source's log file and the position in it, for servers or data without transaction ids.

Such a position means something on one source only: before replicas follow another one, all must have carried out the
same.
"""
from trove.common import exception
from trove.guestagent.strategies.replication.mysql_base import MARIADB, MysqlReplicationBase, Word, source_of


def parse(position):
    """(file, number) of ``file:number``. Raises BadValue."""
    file, _, number = (position or "").rpartition(":")
    if not (file and number.isdigit()):
        raise exception.BadValue(field="log_position", reason=f"'{position}' is no position in a binary log.")
    return file, int(number)


class MysqlBinlogReplication(MysqlReplicationBase):
    """Positions are ``file:number``."""

    def follow(self, session, info, position):
        """See the base."""
        if position is not None:
            file, number = position.split()[:2]
        elif info.get("log_position") is None and self._follows(info["master"]):
            # The command came twice: it goes on where it is.
            status = self._status()
            file, number = status["Relay_Master_Log_File"], status["Exec_Master_Log_Pos"]
        else:
            file, number = parse(info.get("log_position"))
        options = {"LOG_FILE": file, "LOG_POS": int(number)}
        if self.words is MARIADB:
            options["USE_GTID"] = Word("no")
        else:
            options["AUTO_POSITION"] = 0
        return options

    def _follows(self, master):
        status = self._status()
        return (status.get("Master_Host"), status.get("Master_Port")) == (master["host"], master["port"])

    def log_position(self):
        """See the base."""
        with self.app.session() as session:
            rows = session.execute("SHOW MASTER STATUS" if self.words is MARIADB else "SHOW BINARY LOG STATUS")
        return f"{rows[0][0]}:{rows[0][1]}" if rows else None

    def get_latest_txn_id(self):
        """See the base."""
        return self.log_position()

    def get_last_txn(self):
        """See the base."""
        status = self._status()
        file, number = status.get("Master_Log_File") or "", int(status.get("Read_Master_Log_Pos") or 0)
        serial = file.rpartition(".")[2]
        return {"source": source_of(status), "txn": f"{file}:{number}",
                "count": (int(serial) << 40 if serial.isdigit() else 0) + number}

    def wait_for_txn(self, txn, seconds):
        """See the base. Raises TroveError when the replication stands still."""
        name = "MASTER_POS_WAIT" if self.words is MARIADB else "SOURCE_POS_WAIT"
        waited = self._query(f"SELECT {name}(%s, %s, %s)", (*parse(txn), seconds))
        if waited is None:
            raise exception.TroveError("The replica does not carry out what it has received.")
        return waited >= 0
