"""How a backup is taken from a server: one program that writes a stream."""
import abc
import shlex

from oslo_log import log as logging

from trove.common.cfg import CONF

LOG = logging.getLogger(__name__)


class BackupRunner(abc.ABC):
    """One backup being taken. The class's name is kept with the backup and names the class that restores it.

    app: the datastore's server; work: an empty directory of the agent, for this backup alone; parent: {"id",
    "location", "checksum", "metadata"} for an increment, else None.
    """

    def __init__(self, app, work, parent=None):
        self.app = app
        self.work = work
        self.parent = parent

    @abc.abstractmethod
    def command(self):
        """The program that writes the stream, as an argument list without secrets; what it needs is made first.

        Raises TroveError when the backup cannot be taken so.
        """

    def filters(self):
        """Return further programs (argument lists) through which the stream goes before it is compressed."""
        return []

    def check(self, said):
        """Look at what the program wrote to its standard error after it ended well. Raises TroveError."""
        LOG.debug("The program of the backup said: %s", said)

    def metadata(self):
        """{name: text} that a later increment on this one needs. Called when the stream has ended."""
        return {}

    @classmethod
    def clean(cls, app):
        """Remove what a backup leaves in the guest, also one whose agent was killed: called when one has ended."""
        LOG.debug("%s leaves nothing beside its stream", cls.__name__)

    def options(self):
        """The further arguments that the operator has set for this class."""
        return shlex.split(CONF.backup_runner_options.get(type(self).__name__, ""))
