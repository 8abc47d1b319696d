"""Guests whose certificate ends soon, or whose last rotation did not come to its end, are given new secrets.

Called by the clock; how many may be under way at once is bounded.
"""
from oslo_log import log as logging

from trove.common import exception, tls
from trove.common.cfg import CONF
from trove.db import get_db_api, guest_secrets, in_transaction
from trove.instance import rotation

LOG = logging.getLogger(__name__)

_DAY = 24 * 3600


@in_transaction
def _record_attempts(session, instance_ids, now):
    # Also for those that are busy or silent: they must not keep the others from their turn.
    for instance_id in instance_ids:
        guest_secrets.record_attempt(session, instance_id, now)


def rotate_due(wake):
    """Begin rotations; wake: called with the ids of their operations. Warns of certificates that end soon."""
    for problem in tls.problems(signs=True):
        LOG.error("TLS: %s", problem)
    options = CONF.tls
    with get_db_api().reader() as session:
        now = get_db_api().now(session)
        room = options.rotation_limit - rotation.under_way(session)
        ends_before = now + options.guest_certificate_renew_days * _DAY if options.ca_file else 0
        found = guest_secrets.due(session, ends_before, now - options.rotation_interval, max(room, 0))
    _record_attempts([instance_id for instance_id, _ in found], now)
    for instance_id, renew in found:
        try:
            operation_id = rotation.begin(instance_id, renew)
        except (exception.UnprocessableEntity, exception.NotFound) as error:
            LOG.info("instance %s: its secrets are not replaced now: %s", instance_id, error)
            continue
        LOG.info("instance %s: its secrets are replaced (operation %s)", instance_id, operation_id)
        wake(operation_id)
