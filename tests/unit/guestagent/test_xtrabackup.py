"""The InnoBackupEx strategies of mysql and percona against programs that note how they were called and do, with one
file, what Percona's do with a database: every command line, the sequence numbers, and the order of a restored chain.
"""
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.fakes import storage
from trove.backup import store
from trove.common import exception
from trove.guestagent.backup.backupagent import BackupAgent
from trove.guestagent.datastore.mysql_common import errors
from trove.guestagent.datastore.mysql_common.service import Layout

# An increment holds what came after --incremental-lsn; the "database" of a backup is the lsn's as text.
XTRABACKUP = """#!{python} -IS
import json, pathlib, sys
arguments = sys.argv[1:]
options = dict(argument.lstrip("-").partition("=")[::2] for argument in arguments)
here = pathlib.Path("{here}")
with (here / "calls").open("a") as calls:
    calls.write(json.dumps(["xtrabackup", *arguments]) + "\\n")
if "backup" in options:
    start = int(options.get("incremental-lsn", 0))
    pathlib.Path(options["extra-lsndir"], "xtrabackup_checkpoints").write_text(
        f"backup_type = x\\nfrom_lsn = {{start}}\\nto_lsn = {{start + 100}}\\nlast_lsn = {{start + 109}}\\n")
    sys.stdout.write(f"XBSTCK01{{start}}-{{start + 100}};")
else:
    target = pathlib.Path(options["target-dir"], "data")
    if "incremental-dir" in options:
        target.write_text(target.read_text() + pathlib.Path(options["incremental-dir"], "data").read_text())
    if "apply-log-only" not in options:
        target.write_text(target.read_text() + "rolled back")
fault = here / "fault"
said = fault.read_text() if fault.exists() else "completed OK!"
sys.stderr.write(f"261120 23:00:00 {{said}}\\n")
sys.exit(said == "dies")
"""
XBSTREAM = """#!{python} -IS
import json, pathlib, sys
with pathlib.Path("{here}", "calls").open("a") as calls:
    calls.write(json.dumps(["xbstream", *sys.argv[1:]]) + "\\n")
stream = sys.stdin.read()
assert stream.startswith("XBSTCK01")
directory = pathlib.Path(sys.argv[sys.argv.index("-C") + 1])
(directory / "data").write_text(stream[8:])
(directory / "xtrabackup_info").write_text("")
"""


@pytest.fixture(params=["mysql", "percona"])
def agent(request, conf, tmp_path, monkeypatch):
    """Who takes and restores backups, with programs that only note; ``agent.calls`` are their command lines."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("xtrabackup", XTRABACKUP), ("xbstream", XBSTREAM)):
        (programs / name).write_text(text.format(python=sys.executable, here=tmp_path))
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    conf.set_override("guest_id", "i-1")
    conf.set_override("guest_state_dir", str(tmp_path / "state"))
    conf.set_override("storage_namespace", "tests.fakes.storage")
    conf.set_override("storage_strategy", "MemoryStorage")
    layout = Layout(Path("/data"), config_file=Path("/etc/my.cnf"), run_dir=Path("/run/db"))
    made = BackupAgent(request.param, SimpleNamespace(
        layout=layout, client_file=tmp_path / "client.cnf", way=lambda: ["--host=127.0.0.1", "--port=33062"],
        explain=lambda error: errors.explain(error, None)))
    made.calls = lambda: [json.loads(line) for line in (tmp_path / "calls").read_text().splitlines()]
    made.fault = tmp_path / "fault"
    made.state = tmp_path / "state/backup"
    return made


def take(agent, conf, backup_id, parent=None):
    """Take a backup as the control plane would ask for it; returns its link in a chain."""
    settings = conf[agent.manager]
    kind = settings.backup_incremental_strategy[settings.backup_strategy] if parent else settings.backup_strategy
    info = {"id": backup_id, "backup_type": kind, "key": "ab" * 32, "storage": {"url": "http://store/c"},
            "parent": parent and {"metadata": storage.METADATA[parent]}}
    agent.stream_to_store(info)
    ending = store.extension(kind, storage.METADATA[backup_id]["compression"], True)
    return {"id": backup_id, "type": kind, "key": info["key"], "location": f"http://store/c/{backup_id}{ending}"}


def test_a_full_backup(agent, conf):
    link = take(agent, conf, "b-0")
    assert (link["type"], link["location"]) == ("InnoBackupEx", "http://store/c/b-0.xbstream.zst.gcm")
    work = agent.state
    assert agent.calls() == [[
        "xtrabackup", f"--defaults-file={work}/backup.cnf", "--backup", "--stream=xbstream", "--datadir=/data/data",
        "--host=127.0.0.1", "--port=33062", f"--extra-lsndir={work}", f"--target-dir={work}/target"]]
    assert storage.METADATA["b-0"] == {"lsn": "100", "compression": "zstd"}
    assert not work.exists()


def test_operators_may_add_arguments(agent, conf):
    conf.set_override("backup_runner_options", {"InnoBackupEx": "--parallel=4 --ftwrl-wait-timeout=30"})
    take(agent, conf, "b-0")
    assert agent.calls()[0][-3:-1] == ["--parallel=4", "--ftwrl-wait-timeout=30"]


def test_a_chain_is_taken_and_restored_in_its_order(agent, conf, tmp_path):
    chain = [take(agent, conf, "b-0")]
    for number in (1, 2, 3):
        chain.append(take(agent, conf, f"b-{number}", parent=f"b-{number - 1}"))
    assert [link["type"] for link in chain[1:]] == ["InnoBackupExIncremental"] * 3
    assert [argument for call in agent.calls() for argument in call if "incremental" in argument] == [
        "--incremental-lsn=100", "--incremental-lsn=200", "--incremental-lsn=300"]

    (tmp_path / "calls").unlink()
    new = tmp_path / "data.new"
    new.mkdir()
    agent.restore({"id": "b-3", "chain": chain}, new)
    prepare = ["xtrabackup", "--defaults-file=/etc/my.cnf", "--prepare", "--apply-log-only", f"--target-dir={new}"]
    unpack = ["xbstream", "-x", "-C"]
    increment = [[*unpack, f"{new}.increment"], [*prepare, f"--incremental-dir={new}.increment"]]
    assert agent.calls() == [[*unpack, str(new)], prepare, *increment, *increment, *increment,
                             ["xtrabackup", "--prepare", f"--target-dir={new}"]]
    assert (new / "data").read_text() == "0-100;100-200;200-300;300-400;rolled back"
    assert [path.name for path in new.iterdir()] == ["data"]
    assert not (tmp_path / "data.new.increment").exists()


@pytest.mark.parametrize(("fault", "says"), [("dies", "xtrabackup failed"),
                                             ("stopped", "did not complete")])
def test_what_goes_wrong_while_it_is_taken(agent, conf, fault, says):
    agent.fault.write_text(fault)
    with pytest.raises(exception.TroveError, match=says):
        take(agent, conf, "b-9")
    assert "b-9" not in storage.METADATA
    assert not agent.state.exists()


@pytest.mark.parametrize("metadata", [{}, {"lsn": ""}, {"lsn": "12; x"}])
def test_a_parent_without_its_number_is_refused(agent, conf, metadata):
    storage.METADATA["b-0"] = metadata
    with pytest.raises(exception.TroveError, match="log sequence number"):
        take(agent, conf, "b-1", parent="b-0")


def test_a_preparation_that_fails_names_the_backup(agent, conf, tmp_path):
    link = take(agent, conf, "b-0")
    agent.fault.write_text("dies")
    (tmp_path / "data.new").mkdir()
    with pytest.raises(exception.TroveError, match="b-0 cannot be restored: .*xtrabackup failed .code 1.: .* dies.$"):
        agent.restore({"id": "b-0", "chain": [link]}, tmp_path / "data.new")
