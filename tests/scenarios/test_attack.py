"""tools/attack on the running system: root in a guest and a member of another project get nowhere."""
import json
import os
import subprocess

import pytest
from onebox import attack, services
from onebox.settings import CHECKOUT

from tests.scenarios.support import TOOL

LEAST = 60  # attacks in a short run


@pytest.fixture(scope="module")
def report(system):
    """The report of a short run, and its exit status."""
    done = subprocess.run([str(CHECKOUT / "tools/attack"), "--short", "--json"], capture_output=True, text=True,
                          check=False, env={**os.environ, "TROVE_STATE": system.facts["state"]},
                          timeout=TOOL)
    assert done.stdout, done.stderr[-3000:]
    return {**json.loads(done.stdout), "status": done.returncode}


def test_every_attack_is_refused(report):
    failed = [f"{row['result']} {row['attack']}: {row['evidence']}" for row in report["attacks"]
              if row["result"] != attack.REFUSED]
    assert not failed, "\n".join(failed)
    assert report["status"] == 0


def test_every_cause_is_attacked(report):
    assert len(report["attacks"]) >= LEAST
    assert {row["cause"] for row in report["attacks"]} == set(attack.CAUSES.values())


def test_operators_see_what_was_tried(system, report):
    """Security events of several kinds lie in the database, where trove-manage lists them."""
    seen = {name for row in report["attacks"] for name in row["events_seen"]}
    assert {"message.forged", "message.malformed"} <= seen
    listed = json.loads(services.manage(system.settings, "security_events", "--json"))
    assert seen <= {event["name"] for event in listed}
