#!/bin/bash
# oslo.messaging 18.3.1 (rabbit): without a broker, retry=0 makes a cast raise an exception of kombu, and timeout=2 does not bound a call.
#
# A client with retry=0 and a broker that refuses connections:
# - cast() raises kombu.exceptions.OperationalError, which is neither MessageDeliveryFailure nor any oslo_messaging exception: code that
#   catches MessagingException misses it.
# - call(timeout=2) does not return after 2 s. Before it sends, it makes the queue for the answer, and that connection is retried
#   without end; neither retry nor timeout reaches it.
#
# Seen on 2026-11-27 with Python 3.11. Exits 0 while this is so.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check oslo.messaging==18.3.1 kombu==5.7.0 amqp==5.4.2
cat >"$work/look.py" <<'PY'
import logging
import os
import socket
import threading

import oslo_messaging
from oslo_config import cfg

logging.disable(logging.CRITICAL)
cfg.CONF([], project="finding")
with socket.socket() as probe:  # a port on which nothing listens
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
transport = oslo_messaging.get_rpc_transport(cfg.CONF, url=f"rabbit://user:password@127.0.0.1:{port}/")
client = oslo_messaging.get_rpc_client(transport, oslo_messaging.Target(topic="nobody"), retry=0, timeout=2)
try:
    client.cast({}, "knock")
except Exception as error:
    kind = type(error)
    print("cast raised", f"{kind.__module__}.{kind.__name__};",
          "of oslo.messaging:", isinstance(error, oslo_messaging.MessagingException))


def call():
    try:
        client.call({}, "knock")
    except Exception as error:
        print("call raised", type(error).__name__)


caller = threading.Thread(target=call, daemon=True)
caller.start()
caller.join(20)
print("call(timeout=2) still waits after 20 s:", caller.is_alive(), flush=True)
os._exit(0)
PY
timeout 60 "$work/venv/bin/python" "$work/look.py" >"$work/seen" 2>/dev/null
cat "$work/seen"
diff "$work/seen" - <<'OUT'
cast raised kombu.exceptions.OperationalError; of oslo.messaging: False
call(timeout=2) still waits after 20 s: True
OUT
