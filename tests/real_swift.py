"""A real Swift for tests: proxy, account, container and object server as processes of their own on one loopback device.

Swift comes from PyPI into an environment of its own in the cache. The proxy checks tokens with the Keystone of
minicloud; each server can be stopped and started again, as if its machines had gone away.
"""
import contextlib
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
from pathlib import Path

import requests
from onebox import venv
from onebox.settings import locate

from tests import waiting

REQUIREMENTS = ("swift==2.38.3", "keystonemiddleware==13.0.1", "pyeclib==1.8.0", "eventlet==0.41.3", "xattr==1.3.0",
                "setuptools<81")
TOOL_TIMEOUT = 600  # seconds for a program that takes a few
STORES = ("account", "container", "object")
# Swift reads /etc/swift/swift.conf unless it is told another directory before anything else of it is imported.
_PROGRAM = """
import sys
directory, name = sys.argv[1:]
from swift.common import utils
utils.set_swift_dir(directory)
from swift.common.wsgi import run_wsgi
sys.exit(run_wsgi(f"{directory}/{name}.conf", f"{name}-server", verbose=True))
"""
_UPDATERS = """
import sys
directory, name = sys.argv[1:]
from swift.common import daemon, utils
utils.set_swift_dir(directory)
from importlib import import_module
package = {"object": "obj"}.get(name, name)
updater = getattr(import_module(f"swift.{package}.updater"), f"{name.capitalize()}Updater")
daemon.run_daemon(updater, f"{directory}/{name}.conf", once=True)
"""
_RINGS = """
import sys
from swift.common.ring import RingBuilder
directory, address, *ports = sys.argv[1:]
for name, port in zip(("account", "container", "object"), ports):
    builder = RingBuilder(4, 1, 0)
    builder.add_dev({"region": 1, "zone": 1, "ip": address, "port": int(port), "device": "disk", "weight": 1.0})
    builder.rebalance()
    builder.get_ring().save(f"{directory}/{name}.ring.gz")
"""
_STORE = """[DEFAULT]
bind_ip = {address}
bind_port = {port}
workers = 0
user = {user}
recon_cache_path = {directory}
devices = {directory}/devices
mount_check = false
swift_dir = {directory}
[pipeline:main]
pipeline = {name}-server
[app:{name}-server]
use = egg:swift#{name}
conn_timeout = 0.5
node_timeout = 2
[{name}-updater]
concurrency = 1
slowdown = 0
account_suppression_time = 0
"""
_PROXY = """[DEFAULT]
bind_ip = {address}
bind_port = {port}
workers = 0
user = {user}
swift_dir = {directory}
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck listing_formats {filters} copy slo dlo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
node_timeout = 2
conn_timeout = 0.5
error_suppression_interval = 0.1
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:tempurl]
use = egg:swift#tempurl
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
www_authenticate_uri = {auth_url}
auth_url = {auth_url}
auth_type = password
username = {username}
password = {password}
project_name = {project}
user_domain_name = Default
project_domain_name = Default
delay_auth_decision = true
service_token_roles_required = true
[filter:keystoneauth]
use = egg:swift#keystoneauth
operator_roles = admin, member
"""


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class RealSwift:
    """One Swift: ``url`` is that of the proxy; ``start`` before use, ``stop`` at the end.

    auth_url: of Keystone (ends in /v3); user, password, project: an administrator who validates tokens; address: where
    all servers listen; without: filters of the proxy that are left out (bulk, tempurl); prefix: words before each
    server's command, such as nsenter's.
    """

    def __init__(self, auth_url, user, password, project, address="127.0.0.1", without=(), prefix=()):
        self._ports = {name: _free_port() for name in (*STORES, "proxy")}
        self.url = f"http://{address}:{self._ports['proxy']}"
        self._values = {"auth_url": auth_url.removesuffix("/v3"), "username": user, "password": password,
                        "project": project, "address": address}
        self._without, self._prefix = without, prefix
        self._processes = {}
        self.directory = None

    def start(self):
        """Start the four servers and wait until the proxy answers. Raises RuntimeError with the end of its log."""
        self._python = venv.client(locate()[1], "swift", REQUIREMENTS) / "bin/python"
        self.directory = Path(tempfile.mkdtemp(prefix="trove-test-swift-"))
        (self.directory / "devices/disk").mkdir(parents=True)
        (self.directory / "swift.conf").write_text(
            "[swift-hash]\nswift_hash_path_prefix = tests\nswift_hash_path_suffix = tests\n")
        self._run(_RINGS, self._values["address"], *(str(self._ports[name]) for name in STORES))
        common = {"directory": self.directory, "user": "root" if os.geteuid() == 0 else os.environ["USER"]}
        for name in STORES:
            self._write(name, _STORE.format(
                name=name, port=self._ports[name], address=self._values["address"], **common))
        kept = [name for name in ("bulk", "tempurl", "authtoken", "keystoneauth") if name not in self._without]
        self._write("proxy", _PROXY.format(
            port=self._ports["proxy"], filters=" ".join(kept), **common, **self._values))
        for name in (*STORES, "proxy"):
            self.resume(name)
        return self

    def _write(self, name, text):
        path = self.directory / f"{name}.conf"
        path.write_text(text)
        path.chmod(0o600)

    def _run(self, program, *arguments):
        done = subprocess.run([*self._prefix, self._python, "-c", program, self.directory, *arguments], text=True,
                              timeout=TOOL_TIMEOUT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            raise RuntimeError(f"a program of Swift failed: {done.stdout[-2000:]}")

    def suspend(self, name):
        """End one server: account, container, object or proxy. What it has stored stays."""
        process = self._processes.pop(name)
        process.send_signal(signal.SIGTERM)
        try:
            waiting.end_of(process, 10)
        except AssertionError:
            process.kill()
            process.wait()

    def resume(self, name):
        """Start one server and wait until it answers."""
        with (self.directory / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [*self._prefix, self._python, "-c", _PROGRAM, self.directory, name], stdout=log, stderr=log)
        host = self._values["address"]
        path = "healthcheck" if name == "proxy" else "recon/version"

        def log():
            return (self.directory / f"{name}.log").read_text()[-2000:]

        def answers():
            with contextlib.suppress(requests.ConnectionError):
                requests.get(f"http://{host}:{self._ports[name]}/{path}", timeout=60)
                return True
            if self._processes[name].poll() is not None:
                raise RuntimeError(f"Swift's {name} server does not start: {log()}")
            return False
        waiting.wait_until(answers, pause=0.1, explain=log)

    @contextlib.contextmanager
    def away(self, *names):
        """Within it, these servers do not run."""
        for name in names:
            self.suspend(name)
        try:
            yield
        finally:
            for name in names:
                self.resume(name)

    def catch_up(self):
        """Let the listings of containers and accounts have what was written while their servers were away."""
        self._run(_UPDATERS, "object")
        self._run(_UPDATERS, "container")

    def forget_listed(self, container):
        """Take all rows out of the listing of a container, as if the object server's updates had not come yet."""
        for path in self.directory.glob("devices/disk/containers/**/*.db"):
            with contextlib.closing(sqlite3.connect(path)) as database, database:
                [(name,)] = database.execute("SELECT container FROM container_info")
                if name == container:
                    # A function of Swift's triggers that only its own connections have; its result is not needed.
                    database.create_function("chexor", 3, lambda old, name, timestamp: old)
                    database.execute("DELETE FROM object")
                    path.with_suffix(".db.pending").unlink(missing_ok=True)

    def stored(self):
        """Return how many object files lie on the device."""
        return len(list(self.directory.glob("devices/disk/objects/**/*.data")))

    def stop(self):
        """End all servers and remove what they have stored."""
        for name in list(self._processes):
            self.suspend(name)
        if self.directory:
            shutil.rmtree(self.directory, ignore_errors=True)
