"""The object store: the one place that makes its paths and calls its client.

swiftclient puts the names it is given into a URL, and the HTTP library below it removes dot segments from that URL
before it sends it: a name such as ``a/../../b`` would reach another container, account or service. So every name goes
through ``path`` here, and nothing else in the project calls swiftclient (tests/unit/common/test_object_store.py).
"""
import json
import re
import time
from dataclasses import dataclass
from urllib import parse

from oslo_log import log as logging
from swiftclient import exceptions, utils

from trove.common import exception, remote, security

LOG = logging.getLogger(__name__)

# Raised when the object store answers with an error; remote.http_status reads its status.
Error = exceptions.ClientException

# Entries of one listing; the object store gives no more at once.
PAGE = 10000
_LONGEST_CONTAINER, _LONGEST_NAME = 256, 1024
_FORBIDDEN = re.compile(r"[^\x20-\x7e]|[%\\?#]")
_META = "x-object-meta-"
# Headers of objects that show the content of others, and of those that the object store will delete by itself.
_NOT_PLAIN = ("x-static-large-object", "x-object-manifest", "x-symlink-target", "x-delete-at")


# Names of one request for bulk deletion.
_BULK = 1000
# The methods and the digest of signed URLs (TempURL) that backups need.
_METHODS = ("GET", "POST", "PUT")
_DIGEST = "sha256"
_limits = {}  # URL of /info -> Limits; only of an object store that lacks nothing


class Unfit(exception.CloudError):
    """The object store lacks a feature that backups need. The message names what its operator must enable."""

    message = "The object store cannot keep backups: %(reason)s."


class PathRefused(exception.Conflict):
    """A name would not stay in its place in a URL."""

    message = "The name %(name)s cannot be used in the object store: %(reason)s."


@dataclass(frozen=True)
class Object:
    """One object. hash: its ETag, the MD5 of its bytes in hexadecimal; size: bytes."""

    name: str
    size: int
    hash: str


@dataclass(frozen=True)
class Facts:
    """The headers of one object.

    size: bytes; hash: its ETag; metadata: {name: text}; plain: whether the object has bytes of its own and no time at
    which the object store deletes it.
    """

    size: int
    hash: str
    metadata: dict
    plain: bool


@dataclass(frozen=True)
class Limits:
    """The limits that the proxy of an object store reports at /info.

    listing: entries of one listing; bulk: names of one request for bulk deletion, 0 without bulk deletion; lacks: what
    its operator must enable for backups, None when nothing is missing.
    """

    listing: int = PAGE
    bulk: int = _BULK
    lacks: str | None = None


def path(container, name=None):
    """Return ``container/name`` (``container`` without a name), percent-encoded, for a URL below an account.

    Raises PathRefused, and reports the security event path.refused, unless each text would stay where it is put:
    refused are dot segments, empty segments, a slash in the container, percent signs (encoded characters),
    backslashes, query and fragment marks, control characters and characters that are not ASCII.
    """
    _check(container, _LONGEST_CONTAINER, [container])
    if isinstance(container, str) and "/" in container:
        raise _refused(container, "the name of a container has no slash")
    if name is None:
        return parse.quote(container)
    _check(name, _LONGEST_NAME, name.split("/") if isinstance(name, str) else [name])
    return f"{parse.quote(container)}/{parse.quote(name)}"


def _check(text, longest, parts):
    if reason := _fault(text, longest, parts):
        raise _refused(text, reason)


def _fault(text, longest, parts):
    """Return why a text cannot stand in a URL, or None."""
    if not isinstance(text, str):
        return "it is not a text"
    if len(text) > longest:
        return f"it has more than {longest} characters"
    if found := _FORBIDDEN.search(text):
        return f"it has the character {found[0]!a}"
    if any(part in ("", ".", "..") for part in parts):
        return "a part of it is empty, '.' or '..'"
    return None


def _refused(name, reason):
    shown = security.printable(repr(name))
    security.report("path.refused", f"{shown}: {reason}")
    return PathRefused(name=shown, reason=reason)


def service_account():
    """Return the Account in which backups are kept: that of the user whom the options swift_user ... name."""
    return Account(remote.swift_client())


def tenant_account(token, project_id):
    """Return the Account of a tenant, used with the token of its request (text)."""
    path(project_id)
    return Account(remote.tenant_swift_client(token, project_id))


def sign(url, container, prefix, method, key, seconds):
    """Return the query string that lets its holder use the objects whose names begin with ``prefix`` (TempURL).

    url: of the account; method: one HTTP method; key: one of the container's; seconds: how long it is valid.
    """
    account = parse.urlsplit(url).path
    # The object store does not see what a proxy has before /v1/.
    whole = f"{account[account.index('/v1/'):].rstrip('/')}/{path(container, prefix)}"
    return utils.generate_temp_url(whole, int(time.time() + seconds), key, method, absolute=True,
                                   prefix=True).partition("?")[2]


def forget_limits():
    """Read /info again at the next use."""
    _limits.clear()


def _limits_of(info):
    """Return the Limits that /info (dict) names."""
    signed = info.get("tempurl")
    if signed is None:
        lacks = ("it takes no signed URLs; its operator must add the filter tempurl to the pipeline of the proxy, "
                 "before the filters of authentication")
    elif missing := sorted(set(_METHODS) - set(signed.get("methods", _METHODS))):
        lacks = (f"it takes no signed URLs for {', '.join(missing)}; its operator must add that to the option methods "
                 "of the proxy's filter tempurl")
    elif _DIGEST not in signed.get("allowed_digests", [_DIGEST]):
        lacks = (f"it does not take signatures with {_DIGEST}; its operator must add that to the option "
                 "allowed_digests of the proxy's filter tempurl")
    else:
        lacks = None
    listing = int(info.get("swift", {}).get("container_listing_limit", PAGE))
    bulk = int(info.get("bulk_delete", {}).get("max_deletes_per_request", 0))
    if not bulk:
        LOG.warning("The object store has no bulk deletion (filter bulk of its proxy): an object whose name would "
                    "leave its place in a URL cannot be deleted")
    return Limits(min(listing, PAGE), min(bulk, _BULK), lacks)


class Account:
    """One account of the object store. Methods raise ``Error`` for what it refuses, PathRefused for a bad name.

    A 404 of any method means that the object or container is really missing. Swift answers 404 for every container
    while its account servers are away, so each 404 is believed only after the account has answered; until then it is
    raised as a 503, which may pass.

    client: swiftclient's Connection, which one thread uses.
    """

    def __init__(self, client):
        self._client = client

    def _sure(self, call, *args, **kwargs):
        """Call ``call``; after a 404 ask the account and call once more. Raises Error."""
        try:
            return call(*args, **kwargs)
        except Error as error:
            if not remote.is_missing(error):
                raise
        self._ask()
        return call(*args, **kwargs)

    def _sure_of(self, container, call, *args, **kwargs):
        """Call ``call(container, ...)`` as ``_sure`` does; a container that the account lists is not missing either."""
        try:
            return self._sure(call, container, *args, **kwargs)
        except Error as error:
            if remote.is_missing(error) and container in self._names(container, ""):
                raise _unsure(f"the container {container} is listed, but does not answer") from error
            raise

    def _ask(self):
        """Check that the servers of the account answer. Raises Error, never with the status 404."""
        try:
            self._client.head_account()
        except Error as error:
            if remote.is_missing(error):
                raise _unsure("the account of the user for backups is not found") from error
            raise

    def url(self):
        """Return the URL of the account, without a slash at its end."""
        # A client with the token of a request knows it from the beginning, and has nothing to log in with.
        return (self._client.url or self._client.get_auth()[0]).rstrip("/")

    def limits(self):
        """Return the Limits, of /info, which is read once for a process unless something is lacking.

        An object store that hides its /info is taken to have all features.
        """
        where = f"{self.url().partition('/v1/')[0]}/info"
        if where in _limits:
            return _limits[where]
        try:
            found = _limits_of(self._client.get_capabilities(where))
        except Error as error:
            if remote.http_status(error) not in (401, 403, 404):
                raise
            LOG.warning("The object store does not show its features at %s (status %s): it is taken to have signed "
                        "URLs, bulk deletion and listings of %d entries", where, error.http_status, PAGE)
            found = Limits()
        finally:
            self._client.close()  # its connection would go on to put the names of containers behind this URL
        if found.lacks:
            LOG.error("The object store at %s cannot keep backups: %s", where, found.lacks)
        else:
            _limits[where] = found
        return found

    def check(self):
        """Check that the object store can keep backups. Raises Unfit naming what its operator must enable."""
        if lacks := self.limits().lacks:
            raise Unfit(reason=lacks)

    def container_url(self, container):
        """Return the URL of a container."""
        return f"{self.url()}/{path(container)}"

    def put_container(self, container, headers=None):
        """Make a container, or give one that exists these headers ({name: value}); its objects stay."""
        path(container)
        self._client.put_container(container, headers or {})

    def post_container(self, container, headers):
        """Change headers of a container ({name: value})."""
        path(container)
        self._sure_of(container, self._client.post_container, headers)

    def used(self, container):
        """Return the bytes of all objects of a container."""
        path(container)
        found = self._sure_of(container, self._client.head_container)
        return int(found.get("x-container-bytes-used", 0))

    def delete_container(self, container):
        """Delete an empty container."""
        path(container)
        self._sure_of(container, self._client.delete_container)

    def containers(self, prefix, marker=""):
        """Return (names of the containers that begin with ``prefix``, those after ``marker``, one page of them; whether
        more may follow).
        """
        found = self._names(prefix, marker)
        return found, len(found) == self.limits().listing

    def _names(self, prefix, marker):
        limit = self.limits().listing
        return [entry["name"] for entry in self._client.get_account(prefix=prefix, marker=marker, limit=limit)[1]]

    def list(self, container, prefix=None, marker=None):
        """Return the Objects whose names begin with ``prefix``, by name, those after ``marker``: one page, at most
        ``limits().listing``.

        Listings lag: an object that is not listed may be there, and one that is listed may be gone. Their names may
        come from a guest: match them against an exact pattern before use.
        """
        path(container)
        entries = self._sure_of(container, self._client.get_container, prefix=prefix, marker=marker,
                                limit=self.limits().listing)[1]
        return [Object(entry["name"], entry["bytes"], entry["hash"]) for entry in entries if "name" in entry]

    def put(self, container, name, headers):
        """Write an object without bytes, with these headers ({name: value})."""
        path(container, name)
        self._sure(self._client.put_object, container, name, b"", content_length=0, headers=headers)

    def head(self, container, name):
        """Return the Facts of an object."""
        path(container, name)
        headers = self._sure(self._client.head_object, container, name)
        metadata = {key[len(_META):].replace("-", "_"): value for key, value in headers.items()
                    if key.startswith(_META)}
        return Facts(int(headers.get("content-length", 0)), headers.get("etag", "").strip('"'), metadata,
                     not any(headers.get(name) for name in _NOT_PLAIN))

    def delete(self, container, name):
        """Delete one object; an absent one is fine. Returns whether it was there."""
        path(container, name)
        try:
            self._client.delete_object(container, name)
        except Error as error:
            if not remote.is_missing(error):
                raise
        else:
            return True
        self._ask()
        try:
            self._client.delete_object(container, name)
        except Error as error:
            if not remote.is_missing(error):
                raise
            return False
        return True

    def purge(self, container, names):
        """Delete objects of a container whatever their names are; absent ones are fine.

        Their names stand in the body of requests, where nothing resolves them; only the container, which is checked,
        decides where they are looked for. Without bulk deletion those are deleted whose names stay in their place.
        Returns how many were there. Raises Error naming how many could not be deleted.
        """
        where, size, deleted = path(container), self.limits().bulk, 0
        if not size:
            return self._purge_singly(container, names)
        for start in range(0, len(names), size):
            part = names[start:start + size]
            lines = "\n".join(f"{where}/{parse.quote(name, safe='')}" for name in part)
            _, answer = self._client.post_account(
                {"Content-Type": "text/plain", "Accept": "application/json"}, query_string="bulk-delete",
                data=lines.encode())
            answer = json.loads(answer)
            failed = [str(status) for _, status in answer.get("Errors", [])]
            if failed:
                # Each name has a status of its own; servers that are away may come back.
                passing = all(status[:1] == "5" for status in failed)
                raise Error(f"{len(failed)} of {len(part)} objects of {container} cannot be deleted ({failed[0][:60]})",
                            http_status=503 if passing else 409)
            deleted += int(answer.get("Number Deleted", 0))
        return deleted

    def _purge_singly(self, container, names):
        fitting = [name for name in names if not _fault(name, _LONGEST_NAME, name.split("/"))]
        deleted = sum(self.delete(container, name) for name in fitting)
        if len(fitting) < len(names):
            raise Unfit(reason=f"{len(names) - len(fitting)} objects of the container {container} have names that can "
                               "only be deleted in bulk; its operator must add the filter bulk to the pipeline of the "
                               "proxy")
        return deleted


def _unsure(reason):
    return Error(f"The object store cannot say what it has: {reason}", http_status=503)
