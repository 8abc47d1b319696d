"""Who may do what in a Redis server: its access control list, as a file for starts and in the running server.

The agent has an account with all rights. Users share the account ``default``, which always has a password and lacks the
commands that would take the server out of the control of Trove. Each replica has an account that can follow, and read
the password of ``default``: a replica takes over that of its source. What the accounts are is kept in a file of the
agent; the server is never asked to write its own.
"""
import contextlib
import functools
import hashlib
import json
import re
import threading
import time

import redis
from oslo_log import log as logging

from trove.common import exception, utils
from trove.common.cfg import CONF
from trove.guestagent.common import operating_system

LOG = logging.getLogger(__name__)

ADMIN, DEFAULT = "os_admin", "default"
# No role, configuration, account, snapshot or end of the server is the users' to change; they may look and tidy up.
OF_USERS = ("~*", "&*", "+@all", "-@admin", "+client|list", "+client|kill", "+config|get", "+lastsave", "+latency",
            "+monitor", "+role", "+slowlog")
OF_REPLICAS = ("+psync", "+replconf", "+ping", "+acl|getuser")
# What the server says to an account that is not there or was changed.
DENIED = (redis.exceptions.AuthenticationError, redis.exceptions.NoPermissionError)

_HASH = re.compile("[0-9a-f]{64}")


def hashed(password):
    """Return a password in the form in which access control lists have it."""
    return hashlib.sha256(password.encode()).hexdigest()


def _one_at_a_time(method):
    """Decorator: commands and heartbeats change the accounts one after another, each upon what is remembered."""
    @functools.wraps(method)
    def locked(self, *args, **kwargs):
        with self._lock:
            return method(self, *args, **kwargs)
    return locked


class Access:
    """The accounts of one server. app: RedisApp.

    whole: whether the agent can log in, None before the first look; repairs: how often accounts had to be made again.
    """

    FILENAME = "accounts.json"

    def __init__(self, app):
        self.app = app
        self.whole = None
        self.repairs = 0
        self._lock = threading.RLock()
        self._seen = None
        self._next_restart = self._pause = 0

    # What is remembered

    def _load(self):
        return json.loads(operating_system.read_file(operating_system.state_dir() / self.FILENAME) or "{}")

    def _save(self, **changes):
        """Change what is remembered, and the server's file with it. Returns all of it."""
        state = {"replicas": {}, "read_only": False, "asked": False, **self._load(), **changes}
        operating_system.write_file(operating_system.state_dir() / self.FILENAME, json.dumps(state), mode=0o600)
        text = "".join(f"user {name} {' '.join(rules)}\n" for name, rules in _rules(state).items())
        operating_system.write_file(self.app.layout.accounts, text, mode=0o600, owner=self.app.layout.user)
        return state

    @_one_at_a_time
    def prepare(self):
        """Make the passwords that are missing and write the server's file, without which it does not start."""
        state = self._load()
        new = {} if "admin" in state else {"admin": utils.generate_random_password()}
        if "hash" not in state:
            new.update(self._fresh())
        self._save(**new)

    @staticmethod
    def _fresh(password=None):
        password = password or utils.generate_random_password()
        return {"password": password, "hash": hashed(password)}

    def admin_password(self):
        """Return the password of the agent's account, or "" before there is one."""
        return self._load().get("admin", "")

    # The running server

    @_one_at_a_time
    def _change(self, **changes):
        self._save(**changes)
        self.make()

    @_one_at_a_time
    def make(self):
        """Let the running server have exactly the accounts that are remembered. Raises redis.RedisError."""
        rules, client = _rules(self._load()), self.app.client()
        for name, words in rules.items():
            client.execute_command("ACL", "SETUSER", name, "reset", *words)
        others = set(client.execute_command("ACL", "USERS")) - rules.keys()
        if others:
            client.execute_command("ACL", "DELUSER", *sorted(others))
        self._seen = client.execute_command("ACL", "LIST")

    def forget(self):
        """Called before a start: the server reads the accounts from the file, and lists them in other words."""
        self._seen = None

    @_one_at_a_time
    def keep(self, idle):
        """Make the accounts again if they are not as the agent left them. idle: see ``Server.look_after``."""
        try:
            seen = self.app.look().execute_command("ACL", "LIST")
            self.whole = True
            if seen == self._seen:
                return
            if self._seen is not None:
                self.repairs += 1
                LOG.warning("%s: the accounts of the server were changed and are made again", CONF.guest_id)
            self.make()
        except DENIED as error:
            self.whole = False
            LOG.warning("%s: the server does not let the agent in: %s", CONF.guest_id, error)
            self._restart(idle)
        except redis.exceptions.RedisError as error:
            LOG.debug("%s: the accounts cannot be looked at: %s", CONF.guest_id, error)

    def _restart(self, idle):
        """Start the server with the agent's file: nothing else helps. The pause doubles while that goes on."""
        now = time.monotonic()
        if now < self._next_restart:
            return
        with contextlib.suppress(exception.Conflict), idle():
            self._pause = min(max(CONF.access_restart_interval, self._pause * 2), 86400)
            self._next_restart = now + self._pause
            self._save()
            self.app.restart()
            self.repairs += 1

    # The users' password

    @_one_at_a_time
    def ask(self, password=None):
        """Return the password of ``default``; it becomes this one if one is given, or a fresh one if only its hash is
        known here, as that of a former source.
        """
        state = self._load()
        fresh = {} if state.get("password") and password in (None, state["password"]) else self._fresh(password)
        self._change(asked=True, **fresh)
        return fresh.get("password") or state["password"]

    @_one_at_a_time
    def renew(self):
        """Give ``default`` a password that nobody knows, and close its connections."""
        self._change(asked=False, **self._fresh())
        self._close_users()

    def _close_users(self):
        self.app.client().execute_command("CLIENT", "KILL", "USER", DEFAULT)

    @property
    def asked(self):
        """Whether a user has asked for the password."""
        return self._load().get("asked", False)

    def take_over(self, client, source):
        """Let ``default`` have the password that it has at a source, and close connections that came with another one.

        client: of the replica's account there; source: as ``RedisApp.source`` has it. A server that follows it no more
        when the answer comes keeps its password.
        """
        found = client.execute_command("ACL", "GETUSER", DEFAULT)
        answer = found if isinstance(found, dict) else dict(zip(found[::2], found[1::2], strict=False))
        hashes = [each.removeprefix("#") for each in answer["passwords"]]
        # A source is another guest: nothing but a hash is taken from it.
        if len(hashes) == 1 and _HASH.fullmatch(hashes[0]):
            self._use_hash(hashes[0], source)

    @_one_at_a_time
    def _use_hash(self, found, source):
        if self.app.source == source and found != self._load().get("hash"):
            self._change(password=None, hash=found)
            self._close_users()
            LOG.info("%s: the users' password is the source's now", CONF.guest_id)

    # Roles

    @_one_at_a_time
    def close(self):
        """Let a server that is not running start read-only."""
        self._save(read_only=True)

    def set_read_only(self, read_only):
        """Take the right to write from users, or give it back. When it returns, none of them writes any more."""
        self._change(read_only=read_only)

    def set_replicas(self, accounts):
        """Let exactly these accounts follow. accounts: {user: password}."""
        self._change(replicas={user: hashed(password) for user, password in accounts.items()})

    @_one_at_a_time
    def remove_replica(self, user):
        """Remove the account of one replica; its connection ends."""
        self._change(replicas={name: value for name, value in self._load().get("replicas", {}).items()
                               if name != user})


def _rules(state):
    """Return the accounts as {name: words of its rules}. state: as remembered."""
    closed = ["-@write"] if state["read_only"] else []
    return {ADMIN: ["on", f"#{hashed(state['admin'])}", "~*", "&*", "+@all"],
            DEFAULT: ["on", f"#{state['hash']}", *OF_USERS, *closed],
            **{name: ["on", f"#{value}", *OF_REPLICAS] for name, value in state["replicas"].items()}}
