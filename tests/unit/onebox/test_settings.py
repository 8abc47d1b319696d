"""Where a set-up lives and what it is called: stable, its own, and private where it must be."""
import json
import re
import socket
import stat
import subprocess
import threading

import pytest
from onebox import settings
from onebox.settings import Settings, SetupError


def made(tmp_path, **changes):
    """Settings of a set-up below tmp_path."""
    fields = {"state": tmp_path / "run", "cache": tmp_path / "cache", "prefix": "tr0000", "subnet": "10.90.0.0/16",
              "api_port": 8779}
    return Settings(**fields | changes)


def test_the_prefix_is_the_same_for_the_same_path_and_fits_the_kernel(tmp_path):
    """--down finds kernel objects by it when all files are lost."""
    first, again, other = (settings.derived_prefix(tmp_path / name) for name in ("a", "a", "b"))
    assert first == again != other
    assert re.fullmatch("[a-z0-9]{1,6}", first)


def test_what_was_chosen_once_stays(tmp_path):
    """A later run finds names and ports of the first."""
    made(tmp_path, agent="checkout").save()
    found = settings.choose(tmp_path / "run", tmp_path / "cache")
    assert found == made(tmp_path, agent="checkout")
    assert settings.choose(tmp_path / "run", tmp_path / "cache", agent="image").agent == "image"


def test_datastores_are_added_and_the_first_stays_the_default(tmp_path):
    """Also to a set-up that was saved before there were several."""
    made(tmp_path).save()
    saved = json.loads((tmp_path / "run" / settings.SAVED).read_text())
    (tmp_path / "run" / settings.SAVED).write_text(json.dumps({**saved, "datastores": ["mariadb"]}))
    for wanted, offered in ((None, ("mariadb",)), ("mysql", ("mariadb", "mysql")), ("mariadb", ("mariadb", "mysql"))):
        chosen = settings.choose(tmp_path / "run", tmp_path / "cache", datastore=wanted)
        assert chosen.datastores == offered
        chosen.save()
    saved.pop("datastores")
    (tmp_path / "run" / settings.SAVED).write_text(json.dumps(saved))
    assert settings.load(tmp_path / "run", tmp_path / "cache").datastores == ("mariadb",)
    assert settings.choose(tmp_path / "new", tmp_path / "cache", datastore="mysql").datastores == ("mysql",)


def test_a_directory_with_other_files_is_refused(tmp_path):
    """Because --down removes all of it."""
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(SetupError, match="TROVE_STATE"):
        settings.choose(tmp_path, tmp_path / "cache")


def test_a_damaged_file_is_a_sentence(tmp_path):
    """And no traceback."""
    (tmp_path / settings.SAVED).write_text("{")
    with pytest.raises(SetupError, match="damaged"):
        settings.load(tmp_path)


@pytest.mark.parametrize("taken", [[], ["10.64.0.0/10"], ["default", "10.77.0.0/16"]])
def test_a_subnet_that_is_routed_already_is_not_taken(tmp_path, monkeypatch, taken):
    """Neighbours have routes; a full house is a sentence."""
    routes = json.dumps([{"dst": destination} for destination in taken]).encode()
    monkeypatch.setattr(subprocess, "run", lambda *_args, **_kwargs: subprocess.CompletedProcess([], 0, routes))
    if taken == ["10.64.0.0/10"]:
        with pytest.raises(SetupError, match="No free subnet"):
            settings.free_subnet(tmp_path)
    else:
        assert settings.free_subnet(tmp_path) not in taken


def test_a_port_that_is_in_use_is_not_taken(tmp_path):
    """Another path begins its search elsewhere."""
    first = settings.free_port(tmp_path)
    with socket.create_server(("127.0.0.1", first)):
        assert settings.free_port(tmp_path) != first
    assert first in settings.API_PORTS


def test_secrets_are_made_once_differ_and_are_private(tmp_path):
    """Each has a name of its own in one file for root."""
    setup = made(tmp_path)
    assert settings.secret(setup, "a") == settings.secret(setup, "a") != settings.secret(setup, "b")
    assert stat.S_IMODE((setup.state / "secrets.json").stat().st_mode) == 0o600


def test_write_tells_whether_anything_changed(tmp_path):
    """Content and mode both count."""
    path = tmp_path / "file"
    assert settings.write(path, "one")
    assert not settings.write(path, "one")
    assert settings.write(path, "one", mode=0o600)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_two_runs_do_not_work_on_one_state_directory(tmp_path):
    """The second says so."""
    with settings.exclusive(tmp_path), pytest.raises(SetupError, match="Another run"), settings.exclusive(tmp_path):
        pass
    with settings.exclusive(tmp_path):
        pass


def test_the_state_directory_is_roots_alone(tmp_path):
    """Volumes of guests and the infrastructure database lie in it; an existing directory is closed as well."""
    (tmp_path / "run").mkdir(mode=0o755)
    made(tmp_path).save()
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o700


def test_two_runs_make_a_thing_in_the_cache_one_after_the_other(tmp_path):
    """The second waits, and finds what the first has made."""
    path, seen = tmp_path / "cache/thing", []

    def second():
        with settings.making(path):
            seen.append(path.exists())
    with settings.making(path):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
        path.touch()
    thread.join(10)
    assert seen == [True]
