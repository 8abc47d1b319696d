"""Configuration templates: where they are looked for, and that the packaged ones fit every size of flavor."""
import configparser
import re

import pytest

from trove.common import cfg, exception, template
from trove.common.files.ini import Ini


@pytest.fixture
def operators(conf, tmp_path):
    """Writes templates of the operator's own."""
    conf.set_override("template_path", str(tmp_path))

    def write(path, text):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return write


def render(**changes):
    return template.render(**{"manager": "mysql", "datastore_name": "MySQL", "version_name": "8.0",
                              "flavor": {"ram": 1024}, "instance_id": "i-1", **changes})


def test_the_more_special_wins_and_the_operators_before_the_packages(operators):
    for path in ("mysql/config.template", "MySQL/config.template", "MySQL/8.0/config.template"):
        operators(path, path)
        assert render() == path
    assert render(version_name="9.0") == "MySQL/config.template"
    assert "[mysqld]" in render(manager="mariadb", datastore_name="MariaDB", version_name="10.11")


def test_variables(operators):
    operators("mysql/config.template", "{{ flavor.ram }} {{ datastore.name }} {{ server_id }} {{ extra }}")
    assert re.fullmatch(r"1024 MySQL [1-9]\d* x", render(extra="x"))
    assert render(extra="x") == render(extra="x")
    assert render(extra="x") != render(extra="x", instance_id="i-2")


@pytest.mark.parametrize(("text", "says"), [("{{ missing }}", "missing"), ("{% if %}", "mysql/config.template"),
                                            ("{{ 1 / 0 }}", "division")])
def test_a_broken_template_is_named(operators, text, says):
    operators("mysql/config.template", text)
    with pytest.raises(exception.TroveError, match=says) as caught:
        render()
    assert "mysql/config.template" in str(caught.value)


def test_a_missing_template_says_where_it_was_looked_for(operators):
    with pytest.raises(exception.TroveError, match="There is no template S/1/config.template or .*template_path"):
        render(manager="stone", datastore_name="S", version_name="1")


def test_names_do_not_lead_out_of_the_directory(operators):
    operators("mysql/config.template", "fine")
    assert render(datastore_name="..", version_name="..") == "fine"


def test_packaged_templates_can_be_read(conf):
    for manager in cfg.CARDS:
        assert template.defaults(manager, "x", "1", {"ram": 1024}, "i-1")


@pytest.mark.parametrize("manager", sorted(name for name in cfg.CARDS if isinstance(cfg.traits(name).file_format, Ini)))
@pytest.mark.parametrize("ram", [128, 512, 1024, 2048, 8192, 65536])
def test_option_files_fit_every_flavor(conf, manager, ram):
    text = render(manager=manager, datastore_name="x", flavor={"ram": ram})
    parser = configparser.ConfigParser(interpolation=None, allow_no_value=True)
    parser.read_string(text.replace("!includedir /etc/mysql/conf.d/", ""))
    assert text.rstrip().endswith("!includedir /etc/mysql/conf.d/")
    server = parser["mysqld"]
    megabytes = int(server["innodb_buffer_pool_size"].removesuffix("M"))
    assert 32 <= megabytes <= 0.7 * ram
    assert server["bind_address"] == "0.0.0.0"
    assert server["skip_name_resolve"] == "1"
    assert server["character_set_server"] == "utf8mb4"
    assert 64 <= int(server["max_connections"]) <= 4000
