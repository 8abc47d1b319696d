"""The objects of backups in Swift, as the control plane sees them: all in one container of the service's account.

A backup is a manifest (dynamic large object) and its segments; every name begins with the backup's id. Guests have no
account: they are given signatures (TempURL) for the names of one backup. Swift does not let such a signature make a
manifest, so that is done here. Called by the API (existence) and by steps; every function raises swiftclient's
ClientException.
"""
import hashlib
import time
from dataclasses import dataclass
from urllib import parse

from swiftclient import exceptions, utils

from trove.common import crypto, exception, remote
from trove.common.cfg import CONF

_META = "x-object-meta-"


@dataclass(frozen=True)
class Segment:
    """One object of a backup. hash: MD5 in hexadecimal, as Swift computed it when it was written."""

    name: str
    size: int
    hash: str


def segment_prefix(backup_id):
    """What the names of the segments of a backup begin with."""
    return f"{backup_id}_"


def segment_name(backup_id, number):
    """The name of one segment."""
    return f"{segment_prefix(backup_id)}{number:08d}"


def checksum(segments):
    """The checksum of a backup: the MD5 of its segments' MD5s, one after another; Swift's ETag of the manifest."""
    digest = hashlib.md5("".join(segment.hash for segment in segments).encode(), usedforsecurity=False)
    return digest.hexdigest()


def object_name(location):
    """The name of the manifest in a location."""
    return parse.unquote(location.rpartition("/")[2])


def check_service():
    """Whether there is an object store. Raises NotFound when the cloud has none, ServiceUnavailable when it cannot be
    asked.
    """
    from keystoneauth1 import exceptions as keystone
    try:
        _storage_url()
    except (keystone.EndpointNotFound, exceptions.ClientException) as error:
        raise exception.NotFound("The cloud offers no object store for backups.") from error
    except keystone.ClientException as error:
        raise exception.ServiceUnavailable("The object store for backups cannot be reached.") from error


def ensure_container():
    """Make the container, with the key for signatures; one that is there keeps its objects."""
    remote.swift_client().put_container(
        CONF.backup_swift_container, {"X-Container-Meta-Temp-URL-Key": crypto.container_key()})


def container_url():
    """The URL of the container, as guests reach it too."""
    return f"{_storage_url()}/{parse.quote(CONF.backup_swift_container)}"


def _storage_url():
    return remote.swift_client().get_auth()[0].rstrip("/")


def signatures(backup_id, methods, seconds):
    """What a guest needs to use the objects of one backup: {"url": of the container, method: query string}.

    seconds: for how long they are good.
    """
    url = container_url()
    expires = int(time.time() + seconds)
    path = parse.urlsplit(url).path
    prefix = f"{path[path.index('/v1/'):]}/{backup_id}"  # Swift does not see what a proxy has before it
    signed = {"url": url}
    for method in methods:
        path = utils.generate_temp_url(prefix, expires, crypto.container_key(), method, absolute=True, prefix=True)
        signed[method] = path.partition("?")[2]
    return signed


def segments(backup_id):
    """The segments of a backup that are there, in order: a list of Segments."""
    _, entries = remote.swift_client().get_container(
        CONF.backup_swift_container, prefix=segment_prefix(backup_id), full_listing=True)
    return [Segment(entry["name"], entry["bytes"], entry["hash"]) for entry in entries]


def segment_metadata(backup_id):
    """What the guest has kept with the first segment: {name: text}."""
    return _metadata(remote.swift_client().head_object(CONF.backup_swift_container, segment_name(backup_id, 0)))


def write_manifest(backup_id, name, metadata):
    """Make the manifest of a backup. metadata: {name: text}. Returns (location, the ETag that Swift gives for it)."""
    headers = {f"X-Object-Meta-{key.replace('_', '-')}": str(value) for key, value in metadata.items()}
    headers["X-Object-Manifest"] = f"{CONF.backup_swift_container}/{segment_prefix(backup_id)}"
    swift = remote.swift_client()
    swift.put_object(CONF.backup_swift_container, name, b"", content_length=0, headers=headers)
    return f"{container_url()}/{parse.quote(name)}", manifest(name)[0]


def manifest(name):
    """(ETag without quotes, metadata) of a manifest."""
    headers = remote.swift_client().head_object(CONF.backup_swift_container, name)
    return headers["etag"].strip('"'), _metadata(headers)


def _metadata(headers):
    return {name[len(_META):].replace("-", "_"): value for name, value in headers.items() if name.startswith(_META)}


def check(location, expected):
    """Whether the object store still has a backup as it was written.

    expected: its checksum. Raises NotFound when the manifest is gone, Conflict when the checksum is another,
    ServiceUnavailable when the object store does not answer.
    """
    name = object_name(location)
    try:
        etag, _ = manifest(name)
    except Exception as error:
        if remote.is_missing(error):
            raise exception.NotFound(resource="backup file", id=name) from error
        if remote.is_passing(error):
            raise exception.ServiceUnavailable("The object store does not answer.") from error
        raise
    if CONF.verify_swift_checksum_on_restore and etag != expected:
        raise exception.Conflict(f"The backup file {name} has changed: its checksum is {etag}, that of the backup was "
                                 f"{expected}.")


def delete(backup_id, end):
    """Delete what there is of a backup, the manifest first: it is as good as gone with it.

    end: time (``time.monotonic``) after which no further object is begun. Returns whether all is gone.
    """
    swift = remote.swift_client()
    try:
        _, entries = swift.get_container(CONF.backup_swift_container, prefix=backup_id, full_listing=True)
    except Exception as error:
        if remote.is_missing(error):
            return True
        raise
    prefix = segment_prefix(backup_id)
    for entry in sorted(entries, key=lambda entry: entry["name"].startswith(prefix)):
        if time.monotonic() > end:
            return False
        try:
            swift.delete_object(CONF.backup_swift_container, entry["name"])
        except Exception as error:
            if not remote.is_missing(error):
                raise
    return True
