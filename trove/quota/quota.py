"""Quotas as the API asks for them; the class behind is the one that ``quota_driver`` names.

Every function works inside the caller's transaction. No figure is kept: see ``trove.quota.models``.
"""
import abc
from dataclasses import dataclass

from trove.common import exception
from trove.common.cfg import CONF
from trove.common.strategies import strategy
from trove.quota import models

# Resource -> option with its default limit. Volumes are counted in GB.
RESOURCES = {"instances": "max_instances_per_tenant", "volumes": "max_volumes_per_tenant",
             "backups": "max_backups_per_tenant"}
UNLIMITED = -1


@dataclass(frozen=True)
class Usage:
    """in_use: by live rows; reserved: promised to running operations; limit: -1 for none."""

    in_use: int
    reserved: int
    limit: int

    def admits(self, delta):
        """Whether ``delta`` more is within the limit; giving back is always."""
        return delta <= 0 or self.limit == UNLIMITED or self.in_use + self.reserved + delta <= self.limit


class QuotaDriver(abc.ABC):
    """What ``quota_driver`` must name: the functions of this module as methods, without their checks of names."""

    @abc.abstractmethod
    def limits(self, session, tenant):
        """See the function."""

    @abc.abstractmethod
    def usages(self, session, tenant):
        """See the function."""

    @abc.abstractmethod
    def reserve(self, session, tenant, deltas, operation_id):
        """See the function."""

    @abc.abstractmethod
    def set_limits(self, session, tenant, values):
        """See the function."""


class DbQuotaDriver(QuotaDriver):
    """Quotas in the infrastructure database."""

    def limits(self, session, tenant):
        own = models.limits(session, tenant)
        return {resource: own.get(resource, CONF[option]) for resource, option in RESOURCES.items()}

    def usages(self, session, tenant):
        own, in_use, reserved = models.figures(session, tenant)
        return {resource: Usage(in_use[resource], reserved.get(resource, 0), own.get(resource, CONF[option]))
                for resource, option in RESOURCES.items()}

    def reserve(self, session, tenant, deltas, operation_id):
        rows = models.lock_usages(session, tenant, list(deltas))
        usages_ = self.usages(session, tenant)
        overs = sorted(resource for resource, delta in deltas.items() if not usages_[resource].admits(delta))
        if overs:
            raise exception.QuotaExceeded(overs=", ".join(overs))
        figures = {}
        for resource, delta in deltas.items():
            usage, row = usages_[resource], rows[resource]
            if operation_id is None:
                figures[row] = max(usage.in_use + delta, 0), usage.reserved
            else:
                models.add_reservation(session, row, delta, operation_id)
                figures[row] = usage.in_use, usage.reserved + delta
        models.record_figures(session, figures)

    def set_limits(self, session, tenant, values):
        for resource in sorted(values):
            models.set_limit(session, tenant, resource, values[resource])


def _driver():
    return strategy.load(CONF.quota_driver, base=QuotaDriver, option="quota_driver")()


def _check_names(names):
    for name in names:
        if name not in RESOURCES:
            raise exception.NotFound(resource="quota resource", id=name)


def limits(session, tenant):
    """The limits that hold for a tenant: resource -> number, -1 for unlimited."""
    return _driver().limits(session, tenant)


def usages(session, tenant):
    """What a tenant has and may have: resource -> Usage. One statement, whatever the tenant has."""
    return _driver().usages(session, tenant)


def reserve(session, tenant, deltas, operation_id=None):
    """Make sure that a tenant may have ``deltas`` more (resource -> number; negative gives back).

    Requests of one tenant wait here for each other until the end of their transactions, so call it before the rows
    that use the quota are inserted, in the same transaction, and repeat that whole when it loses a race
    (``retry_lost_races``).
    operation_id: None when rows inserted in this transaction show the growth (a new instance or backup). Else the
    operation that will make it visible later (a volume that grows): the growth is reserved while that one lives.
    Raises QuotaExceeded naming every resource that is exceeded, NotFound for an unknown resource.
    """
    _check_names(deltas)
    _driver().reserve(session, tenant, deltas, operation_id)


def set_limits(session, tenant, values):
    """Set limits of a tenant: resource -> whole number, -1 for unlimited.

    Raises NotFound for an unknown resource, BadValue for another value.
    """
    _check_names(values)
    for resource, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or not UNLIMITED <= value < 2 ** 31:
            raise exception.BadValue(field=f"quotas.{resource}", reason="must be a whole number, -1 for unlimited")
    _driver().set_limits(session, tenant, values)
