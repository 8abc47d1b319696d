"""Dealings of a flow with the other operations on its resource."""
from trove.operation import models


def stop_others(work):
    """Ask every other live operation on the resource to stop and look again until none is left."""
    resource = work.operation.resource_type, work.resource_id
    with work.reading() as session:
        others = [other for other in models.live_for(session, *resource) if other.id != work.operation.id]
    if not others:
        return None
    if not all(other.cancel for other in others):
        with work.writing() as session:
            models.request_cancel(session, *resource, keep=work.operation.id)
    return work.again()
