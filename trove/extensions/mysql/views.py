"""What users see of databases and database users: never a password, never a character set."""


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
