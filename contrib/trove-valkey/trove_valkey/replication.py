"""Replication of Valkey."""
from trove.guestagent.strategies.replication.experimental.redis_sync import RedisSyncReplication


class ValkeySyncReplication(RedisSyncReplication):
    """See the base."""
