"""The HTTP server of trove-api: waitress in several processes, with limits that keep slow clients from holding threads.

One thread of each process reads requests and writes answers. A request reaches a worker thread only when its last byte
has arrived, and its answer is buffered, so a client that sends or reads slowly holds a connection and nothing else.
"""
import errno
import os
import select
import socket
import threading
import time

import cotyledon
from oslo_log import log as logging
from waitress import adjustments, channel, parser, server, task, utilities, wasyncore

from trove.common import wsgi
from trove.common.cfg import CONF
from trove.common.context import TroveContext
from trove.common.fault import REQUEST_ID_HEADER

LOG = logging.getLogger(__name__)

# Seconds that an idle connection is kept: longer than the usual 60 of load balancers, which then close first.
KEEPALIVE = 75
LONGEST_REQUEST_LINE = 8190
MOST_HEADER_LINES = 100
# Bytes of a request's body, and of an answer, that are kept in memory; what is larger goes to a temporary file.
_IN_MEMORY = 512 * 1024
# Seconds between two looks for connections that took too long.
_LOOK = 1
# Seconds after trove_api_drain_timeout in which processes end before their supervisor kills them.
_GRACE = 5


class _Parser(parser.HTTPRequestParser):
    """Reads one request and rejects what is no HTTP/1.x, or has more or longer header lines than allowed."""

    def parse_header(self, header_plus):
        """Check the limits, then parse. Raises ParsingError."""
        lines = header_plus.split(b"\r\n")
        if len(lines[0]) > LONGEST_REQUEST_LINE:
            raise parser.ParsingError(f"the request line is longer than {LONGEST_REQUEST_LINE} bytes")
        if len(lines) - 3 > MOST_HEADER_LINES:  # the request line and two empty ones
            raise parser.ParsingError(f"there are more than {MOST_HEADER_LINES} header lines")
        if max(map(len, lines)) > CONF.max_header_line:
            raise parser.ParsingError(f"a header line is longer than {CONF.max_header_line} bytes")
        super().parse_header(header_plus)
        if self.version not in ("1.0", "1.1"):
            raise parser.ParsingError("the version is not HTTP/1.0 or HTTP/1.1")


class _Busy(utilities.Error):
    """The error of a request that this process has no room for."""

    code = 503
    reason = "Service Unavailable"


class _ErrorTask(task.ErrorTask):
    """Answers what cannot be given to the pipeline in the pipeline's manner."""

    def execute(self):
        """Choose the status and write a JSON body with the id of a request that the log has as well."""
        error, request_id = self.request.error, TroveContext().request_id
        if isinstance(error, _Busy):
            code, message = 503, error.body
        elif error.code >= 500:
            code, message = error.code, "The request cannot be served."
        elif isinstance(error, utilities.RequestEntityTooLarge):
            code, message = 413, f"The body is longer than {CONF.max_request_body_size} bytes."
        else:  # the contract knows no finer codes for what is no request
            code, message = 400, f"The request is not valid HTTP: {str(error.body)[:200]}."
        LOG.warning("Rejected a request of %s with %d: %s", self.channel.addr[0], code, message)
        answer = wsgi.fault_response(code, message, {REQUEST_ID_HEADER: request_id}, request_id=request_id)
        self.status = answer.status
        self.response_headers.extend(answer.headerlist)
        self.set_close_on_finish()
        self.content_length = len(answer.body)
        self.write(answer.body)


class _Task(task.WSGITask):
    def execute(self):
        """Run the pipeline; a process that is asked to stop takes no further request over the connection."""
        if self.channel.server.stopping:
            self.set_close_on_finish()
        super().execute()

    def write(self, data):
        """Send head and body of a usual answer together: one packet and one system call instead of two."""
        whole = not self.wrote_header and data and self.content_length == len(data) and self.has_body
        if not whole:
            super().write(data)
            return
        head = self.build_response_header()
        self.wrote_header = True
        self.content_bytes_written = len(data)
        self.channel.write_soon(head + data)


class _Channel(channel.HTTPChannel):
    """A client's connection."""

    parser_class = _Parser
    task_class = _Task
    error_task_class = _ErrorTask
    begun = None  # when the first byte of the request that is being received came
    answered = 0.0  # when the last answer was complete on our side

    def received(self, data):
        """Take bytes of the client, and remember when a request began; reject a body that finds no room."""
        answered = super().received(data)
        with self.requests_lock:
            request = self.request
            if request is None:
                self.begun = None
            elif self.begun is None:
                self.begun = self.last_activity
            if request and request.body_bytes_received > _IN_MEMORY and self.server.has_too_many_bodies():
                request.error = _Busy("Too many large requests are being received. Try again later.")
                request.completed = True
                self.requests.append(request)
                self.request = None
                if len(self.requests) == 1:
                    self.server.add_task(self)
        return answered

    @property
    def buffered(self):
        """Bytes of bodies that are kept for this connection."""
        receiving = self.request
        return sum(each.body_bytes_received for each in list(self.requests)) + (
            receiving.body_bytes_received if receiving else 0)

    @property
    def waits(self):
        """Whether the next move is the client's: no complete request of it is being worked on."""
        return not self.requests

    def overdue(self, now):
        """Whether the client took longer than the options allow to send a request or to read its answer."""
        if not self.waits:
            return False
        quiet = now - self.last_activity
        if self.begun is not None:
            headers_late = not self.request_has_headers and now - self.begun > CONF.client_socket_timeout
            return headers_late or quiet > CONF.client_socket_timeout or now - self.begun > CONF.client_transfer_timeout
        if self.total_outbufs_len:
            return quiet > CONF.client_socket_timeout or now - self.answered > CONF.client_transfer_timeout
        return quiet > (KEEPALIVE if self.answered else CONF.client_socket_timeout)

    @property
    def request_has_headers(self):
        """Whether the headers of the request that is being received are complete."""
        request = self.request
        return request is not None and request.headers_finished

    def service(self):
        """Work on one request (in a worker thread)."""
        super().service()
        self.answered = time.time()


class _Server(server.TcpWSGIServer):
    """Accepts connections and looks after those that take long."""

    channel_class = _Channel
    stopping = False

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        # waitress looks at every connection in each pass, which makes a request slower the more others are idle. Here
        # only those are looked at that had an event, or that a worker thread may have changed.
        self._poller = select.epoll()
        self._watched = {}  # file descriptor -> events that the poller waits for
        self._busy = set()  # file descriptors of connections with a request that is worked on

    def has_too_many_bodies(self):
        """Whether the bodies that are kept for all connections exceed ``max_buffered_bodies``."""
        kept = sum(each.buffered for each in list(self.active_channels.values()))
        return kept > CONF.max_buffered_bodies * 2**20

    def handle_accept(self):
        """Accept a connection; when there are too many, end the one that has waited longest for its client."""
        before = set(self.active_channels)
        super().handle_accept()
        for number in set(self.active_channels) - before:
            self._watched.pop(number, None)  # of a connection that had the number before
            self._make_room(self.active_channels[number])
            self._attend(number)

    def _make_room(self, newest):
        everyone = list(self.active_channels.values())
        of_address = [each for each in everyone if each.addr[0] == newest.addr[0]]
        for crowd, most in ((of_address, CONF.max_connections_per_address), (everyone, CONF.trove_api_connections)):
            if most and len(crowd) > most:
                waiting = [each for each in crowd if each.waits and each is not newest] or [newest]
                min(waiting, key=lambda each: each.begun or each.last_activity).handle_close()

    def maintenance(self, now):
        """End connections whose clients are overdue."""
        for each in list(self.active_channels.values()):
            if each.overdue(now):
                each.handle_close()

    def handle_error(self):
        """Let an unexpected error of the listening socket end the process: its supervisor starts another."""
        raise  # noqa: PLE0704 - waitress calls this while it handles the exception

    def readable(self):
        """Whether to accept connections; what waitress does here besides is done by ``serve``."""
        return self.accepting

    def serve(self):
        """Run until ``stop`` was called and the last request is answered."""
        next_look = time.monotonic() + _LOOK
        for number in list(self._map):
            self._attend(number)
        while not self.stopping or self._has_requests():
            for number, events in self._poller.poll(_LOOK):
                if number in self._map:  # it was not closed by what was done before
                    wasyncore.readwrite(self._map[number], events)
                    self._attend(number)
            for number in list(self._busy):
                self._attend(number)
            if time.monotonic() >= next_look:
                self.maintenance(time.time())
                next_look = time.monotonic() + _LOOK
            if self.stopping and self.socket is not None:
                wasyncore.dispatcher.close(self)
                self.socket = None

    def _attend(self, number):
        """Let the poller wait for what the object with this file descriptor is ready to do."""
        each = self._map.get(number)
        before = self._watched.pop(number, 0)
        if each is None:  # the kernel has forgotten it as well
            self._busy.discard(number)
            return
        if getattr(each, "requests", None):
            self._busy.add(number)
        else:
            self._busy.discard(number)
        wanted = select.EPOLLIN * bool(each.readable()) | select.EPOLLOUT * bool(each.writable())
        if wanted and before and wanted != before:
            self._poller.modify(number, wanted)
        elif wanted and not before:
            self._poller.register(number, wanted)
        elif before and not wanted:
            self._poller.unregister(number)
        if wanted:
            self._watched[number] = wanted

    def _has_requests(self):
        return any(each.requests or each.request or each.total_outbufs_len for each in
                   list(self.active_channels.values()))

    def stop(self):
        """Accept no more connections; what was begun is finished."""
        self.stopping = True
        self.accepting = False
        self.pull_trigger()


def _adjustments():
    """Return the settings of waitress, from our options."""
    return adjustments.Adjustments(
        sockets=[], threads=CONF.trove_api_threads, backlog=CONF.backlog, ident=None, log_socket_errors=False,
        max_request_header_size=LONGEST_REQUEST_LINE + 4 * CONF.max_header_line,
        # waitress rejects bodies of this size already
        max_request_body_size=CONF.max_request_body_size + 1,
        inbuf_overflow=_IN_MEMORY, outbuf_overflow=_IN_MEMORY, cleanup_interval=_LOOK,
        # _make_room keeps below it, and does not leave new connections waiting
        connection_limit=2 * CONF.trove_api_connections,
        # A proxy's word on the scheme is the proxyheaders filter's business, where an option switches it on.
        clear_untrusted_proxy_headers=False)


class Service(cotyledon.Service):
    """One process of trove-api, a child of cotyledon's manager, which starts another when it dies."""

    name = "trove-api"

    def __init__(self, worker_id, listener, application, begin, end):
        """listener: socket of ``bind``; application: WSGI; begin, end: functions that are called first and last in this
        process.
        """
        super().__init__(worker_id)
        begin()
        self._end = end
        dispatcher = task.ThreadedTaskDispatcher()
        dispatcher.set_thread_count(CONF.trove_api_threads)
        self._server = _Server(application, {}, _sock=listener, dispatcher=dispatcher, adj=_adjustments(),
                               sockinfo=(listener.family, listener.type, listener.proto, listener.getsockname()),
                               bind_socket=False)
        self._finished = threading.Event()

    def run(self):
        """Serve until ``terminate`` was called and what was begun is answered."""
        self._server.serve()
        self._finished.set()

    def terminate(self):
        """Finish the requests that were begun, for at most ``trove_api_drain_timeout`` seconds."""
        self._server.stop()
        if not self._finished.wait(CONF.trove_api_drain_timeout):
            LOG.warning("trove-api ended requests that took longer than trove_api_drain_timeout, %d seconds",
                        CONF.trove_api_drain_timeout)
        self._end()


def serve(listener, application, begin, end):
    """Serve ``application`` in ``trove_api_workers`` processes until SIGTERM. Does not return.

    listener: socket of ``bind``; begin, end: functions without arguments that each process calls first and last. The
    supervisor kills a process whose ``end`` takes longer than a few seconds.
    """
    logging.getLogger("waitress.queue").logger.setLevel("ERROR")  # a queue is no fault
    manager = cotyledon.ServiceManager(graceful_shutdown_timeout=CONF.trove_api_drain_timeout + _GRACE)
    manager.register_hooks(on_terminate=listener.close)
    manager.add(Service, CONF.trove_api_workers or os.cpu_count(), (listener, application, begin, end))
    manager.run()


def bind():
    """Return the listening socket that the options describe. Raises SystemExit naming the option."""
    family = socket.AF_INET6 if ":" in CONF.bind_host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Accepted connections inherit these.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, CONF.tcp_keepidle)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind((CONF.bind_host, CONF.bind_port))
        listener.listen(CONF.backlog)
    except OSError as error:
        reason = "another process listens there" if error.errno == errno.EADDRINUSE else error.strerror
        raise SystemExit(f"Cannot start: trove-api cannot listen on bind_host {CONF.bind_host}, bind_port "
                         f"{CONF.bind_port}: {reason}.") from error
    return listener
