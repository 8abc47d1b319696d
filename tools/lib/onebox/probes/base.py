"""What a probe of a datastore offers."""
import abc
import contextlib
import time

from onebox.settings import SetupError


class Probe(abc.ABC):
    """One client of a database server, as a context manager; it connects at first use, and again after ``close``.

    host: an address, or the absolute path of a Unix socket (for some engines of its directory); port: None for the
    engine's own; user, password, database: of the log-in, None where there is none; connect_timeout, answer_timeout:
    seconds.
    """

    # What the driver raises when the server cannot be reached, or refuses.
    errors = ()
    # The TCP port at which clients connect.
    port = None
    # Name of the server's program, as the kernel tells it of its processes.
    program = None
    # Whether instances have databases and users. If not, a client logs in with the password of root.
    has_users = True
    # Whether the server speaks TLS at that port.
    speaks_tls = True
    # Beginning of the line that is printed for people: the client's language.
    language = "SQL"

    def __init__(self, host, user=None, password=None, database=None, *, port=None, connect_timeout=5,
                 answer_timeout=10):
        self.host, self.user, self.password, self.database = host, user, password, database
        self.port = port or self.port
        self.connect_timeout, self.answer_timeout = connect_timeout, answer_timeout

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.close()

    @abc.abstractmethod
    def close(self):
        """End the connection, if there is one."""

    @abc.abstractmethod
    def hello(self):
        """Return (the server's version, the account as the server names it). Raises ``errors``."""

    @abc.abstractmethod
    def clear(self):
        """Make the store if need be, and empty it. Raises ``errors``."""

    @abc.abstractmethod
    def put(self, key, value):
        """Store a text under a whole number and return when the server has acknowledged it. Raises ``errors``."""

    @abc.abstractmethod
    def get(self, key):
        """Return the text under a number, or None. Raises ``errors``."""

    @abc.abstractmethod
    def keys(self):
        """Return the set of the numbers in the store. Raises ``errors``."""

    def count(self):
        """Return how many numbers are in the store. Raises ``errors``."""
        return len(self.keys())

    @abc.abstractmethod
    def client_file(self, path, ca_file):
        """Write a file that keeps the log-in for the engine's own client (0600, no secret on a command line).

        path: its path without a suffix; ca_file: authority that verifies the server. Returns its path.
        """

    @abc.abstractmethod
    def command(self, client_file):
        """Return the command line of the engine's own client with that file, quoted for a shell."""

    def wait(self, timeout=30):
        """Say hello until the server answers. Returns (version, account, seconds it took). Raises SetupError."""
        begun = time.monotonic()
        while True:
            try:
                return (*self.hello(), time.monotonic() - begun)
            except self.errors as error:
                with contextlib.suppress(self.errors):
                    self.close()
                if time.monotonic() - begun > timeout:
                    raise SetupError(
                        f"No answer of {self.host} to {self.user or 'a client'} within {timeout} s: {error}. "
                        "If the machine was started again since, begin anew: tools/quickstart --down") from None
                time.sleep(0.02)
