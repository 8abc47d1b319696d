"""All state of the service: one SQLite file (WAL) holding JSON documents by kind and id.

Used by every part of ``minicloud.api``; knows nothing of HTTP or of what a document means. A process killed at any
moment leaves the last committed transaction. Threads may share one Store: each has its own connection, writers take
turns.
"""

import contextlib
import datetime
import json
import sqlite3
import threading
import uuid
from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, id TEXT NOT NULL, project_id TEXT, name TEXT,
  body TEXT NOT NULL, UNIQUE (kind, id));
CREATE INDEX IF NOT EXISTS documents_by_project ON documents (kind, project_id);
CREATE INDEX IF NOT EXISTS documents_by_name ON documents (kind, name);
CREATE TABLE IF NOT EXISTS operations (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, resource_id TEXT NOT NULL, args TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS tokens (digest TEXT PRIMARY KEY, expires REAL NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS containers (
  account TEXT NOT NULL, name TEXT NOT NULL, created REAL NOT NULL, headers TEXT NOT NULL, PRIMARY KEY (account, name));
CREATE TABLE IF NOT EXISTS objects (
  account TEXT NOT NULL, container TEXT NOT NULL, name TEXT NOT NULL, file TEXT NOT NULL, size INTEGER NOT NULL,
  etag TEXT NOT NULL, content_type TEXT NOT NULL, modified REAL NOT NULL, delete_at REAL, headers TEXT NOT NULL,
  PRIMARY KEY (account, container, name));
CREATE INDEX IF NOT EXISTS objects_by_delete_at ON objects (delete_at) WHERE delete_at IS NOT NULL;
"""


class Missing(LookupError):
    """There is no document of that kind with that id."""

    def __init__(self, kind, id):
        super().__init__(f"{kind} {id} does not exist")
        self.kind, self.id = kind, id


class Exists(ValueError):
    """A document of that kind with that id is there already."""


def new_id():
    """A random id in the dashed form that Nova, Cinder, Glance and Neutron use."""
    return str(uuid.uuid4())


def now():
    """The current time, UTC, as ISO 8601 to the second without a zone: ``2026-01-31T12:00:00``."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S")


class Store:
    """Documents (dicts with at least ``id``; ``project_id`` and ``name`` are indexed) in one SQLite file."""

    def __init__(self, path):
        """:param path: the file, made (mode 0600) if it is absent."""
        self.path = str(path)
        Path(path).touch(mode=0o600)  # it holds the user data of servers
        self._local = threading.local()
        self._connections = []
        self._writer = threading.RLock()
        with self.transaction() as sql:
            for statement in SCHEMA.split(";"):
                sql.execute(statement)

    @property
    def sql(self):
        """This thread's connection (autocommit); for reads. Writes belong into :meth:`transaction`."""
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            self._local.connection = connection
            self._connections.append(connection)
        return connection

    @contextlib.contextmanager
    def transaction(self):
        """Everything inside happens at once or not at all; may be nested (the outermost one commits).

        The lock in front of SQLite's own spares the threads of this process its polling.
        """
        with self._writer:
            sql = self.sql
            if sql.in_transaction:
                yield sql
                return
            sql.execute("BEGIN IMMEDIATE")
            try:
                yield sql
            except BaseException:
                sql.execute("ROLLBACK")
                raise
            sql.execute("COMMIT")

    def close(self):
        """Close the connections of all threads."""
        for connection in self._connections:
            connection.close()
        self._connections.clear()
        self._local = threading.local()

    # Documents

    def add(self, kind, document):
        """Store a new document and return it. :raises Exists: when its id is taken."""
        try:
            with self.transaction() as sql:
                sql.execute(
                    "INSERT INTO documents (kind, id, project_id, name, body) VALUES (?, ?, ?, ?, ?)",
                    (
                        kind,
                        document["id"],
                        document.get("project_id"),
                        document.get("name"),
                        json.dumps(document),
                    ),
                )
        except sqlite3.IntegrityError as error:
            raise Exists(f"{kind} {document['id']} exists") from error
        return document

    def find(self, kind, id):
        """The document, or None."""
        row = self.sql.execute("SELECT body FROM documents WHERE kind = ? AND id = ?", (kind, id)).fetchone()
        return json.loads(row["body"]) if row else None

    def get(self, kind, id):
        """The document. :raises Missing: when there is none."""
        document = self.find(kind, id)
        if document is None:
            raise Missing(kind, id)
        return document

    def list(self, kind, project_id=None, **equal):
        """Documents in the order of their creation whose fields equal the given values.

        :param project_id: of this project only; None: of all.
        :param equal: None means that the field is absent or null.
        """
        query, values = "SELECT body FROM documents WHERE kind = ?", [kind]
        if project_id is not None:
            query, values = query + " AND project_id = ?", [*values, project_id]
        if equal.get("name") is not None:
            query, values = query + " AND name = ?", [*values, equal.pop("name")]
        rows = self.sql.execute(query + " ORDER BY seq", values).fetchall()
        documents = (json.loads(row["body"]) for row in rows)
        return [d for d in documents if all(d.get(key) == value for key, value in equal.items())]

    def change(self, kind, id, /, **fields):
        """Set fields of a document and return it whole. :raises Missing: when it is gone."""
        with self.transaction() as sql:
            document = self.get(kind, id)
            document.update(fields)
            sql.execute(
                "UPDATE documents SET project_id = ?, name = ?, body = ? WHERE kind = ? AND id = ?",
                (document.get("project_id"), document.get("name"), json.dumps(document), kind, id),
            )
        return document

    def remove(self, kind, id):
        """Delete a document; says whether it was there."""
        with self.transaction() as sql:
            return sql.execute("DELETE FROM documents WHERE kind = ? AND id = ?", (kind, id)).rowcount > 0

    # Operations: work that was accepted and is not finished (see api/jobs.py)

    def add_operation(self, name, resource_id, args):
        """Remember an operation until :meth:`remove_operation`; returns its number."""
        with self.transaction() as sql:
            return sql.execute(
                "INSERT INTO operations (name, resource_id, args) VALUES (?, ?, ?)",
                (name, resource_id, json.dumps(args)),
            ).lastrowid

    def operations(self):
        """All unfinished ones, oldest first, as (number, name, resource id, args)."""
        rows = self.sql.execute("SELECT seq, name, resource_id, args FROM operations ORDER BY seq").fetchall()
        return [(row["seq"], row["name"], row["resource_id"], json.loads(row["args"])) for row in rows]

    def remove_operation(self, number):
        """Forget an operation: it is done, or its failure has been recorded on the resource."""
        with self.transaction() as sql:
            sql.execute("DELETE FROM operations WHERE seq = ?", (number,))
