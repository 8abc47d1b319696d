"""The configuration that the tools write is understood by the services as it was meant."""
import pytest
from keystonemiddleware import auth_token
from onebox import broker, config
from onebox.settings import Settings
from oslo_config import cfg as oslo_cfg

from trove.common.cfg import CONF

SERVICE = {"OS_AUTH_URL": "http://10.90.0.1:8770/identity/v3", "OS_USERNAME": "trove", "OS_PASSWORD": "a$b%c",
           "OS_PROJECT_NAME": "service", "OS_USER_DOMAIN_NAME": "Default", "OS_PROJECT_DOMAIN_NAME": "Default",
           "OS_REGION_NAME": "RegionOne"}


@pytest.fixture
def setup(tmp_path):
    """A set-up that is not started."""
    return Settings(tmp_path / "run", tmp_path / "cache", "tr0000", "10.90.0.0/16", 8779)


def test_every_option_exists(setup):
    """A misspelt one would be ignored in silence."""
    known = {(group or "DEFAULT", option.name) for group, options in auth_token.list_opts() for option in options}
    known |= {("keystone_authtoken", name) for name in (
        "auth_url", "username", "password", "project_name", "user_domain_name", "project_domain_name")}
    known.add(("DEFAULT", "transport_url"))  # oslo.messaging's
    for groups in (config.control_plane(setup, SERVICE), config.guest(setup)):
        for group, options in groups.items():
            for name in options:
                where = CONF if group == "DEFAULT" else CONF.get(group, {})
                assert name in where or (group, name) in known, f"[{group}] {name}"


def test_no_user_does_the_work_of_another(setup):
    """Tokens are checked by one who may do no more, and backups are kept by one who is no administrator."""
    groups = config.control_plane(setup, SERVICE)
    names = [groups["DEFAULT"]["nova_proxy_admin_user"], groups["DEFAULT"]["swift_user"],
             groups["keystone_authtoken"]["username"]]
    passwords = [groups["DEFAULT"]["nova_proxy_admin_pass"], groups["DEFAULT"]["swift_password"],
                 groups["keystone_authtoken"]["password"]]
    assert len(set(names)) == len(set(passwords)) == 3
    assert groups["DEFAULT"]["swift_project_name"] != groups["DEFAULT"]["nova_proxy_admin_tenant_name"]


def test_values_come_back_as_they_were(tmp_path):
    """Also with characters that oslo.config would interpret."""
    path = tmp_path / "file.conf"
    path.write_text(config.text({"DEFAULT": {"one": "a$b%c ${x}", "two": 7}, "other": {"three": "http://h/$(id)s"}}))
    conf = oslo_cfg.ConfigOpts()
    conf.register_opts([oslo_cfg.StrOpt("one"), oslo_cfg.IntOpt("two")])
    conf.register_opt(oslo_cfg.StrOpt("three"), group="other")
    conf(["--config-file", str(path)], project="none", default_config_files=[], default_config_dirs=[])
    assert (conf.one, conf.two, conf.other.three) == ("a$b%c ${x}", 7, "http://h/$(id)s")


def test_guests_are_given_no_secret_of_the_control_plane(setup):
    """Their file is the same for all; accounts come to each by itself."""
    text = config.text(config.guest(setup))
    assert "pass" not in text
    assert "transport_url" not in text


def test_the_broker_stores_passwords_salted(setup):
    """Two accounts, of which only one is an administrator."""
    definitions = broker.definitions(setup)
    assert {user["name"]: user["tags"] for user in definitions["users"]} == {
        broker.ADMINISTRATOR: ["administrator"], broker.CONTROL_PLANE: []}
    assert broker.password_hash("word") != broker.password_hash("word")
