#!/bin/bash
# python-swiftclient 4.11.0: when Connection.get_capabilities(url) comes first, the next request of that Connection goes below /info.
#
# get_capabilities(url) opens the Connection's one HTTP connection for the URL of /info. The connection is kept together with that path,
# to which names are appended, so the next call of the same object asks for /info/CONTAINER instead of /v1/ACCOUNT/CONTAINER. A real
# Swift answers 404 to that, which looks like a missing container. close() in between helps; so does any other request before.
#
# Seen on 2026-11-27 with Python 3.11. Exits 0 while this is so.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check python-swiftclient==4.11.0 requests==2.32.5
cat >"$work/look.py" <<'PY'
import http.server
import threading

from swiftclient import client

paths = []


class Store(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.answer(b"")

    def do_GET(self):
        self.answer(b"{}")

    def answer(self, body):
        paths.append(f"{self.command} {self.path}")
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Store)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/v1/AUTH_me"
connection = client.Connection(preauthurl=url, preauthtoken="token", retries=0)
connection.get_capabilities(f"http://127.0.0.1:{server.server_port}/info")
connection.head_container("backups")
connection.close()
connection.head_container("backups")
print("\n".join(paths))
PY
"$work/venv/bin/python" "$work/look.py" >"$work/seen"
cat "$work/seen"
diff "$work/seen" - <<'OUT'
GET /info
HEAD /info/backups
HEAD /v1/AUTH_me/backups
OUT
