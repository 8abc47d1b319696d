"""Notifications by the clock: which instances exist, and which quota usages have changed. Of several task managers one
makes those of a period; what it has written to the outbox is sent even if it dies.
"""
import datetime

import sqlalchemy
from oslo_log import log as logging

from trove.common import remote
from trove.common.cfg import CONF
from trove.common.strategies import strategy
from trove.db import get_db_api
from trove.db.sqlalchemy.session import retry_lost_races
from trove.notification import models
from trove.quota import quota
from trove.quota.models import QuotaUsage

LOG = logging.getLogger(__name__)


def tell_existing():
    """trove.instance.exists for each instance, if a period is over and a transformer is configured."""
    if CONF.exists_notification_transformer:
        _run("exists", CONF.exists_notification_interval, _existing)


def tell_quotas():
    """dbaas.quota for every usage that has changed, if a period is over."""
    _run("quotas", CONF.quota_notification_interval, _quotas)


def _existing(begun, ended):
    transformer = strategy.load(CONF.exists_notification_transformer, option="exists_notification_transformer")
    try:
        return [("trove.instance.exists", payload) for payload in transformer(begun, ended)()]
    except Exception as error:
        if not remote.is_passing(error):
            raise
        LOG.warning("Which instances exist cannot be told now, and is tried again: %s", error)
        return None


def _quotas(begun, _ended):
    found = []
    with get_db_api().reader() as session:
        changed = session.execute(sqlalchemy.select(QuotaUsage).where(
            QuotaUsage.updated >= begun.replace(microsecond=0)).order_by(QuotaUsage.id)).scalars().all()
        for row in changed:
            usage = quota.usages(session, row.tenant_id).get(row.resource)
            if usage is not None:
                found.append(("dbaas.quota", {
                    "tenant_id": row.tenant_id, "server_type": "taskmanager", "resource": row.resource,
                    "in_use": usage.in_use, "reserved": usage.reserved, "limit": usage.limit,
                    "updated": row.updated.isoformat()}))
    return found


def _moment(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).replace(tzinfo=None)


@retry_lost_races
def _run(name, interval, make):
    """Write what ``make(begin, end of the period as naive UTC)`` gives, once per period; None: not possible now."""
    with get_db_api().reader() as session:
        before, now = models.last_run(session, name), get_db_api().now(session)
    if before is not None and now - before < interval:
        return
    told = make(_moment(now - interval if before is None else before), _moment(now))
    if told is None:
        return
    with get_db_api().writer() as session:
        if not models.claim_run(session, name, before, now):
            return
        models.put_all(session, told)
    LOG.info("%d notifications of %s were made", len(told), name)
