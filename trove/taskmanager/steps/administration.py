"""A change of the databases and users of an instance: its turn, the check, and the command to the guest."""
import contextlib

from trove.common import exception
from trove.instance import administration, loading
from trove.taskmanager.work import Again


def check(work):
    """Wait for the turn of this change, and refuse it when it cannot be done with what is there then.

    Nothing else of ours comes between this and the next step, so that what is found there later is its own work.
    """
    with work.reading() as session:
        if not administration.is_next(session, work.operation):
            return work.again()
    with _working_guest(work) as guest:
        _change(work).check(guest, **_arguments(work))
    return None


def carry_out(work):
    """Let the guest do it, of many items one each time; it is asked again until it has answered."""
    change, arguments, sent = _change(work), _arguments(work), work.data.get("sent", 0)
    count = len(arguments[change.each]) if change.each else 1
    if change.each:
        arguments = {change.each: arguments[change.each][sent:sent + 1]}
    with _working_guest(work) as guest:
        change.send(guest, **arguments)
    if sent + 1 >= count:
        return None
    work.note(sent=sent + 1)
    return Again(0)


def _change(work):
    return administration.CHANGES[work.operation.kind]


def _arguments(work):
    return work.secrets()["arguments"]


@contextlib.contextmanager
def _working_guest(work):
    """Around what is asked of a guest: what will pass becomes ServiceUnavailable, with which a step is repeated."""
    with work.reading() as session:
        loaded = loading.load(session, work.resource_id)
    if loaded.row.slave_of_id:
        raise exception.UnprocessableEntity(f"Instance {loaded.id} has become a replica: its databases and users are "
                                            f"those of its source {loaded.row.slave_of_id}.")
    if loaded.why_unanswered:
        raise exception.ServiceUnavailable(f"Instance {loaded.id} cannot do this now: {loaded.why_unanswered}.")
    try:
        yield work.guest(work.resource_id)
    except exception.GuestTimeout as error:
        raise exception.ServiceUnavailable(str(error)) from error
