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

from swiftclient import exceptions, utils

from trove.common import exception, remote, security

# What the object store answers with an error; remote.http_status reads its status.
Error = exceptions.ClientException

# Entries of one listing; the object store gives no more at once.
PAGE = 10000
_LONGEST_CONTAINER, _LONGEST_NAME = 256, 1024
_FORBIDDEN = re.compile(r"[^\x20-\x7e]|[%\\?#]")
_META = "x-object-meta-"
# Headers of objects that show the content of others, and of those that the object store will delete by itself.
_NOT_PLAIN = ("x-static-large-object", "x-object-manifest", "x-symlink-target", "x-delete-at")


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
    """What the object store says of one object. metadata: {name: text}; plain: whether it has bytes of its own, and
    stays until it is deleted.
    """

    size: int
    hash: str
    metadata: dict
    plain: bool


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
    if not isinstance(text, str):
        raise _refused(text, "it is not a text")
    if len(text) > longest:
        raise _refused(text, f"it has more than {longest} characters")
    if found := _FORBIDDEN.search(text):
        raise _refused(text, f"it has the character {found[0]!a}")
    if any(part in ("", ".", "..") for part in parts):
        raise _refused(text, "a part of it is empty, '.' or '..'")


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


class Account:
    """One account of the object store. Methods raise ``Error`` for what it refuses, PathRefused for a bad name.

    client: swiftclient's Connection, which one thread uses.
    """

    def __init__(self, client):
        self._client = client

    def url(self):
        """Return the URL of the account, without a slash at its end."""
        # A client with the token of a request knows it from the beginning, and has nothing to log in with.
        return (self._client.url or self._client.get_auth()[0]).rstrip("/")

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
        self._client.post_container(container, headers)

    def used(self, container):
        """Return the bytes of all objects of a container."""
        path(container)
        return int(self._client.head_container(container).get("x-container-bytes-used", 0))

    def delete_container(self, container):
        """Delete an empty container."""
        path(container)
        self._client.delete_container(container)

    def containers(self, prefix, marker=""):
        """Return the names of containers that begin with ``prefix``, those after ``marker``: one page of them."""
        return [entry["name"] for entry in self._client.get_account(prefix=prefix, marker=marker, limit=PAGE)[1]]

    def list(self, container, prefix=None):
        """Return the Objects whose names begin with ``prefix``, by name: one page, at most PAGE of them.

        Their names may come from a guest: match them against an exact pattern before use.
        """
        path(container)
        entries = self._client.get_container(container, prefix=prefix, limit=PAGE)[1]
        return [Object(entry["name"], entry["bytes"], entry["hash"]) for entry in entries if "name" in entry]

    def put(self, container, name, headers):
        """Write an object without bytes, with these headers ({name: value})."""
        path(container, name)
        self._client.put_object(container, name, b"", content_length=0, headers=headers)

    def head(self, container, name):
        """Return the Facts of an object."""
        path(container, name)
        headers = self._client.head_object(container, name)
        metadata = {key[len(_META):].replace("-", "_"): value for key, value in headers.items()
                    if key.startswith(_META)}
        return Facts(int(headers.get("content-length", 0)), headers.get("etag", "").strip('"'), metadata,
                     not any(headers.get(name) for name in _NOT_PLAIN))

    def delete(self, container, name):
        """Delete one object; an absent one is fine."""
        path(container, name)
        try:
            self._client.delete_object(container, name)
        except Error as error:
            if not remote.is_missing(error):
                raise

    def purge(self, container, names):
        """Delete objects of a container whatever their names are, at most 1000; absent ones are fine.

        Their names stand in the body of the request, where nothing resolves them; only the container, which is
        checked, decides where they are looked for. Raises Error naming how many could not be deleted.
        """
        where = path(container)
        lines = "\n".join(f"{where}/{parse.quote(name, safe='')}" for name in names)
        _, answer = self._client.post_account(
            {"Content-Type": "text/plain", "Accept": "application/json"}, query_string="bulk-delete",
            data=lines.encode())
        failed = json.loads(answer).get("Errors", [])
        if failed:
            raise Error(f"{len(failed)} of {len(names)} objects of {container} cannot be deleted", http_status=409)
