"""Layers of configuration files: which wins, and that what was taken out is gone."""
import configparser
import os

import pytest

from trove.common import exception
from trove.common.files.directives import Directives
from trove.common.files.ini import Ini
from trove.guestagent.common import configuration
from trove.guestagent.datastore.mysql_common.service import Layout, MySqlApp


@pytest.fixture
def manager(tmp_path):
    return configuration.IncludedLayers(tmp_path / "etc/my.cnf", tmp_path / "etc/conf.d", Ini("mysqld"))


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


# One file that the server reads

@pytest.fixture
def merged(tmp_path):
    return configuration.MergedLayers(tmp_path / "etc/server.conf", tmp_path / "state/layers", Directives())


def test_base_and_layers_are_one_file(merged):
    merged.save_configuration("# written by hand\nport 1\nmaxmemory 10\nappendonly no\n")
    merged.apply_override({"maxmemory": 20, "appendonly": True})
    merged.apply_override({"appendonly": "no"}, configuration.SYSTEM_GROUP, "replication")
    merged.apply_override({"port": 3, "timeout": 5}, configuration.DEFAULT_GROUP, "x")
    assert merged.base.read_text() == "appendonly no\nmaxmemory 20\nport 3\ntimeout 5\n"
    merged.apply_override({"timeout": 6})
    assert merged.base.read_text() == "appendonly no\nmaxmemory 10\nport 3\ntimeout 6\n"
    merged.remove_override(configuration.DEFAULT_GROUP, "x")
    merged.apply_override({})
    assert merged.base.read_text() == "appendonly no\nmaxmemory 10\nport 1\n"


def test_a_new_base_keeps_the_layers_if_asked(merged):
    merged.save_configuration("maxmemory 10\n")
    merged.apply_override({"timeout": 5})
    merged.save_configuration("maxmemory 20\n", keep_overrides=True)
    assert merged.base.read_text() == "maxmemory 20\ntimeout 5\n"
    merged.save_configuration("maxmemory 30\n")
    assert merged.base.read_text() == "maxmemory 30\n"


@pytest.mark.parametrize("files", ["manager", "merged"])
def test_a_layer_that_cannot_be_written_changes_nothing(request, files):
    layers = request.getfixturevalue(files)
    layers.save_configuration("[mysqld]\n" if files == "manager" else "a 0\n")
    layers.apply_override({"a": 1})
    with pytest.raises(exception.BadValue, match="must be one line"):
        layers.apply_override({"a": "1\n2"})
    layers.apply_override({"b": 1}, change_id="later")
    assert "a = 1" in "".join(p.read_text() for p in layers.overrides.iterdir()) if files == "manager" else (
        layers.base.read_text() == "a 1\nb 1\n")
