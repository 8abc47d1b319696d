"""tools/quickstart as its users know it: a second run, the status, --down after the worst, and nothing left."""
import json
import os
import signal
import stat
from pathlib import Path

import pytest
from onebox import processes
from onebox.settings import load

from tests.scenarios import support


def test_the_files_of_the_set_up(system):
    """Secrets are for root alone."""
    state = Path(system.facts["state"])
    for name in ("openrc", "admin-openrc", "secrets.json", "m1.cnf", "etc/trove.conf"):
        assert stat.S_IMODE((state / name).stat().st_mode) == 0o600, name
    assert "export OS_AUTH_URL=" in (state / "openrc").read_text()
    logs = {path.name for path in (state / "log").iterdir()}
    assert {"trove-api.log", "trove-taskmanager.log", "trove-conductor.log", "rabbitmq.log"} <= logs


def test_no_secret_is_on_a_command_line_or_in_a_log(system):
    """Of those that the set-up made."""
    state = Path(system.facts["state"])
    secrets = json.loads((state / "secrets.json").read_text()).values()
    for pid in processes.running(system.settings):
        arguments = Path(f"/proc/{pid}/cmdline").read_text()
        assert not [secret for secret in secrets if secret in arguments]
    for log in (state / "log").iterdir():
        text = log.read_text(errors="replace")
        assert not [secret for secret in secrets if secret in text], log


def test_a_second_run_changes_nothing(system):
    """The same processes, the same instance, in seconds."""
    before = processes.running(system.settings)
    again = support.quickstart(state=system.facts["state"])
    assert again["instance"]["id"] == system.m1["id"]
    assert again["created"] is False
    assert again["started"] == []
    assert set(processes.running(system.settings)) == set(before)


def test_a_second_run_starts_what_is_missing(system):
    """One service was killed."""
    support.kill(system.settings, "trove-conductor")
    status = support.quickstart("--status", state=system.facts["state"], check=False)
    assert status["running"] is False
    assert status["services"]["trove-conductor"] is None
    again = support.quickstart(state=system.facts["state"])
    assert again["started"] == ["trove-conductor"]
    assert support.quickstart("--status", state=system.facts["state"])["running"] is True


@pytest.fixture
def beside(tmp_path):
    """The state directory of a set-up beside the running one; whatever a test leaves of it is removed."""
    yield tmp_path / "state"
    support.quickstart("--down", state=tmp_path / "state", check=False)


def test_down_leaves_nothing_after_kill_9_of_everything(beside):
    """All processes are killed; nothing of it is left on the machine, and saying it twice is fine."""
    facts = support.quickstart(state=beside)
    settings = load(beside)
    assert facts["instance"]["status"] == "ACTIVE"
    kinds = {kind for kind, _ in support.remains(settings.prefix, beside)}
    assert kinds == {"mount", "loop device", "namespace", "link", "route", "process", "control group", "directory"}
    support.kill(settings)
    for pid in support.quickstart("--status", state=beside, check=False)["cloud"]["services"].values():
        os.kill(pid, signal.SIGKILL)
    assert support.quickstart("--down", state=beside) == {"removed": True, "left": []}
    assert support.remains(settings.prefix, beside) == []
    assert support.quickstart("--down", state=beside) == {"removed": True, "left": []}


def test_an_interrupted_run_can_be_taken_down_or_repeated(beside):
    """kill -9 of the tool itself while the instance is being made."""
    tool = support.begin_quickstart(beside)
    support.wait_until(lambda: load(beside) and processes.running(load(beside), "trove-api"), 300)
    tool.kill()
    tool.wait()
    assert support.quickstart(state=beside)["instance"]["status"] == "ACTIVE"
    assert support.quickstart("--down", state=beside) == {"removed": True, "left": []}
