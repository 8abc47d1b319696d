"""The probe of Redis: a hash, by redis-py."""
import shlex

import redis

from onebox.probes import base
from onebox.settings import write

_STORE = "probe"


class Probe(base.Probe):
    """See the base. Without a user it is the one that all clients share."""

    errors = (redis.exceptions.RedisError,)
    port = 6379
    program = "redis-server"
    has_users = speaks_tls = False
    language = "Redis commands"
    # The engine's own client, and the variable from which it takes a password.
    client, variable = "redis-cli", "REDISCLI_AUTH"
    _client = None

    def _connected(self):
        if self._client is None:
            way = {"unix_socket_path": self.host} if self.host.startswith("/") else {
                "host": self.host, "port": self.port, "socket_connect_timeout": self.connect_timeout}
            self._client = redis.Redis(
                **way, username=self.user, password=self.password, socket_timeout=self.answer_timeout,
                decode_responses=True, protocol=2, retry=None, single_connection_client=True)
        return self._client

    def close(self):
        """See the base."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def ask(self, *words):
        """Return the server's answer to a command, of its words. Raises redis.RedisError."""
        return self._connected().execute_command(*words)

    def hello(self):
        """See the base."""
        return self._connected().info("server")["redis_version"], self.ask("ACL", "WHOAMI")

    def clear(self):
        """See the base."""
        self._connected().delete(_STORE)

    def put(self, key, value):
        """See the base."""
        self._connected().hset(_STORE, key, value)

    def get(self, key):
        """See the base."""
        return self._connected().hget(_STORE, key)

    def keys(self):
        """See the base."""
        return {int(key) for key in self._connected().hkeys(_STORE)}

    def count(self):
        """See the base."""
        return self._connected().hlen(_STORE)

    def client_file(self, path, ca_file):
        """See the base. The client has no file of its own for a log-in: it is a script that sets its variable."""
        path = path.with_name(f"{path.name}.sh")
        write(path, f"export {self.variable}={shlex.quote(self.password)}\n"
                    f"exec {self.client} -h {shlex.quote(self.host)} -p {self.port} \"$@\"\n", mode=0o600)
        return path

    def command(self, client_file):
        """See the base."""
        return f"sh {shlex.quote(str(client_file))}"
