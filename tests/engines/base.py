"""What a test must know of an engine to run it on this machine with the agent's code."""
import abc
import typing

from onebox import probes

from tests import guests
from trove.common import cfg
from trove.common.strategies import strategy


class Engine(abc.ABC):
    """One version of a datastore.

    version: ``onebox.datastores.Version``. Its own facts stand in ``tests/engines/<datastore>.py``, whose ``engines()``
    returns one object for each version.
    """

    # For the contract of configuration groups: (name, value, the same as ``shown`` tells it) of a setting that a
    # running server takes, and of one that needs a restart.
    dynamic = static = None
    # A name that no server of this engine knows as a setting, with a value.
    unknown = ("no_such_setting", "1")
    # Options of the datastore's group that an operator of this version sets: {name: value}.
    options: typing.ClassVar = {}
    # The class that takes increments on the default backup, or None.
    increments = None

    def __init__(self, version):
        self.version = version

    def __str__(self):
        return str(self.version)

    @property
    def datastore(self):
        """The name of the datastore, which is that of its manager."""
        return self.version.datastore

    @property
    def traits(self):
        """The traits of the card."""
        return cfg.traits(self.datastore)

    @property
    def manager_class(self):
        """The class that the card names."""
        return strategy.load(self.traits.manager)

    @property
    def probe_class(self):
        """The class of its probe."""
        return probes.of(self.datastore)

    @abc.abstractmethod
    def programs(self):
        """Return a context manager in which the agent's code finds the programs of this version.

        Raises SetupError or RuntimeError with the reason when they cannot be had.
        """

    @abc.abstractmethod
    def layout(self, root):
        """Return the Layout of a guest below a directory that the server's user may enter. Make what images have."""

    @abc.abstractmethod
    def contents(self, guest, text):
        """Return the rendered configuration file with the paths of a guest and its port on 127.0.0.1.

        guest: ``tests.guests.Guest``; what is written need not survive a power cut.
        """

    @abc.abstractmethod
    def shown(self, app, name):
        """Return the text of a setting in the running server. app: the agent's Server."""

    @abc.abstractmethod
    def known(self, app):
        """Return the names of all settings that the running server has. app: the agent's Server."""

    def options_of(self, guest):
        """Return the options of the datastore's group in a guest: {name: value}."""
        return self.options

    def log(self, guest):
        """Return the text of the server's own log."""
        path = guest.layout.log_file
        return path.read_text(errors="replace") if path.exists() else f"there is no {path}"

    def leftovers(self, guest):
        """Return the files that backups and restores of the engine have left in a guest and should not have."""
        return []

    def login(self, machine):
        """Return (user, password, database) with which a client of the tenant logs in.

        machine: ``tests.guests.Machine``, prepared. Where there are no users root is let in.
        """
        if self.traits.users:
            return guests.USER, guests.PASSWORD, guests.DATABASE
        return None, machine.call("enable_root")["_password"], None

    def make_template(self, guest, directory):
        """Make a data directory as images have it. guest: a ``tests.guests.Guest`` for this alone."""
        app = guest.manager().app
        app.write_configuration(guest.contents(), {})
        app.prepare_data()
        guests.copy_data(app, directory)

    def kill(self, app):
        """End the server as a power cut would, and return when it is gone."""
        guests.kill(app)
