"""The guests of tools/bench fleet, some thousands of them in one process.

Each has a TLS connection of its own account, and reports with the agent's own code: its status, its signature and its
message are made as in a guest, by everything above the wire. What differs is below: this process sends without waiting
for the broker's word on each report, and a guest whose connection was lost connects again at its next report.

Reads one line of JSON from standard input, {"interval", "host", "port", "virtual_host", "ca_file", "own_file",
"guests": [{"id", "key", "account", "password"}]}, works until standard input ends, and prints a line of JSON each
second: {"connected", "sent", "failed", "late" (seconds by which the latest report was sent too late), "error"}.
"""
import heapq
import itertools
import json
import queue
import random
import resource
import selectors
import ssl
import sys
import threading
import time

import amqp
from amqp import transport as amqp_transport

from trove import rpc
from trove.cmd import guest as agent
from trove.common.cfg import CONF
from trove.common.instance import ServiceStatuses
from trove.conductor import api as conductor_api
from trove.guestagent.datastore import service

ERRORS = (OSError, amqp.AMQPError)
# Threads that connect; seconds for one connection; seconds between two heartbeats that the broker and its client agree
# on, as in a guest.
CONNECTORS, CONNECT_TIMEOUT, AMQP_HEARTBEAT = 4, 20, 60
# Seconds of the longest wait for the network; reports between two looks at it.
PAUSE, REPORTS = 0.05, 100


class Options:
    """The options of the agent's modules, where those that name the guest are the ones of the guest at work."""

    guest_id = guest_key = None

    def __getattr__(self, name):
        return getattr(CONF, name)


class Status(service.BaseDbStatus):
    """The status of a database server that runs."""

    def __init__(self):
        super().__init__()
        self._prepare_completed = True

    def get_actual_db_status(self):
        """Return that it runs."""
        return ServiceStatuses.RUNNING


class Guest:
    """One guest. ``due``: when its next report is to be sent, by the monotonic clock."""

    def __init__(self, facts, due):
        self.id, self.key = facts["id"], facts["key"]
        self.login = {"userid": facts["account"], "password": facts["password"], "login_method": "PLAIN"}
        self.status = Status()
        self.due = due
        self.connection = self.channel = self.sock = None
        self.connecting = False

    def connect(self, address):
        """Log in. address: keyword arguments of amqp.Connection. Raises ERRORS."""
        connection = amqp.Connection(**address, **self.login)
        try:
            connection.connect()
            channel = connection.channel()
            channel.confirm_select()
            # As the library does it before its first message.
            channel.exchange_declare(rpc.guests_exchange(), "topic", passive=True)
        except ERRORS:
            connection.collect()
            raise
        return connection, channel


class Driver(rpc.amqpdriver.AMQPDriverBase):
    """oslo.messaging's own way of making a message; it is written to the connection of the guest at work."""

    channel = None

    def _get_connection(self, purpose=None, retry=None):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        pass

    def topic_send(self, exchange_name, topic, msg, transport_options=None, **_options):
        """Publish as the library would."""
        message = amqp.Message(json.dumps(msg), content_type="application/json", content_encoding="utf-8",
                               delivery_mode=1 if transport_options is rpc.NOT_KEPT else 2, priority=0)
        self.channel.basic_publish(message, exchange_name, topic)


class Fleet:
    """All guests of this process; ``ended`` is set when it is to end."""

    def __init__(self, facts):
        self.interval = facts["interval"]
        context = ssl.create_default_context(cafile=facts["ca_file"])
        context.load_cert_chain(facts["own_file"])
        context.check_hostname = False  # one context for all; the certificate is verified
        # One context for all connections: each of the library's would read the files again.
        amqp_transport.SSLTransport._wrap_socket = lambda _self, sock, **_options: context.wrap_socket(
            sock, do_handshake_on_connect=False)
        self.address = {"host": f"{facts['host']}:{facts['port']}", "virtual_host": facts["virtual_host"],
                        "ssl": {"given": True}, "heartbeat": AMQP_HEARTBEAT, "connect_timeout": CONNECT_TIMEOUT}
        now = time.monotonic()
        self.guests = [Guest(each, now + random.uniform(0, self.interval))  # noqa: S311 - no secret
                       for each in facts["guests"]]
        self.options = Options()
        service.CONF = conductor_api.CONF = self.options
        self.driver = Driver(CONF, None, None)
        rpc._transport = rpc.messaging_transport.RPCTransport(self.driver)
        self.selector = selectors.DefaultSelector()
        self.wanted, self.made = queue.Queue(), queue.Queue()
        self.ended = threading.Event()
        self.connected = self.sent = self.failed = 0
        self.late, self.error = 0.0, None

    def run(self):
        """Report until ``ended`` is set."""
        for _ in range(CONNECTORS):
            threading.Thread(target=self._connect, daemon=True).start()
        order = itertools.count()
        heap = [(guest.due, next(order), guest) for guest in self.guests]
        heapq.heapify(heap)
        told = 0.0
        while not self.ended.is_set():
            for _ in range(REPORTS):
                if heap[0][0] > (now := time.monotonic()):
                    break
                due, _, guest = heapq.heappop(heap)
                self._turn(guest, now - due)
                # By the clock, not by the end of the work: a simulator that lags a little does not slow its guests
                # down. What it cannot send at all is left out, as the count of reports shows.
                heapq.heappush(heap, (max(due, now - self.interval) + agent.pause(self.interval), next(order), guest))
            now = time.monotonic()
            self._welcome()
            for key, _events in self.selector.select(max(0.0, min(PAUSE, heap[0][0] - time.monotonic()))):
                self._read(key.data)
            if now - told >= 1:
                told = now
                print(json.dumps({"connected": self.connected, "sent": self.sent, "failed": self.failed,
                                  "late": round(self.late, 2), "error": self.error}), flush=True)
                self.late, self.error = 0.0, None

    def _turn(self, guest, late):
        if guest.channel is None:
            self.failed += 1
            if not guest.connecting:
                guest.connecting = True
                self.wanted.put(guest)
            return
        self.late = max(self.late, late)
        self._report(guest)

    def _report(self, guest):
        self.options.guest_id, self.options.guest_key = guest.id, guest.key
        self.driver.channel = guest.channel
        try:
            guest.status.update()
            self.sent += 1
        except ERRORS as error:
            self.failed += 1
            self._lose(guest, error)

    def _read(self, guest):
        """Take what the broker sent: its word on reports, and its heartbeats."""
        try:
            guest.connection.blocking_read(5)
            while guest.connection is not None and guest.sock.pending():
                guest.connection.blocking_read(5)
        except ERRORS as error:
            self._lose(guest, error)

    def _lose(self, guest, error):
        self.error = f"{type(error).__name__}: {error}"
        if guest.connection is None:
            return
        connection, guest.connection, guest.channel = guest.connection, None, None
        self.connected -= 1
        self.selector.unregister(guest.sock)
        connection.collect()

    def _connect(self):
        while True:
            guest = self.wanted.get()
            try:
                self.made.put((guest, guest.connect(self.address), None))
            except ERRORS as error:
                self.made.put((guest, None, error))

    def _welcome(self):
        """Take over the connections that were made; such a guest reports at once, as one that waited for the bus."""
        while True:
            try:
                guest, made, error = self.made.get_nowait()
            except queue.Empty:
                return
            guest.connecting = False
            if made is None:
                self.error = f"{type(error).__name__}: {error}"
                continue
            guest.connection, guest.channel = made
            self.connected += 1
            guest.sock = guest.connection.sock
            self.selector.register(guest.sock, selectors.EVENT_READ, guest)
            self._report(guest)


def main():
    """Play the guests that standard input names."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    CONF([], project="trove", default_config_files=[], default_config_dirs=[])
    fleet = Fleet(json.loads(sys.stdin.readline()))
    threading.Thread(target=lambda: (sys.stdin.read(), fleet.ended.set()), daemon=True).start()
    fleet.run()


if __name__ == "__main__":
    main()
