"""Who may connect to an instance, beside its row."""
import json

import sqlalchemy
from sqlalchemy import Column, MetaData, Table, Text, schema

_COLUMN = "allowed_cidrs"


def _existing(connection, table):
    """The table as the database has it now."""
    return Table(table, MetaData(), autoload_with=connection)


def _fill(connection):
    """Write what the live rules of each instance say."""
    instances = _existing(connection, "instances")
    rules, owners = (_existing(connection, name).c for name in (
        "security_group_rules", "security_group_instance_associations"))
    found = {}
    for instance_id, cidr in connection.execute(sqlalchemy.select(owners.instance_id, rules.cidr).where(
            owners.security_group_id == rules.group_id, owners.deleted.is_(False), rules.deleted.is_(False))):
        found.setdefault(instance_id, set()).add(cidr)
    for instance_id, cidrs in found.items():
        connection.execute(instances.update().where(instances.c.id == instance_id).values(
            {_COLUMN: json.dumps(sorted(cidrs))}))


def upgrade(migrate_engine):
    """Add what is not there yet."""
    with migrate_engine.begin() as connection:
        if _COLUMN not in _existing(connection, "instances").c:
            definition = schema.CreateColumn(Column(_COLUMN, Text)).compile(dialect=connection.dialect)
            connection.execute(sqlalchemy.text(f"ALTER TABLE instances ADD COLUMN {definition}"))
        _fill(connection)


def downgrade(migrate_engine):
    """Remove it again."""
    with migrate_engine.begin() as connection:
        if _COLUMN in _existing(connection, "instances").c:
            connection.execute(sqlalchemy.text(f"ALTER TABLE instances DROP COLUMN {_COLUMN}"))
