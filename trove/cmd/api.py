"""trove-api: serves the paste pipeline with gunicorn (processes of threads); also a factory for other WSGI servers.

The pipeline is built once, before the workers are forked from it, so that a mistake in it stops the start and the
memory is shared. Nothing that a fork would break (connections, threads) exists by then.
"""
import contextlib
import gc
import logging
import multiprocessing
import socket
import struct
from pathlib import Path

from gunicorn import glogging
from gunicorn.app.base import BaseApplication
from gunicorn.workers.gthread import ThreadWorker
from paste import deploy

from trove.cmd import common
from trove.common import cfg, profile, wsgi
from trove.common.cfg import CONF
from trove.common.context import TroveContext
from trove.common.fault import REQUEST_ID_HEADER
from trove.db import get_db_api
from trove.extensions.common.service import DefaultRootController
from trove.quota import quota

CONFIG_FILE = "/etc/trove/trove.conf"
SECRETS = ("operation_key", "nova_proxy_admin_pass")
# Seconds that an idle connection is kept: longer than the usual 60 of load balancers, which then close first.
_KEEPALIVE = 75


def build_application():
    """The WSGI application of the paste file, from the options as they are.

    Raises SystemExit with a sentence for a paste file that is not there, for a placeholder secret and for an option
    that names a class that cannot be used, ValueError for a pipeline that cannot work.
    """
    common.check_paths(
        (CONF.quota_driver, quota.QuotaDriver, "quota_driver"), *common.factories("nova", "guest"),
        *((CONF[datastore.GROUP].root_controller, DefaultRootController, f"[{datastore.GROUP}] root_controller")
          for datastore in cfg.DATASTORES if CONF[datastore.GROUP].root_controller))
    common.check_swift_user()
    common.configure_database()
    path = CONF.find_file(CONF.api_paste_config)
    if path is None:
        raise SystemExit(f"Cannot start: [DEFAULT] api_paste_config is {CONF.api_paste_config}; there is no such file "
                         "next to the configuration file or in /etc/trove.")
    application = deploy.loadapp(f"config:{Path(path).resolve()}", name="trove")
    # The token filter has registered the options of its service user by now, if the file names that filter.
    if "keystone_authtoken" in CONF and "password" in CONF.keystone_authtoken:
        cfg.require_secret("keystone_authtoken.password")
    return application


def init_application(config_file=CONFIG_FILE):
    """The application for another WSGI server, which calls this once in each of its processes.

    config_file: path of trove.conf. Raises as ``build_application`` does.
    """
    common.read_configuration(config_file, argv=[], secrets=SECRETS)
    profile.setup("api", CONF.host)
    return build_application()


class _Logger(glogging.Logger):
    """gunicorn's own messages go where the service's do; the pipeline itself logs the requests."""

    def setup(self, cfg):
        """Let oslo.log's handlers have the messages instead of handlers of gunicorn's own."""
        self.cfg = cfg
        self._access_log_enabled = False
        self.error_log.handlers.clear()
        self.error_log.propagate = True
        self.error_log.setLevel(logging.NOTSET)


class _Overheard:
    """A client's socket to which nothing is sent: what would have been is kept."""

    def __init__(self, client):
        self._client = client
        self.sent = b""

    def __getattr__(self, name):
        return getattr(self._client, name)

    def sendall(self, content):
        self.sent += content


class _Worker(ThreadWorker):
    """A worker with threads. What is no HTTP never reaches the pipeline, and is answered in its manner here."""

    def handle_error(self, req, client, addr, exc):
        """Let gunicorn log the error and choose the status; answer with a body of ours."""
        told, request_id = _Overheard(client), TroveContext().request_id
        super().handle_error(req, told, addr, exc)
        if not told.sent:
            return
        status = int(told.sent.split(b" ", 2)[1])
        if status >= 500:
            answer = wsgi.fault_response(status, "The request cannot be served.", request_id=request_id)
        else:  # the contract knows no finer codes for what is no request
            answer = wsgi.fault_response(400, f"The request is not valid HTTP: {str(exc)[:200] or type(exc).__name__}.",
                                         request_id=request_id)
        head = [f"HTTP/1.1 {answer.status}", "Connection: close", f"{REQUEST_ID_HEADER}: {request_id}",
                *(f"{name}: {value}" for name, value in answer.headerlist)]
        with contextlib.suppress(OSError):  # who asks like that may have gone
            client.sendall("\r\n".join([*head, "", ""]).encode("latin-1") + answer.body)


class Server(BaseApplication):
    """gunicorn without its command line, configuration file and environment variables."""

    def __init__(self, application):
        self._application = application
        super().__init__(prog="trove-api")

    def load_config(self):
        """The settings, from our options."""
        host = f"[{CONF.bind_host}]" if ":" in CONF.bind_host else CONF.bind_host
        settings = {
            "bind": f"{host}:{CONF.bind_port}",
            "backlog": CONF.backlog,
            "workers": CONF.trove_api_workers or multiprocessing.cpu_count(),
            "worker_class": _Worker,
            "threads": CONF.trove_api_threads,
            "preload_app": True,
            "graceful_timeout": CONF.trove_api_drain_timeout,
            "keepalive": _KEEPALIVE,
            "limit_request_line": 8190,
            "limit_request_field_size": CONF.max_header_line,
            # A proxy's word on the scheme is the proxyheaders filter's business, where an option switches it on.
            "forwarded_allow_ips": "",
            "proc_name": "trove-api",
            "logger_class": _Logger,
            "control_socket_disable": True,
            "when_ready": _set_up_sockets,
            "post_fork": _after_fork,
        }
        if Path("/dev/shm").is_dir():  # noqa: S108 - workers touch a file there; a slow disk would look like a hang
            settings["worker_tmp_dir"] = "/dev/shm"  # noqa: S108
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self):
        """The application that was built before."""
        return self._application


def _set_up_sockets(server):
    # Accepted connections inherit these from the listening socket. Without the timeouts of the kernel a client that
    # stops in the middle of a header, token or not, holds a thread for ever.
    patience = struct.pack("ll", CONF.client_socket_timeout, 0)
    for listener in server.LISTENERS:
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, patience)
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, patience)
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        listener.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, CONF.tcp_keepidle)


def _after_fork(_server, _worker):
    profile.setup("api", CONF.host)


def main():
    """Entry point of the console script."""
    common.read_configuration(CONFIG_FILE, secrets=SECRETS)
    try:
        application = build_application()
    except ValueError as error:
        raise SystemExit(f"Cannot start: {error}.") from error
    get_db_api().dispose()
    # What the pipeline consists of lives as long as the process: the collector need not walk through it while requests
    # wait (some 40 ms each time), nor copy its pages into each worker.
    gc.collect()
    gc.freeze()
    Server(application).run()
