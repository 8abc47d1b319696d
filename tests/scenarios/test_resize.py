"""Another flavor and a larger volume with both clients and a real server: what is on it stays, its settings follow its
memory, and a resize that fails is taken back.
"""
import pytest
from onebox import services

from tests.scenarios.support import PASSWORD, CommandFailed, kill, wait_until

MB = 1024 ** 2
# Settings with which no server starts, for flavors from 2000 MB on.
SPOILT = """{% include "mariadb/config.template" %}
{% if flavor.ram >= 2000 %}
[mysqld]
no_such_option = 1
{% endif %}
"""


@pytest.fixture(scope="module")
def instance(system):
    """The view of an ACTIVE instance with a table of 20,000 rows; deleted afterwards."""
    before = system.inventory()
    instance_id = system.create("sized")
    view = system.wait_ended(instance_id)
    assert view["status"] == "ACTIVE", view.get("fault")
    host = view["ip"][0]
    wait_until(lambda: answers(system, host))
    system.sql("CREATE TABLE t (PRIMARY KEY (n)) SELECT seq AS n, MD5(seq) AS x FROM seq_1_to_20000", host, "alice",
               PASSWORD, "app")
    yield view
    system.delete(instance_id)
    system.assert_nothing_more_than(before)


def answers(system, host):
    """Whether the server of the instance does."""
    try:
        return system.sql("SELECT 1", host, "alice", PASSWORD, "app")
    except Exception:  # it is being started
        return False


@pytest.fixture
def seen(system, instance):
    """Called without arguments: (a sum over all rows, buffer pool in MB) by the server at the instance's address."""
    def look():
        [(rows, total)] = system.sql("SELECT COUNT(*), SUM(CRC32(x)) FROM t", instance["ip"][0], "alice", PASSWORD,
                                     "app")
        [(pool,)] = system.sql("SELECT @@innodb_buffer_pool_size", instance["ip"][0], "alice", PASSWORD, "app")
        assert rows == 20000
        return total, pool // MB
    return look


def settled(system, instance):
    """The instance when it does nothing any more and is ACTIVE."""
    def there():
        view = system.show(instance["id"])
        return view if view["status"] == "ACTIVE" and view["operation"]["state"] in ("done", "failed") else None
    return wait_until(there, 300)


def memory(system, instance):
    """MB that the guest has."""
    [line] = [line for line in system.guest(instance["id"], "cat", "/proc/meminfo").splitlines() if "MemTotal" in line]
    return int(line.split()[1]) // 1024


def flavors(system):
    """{MB: id} of the flavors."""
    return {flavor["ram"]: str(flavor["id"]) for flavor in system.api.get("/flavors").json()["flavors"]}


def test_a_flavor_brings_memory_and_settings(system, instance, seen, openstack):
    """The data stays, the address stays, the buffer pool grows with the memory."""
    total, pool = seen()
    openstack("database", "instance", "resize", "flavor", instance["id"], flavors(system)[1024])
    assert system.show(instance["id"])["status"] == "RESIZE"
    view = settled(system, instance)
    assert (view["flavor"]["id"], view["ip"]) == (flavors(system)[1024], instance["ip"])
    assert "fault" not in view
    [resize] = system.api.get(f"/instances/{instance['id']}/operations?limit=1").json()["operations"]
    assert [step["name"] for step in resize["steps"]][-1] == "confirm"
    assert seen() == (total, 409)
    assert pool == 166
    assert 1000 <= memory(system, instance) <= 1024


def test_a_resize_that_fails_is_taken_back(system, instance, seen, trove):
    """The server does not start with the settings for the new memory: it runs again as before, and says why."""
    before, was = seen(), system.show(instance["id"])
    template = system.settings.etc / "templates/mariadb/10.11/config.template"
    template.parent.mkdir(parents=True)
    template.write_text(SPOILT)
    try:
        trove("resize-instance", instance["id"], flavors(system)[2048])
        view = settled(system, instance)
    finally:
        template.unlink()
        template.parent.rmdir()
    assert (view["operation"]["state"], view["operation"]["step"]) == ("failed", "start_database")
    assert "mariadb.service failed" in view["fault"]["message"]
    assert (view["flavor"], view["ip"]) == (was["flavor"], was["ip"])
    assert seen() == before
    assert memory(system, instance) <= 1024
    nova = system.cloud_get("compute", f"/servers/{system.server(instance['id'])}")["server"]
    assert (nova["status"], nova["flavor"]["id"]) == ("ACTIVE", was["flavor"]["id"])


def test_the_task_manager_is_killed_in_the_middle(system, instance, seen, openstack):
    """Another one goes on where it was."""
    total, pool = seen()
    openstack("database", "instance", "resize", "flavor", instance["id"], flavors(system)[512])
    system.wait_step(instance["id"], "resized")
    kill(system.settings, "trove-taskmanager")
    services.ensure(system.settings)
    view = settled(system, instance)
    assert view["operation"]["state"] == "done"
    assert "fault" not in view  # what failed before is of no interest any more
    assert seen() == (total, 166)
    assert pool == 409


@pytest.mark.parametrize(("client", "size"), [("trove", 2), ("openstack", 3)])
def test_a_volume_grows(system, instance, seen, request, client, size):
    """The file system has the new room, and all that was on it."""
    before = seen()
    words = ("resize-volume",) if client == "trove" else ("database", "instance", "resize", "volume")
    request.getfixturevalue(client)(*words, instance["id"], str(size))
    view = settled(system, instance)
    assert view["operation"]["state"] == "done", view["operation"]
    assert (view["volume"]["size"], view["ip"]) == (size, instance["ip"])
    assert seen() == before
    room = system.guest(instance["id"], "df", "--block-size=1M", "--output=size", "/var/lib/mysql").split()[-1]
    assert 0.9 * size * 1024 < int(room) <= size * 1024
    volume = next(volume for volume in system.cloud_get("volumev3", "/volumes/detail")["volumes"]
                  if volume["name"] == f"datastore-{instance['id']}")
    assert (volume["size"], volume["status"]) == (size, "in-use")


def test_what_is_refused(system, instance, openstack, trove):
    """With the sentence that says why."""
    with pytest.raises(CommandFailed, match="must be more than the 3 GB"):
        trove("resize-volume", instance["id"], "3")
    with pytest.raises(CommandFailed, match="largest volume accepted"):
        openstack("database", "instance", "resize", "volume", instance["id"], "99")
    with pytest.raises(CommandFailed, match="already"):
        trove("resize-instance", instance["id"], flavors(system)[512])
    with pytest.raises(CommandFailed, match="flavor"):
        openstack("database", "instance", "resize", "flavor", instance["id"], "no-such-flavor")
