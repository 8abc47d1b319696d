"""Indexes for lists in order of creation and for quotas, and a time of creation in every row that lists show."""
import datetime

from sqlalchemy import Index, MetaData, Table, func

# {table: {index: (columns now, columns before)}}; None: there is no such index.
_INDEXES = {
    "instances": {
        "instances_live": (("deleted", "created", "id"), ("deleted", "id")),
        "instances_of_tenant": (("deleted", "tenant_id", "created", "id"), ("deleted", "tenant_id", "id")),
        "instances_of_tenant_alone": (("deleted", "tenant_id", "cluster_id", "created", "id"),
                                      ("deleted", "tenant_id", "cluster_id", "id")),
        "instances_of_cluster": (("deleted", "cluster_id", "created", "id"), ("deleted", "cluster_id", "id")),
        "instances_of_configuration": (("deleted", "configuration_id", "created", "id"),
                                       ("deleted", "configuration_id", "id")),
        "instances_for_quota": (("deleted", "tenant_id", "task_id", "volume_size"), None),
        "instances_by_time": (("created", "id"), None),
        "instances_by_cluster": (("cluster_id", "created", "id"), ("cluster_id", "id")),
        "instances_by_tenant": (("tenant_id", "cluster_id", "created", "id"), None),
        "instances_by_tenant_and_time": (("tenant_id", "created", "id"), None),
    },
    "backups": {
        "backups_live": (("deleted", "created", "id"), ("deleted", "updated", "id")),
        "backups_of_tenant": (("deleted", "tenant_id", "created", "id"), ("deleted", "tenant_id", "updated", "id")),
        "backups_of_instance": (("deleted", "instance_id", "created", "id"),
                                ("deleted", "instance_id", "updated", "id")),
    },
    "clusters": {
        "clusters_of_tenant": (("deleted", "tenant_id", "created", "id"), ("deleted", "tenant_id", "id"))},
    "configurations": {
        "configurations_of_tenant": (("deleted", "tenant_id", "created", "id"), ("deleted", "tenant_id", "id"))},
}


def _change(migrate_engine, position):
    """Give the indexes the columns at ``position`` of their pairs; an index that has them already stays."""
    with migrate_engine.begin() as connection:
        for name, indexes in _INDEXES.items():
            table = Table(name, MetaData(), autoload_with=connection)
            present = {index.name: index for index in table.indexes}
            for index, pair in indexes.items():
                wanted, found = pair[position], present.get(index)
                if found is not None and tuple(column.name for column in found.columns) == wanted:
                    continue
                if found is not None:
                    found.drop(connection)
                if wanted is not None:
                    Index(index, *(table.c[column] for column in wanted)).create(connection)


def upgrade(migrate_engine):
    """Change the indexes. A row without a time of creation gets that of its last change, else 1970."""
    with migrate_engine.begin() as connection:
        for name in _INDEXES:
            table = Table(name, MetaData(), autoload_with=connection)
            connection.execute(table.update().where(table.c.created.is_(None)).values(
                created=func.coalesce(table.c.updated, datetime.datetime(1970, 1, 1))))
    _change(migrate_engine, 0)


def downgrade(migrate_engine):
    """Give the indexes their former columns."""
    _change(migrate_engine, 1)
