"""The plan of a guest's memory: server, agent and backup tools together are not more than the guest has."""
import pytest

from trove.common import cfg, memory, template
from trove.common.cfg import CONF

STRATEGIES = [("mariadb", "MariaBackup"), ("mariadb", "MySQLDump"), ("mysql", "InnoBackupEx"), ("mysql", "MySQLClone"),
              ("percona", "InnoBackupEx")]
# Of the buffer pool before there was a plan: of less than 2 GB, less than 8 GB, and above. A plan may not give more.
SHARES = {"mariadb": (0.4, 0.5, 0.65), "mysql": (0.35, 0.5, 0.65), "percona": (0.35, 0.5, 0.65)}


def planned(ram, manager, strategy):
    """Return the plan of a guest with that datastore."""
    return memory.plan(ram, cfg.traits(manager).memory, strategy)


@pytest.mark.parametrize(("manager", "strategy"), STRATEGIES)
@pytest.mark.parametrize("ram", [512, 768, 1024, 1536, 2048, 3072, 4096, 8192, 16384, 32768, 65536])
def test_all_of_it_fits(conf, manager, strategy, ram):
    conf.set_override("backup_strategy", strategy, group=manager)
    plan = planned(ram, manager, strategy)
    assert plan.total <= ram
    assert plan.agent >= memory.segments_in_memory(ram) * CONF.backup_segment_max_size / 2**20
    settings = template.defaults(manager, "x", "1", {"ram": ram}, "i-1")
    pool = _megabytes(settings["innodb_buffer_pool_size"])
    assert plan.pool / 1.35 < pool <= plan.pool
    # The server's other buffers are what the plan says of them.
    fixed = sum(_megabytes(text) for name, text in settings.items()
                if name in ("key_buffer_size", "innodb_log_buffer_size"))
    assert plan.server >= planned(256, manager, strategy).server - 8 + fixed


@pytest.mark.parametrize(("manager", "strategy"), STRATEGIES)
def test_only_small_flavors_give_up_some_of_their_pool(manager, strategy):
    for ram in (1024, 2048, 4096, 8192, 65536):
        share = SHARES[manager][(ram >= 2048) + (ram >= 8192)]
        assert planned(ram, manager, strategy).pool == int(ram * share)


def test_the_smallest_flavor():
    assert {(manager, strategy): planned(512, manager, strategy).pool for manager, strategy in STRATEGIES} == {
        ("mariadb", "MariaBackup"): 166, ("mariadb", "MySQLDump"): 188, ("mysql", "InnoBackupEx"): 74,
        ("mysql", "MySQLClone"): 96, ("percona", "InnoBackupEx"): 74}


def _megabytes(text):
    assert text.endswith("M")
    return int(text[:-1])
