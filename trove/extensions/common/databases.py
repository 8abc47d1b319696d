"""The controller of the databases of an instance, by the rules of its datastore (``guestagent.db.models``).

What is read is asked of the guest. What is changed becomes an operation, whose end the answer waits for
(``operation.answer``); what cannot be done is refused at once.
"""
from trove.common import apischema, exception, wsgi
from trove.common.apischema import contract
from trove.common.cfg import CONF
from trove.extensions.common import schema, views
from trove.extensions.common.guest import ACCEPTED, change, client, load_running, load_writable
from trove.guestagent.db import models
from trove.guestagent.db.models import Database
from trove.instance import administration


class SchemaController(wsgi.Controller):
    """/instances/{id}/databases. Rules of policies begin with its name."""

    @contract(query=apischema.PAGE, answer=views.DATABASES, errors=(409, 422, 501, 503))
    def index(self, req, instance_id):
        """One page of the databases, by name."""
        loaded = load_running(req.context, instance_id)
        limit, marker = req.page(CONF.databases_page_size)
        found, following = client(req.context, loaded).list_databases(limit, marker, False)
        return {"databases": [views.database(entry) for entry in found], **wsgi.next_links(req, following)}

    @contract(body=schema.create_databases, **ACCEPTED)
    def create(self, req, instance_id, body):
        """Make databases; openstacksdk sends one alone, under the key ``database``."""
        given = body["databases"] if "databases" in body else [body["database"]]
        if given[0].get("instance_id") not in (None, instance_id):
            raise exception.BadValue(field="database.instance_id", reason="must be the instance of the address.")
        loaded = load_writable(req.context, instance_id)
        wanted = models.of(loaded.manager).check_databases(map(Database.from_request, given))
        return change(req, loaded, administration.DATABASE_CREATE, {
            "databases": [database.serialize() for database in wanted]},
            dbname=".".join(database.name for database in wanted))

    @contract(status=None, errors=(501,))
    def show(self, req, instance_id, name):
        """No server ever had this."""
        raise exception.NotImplementedHere("A single database cannot be shown; list the databases.")

    @contract(**ACCEPTED)
    def delete(self, req, instance_id, name):
        """Drop a database; whether it exists is not checked."""
        loaded = load_writable(req.context, instance_id)
        models.of(loaded.manager).check_database_name(name)
        return change(req, loaded, administration.DATABASE_DELETE, {"database": Database(name).serialize()},
                      dbname=name)
