"""tools/quickstart as its users know it: a second run, the status, --down after the worst, and nothing left."""
import json
import os
import signal
import stat
from pathlib import Path

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


def test_down_leaves_nothing_after_kill_9_of_everything(tmp_path):
    """A set-up beside the running one, all of whose processes are killed, in the middle of its work or not."""
    state = tmp_path / "state"
    facts = support.quickstart(state=state)
    settings = load(state)
    assert facts["instance"]["status"] == "ACTIVE"
    assert support.remains(settings.prefix, state, settings.state)
    support.kill(settings)
    for pid in support.quickstart("--status", state=state, check=False)["cloud"]["services"].values():
        os.kill(pid, signal.SIGKILL)
    report = support.quickstart("--down", state=state)
    assert report == {"removed": True, "left": []}
    assert support.remains(settings.prefix, state, settings.state) == []
    assert support.quickstart("--down", state=state) == {"removed": True, "left": []}
