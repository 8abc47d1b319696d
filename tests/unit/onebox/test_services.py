"""Services of a set-up are believed by what they do: one that is ending, or does not answer, is none."""
import os
import shlex
import signal
import sys
from pathlib import Path

import pytest
from onebox import broker, processes, services
from onebox.settings import Settings

from tests.waiting import wait_until
from trove.cmd import common

NAME = "trove-conductor"
# Gets SIGTERM and ends once the file "busy" is removed, like a service that finishes its work first.
PROGRAM = """
import pathlib, time
from trove.cmd import common
ending = common.Ending()
pathlib.Path("up").touch()
ending.wait()
while pathlib.Path("busy").exists():
    time.sleep(0.01)
"""


@pytest.fixture
def setup(tmp_path, monkeypatch):
    """A set-up whose services are all the program above, and whose broker says that each has a consumer."""
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "program").write_text(
        f"#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(tmp_path / 'program.py'))}\n")
    (tmp_path / "program").chmod(0o755)
    (tmp_path / "run").mkdir()
    made = Settings(tmp_path / "run", tmp_path / "cache", "tr0000", "10.90.0.0/16", 8779)
    monkeypatch.setattr(services, "script", lambda name: str(tmp_path / "program"))
    monkeypatch.setattr(broker, "request", lambda *_: {"consumer_details": ["one"]})
    yield made
    processes.stop(made, timeout=1)


def up(setup):
    """Start the service as the tools do; its pid."""
    services.ensure(setup, (NAME,))
    wait_until((setup.state / "up").exists)
    return processes.main_pid(setup, NAME)


def test_one_that_serves_is_kept(setup):
    pid = up(setup)
    assert services.ready(setup, NAME)
    assert services.ensure(setup, (NAME,)) == []
    assert processes.main_pid(setup, NAME) == pid


def test_one_that_is_still_stopping_is_replaced(setup):
    """The broker lists its consumer and the process is there; nevertheless it is gone soon."""
    (setup.state / "busy").touch()
    pid = up(setup)
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: processes.stopping(setup, NAME))
    assert processes.main_pid(setup, NAME) == pid
    assert not services.ready(setup, NAME)
    (setup.state / "busy").unlink()
    assert services.ensure(setup, (NAME,)) == [NAME]
    assert processes.main_pid(setup, NAME) not in (None, pid)


def test_the_word_is_the_services_own():
    """What the tools look for is what a process calls itself."""
    assert f'"{processes.STOPPING}"' in Path(common.__file__).read_text()
