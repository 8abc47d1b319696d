"""Backups of Valkey. A snapshot is a file of the server's own form: it is never asked for as a replica would."""
from trove.guestagent.strategies.backup.experimental.redis_impl import RedisBackup


class ValkeyBackup(RedisBackup):
    """See the base; a name of its own, as neither of the two servers reads the other's newest form."""
