"""The objects of archives of logs in the object store, as the control plane sees them.

Each archive has a container of its own in the account of the control plane, with numbered pieces. Every name is
computed from the archive's row. Guests get signatures (TempURL): the guest that archives may write, and the guest of a
new instance, which replays, may read; each use has a key of its own in the container. Without the container or its key
a signature is worth nothing. Every function raises object_store.Error.
"""
import dataclasses
import time

from trove.backup import store
from trove.common import crypto, object_store, remote
from trove.common.cfg import CONF

# Names of one page of requests that delete.
_PAGE = 1000
# Pieces that are asked for one by one when a listing does not have them.
_ASKED = 100


def place(archive_id):
    """Return the store.Place of an archive. Raises PathRefused for what is not a UUID in small letters."""
    own = store.place(archive_id)
    return dataclasses.replace(own, container=f"{CONF.backup_swift_container}_archive_{archive_id}")


def open_container(archive_id, for_writing=True):
    """Make the container of an archive, or let the one that is there accept signatures made from now on.

    for_writing: whether those for writing count beside those for reading.
    """
    account = object_store.service_account()
    account.check()
    read, write = (crypto.container_keys(archive_id, use)[0] for use in ("read", "write"))
    keys = [read, write] if for_writing else [read]
    account.put_container(place(archive_id).container, crypto.container_headers(keys))


def signatures(archive_id, method, seconds):
    """Return what a guest needs to use the pieces with one method (PUT or GET): see ``store.signatures``."""
    return store.signatures(place(archive_id), (method,), seconds)


def find_missing(archive_id, first, count):
    """Return the number of the first piece from ``first`` to ``count`` - 1 that the object store does not have, or
    None.
    """
    account, where = object_store.service_account(), place(archive_id)
    marker, wanted = where.segment(first - 1) if first else None, first
    # A guest may have put objects with other names between its pieces, any number of them.
    for _ in range(2 + 2 * (count - first) // account.limits().listing):
        if wanted >= count:
            return None
        listed = [found.name for found in account.list(where.container, where.prefix, marker)]
        for name in listed:
            if wanted < count and name == where.segment(wanted):
                wanted += 1
        if not listed or listed[-1] >= where.segment(count - 1):
            break
        marker = listed[-1]
    # Listings lag: those that they lack are asked for.
    for _ in range(_ASKED):
        if wanted >= count:
            return None
        try:
            account.head(where.container, where.segment(wanted))
        except object_store.Error as error:
            if remote.is_missing(error):
                return wanted
            raise
        wanted += 1
    return wanted if wanted < count else None


def delete_pieces(archive_id, first, last, end):
    """Delete the pieces with the numbers ``first`` to ``last`` - 1; returns the number of the first that is left.

    end: time (``time.monotonic``) after which no further request is begun.
    """
    account, where = object_store.service_account(), place(archive_id)
    while first < last and time.monotonic() < end:
        until = min(first + _PAGE, last)
        account.purge(where.container, [where.segment(number) for number in range(first, until)])
        first = until
    return first


def delete(archive_id, end):
    """Delete an archive; what its guest still sends is refused from then on. Returns whether nothing is left.

    end: as for ``delete_pieces``.
    """
    account, where = object_store.service_account(), place(archive_id)
    try:
        account.post_container(where.container, crypto.container_headers([]))
        while time.monotonic() < end:
            names = [found.name for found in account.list(where.container)][:_PAGE]
            if not names:
                account.delete_container(where.container)
                return True
            if not account.purge(where.container, names):
                return False  # a listing that still shows what is gone needs time
    except object_store.Error as error:
        if remote.is_conflict(error):  # a request that was under way has written one more
            return False
        if not remote.is_missing(error):
            raise
        return True
    return False
