"""What users see of databases and database users: never a password, never a character set."""
from trove.common import apischema

_DATABASE = apischema.view("Database", {"name": apischema.string})
_USER = apischema.view("User", {"name": apischema.string, "host": apischema.string,
                                "databases": apischema.array(_DATABASE)})
DATABASES = apischema.page("databases", _DATABASE)
GRANTS = apischema.answer("databases", apischema.array(_DATABASE))
USERS = apischema.page("users", _USER)
USER = apischema.answer("user", _USER)


def database(entry):
    """The view of a database.

    entry: dict as guests give it.
    """
    return {"name": entry["_name"]}


def user(entry):
    """The view of a database user.

    entry: dict as guests give it.
    """
    return {"name": entry["_name"], "host": entry.get("_host") or "%",
            "databases": [database(granted) for granted in entry.get("_databases") or ()]}
