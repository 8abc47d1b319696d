"""A datastore without a server, for agents that run as real processes: ``datastore_registry_ext`` names its Manager."""
import time

from oslo_log import log as logging

from trove.common import exception
from trove.common.files.pairs import Pairs
from trove.common.instance import ServiceStatuses
from trove.guestagent.common import configuration, operating_system
from trove.guestagent.datastore import admin, manager, server, service

LOG = logging.getLogger("trove.stone")


class Status(service.BaseDbStatus):
    """It runs from the moment that it was prepared."""

    def get_actual_db_status(self):
        """See the base."""
        return ServiceStatuses.RUNNING if self.prepare_completed else ServiceStatuses.SHUTDOWN


class Server(server.Server):
    """Takes every command and does nothing."""

    def __init__(self, layout):
        files = configuration.IncludedLayers("stone.cnf", "stone.d", Pairs())
        super().__init__(layout, Status(), files)

    @staticmethod
    def layout_class(_mount_point):
        """Return a layout below the agent's own directory."""
        state = operating_system.state_dir()
        return server.Layout(state / "stone", state / "stone.cnf", state, state / "template", state / "log", "root")

    @property
    def service(self):
        """See the base."""
        raise NotImplementedError("The stone has no process.")

    def is_data(self, directory):
        """See the base."""
        return False

    def initialise(self, directory):
        """See the base."""

    def secure(self, keep_root=False):
        """See the base."""

    def apply_overrides(self, overrides):
        """See the base."""
        return {}

    def write_certificate(self, text):
        """See the base."""

    def install_certificate(self, text):
        """See the base."""


def _cannot(operation):
    def method(self, *args):
        raise exception.DatastoreOperationNotSupported(operation=operation, datastore="mariadb")
    return method


class Admin(admin.Admin):
    """Names of databases, kept while the agent lives."""

    def __init__(self, _server, _manager):
        self._names = set()

    def list_databases(self, limit=None, marker=None, include_marker=False):
        """Return all from the marker on."""
        LOG.info("the stone lists its databases")
        return [{"_name": name} for name in sorted(self._names) if name >= (marker or "")], None

    def create_database(self, databases):
        """Keep the names; a new one that begins with "slow" takes three seconds."""
        LOG.info("the stone makes %d databases", len(databases))
        new = {database["_name"] for database in databases} - self._names
        time.sleep(3 * any(name.startswith("slow") for name in new))
        self._names |= new

    (delete_database, create_user, delete_user, get_user, list_users, change_passwords, update_attributes, list_access,
     grant_access, revoke_access) = map(_cannot, (
         "delete_database", "create_user", "delete_user", "get_user", "list_users", "change_passwords",
         "update_attributes", "list_access", "grant_access", "revoke_access"))


class Manager(manager.Manager):
    """The agent's manager."""

    server_class = Server
    admin_class = Admin

    def __init__(self):
        super().__init__("mariadb")

    def do_prepare(self, context, request):
        """One command of the system."""
        LOG.info("the stone is prepared")
        operating_system.run(["true"])

    def start_of_agent(self):
        """Nothing is mounted or started."""
