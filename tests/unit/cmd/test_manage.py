"""trove-manage: every command, its exit code, and one line that says what is wrong."""
import json
import shlex
import uuid
from pathlib import Path

import pytest
import sqlalchemy

from tests import pages
from trove.cmd import manage
from trove.common import cfg, crypto, pki
from trove.common.cfg import CONF
from trove.common.context import TroveContext
from trove.conf.datastores import CARDS, PACKAGED
from trove.datastore import models
from trove.db.sqlalchemy import tables
from trove.operation import models as operations

OPERATORS = Path(__file__).parents[3] / "doc/operators.rst"


@pytest.fixture
def run(db, tmp_path, capsys):
    """Runs one command; returns (exit code, standard output, standard error)."""
    path = tmp_path / "trove.conf"
    path.write_text(f"[database]\nconnection = sqlite:///{tmp_path}/trove.sqlite\n")

    def run_command(*arguments):
        capsys.readouterr()
        code = 0
        CONF.reset()  # as in a process that has just started
        try:
            manage.main(["--config-file", str(path), *arguments])
        except SystemExit as end:
            code = end.code
        CONF.reset()
        CONF.unregister_opt(manage.COMMAND_OPT)
        cfg.parse_args([], default_config_files=[])
        out, err = capsys.readouterr()
        return code, out, "".join(line for line in err.splitlines(True) if line.startswith("trove-manage: "))
    return run_command


def rows(db, table, *order):
    with db.reader() as session:
        return session.execute(sqlalchemy.select(table).order_by(*order)).mappings().all()


@pytest.fixture
def version(run):
    """mysql with the version 8.0 and the default."""
    for arguments in (("datastore_update", "mysql", ""),
                      ("datastore_version_update", "mysql", "8.0", "mysql", "img-1", "mysql-server,jq", "1"),
                      ("datastore_update", "mysql", "8.0")):
        assert run(*arguments)[0] == 0


def test_a_datastore_is_made_in_three_commands_that_may_be_repeated(run, db, version):
    (datastore,) = rows(db, tables.datastores)
    (made,) = rows(db, tables.datastore_versions)
    assert datastore["default_version_id"] == made["id"]
    assert {key: made[key] for key in ("name", "manager", "image_id", "packages", "active")} == {
        "name": "8.0", "manager": "mysql", "image_id": "img-1", "packages": "mysql-server,jq", "active": True}
    assert run("datastore_version_update", datastore["id"], "8.0", "percona", "img-2", "", "0")[0] == 0
    assert run("datastore_update", "mysql", "")[0] == 0
    (changed,) = rows(db, tables.datastore_versions)
    assert (changed["id"], changed["manager"], changed["image_id"], changed["packages"], changed["active"]) == (
        made["id"], "percona", "img-2", "", False)
    assert rows(db, tables.datastores) == [datastore]


@pytest.mark.parametrize(("arguments", "line"), [
    (("datastore_update", "mysql", "9"), "The datastore version 9 does not exist."),
    (("datastore_update", "new", "9"), "The datastore version 9 does not exist."),
    (("datastore_update", " ", ""), "datastore_name: must not be empty"),
    (("datastore_update", "x" * 256, ""), "datastore_name: must have at most 255 characters"),
    (("datastore_version_update", "oracle", "1", "m", "i", "", "1"), "The datastore oracle does not exist."),
    (("datastore_version_update", "mysql", "1", "m", "i" * 37, "", "1"), "image_id: must have at most 36 characters"),
    (("datastore_version_update", "mysql", "1", "", "i", "", "1"), "manager: must not be empty"),
    (("datastore_version_flavor_add", "mysql", "9", "1"), "The datastore version 9 does not exist."),
    (("datastore_version_flavor_add", "mysql", "8.0", " , "), "flavor_ids: must name at least one flavor"),
    (("datastore_version_flavor_delete", "mysql", "8.0", "7"), "is not restricted to the flavor 7."),
    (("db_load_datastore_config_parameters", "mysql", "8.0", "/nowhere"), "No such file or directory: '/nowhere'"),
    (("db_downgrade", "37"), "The database is not under version control; run db_sync first."),
    (("db_sync", "--repo_path", "/nowhere"), "--repo_path: /nowhere is not a migrate repository"),
])
def test_refusals_are_one_line_and_change_nothing(run, db, version, arguments, line):
    before = [rows(db, table) for table in (tables.datastores, tables.datastore_versions)]
    code, out, err = run(*arguments)
    assert (code, out) == (1, "")
    assert err.startswith("trove-manage: ") and line in err and err.count("\n") == 1
    assert [rows(db, table) for table in (tables.datastores, tables.datastore_versions)] == before


@pytest.mark.parametrize("arguments", [
    (), ("bogus",), ("datastore_update",), ("datastore_version_update", "d", "v", "m", "i", "", "2"),
    ("db_downgrade",), ("db_downgrade", "one"), ("db_upgrade", "--version", "x"),
])
def test_wrong_arguments_are_exit_code_2(run, arguments):
    assert run(*arguments)[0] == 2


def test_operations_are_listed_and_shown(run, db, version):
    """Live ones by default, those of an instance, one with its steps, and an id that is not there."""
    instance_id, request = str(uuid.uuid4()), TroveContext(project_id="tenant-a", overwrite=False)
    with db.writer() as session:
        ended = operations.begin(session, "instance.create", "instance", instance_id, request)
        operations.claim(session, ended.id, "me", 30)
        operations.update_held(session, ended.id, "me", **operations.end_values(operations.FAILED, "no host", "server"))
    with db.writer() as session:
        live = operations.begin(session, "instance.delete", "instance", instance_id, request)
    ended_id, live_id = ended.id, live.id
    code, out, _err = run("operation_list")
    assert code == 0 and live_id in out and ended_id not in out
    _code, out, _err = run("operation_list", "--instance", instance_id)
    assert out.index(live_id) < out.index(ended_id)
    code, out, _err = run("operation_show", ended_id)
    shown = json.loads(out)
    assert code == 0
    assert (shown["state"], shown["error"], shown["error_step"], shown["owner"], shown["resource"]) == (
        "failed", "no host", "server", "me", f"instance {instance_id}")
    code, _out, err = run("operation_show", instance_id)
    assert code == 1 and instance_id in err


@pytest.mark.parametrize("command", [function.__name__ for function in manage.COMMANDS])
def test_every_command_explains_itself(run, command):
    code, out, _err = run(command, "--help")
    assert code == 0
    assert "--help" in out and len(out.splitlines()) > 4


def test_a_manager_that_is_not_known_is_taken_with_a_warning(run, version):
    code, _out, err = run("datastore_version_update", "mysql", "x", "mysq", "i", "", "1")
    assert code == 0
    assert "knows no manager 'mysq'" in err


@pytest.mark.parametrize(("manager", "warns"), [("mysql", False), ("percona", True)])
def test_a_manager_that_is_not_stable_is_taken_with_a_warning(run, version, manager, warns):
    code, _out, err = run("datastore_version_update", "mysql", "x", manager, "i", "", "1")
    assert code == 0
    assert (f"warning: the manager '{manager}' is experimental: it may not have been" in err) is warns


def test_flavors_are_added_removed_and_added_again(run, db, version):
    assert run("datastore_version_flavor_add", "mysql", "8.0", "1, 2")[0] == 0
    assert run("datastore_version_flavor_add", "mysql", "8.0", "2,m1.tiny")[0] == 0
    assert run("datastore_version_flavor_delete", "mysql", "8.0", "1")[0] == 0
    with db.reader() as session:
        found = models.for_create(session, "mysql")[1]
        assert models.bound_flavors(session, found.id) == {"2", "m1.tiny"}
    assert run("datastore_version_flavor_delete", "mysql", "8.0", "1")[0] == 1
    assert run("datastore_version_flavor_add", "mysql", "8.0", "1")[0] == 0
    with db.reader() as session:
        assert models.bound_flavors(session, found.id) == {"1", "2", "m1.tiny"}


def test_parameters_are_loaded_updated_and_revived(run, db, version, tmp_path):
    path = tmp_path / "validation-rules.json"

    def load(*entries):
        path.write_text(json.dumps({"configuration-parameters": entries}))
        return run("db_load_datastore_config_parameters", "mysql", "8.0", str(path))

    code, out, _err = load({"name": "max_connections", "restart_required": False, "type": "integer", "max": 100000,
                            "min": 1}, {"name": "innodb_file_per_table", "restart_required": 1, "type": "boolean"})
    assert (code, out) == (0, "2 configuration parameters loaded.\n")
    table = tables.datastore_configuration_parameters
    second, first = rows(db, table, table.c.name)
    assert (first["restart_required"], first["data_type"], first["max_size"], first["min_size"]) == (
        False, "integer", "100000", "1")
    assert (second["restart_required"], second["max_size"]) == (True, None)
    with db.writer() as session:
        session.execute(table.update().values(deleted=True))
    assert load({"name": "max_connections", "restart_required": 1, "type": "integer", "max": 9, "min": 1})[0] == 0
    second, again = rows(db, table, table.c.name)
    assert (again["id"], again["restart_required"], again["max_size"], again["deleted"]) == (
        first["id"], True, "9", False)
    assert second["deleted"] is True


@pytest.mark.parametrize(("text", "named"), [
    ("{", "is not a JSON file"), ("[]", "configuration-parameters: must be a list"),
    ('{"configuration-parameters": {}}', "configuration-parameters: must be a list"),
    ('{"configuration-parameters": [1]}', "configuration-parameters[0]: must be an object"),
    ('{"configuration-parameters": [{"name": 1}]}', "configuration-parameters[0].name: must be a text"),
    ('{"configuration-parameters": [{"name": "a", "type": "string"}]}', "[0].restart_required: must be true, false"),
    ('{"configuration-parameters": [{"name": "a", "type": "string", "restart_required": 0, "max": []}]}',
     "[0].max: must be a whole number"),
    ('{"configuration-parameters": [{"name": "a", "type": "integer", "restart_required": 0, "min": 0.5}]}',
     "[0].min: must be a whole number"),
    ('{"configuration-parameters": [{"name": "a", "type": "integer", "restart_required": 0, "max": "much"}]}',
     "[0].max: must be a whole number"),
])
def test_a_damaged_rules_file_is_refused_by_place(run, db, version, tmp_path, text, named):
    path = tmp_path / "rules.json"
    path.write_text(text)
    code, _out, err = run("db_load_datastore_config_parameters", "mysql", "8.0", str(path))
    assert code == 1
    assert named in err
    assert rows(db, tables.datastore_configuration_parameters) == []


def test_the_schema_goes_up_and_down(run, db):
    for arguments in (("db_sync",), ("db_sync",), ("db_downgrade", "37"), ("db_upgrade", "--version", "38"),
                      ("db_upgrade",), ("db_recreate",)):
        assert run(*arguments)[0] == 0, arguments
    assert rows(db, tables.operations) == []


def test_a_database_that_does_not_answer_is_one_line(run, db, tmp_path):
    (tmp_path / "trove.conf").write_text(f"[database]\nconnection = sqlite:///{tmp_path}/absent/trove.sqlite\n")
    db.dispose()
    for arguments in (("db_sync",), ("datastore_update", "mysql", "")):
        code, _out, err = run(*arguments)
        assert code == 1
        assert err.count("\n") == 1


def test_the_page_for_operators_is_true(run, db, request, monkeypatch):
    """Each command of doc/operators.rst prints what the page says; ``--write-pages`` writes what it prints."""
    for name in CARDS.keys() - PACKAGED.keys():
        monkeypatch.delitem(CARDS, name)
    tables.metadata.drop_all(db.get_engine())
    text, outputs = OPERATORS.read_text(), []
    for example in pages.examples(text):
        program, *arguments = shlex.split(example.command)
        assert program == "trove-manage"
        code, out, err = run(*arguments)
        assert (code == 0) is (not err or "warning" in err), example
        outputs.append(out + err)
    if request.config.getoption("--write-pages"):
        OPERATORS.write_text(pages.rewritten(text, outputs))
    else:
        expected = [pages.masked(example.output) for example in pages.examples(text)]
        assert expected == [pages.masked(output) for output in outputs]


def test_a_ca_and_what_it_signs(run, tmp_path):
    ca, key, broker = (str(tmp_path / name) for name in ("ca.pem", "ca.key", "broker.pem"))
    assert run("ca_create", ca, key) == (0, f"CA certificate {ca}, its key {key}.\n", "")
    assert (tmp_path / "ca.key").stat().st_mode & 0o777 == 0o600
    code, _out, err = run("ca_create", ca, key)
    assert (code, err) == (1, f"trove-manage: {ca} exists already\n")
    assert run("certificate_create", broker, "trove-broker")[2] == (
        "trove-manage: set [tls] ca_file and ca_key_file in the configuration\n")
    with (tmp_path / "trove.conf").open("a") as file:
        file.write(f"[tls]\nca_file = {ca}\nca_key_file = {key}\n")
    assert run("certificate_create", broker, "trove-broker", "--address", "10.0.0.5", "--address", "mq.example")[0] == 0
    assert (tmp_path / "broker.pem").stat().st_mode & 0o777 == 0o600
    assert pki.read(ca)[0].subject.rfc4514_string() == "CN=Trove deployment CA"
    certificate = pki.read(broker)[0]
    assert certificate.subject.rfc4514_string() == "CN=trove-broker"
    assert pki.fits(certificate, pki.read_key(broker))


def test_rotation_of_guests_is_begun(run, db):
    assert run("guest_rotate", "--all") == (0, "", "")
    assert run("guest_rotate", "--instance", "i-1")[2] == "trove-manage: The instance i-1 does not exist.\n"
    assert run("guest_rotate")[0] == 2


def test_security_events_are_listed_for_people_and_for_programs(run, db):
    assert run("security_events") == (0, "There were no security events.\n", "")
    with db.writer() as session:
        now = db.now(session)
        session.execute(tables.security_events.insert(), [
            {"name": "message.forged", "reason": "its \x1b[31mproof\n", "instance_id": "i-1", "account": "",
             "count": 3, "first_seen": now - 60, "last_seen": now - 5},
            {"name": "path.refused", "reason": "old", "instance_id": "", "account": "guest-1", "count": 1,
             "first_seen": now - 7200, "last_seen": now - 7200}])
    code, out, _err = run("security_events")
    first, total = out.splitlines()
    assert code == 0 and "path.refused" not in out and "\x1b" not in out
    assert " 3 message.forged instance=i-1 account=- its \\x1b[31mproof\\n" in first
    assert total.startswith("3 message.forged: the proof of a message")
    code, out, _err = run("security_events", "--hours", "3", "--json")
    assert [(event["name"], event["instance_id"], event["account"], event["count"]) for event in json.loads(out)] == [
        ("message.forged", "i-1", None, 3), ("path.refused", None, "guest-1", 1)]
    assert set(json.loads(out)[0]) == {"name", "reason", "instance_id", "account", "count", "first", "last"}


@pytest.mark.parametrize("hours", ["0", "-1", "x", "nan", "inf"])
def test_hours_are_a_number_above_zero(run, hours):
    assert run("security_events", "--hours", hours)[0] == 2


def test_rekey_says_what_it_did_and_which_keys_are_needed(run, db, conf, tmp_path):
    old, new, backup = "o" * 40, "n" * 40, "b" * 40
    conf.set_override("operation_key", [old])
    token = crypto.encrypt("secret")
    conf.clear_override("operation_key")
    path = tmp_path / "trove.conf"
    path.write_text(f"[DEFAULT]\noperation_key = {new}\noperation_key = {old}\nbackup_encryption_key = {backup}\n"
                    + path.read_text())
    moment = sqlalchemy.func.now()
    with db.writer() as session:
        for row_id, contents in (("m-1", token), ("m-2", "of another deployment")):
            session.execute(tables.modules.insert().values(
                id=row_id, name=row_id, type="ping", contents=contents, auto_apply=False, visible=True, deleted=False,
                live_update=False, md5="m", created=moment, updated=moment))
    code, out, err = run("rekey")
    assert code == 1 and "1 secrets are left as they are" in err
    assert out.splitlines() == [
        "secrets of operations: 0 encrypted anew", "passwords in notes of operations: 0 encrypted anew",
        "contents of modules: 1 encrypted anew, 1 cannot be decrypted with any operation_key",
        f"operation_key {crypto.key_id(new)}: 0 guests, the first",
        f"operation_key {crypto.key_id(old)}: 0 guests, not needed any more",
        f"backup_encryption_key {crypto.key_id(backup)}: 0 backups, the first"]
    with db.writer() as session:
        session.execute(tables.modules.delete().where(tables.modules.c.id == "m-2"))
    assert run("rekey")[0] == 0


def test_rekey_needs_a_key(run, db):
    code, _out, err = run("rekey")
    assert "operation_key" in str(code) + err
