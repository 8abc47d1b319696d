"""``openstack database backup ...`` on real guests: full, incremental, restored, deleted; and one that was damaged."""
import pytest
from onebox import cloud

from tests.scenarios.support import CommandFailed, wait_until

CONTAINER = "database_backups_{}"  # each backup has one of its own


@pytest.fixture(scope="module")
def sql(system):
    """Statements on the database of an instance (m1 by default), as its user."""
    facts = system.m1

    def run(statement, host=facts["host"]):
        return system.sql(statement, host, facts["user"], facts["password"], facts["database"])
    return run


def take(openstack, name, *more):
    """A backup of m1 that is COMPLETED, as the client shows it."""
    made = openstack.json("database", "backup", "create", name, "--instance", "m1", *more)
    assert made["status"] == "NEW"

    def ended():
        shown = openstack.json("database", "backup", "show", made["id"])
        return shown if shown["status"] in ("COMPLETED", "FAILED") else None
    shown = wait_until(ended, pause=0.5)
    assert shown["status"] == "COMPLETED", shown
    return shown


@pytest.fixture(scope="module")
def backups(system, openstack, sql):
    """A full backup and an increment, with a table before each and one after both."""
    sql("CREATE OR REPLACE TABLE kept_full AS SELECT 'full' AS word")
    full = take(openstack, "full")
    sql("CREATE OR REPLACE TABLE kept_increment AS SELECT 'increment' AS word")
    increment = take(openstack, "increment", "--parent", full["id"])
    sql("CREATE OR REPLACE TABLE kept_after AS SELECT 'after' AS word")
    yield full, increment
    if openstack.json("database", "backup", "list"):
        openstack("database", "backup", "delete", full["id"])
    sql("DROP TABLE kept_full, kept_increment, kept_after")


def swift(system, method, path=""):
    """A request to the object store as the user who keeps backups, below its account; returns the answer."""
    session = cloud.session(cloud.backup_environment(system.settings))
    return session.request(path, method, raise_exc=False,
                           endpoint_filter={"service_type": "object-store", "interface": "public"})


def restore(system, openstack, name, backup_id):
    """Create an instance from a backup with the client; returns its view when it has ended."""
    made = openstack.json("database", "instance", "create", name, "--flavor", system.smallest_flavor(), "--size", "1",
                          "--backup", backup_id)
    return system.wait_ended(made["id"])


def test_a_backup_is_shown_and_listed(system, openstack, backups):
    full, increment = backups
    assert increment["parent_id"] == full["id"]
    assert full["locationRef"].endswith(f"/{CONTAINER.format(full['id'])}/{full['id']}.xbstream.zst.gcm")
    assert full["size"] > 0
    assert {row["ID"]: row["Status"] for row in openstack.json("database", "backup", "list")} == {
        full["id"]: "COMPLETED", increment["id"]: "COMPLETED"}
    assert len(openstack.json("database", "backup", "list", "--instance-id", system.m1["id"])) == 2


def test_the_chain_is_restored_with_users_and_data(system, openstack, sql, backups, leaves_nothing):
    made = restore(system, openstack, "restored", backups[1]["id"])
    try:
        assert made["status"] == "ACTIVE", made.get("fault")
        host = made["ip"][0]
        assert sql("SELECT a.word, b.word FROM kept_full a, kept_increment b", host) == (("full", "increment"),)
        assert sql("SHOW TABLES LIKE 'kept_after'", host) == ()
    finally:
        system.delete(made["id"])


def test_what_is_stored_is_not_readable(system, backups):
    container = CONTAINER.format(backups[0]["id"])
    segment = swift(system, "GET", f"/{container}/{backups[0]['id']}_00000000").content
    assert segment.startswith(b"TROVEGC1")
    assert b"XBSTCK" not in segment


def test_a_guest_reaches_the_object_store_and_the_broker_only(system):
    """Of the ports of the cloud that the gateway serves; its Keystone, for one, is not a guest's to talk to."""
    program = ("import socket, sys\n"
               "for port in range(8770, 8776):\n"
               "    probe = socket.socket(); probe.settimeout(3)\n"
               "    print(port, probe.connect_ex((sys.argv[1], port)) == 0)")
    said = system.guest(system.m1["id"], "python3", "-c", program, system.settings.gateway)
    assert dict(line.split() for line in said.splitlines()) == {
        **{str(port): "False" for port in range(8770, 8775)}, "8775": "True"}


def test_a_missing_segment_ends_in_an_error_that_names_it(system, openstack, backups):
    segment = f"{backups[0]['id']}_00000000"
    assert swift(system, "DELETE", f"/{CONTAINER.format(backups[0]['id'])}/{segment}").status_code == 204
    made = restore(system, openstack, "damaged", backups[1]["id"])
    assert made["status"] == "ERROR"
    assert segment in made["fault"]["message"]
    system.delete(made["id"])


def test_a_parent_is_deleted_with_its_increments_and_objects(system, openstack, backups):
    openstack("database", "backup", "delete", backups[0]["id"])
    wait_until(lambda: openstack.json("database", "backup", "list") == [], pause=0.5)
    # Not even a container; that of the archive of logs, which began with the backup, is deleted by the clock.
    wait_until(lambda: swift(system, "GET").text == "", 150, 1)
    with pytest.raises(CommandFailed, match=r"not|No"):
        openstack("database", "backup", "show", backups[1]["id"])
