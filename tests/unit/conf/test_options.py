"""Options have the names and defaults of the contract; where ours differ, the reason is here."""
import pytest
from oslo_config import cfg as oslo_cfg

from tests.unit.conf import contract_options
from trove.common import cfg

# Option -> (our default, why it is not the contract's).
DIFFERENT = {
    "cinder_service_type": ("volumev3", "no cloud of today offers volumev2"),
    "report_interval": (10, "Kilo's: a dead guest is noticed in seconds"),
    "network_label_regex": (".*", "the network's names are the tenant's own with Neutron"),
    "backup_aes_cbc_key": (None, "no secret has a default; new backups are not encrypted with it"),
    "backup_segment_max_size": (16 * 1024 * 1024, "segments are held in memory, to be sent again and in parallel"),
    "storage_namespace": ("trove.guestagent.strategies.storage.swift", "Kilo's: only guests use it"),
    "network_driver": ("trove.network.neutron.NeutronDriver", "Nova's own network is gone from Nova"),
}
_ENGINE = "of the MySQL family since 5.7; it must not be shown or touched"
_DBS = ["mysql", "information_schema", "performance_schema", "sys", "lost+found", "#mysql50#lost+found"]
DIFFERENT_IN_GROUPS = {
    **{(group, "ignore_dbs"): (_DBS, _ENGINE) for group in ("mysql", "percona", "mariadb")},
    ("mysql", "root_controller"): ("trove.extensions.common.service.DefaultRootController",
                                   "one class serves all that can disable root"),
    ("mariadb", "backup_strategy"): ("MariaBackup", "XtraBackup cannot read MariaDB's files any more"),
    ("mariadb", "backup_incremental_strategy"): (
        {"MariaBackup": "MariaBackupIncremental", "InnoBackupEx": "InnoBackupExIncremental"}, "the same"),
    ("postgresql", "backup_strategy"): ("PgBaseBackup", "a dump has no increments, and no replica is made of one"),
    ("postgresql", "backup_incremental_strategy"): ({"PgBaseBackup": "PgBaseBackupIncremental"}, "the same"),
}


def registered():
    """Every option that is offered: (group or None, name) -> option."""
    return {(group, opt.dest): opt for group, opts in cfg.list_opts() for opt in opts}


OURS = registered()


def compare(key, contract, different):
    if different is None:
        assert OURS[key].default == contract
    else:
        ours, reason = different
        assert reason
        assert OURS[key].default == ours != contract


@pytest.mark.parametrize("name", [name for name in contract_options.DEFAULT if (None, name) in OURS])
def test_defaults(name):
    compare((None, name), contract_options.DEFAULT[name], DIFFERENT.get(name))


@pytest.mark.parametrize("name", contract_options.DATABASE)
def test_defaults_of_the_database(name):
    compare(("database", name), contract_options.DATABASE[name], None)


@pytest.mark.parametrize(("group", "name"), [(group, name) for group, options in contract_options.GROUPS.items()
                                             for name in options if (group, name) in OURS])
def test_defaults_of_datastores(group, name):
    compare((group, name), contract_options.GROUPS[group][name], DIFFERENT_IN_GROUPS.get((group, name)))


def test_no_reason_is_left_over():
    assert {(None, name) for name in DIFFERENT} <= OURS.keys()
    assert DIFFERENT_IN_GROUPS.keys() <= OURS.keys()


@pytest.mark.parametrize(("old", "new"), [("max_instances_per_user", "max_instances_per_tenant"),
                                          ("max_volumes_per_user", "max_volumes_per_tenant"),
                                          ("max_backups_per_user", "max_backups_per_tenant")])
def test_old_names_of_quotas_are_understood(conf, tmp_path, old, new):
    path = tmp_path / "trove.conf"
    path.write_text(f"[DEFAULT]\n{old} = 3\n")
    conf.reset()
    cfg.parse_args(["--config-file", str(path)])
    assert conf[new] == 3


def test_every_option_says_what_it_is_and_in_which_unit():
    for key, opt in OURS.items():
        assert opt.help and opt.help.strip()[-1] in ".)", key
        if isinstance(opt, (oslo_cfg.IntOpt, oslo_cfg.FloatOpt)) and key[1].endswith(("_timeout", "_time_out")):
            assert "econds" in opt.help, key


def test_secrets_have_no_default_and_are_marked():
    for key, opt in OURS.items():
        if any(part in ("pass", "password", "key", "passkey") for part in key[1].split("_")) \
                and isinstance(opt, oslo_cfg.StrOpt) and not key[1].endswith("_file"):
            assert opt.secret and not opt.default, key
