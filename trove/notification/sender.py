"""Sends what lies in the outbox to the notification bus; called by the clock in each task manager."""
import time

from oslo_log import log as logging

from trove import rpc
from trove.db import get_db_api
from trove.db.sqlalchemy.session import retry_lost_races
from trove.notification import bus, models

LOG = logging.getLogger(__name__)

_BATCH = 50


def send_waiting():
    """Send until nothing waits that this process may send. What the bus does not take stays.

    Without a driver what waits is dropped: services that write it have one, and this one was told not to send.
    """
    while _waits():
        # Counted from before they are taken: once the lease has ended another sends what is left of them.
        end = time.monotonic() + models.LEASE / 2
        rows = _take()
        if not rows:
            return
        done = _send(rows, end)
        _settle(done, [row[0] for row in rows[len(done):]])
        if len(done) < len(rows):
            return


def _waits():
    """Whether there is anything to send: asked without a lock, as it is asked all the time."""
    with get_db_api().reader() as session:
        return models.waits(session)


def _send(rows, end):
    """Send until the bus takes no more or the clock says ``end``. Returns the ids of what it took."""
    done = []
    try:
        for row_id, event_type, publisher, payload in rows:
            if time.monotonic() > end:
                LOG.warning("The bus is slow: %d of %d notifications were sent", len(done), len(rows))
                break
            bus.notify(publisher, event_type, payload)
            done.append(row_id)
    except rpc.DeliveryFailure as error:
        LOG.warning("Notifications cannot be sent now and wait: %s", error)
    return done


@retry_lost_races
def _take():
    with get_db_api().writer() as session:
        return models.take(session, _BATCH)


@retry_lost_races
def _settle(sent, unsent):
    with get_db_api().writer() as session:
        models.remove(session, sent)
        models.give_back(session, unsent)
