"""Configuration groups on a real server: the packaged rules against the server's own list, and random lives of a group
with SHOW GLOBAL VARIABLES as the judge.
"""
import json
import shutil

import pymysql
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.functional.guestagent.conftest import end, make_guest, options
from tests.unit.guestagent.conftest import Reports
from trove.common import template
from trove.common.cfg import CONF
from trove.common.context import TroveContext
from trove.conductor import api as conductor_api
from trove.conf.mysql_family import OPTION_FILE
from trove.configuration import changes
from trove.guestagent.common import configuration, host_service

pytestmark = pytest.mark.slow


# Options of files that a running server has under another name.
OPTIONS = ("default_time_zone", "transaction_isolation")
# What people set, in the spelling in which they do, and how the server shows it.
FLOOR = {
    "mariadb": {
        "long_query_time": (0.5, "0.500000"), "max_statement_time": ("1.5", "1.500000"), "slow_query_log": (1, "ON"),
        "max_connections": ("77", "77"), "character_set_server": ("latin1", "latin1"),
        "collation_server": ("latin1_german1_ci", "latin1_german1_ci"), "autocommit": (0, "OFF"),
        "sync_binlog": (0, "0"), "expire_logs_days": (2, "2.000000"), "max_user_connections": (5, "5"),
        "transaction_isolation": ("READ-COMMITTED", "READ-COMMITTED"),
        "default_time_zone": ("Europe/Berlin", "Europe/Berlin"), "log_bin_trust_function_creators": ("OFF", "OFF"),
        "max_allowed_packet": ("32M", "33554432"), "event_scheduler": (True, "ON"),
        "binlog_row_image": ("MINIMAL", "MINIMAL"), "innodb_max_dirty_pages_pct": (70.5, "70.500000"),
        "lower_case_table_names": (1, "1"), "explicit_defaults_for_timestamp": ("off", "OFF")},
    "mysql": {
        "long_query_time": (0.5, "0.500000"), "slow_query_log": (1, "ON"), "max_connections": ("77", "77"),
        "character_set_server": ("latin1", "latin1"), "collation_server": ("latin1_german1_ci", "latin1_german1_ci"),
        "autocommit": (0, "OFF"), "sync_binlog": (0, "0"), "binlog_expire_logs_seconds": (3600, "3600"),
        "max_user_connections": (5, "5"), "transaction_isolation": ("READ-COMMITTED", "READ-COMMITTED"),
        "default_time_zone": ("Europe/Berlin", "Europe/Berlin"), "log_bin_trust_function_creators": ("OFF", "OFF"),
        "max_allowed_packet": ("32M", "33554432"), "event_scheduler": (False, "OFF"),
        "binlog_row_image": ("MINIMAL", "MINIMAL"), "innodb_max_dirty_pages_pct": (70.5, "70.500000"),
        "explicit_defaults_for_timestamp": ("off", "OFF")},
}
# MariaDB says of these that no option sets them; the test that starts a server with all of them knows better.
ALSO_IN_FILES = {"autocommit", "character_set_server", "collation_server", "default_storage_engine", *OPTIONS}


def packaged_rules(path):
    """The packaged rules of a file: {name: Rule}."""
    return {entry["name"]: changes.Rule(entry["name"], entry["type"], bool(entry["restart_required"]),
                                        entry.get("min"), entry.get("max"))
            for entry in json.loads(path.read_text())["configuration-parameters"]}


@pytest.fixture(scope="module")
def rules(tested):
    """The packaged rules of the engine."""
    return packaged_rules(tested.version.rules)


@pytest.fixture(scope="module")
def running(tested, packaged_data):
    """(guest, makes an agent): a server that was prepared without overrides."""
    guest = make_guest(tested)
    patch = pytest.MonkeyPatch()
    patch.setattr(host_service, "runs_systemd", lambda: False)
    patch.setattr(conductor_api, "API", lambda context: Reports())
    guest.layout.template.symlink_to(packaged_data)
    options(CONF, guest)
    manager = guest.manager()
    manager.prepare(TroveContext(), packages=[], databases=[], memory_mb=256, users=[],
                    config_contents=guest.config_contents())
    yield guest, guest.manager
    options(CONF, guest)  # the last test has taken them back
    end(guest.manager().app)
    for name in ("guest_id", "guest_key", "guest_state_dir", "state_change_wait_time"):
        CONF.clear_override(name)
    patch.undo()
    shutil.rmtree(guest.root)


@pytest.fixture
def agent(running, conf, monkeypatch):
    """An agent of the running guest, without any group."""
    guest, make = running
    options(conf, guest)
    monkeypatch.setattr(host_service, "runs_systemd", lambda: False)
    monkeypatch.setattr(conductor_api, "API", lambda context: Reports())
    manager = make()
    manager.update_overrides(None, {}, remove=True)
    manager.restart(None)
    return manager


def shown(manager):
    """SHOW GLOBAL VARIABLES as a dict, with the names of options of files, too."""
    with manager.app.session() as session:
        found = dict(session.execute("SHOW GLOBAL VARIABLES"))
        return {**found, **{option: found[session.dialect.variable(option)] for option in OPTIONS}}


def server_variables(session):
    """{name: (type of a rule, smallest, largest, can be set, can stand in an option file)} as the server has them."""
    if session.dialect.engine == "mariadb":
        columns = ("VARIABLE_TYPE, NUMERIC_MIN_VALUE, NUMERIC_MAX_VALUE, VARIABLE_SCOPE, READ_ONLY, "
                   "COMMAND_LINE_ARGUMENT")
        kinds = {"BOOLEAN": "boolean", "DOUBLE": "float"}
        return {name.lower(): (kinds.get(kind, "integer" if "INT" in kind else "string"), smallest, largest,
                               read_only == "NO",
                               scope != "SESSION ONLY" and (argument or name.lower() in ALSO_IN_FILES))
                for name, kind, smallest, largest, scope, read_only, argument in session.execute(
                    f"SELECT VARIABLE_NAME, {columns} FROM information_schema.SYSTEM_VARIABLES")}
    known = {}
    for name, kind, smallest, largest, scope in session.execute(
            "SELECT VARIABLE_NAME, DATA_TYPE, MIN_VALUE, MAX_VALUE, VARIABLE_SCOPE "
            "FROM performance_schema.variables_metadata"):
        kind = {"Boolean": "boolean", "Integer": "integer", "Numeric": "float"}.get(kind, "string")
        known[name] = (kind, smallest, largest, can_be_set(session, name), scope != "SESSION_ONLY")
    return known


def can_be_set(session, name):
    """Whether the running server lets a global variable be set."""
    try:
        session.execute(f"SET GLOBAL {name} = @@GLOBAL.{name}")
    except pymysql.err.MySQLError as error:
        return error.args[0] != 1238  # is a read only variable
    return True


def check_rules(rules, known):
    """Every rule is as the server has it."""
    for name, rule in rules.items():
        kind, smallest, largest, dynamic, in_file = known[name]
        assert in_file, f"{name} cannot stand in an option file"
        assert rule.restart_required or dynamic, f"{name} needs a restart"
        assert rule.type == kind, name
        if rule.type in ("integer", "float"):
            assert float(smallest) <= rule.smallest < rule.largest <= float(largest), name


@pytest.mark.parametrize("tested", ["mariadb", "mysql", "mariadb:11.8"], indirect=True)
def test_the_rules_are_those_of_the_server(agent, engine, rules):
    with agent.app.session() as session:
        known = server_variables(session)
        for option in OPTIONS:
            known[option] = known[session.dialect.variable(option)][:4] + (True,)
    assert len(rules) >= 200
    assert set(rules) <= set(known)
    check_rules(rules, known)
    if engine == "mysql":  # Percona Server has what MySQL has, and more
        percona = packaged_rules(template.PACKAGED / "percona/validation-rules.json")
        same = {name: rule for name, rule in percona.items() if name in known}
        assert len(same) >= 100
        check_rules(same, known)


def test_every_dynamic_parameter_goes_back_to_what_the_server_starts_with(agent, running, rules):
    guest, _ = running
    defaults = OPTION_FILE.variables(guest.config_contents())
    dynamic = [name for name, rule in rules.items() if not rule.restart_required]
    before = shown(agent)
    assert agent.apply_overrides(None, {
        name: rules[name].smallest + 1 if rules[name].type in ("integer", "float") else before[name] != "ON"
        for name in dynamic if rules[name].type != "string"}) == {}
    changed = {name for name, value in shown(agent).items() if value != before[name]}
    assert len(changed & set(dynamic)) > 90
    assert agent.apply_overrides(None, changes.dynamic({}, dynamic, defaults)) == {}
    after = shown(agent)
    assert {name: (after[name], before[name]) for name in dynamic if after[name] != before[name]} == {}


def test_what_people_set_is_taken_running_and_at_a_start_and_leaves_nothing_behind(agent, running, engine, rules):
    guest, _ = running
    defaults = OPTION_FILE.variables(guest.config_contents())
    wanted = {name: shows for name, (_, shows) in FLOOR[engine].items()}
    dynamic = {name: value for name, (value, _) in FLOOR[engine].items() if not rules[name].restart_required}
    before = shown(agent)
    values = changes.check(dynamic, rules)
    assert agent.apply_overrides(None, values) == {}
    assert {name: shown(agent)[name] for name in dynamic} == {name: wanted[name] for name in dynamic}
    values = changes.check({name: value for name, (value, _) in FLOOR[engine].items()}, rules)
    agent.update_overrides(None, values)
    agent.restart(None)
    try:
        after = shown(agent)
        assert {name: after[name] for name in wanted} == wanted
        assert agent.apply_overrides(None, changes.dynamic({}, sorted(dynamic), defaults)) == {}
        assert {name: shown(agent)[name] for name in dynamic} == {name: before[name] for name in dynamic}
    finally:
        agent.update_overrides(None, {}, remove=True)
        agent.restart(None)


def test_rpc_9_14_a_value_that_is_not_taken_is_told(agent):
    refused = agent.apply_overrides(None, {"sql_mode": "NONSENSE", "max_connections": 33, "no_such": 1})
    assert refused == {"sql_mode": "the server does not take this value",
                       "no_such": "the server does not know this parameter"}
    assert shown(agent)["max_connections"] == "33"


@pytest.mark.parametrize("name", ["a`; DROP DATABASE mysql; --", "x = 1, GLOBAL y", "%s", ""])
def test_nothing_is_pasted(agent, name):
    assert list(agent.apply_overrides(None, {name: 5})) == [name]
    with agent.app.session() as session:
        assert ("mysql",) in session.execute("SHOW DATABASES")


@pytest.mark.parametrize("tested", ["mysql"], indirect=True)
def test_only_the_files_say_how_the_server_starts(agent):
    before = shown(agent)["max_connections"]
    with agent.app.session() as session:
        session.execute("SET PERSIST max_connections = 31")
        session.execute("SET PERSIST_ONLY back_log = 7")
    agent.restart(None)
    assert shown(agent)["max_connections"] == before
    assert shown(agent)["back_log"] != "7"


def test_values_with_quotes_arrive(agent):
    text = "SET @a = 'it''s \"x\" # no comment'"
    assert agent.apply_overrides(None, {"init_connect": text}) == {}
    assert shown(agent)["init_connect"] == text
    agent.update_overrides(None, {"init_connect": text})
    agent.restart(None)
    assert shown(agent)["init_connect"] == text


# Parameters that show what they were given and whose defaults hang on no other, with values that no server changes.
_VALUES = {"max_connections": (20, 60), "wait_timeout": (60, 900), "connect_timeout": (5, 30), "sort_buffer_size":
           (65536, 131072), "innodb_print_all_deadlocks": (True, False), "slow_query_log": (True, False),
           "long_query_time": (1, 7), "sql_mode": ("ANSI_QUOTES", ""), "max_allowed_packet": (1048576, 2097152)}
_RESTART = {"performance_schema": (True, False), "ft_query_expansion_limit": (5, 30), "ft_min_word_len": (3, 5)}


def _entries(pool):
    return st.dictionaries(st.sampled_from(sorted(pool)), st.integers(0, 1), max_size=4).map(
        lambda chosen: {name: pool[name][which] for name, which in chosen.items()})


groups = st.one_of(_entries(_VALUES), _entries({**_VALUES, **_RESTART}))
# MB of flavors; the template sizes max_connections by them.
_MEMORY = (256, 1024)
acts = st.lists(st.one_of(
    st.tuples(st.sampled_from(["attach", "patch", "replace"]), groups),
    st.tuples(st.just("resize"), st.sampled_from(_MEMORY)),
    st.tuples(st.sampled_from(["detach", "restart", "agent", "restore"]), st.none())), min_size=3, max_size=8)


def _as_shown(value):
    if isinstance(value, bool):
        return "ON" if value else "OFF"
    return f"{value}.000000" if value in (1, 7) else str(value)


def restored(guest, values, ram):
    """The agent of a new server made from the data of the present one, as a restored instance with a group is."""
    guest.manager().app.stop()
    saved = guest.root / "saved"
    shutil.rmtree(saved, ignore_errors=True)
    guest.layout.data.rename(saved)
    saved.chmod(0o755)
    guest.layout.template.unlink()
    guest.layout.template.symlink_to(saved)
    shutil.rmtree(guest.root / "state")
    for path in (guest.layout.config_file, *guest.layout.overrides.iterdir()):
        path.unlink()
    manager = guest.manager()
    manager.prepare(TroveContext(), packages=[], databases=[], memory_mb=ram, users=[], overrides=values,
                    config_contents=guest.config_contents(ram))
    return manager


def test_random_lives_of_a_group(agent, running, rules):
    """Whatever happens: without a restart due, the server has the values of the group and otherwise its defaults; with
    one, the running server was left alone and has them after it.
    """
    guest, make = running
    defaults = {ram: OPTION_FILE.variables(guest.config_contents(ram)) for ram in _MEMORY}
    pristine = shown(agent)
    assert pristine["max_connections"] == defaults[256]["max_connections"] != defaults[1024]["max_connections"]
    watched = {**_VALUES, **_RESTART}

    def expected(values, ram):
        by_default = {**pristine, "max_connections": defaults[ram]["max_connections"]}
        return {name: _as_shown(values[name]) if name in values else by_default[name] for name in watched}

    def seen(manager):
        found = shown(manager)
        return {name: found[name] for name in watched}

    def change(manager, old, new, ram):
        """What the flow does; returns whether a restart is needed."""
        gone = changes.removed(old, new)
        manager.update_overrides(None, new, not new)
        if changes.needs_restart(new, gone, rules):
            return True
        return bool(manager.apply_overrides(None, changes.dynamic(new, gone, defaults[ram])))

    # A restart of MySQL takes several times as long.
    @settings(max_examples=12 if guest.engine == "mariadb" else 4, deadline=None,
              suppress_health_check=list(HealthCheck))
    @given(acts=acts)
    def check(acts):
        manager, values, due, ram = make(), {}, False, 256
        manager.update_overrides(None, {}, True)
        manager.start_db_with_conf_changes(None, guest.config_contents(ram))
        for act, given_values in acts:
            before, due_before = seen(manager), due
            if act == "restart":
                manager.restart(None)
                due = False
            elif act == "resize":
                ram, due = given_values, False
                manager.start_db_with_conf_changes(None, guest.config_contents(ram))
            elif act == "restore":
                manager, due = restored(guest, values, ram), False
            elif act == "agent":
                manager = make()
            else:
                new = {"attach": given_values, "replace": given_values, "detach": {},
                       "patch": {**values, **(given_values or {})}}[act]
                needed = change(manager, values, new, ram)
                if needed:
                    assert seen(manager) == before
                due, values = due or needed, new
            if not due:
                assert seen(manager) == expected(values, ram), (act, due_before)
            layers = guest.layout.overrides.glob(f"{configuration.USER_GROUP}-*")
            assert OPTION_FILE.variables("".join(path.read_text() for path in layers)) == {
                    name: changes.to_text(int(value) if isinstance(value, bool) else value)
                    for name, value in values.items()}
        manager.restart(None)
        assert seen(manager) == expected(values, ram)

    check()
