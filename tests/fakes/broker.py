"""The part of RabbitMQ's management API that is used for guests, over HTTP on loopback.

Held to the same test as the real broker: tests/functional/taskmanager/test_bus.py.
"""
import base64
import http.server
import json
import re
import threading
from urllib.parse import parse_qs, unquote, urlsplit

USER, PASSWORD = "admin-of-tests", "password-of-tests"


class Broker:
    """A running fake: ``url``; ``users`` {name: {"password", "limits", "permissions", "topic"}}, ``queues``,
    ``exchanges``, ``policies`` {name: body}, ``bindings`` {(exchange, queue, routing key)}.

    failures: HTTP statuses to answer the next requests with.
    """

    def __init__(self):
        self.users, self.queues, self.exchanges, self.failures = {}, set(), {"trove"}, []
        self.policies, self.bindings = {}, set()
        broker = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # one packet per answer

            def _serve(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, answer = broker.answer(self.command, self.path, self.headers.get("Authorization"), body)
                data = b"" if status == 204 else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_PUT = do_POST = do_DELETE = _serve

            def log_message(self, *_args):
                """Quiet."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self):
        """End it."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method, path, authorization, body):
        """(status, JSON-able body) for a request."""
        if self.failures:
            return self.failures.pop(0), {"error": "asked for by the test"}
        expected = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if authorization != f"Basic {expected}":
            return 401, {"error": "not_authorised"}
        parts = [unquote(part) for part in urlsplit(path).path.split("/")[2:]]
        if method in ("PUT", "POST"):
            return self._put(parts, json.loads(body))
        kind = parts[0]
        if parts[0] == "exchanges" and parts[3:] == ["bindings", "source"]:
            return 200, [{"destination": queue, "routing_key": key} for exchange, queue, key in sorted(self.bindings)
                         if exchange == parts[2] and queue in self.queues]
        if kind in ("user-limits", "topic-permissions", "permissions"):
            return 200, self._list(kind)
        things = {"users": self.users, "queues": self.queues, "exchanges": self.exchanges}[kind]
        if method == "DELETE":
            if parts[-1] not in things:
                return 404, {"error": "Object Not Found"}
            things.pop(parts[-1]) if isinstance(things, dict) else things.remove(parts[-1])
            return 204, None
        query = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
        found = [{"name": name} for name in sorted(things)]
        if "page" not in query:
            return 200, found
        found = [each for each in found if re.search(query["name"], each["name"])]
        start = (int(query["page"]) - 1) * int(query["page_size"])
        return 200, {"items": found[start:start + int(query["page_size"])]}

    def _list(self, kind):
        if kind == "user-limits":
            return [{"user": name, "value": user["limits"]} for name, user in self.users.items() if "limits" in user]
        field = "topic" if kind == "topic-permissions" else "permissions"
        return [{"user": name, "vhost": "/", **user[field]} for name, user in self.users.items() if field in user]

    def _put(self, parts, body):
        kind = parts[0]
        if kind == "users":
            self.users.setdefault(parts[1], {})["password"] = body["password"]
        elif kind == "user-limits":
            self.users[parts[1]].setdefault("limits", {})[parts[2]] = body["value"]
        elif kind == "operator-policies":
            self.policies[parts[2]] = body
        elif kind in ("queues", "exchanges"):
            getattr(self, kind).add(parts[2])
        elif kind == "bindings":
            if parts[3] not in self.exchanges or parts[5] not in self.queues:
                return 404, {"error": "Object Not Found"}
            self.bindings.add((parts[3], parts[5], body["routing_key"]))
        elif parts[2] not in self.users:
            return 400, {"error": "bad_request", "reason": "no such user"}
        else:
            self.users[parts[2]]["topic" if kind == "topic-permissions" else "permissions"] = body
        return 201, None
