"""Environments in the cache: made once, and never taken away from those who use them."""
import pytest
from onebox import venv


def test_an_environment_is_made_once_and_a_neighbours_is_left_alone(tmp_path, monkeypatch):
    """Other checkouts share the cache, and services may run from an environment of earlier requirements."""
    monkeypatch.setattr(venv, "run", lambda command, **_kwargs: (tmp_path / command[-1]).mkdir(parents=True))
    calls = []
    other = venv.client(tmp_path, "client", ["one"])
    directory = venv._environment(tmp_path / "client-0123456789ab", calls.append)
    assert venv._environment(directory, calls.append) == directory
    assert calls == [str(directory / "bin/python")]
    assert (other / "complete").exists()


def test_an_unfinished_environment_is_made_anew(tmp_path, monkeypatch):
    """What an interrupted run left is removed first."""
    monkeypatch.setattr(venv, "run", lambda command, **_kwargs: (tmp_path / command[-1]).mkdir(parents=True))
    directory = tmp_path / "client-0123456789ab"

    def interrupted(_python):
        (directory / "half").touch()
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        venv._environment(directory, interrupted)
    venv._environment(directory, lambda python: None)
    assert (directory / "complete").exists() and not (directory / "half").exists()
