"""kill -9 in the middle of a creation: it ends as ACTIVE or with a cause, and deleting leaves nothing."""
import pytest
from onebox import broker, services

from tests.scenarios.support import PASSWORD, kill, wait_until
from trove.taskmanager.flows import create

pytestmark = pytest.mark.usefixtures("leaves_nothing")


def ends_well(system, instance_id):
    """ACTIVE and answering SQL, or ERROR with a message; then it can be deleted."""
    ended = system.wait_ended(instance_id)
    if ended["status"] == "ACTIVE":
        assert wait_until(lambda: system.sql("SELECT 1", ended["ip"][0], "alice", PASSWORD, "app"))
    else:
        assert ended["fault"]["message"]
    system.delete(instance_id)
    return ended["status"]


@pytest.fixture(scope="module")
def steps():
    """The names of the steps of a creation, in order."""
    return [step.name for step in create.FLOW.steps]


@pytest.mark.parametrize("position", [0, 1, 2, 3, -2, -1])
def test_the_task_manager(system, steps, position):
    """At the beginning, in the middle and near the end of the flow; another one takes over."""
    instance_id = system.create(f"kill-tm-{position}")
    system.wait_step(instance_id, steps[position])
    kill(system.settings, "trove-taskmanager")
    services.ensure(system.settings)
    assert ends_well(system, instance_id) == "ACTIVE"


def test_the_broker(system, steps):
    """Queues and accounts are in its database; what was in flight is sent again."""
    instance_id = system.create("kill-rabbit")
    system.wait_step(instance_id, steps[len(steps) // 2])
    kill(system.settings, "rabbitmq")
    broker.begin(system.settings)
    broker.wait_ready(system.settings)
    ends_well(system, instance_id)
    for name in services.NAMES:
        services.wait_ready(system.settings, name)


def test_the_conductor(system, steps):
    """What guests reported meanwhile waits in its queue."""
    instance_id = system.create("kill-conductor")
    system.wait_step(instance_id, steps[-2])
    kill(system.settings, "trove-conductor")
    services.ensure(system.settings)
    assert ends_well(system, instance_id) == "ACTIVE"


def test_the_guest_agent_in_the_middle_of_prepare(system):
    """systemd starts it again, and prepare may be repeated."""
    instance_id = system.create("kill-agent")
    # The volume is mounted by prepare: from then on it is at work.
    wait_until(lambda: preparing(system, instance_id), pause=0.05)
    system.guest(instance_id, "systemctl", "kill", "--signal=KILL", "trove-guestagent")
    ends_well(system, instance_id)


def preparing(system, instance_id):
    """Whether the agent in the guest of an instance has begun prepare."""
    try:
        return "prepare.start" in system.guest(instance_id, "ls", "-a", "/var/lib/trove")
    except Exception:  # the guest is not up yet
        return False


def test_a_whole_guest(system):
    """Its server is started again without anybody asking for it, and the database recovers."""
    instance_id = system.create("kill-guest")
    view = system.wait_ended(instance_id)
    assert view["status"] == "ACTIVE", view.get("fault")
    system.sql("CREATE TABLE t SELECT seq AS n FROM seq_1_to_1000", view["ip"][0], "alice", PASSWORD, "app")
    system.kill_guest(instance_id)
    wait_until(lambda: system.show(instance_id)["operation"]["kind"] == "instance.start")
    wait_until(lambda: system.show(instance_id)["operation"]["state"] == "done")
    view = system.wait_ended(instance_id)
    assert (view["status"], "fault" in view) == ("ACTIVE", False)
    assert system.sql("SELECT COUNT(*) FROM t", view["ip"][0], "alice", PASSWORD, "app") == ((1000,),)
    system.delete(instance_id)


def test_the_api(system):
    """An accepted request is kept: the instance is built although the API died right after its answer."""
    instance_id = system.create("kill-api")
    kill(system.settings, "trove-api")
    services.ensure(system.settings)
    assert ends_well(system, instance_id) == "ACTIVE"


def test_deleting_while_it_is_being_created(system, steps):
    """Legal at any moment."""
    instance_id = system.create("delete-early")
    system.wait_step(instance_id, steps[len(steps) // 2])
    system.delete(instance_id)
