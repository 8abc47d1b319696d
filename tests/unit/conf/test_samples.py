"""The sample files are made from the options."""
import importlib.machinery
import importlib.util
from pathlib import Path

import pytest

from trove.common import api, cfg

PATH = Path(__file__).parents[3] / "tools/samples"
_LOADER = importlib.machinery.SourceFileLoader("trove_samples", str(PATH))
samples = importlib.util.module_from_spec(importlib.util.spec_from_loader("trove_samples", _LOADER))
_LOADER.exec_module(samples)


@pytest.mark.parametrize(("name", "options"), [("trove.conf.sample", cfg.list_control_opts()),
                                               ("trove-guestagent.conf.sample", cfg.list_guest_opts())])
def test_a_sample_shows_every_option_of_its_services(name, options):
    text = samples.generate(name)
    for group, opts in options:
        section = text.split(f"\n[{group or 'DEFAULT'}]\n" if group else "[DEFAULT]\n", 1)[1].split("\n[", 1)[0]
        for opt in opts:
            assert f"\n#{opt.dest} =" in section, (group, opt.dest)
    assert "transport_url" in text


def test_the_sample_of_rules_has_every_rule_commented_out():
    text = samples.generate(samples.POLICY)
    for rule in api.list_policies():
        assert f'\n#"{rule.name}": "{rule.check_str}"\n' in text
    assert "GET  /v1.0/{tenant_id}/instances/{instance_id}\n" in text
    assert not [line for line in text.splitlines() if line and not line.startswith("#")]
    assert text == (PATH.parents[1] / "etc/trove" / samples.POLICY).read_text()


def test_a_guest_is_shown_no_secret_of_the_control_plane():
    names = {opt.dest for _group, opts in cfg.list_guest_opts() for opt in opts}
    assert not names & {"operation_key", "nova_proxy_admin_pass", "connection", "management_password"}


def test_every_option_is_in_a_sample():
    def keys(groups):
        return {(group, opt.dest) for group, opts in groups for opt in opts}
    assert keys(cfg.list_opts()) == keys(cfg.list_control_opts()) | keys(cfg.list_guest_opts())
