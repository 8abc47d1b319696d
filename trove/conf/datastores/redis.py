"""[redis] identity card of the Redis datastore."""
from trove.common.files.directives import Directives
from trove.common.traits import Maturity, ServerMemory, Traits
from trove.conf import datastore

GROUP = "redis"

opts = datastore.datastore_opts(
    tcp_ports=("6379", "16379"),
    mount_point="/var/lib/redis",
    usage_timeout=450,
    root_controller="trove.extensions.common.service.DefaultRootController",
    backup_strategy="RedisBackup",
    backup_namespace=f"{datastore.BACKUP}.experimental.redis_impl",
    restore_namespace=f"{datastore.RESTORE}.experimental.redis_impl",
    replication_strategy="RedisSyncReplication",
    replication_namespace=f"{datastore.REPLICATION}.experimental.redis_sync",
)

# The shares leave room for what a snapshot's process holds while users overwrite what it saves.
MEMORY = ServerMemory(empty=(10, 16), pool_shares=(0.35, 0.45, 0.5), lean_strategies=("RedisBackup",))

TRAITS = Traits(
    manager="trove.guestagent.datastore.experimental.redis.manager.Manager",
    file_format=Directives(), client_port=6379, maturity=Maturity.TECHNICAL_PREVIEW, users=False, memory=MEMORY,
    backup_suffixes={"RedisBackup": ".rdb"})
