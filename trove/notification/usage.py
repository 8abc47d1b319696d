"""trove.instance.<create, delete, modify_volume, modify_flavor, exists>: payloads for billing. Pure."""
from trove.common.cfg import CONF

UNKNOWN_SERVICE = "unknown-service-id-error"
# Kind of an operation whose success is told -> event.
EVENTS = {"instance.create": "create", "instance.delete": "delete", "instance.resize_volume": "modify_volume",
          "instance.resize_flavor": "modify_flavor"}


def service_id(manager):
    """What stands for a datastore manager in events."""
    return CONF.notification_service_id.get(manager, UNKNOWN_SERVICE)


def zulu(moment):
    """A stored time (naive UTC) as events have it, None for None."""
    return moment and moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def payload(facts, status):
    """The fields of all events. facts: what ``taskmanager.usage`` found; status: word that users see."""
    found = {name: facts[name] for name in (
        "created_at", "name", "instance_id", "nova_instance_id", "tenant_id", "user_id", "instance_type",
        "instance_type_id", "instance_size", "availability_zone")}
    found.update(launched_at=facts["created_at"], instance_name=facts["name"], region=CONF.region,
                 state=status.lower(), state_description=status.lower(), service_id=service_id(facts["manager"]))
    if facts["volume_size"]:
        found.update(volume_size=facts["volume_size"], nova_volume_id=facts["nova_volume_id"])
    return found


def of_operation(kind, facts, before, moment):
    """(event type, payload) of an operation that has succeeded.

    facts: of the instance now, for a deletion as it was; before: its facts when the operation began, or None;
    moment: when it ended (naive UTC).
    """
    event = EVENTS[kind]
    if event == "delete":
        told = {**payload(before, "SHUTDOWN"), "deleted_at": zulu(moment)}
    else:
        told = payload(facts, "ACTIVE")
    if event in ("modify_volume", "modify_flavor"):
        told.update(launched_at=zulu(moment), modify_at=zulu(moment))
    if event == "modify_volume":
        told.update(old_volume_size=before["volume_size"])
    if event == "modify_flavor":
        told.update(old_instance_size=before["instance_size"])
    return f"trove.instance.{event}", told
