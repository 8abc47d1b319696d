"""RabbitMQ for one set-up: a node of its own in the cloud's network namespace, which speaks nothing but TLS.

Whoever connects shows a certificate of the set-up's CA, beside its password. Guests reach only AMQP at the gateway (the
cloud's firewall); the management API is for the host. The two accounts are written by definitions at each start; those
of guests are made by the task manager and kept in the node's database.
"""
import base64
import hashlib
import http.client
import json
import os
import ssl
import urllib.request

from onebox import certificates, processes
from onebox.settings import SetupError, secret, write

AMQP_PORT, MANAGEMENT_PORT = 5671, 15671
ADMINISTRATOR, CONTROL_PLANE = "management", "trove"
# Virtual hosts of the services, and of the guests: there services meet them.
SERVICES_HOST, GUESTS_HOST = "/", "guests"
START_TIMEOUT = 300  # seconds; it takes 5 on a quiet machine
SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"  # the wrapper in /usr/sbin would insist on the packaged directories


def management_url(settings):
    """Root of the management API, for the host."""
    return f"https://{settings.gateway}:{MANAGEMENT_PORT}"


def transport_url(settings):
    """The transport_url of the control plane."""
    return f"rabbit://{CONTROL_PLANE}:{secret(settings, CONTROL_PLANE)}@{settings.gateway}:{AMQP_PORT}/"


def begin(settings, memory="512MB"):
    """Start the node unless it answers; it takes seconds until it does. The namespace must exist.

    memory: at which the node takes no more messages, as in rabbitmq.conf.
    """
    certificates.ensure(settings)
    if answers(settings):
        return
    processes.stop(settings, "rabbitmq")
    directory = settings.state / "rabbitmq"
    _configure(settings, directory, memory)
    processes.start(settings, "rabbitmq", ["nsenter", f"--net=/run/netns/{settings.netns}", SERVER], {
        "HOME": str(directory),
        "RABBITMQ_NODENAME": "trove@localhost",
        "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
        "RABBITMQ_CONF_ENV_FILE": str(directory / "none"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(directory / "none"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(directory / "data"),
        "RABBITMQ_LOG_BASE": str(directory / "log"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_DIST_PORT": "25672",
        # The node talks to itself only; and two small cores have better things to do than busy waiting.
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS":
            "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none",
        "ERL_EPMD_ADDRESS": "127.0.0.1",
    })


def wait_ready(settings):
    """Return when both accounts can be used. Raises SetupError when the node does not start."""
    ready = processes.wait(
        lambda: answers(settings) or not processes.running(settings, "rabbitmq"), START_TIMEOUT, pause=0.2)
    if not ready or not answers(settings):
        raise SetupError(f"RabbitMQ did not start; see {settings.logs / 'rabbitmq.log'}")


def stop(settings):
    """End the node and its port mapper."""
    processes.stop(settings, "rabbitmq")


def answers(settings):
    """Whether the node serves AMQP and the management API as the administrator."""
    try:
        request(settings, "GET", f"/api/health/checks/port-listener/{AMQP_PORT}")
    except (OSError, http.client.HTTPException):
        return False
    return True


def request(settings, method, path, content=None, timeout=5):
    """One call of the management API as its administrator; returns the decoded body. Raises OSError.

    content: what is sent as JSON, None for nothing.
    """
    sent = None if content is None else json.dumps(content).encode()
    call = urllib.request.Request(management_url(settings) + path, sent, {"Content-Type": "application/json"},
                                  method=method)
    password = secret(settings, ADMINISTRATOR)
    call.add_header("Authorization", "Basic " + base64.b64encode(f"{ADMINISTRATOR}:{password}".encode()).decode())
    verifying = ssl.create_default_context(cafile=certificates.ca_file(settings))
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=verifying))
    with opener.open(call, timeout=timeout) as answer:
        body = answer.read()
    return json.loads(body) if body else None


def _configure(settings, directory, memory):
    directory.mkdir(parents=True, exist_ok=True)
    cookie = directory / ".erlang.cookie"
    if not cookie.exists():
        write(cookie, secret(settings, "erlang_cookie"), mode=0o400)
    write(directory / "enabled_plugins", "[rabbitmq_management].\n")
    write(directory / "definitions.json", json.dumps(definitions(settings)), mode=0o600)
    write(directory / "rabbitmq.conf", "\n".join((
        "listeners.tcp = none",
        f"listeners.ssl.1 = {settings.gateway}:{AMQP_PORT}",
        *tls("ssl_options", settings),
        "ssl_options.verify = verify_peer",
        "ssl_options.fail_if_no_peer_cert = true",
        f"management.ssl.ip = {settings.gateway}",
        f"management.ssl.port = {MANAGEMENT_PORT}",
        *tls("management.ssl", settings),
        "management.rates_mode = none",
        f"load_definitions = {directory / 'definitions.json'}",
        f"vm_memory_high_watermark.absolute = {memory}",
        "disk_free_limit.absolute = 50MB",
        "max_message_size = 16777216",
        "log.console = true",
        "log.console.level = info",
        "")))


def tls(prefix, settings):
    """The lines of rabbitmq.conf that give a listener its certificate."""
    own = certificates.broker_file(settings)
    return (f"{prefix}.cacertfile = {certificates.ca_file(settings)}", f"{prefix}.certfile = {own}",
            f"{prefix}.keyfile = {own}", f"{prefix}.versions.1 = tlsv1.3", f"{prefix}.versions.2 = tlsv1.2")


def definitions(settings):
    """The two virtual hosts and the two accounts, as the node imports them at its start."""
    users = ((ADMINISTRATOR, ["administrator"]), (CONTROL_PLANE, []))
    return {
        "vhosts": [{"name": name} for name in (SERVICES_HOST, GUESTS_HOST)],
        "users": [{"name": name, "password_hash": password_hash(secret(settings, name)), "tags": tags,
                   "hashing_algorithm": "rabbit_password_hashing_sha256"} for name, tags in users],
        "permissions": [{"user": name, "vhost": host, "configure": ".*", "write": ".*", "read": ".*"}
                        for name, _ in users for host in (SERVICES_HOST, GUESTS_HOST)],
    }


def password_hash(password):
    """A password as RabbitMQ stores it: base64 of four bytes of salt and the SHA-256 of salt and password."""
    salt = os.urandom(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()
