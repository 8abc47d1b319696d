"""trove-conductor as a process: it starts with one worker and with several, and SIGTERM ends all of them."""
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import end_of, wait_until

ROOT = Path(__file__).parents[3]


def configuration(tmp_path, **options):
    values = {"transport_url": "fake://", "operation_key": "0123456789abcdef0123456789abcdef", "log_file": "",
              "use_stderr": "true", **options}
    path = tmp_path / "trove-conductor.conf"
    path.write_text("[DEFAULT]\n" + "".join(f"{name}={value}\n" for name, value in values.items())
                    + f"[database]\nconnection=sqlite:///{tmp_path}/trove.sqlite\nmax_retries=0\n")
    return path


def start(path, log):
    return subprocess.Popen([sys.executable, "-m", "trove.cmd.conductor", "--config-file", str(path)],
                            stdout=log, stderr=log, cwd=path.parent, env={**os.environ, "PYTHONPATH": str(ROOT)})


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_it_serves_and_sigterm_ends_every_process(tmp_path, node, workers):
    with open(tmp_path / "log", "w") as log:
        process = start(configuration(tmp_path, trove_conductor_workers=workers, transport_url=node.transport_url), log)
    try:
        wait_until(lambda: (tmp_path / "log").read_text().count("serves the topic") == workers)
        children = [child for path in Path(f"/proc/{process.pid}/task").glob("*/children")
                    for child in path.read_text().split()]
        assert len(children) == (0 if workers == 1 else workers)
        process.send_signal(signal.SIGTERM)
        assert end_of(process) == 0
        wait_until(lambda: not any(Path(f"/proc/{child}").exists() for child in children))
        text = (tmp_path / "log").read_text()
        assert text.count("trove-conductor stopped") == workers
        assert "Traceback" not in text
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.parametrize(("options", "reason"), [
    ({"operation_key": ""}, "Cannot start: set [DEFAULT] operation_key"),
    ({"db_plugins": "nowhere.Plugin"}, "Cannot start: option db_plugins: 'nowhere.Plugin' cannot be loaded"),
])
def test_it_refuses_with_a_sentence(tmp_path, options, reason):
    with open(tmp_path / "log", "w") as log:
        process = start(configuration(tmp_path, trove_conductor_workers=1, **options), log)
        assert end_of(process) == 1
    text = (tmp_path / "log").read_text()
    assert reason in text and "Traceback" not in text
