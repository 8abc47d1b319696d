"""The objects of backups in the object store, as the control plane sees them.

Each backup has a container of its own in the account of the control plane: its segments, and a manifest (dynamic
large object) that shows them as one. Every name is computed from the backup's row. Guests have no account: they get
signatures (TempURL). While a backup is taken its container has keys for writing, afterwards it has keys for reading: of
each one, or two while operation_key has several. Without the container or its key a signature is worth nothing.

Backups of earlier releases lie together in the container ``backup_swift_container``; they are restored and deleted.
Called by the API (existence) and by steps; every function raises object_store.Error.
"""
import hashlib
import re
import time
from dataclasses import dataclass
from urllib import parse

from oslo_log import log as logging

from trove.common import cfg, crypto, exception, object_store, remote, security
from trove.common.cfg import CONF

LOG = logging.getLogger(__name__)

# The compression that a guest may report -> the second part of the extension.
COMPRESSIONS = {"none": "", "zstd": ".zst", "gzip": ".gz"}
_SEALED = ".gcm"
# The metadata that a guest may store with the first segment, by exact pattern; ``compression`` is required.
_METADATA = {"lsn": re.compile(r"[0-9]{1,20}"), "compression": re.compile("|".join(COMPRESSIONS))}
# Names of manifests that earlier releases made: words behind dots.
_OLD_EXTENSION = re.compile(r"(\.[a-z0-9_]{1,20}){0,4}")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
# The most segments in a row that can be missing in the middle of an upload: the agent sends two at the same time.
_GAP = 4
# The most segments of one backup: what a dynamic large object shows.
MAX_SEGMENTS = object_store.PAGE


@dataclass(frozen=True)
class Place:
    """Where the objects of one backup lie. manifest: name of the manifest, None before there is one; own: whether the
    container belongs to this backup alone.
    """

    backup_id: str
    container: str
    own: bool = True
    manifest: str | None = None

    @property
    def prefix(self):
        """The beginning of the names of all segments."""
        return f"{self.backup_id}_"

    def segment(self, number):
        """Return the name of one segment."""
        return f"{self.prefix}{number:08d}"


def own_container(backup_id):
    """Return the name of the container of one backup. Raises PathRefused for what is not a UUID in small letters."""
    return f"{CONF.backup_swift_container}_{_uuid(backup_id)}"


def place(backup_id, location=None):
    """Return the Place of a backup.

    location: of its row; it is not used as a path, only compared with the forms that a location can have. Raises
    PathRefused when it has none of them.
    """
    own = Place(backup_id, own_container(backup_id))
    if location is None:
        return own
    container, _, name = "/".join(location.split("/")[-2:]).partition("/")
    for found in (own, Place(backup_id, CONF.backup_swift_container, own=False)):
        if (container == parse.quote(found.container) and name.startswith(backup_id)
                and _OLD_EXTENSION.fullmatch(name, len(backup_id))):
            return Place(backup_id, found.container, found.own, name)
    shown = security.printable(location)
    security.report("path.refused", f"the location of backup {backup_id} is not one that this control plane makes: "
                                    f"{shown}")
    raise object_store.PathRefused(name=shown, reason=f"it is not the location of backup {backup_id}")


def manifest_of(row):
    """Return the name of the manifest of a backup (row), None when it has none or a location that is not ours."""
    if row is None or not row.location:
        return None
    try:
        return place(row.id, row.location).manifest
    except object_store.PathRefused:
        return None


def _uuid(text):
    if not isinstance(text, str) or not _UUID.fullmatch(text):
        shown = security.printable(repr(text))
        security.report("path.refused", f"{shown} is not the id of a backup")
        raise object_store.PathRefused(name=shown, reason="it is not a UUID")
    return text


def extension(backup_type, compression, encrypted):
    """Return the extension of the name of a new manifest. It shows people the format of the stream.

    backup_type: class that takes the backup; compression: a key of COMPRESSIONS; encrypted: whether the stream is.
    """
    # For people: no code reads this part.
    kind = next((card.TRAITS.backup_suffixes[backup_type] for card in cfg.CARDS.values()
                 if backup_type in card.TRAITS.backup_suffixes), "")
    return kind + COMPRESSIONS[compression] + (_SEALED if encrypted else "")


def checksum(segments):
    """Return the checksum of a backup: the MD5 of its segments' MD5s, one after another; Swift's ETag of a manifest."""
    digest = hashlib.md5("".join(segment.hash for segment in segments).encode(), usedforsecurity=False)
    return digest.hexdigest()


def check_service():
    """Check that there is an object store. Raises NotFound when the cloud has none, ServiceUnavailable when it cannot
    be asked.
    """
    from keystoneauth1 import exceptions as keystone
    try:
        object_store.service_account().url()
    except (keystone.EndpointNotFound, object_store.Error) as error:
        raise exception.NotFound("The cloud offers no object store for backups.") from error
    except keystone.ClientException as error:
        raise exception.ServiceUnavailable("The object store for backups cannot be reached.") from error


def make(backup_id):
    """Make the container of a backup, or let the one that is there accept signatures for writing, and no others.

    Raises object_store.Unfit when the object store cannot keep backups.
    """
    account = object_store.service_account()
    account.check()
    account.put_container(own_container(backup_id), crypto.container_headers(crypto.container_keys(backup_id, "write")))


def open_for_reading(where):
    """Let the container at a Place accept signatures for reading, and no others: no guest can write there any more.

    To be repeated before a restore: the keys of the container may be made from an operation_key that is gone.
    """
    object_store.service_account().post_container(where.container, crypto.container_headers(_keys(where, "read")))


def _keys(where, use):
    return crypto.container_keys(where.backup_id, use) if where.own else crypto.shared_container_keys()


def signatures(where, methods, seconds):
    """Return what a guest needs to use the segments at a Place: {"url": of the container, method: query string}.

    methods: GET, PUT, POST; seconds: how long the signatures are valid.
    """
    account = object_store.service_account()
    signed = {"url": account.container_url(where.container)}
    for method in methods:
        signed[method] = object_store.sign(account.url(), where.container, where.prefix, method,
                                           _keys(where, "read" if method == "GET" else "write")[0], seconds)
    return signed


def uploaded(where):
    """Return the bytes that were written into the container of a backup so far."""
    return object_store.service_account().used(where.container)


def segments(where, count):
    """Return the segments at a Place, in order, under their computed names: ``count`` object_store.Objects.

    The listing is only looked up: one that it does not have (yet) is asked for by its name. Raises NotFound naming the
    first that is missing.
    """
    account = object_store.service_account()
    listed = {found.name: found for found in account.list(where.container, where.prefix)}
    result = []
    for number in range(count):
        name = where.segment(number)
        if name not in listed:
            try:
                facts = account.head(where.container, name)
            except object_store.Error as error:
                if remote.is_missing(error):
                    raise exception.NotFound(f"the segment {name} is missing in the object store.") from error
                raise
            listed[name] = object_store.Object(name, facts.size, facts.hash)
        result.append(listed[name])
    return result


def strangers(where, count):
    """Return how many objects in the container of a backup are neither its manifest nor one of its ``count`` segments.

    Only the first PAGE names of the container are looked at.
    """
    names, manifest_name = {where.segment(number) for number in range(count)}, re.compile(
        re.escape(where.backup_id) + _OLD_EXTENSION.pattern)
    return sum(found.name not in names and not manifest_name.fullmatch(found.name)
               for found in object_store.service_account().list(where.container))


def facts(where, number):
    """Return the object_store.Facts of one segment. where: Place; number: from 0."""
    return object_store.service_account().head(where.container, where.segment(number))


def guest_metadata(where):
    """Return what the guest has kept with the first segment, {name: text}; each fits an exact pattern.

    Raises ValueError naming what does not.
    """
    found = facts(where, 0).metadata
    for name, value in found.items():
        if name not in _METADATA or not _METADATA[name].fullmatch(value):
            raise ValueError(f"its first segment has the metadata {security.printable(name, 40)} = "
                             f"{security.printable(value, 40)}, which no agent writes")
    if "compression" not in found:
        raise ValueError("its first segment does not say how the backup is compressed; the agent may be of an earlier "
                         "release, or a proxy of the object store may remove headers X-Object-Meta-*")
    return found


def write_manifest(where, metadata):
    """Make the manifest at a Place. metadata: {name: text}. Returns (its location, the ETag that Swift gives it).

    The ETag is another than the checksum while the listing of the container lags. Raises object_store.Unfit when the
    object store does not keep all the metadata: a proxy may remove them.
    """
    metadata = {key: str(value) for key, value in metadata.items()}
    headers = {f"X-Object-Meta-{key.replace('_', '-')}": value for key, value in metadata.items()}
    headers["X-Object-Manifest"] = object_store.path(where.container, where.prefix)
    account = object_store.service_account()
    account.put(where.container, where.manifest, headers)
    found = account.head(where.container, where.manifest)
    if found.plain:
        raise object_store.Unfit(reason="it does not keep the header X-Object-Manifest; its operator must let that "
                                        "pass through every proxy")
    lost = sorted(key for key, value in metadata.items() if found.metadata.get(key) != value)
    if lost:
        raise object_store.Unfit(reason=f"it does not keep the metadata {', '.join(lost)} of an object; its operator "
                                        "must let headers X-Object-Meta-* pass through every proxy")
    return f"{account.url()}/{object_store.path(where.container, where.manifest)}", found.hash


def manifest(where):
    """Return (ETag, metadata) of the manifest at a Place."""
    found = object_store.service_account().head(where.container, where.manifest)
    return found.hash, found.metadata


def check(backup):
    """Check that the object store still has a backup (row) as it was written.

    Raises NotFound when its manifest is gone, Conflict when the checksum is another, ServiceUnavailable when the object
    store does not answer.
    """
    where = place(backup.id, backup.location)
    try:
        etag, _ = manifest(where)
        if CONF.verify_swift_checksum_on_restore and etag != backup.checksum and backup.segments:
            etag = checksum(segments(where, backup.segments))  # a manifest lacks segments while the listing lags
    except Exception as error:
        if remote.is_missing(error):
            raise exception.NotFound(resource="backup file", id=where.manifest) from error
        if remote.is_passing(error):
            raise exception.ServiceUnavailable("The object store does not answer.") from error
        raise
    if CONF.verify_swift_checksum_on_restore and etag != backup.checksum:
        raise exception.Conflict(f"The backup file {where.manifest} has changed: its checksum is {etag}, that of the "
                                 f"backup was {backup.checksum}.")


def delete(backup_id, end, segments=0, manifest=None, done=0):
    """Delete all objects of a backup and its container. What a guest still sends is refused from then on.

    Listings lag, so segments and manifest are deleted under their computed names, and only what else is there is
    looked for in the listing.

    end: time (``time.monotonic``) after which no further request is begun; segments: how many the guest reported;
    manifest: name of the manifest, if there may be one; done: what an earlier call returned. Returns None when all is
    gone, or the number of segments that are.
    """
    account, where = object_store.service_account(), Place(backup_id, own_container(backup_id))
    try:
        # First of all, so that what is deleted is not written again meanwhile.
        account.post_container(where.container, crypto.container_headers([]))
        if manifest and not done:
            account.delete(where.container, manifest)  # the backup is as good as gone with it
        done, ended = _delete_segments(account, where, segments, done, end)
        if not ended or not _empty(account, where, end):
            return done
        account.delete_container(where.container)
    except object_store.Error as error:
        if remote.is_conflict(error):  # a request that was under way has written one more, or the listing lags
            return done
        if not remote.is_missing(error):
            raise
    return None if _empty(account, Place(backup_id, CONF.backup_swift_container, own=False), end) else done


def _delete_segments(account, where, count, done, end):
    """Delete segments from number ``done`` on: ``count`` of them, and those that a guest sent beyond, which may have
    gaps of _GAP. Returns (number of those that are gone, whether all are).
    """
    missing, number = 0, done
    while number < count or missing < _GAP:
        if number >= MAX_SEGMENTS or time.monotonic() > end:
            return done, number >= MAX_SEGMENTS
        missing = 0 if account.delete(where.container, where.segment(number)) else missing + 1
        number += 1
        done = number if number < count or not missing else done
    return done, True


def _empty(account, where, end):
    """Delete the objects of a backup that are listed at a Place; returns whether none is listed any more."""
    names = re.compile(rf"{re.escape(where.backup_id)}(_[0-9]{{8}}|{_OLD_EXTENSION.pattern})")
    while True:
        try:
            found = [each.name for each in account.list(where.container, where.backup_id if not where.own else None)]
        except object_store.Error as error:
            if remote.is_missing(error):
                return True
            raise
        ours = [name for name in found if names.fullmatch(name)]
        odd = [name for name in found if not names.fullmatch(name)]
        if odd:
            security.report("path.refused", f"{len(odd)} objects of backup {where.backup_id} in the container "
                                            f"{where.container} have names that no agent gives, such as {odd[0]!r}")
        if not ours and not (odd and where.own):
            return True
        deleted = 0
        # The manifest first: the backup is as good as gone with it.
        for name in sorted(ours, key=lambda name: name.startswith(where.prefix)):
            if time.monotonic() > end:
                return False
            deleted += account.delete(where.container, name)
        if odd and where.own:
            deleted += account.purge(where.container, odd[:1000])
        if not deleted or time.monotonic() > end:
            return False  # a listing that still shows what is gone needs time


def containers(marker=""):
    """Return one page of the backups that have a container: a list of their ids, and the marker of the next page or
    None.
    """
    prefix = f"{CONF.backup_swift_container}_"
    found, more = object_store.service_account().containers(prefix, marker)
    ids = [name[len(prefix):] for name in found if _UUID.fullmatch(name, len(prefix))]
    return ids, found[-1] if more else None
