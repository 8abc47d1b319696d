"""An agent's options in a directory of the test's own, and a conductor that remembers."""
import pytest

from trove import rpc
from trove.conductor import api as conductor_api


class Reports:
    """What the guest reported, in order. ``broken`` makes the bus refuse."""

    def __init__(self):
        self.statuses = []
        self.payloads = []
        self.times = []
        self.kept = []
        self.roots = []
        self.causes = []
        self.backups = []
        self.broken = False

    def heartbeat(self, instance_id, payload, sent=None, kept=True):
        """As conductor.api.API."""
        if self.broken:
            raise rpc.DeliveryFailure("no broker")
        self.payloads.append(payload)
        self.statuses.append(payload["service_status"])
        self.causes.append(payload.get("cause"))
        self.times.append(sent)
        self.kept.append(kept)

    def report_root(self, instance_id, user=None, sent=None):
        """As conductor.api.API."""
        if self.broken:
            raise rpc.DeliveryFailure("no broker")
        self.roots.append(user)

    def update_backup(self, instance_id, backup_id, sent=None, **fields):
        """As conductor.api.API."""
        if self.broken:
            raise rpc.DeliveryFailure("no broker")
        self.backups.append({"id": backup_id, **fields})


@pytest.fixture
def reports(conf, tmp_path, monkeypatch):
    """The reports of the agent of instance i-1."""
    conf.set_override("guest_id", "i-1")
    conf.set_override("guest_key", "the key of this guest only")
    conf.set_override("guest_state_dir", str(tmp_path / "state"))
    reports = Reports()
    monkeypatch.setattr(conductor_api, "API", lambda context: reports)
    return reports
