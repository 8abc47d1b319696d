"""The configuration refuses what cannot work, and survives being saved."""

from __future__ import annotations

import stat

import pytest

from minicloud import config as configuration
from minicloud.config import Config, ConfigError


def test_names_and_addresses_follow_from_the_fields(tmp_path):
    config = Config(tmp_path, prefix="x1", subnet="10.9.0.0/16", port=99)
    assert (config.gateway, config.host_address) == ("10.9.0.1", "10.9.0.2")
    assert config.base_url == "http://10.9.0.1:99"
    assert [config.service_port(name) for name in configuration.SERVICES] == [99, 100, 101, 102, 103, 104]
    assert config.url("object-store") == "http://10.9.0.1:104/object-store"
    assert (config.netns, str(config.netns_path)) == ("x1-net", "/run/netns/x1-net")
    assert Config(tmp_path, driver="fake").base_url == "http://127.0.0.1:8770"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prefix", ""),
        ("prefix", "toolong7"),
        ("prefix", "UP"),
        ("prefix", "a-b"),
        ("subnet", "10.77.0.1/16"),
        ("subnet", "10.77.0.0/25"),
        ("subnet", "fd00::/64"),
        ("driver", "kvm"),
        ("port", 0),
        ("port", 65536),
        ("port", 65531),
        ("port", "80"),
    ],
)
def test_a_bad_value_is_refused_by_name(tmp_path, field, value):
    with pytest.raises(ConfigError, match=f"^{field}: "):
        Config(tmp_path, **{field: value})


def test_saved_and_loaded_it_is_the_same(tmp_path):
    config = Config(tmp_path, prefix="abc", guest_ports=(5672, 80))
    config.save()
    assert configuration.load(tmp_path) == config


def test_a_missing_or_damaged_file_says_what_to_do(tmp_path):
    with pytest.raises(ConfigError, match="run `minicloud up`"):
        configuration.load(tmp_path)
    for text in ("{", '{"no_such_field": 1}', "[]"):
        (tmp_path / configuration.CONFIG_FILE).write_text(text)
        with pytest.raises(ConfigError, match="damaged"):
            configuration.load(tmp_path)


def test_secrets_are_made_once_and_private(tmp_path):
    config = Config(tmp_path)
    first = configuration.ensure_secrets(config)
    assert len(first["admin_password"]) >= 16
    assert configuration.ensure_secrets(config) == first
    assert stat.S_IMODE((tmp_path / configuration.SECRETS_FILE).stat().st_mode) == 0o600
