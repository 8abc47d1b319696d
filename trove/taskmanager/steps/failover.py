"""One replica takes the place of its source: what promoting (the source lives) and ejecting (it does not) do.

Arguments of the operation: "source", "replicas" (all that follow it and can be worked on), and for a promotion
"candidate"; an ejection chooses one and notes it. There are never two servers that may be written to: the old source is
made read-only, or its server is stopped, before the candidate is opened, and stays so unless it is certain that the
candidate is closed and has taken no write.
"""
from oslo_log import log as logging

from trove.common import exception, remote
from trove.common.instance import ServiceStatuses
from trove.instance.models import DBInstance, record_fault, replica_ids, set_service_status
from trove.taskmanager.steps.replication import account, client, config, load, patient, replica_info
from trove.taskmanager.work import Again

LOG = logging.getLogger(__name__)

# Seconds by which a replica may be behind before its source is made read-only for it.
_NEAR = 5
# Names of events that a fault lists.
_SHOWN = 5


def candidate_id(work):
    """The id of the replica that becomes the source."""
    return work.args.get("candidate") or work.data["candidate"]


def others(work):
    """The ids of the replicas that will follow the candidate."""
    return [instance_id for instance_id in work.args["replicas"] if instance_id != candidate_id(work)]


# Before anything is stopped

@patient
def wait_near(work):
    """Look again until the candidate is close behind its source. Raises GuestError when it does not follow it."""
    context = client(work, candidate_id(work)).get_replica_context()
    if not context["running"]:
        raise exception.GuestError(f"The replica {candidate_id(work)} does not follow its source: {context['error']}")
    return None if (context["lag"] or 0) <= _NEAR else work.again()


def choose(work):
    """Note the replica that has received most of the dead source. Each speaks for itself; who does not answer is out.

    Raises GuestError when none answers or they do not come from the same source.
    """
    answers = {}
    for instance_id in work.args["replicas"]:
        try:
            answers[instance_id] = client(work, instance_id).get_last_txn()
        except exception.GuestError as error:
            LOG.warning("instance %s: the replica %s does not answer: %s", work.resource_id, instance_id, error)
    if not answers:
        raise exception.GuestError(f"None of the replicas of {work.resource_id} answers.")
    # One that was restarted after the source died does not know whom it has followed; our rows say it.
    if len({answer["source"] for answer in answers.values()} - {""}) > 1:
        raise exception.GuestError(f"The replicas of {work.resource_id} do not follow the same server: "
                                   f"{', '.join(sorted(answers))}.")
    best = best_of(answers)
    LOG.info("instance %s: its replica %s has most of it (%s)", work.resource_id, best, answers[best]["txn"])
    work.data.update(candidate=best, txn=answers[best]["txn"])


def best_of(answers):
    """The id of the replica with the newest transaction. answers: {id: {"count"}}; of equals the first by id."""
    return min(answers, key=lambda instance_id: (-answers[instance_id]["count"], instance_id))


# The old source is closed

@patient
def close_source(work):
    """Let nobody write to the source any more, nor its events, and note which of these ran and where it ended."""
    guest = client(work, work.args["source"])
    guest.make_read_only(True)
    if "events" not in work.data:  # noted before they are off: only the source knows which of them ran
        work.note(events=[{"database": event["database"], "name": event["name"]} for event in guest.list_events()
                          if event["state"] == "enabled"])
    guest.switch_events(work.data["events"], False)
    work.data["txn"] = guest.get_latest_txn_id()


@patient
def open_source(work):
    """The undo of closing it. Raises TroveError, and leaves it closed, unless the candidate is surely closed."""
    if _may_be_open(work):
        raise exception.TroveError(
            f"The instance {work.args['source']} stays read-only, as its replica {candidate_id(work)} may have been "
            "written to. Detach that replica or delete it, and this instance takes writes again.")
    guest = client(work, work.args["source"])
    guest.make_read_only(False)
    if work.data.get("events"):
        guest.switch_events(work.data["events"], True)


def stop_server(work):
    """Stop the server of the dead source and look again until it is off: only then can nobody write to it."""
    source = load(work, work.args["source"])
    nova = remote.nova_client()
    try:
        server = nova.servers.get(source.row.compute_instance_id)
    except Exception as error:
        if remote.is_missing(error):
            return None
        raise
    if server.status == "ACTIVE":
        work.note(stopped=True)
        if getattr(server, "OS-EXT-STS:task_state", None) != "powering-off":
            server.stop()
        return work.again()
    if server.status not in ("SHUTOFF", "STOPPED", "DELETED", "SOFT_DELETED"):
        return work.again()
    with work.writing() as session:
        DBInstance.get(session, source.id).server_status = server.status
        set_service_status(session, source.id, ServiceStatuses.SHUTDOWN)
    return None


def start_server(work):
    """The undo of stopping it, unless it is not certain that the candidate has not taken its place."""
    if not work.data.get("stopped"):
        return None
    if _may_be_open(work):
        raise exception.TroveError(f"The server of instance {work.args['source']} stays stopped, as its replica "
                                   f"{candidate_id(work)} may have been written to.")
    server = remote.nova_client().servers.get(load(work, work.args["source"]).row.compute_instance_id)
    if server.status == "SHUTOFF" and getattr(server, "OS-EXT-STS:task_state", None) != "powering-on":
        server.start()
    return None if server.status == "ACTIVE" else work.again()


# The candidate takes over

@patient
def catch_up(work):
    """Look again until the candidate has carried out all that its source acknowledged."""
    return None if client(work, candidate_id(work)).wait_for_txn(work.data["txn"]) else Again(0)


@patient
def free_candidate(work):
    """Let it follow nobody; it stays read-only. Note where others begin with it, and where it was before any write."""
    guest = client(work, candidate_id(work))
    guest.detach_replica(True)
    work.data.update(begin=guest.get_replica_context()["log_position"], ended=guest.get_latest_txn_id())


@patient
def bind_candidate(work):
    """The undo of freeing it: it follows its source again, as soon as that answers."""
    if _may_be_open(work):
        raise exception.TroveError(f"The instance {candidate_id(work)} does not follow its source any more.")
    source = load(work, work.args["source"])
    client(work, candidate_id(work)).attach_replica(
        # Where strategies without transaction ids go on: it had done all of its source up to there.
        replica_info(source, candidate_id(work), must_connect=False, log_position=work.data["txn"]),
        config(load(work, candidate_id(work)), "replica"))


@patient
def prepare_candidate(work):
    """Let the others follow it later on; it goes on as a replica until then."""
    everyone = [*others(work), work.args["source"]]
    candidate = load(work, candidate_id(work))
    client(work, candidate.id).enable_as_master(
        config(candidate, "replica_source"), [account(candidate.manager, instance_id) for instance_id in everyone])


@patient
def open_candidate(work):
    """Let users write to it. When that is done it is the source, and nothing is taken back any more."""
    if not work.data.get("opening"):
        work.note(opening=True)
    client(work, candidate_id(work)).make_read_only(False)
    work.data["opened"] = True


def _may_be_open(work):
    return work.data.get("opening") and not work.data.get("closed")


@patient
def close_candidate(work):
    """The undo of an opening of which it is not known whether it was done. Raises TroveError, and leaves it open, when
    it has been written to.
    """
    if not work.data.get("opening"):
        return
    guest = client(work, candidate_id(work))
    guest.make_read_only(True)
    if guest.get_latest_txn_id() != work.data["ended"]:
        guest.make_read_only(False)
        raise exception.TroveError(f"The instance {candidate_id(work)} has been written to, and can be.")
    work.note(closed=True)


# Events run at the source only

@patient
def enable_events(work):
    """Let those events run at the new source that ran at the old one. What cannot be is noted with its cure."""
    if not work.data.get("events"):  # a release before this one noted none
        return
    try:
        client(work, candidate_id(work)).switch_events(work.data["events"], True)
    except exception.GuestTimeout:
        raise
    except exception.TroveError as error:
        LOG.error("instance %s: its events stay off: %s", candidate_id(work), error)
        work.data["events_off"] = f"{_names(work.data['events'])} could not be enabled. {error}"


@patient
def note_events(work):
    """Note the events of the new source: those that came from the dead one stay off, as nobody knows which of them ran.
    """
    try:
        events = [event for event in client(work, candidate_id(work)).list_events() if event["state"] == "replica"]
    except exception.GuestTimeout:
        raise
    except exception.TroveError as error:
        LOG.error("instance %s: does not tell its events: %s", candidate_id(work), error)
        return
    if events:
        work.data["events_off"] = f"{_names(events)} came from the ejected source and stay disabled."


def _names(events):
    shown = [f"{event['database']}.{event['name']}" for event in events[:_SHOWN]]
    more = f" and {len(events) - _SHOWN} more" if len(events) > _SHOWN else ""
    return f"The events {', '.join(shown)}{more}"


def tell_events(session, work):
    """Record a fault with the cure for events that stay off at the new source."""
    if work.data.get("events_off"):
        record_fault(session, candidate_id(work), (
            f"{work.data['events_off']} Enable those that are to run: ALTER EVENT <database>.<name> ENABLE."), "events",
            work.context.request_id)


# The others follow it

def swap(work):
    """Say in the rows who follows whom; replicas that could not be worked on belong to the new source as well."""
    new, old = candidate_id(work), work.args["source"]
    with work.writing() as session:
        for instance_id in replica_ids(session, old):
            DBInstance.get(session, instance_id).slave_of_id = None if instance_id == new else new
        if work.args.get("candidate"):  # an ejected source is nobody's replica
            DBInstance.get(session, old).slave_of_id = new
    LOG.info("instance %s: is the source now, in the place of %s", new, old)


def repoint(work):
    """Let the other replicas follow the new source. One that does not is noted; the others are not held up."""
    for instance_id in others(work):
        _follow(work, instance_id)


def repoint_source(work):
    """The same for the old source, which becomes a replica."""
    _follow(work, work.args["source"], demote=True)


def _follow(work, instance_id, demote=False):
    """Attach one replica to the candidate and note how it went."""
    ended = work.data.setdefault("failed", {}), work.data.setdefault("followed", [])
    if instance_id in ended[0] or instance_id in ended[1]:
        return
    try:
        replica, source = load(work, instance_id), load(work, candidate_id(work))
    except exception.NotFound:
        LOG.info("instance %s: is gone and follows nobody", instance_id)
        work.note()
        return
    try:
        guest = client(work, instance_id)
        if demote:
            guest.demote_replication_master()
        elif work.data["begin"] is not None and not guest.wait_for_txn(work.data["txn"]):
            # A position in the new source's log means this only to who has done all before it.
            raise exception.GuestError("it had not carried out all that the old source wrote.")
        guest.attach_replica(replica_info(source, instance_id, log_position=work.data["begin"]),
                             config(replica, "replica"))
        ended[1].append(instance_id)
    except exception.TroveError as error:
        LOG.error("instance %s: does not follow %s: %s", instance_id, candidate_id(work), error)
        ended[0][instance_id] = str(error)
    work.note()


# A replica becomes an instance of its own

@patient
def detach(work):
    """Let the guest follow nobody and be writable."""
    client(work, work.resource_id).detach_replica(False)


@patient
def attach_again(work):
    """The undo: the guest is the replica that the row says."""
    source = load(work, work.args["source"])
    client(work, work.resource_id).attach_replica(replica_info(source, work.resource_id, must_connect=False),
                                                  config(load(work, work.resource_id), "replica"))


def part(work):
    """Say in the row that it is no replica any more."""
    with work.writing() as session:
        DBInstance.get(session, work.resource_id).slave_of_id = None

