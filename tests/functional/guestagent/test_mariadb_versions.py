"""Two versions of MariaDB: data of the older one come to the newer one, and not back."""
import json

import pytest

from tests import engines, guests
from tests.guests import Backups, backup_info, refused, restore
from trove.guestagent.datastore.mysql_common import upgrade

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("tested", ["mariadb:10.11"], indirect=True)]
NEWER = "mariadb:11.8"


@pytest.fixture
def machines(conf, direct, reports, tested, packaged_data, container):
    """Makes guests of a version; all servers are killed and all files removed at the end."""
    made = []

    def make(engine, name):
        guest = guests.make(engine, name)
        if engine is tested:
            guest.layout.template.symlink_to(packaged_data)
        made.append(guests.Machine(conf, guest))
        return made[-1]
    yield make
    for machine in made:
        machine.end()


@pytest.fixture
def newer():
    """The newer version as an Engine."""
    return engines.find(NEWER)


def test_a_chain_of_the_older_version_becomes_a_server_of_the_newer(machines, tested, newer, reports):
    """Its own tables are then those of the newer one, and nothing but a log line is wrong when that fails."""
    source, backups = machines(tested, "a"), Backups(reports)
    source.prepare()
    source.put(1)
    chain = [backups.take(source)]
    source.put(2)
    chain.append(backups.take(source, tested.increments, chain[0]))
    with engines.running(newer):
        target = machines(newer, "b")
        restore(target, *chain)
        assert reports.statuses[-1] == "running", reports.causes
        assert target.keys() == [1, 2]
        assert not (target.guest.layout.data / upgrade.FILENAME).exists()
        assert (target.guest.layout.data / "mariadb_upgrade_info").read_text().startswith("11.8")
        target.call("create_database", [{"_name": "later"}])
        target.call("restart")
        assert target.keys() == [1, 2]
        newest = backups.take(target)
        assert "location" in newest, newest
    back = machines(tested, "c")
    said = refused(back, reports, newest)
    assert "The backup is of MariaDB 11.8" in said
    assert "datastore.version" in said


def test_a_replica_of_the_newer_version_follows_a_source_of_the_older(machines, tested, newer, reports):
    """Over a plain connection too: the newer one would demand TLS of a source that has none."""
    source, backups = machines(tested, "a"), Backups(reports)
    source.prepare()
    source.put(1)
    replica = machines(newer, "b")
    source.call("get_replication_snapshot", {"accounts": [replica.account]}, source.role("replica_source"))
    taken = backups.take(source)
    source.put(2)
    with engines.running(newer):
        replica.prepare(databases=[], users=[], backup_info=backup_info(taken),
                        snapshot={**source.info(replica), "config": replica.role("replica")})
        assert reports.statuses[-1] == "running", reports.causes
        assert replica.call("wait_for_txn", source.call("get_latest_txn_id")) is True
        assert replica.keys() == [1, 2]


def test_a_pool_larger_than_the_newer_version_can_have_is_named_as_refused(machines, newer):
    """It would be clipped in silence if innodb_buffer_pool_size_max were set, so groups cannot set that."""
    names = {entry["name"] for entry in json.loads(newer.version.rules.read_text())["configuration-parameters"]}
    assert "innodb_buffer_pool_size" in names
    assert "innodb_buffer_pool_size_max" not in names
    with engines.running(newer):
        machine = machines(newer, "a")
        machine.prepare()
        before = newer.shown(machine.app, "innodb_buffer_pool_size")
        assert set(machine.call("apply_overrides", {"innodb_buffer_pool_size": "9T"})) == {"innodb_buffer_pool_size"}
        assert newer.shown(machine.app, "innodb_buffer_pool_size") == before
