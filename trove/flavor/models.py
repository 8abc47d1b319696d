"""Nova's flavors, kept for ``flavor_cache_time`` so that requests do not wait for Nova."""
import threading
import time
from dataclasses import dataclass

from oslo_log import log as logging

from trove.common import exception
from trove.common.cfg import CONF
from trove.common.strategies import strategy

LOG = logging.getLogger(__name__)

# An id that is not known makes us ask again, but not more often than this (seconds): clients look names up as ids.
_MISS_INTERVAL = 5.0


@dataclass(frozen=True)
class Flavor:
    """id: text, numeric in most clouds; ram: MB; disk, ephemeral: GB."""

    id: str
    name: str
    ram: int
    vcpus: int
    disk: int
    ephemeral: int


class _Cache:
    """The flavors by id, their age, and the lock under which one thread at a time asks Nova."""

    def __init__(self):
        self.lock = threading.Lock()
        self.flavors = None
        self.loaded = 0.0

    def get(self, max_age):
        """{id: Flavor} at most ``max_age`` seconds old; an older one while another thread or Nova is in the way.

        Raises ServiceUnavailable if Nova does not answer and nothing is known.
        """
        if self.flavors is not None and time.monotonic() - self.loaded < max_age:
            return self.flavors
        if not self.lock.acquire(blocking=self.flavors is None):
            return self.flavors
        try:
            if self.flavors is None or time.monotonic() - self.loaded >= max_age:
                self._load()
            return self.flavors
        finally:
            self.lock.release()

    def _load(self):
        try:
            nova = strategy.load(CONF.remote_nova_client, option="remote_nova_client")()
            found = nova.flavors.list()
        except Exception as error:  # noqa: BLE001 - the clients' errors have no common base
            LOG.warning("Could not list Nova's flavors: %s", error, exc_info=True)
            if self.flavors is None:
                raise exception.ServiceUnavailable("The compute service does not answer.") from error
        else:
            self.flavors = {flavor.id: flavor for flavor in map(_from_nova, found)}
        # Also after a failure: the next try is due after the interval, not at once.
        self.loaded = time.monotonic()


_cache = _Cache()


def _from_nova(flavor):
    return Flavor(id=str(flavor.id), name=flavor.name, ram=flavor.ram, vcpus=flavor.vcpus, disk=flavor.disk,
                  ephemeral=int(flavor.ephemeral or 0))


def list_flavors():
    """Every flavor. Raises ServiceUnavailable if Nova does not answer and none are known."""
    return list(_cache.get(CONF.flavor_cache_time).values())


def get_flavor(flavor_id):
    """The flavor with that id (text or integer). Raises NotFound, and ServiceUnavailable as ``list_flavors`` does."""
    flavor_id = str(flavor_id)
    for max_age in (CONF.flavor_cache_time, min(_MISS_INTERVAL, CONF.flavor_cache_time)):
        flavors = _cache.get(max_age)
        if flavor_id in flavors:
            return flavors[flavor_id]
    raise exception.NotFound(resource="flavor", id=flavor_id)


def offered(flavor_id, bound, settings, field):
    """The flavor with that id if an instance may have it; ``field`` of the request names it.

    bound: ids of the flavors of the datastore version, none for all; settings: the datastore's options.
    Raises BadValue, and ServiceUnavailable as ``list_flavors`` does.
    """
    try:
        flavor = get_flavor(flavor_id)
    except exception.NotFound:
        raise exception.BadValue(field=field, reason=f"there is no flavor '{flavor_id}'.") from None
    if bound and flavor.id not in bound:
        raise exception.BadValue(field=field, reason=f"flavor '{flavor.id}' is not offered for this datastore version.")
    if not (CONF.trove_volume_support and settings.volume_support) and settings.device_path and not flavor.ephemeral:
        raise exception.BadValue(field=field,
                                 reason=f"flavor '{flavor.id}' has no ephemeral disk, which this datastore needs.")
    return flavor


def forget():
    """Ask Nova again at the next use (tests)."""
    global _cache
    _cache = _Cache()
