"""Benchmark of backups: the agent's way from a program's output to Swift against the same pipeline written in shell.

Both take the same data, compress, encrypt and send segments of the same size to the Swift of the set-up, and they take
turns. The shell has no authenticated cipher: it uses AES-256-CTR and compares no sums, so it does less.
"""
import hashlib
import hmac
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

from onebox import bench, cloud
from onebox.settings import CHECKOUT, SetupError

CONTAINER = "bench_backups"
SEGMENT = 16 * 1024 * 1024
LIMIT = 600  # seconds for one round
_AGENT = r"""
import json, re, sys, time
from trove.common import cfg
cfg.parse_args([], default_config_files=[])
from trove.guestagent.backup import cipher, streams
from trove.guestagent.backup.pipeline import Pipeline
from trove.guestagent.strategies.storage.swift import SwiftStorage
backup, begun = json.load(sys.stdin), time.monotonic()
with Pipeline(["cat", sys.argv[1]], streams.compressing(".zst")) as pipeline:
    SwiftStorage().save(backup, streams.outgoing(pipeline.output(cipher.BLOCK), "00" * 32, backup["id"]))
seconds = time.monotonic() - begun
# Not getrusage's maximum, which begins with that of the process that started this one.
print(json.dumps([seconds, int(re.search(r"VmHWM:\s*(\d+)", open("/proc/self/status").read())[1])]))
"""
_SHELL = """set -e -o pipefail
cat {data} | zstd -q -c -T0 | openssl enc -aes-256-ctr -pbkdf2 -iter 1 -pass env:KEY |
split -b {segment} -d -a 8 --filter='curl -sS -f -T - {url}/$FILE?{query}' - {name}_
"""


def run(settings, progress, arguments):
    """MB/s of a backup's stream by the agent and by a shell, in turns, and their ratio."""
    session = cloud.session(cloud.service_environment(settings))
    where = {"endpoint_filter": {"service_type": "object-store", "interface": "public"}}
    key = uuid.uuid4().hex
    session.put(f"/{CONTAINER}", headers={"X-Container-Meta-Temp-URL-Key": key}, **where)
    url = session.get_endpoint(service_type="object-store", interface="public").rstrip("/") + f"/{CONTAINER}"
    speeds, memory = {"agent": [], "shell": []}, 0
    with tempfile.NamedTemporaryFile(prefix="bench-backup-", dir=settings.state) as data:
        size = _fill(data, arguments.size_mb)
        for number in range(arguments.rounds):
            for who in ("agent", "shell"):
                name = str(uuid.uuid4())
                query = _signature(url, name, key)
                if who == "agent":
                    seconds, used = _by_agent(url, query, name, data.name)
                    memory = max(memory, used)
                else:
                    seconds = _by_shell(url, query, name, data.name)
                speeds[who].append(size / 1e6 / seconds)
                for segment in session.get(f"/{CONTAINER}?format=json", **where).json():
                    session.delete(f"/{CONTAINER}/{segment['name']}", **where)
            progress.say(f"        round {number + 1}: agent {speeds['agent'][-1]:.0f}, shell "
                         f"{speeds['shell'][-1]:.0f} MB/s")
    session.delete(f"/{CONTAINER}", **where)
    ratio = sum(speeds["agent"]) / sum(speeds["shell"])
    rows = [{"MB/s of": who, **bench.summary(values)} for who, values in speeds.items()]
    return [*rows, {"MB/s of": "agent / shell", "p50": round(ratio, 3),
                    "note": f"{size / 1e6:.0f} MB of data; the agent's memory {memory / 1024:.0f} MB"}], False


def _fill(file, megabytes):
    """Data that compresses about as well as a database: half noise, half text. Returns the bytes."""
    text = (b"a customer lives in the street of the same name; " * 11000)[:512 * 1024]
    for _number in range(megabytes):
        file.write(os.urandom(512 * 1024) + text)
    file.flush()
    return file.tell()


def _signature(url, name, key):
    path = url[url.index("/v1/"):]
    expires = int(time.time()) + LIMIT
    signed = hmac.new(key.encode(), f"PUT\n{expires}\nprefix:{path}/{name}".encode(), hashlib.sha256).hexdigest()
    return f"temp_url_sig={signed}&temp_url_expires={expires}&temp_url_prefix={name}"


def _by_agent(url, query, name, data):
    """One round of the agent's code in a process of its own. Returns (seconds without its start, memory in kB)."""
    backup = json.dumps({"id": name, "storage": {"url": url, "PUT": query}})
    said = _run([sys.executable, "-c", _AGENT, data], {"PYTHONPATH": str(CHECKOUT)}, backup)
    return json.loads(said.splitlines()[-1])  # what libraries log comes before it


def _by_shell(url, query, name, data):
    script = _SHELL.format(data=shlex.quote(data), segment=SEGMENT, url=url, query=query.replace("&", r"\&"), name=name)
    begun = time.monotonic()
    _run(["bash", "-c", script], {"KEY": "00" * 32})
    return time.monotonic() - begun


def _run(command, environment, stdin=""):
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=LIMIT, check=False,
                          env={**os.environ, **environment})
    if done.returncode:
        raise SetupError(f"{Path(command[0]).name} failed: {done.stderr[-1000:]}")
    return done.stdout.strip()
