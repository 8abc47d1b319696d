"""Who keeps databases, users, grants and root in a server; the base of what an engine does there.

A datastore with users implements all of ``Admin``, one whose root can be enabled all of ``Root``; a class may be both.
Both are made with the Server and the name of the datastore manager, whose options say which names are reserved. Every
change may be repeated. Databases and users are dicts in the form of ``guestagent.db.models``.
"""
import abc


class Admin(abc.ABC):
    """Databases, users, and which user may use which database."""

    @abc.abstractmethod
    def create_database(self, databases):
        """Make databases (dicts); leave those alone that exist. Raises BadValue for a reserved name."""

    @abc.abstractmethod
    def delete_database(self, database):
        """Drop a database (dict) and what was granted on it, if it exists."""

    @abc.abstractmethod
    def list_databases(self, limit=None, marker=None, include_marker=False):
        """Return a page of databases: (dicts in the order of names, marker of the next page or None)."""

    @abc.abstractmethod
    def create_user(self, users):
        """Make users (dicts) with passwords and grants; one that exists gets the password and the grants."""

    @abc.abstractmethod
    def delete_user(self, user):
        """Drop a user (dict), if it exists."""

    @abc.abstractmethod
    def get_user(self, username, hostname):
        """Return a user as a dict without its password, or None."""

    @abc.abstractmethod
    def list_users(self, limit=None, marker=None, include_marker=False):
        """Return a page of users: (dicts in the order of name@host, marker of the next page or None)."""

    @abc.abstractmethod
    def change_passwords(self, users):
        """Set passwords: list of {"name", "host", "password"}. Raises NotFound for an unknown user and changes none."""

    @abc.abstractmethod
    def update_attributes(self, username, hostname, user_attrs):
        """Change those of name, host and password that user_attrs has. Raises NotFound for an unknown user."""

    @abc.abstractmethod
    def list_access(self, username, hostname):
        """Return the databases (dicts) that a user may use. Raises NotFound for an unknown user."""

    @abc.abstractmethod
    def grant_access(self, username, hostname, databases):
        """Let a user use databases (names). Raises NotFound for an unknown user."""

    @abc.abstractmethod
    def revoke_access(self, username, hostname, database):
        """Take a user's right to use a database (name). Raises NotFound for an unknown user and a right it has not."""


class Root(abc.ABC):
    """The user's access to everything in the server, which is off until it is asked for."""

    @abc.abstractmethod
    def enable_root(self, root_password=None):
        """Let root in over the network, with this or a fresh password. Returns its dict with the password."""

    @abc.abstractmethod
    def disable_root(self):
        """Let root in from nowhere but the guest itself, also if it was not enabled."""

    @abc.abstractmethod
    def is_root_enabled(self):
        """Return whether root may log in over the network."""
