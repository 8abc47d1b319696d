"""What billing is told of an instance at the end of an operation; asked for by the runner, outside of transactions."""
from oslo_log import log as logging

from trove.common import exception, remote
from trove.db import models as db_models
from trove.flavor import models as flavor_models
from trove.instance import loading
from trove.notification import models, usage

LOG = logging.getLogger(__name__)


def remember(work):
    """Note the facts of the instances before an operation changes them. The caller commits the notes."""
    if _is_told(work) and usage.EVENTS[work.operation.kind] != "create":
        for each in _changing(work):
            each.data["usage"] = _facts(each)


def results(work):
    """Return [(event type, payload)] of an operation that has done its last step: one for each instance it changed."""
    if not _is_told(work):
        return []
    return list(filter(None, map(_result, _changing(work))))


def _result(work):
    kind, before = work.operation.kind, work.data.get("usage")
    if usage.EVENTS[kind] != "create" and before is None:
        return None  # it began while nobody wanted notifications
    try:
        facts = None if usage.EVENTS[kind] == "delete" else {**_facts(work), **_changed(work)}
    except exception.NotFound:
        return None  # a replica that was deleted meanwhile
    return usage.of_operation(kind, facts, before, db_models.utcnow())


def _changing(work):
    """Return the Work, or Member, of each instance that the operation changes."""
    if work.operation.kind != "instance.resize_volume":
        return [work]
    own = [work] if work.args["old_size"] < work.args["size"] else []
    return [*own, *work.members()]


def _changed(work):
    """What the transaction that ends the operation may write into the instance's row."""
    args = work.args
    if work.operation.kind == "instance.resize_volume":
        return {"volume_size": args["size"]}
    if work.operation.kind == "instance.resize_flavor":
        flavor = args["flavor"]
        return {"instance_type": flavor["name"], "instance_type_id": flavor["id"], "instance_size": flavor["ram"]}
    return {}


def _is_told(work):
    return work.operation.kind in usage.EVENTS and models.enabled()


def _facts(work):
    with work.reading() as session:
        loaded = loading.load(session, work.resource_id, deleted=None)
    row = loaded.row
    flavor = _ask(row, "flavor", lambda: flavor_models.get_flavor(row.flavor_id))
    server = _ask(row, "server", lambda: remote.nova_client().servers.get(row.compute_instance_id)) \
        if row.compute_instance_id else None
    return {
        "created_at": usage.zulu(row.created), "name": row.name, "instance_id": row.id,
        "nova_instance_id": row.compute_instance_id, "tenant_id": row.tenant_id, "user_id": work.context.user_id,
        "instance_type": flavor and flavor.name, "instance_type_id": row.flavor_id,
        "instance_size": flavor and flavor.ram, "manager": loaded.manager,
        "availability_zone": getattr(server, "OS-EXT-AZ:availability_zone", None),
        "volume_size": row.volume_size, "nova_volume_id": row.volume_id}


def _ask(row, what, question):
    """Nova's answer, or None: an operation does not fail for want of a word in a notification."""
    try:
        return question()
    except Exception as error:  # noqa: BLE001 - the clients' errors have no common base
        LOG.warning("instance %s: Nova does not tell its %s for a notification: %s", row.id, what, error)
        return None
