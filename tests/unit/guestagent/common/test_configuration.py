"""Layers of configuration files: which wins, and that what was taken out is gone."""
import configparser
import os

import pytest

from trove.common import exception
from trove.guestagent.common import configuration
from trove.guestagent.datastore.mysql_common.service import Layout, MySqlApp


@pytest.fixture
def manager(tmp_path):
    return configuration.ConfigurationManager(tmp_path / "etc/my.cnf", tmp_path / "etc/conf.d", "mysqld")


def effective(manager):
    """What a server would read: later files win."""
    parser = configparser.ConfigParser(interpolation=None, allow_no_value=True)
    parser.read([manager.base, *sorted(manager.overrides.glob("*.cnf"))])
    return dict(parser["mysqld"])


def test_layers_win_over_the_base_and_the_system_over_the_user(manager):
    manager.save_configuration("[mysqld]\na = 0\nb = 0\nc = 0\n")
    manager.apply_override({"b": 1, "c": 1})
    manager.apply_override({"c": 2}, configuration.SYSTEM_GROUP, "replication")
    manager.apply_override({"b": 3, "c": 3}, change_id="later")
    assert effective(manager) == {"a": "0", "b": "3", "c": "2"}
    assert sorted(path.name for path in manager.overrides.iterdir()) == [
        "20-user-001-common.cnf", "20-user-002-later.cnf", "50-system-001-replication.cnf"]


def test_the_user_of_the_server_cannot_change_its_configuration(tmp_path):
    app = MySqlApp(Layout(tmp_path, config_file=tmp_path / "my.cnf", overrides=tmp_path / "conf.d", user="nobody"))
    app.configuration.save_configuration("[mysqld]\n")
    app.configuration.apply_override({"a": 1})
    found = [app.layout.config_file, *app.layout.overrides.iterdir()]
    assert [(path.stat().st_uid, path.stat().st_mode & 0o777) for path in found] == [(os.geteuid(), 0o644)] * 2


def test_a_layer_is_replaced_and_never_merged(manager):
    manager.save_configuration("[mysqld]\na = 0\n")
    manager.apply_override({"a": 1, "b": 1})
    manager.apply_override({"b": 2})
    assert effective(manager) == {"a": "0", "b": "2"}


def test_no_values_remove_the_layer(manager):
    manager.save_configuration("[mysqld]\na = 0\n")
    manager.apply_override({"a": 1})
    manager.apply_override({})
    assert effective(manager) == {"a": "0"}
    assert list(manager.overrides.iterdir()) == []


def test_a_new_base_removes_all_layers(manager):
    manager.apply_override({"a": 1})
    manager.apply_override({"a": 2}, configuration.SYSTEM_GROUP, "x")
    manager.save_configuration("[mysqld]\na = 5\n")
    assert effective(manager) == {"a": "5"}


@pytest.mark.parametrize(("value", "text"), [(True, "1"), (False, "0"), (5, "5"), ("16M", "16M"), ("a b", "a b")])
def test_values(value, text):
    assert configuration.render_ini({"k": value}, "mysqld") == f"[mysqld]\nk = {text}\n"


@pytest.mark.parametrize(("key", "value"), [("a b", 1), ("a\n[x]", 1), ("", 1), ("a", "1\n[client]"), ("a", "1\r2")])
def test_what_would_break_out_of_its_line_is_refused(key, value):
    with pytest.raises(exception.BadValue):
        configuration.render_ini({key: value}, "mysqld")
