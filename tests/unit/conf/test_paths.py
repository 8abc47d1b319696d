"""Every dotted path that an option has as its default leads somewhere; so does each pair of namespace and name."""
import re

import pytest

from trove.common import cfg
from trove.common.cfg import CONF
from trove.common.strategies import strategy
from trove.guestagent.strategies.backup.base import BackupRunner
from trove.guestagent.strategies.restore.base import RestoreRunner
from trove.guestagent.strategies.storage.base import Storage

PATH = re.compile(r"trove(\.\w+)+\.[A-Za-z_]\w*\Z")
# Names of modules, which are completed by other options, and files.
MODULES = {"storage_namespace", "backup_namespace", "restore_namespace", "replication_namespace", "archive_namespace",
           "db_api_implementation"}


def defaults():
    """(group, name, path) of every dotted path among the defaults."""
    for group, options in cfg.list_opts():
        for option in options:
            values = option.default if isinstance(option.default, list) else [option.default]
            for value in values:
                if option.dest not in MODULES and isinstance(value, str) and PATH.match(value):
                    yield group, option.dest, value


def test_there_are_such_options():
    assert {name for _, name, _ in defaults()} >= {
        "taskmanager_manager", "conductor_manager", "quota_driver", "network_driver", "remote_nova_client",
        "root_controller"}


@pytest.mark.parametrize(("group", "name", "path"), sorted(set(defaults()), key=str))
def test_a_default_path_can_be_loaded(group, name, path):
    assert callable(strategy.load(path, option=f"[{group}] {name}"))


@pytest.mark.parametrize("path", ["NotificationTransformer", "NovaNotificationTransformer"])
def test_the_transformers_of_the_documents(path):
    assert callable(strategy.load(f"trove.extensions.mgmt.instances.models.{path}"))


@pytest.mark.parametrize("group", list(cfg.CARDS))
def test_the_strategies_of_a_datastore(group):
    options = CONF[group]
    increments = options.backup_incremental_strategy
    for kind in {options.backup_strategy, *increments, *increments.values()} - {None}:
        strategy.load(f"{options.backup_namespace}.{kind}", BackupRunner, f"[{group}] backup_strategy")
        strategy.load(f"{options.restore_namespace}.{kind}", RestoreRunner, f"[{group}] restore_namespace")
    if options.replication_strategy:
        strategy.load(f"{options.replication_namespace}.{options.replication_strategy}")


def test_the_store_of_backups():
    strategy.load(f"{CONF.storage_namespace}.{CONF.storage_strategy}", Storage)
