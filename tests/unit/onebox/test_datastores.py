"""The folders of tools/image are the list of the datastores of a set-up; each has all that is needed of it."""
import argparse
import ast
import json
from pathlib import Path

import pytest
from onebox import datastores, probes, quickstart
from onebox.probes import base
from onebox.settings import SetupError

from tests import engines
from tests.contract import table
from trove.common.cfg import CONF, traits


@pytest.mark.parametrize("version", datastores.every(), ids=str)
def test_a_version_that_is_offered_can_be_made(version):
    """Its recipe names the package of the engine, and rules and drivers are there."""
    recipe = version.recipe
    assert set(recipe) <= {"server", "default", "suite", "packages", "disabled", "masked"}
    assert recipe["server"]
    assert version.rules.exists()
    assert (version.folder / "requirements.txt").exists()


@pytest.mark.parametrize("datastore", datastores.names())
def test_a_datastore_has_a_probe_that_agrees_with_its_card(datastore):
    """Users, and the port at which clients connect."""
    probe, card = probes.of(datastore), traits(datastore)
    assert issubclass(probe, base.Probe)
    assert not probe.__abstractmethods__
    assert probe.errors
    assert probe.program
    assert (probe.has_users, probe.port) == (card.users, card.client_port)
    assert datastore in CONF


@pytest.mark.parametrize("engine", engines.every(), ids=str)
def test_every_engine_has_a_column_on_the_page_of_the_contract(engine):
    assert str(engine) in table.PAGE.read_text().split()


def test_the_page_of_the_contract_has_a_row_for_each_verb():
    """What the cells say is compared when the contract is run."""
    page = table.PAGE.read_text()
    verbs = [ast.get_docstring(node) for path in Path(table.__file__).parent.glob("test_*.py")
             for node in ast.parse(path.read_text()).body
             if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    assert [verb for verb in verbs if f" {verb} " not in page] == []
    assert page.count("\n") == table.page({}, []).count("\n") + len(verbs)


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Folders with two datastores, of which one has two versions."""
    monkeypatch.setattr(datastores, "IMAGES", tmp_path)
    monkeypatch.setattr(datastores, "PACKAGES", tmp_path / "none")
    for name, recipe in (("tea/1", {}), ("stone/7", {}), ("stone/12.1", {"default": True})):
        path = tmp_path / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(recipe))
    return tmp_path


def test_versions_are_found_by_their_texts(folders):
    """A name alone is the default version; the only version of a datastore is its default."""
    assert [str(version) for version in datastores.every()] == ["stone:12.1", "stone:7", "tea:1"]
    assert [str(datastores.find(text)) for text in ("tea", "stone", "stone:7")] == ["tea:1", "stone:12.1", "stone:7"]
    for unknown in ("rock", "stone:8", "../stone"):
        with pytest.raises(SetupError, match="there are: stone:12.1, stone:7, tea:1"):
            datastores.find(unknown)
    with pytest.raises(argparse.ArgumentTypeError, match="There is no datastore rock"):
        quickstart._datastore("rock")


@pytest.mark.parametrize("defaults", [0, 2])
def test_one_of_several_versions_must_be_the_default(folders, defaults):
    for name in ("7", "12.1"):
        (folders / f"stone/{name}.json").write_text(json.dumps({"default": True} if defaults else {}))
    with pytest.raises(SetupError, match=f"{defaults} of 2 have it"):
        datastores.versions("stone")


def test_a_package_brings_folder_rules_and_code_of_its_own(folders, monkeypatch, tmp_path):
    home = tmp_path / "contrib/trove-cup"
    for path in (home / "image/cup/3.json", home / "trove_cup/templates/cup/validation-rules.json"):
        path.parent.mkdir(parents=True)
        path.write_text("{}")
    monkeypatch.setattr(datastores, "PACKAGES", tmp_path / "contrib")
    assert datastores.names() == ["cup", "stone", "tea"]
    cup, tea = datastores.find("cup"), datastores.find("tea")
    assert (str(cup), cup.folder, cup.package) == ("cup:3", home / "image/cup", home / "trove_cup")
    assert cup.rules == home / "trove_cup/templates/cup/validation-rules.json"
    assert (tea.folder, tea.package) == (folders / "tea", None)
