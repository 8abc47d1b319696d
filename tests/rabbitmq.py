"""A real RabbitMQ node for tests: private (own name, ports, epmd, directory), gone with the test.

Needs Debian's rabbitmq-server, of which nothing but the programs is used.
"""
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import kombu
import requests

from tests import waiting

ADMIN, PASSWORD = "trove-tests", "a password for tests"


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class RabbitMQ:
    """One node: ``transport_url``, ``address`` (host:port), ``management_url``; ``start`` first, ``stop`` last.

    tls: directory with ca.pem and broker.pem, for a node that speaks only TLS and wants certificates; None for plain.
    """

    def __init__(self, tls=None):
        self._processes = []
        self.directory = None
        self._tls = tls
        self.verify = str(tls / "ca.pem") if tls else True

    def start(self):
        """Start it and wait until its management API answers. Raises RuntimeError with the end of its log."""
        programs = sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin/rabbitmq-server"))
        if not programs:
            raise RuntimeError("rabbitmq-server is not installed; these tests need the Debian package of that name")
        self.directory = Path(tempfile.mkdtemp(prefix="trove-test-rabbitmq-"))
        amqp, management, epmd, self._dist = (_free_port() for _ in range(4))
        self.address = f"127.0.0.1:{amqp}"
        self.management_url = f"http{'s' if self._tls else ''}://127.0.0.1:{management}"
        self.transport_url = f"rabbit://{ADMIN}:{PASSWORD.replace(' ', '%20')}@{self.address}//"
        (self.directory / "rabbitmq.conf").write_text(
            self._listeners(amqp, management) +
            f"default_user = {ADMIN}\ndefault_pass = {PASSWORD}\nvm_memory_high_watermark.absolute = 500MB\n"
            "disk_free_limit.absolute = 10MB\n")
        (self.directory / "enabled_plugins").write_text("[rabbitmq_management].\n")
        self._environment = {
            "PATH": os.environ["PATH"], "HOME": str(self.directory), "ERL_EPMD_PORT": str(epmd),
            "ERL_EPMD_ADDRESS": "127.0.0.1", "RABBITMQ_NODENAME": f"trove-test-{os.getpid()}-{amqp}@localhost",
            "RABBITMQ_DIST_PORT": str(self._dist), "RABBITMQ_MNESIA_BASE": str(self.directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.directory / "log"),
            "RABBITMQ_CONFIG_FILE": str(self.directory / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(self.directory / "none"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.directory / "enabled_plugins"),
            "RABBITMQ_PID_FILE": str(self.directory / "pid"), "LANG": "C.UTF-8"}
        if os.geteuid() == 0:
            for path in (self.directory, *self.directory.glob("*.pem")):
                shutil.chown(path, "nobody", "nogroup")
        try:
            self._spawn("epmd", "-port", str(epmd), "-address", "127.0.0.1")
            self.start_node(str(programs[-1]))
        except BaseException:
            self.stop()
            raise
        return self

    def _listeners(self, amqp, management):
        if not self._tls:
            return (f"listeners.tcp.1 = 127.0.0.1:{amqp}\nmanagement.tcp.ip = 127.0.0.1\n"
                    f"management.tcp.port = {management}\n")
        for name in ("ca.pem", "broker.pem"):
            shutil.copy(self._tls / name, self.directory)
        files = {"cacertfile": self.directory / "ca.pem", "certfile": self.directory / "broker.pem",
                 "keyfile": self.directory / "broker.pem", "versions.1": "tlsv1.3", "versions.2": "tlsv1.2"}
        return (f"listeners.tcp = none\nlisteners.ssl.1 = 127.0.0.1:{amqp}\nmanagement.ssl.ip = 127.0.0.1\n"
                f"management.ssl.port = {management}\n"
                "ssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true\n"
                + "".join(f"{prefix}.{name} = {value}\n" for prefix in ("ssl_options", "management.ssl")
                          for name, value in files.items()))

    def start_node(self, program=None):
        """Start the broker itself (again), with what it keeps on disk."""
        self._program = program or self._program
        self._spawn(self._program)

        def log():
            return (self.directory / "output").read_text(errors="replace")[-2000:]

        def answers():
            try:
                requests.get(f"{self.management_url}/api/overview", auth=(ADMIN, PASSWORD), timeout=60,
                             verify=self.verify).raise_for_status()
            except requests.RequestException as error:
                if self._processes[-1].poll() is not None:
                    raise RuntimeError(f"RabbitMQ did not start: {error}\n{log()}") from error
                return False
            return True
        waiting.wait_until(answers, pause=0.1, explain=log)

    def kill_node(self):
        """End the broker as a power cut would."""
        process = self._processes.pop()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def stop(self):
        """End it and remove its directory."""
        while self._processes:
            self.kill_node()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _spawn(self, *command):
        user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"] if os.geteuid() == 0 else []
        with open(self.directory / "output", "ab") as output:
            self._processes.append(subprocess.Popen(
                [*user, "setpriv", "--pdeathsig", "TERM", "--", *command], cwd=self.directory, env=self._environment,
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True))


def messages(node, count):
    """So many notifications from the queue that consumers read."""
    found = []
    with (kombu.Connection(node.transport_url.replace("rabbit://", "pyamqp://")) as connection,
          connection.SimpleQueue(kombu.Queue("notifications.info", durable=False)) as queue):
        while len(found) < count:
            message = queue.get(timeout=waiting.PATIENCE * waiting.MOST)
            found.append(json.loads(json.loads(message.body)["oslo.message"]))
            message.ack()
    return found
