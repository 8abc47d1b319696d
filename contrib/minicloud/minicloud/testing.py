"""FakeCloud: a whole cloud without root, inside the calling process, for tests of programs that use a cloud."""

import socket

from minicloud import config as configuration
from minicloud.api.app import Server


class FakeCloud:
    """``with FakeCloud(directory) as cloud:`` serves real HTTP on 127.0.0.1 with guests that exist in memory only.

    base_url        where it answers; Keystone is at ``{base_url}/identity/v3``
    admin_password  of the user ``admin`` in the project ``admin``, domain Default
    host            the FakeHost: set ``on_call``, let guests ``crash`` ...
    wait_idle()     returns when no operation is queued or running
    restart()       as after the death of the service: what was accepted is continued
    """

    def __init__(self, state_dir, **fields):
        """:param fields: further fields of minicloud.config.Config; ``port`` is a free one unless given."""
        self._config = configuration.Config(state_dir=state_dir, driver="fake", **{"port": free_port(), **fields})
        self._server = None
        self.host = None

    @property
    def base_url(self):
        """The URL of the service."""
        return self._config.base_url

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
    """A TCP port on 127.0.0.1 that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
