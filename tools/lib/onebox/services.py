"""The control plane of a set-up: the infrastructure database, the datastore, and the three services as processes."""
import hashlib
import http.client
import json
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from onebox import broker, config, processes
from onebox.command import run
from onebox.settings import CHECKOUT, SetupError, write

# In the order of their start. The API comes last: what it accepts is then worked on at once.
NAMES = ("trove-conductor", "trove-taskmanager", "trove-api")
START_TIMEOUT = 300  # seconds, many times what is needed: a service that ends is noticed at once
STARTED, PREPARED = "services.json", "database"


def manage(settings, *arguments):
    """Run trove-manage against the set-up's database; returns its output."""
    return run_script("trove-manage", *_options(settings), *arguments)


def run_script(name, *arguments):
    """Run a console script of this environment to its end; returns its output."""
    return run([script(name), *arguments], timeout=300)


def ensure_database(settings, datastores):
    """The infrastructure database at its newest schema, with datastores made from images.

    datastores: list of (datastores.Version, id of the image); the first version of a datastore is its default. Nothing
    is done twice for the same code and images.
    """
    images = " ".join(f"{version} {image_id}" for version, image_id in datastores)
    path, wanted = settings.state / PREPARED, f"{_digest(settings)} {images}"
    if path.exists() and path.read_text() == wanted:
        return
    manage(settings, "db_sync")
    with_default = set()
    for version, image_id in datastores:
        name = version.datastore
        manage(settings, "datastore_update", name, "")
        manage(settings, "datastore_version_update", name, version.name, name, image_id, "", "1")
        if name not in with_default:
            manage(settings, "datastore_update", name, version.name)
            with_default.add(name)
        manage(settings, "db_load_datastore_config_parameters", name, version.name, str(version.rules))
    write(path, wanted)


def ensure(settings, names=NAMES):
    """Start the services that do not run, and those whose code or configuration changed since they were started.

    Returns the names of those started. Raises SetupError naming the log when one does not come up.
    """
    digest, path = _digest(settings), settings.state / STARTED
    known = json.loads(path.read_text()) if path.exists() else {}
    begun = []
    for name in names:
        if processes.running(settings, name) and known.get(name) == digest and ready(settings, name):
            continue
        processes.stop(settings, name)
        processes.start(settings, name, [script(name), *_options(settings)])
        known[name] = digest
        begun.append(name)
    write(path, json.dumps(known))
    for name in begun:
        wait_ready(settings, name)
    return begun


def wait_ready(settings, name):
    """Return when a service that was just started does its work; raises SetupError when it ended or takes too long."""
    if not processes.wait(lambda: ready(settings, name) or not processes.running(settings, name), START_TIMEOUT, 0.1) \
            or not ready(settings, name):
        log = settings.logs / f"{name}.log"
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-10:]) if log.exists() else ""
        raise SetupError(f"{name} did not start; the end of {log}:\n{tail}")


def ready(settings, name):
    """Whether a service answers and goes on: the API over HTTP, the others by a consumer on their queue."""
    if processes.stopping(settings, name):
        return False
    if name == "trove-api":
        # Something else may listen there: what answers must be ours.
        return processes.listens(processes.running(settings, name), settings.api_port) and api_answers(settings.api_url)
    host, queue = {"trove-conductor": (broker.GUESTS_HOST, "trove-conductor"),
                   "trove-taskmanager": (broker.SERVICES_HOST, "taskmanager")}[name]
    try:
        found = broker.request(settings, "GET", f"/api/queues/{urllib.parse.quote(host, safe='')}/{queue}")
    except (OSError, http.client.HTTPException):
        return False
    return bool(found["consumer_details"])


def api_answers(url):
    """Whether trove-api answers at its root."""
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{url}/", timeout=5):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except (OSError, http.client.HTTPException):
        return False


def script(name):
    """The path of a console script of this environment."""
    return str(Path(sys.executable).with_name(name))


def _options(settings):
    return ["--config-file", str(settings.etc / config.CONTROL_PLANE)]


def _digest(settings):
    digest = hashlib.sha256(sys.prefix.encode())  # other libraries are another environment
    for path in sorted(path for path in (CHECKOUT / "trove").rglob("*")
                       if path.suffix in (".py", ".template", ".json")):
        digest.update(path.read_bytes())
    for path in (CHECKOUT / "etc/trove/api-paste.ini", *sorted(settings.etc.glob("*.conf"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()
