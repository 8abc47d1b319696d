"""Services refuse to start with a missing or placeholder secret and say which option to set."""
import dataclasses

import pytest

from trove.cmd import api, common, conductor, taskmanager
from trove.common import cfg
from trove.quota import quota

GOOD = "transport_url=rabbit://u:good@h/\noperation_key=0123456789abcdef0123456789abcdef"


def start(conf, tmp_path, text, secrets=("operation_key",)):
    conf.clear_override("operation_key")
    path = tmp_path / "trove.conf"
    path.write_text(f"[DEFAULT]\n{text}\n")
    common.read_configuration(str(path), argv=[], secrets=secrets)


@pytest.mark.parametrize("text, option", [
    ("transport_url=rabbit://u:good@h/", "operation_key"),
    ("transport_url=rabbit://u:good@h/\noperation_key=changeme", "operation_key"),
    ("transport_url=rabbit://u:good@h/\noperation_key=0123456789abcdef0123456789abcde", "operation_key to at least 32"),
    ("operation_key=0123456789abcdef0123456789abcdef\ntransport_url=rabbit://guest:guest@h/", "transport_url"),
    ("operation_key=0123456789abcdef0123456789abcdef", "transport_url"),
    ("operation_key=0123456789abcdef0123456789abcdef\ntransport_url=rabbit://u:good@h,u:password@k/",
     "transport_url"),
    (f"{GOOD}\noperation_key=changeme", r"operation_key to a secret .*\(line 2 of 2\)"),
    (f"{GOOD}\noperation_key=short", r"operation_key to at least 32 .*\(line 2 of 2\)"),
    (f"{GOOD}\nbackup_encryption_key=changeme", "backup_encryption_key to a secret"),
    (f"{GOOD}\nbackup_encryption_key={'b' * 31}", "backup_encryption_key to at least 32"),
])
def test_refusals_name_the_option(conf, tmp_path, text, option):
    with pytest.raises(SystemExit, match=rf"Cannot start: set \[DEFAULT\] {option}"):
        start(conf, tmp_path, text)


def test_real_secrets_are_accepted(conf, tmp_path):
    start(conf, tmp_path, "operation_key=0123456789abcdef0123456789abcdef\ntransport_url=rabbit://u:good@h:5672/v")
    assert conf.operation_key == ["0123456789abcdef0123456789abcdef"]


def test_several_keys_are_accepted_in_their_order_and_none_twice(conf, tmp_path):
    new = "with, commas and = signs, of 32 characters"
    start(conf, tmp_path, f"operation_key={new}\n{GOOD}\nbackup_encryption_key={'b' * 32}")
    assert conf.operation_key == [new, "0123456789abcdef0123456789abcdef"]
    with pytest.raises(SystemExit, match=r"remove the key of \[DEFAULT\] operation_key .* twice \(line 3 of 3\)"):
        start(conf, tmp_path, f"{GOOD}\noperation_key={new}\noperation_key={new}")


def test_a_service_reads_the_shared_file_and_then_its_own(conf, tmp_path):
    """A file that is not there is skipped, and files on the command line take the place of both."""
    shared, own, other = (tmp_path / name for name in ("trove.conf", "trove-conductor.conf", "other.conf"))
    shared.write_text("[DEFAULT]\nhost=shared\nregion=shared\ntransport_url=rabbit://u:good@h/\n")
    common.read_configuration(shared, own, argv=[])
    assert (conf.host, conf.region) == ("shared", "shared")
    own.write_text("[DEFAULT]\nhost=own\n")
    common.read_configuration(shared, own, argv=[])
    assert (conf.host, conf.region) == ("own", "shared")
    other.write_text("[DEFAULT]\nhost=other\ntransport_url=rabbit://u:good@h/\n")
    common.read_configuration(shared, own, argv=["--config-file", str(other)])
    assert (conf.host, conf.region) == ("other", "LOCAL_DEV")
    shared.unlink()
    with pytest.raises(SystemExit, match="transport_url"):
        common.read_configuration(shared, own, argv=[])


@pytest.mark.parametrize(("main", "own"), [(conductor.main, "trove-conductor.conf"),
                                           (taskmanager.main, "trove-taskmanager.conf"), (api.main, None)])
def test_every_service_names_its_files(monkeypatch, main, own):
    read = []

    def stop(*files, **_):
        read.extend(files)
        raise SystemExit

    monkeypatch.setattr(common, "read_configuration", stop)
    with pytest.raises(SystemExit):
        main()
    assert read == ["/etc/trove/trove.conf", *([f"/etc/trove/{own}"] if own else [])]


@pytest.mark.parametrize("value", ['"admin","operator"', '"admin",operator', "'admin','operator'", 'admin,"operator"'])
@pytest.mark.parametrize(("group", "name"), [("DEFAULT", "admin_roles"), ("mysql", "ignore_dbs")])
def test_list_items_in_quotes_are_refused(conf, tmp_path, group, name, value):
    path = tmp_path / "trove.conf"
    path.write_text(f"[{group}]\n{name} = {value}\n")
    with pytest.raises(SystemExit, match=rf"^Cannot start: write the items of \[{group}\] {name} without quotes"):
        cfg.parse_args([], default_config_files=[str(path)])


def test_quotes_around_a_whole_list_are_accepted(conf, tmp_path):
    path = tmp_path / "trove.conf"
    path.write_text('[DEFAULT]\nadmin_roles = "admin,operator"\n')
    cfg.parse_args([], default_config_files=[str(path)])
    assert conf.admin_roles == ["admin", "operator"]


@pytest.mark.parametrize(("version", "starts"), [("2", True), ("2.12", True), ("2.56", True), ("2.57", False),
                                                 ("2.100", False)])
def test_a_nova_version_without_file_injection_is_refused(conf, monkeypatch, version, starts):
    monkeypatch.setattr(taskmanager.bus, "problems", list)
    conf.set_override("nova_client_version", version)
    if starts:
        taskmanager._check_options()
        return
    with pytest.raises(SystemExit, match=rf"nova_client_version is {version}: set it to 2\.56 or lower"):
        taskmanager._check_options()


def test_every_path_that_cannot_be_used_is_named(conf):
    common.check_paths(*common.factories("nova", "guest"), (conf.quota_driver, quota.QuotaDriver, "quota_driver"))
    conf.set_override("remote_guest_client", "trove.common.remote.ghost_client")
    with pytest.raises(SystemExit, match="^Cannot start: .*ghost_client.*; .*quota_driver.*reserve"):
        common.check_paths(*common.factories("nova", "guest"),
                           (f"{__name__}.Half", quota.QuotaDriver, "quota_driver"))


class Half(quota.QuotaDriver):
    def limits(self, session, tenant):
        """Only this."""


@pytest.mark.parametrize("text", [None, "no section"])
def test_a_file_that_cannot_be_read_is_a_sentence(conf, tmp_path, text):
    """And no traceback: it is not there, or no INI file."""
    path = tmp_path / "trove.conf"
    if text:
        path.write_text(text)
    with pytest.raises(SystemExit, match=f"Cannot start: (?s:.)*{path}"):
        common.read_configuration(tmp_path / "none", argv=["--config-file", str(path)])


@pytest.mark.parametrize(("options", "named"), [
    ({"swift_user": "u"}, "swift_password"),
    ({"swift_user": "u", "swift_password": "password"}, "swift_password"),
    ({"swift_user": "u", "swift_password": "of its own"}, "swift_project_name"),
    ({"swift_user": "u", "swift_password": "of its own", "swift_project_name": "p"}, None),
    ({}, None)])
def test_the_user_who_keeps_backups_is_named_wholly_or_not_at_all(conf, options, named):
    for name, value in options.items():
        conf.set_override(name, value)
    if named is None:
        common.check_swift_user()
    else:
        with pytest.raises(SystemExit, match=named):
            common.check_swift_user()


def test_a_file_of_tls_that_cannot_be_used_is_named(conf, tmp_path):
    with pytest.raises(SystemExit, match="^Cannot start: .*ssl_ca_file: /nowhere cannot be read .No such file"):
        start(conf, tmp_path, "operation_key=0123456789abcdef0123456789abcdef\ntransport_url=rabbit://u:good@h/\n"
                              "[oslo_messaging_rabbit]\nssl=true\nssl_ca_file=/nowhere")


def test_the_modules_of_the_cards_are_there(conf):
    common.check_cards()


@pytest.mark.parametrize(("option", "value"), [
    ("backup_namespace", "trove.guestagent.strategies.backup.msyql_impl"), ("restore_namespace", "trove.nowhere.impl"),
    ("replication_namespace", ""), ("replication_namespace", None)])
def test_a_missing_module_of_a_datastore_is_named(conf, option, value):
    conf.set_override(option, value, group="mariadb")
    says = rf"^Cannot start: option \[mariadb\] {option}: there is no module '{value}'\.$"
    with pytest.raises(SystemExit, match=says):
        common.check_cards()


def test_a_module_of_the_operators_own_may_be_in_images_alone(conf):
    conf.set_override("backup_namespace", "company.backup", group="mariadb")
    common.check_cards()


@pytest.mark.parametrize(("part", "path", "says"), [
    ("models", "trove.guestagent.db.base.User", "must be a subclass of trove.guestagent.db.base.Names"),
    ("models", "trove.guestagent.db.msyql.Names", "cannot be loaded"),
    ("client", "trove.rpc.Client", "cannot be loaded")])
def test_a_class_of_a_card_that_services_use_is_checked(conf, monkeypatch, part, path, says):
    card = cfg.CARDS["percona"]
    monkeypatch.setattr(card, "TRAITS", dataclasses.replace(card.TRAITS, **{part: path}))
    with pytest.raises(SystemExit, match=rf"\[percona\] {part} \(in its card\): '{path}' {says}"):
        common.check_cards()


def test_a_missing_manager_of_a_card_is_named(conf, monkeypatch):
    card = cfg.CARDS["percona"]
    monkeypatch.setattr(card, "TRAITS", dataclasses.replace(card.TRAITS, manager="trove.guestagent.percona.Manager"))
    with pytest.raises(SystemExit, match=r"\[percona\] manager \(in its card\): there is no module 'trove.guest"):
        common.check_cards()


def test_a_datastore_without_backups_and_replication_needs_no_modules_of_them(conf):
    for option in ("backup_strategy", "replication_strategy"):
        conf.set_override(option, None, group="mariadb")
    for option in ("backup_namespace", "restore_namespace", "replication_namespace"):
        conf.set_override(option, None, group="mariadb")
    common.check_cards()
