"""Databases and users as value objects, and the rules for them and for passwords that hold for every engine.

The API refuses by these rules what cannot be made; the guest takes what the bus brings, quotes it, and hides what is
reserved. What an engine adds is a subclass of ``Names`` in a module beside this one, which its identity card names.
"""
from dataclasses import dataclass, field

from trove.common import cfg, exception, utils
from trove.common.cfg import CONF

# The host of an account that may come from everywhere.
ANY_HOST = "%"


def refuse(name, reason):
    """Raise BadValue. name: the field at fault; reason: a clause that follows it, with what would be right."""
    raise exception.BadValue(field=name, reason=reason)


def check_text(value, name):
    """Return the value, if it is a text that can be stored at all. Raises BadValue naming the field ``name``."""
    if not isinstance(value, str):
        refuse(name, f"must be a text, not {type(value).__name__}.")
    if not value:
        refuse(name, "must not be empty.")
    if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
        refuse(name, "must be valid Unicode without NUL characters.")
    return value


def _text_of(values, key, what, default=None):
    value = values.get(key, default)
    if value is not None and not isinstance(value, str):
        refuse(f"{what}.{key}", "must be a text.")
    return value


@dataclass(frozen=True)
class Database:
    """A database. character_set and collate: names in the words of its engine, or None for the server's own."""

    name: str
    character_set: str | None = None
    collate: str | None = None

    @classmethod
    def from_request(cls, item):
        """Return the database that an object of a request's body describes; it is not checked."""
        return cls(item["name"], item.get("character_set"), item.get("collate"))

    def serialize(self):
        """Return the dict that crosses the bus."""
        return {"_name": self.name, "_character_set": self.character_set, "_collate": self.collate}

    @classmethod
    def deserialize(cls, values):
        """Return a database from the bus; nothing but the types is checked. Raises BadValue."""
        if not isinstance(values, dict):
            refuse("database", "must be an object with _name.")
        name = check_text(values.get("_name"), "database._name")
        return cls(name, _text_of(values, "_character_set", "database"), _text_of(values, "_collate", "database"))


@dataclass(frozen=True)
class User:
    """A user. host: from where it may come, always ANY_HOST for an engine whose users have none; password: None where
    it is not known; databases: those that it may use, Database each.
    """

    name: str
    host: str = ANY_HOST
    password: str | None = field(default=None, repr=False)
    databases: tuple = ()

    def __post_init__(self):
        object.__setattr__(self, "host", self.host or ANY_HOST)
        object.__setattr__(self, "databases", tuple(
            Database(database) if isinstance(database, str) else database for database in self.databases or ()))

    @classmethod
    def from_request(cls, item):
        """Return the user that an object of a request's body describes; it is not checked."""
        return cls(item["name"], item.get("host"), item["password"],
                   tuple(database["name"] for database in item.get("databases") or ()))

    def serialize(self):
        """Return the dict that crosses the bus."""
        return {"_name": self.name, "_host": self.host, "_password": self.password,
                "_databases": [database.serialize() for database in self.databases]}

    @classmethod
    def deserialize(cls, values):
        """Return a user from the bus; nothing but the types is checked. Raises BadValue."""
        if not isinstance(values, dict):
            refuse("user", "must be an object with _name.")
        name = check_text(values.get("_name"), "user._name")
        databases = values.get("_databases") or []
        if not isinstance(databases, (list, tuple)):
            refuse("user._databases", "must be a list.")
        return cls(name, _text_of(values, "_host", "user", ANY_HOST), _text_of(values, "_password", "user"),
                   tuple(Database.deserialize(database) for database in databases))


class Names:
    """What databases, users and passwords of one datastore may be. manager: the name of its manager.

    As it stands it is right for an engine that compares names by case, whose users have no host, and whose databases
    have neither character set nor collation. Each check raises BadValue, which names the field ``name``.
    """

    # Whether an account belongs to a host, so that name@host is what identifies it.
    has_hosts = False
    # Whether the lengths of the card's traits count bytes in UTF-8 rather than characters.
    counts_bytes = False

    def __init__(self, manager):
        self.manager = manager
        self._traits = cfg.traits(manager)

    # What an engine changes

    def fold(self, text):
        """Return the text that two names have in common which are the same name to the server."""
        return text

    def check_name(self, value, name):
        """Refuse what the server cannot have as a name of a database or user; called after the general rules."""

    def check_attributes(self, database, name):
        """Refuse a character set or collation (of a Database) that the server does not have."""
        for attribute in ("character_set", "collate"):
            if getattr(database, attribute) is not None:
                refuse(f"{name}.{attribute}", "databases of this datastore have none; leave it out.")

    def check_host(self, value, name="host"):
        """Refuse a host from which no user could come."""
        if value != ANY_HOST:
            refuse(name, f"users of this datastore have no host; leave it out, or say {ANY_HOST}.")

    def is_own_user(self, value):
        """Whether the server itself makes accounts of that name; they are hidden like those of ignore_users."""
        return False

    def is_own_database(self, value):
        """Whether the server itself makes databases of that name; they are hidden like those of ignore_dbs."""
        return False

    def user_id(self, name, host=ANY_HOST):
        """Return what identifies an account in addresses, markers and messages."""
        return name

    def parse_user_id(self, text):
        """Return (name, host) of the account that an address means."""
        return text.removesuffix(f"@{ANY_HOST}"), ANY_HOST  # clients add the host that they are shown

    def marker_of_users(self, marker):
        """Return the marker of a page of users, as ``user_id`` orders them, for the one that a client sends."""
        return self.parse_user_id(marker)[0]

    def generate_password(self):
        """Return a fresh password that the server takes, of ``default_password_length`` characters."""
        return utils.generate_random_password()

    # What is the same for all

    def _check_name(self, value, name, longest):
        check_text(value, name)
        length, unit = (len(value.encode()), "bytes") if self.counts_bytes else (len(value), "characters")
        if length > longest:
            refuse(name, f"has {length} {unit}, at most {longest} are allowed.")
        if value != value.strip():
            refuse(name, "must not begin or end with a blank.")
        if value in (".", "..") or "/" in value:
            refuse(name, "must not contain / nor be . or .., as no address could have it; everything else that can be "
                         "printed is allowed.")
        if any(ord(character) < 32 or ord(character) == 127 for character in value):
            refuse(name, "must be one line of text without control characters.")
        self.check_name(value, name)

    def check_user_name(self, value, name="name"):
        """Refuse a name that a new user cannot have."""
        self._check_name(value, name, self._traits.longest_user_name)
        if not self.has_hosts and "@" in value:
            refuse(name, "must not contain @: users of this datastore have no host, and it would look like one.")
        if self.is_ignored_user(value):
            refuse(name, f"'{value}' is reserved.")

    def check_database_name(self, value, name="name"):
        """Refuse a name that a database cannot have."""
        self._check_name(value, name, self._traits.longest_database_name)
        if self.is_ignored_database(value):
            refuse(name, f"'{value}' is reserved.")

    def check_password(self, value, name="password"):
        """Refuse a password that cannot be. The message never contains it."""
        check_text(value, name)

    def check_database(self, database, name="databases"):
        """Refuse a Database that cannot be made, naming the field below ``name``. Returns the database."""
        self.check_database_name(database.name, f"{name}.name")
        self.check_attributes(database, name)
        return database

    def check_user(self, user, name="users"):
        """Refuse a User that cannot be made, naming the field below ``name``. Returns the user."""
        self.check_user_name(user.name, f"{name}.name")
        self.check_host(user.host, f"{name}.host")
        if user.password is not None:
            self.check_password(user.password, f"{name}.password")
        seen = set()
        for database in user.databases:
            self.check_database_name(database.name, f"{name}.databases.name")
            if database.name in seen:
                refuse(f"{name}.databases", f"'{database.name}' is named twice.")
            seen.add(database.name)
        return user

    def check_databases(self, databases, name="databases"):
        """Refuse Databases of one request that cannot be made, naming the element. Returns them as a list."""
        checked = [self.check_database(database, f"{name}[{number}]") for number, database in enumerate(databases)]
        _refuse_twins([database.name for database in checked], name)
        return checked

    def check_users(self, users, name="users"):
        """Refuse Users of one request that cannot be made, naming the element. Returns them as a list."""
        checked = [self.check_user(user, f"{name}[{number}]") for number, user in enumerate(users)]
        _refuse_twins([self.user_id(user.name, user.host) for user in checked], name)
        return checked

    def is_ignored_user(self, value):
        """Whether users of that name are hidden and cannot be made: by ignore_users, the engine's and of replicas."""
        folded = self.fold(value)
        return (folded in map(self.fold, CONF[self.manager].ignore_users)
                or folded.startswith(self._traits.replica_account.prefix) or self.is_own_user(value))

    def is_ignored_database(self, value):
        """Whether databases of that name are hidden and cannot be made: by ignore_dbs, and the engine's."""
        return self.fold(value) in map(self.fold, CONF[self.manager].ignore_dbs) or self.is_own_database(value)


def _refuse_twins(ids, name):
    seen = set()
    for number, one in enumerate(ids):
        if one in seen:
            refuse(f"{name}[{number}].name", f"'{one}' is named twice.")
        seen.add(one)
