"""Sends what lies in the outbox to the notification bus; called by the clock in each task manager."""
from oslo_log import log as logging

from trove import rpc
from trove.db import get_db_api
from trove.db.sqlalchemy.session import retry_lost_races
from trove.notification import models

LOG = logging.getLogger(__name__)

_BATCH = 50


def send_waiting():
    """Send until nothing waits that this process may send. What the bus does not take stays."""
    while rows := _take():
        done = []
        try:
            for row_id, event_type, publisher, payload in rows:
                rpc.notify(publisher, event_type, payload)
                done.append(row_id)
        except rpc.DeliveryFailure as error:
            LOG.warning("Notifications cannot be sent now and wait: %s", error)
        _settle(done, [row[0] for row in rows[len(done):]])
        if len(done) < len(rows):
            return


@retry_lost_races
def _take():
    with get_db_api().writer() as session:
        return models.take(session, _BATCH)


@retry_lost_races
def _settle(sent, unsent):
    with get_db_api().writer() as session:
        models.remove(session, sent)
        models.give_back(session, unsent)
