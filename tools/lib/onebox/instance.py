"""One database instance through the public API, as a tenant does it: create with progress, connect, delete."""
import time

from keystoneauth1 import exceptions
from keystoneauth1.adapter import Adapter

from onebox import certificates, cloud, datastores, probes, processes
from onebox.settings import SetupError, secret

CREATE_TIMEOUT, DELETE_TIMEOUT = 600, 180
RETURN_TIMEOUT = 120  # for an instance that was built once: its guest reports within seconds after a restart of the bus
FAILED = ("ERROR", "FAILED")
NAME, DATABASE, USER = "m1", "app", "alice"


def client(settings, environment=None):
    """An HTTP client of trove-api as the tenant (or for other OS_* variables)."""
    return Adapter(cloud.session(environment or cloud.tenant_environment(settings)), service_type="database",
                   interface="public", region_name=cloud.REGION)


def find(api, name):
    """The newest instance of the tenant with this name, or None."""
    found = [item for item in api.get("/instances?limit=100").json()["instances"] if item["name"] == name]
    return api.get(f"/instances/{found[0]['id']}").json()["instance"] if found else None


def body(name, flavor, password, size=1, has_users=True):
    """The request that creates an instance with a volume and, if the datastore has them, one database and one user."""
    request = {"name": name, "flavorRef": flavor, "volume": {"size": size}}
    if has_users:
        request |= {"databases": [{"name": DATABASE}],
                    "users": [{"name": USER, "password": password, "databases": [{"name": DATABASE}]}]}
    return {"instance": request}


def create(api, name, password, version=None):
    """Ask for an instance of the smallest flavor; returns its first view.

    version: a ``datastores.Version``; None for the default datastore, which must have users.
    """
    flavors = api.get("/flavors").json()["flavors"]
    smallest = min(flavors, key=lambda flavor: flavor["ram"])
    request = body(name, smallest["id"], password, has_users=version is None or probes.of(version.datastore).has_users)
    if version:
        request["instance"]["datastore"] = {"type": version.datastore, "version": version.name}
    return api.post("/instances", json=request).json()["instance"]


def probe(api, view, password, **options):
    """Return the probe of an ACTIVE instance that ``create`` made.

    Where a datastore has no users this lets root in with ``password``. options: of ``probes.base.Probe``.
    """
    kind = probes.of(view["datastore"]["type"])
    if kind.has_users:
        return kind(address(view), USER, password, DATABASE, **options)
    root = api.post(f"/instances/{view['id']}/root", json={"password": password}).json()["user"]
    return kind(address(view), None, root["password"], **options)


def newest_operation(api, instance_id):
    """Return the newest operation on an instance with its steps."""
    return api.get(f"/instances/{instance_id}/operations?limit=1").json()["operations"][0]


def wait_active(api, instance_id, progress=None, timeout=CREATE_TIMEOUT, pause=0.25):
    """Return the instance when it is ACTIVE; call ``progress`` with the newest operation after each look.

    Raises SetupError with the fault's message when it ends otherwise.
    """
    deadline = time.monotonic() + timeout
    while True:
        instance = api.get(f"/instances/{instance_id}").json()["instance"]
        if progress:
            progress(newest_operation(api, instance_id))
        if instance["status"] == "ACTIVE":
            return instance
        if instance["status"] in FAILED:
            fault = instance.get("fault") or {}
            raise SetupError(f"Instance {instance_id} ended as {instance['status']}: {fault.get('message', '')}")
        if time.monotonic() > deadline:
            raise SetupError(f"Instance {instance_id} is still {instance['status']} after {timeout} s")
        time.sleep(pause)


def address(instance):
    """The first address of an instance."""
    return instance["ip"][0]


def delete(api, instance_id, timeout=DELETE_TIMEOUT):
    """Delete an instance and wait until the API does not know it any more; an absent one is fine."""
    try:
        api.delete(f"/instances/{instance_id}")
    except exceptions.NotFound:
        return
    if not processes.wait(lambda: gone(api, instance_id), timeout, 0.25):
        raise SetupError(f"Instance {instance_id} is still there {timeout} s after its deletion was asked for")


def gone(api, instance_id):
    """Whether the API answers 404 for an instance."""
    try:
        api.get(f"/instances/{instance_id}")
    except exceptions.NotFound:
        return True
    return False


def never_built(instance):
    """Whether its creation failed, so that there is no data in it. A guest that is only silent shows ERROR as well."""
    operation = instance.get("operation") or {}
    return instance["status"] in FAILED and (operation.get("kind"), operation.get("state")) == (
        "instance.create", "failed")


def wait_back(api, instance_id, timeout=RETURN_TIMEOUT, pause=0.25):
    """Return an instance that was built once when it is ACTIVE again. Raises SetupError; it is never made anew."""
    deadline = time.monotonic() + timeout
    while (instance := api.get(f"/instances/{instance_id}").json()["instance"])["status"] != "ACTIVE":
        if time.monotonic() > deadline:
            raise SetupError(
                f"Instance {NAME} ({instance_id}) is {instance['status']} and does not come back. If its server is "
                "stopped, start it (source admin-openrc; OS_PROJECT_NAME=service openstack server start SERVER). "
                f"To make it anew, without its data: openstack database instance delete {NAME}")
        time.sleep(pause)
    return instance


def ensure_m1(settings, progress):
    """The instance of the tour, made anew if it could not be built; returns (view, probe, whether created).

    One that holds data is waited for, never deleted.
    """
    api = client(settings)
    password = secret(settings, "m1_user")
    found = find(api, NAME)
    if found and never_built(found):
        delete(api, found["id"])
        found = None
    created = found is None
    if created:
        found = create(api, NAME, password, datastores.find(settings.datastores[0]))
        progress.say(f"        creating instance {NAME}")
    found = wait_active(api, found["id"], progress.operation) if created or found["status"] == "BUILD" \
        else wait_back(api, found["id"])
    return found, probe(api, found, password), created


def write_client_file(settings, found):
    """Write the file with which the engine's own client becomes the user of a probe; returns its path."""
    return found.client_file(settings.state / NAME, certificates.ca_file(settings))
