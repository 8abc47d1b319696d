"""A guest in memory: what the agent does to databases and users, with the signatures of the real client.

Reached through the option ``remote_guest_client`` = tests.fakes.guest.client. ``GUESTS`` holds one Guest per instance.
"""
import functools

from trove.common import exception
from trove.guestagent.db.models import Database, User

GUESTS = {}


class Guest:
    """Databases and users of one instance.

    error: what the next calls raise, or None; lost: how many of the next changes are made without being answered;
    calls: names of the calls.
    """

    def __init__(self):
        self.databases = {}
        self.users = {}
        self.root_password = None
        self.used = 0.11
        # Name of a log -> [kind, whether it is on, bytes published, bytes pending]
        self.logs = {"guest": ["SYS", True, 0, 10], "general": ["USER", False, 0, 0],
                     "slow_query": ["USER", False, 0, 0], "error": ["USER", False, 0, 0]}
        self.storage = None
        self.error = None
        self.lost = 0
        self.calls = []


def guest(instance_id):
    """The Guest of an instance, made at first use."""
    return GUESTS.setdefault(instance_id, Guest())


def client(context, instance_id, manager=None):
    """The factory that the option names."""
    return Client(context, instance_id)


def _page(entries, limit, marker, include_marker):
    """entries: {key: value}; the page is in the order of the keys."""
    keys = [key for key in sorted(entries)
            if marker is None or key > marker or (include_marker and key == marker)]
    page = keys[:limit] if limit else keys
    return [entries[key] for key in page], page[-1] if len(page) < len(keys) else None


def _answered(change):
    """Decorator of a change: its answer may get lost."""
    @functools.wraps(change)
    def call(self, *args, **kwargs):
        change(self, *args, **kwargs)
        found = guest(self.instance_id)
        if found.lost:
            found.lost -= 1
            raise exception.GuestTimeout()
    return call


class Client:
    """As ``trove.guestagent.api.API``."""

    def __init__(self, context, instance_id):
        self.context = context
        self.instance_id = instance_id

    def _guest(self, method):
        found = guest(self.instance_id)
        found.calls.append(method)
        if found.error is not None:
            raise found.error
        return found

    def _user(self, method, username, hostname):
        users = self._guest(method).users
        if (username, hostname) not in users:
            raise exception.NotFound(resource="user", id=f"{username}@{hostname}")
        return users[username, hostname]

    def rpc_ping(self):
        self._guest("rpc_ping")
        return True

    @_answered
    def create_database(self, databases):
        for values in databases:
            database = Database.deserialize(values)
            self._guest("create_database").databases.setdefault(database.name, database)

    @_answered
    def delete_database(self, database):
        self._guest("delete_database").databases.pop(database["_name"], None)

    def list_databases(self, limit=None, marker=None, include_marker=False):
        databases = self._guest("list_databases").databases
        return _page({name: database.serialize() for name, database in databases.items()}, limit, marker,
                     include_marker)

    @_answered
    def create_user(self, users):
        for values in users:
            user = User.deserialize(values)
            self._guest("create_user").users[user.name, user.host] = user.serialize()

    @_answered
    def delete_user(self, user):
        self._guest("delete_user").users.pop((user["_name"], user["_host"]), None)

    def get_user(self, username, hostname):
        return self._guest("get_user").users.get((username, hostname))

    def list_users(self, limit=None, marker=None, include_marker=False):
        users = self._guest("list_users").users
        return _page({f"{name}@{host}": user for (name, host), user in users.items()}, limit, marker, include_marker)

    @_answered
    def change_passwords(self, users):
        for user in users:
            self._user("change_passwords", user["name"], user["host"])["_password"] = user["password"]

    @_answered
    def update_attributes(self, username, hostname, user_attrs):
        new = (user_attrs.get("name", username), user_attrs.get("host", hostname))
        # What was renamed before is not renamed again.
        user = self._user("update_attributes", *((username, hostname) if new not in guest(self.instance_id).users
                                                 else new))
        del guest(self.instance_id).users[user["_name"], user["_host"]]
        user.update({f"_{key}": value for key, value in user_attrs.items()})
        guest(self.instance_id).users[user["_name"], user["_host"]] = user

    def list_access(self, username, hostname):
        return self._user("list_access", username, hostname)["_databases"]

    @_answered
    def grant_access(self, username, hostname, databases):
        user = self._user("grant_access", username, hostname)
        known = {database["_name"] for database in user["_databases"]}
        user["_databases"].extend(Database(name).serialize() for name in databases if name not in known)

    @_answered
    def revoke_access(self, username, hostname, database):
        user = self._user("revoke_access", username, hostname)
        if not any(granted["_name"] == database for granted in user["_databases"]):
            raise exception.NotFound(resource="grant on", id=database)
        user["_databases"] = [granted for granted in user["_databases"] if granted["_name"] != database]

    def enable_root(self):
        return self.enable_root_with_password(None)

    def enable_root_with_password(self, root_password=None):
        found = self._guest("enable_root")
        found.root_password = root_password or f"generated-{len(found.calls)}"
        return {"_name": "root", "_host": "%", "_password": found.root_password, "_databases": []}

    def disable_root(self):
        self._guest("disable_root").root_password = None

    def is_root_enabled(self):
        return self._guest("is_root_enabled").root_password is not None

    def get_filesystem_stats(self, fs_path=None):
        used = self._guest("get_filesystem_stats").used
        return {"block_size": 4096, "total_blocks": 1, "free_blocks": 1, "total": 1.0, "free": 1.0 - used, "used": used}

    def get_hwinfo(self):
        self._guest("get_hwinfo")
        return {"mem_total": 524288, "num_cpus": 1}

    def get_diagnostics(self):
        self._guest("get_diagnostics")
        return {"version": "1.0", "fd_size": 64, "vm_size": 5, "vm_peak": 6, "vm_rss": 3, "vm_hwm": 4, "threads": 2}

    def _log(self, name):
        kind, on, published, pending = guest(self.instance_id).logs[name]
        word = "Published" if published else "Enabled"
        return {"name": name, "type": kind, "status": word if on else "Disabled", "published": published,
                "pending": pending}

    def guest_log_list(self):
        return [self._log(name) for name in self._guest("guest_log_list").logs]

    def guest_log_action(self, log_name, enable=False, disable=False, publish=False, discard=False, storage=None):
        found = self._guest("guest_log_action")
        log = found.logs[log_name]
        log[1] = (log[1] or enable) and not disable
        if discard:
            log[2:] = 0, log[2] + log[3]
        if publish:
            log[2:] = log[2] + log[3], 0
            found.storage = storage
        return self._log(log_name)
