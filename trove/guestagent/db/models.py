"""Value objects for databases and users of the MySQL family: what may be in them and how they look on the bus.

Used by the API (which calls ``validate``) and by the guest (which takes what the bus brings and quotes it). Imports
nothing but ``trove.common``.
"""
import ipaddress
import re
from dataclasses import dataclass, field

from trove.common import cfg, exception
from trove.common.cfg import CONF
from trove.guestagent.db.charsets import charset_of

MAX_HOST = 255  # characters
ANY_HOST = "%"

# The names of the accounts of replicas at their source begin with this.
REPLICATION_USERS = "os_replica_"

# Bytes that the name of a database may have as the name of its directory.
_LONGEST_DIRECTORY = 255
_PLAIN = re.compile(r"[0-9A-Za-z_]")
# Letters of which the servers make three bytes there; they make five of everything else.
_SHORT = re.compile("[\u00c0-\u05ff\u1e00-\u1fff]")


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


def _check_name(value, name, longest):
    """Refuse what a name in an address and in a server of the family cannot be, whatever it is the name of."""
    _check_text(value, name)
    if len(value) > longest:
        _refuse(name, f"has {len(value)} characters, at most {longest} are allowed.")
    if value != value.strip():
        _refuse(name, "must not begin or end with a blank.")
    if value in (".", "..") or "/" in value:
        _refuse(name, "must not contain / nor be . or .., as no address could have it; everything else that can be "
                      "printed is allowed.")
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        _refuse(name, "must be one line of text without control characters.")
    if any(character > "\uffff" for character in value):
        _refuse(name, "must not contain characters beyond U+FFFF, such as emoji: the servers store no such names.")


def check_user_name(value, manager="mysql", name="name"):
    """Refuse a user name that cannot be: BadValue naming the field ``name``."""
    _check_name(value, name, cfg.traits(manager).longest_user_name)
    if is_ignored_user(value, manager):
        _refuse(name, f"'{value}' is reserved.")


def check_password(value, name="password"):
    """Refuse a password that cannot be. The message never contains it."""
    _check_text(value, name)


def check_host(value, manager="mysql", name="host"):
    """Refuse a host that no server of the datastore manager could match.

    With hostname_require_valid_ip: %, an address in which % and _ are wildcards, or an address with a network mask.
    """
    _check_text(value, name)
    if not CONF.hostname_require_valid_ip:
        if len(value) > MAX_HOST or not value.isascii() or any(character <= " " for character in value):
            _refuse(name, f"must have at most {MAX_HOST} ASCII characters and no blanks.")
        return
    if "/" in value:
        _check_network(value, manager, name)
    elif not (_is_pattern_of_ipv4(value) or _is_pattern_of_ipv6(value)):
        _refuse(name, f"'{value}' must be %, an address in which % and _ are wildcards, such as 10.0.% or 10.0.0.1, or "
                      "a network with its mask, such as 10.0.0.0/255.255.240.0.")


def _is_pattern_of_ipv4(text):
    parts = text.split(".")
    if not all(re.fullmatch("[0-9%_]+", part) and ("%" in part or "_" in part or _is_octet(part)) for part in parts):
        return False
    return len(parts) == 4 or (len(parts) < 4 and any("%" in part for part in parts))


def _is_pattern_of_ipv6(text):
    if "%" in text or "_" in text:
        return re.fullmatch("[0-9A-Fa-f:%_]{2,39}", text) is not None and ":" in text
    return _address(text, 6) is not None


def _address(text, version):
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return address if address.version == version else None


def _check_network(text, manager, name):
    base, _, mask = text.partition("/")
    if (address := _address(base, 4)) and (bits := _address(mask, 4)):
        if int(address) & ~int(bits):
            _refuse(name, f"'{text}' matches nobody, as the address has bits outside of the mask: "
                          f"{ipaddress.ip_address(int(address) & int(bits))}/{mask} is right.")
        return
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        _refuse(name, f"'{text}' must be a network with its mask, such as 10.0.0.0/255.255.240.0.")
    if manager == "mariadb":
        mask = "255.255.240.0" if network.version == 6 else network.netmask
        _refuse(name, f"'{text}': this server knows networks only as IPv4 with a mask, such as "
                      f"{'10.0.0.0' if network.version == 6 else network.network_address}/{mask}.")


def _is_octet(text):
    return text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= 255


def check_database_name(value, manager="mysql", name="name"):
    """Refuse a database name that cannot be: BadValue naming the field ``name``."""
    _check_name(value, name, cfg.traits(manager).longest_database_name)
    if value.lower().startswith("#mysql50#"):
        _refuse(name, "must not begin with #mysql50#, which has a meaning of its own to the servers.")
    if _directory_length(value) > _LONGEST_DIRECTORY:
        _refuse(name, f"is too long for the name of its directory: a character that is no letter, digit or _ takes up "
                      f"to five of {_LONGEST_DIRECTORY} bytes.")
    if is_ignored_database(value, manager):
        _refuse(name, f"'{value}' is reserved.")


def _directory_length(name):
    return sum(1 if _PLAIN.match(character) else 3 if _SHORT.match(character) else 5 for character in name)


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
    """A database. character_set and collate: names, or None for what belongs to the other, or for the server's own."""

    name: str
    character_set: str | None = None
    collate: str | None = None

    def validate(self, manager="mysql", name="databases"):
        """Refuse what cannot be: BadValue naming the field under ``name``. Returns the database."""
        check_database_name(self.name, manager, f"{name}.name")
        known = charset_of(manager)
        if self.character_set is not None and self.character_set.lower() not in known.values():
            _refuse(f"{name}.character_set", f"'{self.character_set}' is unknown, for example utf8mb4 is right.")
        if self.collate is not None:
            charset = known.get(self.collate.lower())
            if charset is None:
                _refuse(f"{name}.collate", f"'{self.collate}' is unknown, for example utf8mb4_bin is right.")
            if self.character_set is not None and self.character_set.lower() != charset:
                _refuse(f"{name}.collate", f"'{self.collate}' belongs to the character set '{charset}', not to "
                                           f"'{self.character_set}'.")
        return self

    def serialize(self):
        """The dict that crosses the bus."""
        return {"_name": self.name, "_character_set": self.character_set, "_collate": self.collate}

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
        check_host(self.host, manager, f"{name}.host")
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
