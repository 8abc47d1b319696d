"""SQL of PostgreSQL: one session with the server, the quoting of names and texts, and password verifiers.

Values are parameters of the driver wherever the server takes parameters. Names, and texts in statements that take none
(CREATE ROLE ... PASSWORD), go through ``quote`` and ``literal``: only there text becomes part of a statement.
"""
import base64
import contextlib
import hashlib
import hmac
import os

import pg8000.native
from oslo_log import log as logging
from pg8000.exceptions import DatabaseError, Error, InterfaceError
from scramp.core import ScramException
from scramp.utils import saslprep

from trove.common import exception
from trove.common.cfg import CONF

LOG = logging.getLogger(__name__)

__all__ = ["DatabaseError", "Error", "InterfaceError"]

# The agent's account, which initdb makes, and the one that users may ask for.
ADMIN_USER, ROOT = "os_admin", "root"
# Bytes. The server cuts longer names after a mere notice.
LONGEST_NAME = 63
# The server's own number of rounds (scram_iterations).
_ITERATIONS = 4096


def quote(name):
    """Return a name as SQL has it. Raises BadValue for one that the server would cut or cannot store."""
    if not name or "\x00" in name or len(name.encode()) > LONGEST_NAME:
        raise exception.BadValue(field="name", reason=f"a name has 1 to {LONGEST_NAME} bytes in UTF-8 and no NUL.")
    return '"' + name.replace('"', '""') + '"'


def literal(text):
    """Return a text as SQL has it, whatever standard_conforming_strings is. Raises BadValue for NUL."""
    if "\x00" in text:
        raise exception.BadValue(field="value", reason="must not contain NUL characters.")
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f" E'{escaped}'" if "\\" in text else f"'{escaped}'"


def verifier(password, salt=None, iterations=_ITERATIONS):
    """Return what the server stores of a password (SCRAM-SHA-256), so that the password itself never gets there.

    salt: bytes, random if None.
    """
    try:
        prepared = saslprep(password)
    except ScramException:  # clients and the server take such a password as it is
        prepared = password
    salt = os.urandom(16) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", prepared.encode(), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    salt, stored, server = (base64.b64encode(part).decode() for part in (salt, stored, server))
    return f"SCRAM-SHA-256${iterations}:{salt}${stored}:{server}"


def code_of(error):
    """Return the SQLSTATE of an error of the driver, or "" for one that the server did not report."""
    said = error.args[0] if error.args else None
    return said.get("C", "") if isinstance(said, dict) else ""


def text_of(error):
    """Return the server's own words for an error, or the driver's."""
    said = error.args[0] if error.args else None
    return said.get("M", "") if isinstance(said, dict) else str(error)


# Whatever a role, a database or a file says, the agent's sessions have these. Objects of users cannot be taken for the
# system's; nothing that the agent sends is logged, as it may hold verifiers of passwords.
_OWN_SETTINGS = {
    "search_path": "pg_catalog", "role": "none", "session_replication_role": "origin", "row_security": "off",
    "default_transaction_read_only": "off", "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off", "standard_conforming_strings": "on", "client_min_messages": "warning",
    "DateStyle": "ISO", "TimeZone": "UTC", "session_preload_libraries": "", "local_preload_libraries": "",
    "default_tablespace": "", "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "log_statement": "none", "log_duration": "off", "log_min_duration_statement": "-1",
    "log_min_duration_sample": "-1", "log_min_error_statement": "panic", "log_transaction_sample_rate": "0",
}


def connect(user, socket, database, timeout, version):
    """Return a connection over a Unix socket, in which each statement is a transaction. Raises Error.

    user: role, which must be a superuser; socket: path; timeout: seconds for one statement; version: major number.
    """
    settings = {**_OWN_SETTINGS, "statement_timeout": f"{int(timeout * 1000)}",
                "lock_timeout": f"{int(CONF.agent_lock_wait_timeout * 1000)}"}
    if version >= 17:
        # A trigger at log-in, or a time that the owner of a database has set for it, could shut the agent out.
        settings.update(event_triggers="off", transaction_timeout="0")
    try:
        return pg8000.native.Connection(user, unix_sock=str(socket), database=database, timeout=timeout + 5,
                                        application_name="trove-guestagent", startup_params=settings)
    except InterfaceError as error:
        # The driver says good-bye to a server that has rejected it; that this fails must not hide why.
        if isinstance(error.__context__, DatabaseError):
            raise error.__context__ from None
        if isinstance(getattr(error.__context__, "__context__", None), DatabaseError):
            raise error.__context__.__context__ from None
        raise


class Session:
    """A connection of the driver with the two ways in which values get into statements."""

    def __init__(self, connection):
        self.connection = connection

    def execute(self, statement, values=(), names=(), texts=()):
        """Run a statement and return its rows.

        values: for its $1, $2, ...; names: quoted for its {}; texts: quoted for its {} after those of the names.
        """
        if names or texts:
            statement = statement.format(*(quote(name) for name in names), *(literal(text) for text in texts))
        if CONF.sql_query_logging:
            LOG.info("SQL: %s", statement if not texts else statement.split("PASSWORD", 1)[0])
        if values:
            return self.connection.execute_unnamed(statement, vals=list(values)).rows or []
        return self.connection.execute_simple(statement).rows or []

    def close(self):
        """Close the connection; one that is broken is closed as well."""
        with contextlib.suppress(Error, OSError):
            self.connection.close()
