"""Cards of other packages: found by their entry points, checked, with templates of their own."""
import types
from importlib import metadata

import pytest

from trove.common import cfg, template
from trove.common.strategies import strategy
from trove.conf import datastores
from trove.guestagent import dbaas
from trove.guestagent.datastore.manager import Manager


@pytest.fixture
def card(monkeypatch, tmp_path):
    """Offers a card under an entry point; a function that changes it."""
    found = types.SimpleNamespace(__name__="tea.card", GROUP="tea", opts=[], TRAITS=cfg.traits("redis"),
                                  TEMPLATES=tmp_path)
    offered = {datastores.ENTRY_POINTS: [types.SimpleNamespace(load=lambda: found)]}
    monkeypatch.setattr(metadata, "entry_points", lambda group: offered[group])

    def change(**attributes):
        vars(found).update(attributes)
        return found
    return change


def test_it_is_one_of_the_datastores(card):
    assert datastores._others(("redis",)) == {"tea": card()}


@pytest.mark.parametrize(("attributes", "words"), [
    ({"TEMPLATES": None}, "tea.card has no TEMPLATES of the type Path"), ({"TRAITS": 1}, "has no TRAITS"),
    ({"GROUP": "redis"}, "has the name 'redis', which another card has")])
def test_one_that_cannot_be_used_is_named(card, attributes, words):
    card(**attributes)
    with pytest.raises((TypeError, ValueError), match=words):
        datastores._others(("redis",))


def test_its_templates_may_include_those_of_this_package(card, monkeypatch, tmp_path):
    monkeypatch.setitem(cfg.CARDS, "tea", card())
    (tmp_path / "tea").mkdir()
    (tmp_path / "tea/replica.config.template").write_text('{% include "redis/replica.config.template" %}hot yes\n')
    text = template.render("tea", "Tea", "1", {}, "i-1", name="replica.config.template")
    assert text.endswith("hot yes\n")
    assert text.startswith(template.render("redis", "Redis", "1", {}, "i-1", name="replica.config.template"))


def test_the_example_is_known_by_its_entry_point(conf):
    assert issubclass(strategy.load(dbaas.datastore_registry()["valkey"]), Manager)
    assert "maxmemory" in template.defaults("valkey", "Valkey", "8.1", {"ram": 512}, "i-1")
    assert "valkey" not in [group for group, _ in cfg.list_opts()]
