"""Durable operations, faults and addresses of instances, when root was disabled, owners of reservations, indexes."""
import sqlalchemy
from sqlalchemy import Boolean, Column, DateTime, Float, Index, Integer, MetaData, String, Table, Text, schema
from sqlalchemy.dialects import mysql, postgresql

_Double = Float(53).with_variant(mysql.DOUBLE(asdecimal=False), "mysql").with_variant(
    postgresql.DOUBLE_PRECISION(), "postgresql")
_LongText = Text().with_variant(mysql.MEDIUMTEXT(), "mysql")


def _new_tables():
    """Fresh objects for each run: a Column belongs to one Table only."""
    metadata = MetaData()
    settings = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4"}
    Table(
        "operations", metadata,
        Column("id", String(36), primary_key=True),
        Column("kind", String(64), nullable=False),
        Column("resource_type", String(32), nullable=False),
        Column("resource_id", String(36), nullable=False),
        Column("lock_key", String(128), unique=True),
        Column("tenant_id", String(36)),
        Column("arguments", _LongText, nullable=False),
        Column("secrets", Text),
        Column("context", Text, nullable=False),
        Column("state", String(16), nullable=False),
        Column("step", String(64)),
        Column("step_data", _LongText, nullable=False),
        Column("cancel", Boolean, nullable=False),
        Column("owner", String(255)),
        Column("lease_until", _Double),
        Column("run_after", _Double, nullable=False),
        Column("deadline", _Double),
        Column("attempts", Integer, nullable=False),
        Column("error", Text),
        Column("error_step", String(64)),
        Column("created_at", _Double, nullable=False),
        Column("updated_at", _Double, nullable=False),
        Index("operations_state", "state", "run_after"),
        Index("operations_resource", "resource_type", "resource_id"),
        **settings)
    Table(
        "instance_faults", metadata,
        Column("id", String(36), primary_key=True),
        Column("instance_id", String(36), nullable=False),
        Column("message", Text, nullable=False),
        Column("details", Text),
        Column("request_id", String(64)),
        Column("created", DateTime, nullable=False),
        Index("instance_faults_instance_id", "instance_id"),
        **settings)
    return metadata


def _new_columns():
    return (("instances", Column("addresses", Text)),
            ("instances", Column("server_seen", DateTime)),
            ("root_enabled_history", Column("disabled_at", DateTime)),
            ("reservations", Column("operation_id", String(36))))


# Lists of a tenant by id, and whether a backup runs, without looking at the rows of others.
_INDEXES = (("reservations", "reservations_usage_id", ("usage_id",)),
            ("instances", "instances_tenant_page", ("tenant_id", "id")),
            ("backups", "backups_running", ("instance_id", "deleted", "state")))


def _existing(connection, table):
    """The table as the database has it now."""
    return Table(table, MetaData(), autoload_with=connection)


def upgrade(migrate_engine):
    """Add what is not there yet."""
    with migrate_engine.begin() as connection:
        _new_tables().create_all(connection, checkfirst=True)
        for table, column in _new_columns():
            if column.name not in _existing(connection, table).c:
                definition = schema.CreateColumn(column).compile(dialect=connection.dialect)
                connection.execute(sqlalchemy.text(f"ALTER TABLE {table} ADD COLUMN {definition}"))
        for table_name, name, columns in _INDEXES:
            table = _existing(connection, table_name)
            if name not in {index.name for index in table.indexes}:
                Index(name, *(table.c[column] for column in columns)).create(connection)


def downgrade(migrate_engine):
    """Remove it again, with everything that the tables hold."""
    with migrate_engine.begin() as connection:
        for table_name, name, _columns in _INDEXES:
            for index in _existing(connection, table_name).indexes:
                if index.name == name:
                    index.drop(connection)
        for table, column in _new_columns():
            if column.name in _existing(connection, table).c:
                connection.execute(sqlalchemy.text(f"ALTER TABLE {table} DROP COLUMN {column.name}"))
        _new_tables().drop_all(connection, checkfirst=True)
