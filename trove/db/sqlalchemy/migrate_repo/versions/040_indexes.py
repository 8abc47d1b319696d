"""Indexes on what requests ask of the live rows, so that none looks at the rows of all instances."""
from sqlalchemy import Index, MetaData, Table

# The flag comes first: MySQL has an index of its own on each foreign key, and gives it up for one that begins with it.
_INDEXES = {
    "instances": {
        "instances_live": ("deleted", "id"),
        "instances_of_tenant": ("deleted", "tenant_id", "id"),
        "instances_of_tenant_alone": ("deleted", "tenant_id", "cluster_id", "id"),
        "instances_of_source": ("deleted", "slave_of_id", "id"),
        "instances_of_cluster": ("deleted", "cluster_id", "id"),
        "instances_by_cluster": ("cluster_id", "id"),
        "instances_of_configuration": ("deleted", "configuration_id", "id"),
        "instances_of_server": ("deleted", "compute_instance_id"),
    },
    "backups": {
        "backups_live": ("deleted", "updated", "id"),
        "backups_of_tenant": ("deleted", "tenant_id", "updated", "id"),
        "backups_of_instance": ("deleted", "instance_id", "updated", "id"),
        "backups_of_parent": ("deleted", "parent_id", "id"),
    },
    "clusters": {"clusters_of_tenant": ("deleted", "tenant_id", "id")},
    "configurations": {"configurations_of_tenant": ("deleted", "tenant_id", "id")},
    "security_groups": {"security_groups_of_tenant": ("deleted", "tenant_id", "id")},
    "security_group_instance_associations": {
        "security_group_associations_of_group": ("deleted", "security_group_id"),
        "security_group_associations_of_instance": ("deleted", "instance_id"),
    },
    "security_group_rules": {"security_group_rules_of_group": ("deleted", "group_id")},
    "instance_modules": {
        "instance_modules_of_instance": ("deleted", "instance_id"),
        "instance_modules_of_module": ("deleted", "module_id", "instance_id"),
    },
}
# Replaced by instances_of_tenant, which skips the rows of deleted instances.
_REPLACED = {"instances": {"instances_tenant_page": ("tenant_id", "id")}}


def _change(migrate_engine, wanted, unwanted):
    """Make the indexes of one table of names, and drop those of another; what is so already stays."""
    with migrate_engine.begin() as connection:
        for name in wanted:
            table = Table(name, MetaData(), autoload_with=connection)
            present = {index.name: index for index in table.indexes}
            for index, columns in wanted[name].items():
                if index not in present:
                    Index(index, *(table.c[column] for column in columns)).create(connection)
        for name in unwanted:
            table = Table(name, MetaData(), autoload_with=connection)
            for index in table.indexes:
                if index.name in unwanted[name]:
                    index.drop(connection)


def upgrade(migrate_engine):
    """Make what is not there yet."""
    _change(migrate_engine, _INDEXES, _REPLACED)


def downgrade(migrate_engine):
    """Drop them again."""
    _change(migrate_engine, _REPLACED, _INDEXES)
