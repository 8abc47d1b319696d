"""Value objects for databases and users of the MySQL family: what may be in them and how they look on the bus.

Used by the API (which calls ``validate``) and by the guest (which takes what the bus brings and quotes it). Imports
nothing but ``trove.common``.
"""
import re
from dataclasses import dataclass, field

from trove.common import exception
from trove.common.cfg import CONF
from trove.guestagent.db.charsets import CHARSET_OF, CHARSETS

DEFAULT_CHARSET = "utf8"
DEFAULT_COLLATION = "utf8_general_ci"
MAX_USER_NAME = 16
MAX_DATABASE_NAME = 64
ANY_HOST = "%"

# What the names of the accounts begin with by which replicas follow a source.
REPLICATION_USERS = "os_replica_"

_FORBIDDEN = "'\";`,/\\"
_DATABASE_NAME = re.compile(r"[A-Za-z0-9_-]+[ ?#@]*[A-Za-z0-9_-]+")


def _refuse(name, reason):
    raise exception.BadValue(field=name, reason=reason)


def _check_text(value, name):
    """The value, if it is a text that can be stored at all."""
    if not isinstance(value, str):
        _refuse(name, f"must be a text, not {type(value).__name__}.")
    if not value:
        _refuse(name, "must not be empty.")
    if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
        _refuse(name, "must be valid Unicode without NUL characters.")
    return value


def _check_characters(value, name):
    found = sorted(set(value) & set(_FORBIDDEN))
    if found:
        _refuse(name, f"must not contain {' '.join(found)} (none of ' \" ; ` , / \\ is allowed).")


def check_user_name(value, manager="mysql", name="name"):
    """Refuse a user name that cannot be: BadValue naming the field ``name``."""
    _check_text(value, name)
    if len(value) > MAX_USER_NAME:
        _refuse(name, f"has {len(value)} characters, at most {MAX_USER_NAME} are allowed.")
    if value != value.strip():
        _refuse(name, "must not begin or end with a blank.")
    _check_characters(value, name)
    if is_ignored_user(value, manager):
        _refuse(name, f"'{value}' is reserved.")


def check_password(value, name="password"):
    """Refuse a password that cannot be. The message never contains it."""
    _check_text(value, name)
    if set(value) & set(_FORBIDDEN):
        _refuse(name, "must contain none of ' \" ; ` , / \\.")


def check_host(value, name="host"):
    """Refuse a host that is neither % nor an IPv4 address with % wildcards (with hostname_require_valid_ip)."""
    _check_text(value, name)
    if not CONF.hostname_require_valid_ip:
        _check_characters(value, name)
        if len(value) > 60 or value != value.strip():
            _refuse(name, "must have at most 60 characters and no blanks at its ends.")
        return
    if value == ANY_HOST:
        return
    octets = value.split(".")
    if len(octets) != 4 or not all(octet == "%" or _is_octet(octet) for octet in octets):
        _refuse(name, f"'{value}' must be % or an IPv4 address in which % may stand for a number, such as 10.0.%.%.")


def _is_octet(text):
    return text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= 255


def check_database_name(value, manager="mysql", name="name"):
    """Refuse a database name that cannot be: BadValue naming the field ``name``."""
    _check_text(value, name)
    if len(value) > MAX_DATABASE_NAME:
        _refuse(name, f"has {len(value)} characters, at most {MAX_DATABASE_NAME} are allowed.")
    if not _DATABASE_NAME.fullmatch(value):
        _refuse(name, f"'{value}' must have at least 2 characters: letters, digits, _ and - at both ends; between "
                      "them one run of blanks, ?, # and @ is allowed.")
    if is_ignored_database(value, manager):
        _refuse(name, f"'{value}' is reserved.")


def is_ignored_user(value, manager):
    """Whether users of that name are hidden and cannot be made (compared in lower case)."""
    return (value.lower() in {ignored.lower() for ignored in CONF[manager].ignore_users}
            or value.lower().startswith(REPLICATION_USERS))


def is_ignored_database(value, manager):
    """Whether databases of that name are hidden and cannot be made (compared in lower case)."""
    return value.lower() in {ignored.lower() for ignored in CONF[manager].ignore_dbs}


def parse_user_id(text):
    """``name@host`` as (name, host): the last @ separates; none, or one at the end, means any host."""
    name, at, host = text.rpartition("@")
    if not at:
        return host, ANY_HOST
    return name, host or ANY_HOST


def _text_of(values, key, what, default=None):
    value = values.get(key, default)
    if value is not None and not isinstance(value, str):
        _refuse(f"{what}.{key}", "must be a text.")
    return value


@dataclass(frozen=True)
class MySQLDatabase:
    """A database. character_set and collate: names, or None for what belongs to the other, or for the default."""

    name: str
    character_set: str | None = None
    collate: str | None = None

    def charset_and_collation(self):
        """The pair that is meant: (character set, collation). No check."""
        charset = self.character_set or CHARSET_OF.get(self.collate or DEFAULT_COLLATION, DEFAULT_CHARSET)
        collation = self.collate
        if not collation:
            collation = CHARSETS.get(charset, (f"{charset}_general_ci",))[0]
        return charset, collation

    def validate(self, manager="mysql", name="databases"):
        """Refuse what cannot be: BadValue naming the field under ``name``. Returns the database."""
        check_database_name(self.name, manager, f"{name}.name")
        charset, collation = self.charset_and_collation()
        if charset not in CHARSETS:
            _refuse(f"{name}.character_set", f"'{charset}' is unknown, for example utf8mb4 is right.")
        if collation not in CHARSET_OF:
            _refuse(f"{name}.collate", f"'{collation}' is unknown, for example {CHARSETS[charset][0]} is right.")
        if CHARSET_OF[collation] != charset:
            _refuse(f"{name}.collate", f"'{collation}' does not belong to the character set '{charset}'.")
        return self

    def serialize(self):
        """The dict that crosses the bus."""
        charset, collation = self.charset_and_collation()
        return {"_name": self.name, "_character_set": charset, "_collate": collation}

    @classmethod
    def deserialize(cls, values):
        """A database from the bus; nothing but the types is checked. Raises BadValue."""
        if not isinstance(values, dict):
            _refuse("database", "must be an object with _name.")
        name = _check_text(values.get("_name"), "database._name")
        return cls(name, _text_of(values, "_character_set", "database"), _text_of(values, "_collate", "database"))


@dataclass(frozen=True)
class MySQLUser:
    """A user. host: from where it may come; password: None where it is not known; databases: MySQLDatabase each."""

    name: str
    host: str = ANY_HOST
    password: str | None = field(default=None, repr=False)
    databases: tuple = ()

    def __post_init__(self):
        object.__setattr__(self, "host", self.host or ANY_HOST)
        object.__setattr__(self, "databases", tuple(
            MySQLDatabase(database) if isinstance(database, str) else database for database in self.databases or ()))

    @property
    def id(self):
        """What stands in URLs and markers: ``name@host``."""
        return f"{self.name}@{self.host}"

    def validate(self, manager="mysql", name="users"):
        """Refuse what cannot be: BadValue naming the field under ``name``. Returns the user."""
        check_user_name(self.name, manager, f"{name}.name")
        check_host(self.host, f"{name}.host")
        if self.password is not None:
            check_password(self.password, f"{name}.password")
        seen = set()
        for database in self.databases:
            check_database_name(database.name, manager, f"{name}.databases.name")
            if database.name in seen:
                _refuse(f"{name}.databases", f"'{database.name}' is named twice.")
            seen.add(database.name)
        return self

    def serialize(self):
        """The dict that crosses the bus."""
        return {"_name": self.name, "_host": self.host, "_password": self.password,
                "_databases": [database.serialize() for database in self.databases]}

    @classmethod
    def deserialize(cls, values):
        """A user from the bus; nothing but the types is checked. Raises BadValue."""
        if not isinstance(values, dict):
            _refuse("user", "must be an object with _name.")
        name = _check_text(values.get("_name"), "user._name")
        databases = values.get("_databases") or []
        if not isinstance(databases, (list, tuple)):
            _refuse("user._databases", "must be a list.")
        return cls(name, _text_of(values, "_host", "user", ANY_HOST), _text_of(values, "_password", "user"),
                   tuple(MySQLDatabase.deserialize(database) for database in databases))
