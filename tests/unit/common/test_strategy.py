"""The loader of dotted paths names the option, the value and what was expected."""
import abc

import pytest

from trove.common.strategies import strategy


class Base(abc.ABC):
    @abc.abstractmethod
    def work(self):
        """Do it."""


class Complete(Base):
    def work(self):
        return 1


class Partial(Base):
    pass


def here(name):
    return f"{__name__}.{name}"


def test_a_complete_subclass_is_returned(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, __name__, __import__("types").SimpleNamespace(Complete=Complete))
    assert strategy.load(here("Complete"), Base) is Complete


@pytest.mark.parametrize("path, expected", [
    ("nodots", "is not a dotted path"), (None, "is not a dotted path"), ("no.such.module.Name", "cannot be loaded"),
    ("trove.common.exception.Nothing", "cannot be loaded"), ("trove.common.exception.TroveError", "must be a subclass"),
])
def test_refusals_name_the_option(path, expected):
    with pytest.raises(ValueError, match=expected) as error:
        strategy.load(path, Base, option="backup_strategy")
    assert "option backup_strategy" in str(error.value)


def test_an_incomplete_class_is_refused_with_what_it_lacks(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, __name__, __import__("types").SimpleNamespace(Partial=Partial))
    with pytest.raises(ValueError, match="does not implement work"):
        strategy.load(here("Partial"), Base)
