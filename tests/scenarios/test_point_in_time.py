"""A restore to a second, on real guests: what was written before it is there, what was dropped after it too."""
import datetime
import threading
import time

import pytest

from tests.scenarios.support import wait_until

# Seconds within which a write can be restored, with some for a busy machine.
NEWEST = 30


def taken(system, instance_id):
    """A backup of an instance that is COMPLETED: its id."""
    made = system.api.post("/backups", json={"backup": {"instance": instance_id, "name": "base"}}).json()["backup"]

    def ended():
        shown = system.api.get(f"/backups/{made['id']}").json()["backup"]
        return shown if shown["status"] in ("COMPLETED", "FAILED") else None
    assert wait_until(ended, pause=0.5)["status"] == "COMPLETED"
    return made["id"]


def seconds(text):
    """Seconds since the epoch of a time as the API shows it."""
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC).timestamp()


def iso(moment):
    """A time as the API takes it."""
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.usefixtures("leaves_nothing")
def test_a_dropped_table_comes_back(system):
    facts = system.m1

    def sql(statement, host=facts["host"]):
        return system.sql(statement, host, facts["user"], facts["password"], facts["database"])

    def window():
        return system.show(facts["id"]).get("restorable")
    backup_id = taken(system, facts["id"])
    ending, made = threading.Event(), None
    try:
        sql("CREATE OR REPLACE TABLE kept (n INT PRIMARY KEY AUTO_INCREMENT, at DOUBLE)")

        def write():
            while not ending.wait(0.2):
                sql(f"INSERT INTO kept (at) VALUES ({time.time()})")
        writer = threading.Thread(target=write)
        writer.start()
        wait_until(window)
        ages = []
        end = time.monotonic() + 30
        while time.monotonic() < end:
            ages.append(time.time() - seconds(window()["latest"]))
            time.sleep(1)
        ending.set()
        writer.join()
        assert max(ages) < NEWEST, ages
        point = int(time.time()) + 1
        time.sleep(point + 0.1 - time.time())
        [(count,)] = sql("SELECT COUNT(*) FROM kept")
        sql("DROP TABLE kept")
        wait_until(lambda: seconds(window()["latest"]) >= point)
        answer = system.api.post("/instances", json={"instance": {
            "name": "then", "flavorRef": system.smallest_flavor(), "volume": {"size": 1},
            "restorePoint": {"instanceRef": facts["id"], "time": iso(point)}}})
        assert answer.status_code == 200, answer.text
        made = answer.json()["instance"]["id"]
        shown = system.wait_ended(made)
        assert shown["status"] == "ACTIVE", shown.get("fault")
        assert sql("SELECT COUNT(*) FROM kept", shown["ip"][0]) == ((count,),)
        early = system.api.post("/instances", raise_exc=False, json={"instance": {
            "name": "never", "flavorRef": system.smallest_flavor(), "volume": {"size": 1},
            "restorePoint": {"backupRef": backup_id, "time": "2020-01-01T00:00:00Z"}}})
        assert early.status_code == 400
        assert "restorePoint.time" in early.text
    finally:
        ending.set()
        if made:
            system.delete(made)
        system.api.delete(f"/backups/{backup_id}")
        wait_until(lambda: system.api.get(f"/backups/{backup_id}", raise_exc=False).status_code == 404)
        # The archive goes by the clock.
        wait_until(lambda: "restorable" not in system.show(facts["id"]))
