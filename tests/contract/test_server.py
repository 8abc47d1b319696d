"""The life of a server: made, stopped, started, killed."""
import pytest

from trove.common.instance import ServiceStatuses
from trove.guestagent import pkg
from trove.guestagent.common import operating_system
from trove.guestagent.datastore import service


class Killed(BaseException):
    """Stands for a death of the agent."""


def test_from_nothing(bare, reports):
    """prepare without data in the image"""
    bare.prepare()
    assert reports.statuses == ["building", "running"], reports.causes
    assert bare.manager.status.prepare_completed
    assert operating_system.state_dir().stat().st_mode & 0o777 == 0o700
    bare.put(1)
    assert bare.keys() == [1]


def test_twice(machine, reports):
    """prepare sent again leaves data alone"""
    machine.put(1, 2)
    machine.manager = machine.guest.manager()
    machine.prepare()
    assert set(reports.statuses) == {"building", "running"}, reports.causes
    assert machine.keys() == [1, 2]


EFFECTS = ("install", "stop", "write_configuration", "prepare_data", "start", "secure", "end_install")


@pytest.mark.parametrize("effect", EFFECTS)
def test_killed(machines, reports, monkeypatch, effect):
    """prepare killed after any effect and sent again"""
    machine = machines()
    owner = {"install": pkg, "end_install": service.BaseDbStatus}.get(effect, type(machine.app))
    original = getattr(owner, effect)

    def deadly(*args, **kwargs):
        original(*args, **kwargs)
        raise Killed(effect)
    with monkeypatch.context() as patch:
        patch.setattr(owner, effect, deadly)
        with pytest.raises(Killed):
            machine.prepare()
    machine.manager = machine.guest.manager()
    machine.prepare()
    assert reports.statuses[-1] == "running", reports.causes
    machine.put(1)
    assert machine.keys() == [1]


def test_wrong_settings(machines, reports, tested):
    """prepare with an impossible setting fails, ends the server, and can be repeated"""
    machine = machines()
    with pytest.raises(Exception, match=".+"):
        machine.prepare(overrides=dict([tested.unknown]))
    assert reports.statuses == ["building", "failed to spawn"]
    assert reports.causes[-1]
    assert not machine.app.service.is_running()
    machine.prepare()
    assert reports.statuses[-1] == "running", reports.causes


def test_life(machine, reports):
    """restart, stop, start, with data and status"""
    machine.put(1)
    machine.call("restart")
    assert machine.keys() == [1]
    for _ in range(2):
        machine.call("stop_db")
    assert reports.statuses[-2:] == ["shutdown", "shutdown"]
    assert machine.manager.status.get_actual_db_status() == ServiceStatuses.SHUTDOWN
    assert not machine.app.service.is_running()
    machine.call("restart")
    assert machine.manager.status.get_actual_db_status() == ServiceStatuses.RUNNING
    assert machine.keys() == [1]


def test_crash(machine):
    """a server that was killed is seen, and started at boot with what was acknowledged"""
    machine.put(1)
    machine.guest.tested.kill(machine.app)
    assert machine.manager.status.wait_for(ServiceStatuses.CRASHED, ServiceStatuses.SHUTDOWN)
    assert machine.app.start_at_boot()
    assert not machine.app.start_at_boot()
    assert machine.keys() == [1]


def test_stay_down(machine):
    """stop for good: a boot leaves the server off until it is started"""
    machine.call("stop_db", True)
    assert not machine.app.start_at_boot()
    assert machine.manager.status.get_actual_db_status() == ServiceStatuses.SHUTDOWN
    machine.call("start_db_with_conf_changes", machine.guest.contents(ram=512))
    assert machine.manager.status.get_actual_db_status() == ServiceStatuses.RUNNING
    machine.call("stop_db")
    assert machine.app.start_at_boot()


def test_heartbeat(machine, reports):
    """the heartbeat tells of the server and its volume"""
    machine.call("update_status")
    assert reports.statuses[-1] == "running"
    facts = reports.payloads[-1]["facts"]
    assert facts["volume_full"] is False
    assert facts["used"] > 0
