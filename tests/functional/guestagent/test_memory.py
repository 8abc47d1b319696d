"""The memory of an agent's process stays the same, however many backups it takes and restores."""
import contextlib
import json
import os
import subprocess
import sys

import pytest

from tests.functional.guestagent.test_backup import machines, source
from tests.guests import Backups

__all__ = ["machines", "source"]  # fixtures

pytestmark = pytest.mark.slow

# The agent of a guest, without a bus: takes a backup or restores one for each line, and says what memory it has then.
PROGRAM = """
import json, os, pathlib, re, shutil, sys
from trove.guestagent.common import lean
lean.return_freed_memory()
lean.leave_out_libraries()
from trove import rpc  # as the agent's process has it
from trove.common import cfg
from trove.common.context import TroveContext
from trove.conductor import api as conductor_api
from trove.guestagent import dbaas
from trove.guestagent.common import host_service
from trove.guestagent.datastore.mysql_common import service

engine, layout, programs, conf = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3], sys.argv[4]
cfg.parse_args(["--config-dir", conf], default_config_files=[])
host_service.runs_systemd = lambda: False
service.PROGRAMS = programs
port = layout.pop("own_port")
layout = service.Layout(**{name: pathlib.Path(path) for name, path in layout.items()}, own_port=port)
service.MySqlApp.layout_class = lambda mount_point: layout

class Reports:
    last = None
    def update_backup(self, instance_id, backup_id, **fields):
        Reports.last = {"id": backup_id, **fields}

conductor_api.API = lambda context: Reports()
agent = dbaas.load_manager(engine)
for line in sys.stdin:
    wanted = json.loads(line)
    if "take" in wanted:
        agent.create_backup(TroveContext(), wanted["take"])
    else:
        directory = layout.mount_point / "restored"
        directory.mkdir()
        agent.backups.restore(wanted["restore"], directory)
        shutil.rmtree(directory)
    numbers = pathlib.Path("/proc/self/smaps_rollup").read_text()
    peak = re.search(r"VmHWM:\\s*(\\d+)", pathlib.Path("/proc/self/status").read_text())[1]
    print(json.dumps({"report": Reports.last, "peak": int(peak) / 1000,
                      "memory": int(re.search(r"Pss:\\s*(\\d+)", numbers)[1]) / 1000}), flush=True)
"""


class Agent:
    """The process. memory: [MB after each backup or restore]; peak: the most that it ever had, in MB."""

    def __init__(self, machine, directory):
        guest, self.memory, self.peak = machine.guest, [], 0
        self.guest, self.reports, self.backups = guest, self, []
        (directory / "guest.conf").write_text(
            f"[DEFAULT]\nguest_id = i-1\nguest_key = the key of this guest only\ndatastore_manager = {guest.engine}\n"
            f"guest_state_dir = {guest.root / 'state'}\n[{guest.engine}]\nmount_point = {guest.layout.mount_point}\n")
        layout = {name: value if isinstance(value, int) else str(value)
                  for name, value in vars(guest.layout).items() if name != "user"}
        programs = os.environ["PATH"] + ":/usr/sbin"
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", PROGRAM, guest.engine, json.dumps(layout), programs, str(directory)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": "."})
        self.manager = self
        self.enter = machine.enter

    def _ask(self, **wanted):
        self._process.stdin.write(json.dumps(wanted) + "\n")
        self._process.stdin.flush()
        # What the agent logs comes before.
        said = json.loads(next(line for line in self._process.stdout if line.startswith('{"report"')))
        self.memory.append(said["memory"])
        self.peak = said["peak"]
        return said["report"]

    def create_backup(self, _context, info):
        """As the manager's."""
        self.backups.append(self._ask(take=info))

    def restore(self, link):
        """Restore a backup into a directory that is removed then."""
        self._ask(restore={"chain": [link]})

    def close(self):
        """End the process."""
        self._process.stdin.close()
        self._process.wait(30)


def test_it_is_flat(source, container, tmp_path, request, conf):
    rounds = 50 if request.config.getoption("--long", default=False) else 3
    # More than two segments of what cannot be compressed.
    row = f"(CONCAT({', '.join(['RANDOM_BYTES(1024)'] * 8)}))"
    source.sql("CREATE TABLE large (n INT PRIMARY KEY AUTO_INCREMENT, v VARBINARY(8192))",
               *[f"INSERT INTO large (v) VALUES {', '.join([row] * 500)}"] * 10)
    with contextlib.closing(Agent(source, tmp_path)) as agent:
        backups = Backups(agent)
        for number in range(rounds):
            link = backups.take(agent)
            assert "location" in link, link
            if number % 2:
                agent.restore(link)
    grown = agent.memory[-1] - agent.memory[1]
    assert grown < 3, agent.memory
    assert max(agent.memory) < 45, agent.memory
    # What the plan of a guest's memory leaves for it (trove.common.memory), the shared pages of programs beside.
    assert agent.peak < 130, agent.peak
