"""Settings of configuration groups."""
import json

import pytest
from onebox import datastores


@pytest.fixture(scope="module")
def rules(tested):
    """The packaged rules of the version: {name: entry}."""
    return {entry["name"]: entry for entry in json.loads(tested.version.rules.read_text())["configuration-parameters"]}


def test_rules(machine, tested, rules):
    """every parameter of the validation rules is one of the server's"""
    assert isinstance(tested.version, datastores.Version)
    assert rules
    assert set(rules) - set(tested.known(machine.app)) == set()
    assert not rules[tested.dynamic[0]]["restart_required"]
    assert rules[tested.static[0]]["restart_required"]


def test_dynamic(machine, tested):
    """a setting acts in the running server, and goes back to its default"""
    name, value, shown = tested.dynamic
    before = tested.shown(machine.app, name)
    assert before != shown
    assert machine.call("apply_overrides", {name: value}) == {}
    assert tested.shown(machine.app, name) == shown
    machine.call("update_overrides", {name: value})
    machine.call("restart")
    assert tested.shown(machine.app, name) == shown
    machine.call("update_overrides", {}, True)
    machine.call("restart")
    assert tested.shown(machine.app, name) == before


def test_static(machine, tested):
    """a setting that needs a restart acts after it, and is gone after the next one"""
    name, value, shown = tested.static
    before = tested.shown(machine.app, name)
    assert before != shown
    machine.call("update_overrides", {name: value})
    assert tested.shown(machine.app, name) == before
    machine.call("restart")
    assert tested.shown(machine.app, name) == shown
    machine.call("update_overrides", {}, True)
    machine.call("restart")
    assert tested.shown(machine.app, name) == before


def test_refused(machine, tested):
    """a setting that the server rejects is named, and the others act"""
    name, value, shown = tested.dynamic
    unknown, nonsense = tested.unknown
    refused = machine.call("apply_overrides", {unknown: nonsense, name: value})
    assert set(refused) == {unknown}
    assert refused[unknown]
    assert tested.shown(machine.app, name) == shown


def test_base(machine, tested):
    """a new base configuration keeps what a group has set"""
    name, value, shown = tested.dynamic
    machine.call("update_overrides", {name: value})
    machine.call("start_db_with_conf_changes", machine.guest.contents(ram=512))
    assert tested.shown(machine.app, name) == shown


def test_overrides_of_prepare(machines, tested):
    """prepare with a configuration group"""
    name, value, shown = tested.dynamic
    machine = machines()
    machine.prepare(overrides={name: value})
    assert tested.shown(machine.app, name) == shown
