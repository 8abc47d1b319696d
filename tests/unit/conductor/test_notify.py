"""What guests have notified: only what the control plane sealed into their command, once, in its words."""
import json

import pytest
import sqlalchemy

from tests.unit.conductor.test_conductor import GUEST, send
from trove.common import origin
from trove.common.context import TroveContext
from trove.conductor import models
from trove.db.sqlalchemy import tables

WANTED = {"event": "database_create", "payload": {"dbname": "shop", "server_type": "api"}}


@pytest.fixture
def told(conf, db):
    """A function that gives [(event type, payload)] of what waits to be sent; each message has another conductor."""
    conf.set_override("driver", ["noop"], group="oslo_messaging_notifications")

    def waiting():
        with db.reader() as session:
            return [(row.event_type, json.loads(row.payload)) for row in session.execute(
                sqlalchemy.select(tables.notifications))]
    return waiting


def sealed(notification=WANTED, instance_id=GUEST):
    context = TroveContext(request_id="req-1", overwrite=False)
    context.notification = notification
    return TroveContext(origin=origin.seal(instance_id, context, 60), overwrite=False)


def test_the_end(told):
    send("notify_end", context=sealed())
    assert told() == [("dbaas.database_create.end", {"dbname": "shop", "server_type": "conductor"})]


def test_a_failure_with_what_the_guest_says_cut_short(told):
    send("notify_exc_info", message="m" * 10000, exception="DiskFull", context=sealed())
    (event_type, payload), = told()
    assert event_type == "dbaas.database_create.error"
    assert payload == {"dbname": "shop", "server_type": "conductor", "message": "m" * 500 + "...",
                       "exception": "DiskFull"}


def test_it_is_told_once(told):
    context = sealed()
    for _ in range(3):
        send("notify_end", context=context)
    send("notify_exc_info", message="m", exception="e", context=context)
    assert len(told()) == 1


def test_what_is_kept_of_reports_that_count_once_is_forgotten_with_their_age(conf, db):
    conf.set_override("message_max_age", 600)
    with db.writer() as session:
        for sent, now, first in ((0, 0, True), (0, 0, False), (0, 600, False), (601, 601, True)):
            assert models.is_first(session, GUEST, "k" * 64 if sent == 0 else "l" * 64, sent, now) is first
        models.is_newer(session, GUEST, "heartbeat", 5)
        rows = session.execute(sqlalchemy.select(tables.conductor_lastseen.c.method_name)).scalars().all()
    assert sorted(rows) == ["heartbeat", "once:" + "l" * 31]


@pytest.mark.parametrize("context", [
    lambda: TroveContext(overwrite=False), lambda: sealed(None), lambda: sealed(instance_id="another"),
    lambda: TroveContext(overwrite=False, origin={"request_id": "r", "trace": None, "until": 1e12, "seal": "0",
                                                  "notification": WANTED})])
def test_a_guest_cannot_make_one_up(told, context):
    send("notify_end", context=context())
    assert told() == []


def test_nobody_wants_them_any_more(told, conf):
    context = sealed()
    conf.clear_override("driver", group="oslo_messaging_notifications")
    send("notify_end", context=context)
    assert told() == []
