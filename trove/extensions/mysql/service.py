"""Controllers of the databases, users and grants of an instance.

What is read is asked of the guest. What is changed becomes an operation, whose end the answer waits for
(``operation.answer``); what cannot be done is refused at once.
"""
from trove.common import apischema, exception, wsgi
from trove.common.apischema import contract
from trove.common.cfg import CONF
from trove.extensions.common.guest import client, load_running, load_writable
from trove.extensions.mysql import schema, views
from trove.guestagent.db import models
from trove.guestagent.db.models import MySQLDatabase, MySQLUser
from trove.instance import administration
from trove.operation import answer

_ACCEPTED = {"status": 202, "errors": (501,), "waits": True}
_BEHIND_ALL_HOSTS = "\U0010ffff"


def _no_duplicates(names, field):
    seen = set()
    for name in names:
        if name in seen:
            raise exception.BadValue(field=field, reason=f"'{name}' is named twice.")
        seen.add(name)


def _parse_user_id(text, manager):
    """(name, host) of a user in a path. Raises NotFound for a reserved one: it is invisible."""
    name, host = models.parse_user_id(text)
    if models.is_ignored_user(name, manager):
        raise exception.NotFound(resource="user", id=text)
    return name, host


def _parse_changed_user_id(text, manager):
    """(name, host) of a user in a path that is to be changed. Raises BadValue for a reserved one."""
    name, host = models.parse_user_id(text)
    if models.is_ignored_user(name, manager):
        raise exception.BadValue(field="user", reason=f"'{name}' is reserved.")
    return name, host


def _change(req, loaded, kind, arguments, **traits):
    """Change databases or users of an instance (Loaded); see ``administration.begin``. Returns the answer."""
    begun = administration.begin(req.context, client(req.context, loaded), loaded.id, kind, arguments, **traits)
    return answer.when_done(req, begun)


class SchemaController(wsgi.Controller):
    """/instances/{id}/databases."""

    @contract(query=apischema.PAGE, answer=views.DATABASES, errors=(409, 422, 501, 503))
    def index(self, req, instance_id):
        """One page of the databases, by name."""
        loaded = load_running(req.context, instance_id)
        limit, marker = req.page(CONF.databases_page_size)
        found, following = client(req.context, loaded).list_databases(limit, marker, False)
        return {"databases": [views.database(entry) for entry in found], **wsgi.next_links(req, following)}

    @contract(body=schema.create_databases, **_ACCEPTED)
    def create(self, req, instance_id, body):
        """Make databases; openstacksdk sends one alone, under the key ``database``."""
        given = body["databases"] if "databases" in body else [body["database"]]
        if given[0].get("instance_id") not in (None, instance_id):
            raise exception.BadValue(field="database.instance_id", reason="must be the instance of the address.")
        loaded = load_writable(req.context, instance_id)
        wanted = [MySQLDatabase(item["name"], item.get("character_set"), item.get("collate")).validate(
            loaded.manager, f"databases[{number}]") for number, item in enumerate(given)]
        _no_duplicates([database.name for database in wanted], "databases")
        return _change(req, loaded, administration.DATABASE_CREATE, {
            "databases": [database.serialize() for database in wanted]},
            dbname=".".join(database.name for database in wanted))

    @contract(status=None, errors=(501,))
    def show(self, req, instance_id, name):
        """No server ever had this."""
        raise exception.NotImplementedHere("A single database cannot be shown; list the databases.")

    @contract(**_ACCEPTED)
    def delete(self, req, instance_id, name):
        """Drop a database; whether it exists is not checked."""
        loaded = load_writable(req.context, instance_id)
        models.check_database_name(name, loaded.manager)
        return _change(req, loaded, administration.DATABASE_DELETE, {"database": MySQLDatabase(name).serialize()},
                       dbname=name)


class UserController(wsgi.Controller):
    """/instances/{id}/users."""

    @contract(query=apischema.PAGE, answer=views.USERS, errors=(409, 422, 501, 503))
    def index(self, req, instance_id):
        """One page of the users, by name and host."""
        loaded = load_running(req.context, instance_id)
        limit, marker = req.page(CONF.users_page_size)
        if marker is not None and "@" not in marker:
            marker = f"{marker}@{_BEHIND_ALL_HOSTS}"  # openstacksdk sends the bare name
        found, following = client(req.context, loaded).list_users(limit, marker, False)
        return {"users": [views.user(entry) for entry in found], **wsgi.next_links(req, following)}

    @contract(answer=views.USER, errors=(409, 422, 501, 503))
    def show(self, req, instance_id, name):
        """One user."""
        loaded = load_running(req.context, instance_id)
        found = administration.existing_user(client(req.context, loaded), *_parse_user_id(name, loaded.manager))
        return {"user": views.user(found)}

    @contract(body=schema.create_users, **_ACCEPTED)
    def create(self, req, instance_id, body):
        """Make users with their passwords and grants."""
        return self._create(req, instance_id, body["users"])

    @staticmethod
    def _create(req, instance_id, given):
        loaded = load_writable(req.context, instance_id)
        wanted = [MySQLUser(item["name"], item.get("host"), item["password"],
                            tuple(granted["name"] for granted in item.get("databases") or ())
                            ).validate(loaded.manager, f"users[{number}]")
                  for number, item in enumerate(given)]
        _no_duplicates([user.id for user in wanted], "users")
        return _change(req, loaded, administration.USER_CREATE, {"users": [user.serialize() for user in wanted]},
                       username=",".join(user.name for user in wanted))

    @contract(body=schema.create_user, **_ACCEPTED)
    def create_named(self, req, instance_id, name, body):
        """Make one user: openstacksdk posts to the user's own address, with an object under ``users``."""
        given = body["users"] if isinstance(body["users"], list) else [body["users"]]
        return self._create(req, instance_id, [{"name": name, **item} for item in given])

    @contract(body=schema.change_passwords, **_ACCEPTED)
    def update_all(self, req, instance_id, body):
        """Change the passwords of several users."""
        loaded = load_writable(req.context, instance_id)
        changes = []
        for number, item in enumerate(body["users"]):
            name, host = item["name"], item.get("host") or models.ANY_HOST
            models.check_password(item["password"], f"users[{number}].password")
            _parse_changed_user_id(f"{name}@{host}", loaded.manager)
            changes.append({"name": name, "host": host, "password": item["password"]})
        return _change(req, loaded, administration.USER_PASSWORD, {"users": changes},
                       username=",".join(change["name"] for change in changes))

    @contract(body=schema.update_user, **_ACCEPTED)
    def update(self, req, instance_id, name, body):
        """Change name, host or password of a user."""
        changes = {key: body["user"][key] for key in ("name", "host", "password") if body["user"].get(key) is not None}
        if not changes:
            raise exception.BadValue(field="user", reason="must have at least one of name, host and password.")
        loaded = load_writable(req.context, instance_id)
        old_name, old_host = _parse_changed_user_id(name, loaded.manager)
        if "password" in changes:
            models.check_password(changes["password"], "user.password")
        if "host" in changes:
            models.check_host(changes["host"], loaded.manager, "user.host")
        if "name" in changes:
            models.check_user_name(changes["name"], loaded.manager, "user.name")
        return _change(req, loaded, administration.USER_UPDATE, {
            "username": old_name, "hostname": old_host, "user_attrs": changes}, username=old_name)

    @contract(**_ACCEPTED)
    def delete(self, req, instance_id, name):
        """Drop a user."""
        loaded = load_writable(req.context, instance_id)
        user, host = _parse_changed_user_id(name, loaded.manager)
        return _change(req, loaded, administration.USER_DELETE, {"user": MySQLUser(user, host).serialize()},
                       username=user)


class UserAccessController(wsgi.Controller):
    """/instances/{id}/users/{user}/databases: what a user may use."""

    @contract(answer=views.GRANTS, errors=(409, 422, 501, 503))
    def index(self, req, instance_id, user):
        """The databases that a user may use."""
        loaded = load_running(req.context, instance_id)
        name, host = _parse_user_id(user, loaded.manager)
        guest = client(req.context, loaded)
        administration.existing_user(guest, name, host)
        return {"databases": [views.database(entry) for entry in guest.list_access(name, host)]}

    @contract(body=schema.grant, **_ACCEPTED)
    def update(self, req, instance_id, user, body):
        """Let a user use databases."""
        loaded = load_writable(req.context, instance_id)
        name, host = _parse_changed_user_id(user, loaded.manager)
        names = [item["name"] for item in body["databases"]]
        for number, database in enumerate(names):
            models.check_database_name(database, loaded.manager, f"databases[{number}].name")
        return _change(req, loaded, administration.USER_GRANT, {
            "username": name, "hostname": host, "databases": names}, username=name, database=",".join(names))

    @contract(**_ACCEPTED)
    def delete(self, req, instance_id, user, database):
        """Take the right to use a database from a user."""
        loaded = load_writable(req.context, instance_id)
        name, host = _parse_changed_user_id(user, loaded.manager)
        return _change(req, loaded, administration.USER_REVOKE, {
            "username": name, "hostname": host, "database": database}, username=name, database=database)
