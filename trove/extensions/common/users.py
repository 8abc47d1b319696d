"""The controllers of the users of an instance and of what they may use, by the rules of its datastore.

See ``databases`` beside this module.
"""
from trove.common import apischema, exception, wsgi
from trove.common.apischema import contract
from trove.common.cfg import CONF
from trove.extensions.common import schema, views
from trove.extensions.common.guest import ACCEPTED, change, client, load_running, load_writable
from trove.guestagent.db import models
from trove.guestagent.db.models import ANY_HOST, User
from trove.instance import administration


def _shown_user(names, text):
    """(name, host) of a user in an address. Raises NotFound for a reserved one: it is invisible."""
    name, host = names.parse_user_id(text)
    if names.is_ignored_user(name):
        raise exception.NotFound(resource="user", id=text)
    return name, host


def _changed_user(names, text):
    """(name, host) of a user in an address that is to be changed. Raises BadValue for a reserved one."""
    name, host = names.parse_user_id(text)
    _refuse_reserved(names, name)
    return name, host


def _refuse_reserved(names, name):
    if names.is_ignored_user(name):
        raise exception.BadValue(field="user", reason=f"'{name}' is reserved.")


class UserController(wsgi.Controller):
    """/instances/{id}/users."""

    @contract(query=apischema.PAGE, answer=views.USERS, errors=(409, 422, 501, 503))
    def index(self, req, instance_id):
        """One page of the users, by name and host."""
        loaded = load_running(req.context, instance_id)
        limit, marker = req.page(CONF.users_page_size)
        if marker is not None:
            marker = models.of(loaded.manager).marker_of_users(marker)
        found, following = client(req.context, loaded).list_users(limit, marker, False)
        return {"users": [views.user(entry) for entry in found], **wsgi.next_links(req, following)}

    @contract(answer=views.USER, errors=(409, 422, 501, 503))
    def show(self, req, instance_id, name):
        """One user."""
        loaded = load_running(req.context, instance_id)
        found = administration.existing_user(client(req.context, loaded),
                                             *_shown_user(models.of(loaded.manager), name))
        return {"user": views.user(found)}

    @contract(body=schema.create_users, **ACCEPTED)
    def create(self, req, instance_id, body):
        """Make users with their passwords and grants."""
        return self._create(req, instance_id, body["users"])

    @staticmethod
    def _create(req, instance_id, given):
        loaded = load_writable(req.context, instance_id)
        wanted = models.of(loaded.manager).check_users(map(User.from_request, given))
        return change(req, loaded, administration.USER_CREATE, {"users": [user.serialize() for user in wanted]},
                      username=",".join(user.name for user in wanted))

    @contract(body=schema.create_user, **ACCEPTED)
    def create_named(self, req, instance_id, name, body):
        """Make one user: openstacksdk posts to the user's own address, with an object under ``users``."""
        given = body["users"] if isinstance(body["users"], list) else [body["users"]]
        return self._create(req, instance_id, [{"name": name, **item} for item in given])

    @contract(body=schema.change_passwords, **ACCEPTED)
    def update_all(self, req, instance_id, body):
        """Change the passwords of several users."""
        loaded = load_writable(req.context, instance_id)
        names, changes = models.of(loaded.manager), []
        for number, item in enumerate(body["users"]):
            name, host = item["name"], item.get("host") or ANY_HOST
            names.check_password(item["password"], f"users[{number}].password")
            if not names.has_hosts:
                names.check_host(host, f"users[{number}].host")
            _refuse_reserved(names, name)
            changes.append({"name": name, "host": host, "password": item["password"]})
        return change(req, loaded, administration.USER_PASSWORD, {"users": changes},
                      username=",".join(each["name"] for each in changes))

    @contract(body=schema.update_user, **ACCEPTED)
    def update(self, req, instance_id, name, body):
        """Change name, host or password of a user."""
        changes = {key: body["user"][key] for key in ("name", "host", "password") if body["user"].get(key) is not None}
        if not changes:
            raise exception.BadValue(field="user", reason="must have at least one of name, host and password.")
        loaded = load_writable(req.context, instance_id)
        names = models.of(loaded.manager)
        old_name, old_host = _changed_user(names, name)
        if "password" in changes:
            names.check_password(changes["password"], "user.password")
        if "host" in changes:
            names.check_host(changes["host"], "user.host")
        if "name" in changes:
            names.check_user_name(changes["name"], "user.name")
        return change(req, loaded, administration.USER_UPDATE, {
            "username": old_name, "hostname": old_host, "user_attrs": changes}, username=old_name)

    @contract(**ACCEPTED)
    def delete(self, req, instance_id, name):
        """Drop a user."""
        loaded = load_writable(req.context, instance_id)
        user, host = _changed_user(models.of(loaded.manager), name)
        return change(req, loaded, administration.USER_DELETE, {"user": User(user, host).serialize()}, username=user)


class UserAccessController(wsgi.Controller):
    """/instances/{id}/users/{user}/databases: what a user may use."""

    @contract(answer=views.GRANTS, errors=(409, 422, 501, 503))
    def index(self, req, instance_id, user):
        """The databases that a user may use."""
        loaded = load_running(req.context, instance_id)
        name, host = _shown_user(models.of(loaded.manager), user)
        guest = client(req.context, loaded)
        administration.existing_user(guest, name, host)
        return {"databases": [views.database(entry) for entry in guest.list_access(name, host)]}

    @contract(body=schema.grant, **ACCEPTED)
    def update(self, req, instance_id, user, body):
        """Let a user use databases."""
        loaded = load_writable(req.context, instance_id)
        names = models.of(loaded.manager)
        name, host = _changed_user(names, user)
        databases = [item["name"] for item in body["databases"]]
        for number, database in enumerate(databases):
            names.check_database_name(database, f"databases[{number}].name")
        return change(req, loaded, administration.USER_GRANT, {
            "username": name, "hostname": host, "databases": databases}, username=name, database=",".join(databases))

    @contract(**ACCEPTED)
    def delete(self, req, instance_id, user, database):
        """Take the right to use a database from a user."""
        loaded = load_writable(req.context, instance_id)
        name, host = _changed_user(models.of(loaded.manager), user)
        return change(req, loaded, administration.USER_REVOKE, {
            "username": name, "hostname": host, "database": database}, username=name, database=database)
