"""Who may connect to an instance: what its user says at create and later is what the network does."""
import socket

from tests.scenarios.support import PASSWORD, wait_until


def connects(host):
    """Whether this machine gets a TCP connection to the database."""
    try:
        socket.create_connection((host, 3306), timeout=2).close()
    except OSError:
        return False
    return True


def changed(system, instance_id):
    """The view of the instance when the change of who may connect has ended, else None."""
    view = system.show(instance_id)
    operation = view["operation"]
    return view if (operation["kind"], operation["state"]) == ("instance.access", "done") else None


def test_this_machine_is_kept_out_until_it_is_let_in(system, openstack):
    before = system.inventory()
    instance_id = system.create("guarded", access={"is_public": False, "allowed_cidrs": ["203.0.113.0/24"]})
    view = system.wait_ended(instance_id)
    assert view["status"] == "ACTIVE", view.get("fault")
    host = view["ip"][0]
    assert view["access"] == {"is_public": False, "allowed_cidrs": ["203.0.113.0/24"]}
    assert not connects(host)

    openstack("database", "instance", "update", instance_id, "--allowed-cidr", "203.0.113.0/24",
              "--allowed-cidr", "0.0.0.0/0")
    view = wait_until(lambda: changed(system, instance_id))
    assert view["access"]["allowed_cidrs"] == ["0.0.0.0/0", "203.0.113.0/24"]
    wait_until(lambda: connects(host))
    assert list(system.sql("SELECT 1", host, "alice", PASSWORD, "app")) == [(1,)]

    openstack("database", "instance", "update", instance_id, "--is-private", "--allowed-cidr", "203.0.113.0/24")
    wait_until(lambda: changed(system, instance_id))
    wait_until(lambda: not connects(host))
    system.delete(instance_id)
    system.assert_nothing_more_than(before)
