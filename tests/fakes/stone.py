"""A datastore without a server, for agents that run as real processes: ``datastore_registry_ext`` names its Manager."""
from oslo_log import log as logging

from trove.common.instance import ServiceStatuses
from trove.guestagent.common import operating_system
from trove.guestagent.datastore import manager, service

LOG = logging.getLogger("trove.stone")


class Status(service.BaseDbStatus):
    """It runs from the moment that it was prepared."""

    def get_actual_db_status(self):
        """See the base."""
        return ServiceStatuses.RUNNING if self.prepare_completed else ServiceStatuses.SHUTDOWN


class Admin:
    """Databases that nobody keeps."""

    def list_databases(self, _limit, _marker, _include_marker):
        """None."""
        LOG.info("the stone lists its databases")
        return [], None

    def create_database(self, databases):
        """Only said."""
        LOG.info("the stone makes %d databases", len(databases))


class Manager(manager.Manager):
    """The agent's manager."""

    def __init__(self):
        super().__init__("mariadb")
        self._status = Status()

    @property
    def status(self):
        """See the base."""
        return self._status

    @property
    def admin(self):
        """See the base."""
        return Admin()

    def do_prepare(self, context, request):
        """One command of the system."""
        LOG.info("the stone is prepared")
        operating_system.run(["true"])

    def start_of_agent(self):
        """Nothing is mounted or started."""
