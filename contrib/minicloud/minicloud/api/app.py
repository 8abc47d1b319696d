"""The HTTP process: serves each facade on a port of its own, and starts what was left unfinished.

Runs as ``python -m minicloud.api.app --state DIR``; the class Server serves inside another program.
"""

import argparse
import ctypes
import logging
import os
import signal
import threading

import cheroot.wsgi

from minicloud import config as configuration
from minicloud.api import boot, images, servers, volumes
from minicloud.api.cloud import Cloud
from minicloud.api.compute import Compute
from minicloud.api.identity import Identity
from minicloud.api.image import Image
from minicloud.api.network import Network
from minicloud.api.object_store import INFO, ObjectStore
from minicloud.api.volume import Volume
from minicloud.api.web import Dispatcher, Route, Service
from minicloud.host.client import HostClient
from minicloud.host.fake import FakeHost
from minicloud.store import Store

LOG = logging.getLogger(__name__)
CLONE_NEWNET = 0x40000000
THREADS = 12  # of each service
SOCKET_TIMEOUT_SECONDS = 120  # of silence, after which a peer is given up
HOST_PATIENCE_SECONDS = 20  # for which operations wait for a root helper that is being started again
STORE_FILE = "minicloud.sqlite"


class Root(Service):
    """Answer the paths of a port that are not its service's."""

    def __init__(self, cloud, service):
        self._service = service
        super().__init__(cloud)

    def routes(self):
        """GET / says that the cloud is there."""
        info = [Route("GET", "/info", self.info, public=True)] if self._service == "object-store" else []
        return [Route("GET", "/", self.index, public=True), *info]

    def info(self, request):
        """What Swift's client looks for at the root of the host."""
        return INFO

    def index(self, request):
        """The services' addresses."""
        return {"minicloud": {service: self.cloud.config.url(service) for service in configuration.SERVICES}}


def build_cloud(config, host, store, admin_password):
    """What all facades share, with everything in the store that exists from the beginning; no operation runs yet."""
    cloud = Cloud(config, host, store)
    servers.register(cloud)
    volumes.register(cloud)
    boot.ensure(cloud, admin_password)
    images.recover(cloud)
    return cloud


def build_apps(cloud):
    """The WSGI applications of a cloud: {service: application}. None of them answers for another."""
    facades = (Identity, Compute, Volume, Image, Network, ObjectStore)
    return {
        service: Dispatcher([facade(cloud)], Root(cloud, service))
        for service, facade in zip(configuration.SERVICES, facades, strict=True)
    }


class Server:
    """A running service: ``start`` returns when it answers, ``stop`` when it has ended."""

    def __init__(self, config, host=None):
        """:param host: the object with the host's verbs; by default what ``config.driver`` says."""
        self.config = config
        config.state_dir.mkdir(parents=True, exist_ok=True)
        admin_password = configuration.ensure_secrets(config)["admin_password"]
        real = config.driver == "host"
        self.host = host or (HostClient(config, patience=HOST_PATIENCE_SECONDS) if real else FakeHost(config))
        self.store = Store(config.state_dir / STORE_FILE)
        self.cloud = build_cloud(config, self.host, self.store, admin_password)
        self._servers = [self._http(service, app) for service, app in build_apps(self.cloud).items()]
        self._threads = [
            threading.Thread(target=server.serve, name=f"http {service}", daemon=True)
            for service, server in zip(configuration.SERVICES, self._servers, strict=True)
        ]

    def _http(self, service, app):
        server = cheroot.wsgi.Server(
            (self.config.listen_address, self.config.service_port(service)),
            app,
            numthreads=THREADS,
            request_queue_size=256,
            timeout=SOCKET_TIMEOUT_SECONDS,
            shutdown_timeout=1,
        )
        server.error_log = lambda message="", level=20, traceback=False: LOG.log(
            level, "%s", message, exc_info=traceback
        )
        return server

    def start(self):
        """Bind, take up unfinished operations, serve in the background. :raises OSError: when the port is taken."""
        for server in self._servers:
            server.prepare()
        self.cloud.jobs.start()
        for thread in self._threads:
            thread.start()

    def stop(self):
        """End it; operations that wait are taken up at the next start."""
        for server in self._servers:
            server.stop()
        for thread in self._threads:
            thread.join(timeout=10)
        self.cloud.jobs.stop()
        self.store.close()


def enter_network(config):
    """Put this thread, and those it will start, into the cloud's network namespace. :raises OSError:"""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(config.netns_path, "rb") as namespace:
        if libc.setns(namespace.fileno(), CLONE_NEWNET):
            error = ctypes.get_errno()
            raise OSError(error, f"cannot enter {config.netns_path}: {os.strerror(error)}")


def serve(config):
    """Serve until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    if config.driver == "host":
        enter_network(config)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    server = Server(config)
    server.start()
    LOG.info("serving at %s", config.base_url)
    ended.wait()
    server.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="minicloud-api", description=__doc__)
    parser.add_argument("--state", required=True, help="state directory of the cloud")
    serve(configuration.load(parser.parse_args().state))
