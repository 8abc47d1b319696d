"""The folders of tools/image are the list of the datastores of a set-up; each has all that is needed of it."""
import argparse
import json

import pytest
from onebox import datastores, probes, quickstart
from onebox.probes import base
from onebox.settings import SetupError

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
    assert (probe.has_users, probe.port) == (card.users, card.client_port)
    assert datastore in CONF


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Folders with two datastores, of which one has two versions."""
    monkeypatch.setattr(datastores, "IMAGES", tmp_path)
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
