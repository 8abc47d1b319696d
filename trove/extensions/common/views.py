"""What users see of databases, database users and root, and the schemas of the answers about them.

Never a password but root's, never a character set.
"""
from trove.common import apischema

ROOT_ENABLED = apischema.answer("rootEnabled", apischema.boolean)
ROOT_USER = apischema.answer("user", apischema.view(
    "RootUser", {"name": apischema.string, "password": apischema.string}))
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
