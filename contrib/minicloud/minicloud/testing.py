"""FakeCloud: a whole cloud without root, inside the calling process, for tests of programs that use a cloud."""

import contextlib
import secrets
import socket

from minicloud import config as configuration
from minicloud.api.app import Server


class FakeCloud:
    """``with FakeCloud(directory) as cloud:`` serves real HTTP on 127.0.0.1 with guests that exist in memory only.

    base_url        where Keystone answers: at ``{base_url}/identity/v3``
    url(service)    the URL of one of minicloud.config.SERVICES; each has a port of its own
    admin_password  of the user ``admin`` in the project ``admin``, domain Default
    host            the FakeHost: set ``on_call``, let guests ``crash`` ...
    wait_idle()     returns when no operation is queued or running
    restart()       as after the death of the service: what was accepted is continued
    """

    def __init__(self, state_dir, **fields):
        """:param fields: further fields of minicloud.config.Config; ``port`` begins free ones unless given."""
        self._config = configuration.Config(state_dir=state_dir, driver="fake", **{"port": free_port(), **fields})
        self._server = None
        self.host = None

    @property
    def base_url(self):
        """The URL of Keystone without its path."""
        return self._config.base_url

    def url(self, service):
        """The URL of a service with its path."""
        return self._config.url(service)

    @property
    def admin_password(self):
        """The administrator's password."""
        return configuration.load_secrets(self._config)["admin_password"]

    @property
    def cloud(self):
        """The running minicloud.api.cloud.Cloud."""
        return self._server.cloud

    def start(self):
        """Start serving."""
        self._server = Server(self._config, self.host)
        self.host = self._server.host
        self._server.start()
        return self

    def stop(self):
        """Stop serving; the state directory and the fake guests stay."""
        self._server.stop()

    def restart(self):
        """Stop and start with the same state, guests and address."""
        self.stop()
        return self.start()

    def wait_idle(self, timeout=10):
        """Block until all accepted operations are done. :raises TimeoutError: after ``timeout`` seconds."""
        if not self._server.cloud.jobs.wait_idle(timeout):
            raise TimeoutError(f"operations still run after {timeout} s")

    def __enter__(self):
        return self.start()

    def __exit__(self, *error):
        self.stop()


def free_port():
    """The first of as many TCP ports on 127.0.0.1 as a cloud needs, which nobody has at this moment.

    They are not of the range from which the system gives ports to clients: none of them is taken before they are used.
    """
    while True:
        first = 10000 + secrets.randbelow(20000)
        with contextlib.ExitStack() as probes:
            try:
                for number in range(len(configuration.SERVICES)):
                    probes.enter_context(socket.socket()).bind(("127.0.0.1", first + number))
            except OSError:
                continue
        return first
