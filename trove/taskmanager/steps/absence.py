"""How everything in the cloud is deleted: ask, and look again until it is gone."""
from trove.common import remote


def bring_about(work, find, delete):
    """Delete what ``find`` gives and look again until there is none.

    find: returns the thing, or None; delete: called with it, asks for its end unless that was asked already. Either may
    raise what the cloud's clients raise: absence is the aim, and a thing that is in use is asked for again.
    """
    try:
        thing = find()
        if thing is None:
            return None
        delete(thing)
    except Exception as error:  # noqa: BLE001 - told apart by their status
        if remote.is_missing(error):
            return None
        if not remote.is_conflict(error):
            raise
    return work.again()
