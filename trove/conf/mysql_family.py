"""The traits that the datastores of the MySQL family share; each card states what differs."""
from trove.common.files.ini import Ini
from trove.common.traits import ReplicaAccount, ServerMemory, Traits


class OptionFile(Ini):
    """The section of the server in an option file; a variable may be written with dashes and with the prefix loose."""

    def variable(self, name):
        """See the base."""
        return name.lower().replace("-", "_").removeprefix("loose_")


OPTION_FILE = OptionFile("mysqld")
_LEAN = ("MySQLClone", "MySQLDump")
# Measured on guests. Above 2 GB MySQL's templates switch its performance schema on.
MYSQL_MEMORY = ServerMemory(empty=(160, 288), pool_shares=(0.35, 0.5, 0.65), lean_strategies=_LEAN)
MARIADB_MEMORY = ServerMemory(empty=(60, 60), pool_shares=(0.4, 0.5, 0.65), lean_strategies=_LEAN)
# A name of a user has 32 characters, and MySQL takes no more than 32 for a replica's password.
REPLICA_ACCOUNT = ReplicaAccount(id_length=20, password_length=32)
# What a stream is, by the class that made it.
BACKUP_SUFFIXES = {"InnoBackupEx": ".xbstream", "InnoBackupExIncremental": ".xbstream", "MariaBackup": ".xbstream",
                   "MariaBackupIncremental": ".xbstream", "MySQLClone": ".tar", "MySQLDump": ".sql"}


def traits(**changes):
    """Return the Traits of a member of the family. changes: its fields that differ, or that have no common value."""
    return Traits(**{"file_format": OPTION_FILE, "client_port": 3306, "longest_user_name": 32,
                     "longest_database_name": 64, "backup_suffixes": BACKUP_SUFFIXES,
                     "models": "trove.guestagent.db.mysql.MySqlNames", "replica_account": REPLICA_ACCOUNT,
                     "memory": MYSQL_MEMORY, **changes})
