"""How a server's data is made from the stream of a backup."""
import abc

from oslo_log import log as logging

LOG = logging.getLogger(__name__)


class RestoreRunner(abc.ABC):
    """Restores one link of a chain; the class has the name of the class that took it.

    app: the datastore's server; directory: where the data directory is made; it is empty for the first link.
    """

    # Whether the stream goes into a server that runs, instead of into a directory.
    needs_server = False
    # Whether logs are replayed into the data after ``finish``; set for each object.
    is_replayed = False

    def __init__(self, app, directory):
        self.app = app
        self.directory = directory

    @abc.abstractmethod
    def restore(self, stream):
        """Use the stream (``backup.streams.Incoming``). When it raises, nothing of the directory is used."""

    def finish(self):
        """Called once, after the last link."""
        LOG.debug("Restored into %s", self.directory)
