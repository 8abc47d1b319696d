"""Restores of Valkey, by the name of the class that took the backup."""
from trove.guestagent.strategies.restore.experimental.redis_impl import RedisBackup


class ValkeyBackup(RedisBackup):
    """See the base."""
