"""Objects in files, their index in the store: what object_store.py answers with.

An object's bytes lie in one file with a random name, written aside and renamed when whole; the index row makes it
visible and takes the place of an older object in one transaction. Files are not synced: they survive the death of any
process, not that of the machine.
"""

import dataclasses
import hashlib
import json
import time
import uuid

from minicloud.api.web import Fault

BLOCK = 1 << 20
MAX_OBJECT_BYTES = 5 * (1 << 30) + 2
LISTING_LIMIT = 10000


@dataclasses.dataclass(frozen=True)
class Object:
    """One row of the index. ``headers`` are what was stored with it (X-Object-Meta-..., X-Object-Manifest ...)."""

    account: str
    container: str
    name: str
    file: str
    size: int
    etag: str
    content_type: str
    modified: float
    delete_at: float | None
    headers: dict

    @property
    def dynamic_manifest(self):
        """(container, prefix) of the segments of a dynamic large object, or None."""
        container, slash, prefix = self.headers.get("x-object-manifest", "").partition("/")
        return (container, prefix) if slash else None

    @property
    def is_static_manifest(self):
        """Whether the bytes are the list of segments of a static large object."""
        return self.headers.get("x-static-large-object") == "True"


def _object(row):
    return Object(**{**dict(row), "headers": json.loads(row["headers"])})


class Objects:
    """The index and the files."""

    def __init__(self, store, directory):
        self.store, self.directory = store, directory
        self.lists = lambda object: True  # whether listings have an object; swift_weather.py lets them lag
        (directory / "incoming").mkdir(parents=True, exist_ok=True)

    def clean(self):
        """At the start of the service: remove files that no row names: uploads cut off, deletions half done."""
        known = {row["file"] for row in self.store.sql.execute("SELECT file FROM objects")}
        for path in [*self.directory.glob("incoming/*"), *self.directory.glob("??/*")]:
            if f"{path.parent.name}/{path.name}" not in known:
                path.unlink()

    def path(self, object):
        """The file of an object."""
        return self.directory / object.file

    def unlisted(self):
        """The names of objects whose containers are gone: nothing finds them any more."""
        rows = self.store.sql.execute(
            "SELECT o.name FROM objects o LEFT JOIN containers c ON c.account = o.account AND c.name = o.container "
            "WHERE c.name IS NULL"
        )
        return [row["name"] for row in rows]

    # Containers

    def containers(self, account, prefix="", marker="", end_marker=None, limit=LISTING_LIMIT):
        """(name, created, headers, number of objects, bytes) of each container, by name."""
        rows = self.store.sql.execute(
            "SELECT c.name, c.created, c.headers, COUNT(o.name) AS count, COALESCE(SUM(o.size), 0) AS bytes "
            "FROM containers c "
            "LEFT JOIN objects o ON o.account = c.account AND o.container = c.name AND COALESCE(o.delete_at, ?) > ? "
            "WHERE c.account = ? AND c.name > ? AND (? IS NULL OR c.name < ?) AND substr(c.name, 1, length(?)) = ? "
            "GROUP BY c.name ORDER BY c.name LIMIT ?",
            (time.time() + 1, time.time(), account, marker, end_marker, end_marker, prefix, prefix, limit),
        )
        return [(r["name"], r["created"], json.loads(r["headers"]), r["count"], r["bytes"]) for r in rows]

    def container(self, account, name):
        """The headers of a container, or None when there is none."""
        row = self.store.sql.execute(
            "SELECT headers, created FROM containers WHERE account = ? AND name = ?", (account, name)
        ).fetchone()
        return {"x-timestamp": f"{row['created']:.5f}", **json.loads(row["headers"])} if row else None

    def usage(self, account, container):
        """(number of objects, bytes)."""
        row = self.store.sql.execute(
            "SELECT COUNT(*) AS count, COALESCE(SUM(size), 0) AS bytes FROM objects "
            "WHERE account = ? AND container = ? "
            "AND (delete_at IS NULL OR delete_at > ?)",
            (account, container, time.time()),
        ).fetchone()
        return row["count"], row["bytes"]

    def put_container(self, account, name, headers):
        """Make a container or add headers to it (an empty value removes one); says whether it is new."""
        with self.store.transaction() as sql:
            old = self.container(account, name)
            merged = {**{k: v for k, v in (old or {}).items() if k != "x-timestamp"}, **headers}
            merged = json.dumps({name: value for name, value in merged.items() if value})
            sql.execute(
                "INSERT INTO containers (account, name, created, headers) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (account, name) DO UPDATE SET headers = excluded.headers",
                (account, name, time.time(), merged),
            )
        return old is None

    def delete_container(self, account, name):
        """:raises Fault: 404, 409 while it has objects."""
        with self.store.transaction() as sql:
            if self.container(account, name) is None:
                raise Fault(404, "The resource could not be found.")
            if next(self.list(account, name), None):
                raise Fault(409, "There was a conflict when trying to complete your request.")
            sql.execute("DELETE FROM containers WHERE account = ? AND name = ?", (account, name))

    # Objects

    def find(self, account, container, name):
        """The object, or None (also when its time is over)."""
        row = self.store.sql.execute(
            "SELECT * FROM objects WHERE account = ? AND container = ? AND name = ? "
            "AND (delete_at IS NULL OR delete_at > ?)",
            (account, container, name, time.time()),
        ).fetchone()
        return _object(row) if row else None

    def list(self, account, container, prefix="", marker="", end_marker=None, reverse=False):
        """Objects of a container whose names begin with the prefix and lie between the markers, by name; lazily."""
        low, high = (end_marker, marker or None) if reverse else (marker or None, end_marker)
        query = (
            "SELECT * FROM objects WHERE account = ? AND container = ? AND name >= ? AND (? IS NULL OR name > ?) "
            "AND (? IS NULL OR name < ?) AND (delete_at IS NULL OR delete_at > ?) ORDER BY name"
        )
        rows = self.store.sql.execute(
            query + " DESC" if reverse else query,
            (account, container, prefix, low, low, high, high, time.time()),
        )
        for row in rows:
            if row["name"].startswith(prefix):
                if self.lists(found := _object(row)):
                    yield found
            elif not reverse:
                return

    def write(self, read, expected_size=None):
        """Store bytes in a file that no object has yet.

        :param read: read(n) gives up to n bytes, b"" at the end.
        :param expected_size: what was announced, or None.
        :returns: (file, size, MD5)
        :raises Fault: 413 too large, 499 cut off, 507 disk full
        """
        name = uuid.uuid4().hex
        incoming, file = self.directory / "incoming" / name, f"{name[:2]}/{name}"
        md5, size = hashlib.md5(usedforsecurity=False), 0
        try:
            with incoming.open("wb", buffering=0) as output:
                while block := _read(read):
                    size += len(block)
                    if size > MAX_OBJECT_BYTES:
                        raise Fault(413, "The body of your request was too large for this server.")
                    md5.update(block)
                    output.write(block)
            if expected_size not in (None, size):
                raise Fault(499, "The client disconnected before the end of the request.")
            (self.directory / name[:2]).mkdir(exist_ok=True)
            incoming.rename(self.directory / file)
        except OSError as error:
            incoming.unlink(missing_ok=True)
            raise Fault(507, f"There is no room for this object: {error.strerror}.") from error
        except Fault:
            incoming.unlink(missing_ok=True)
            raise
        return file, size, md5.hexdigest()

    def put(self, object):
        """Make an object visible in place of an older one with its name. :raises Fault: 404 without its container"""
        fields = [field.name for field in dataclasses.fields(Object)]
        values = [
            json.dumps(object.headers) if name == "headers" else getattr(object, name) for name in fields
        ]
        with self.store.transaction() as sql:
            if self.container(object.account, object.container) is None:
                self.path(object).unlink(missing_ok=True)
                raise Fault(404, "The resource could not be found.")
            old = sql.execute(
                "SELECT file FROM objects WHERE account = ? AND container = ? AND name = ?",
                (object.account, object.container, object.name),
            ).fetchone()
            sql.execute(
                f"INSERT OR REPLACE INTO objects ({', '.join(fields)}) "  # noqa: S608 - the names of a dataclass
                f"VALUES ({', '.join('?' * len(fields))})",
                values,
            )
        if old and old["file"] != object.file:
            (self.directory / old["file"]).unlink(missing_ok=True)
        self.expire()

    def delete(self, object):
        """Remove an object; says whether it was still there."""
        with self.store.transaction() as sql:
            gone = sql.execute(
                "DELETE FROM objects WHERE account = ? AND container = ? AND name = ? AND file = ?",
                (object.account, object.container, object.name, object.file),
            ).rowcount
        if gone:
            self.path(object).unlink(missing_ok=True)
        return bool(gone)

    def set_headers(self, object, headers, content_type, delete_at):
        """Replace what is stored with an object beside its bytes."""
        with self.store.transaction() as sql:
            sql.execute(
                "UPDATE objects SET headers = ?, content_type = ?, delete_at = ?, modified = ? "
                "WHERE account = ? AND container = ? AND name = ? AND file = ?",
                (
                    json.dumps(headers),
                    content_type,
                    delete_at,
                    time.time(),
                    object.account,
                    object.container,
                    object.name,
                    object.file,
                ),
            )

    def expire(self):
        """Remove objects whose time is over; they have been invisible since."""
        rows = self.store.sql.execute(
            "SELECT * FROM objects WHERE delete_at IS NOT NULL AND delete_at <= ? LIMIT 100", (time.time(),)
        )
        for row in rows.fetchall():
            self.delete(_object(row))

    # Large objects

    def segments(self, object, lenient=False):
        """The objects whose bytes are this object's bytes: itself, or the segments of a manifest (also of nested ones).

        :param lenient: leave out segments of a static large object that are missing or were changed.
        :raises Fault: 409 when there is such a segment.
        """
        if object.dynamic_manifest:
            container, prefix = object.dynamic_manifest
            found = self.list(object.account, container, prefix)
            return [
                part for one in found for part in (self.segments(one) if one.is_static_manifest else [one])
            ]
        if not object.is_static_manifest:
            return [object]
        result = []
        for entry in self.manifest(object):
            container, _, name = entry["name"].lstrip("/").partition("/")
            segment = self.find(object.account, container, name)
            if segment and (segment.is_static_manifest or segment.etag == entry["hash"]):
                result += self.segments(segment, lenient)
            elif not lenient:
                raise Fault(
                    409, f"The segment {entry['name']} of this large object is missing or was changed."
                )
        return result

    def manifest(self, object):
        """The list of segments of a static large object, as object_manifest.py made it."""
        return json.loads(self.path(object).read_bytes())

    def facts(self, object):
        """(size, ETag as sent) of what a GET delivers; see large_etag."""
        if object.is_static_manifest:
            parts = [(entry["bytes"], entry["hash"]) for entry in self.manifest(object)]
        elif object.dynamic_manifest:
            parts = [(segment.size, segment.etag) for segment in self.segments(object)]
        else:
            return object.size, object.etag
        return sum(size for size, _ in parts), large_etag(etag for _, etag in parts)

    def stream(self, object, first, last):
        """The bytes from ``first`` to ``last`` (both included) of what a GET delivers, in blocks."""
        position = 0
        for segment in self.segments(object):
            start, end = max(first - position, 0), min(last - position, segment.size - 1)
            position += segment.size
            if start > end:
                continue
            with self.path(segment).open("rb", buffering=0) as file:
                file.seek(start)
                left = end - start + 1
                while left and (block := file.read(min(BLOCK, left))):
                    left -= len(block)
                    yield block


def large_etag(etags):
    """The ETag of a large object: the MD5 of its segments' ETags one after another, in quotes."""
    return f'"{hashlib.md5("".join(etags).encode(), usedforsecurity=False).hexdigest()}"'


def _read(read):
    try:
        return read(BLOCK)
    except (OSError, ValueError) as error:  # what the HTTP server raises for a broken connection or chunk
        raise Fault(499, "The client disconnected before the end of the request.") from error
