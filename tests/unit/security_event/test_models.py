"""Rows of security events: shared for some minutes, listed by age, bounded in number, told once."""
import json

import pytest

from trove.db.sqlalchemy import tables
from trove.security_event import models


def batch(name="message.forged", instance_id="i-1", account=None, reason="why", count=1, first=0.0, last=0.0):
    return models.Batch(name, instance_id, account, reason, count, first, last)


def record(db, *batches):
    with db.writer() as session:
        models.record(session, batches)


def listed(db, seconds=3600, limit=100):
    with db.reader() as session:
        return models.newest(session, seconds, limit)


def test_events_of_one_key_share_a_row(db_each):
    record(db_each, batch(count=3, first=20, last=10), batch(name="path.refused", instance_id=None))
    record(db_each, batch(count=2, reason="again"))
    newest = {row["name"]: row for row in listed(db_each)}
    forged = newest["message.forged"]
    assert (forged["count"], forged["reason"], forged["instance_id"], forged["account"]) == (5, "again", "i-1", None)
    assert 19 < forged["last"] - forged["first"] < 25
    assert (newest["path.refused"]["count"], newest["path.refused"]["instance_id"]) == (1, None)


@pytest.mark.parametrize("other", [
    batch(name="message.replayed"), batch(instance_id="i-2"), batch(instance_id=None), batch(account="guest-1"),
])
def test_other_keys_have_other_rows(db_each, other):
    record(db_each, batch(), other)
    assert [row["count"] for row in listed(db_each)] == [1, 1]


def test_a_row_takes_events_of_some_minutes_only(db_each):
    record(db_each, batch(first=models.WINDOW + 5, last=models.WINDOW + 5))
    record(db_each, batch())
    assert [row["count"] for row in listed(db_each)] == [1, 1]


def test_the_list_has_the_newest_first_and_ends_at_an_age(db_each):
    record(db_each, batch(instance_id="old", first=4000, last=3700), batch(instance_id="new"),
           batch(instance_id="mid", first=4000, last=3000))
    assert [row["instance_id"] for row in listed(db_each)] == ["new", "mid"]
    assert [row["instance_id"] for row in listed(db_each, seconds=5000)] == ["new", "mid", "old"]
    assert [row["instance_id"] for row in listed(db_each, limit=1)] == ["new"]


def test_a_count_stays_within_its_column(db_each):
    record(db_each, batch(count=2 ** 31 - 2))
    record(db_each, batch(count=2 ** 40))
    assert listed(db_each)[0]["count"] == 2 ** 31 - 1


def test_old_rows_and_those_beyond_the_limit_go(db_each):
    record(db_each, *(batch(instance_id=f"i-{age}", first=age, last=age) for age in (1, 2, 3, 900, 901)))

    def purge(age, most, limit=100):
        with db_each.writer() as session:
            return models.purge(session, db_each.now(session) - age, most, limit)
    assert purge(500, 100, limit=1) == 1
    assert purge(500, 100) == 1
    assert purge(500, 2) == 1
    assert [row["instance_id"] for row in listed(db_each)] == ["i-1", "i-2"]
    assert purge(500, 2) == 0


def test_each_new_row_is_told_once_if_anybody_listens(db, conf):
    record(db, batch())
    conf.set_override("notification_driver", ["log"])
    record(db, batch(), batch(instance_id="i-2", account="guest-2", count=7))
    record(db, batch(instance_id="i-2", account="guest-2"))
    with db.reader() as session:
        told = session.execute(tables.notifications.select()).mappings().all()
    assert [(row["event_type"], json.loads(row["payload"])) for row in told] == [
        ("trove.security.message.forged", {"name": "message.forged", "reason": "why", "instance_id": "i-2",
                                           "account": "guest-2", "count": 7})]
