"""Every table of the infrastructure database as it is now; migrations lead a database here.

Row classes (``<resource>/models.py``) take their columns from these tables. No query lives here.
"""
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects import mysql, postgresql

metadata = MetaData()

# 8 bytes everywhere: a 4-byte float would blur times by a minute.
Double = Float(53).with_variant(mysql.DOUBLE(asdecimal=False), "mysql").with_variant(
    postgresql.DOUBLE_PRECISION(), "postgresql")


class Flag(Boolean):
    """A boolean whose ``is_`` compares with ``=``: MariaDB uses no index for ``IS false``."""

    class Comparator(Boolean.Comparator):
        """See the class."""

        def is_(self, other):
            return self == other if isinstance(other, bool) else super().is_(other)

    comparator_factory = Comparator


LongText = Text().with_variant(mysql.MEDIUMTEXT(), "mysql")


def _table(name, *items):
    return Table(name, metadata, *items, mysql_engine="InnoDB", mysql_charset="utf8mb4")


def _id(length=36):
    return Column("id", String(length), primary_key=True)


def _times():
    return [Column("created", DateTime), Column("updated", DateTime)]


def _soft_delete():
    return [Column("deleted", Flag, default=False), Column("deleted_at", DateTime)]


datastores = _table(
    "datastores", _id(),
    Column("name", String(255), unique=True),
    Column("default_version_id", String(36)),
)

datastore_versions = _table(
    "datastore_versions", _id(),
    Column("datastore_id", String(36), ForeignKey("datastores.id", ondelete="CASCADE")),
    Column("name", String(255)),
    Column("image_id", String(36), nullable=False),
    Column("packages", String(511)),
    Column("active", Boolean, nullable=False),
    Column("manager", String(255)),
    UniqueConstraint("datastore_id", "name", name="ds_versions"),
)

datastore_version_metadata = _table(
    "datastore_version_metadata", _id(),
    Column("datastore_version_id", String(36), ForeignKey("datastore_versions.id", ondelete="CASCADE")),
    Column("key", String(128), nullable=False),
    Column("value", String(128)),
    Column("created", DateTime, nullable=False),
    Column("deleted", Flag, nullable=False, default=False),
    Column("deleted_at", DateTime),
    Column("updated_at", DateTime),
    UniqueConstraint("datastore_version_id", "key", "value", name="UQ_datastore_version_metadata"),
)

datastore_configuration_parameters = _table(
    "datastore_configuration_parameters",
    Column("id", String(36), primary_key=True),
    Column("name", String(128), primary_key=True),
    Column("datastore_version_id", String(36), ForeignKey("datastore_versions.id", ondelete="CASCADE"),
           primary_key=True),
    Column("restart_required", Boolean, nullable=False, default=False),
    Column("max_size", String(40)),
    Column("min_size", String(40)),
    Column("data_type", String(128), nullable=False),
    *_soft_delete(),
    UniqueConstraint("datastore_version_id", "name", name="UQ_datastore_configuration_parameters"),
)

configurations = _table(
    "configurations", _id(),
    Column("name", String(64), nullable=False),
    Column("description", String(256)),
    Column("tenant_id", String(36), nullable=False),
    Column("datastore_version_id", String(36), nullable=False),
    Column("deleted", Flag, nullable=False, default=False),
    Column("deleted_at", DateTime),
    *_times(),
    Index("configurations_of_tenant", "deleted", "tenant_id", "created", "id"),
)

configuration_parameters = _table(
    "configuration_parameters",
    Column("configuration_id", String(36), ForeignKey("configurations.id"), primary_key=True),
    Column("configuration_key", String(128), primary_key=True),
    Column("configuration_value", String(128)),
    Column("deleted", Flag, nullable=False, default=False),
    Column("deleted_at", DateTime),
)

clusters = _table(
    "clusters", _id(),
    Column("created", DateTime, nullable=False),
    Column("updated", DateTime, nullable=False),
    Column("name", String(255), nullable=False),
    Column("task_id", Integer, nullable=False),
    Column("tenant_id", String(36), nullable=False),
    Column("datastore_version_id", String(36), ForeignKey("datastore_versions.id"), nullable=False),
    *_soft_delete(),
    Index("clusters_tenant_id", "tenant_id"),
    Index("clusters_deleted", "deleted"),
    Index("clusters_of_tenant", "deleted", "tenant_id", "created", "id"),
)

instances = _table(
    "instances", _id(), *_times(),
    Column("name", String(255)),
    Column("hostname", String(255)),
    Column("compute_instance_id", String(36)),
    Column("task_id", Integer),
    Column("task_description", String(255)),
    Column("task_start_time", DateTime),
    Column("volume_id", String(36)),
    Column("volume_size", Integer),
    Column("flavor_id", String(255)),
    Column("tenant_id", String(36)),
    Column("server_status", String(64)),
    *_soft_delete(),
    Column("datastore_version_id", String(36), ForeignKey("datastore_versions.id"), nullable=False),
    Column("configuration_id", String(36), ForeignKey("configurations.id")),
    Column("slave_of_id", String(36), ForeignKey("instances.id")),
    Column("cluster_id", String(36), ForeignKey("clusters.id")),
    Column("shard_id", String(36)),
    Column("type", String(64)),
    # Ours: the addresses that Nova last gave, as JSON [{"address", "network", "type"}], so that lists ask nobody.
    Column("addresses", Text),
    # Ours: the networks that the rules of its security group let in, as JSON, so that lists read no rules.
    Column("allowed_cidrs", Text),
    # Ours: when the task manager last saw the server, UTC.
    Column("server_seen", DateTime),
    # Ours: the name of the operation_key that the guest's first key is made from; NULL: made before that was kept.
    Column("guest_key_id", String(16)),
    Index("instances_tenant_id", "tenant_id"),
    Index("instances_deleted", "deleted"),
    Index("instances_cluster_id", "cluster_id"),
    Index("instances_slave_of_id", "slave_of_id"),  # ours
    # Ours: what is asked of the live rows (lists, replicas, members, ...), without looking at all of them. The
    # flag comes first: MySQL has an index of its own on each foreign key, and gives it up for one that begins with it.
    Index("instances_live", "deleted", "created", "id"),
    Index("instances_of_tenant", "deleted", "tenant_id", "created", "id"),
    Index("instances_of_tenant_alone", "deleted", "tenant_id", "cluster_id", "created", "id"),  # those of no cluster
    Index("instances_of_source", "deleted", "slave_of_id", "id"),
    Index("instances_of_cluster", "deleted", "cluster_id", "created", "id"),
    Index("instances_of_configuration", "deleted", "configuration_id", "created", "id"),
    Index("instances_for_quota", "deleted", "tenant_id", "task_id", "volume_size"),  # counted without the rows
    # Deleted ones as well, for administrators.
    Index("instances_by_time", "created", "id"),
    Index("instances_by_cluster", "cluster_id", "created", "id"),
    Index("instances_by_tenant", "tenant_id", "cluster_id", "created", "id"),
    Index("instances_by_tenant_and_time", "tenant_id", "created", "id"),
    Index("instances_of_server", "deleted", "compute_instance_id"),
)

service_statuses = _table(
    "service_statuses", _id(),
    Column("instance_id", String(36), nullable=False),
    Column("status_id", Integer, nullable=False),
    Column("status_description", String(64), nullable=False),
    Column("updated_at", DateTime),
    Index("service_statuses_instance_id", "instance_id"),
)

agent_heartbeats = _table(
    "agent_heartbeats", _id(),
    Column("instance_id", String(36), nullable=False),
    Column("guest_agent_version", String(255)),
    Column("updated_at", DateTime, nullable=False),
    *_soft_delete(),
    # Ours: what the guest of a replica last said of its replication, as JSON.
    Column("replication", Text),
    # Ours: the facts that the guest last reported, see trove.instance.health, as JSON.
    Column("facts", Text),
    Index("agent_heartbeats_instance_id", "instance_id", unique=True),
    Index("agent_heartbeats_version", "guest_agent_version"),
    Index("agent_heartbeats_deleted", "deleted"),
)

conductor_lastseen = _table(
    "conductor_lastseen",
    Column("instance_id", String(36), primary_key=True),
    Column("method_name", String(36), primary_key=True),
    Column("sent", Double),
)

# One row per instance that was ever root-enabled; disabled_at (ours) is when it last ceased to be.
root_enabled_history = _table(
    "root_enabled_history", _id(),
    Column("user", String(255)),
    Column("created", DateTime),
    Column("disabled_at", DateTime),
)

backups = _table(
    "backups", _id(),
    Column("name", String(255), nullable=False),
    Column("description", String(512)),
    Column("location", String(1024)),
    Column("backup_type", String(32)),
    Column("size", Double),
    Column("tenant_id", String(36)),
    Column("state", String(32), nullable=False),
    Column("instance_id", String(36)),
    Column("checksum", String(32)),
    Column("backup_timestamp", DateTime),
    *_soft_delete(), *_times(),
    Column("parent_id", String(36)),
    Column("datastore_version_id", String(36), ForeignKey("datastore_versions.id")),
    Column("segments", Integer),  # ours, as is the next
    Column("uploaded", BigInteger),
    # Ours: the name of the backup_encryption_key that it is encrypted with; NULL: taken before that was kept.
    Column("key_id", String(16)),
    # Ours: the archive of logs with which it can be brought to a later time, the number of the piece with which replay
    # begins, and the first such time (seconds since the epoch).
    Column("archive_id", String(36)),
    Column("archive_piece", Integer),
    Column("archive_since", Double),
    Index("backups_instance_id", "instance_id"),
    Index("backups_deleted", "deleted"),
    Index("backups_running", "instance_id", "deleted", "state"),  # ours: lists ask it for each instance
    Index("backups_live", "deleted", "created", "id"),
    Index("backups_of_tenant", "deleted", "tenant_id", "created", "id"),
    Index("backups_of_instance", "deleted", "instance_id", "created", "id"),
    Index("backups_of_parent", "deleted", "parent_id", "id"),
    Index("backups_of_archive", "archive_id", "deleted"),
)

# Ours: the logs of an instance in the object store. pieces, covers: how many there are and the newest time that they
# cover (seconds since the epoch), as the guest reports; oldest: number of the first that was not deleted; ended: no
# further ones come; signed: when the guest was last given signatures.
archives = _table(
    "archives", _id(),
    Column("instance_id", String(36), nullable=False),
    Column("key_id", String(16)),
    Column("pieces", Integer, nullable=False, default=0),
    Column("covers", Double),
    Column("oldest", Integer, nullable=False, default=0),
    Column("ended", Boolean, nullable=False, default=False),
    Column("signed", Double, nullable=False, default=0.0),
    Column("deleted", Boolean, nullable=False, default=False),
    Index("archives_of_instance", "instance_id", "deleted"),
    Index("archives_signed", "deleted", "ended", "signed"),
)

capabilities = _table(
    "capabilities", _id(),
    Column("name", String(255), unique=True),
    Column("description", String(255), nullable=False),
    Column("enabled", Boolean),
)

capability_overrides = _table(
    "capability_overrides", _id(),
    Column("datastore_version_id", String(36), ForeignKey("datastore_versions.id")),
    Column("capability_id", String(36), ForeignKey("capabilities.id")),
    Column("enabled", Boolean),
    UniqueConstraint("datastore_version_id", "capability_id", name="idx_capability_overrides"),
)

security_groups = _table(
    "security_groups", _id(),
    Column("name", String(255)),
    Column("description", String(255)),
    Column("user", String(255)),
    Column("tenant_id", String(255)),
    *_times(), *_soft_delete(),
    Index("security_groups_of_tenant", "deleted", "tenant_id", "id"),
)

security_group_instance_associations = _table(
    "security_group_instance_associations", _id(),
    Column("security_group_id", String(36), ForeignKey("security_groups.id", ondelete="CASCADE")),
    Column("instance_id", String(36), ForeignKey("instances.id", ondelete="CASCADE")),
    *_times(), *_soft_delete(),
    Index("security_group_associations_of_group", "deleted", "security_group_id"),
    Index("security_group_associations_of_instance", "deleted", "instance_id"),
)

security_group_rules = _table(
    "security_group_rules", _id(),
    Column("group_id", String(36), ForeignKey("security_groups.id", ondelete="CASCADE")),
    Column("parent_group_id", String(36), ForeignKey("security_groups.id", ondelete="CASCADE")),
    Column("protocol", String(255)),
    Column("from_port", Integer),
    Column("to_port", Integer),
    Column("cidr", String(255)),
    *_times(), *_soft_delete(),
    Index("security_group_rules_of_group", "deleted", "group_id"),
)

quotas = _table(
    "quotas", _id(), *_times(),
    Column("tenant_id", String(36)),
    Column("resource", String(255), nullable=False),
    Column("hard_limit", Integer),
    UniqueConstraint("tenant_id", "resource", name="quotas_tenant_resource"),
)

quota_usages = _table(
    "quota_usages", _id(), *_times(),
    Column("tenant_id", String(36)),
    Column("in_use", Integer, default=0),
    Column("reserved", Integer, default=0),
    Column("resource", String(255), nullable=False),
    UniqueConstraint("tenant_id", "resource", name="quota_usages_tenant_resource"),
)

reservations = _table(
    "reservations", _id(), *_times(),
    Column("usage_id", String(36)),
    Column("delta", Integer, nullable=False),
    Column("status", String(36)),
    # Ours: the operation that the reservation belongs to; it ends with it.
    Column("operation_id", String(36)),
    Index("reservations_usage_id", "usage_id"),
)

modules = _table(
    "modules", _id(64),
    Column("name", String(255), nullable=False),
    Column("type", String(255), nullable=False),
    Column("contents", LongText, nullable=False),
    Column("description", String(255)),
    Column("tenant_id", String(64)),
    Column("datastore_id", String(64)),
    Column("datastore_version_id", String(64)),
    Column("auto_apply", Boolean, nullable=False, default=False),
    Column("visible", Boolean, nullable=False, default=True),
    Column("live_update", Boolean, nullable=False, default=False),
    Column("md5", String(32), nullable=False),
    Column("created", DateTime, nullable=False),
    Column("updated", DateTime, nullable=False),
    Column("deleted", Flag, nullable=False, default=False),
    Column("deleted_at", DateTime),
    # Not effective while one of them is NULL, which deleted_at is for every live row: modules check it themselves.
    UniqueConstraint("type", "tenant_id", "datastore_id", "datastore_version_id", "name", "deleted_at",
                     name="modules_unique"),
)

instance_modules = _table(
    "instance_modules", _id(64),
    Column("instance_id", String(36), ForeignKey("instances.id", ondelete="CASCADE"), nullable=False),
    Column("module_id", String(64), ForeignKey("modules.id", ondelete="CASCADE"), nullable=False),
    Column("md5", String(32), nullable=False),
    Column("created", DateTime, nullable=False),
    Column("updated", DateTime, nullable=False),
    Column("deleted", Flag, nullable=False, default=False),
    Column("deleted_at", DateTime),
    Index("instance_modules_of_instance", "deleted", "instance_id"),
    Index("instance_modules_of_module", "deleted", "module_id", "instance_id"),
)

service_images = _table(
    "service_images", _id(),
    Column("service_name", String(255)),
    Column("image_id", String(255)),
)

dns_records = _table(
    "dns_records",
    Column("name", String(255), primary_key=True),
    Column("record_id", String(64)),
)

usage_events = _table(
    "usage_events", _id(),
    Column("instance_name", String(36)),
    Column("tenant_id", String(36)),
    Column("nova_instance_id", String(36)),
    Column("instance_size", Integer),
    Column("nova_volume_id", String(36)),
    Column("volume_size", Integer),
    Column("end_time", DateTime),
    Column("updated", DateTime),
)

# Ours: one row per long-running operation. Times are seconds since the epoch by the database's clock.
operations = _table(
    "operations", _id(),
    Column("kind", String(64), nullable=False),
    Column("resource_type", String(32), nullable=False),
    Column("resource_id", String(36), nullable=False),
    # Unique while the operation lives and NULL afterwards: two of the same lock cannot both be begun.
    Column("lock_key", String(128), unique=True),
    Column("tenant_id", String(36)),
    Column("arguments", LongText, nullable=False),
    Column("secrets", Text),
    Column("context", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("step", String(64)),
    Column("step_data", LongText, nullable=False),
    Column("cancel", Boolean, nullable=False, default=False),
    Column("owner", String(255)),
    Column("lease_until", Double),
    Column("run_after", Double, nullable=False),
    Column("deadline", Double),
    Column("attempts", Integer, nullable=False, default=0),
    Column("error", Text),
    Column("error_step", String(64)),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Index("operations_state", "state", "run_after"),
    Index("operations_resource", "resource_type", "resource_id", "created_at", "id"),
)

# Ours: notifications that wait to be sent, in the order of their ids.
notifications = _table(
    "notifications",
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("event_type", String(255), nullable=False),
    Column("publisher", String(255), nullable=False),
    Column("payload", LongText, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("lease_until", Double),
)

# Ours: when notifications that are made by the clock were last made.
notification_runs = _table(
    "notification_runs",
    Column("name", String(64), primary_key=True),
    Column("last_run", Double, nullable=False),
)

# Ours: which secrets a guest has; without a row those that it was made with, generation 0, and no certificate.
# generation: in use; pending: given out, and in use as soon as the guest is heard with it; oldest_account: generation
# of the oldest broker account that may exist; key_id, pending_key_id: names of the operation_key that the generations
# in use and given out are made from (of generation 0 instances.guest_key_id); the rest are seconds since the epoch.
guest_secrets = _table(
    "guest_secrets",
    Column("instance_id", String(36), primary_key=True),
    Column("generation", Integer, nullable=False),
    Column("pending", Integer),
    Column("oldest_account", Integer, nullable=False),
    Column("certificate_until", Double),
    Column("tried_at", Double),
    Column("key_id", String(16)),
    Column("pending_key_id", String(16)),
)

# Ours: security events, those of the same name, instance and account within some minutes as one row. Times are seconds
# since the epoch by the database's clock; "" stands for an instance or account that is not known.
security_events = _table(
    "security_events",
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("name", String(64), nullable=False),
    Column("reason", Text, nullable=False),
    Column("instance_id", String(80), nullable=False),
    Column("account", String(80), nullable=False),
    Column("count", Integer, nullable=False),
    Column("first_seen", Double, nullable=False),
    Column("last_seen", Double, nullable=False),
    Index("security_events_same", "name", "instance_id", "account", "first_seen"),
    Index("security_events_last_seen", "last_seen"),
)

# Ours: why an instance is in an error state; the newest row is shown.
instance_faults = _table(
    "instance_faults", _id(),
    Column("instance_id", String(36), nullable=False),
    Column("message", Text, nullable=False),
    Column("details", Text),
    Column("request_id", String(64)),
    Column("created", DateTime, nullable=False),
    Index("instance_faults_instance_id", "instance_id"),
)
