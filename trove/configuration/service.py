"""Controllers of /configurations and of an instance's default configuration: check the shape, call one function."""
from trove.common import apischema, template, wsgi
from trove.common.apischema import contract
from trove.common.cfg import CONF
from trove.configuration import actions, models, schema, views
from trove.db import get_db_api
from trove.flavor import models as flavor_models
from trove.instance import loading
from trove.notification import events
from trove.operation import answer


class ConfigurationController(wsgi.Controller):
    """/configurations and /configurations/{id}."""

    @contract(query=apischema.PAGE, answer=views.LIST)
    def index(self, req):
        """One page of the tenant's groups."""
        limit, marker = req.page(CONF.configurations_page_size)
        with get_db_api().reader() as session:
            page, following = models.load_page(session, req.context.project_id, limit, marker)
        return {"configurations": [views.short(loaded) for loaded in page], **wsgi.next_links(req, following)}

    @contract(answer=views.SHOW)
    def show(self, req, configuration_id):
        """One group with its values."""
        return self._view(req, configuration_id)

    @contract(body=schema.create, answer=views.SHOW, errors=(404, 422))
    def create(self, req, body):
        """Make a group."""
        given = body["configuration"]
        datastore = given.get("datastore") or {}
        with events.told(req.context, "configuration_create", name=given["name"], datastore=datastore.get("type"),
                         datastore_version=datastore.get("version")) as told:
            told["configuration_id"] = actions.create(req.context, given)
        return self._view(req, told["configuration_id"])

    @contract(body=schema.update, status=202, waits=True)
    def update(self, req, configuration_id, body):
        """PUT: replace all values."""
        given = body["configuration"]
        with events.told(req.context, "configuration_update", configuration_id=configuration_id,
                         name=given.get("name"), description=given.get("description")):
            begun = actions.change(req.context, configuration_id, given, merge=False)
        return answer.when_done(req, begun, replaceable=True)

    @contract(body=schema.update, waits=True)
    def edit(self, req, configuration_id, body):
        """PATCH: change the values that are given."""
        with events.told(req.context, "configuration_edit", configuration_id=configuration_id):
            begun = actions.change(req.context, configuration_id, body["configuration"], merge=True)
        return answer.when_done(req, begun, status=200, replaceable=True)

    @contract(status=202)
    def delete(self, req, configuration_id):
        """Delete a group that is attached to nothing."""
        with events.told(req.context, "configuration_delete", configuration_id=configuration_id):
            actions.delete(req.context, configuration_id)

    @contract(query=apischema.PAGE, answer=views.INSTANCES)
    def instances(self, req, configuration_id):
        """One page of the instances that the group is attached to."""
        limit, marker = req.page(CONF.instances_page_size)
        with get_db_api().reader() as session:
            models.DBConfiguration.get(session, configuration_id, req.context)
            page, following = models.attached_page(session, configuration_id, limit, marker)
        return {"instances": [{"id": row.id, "name": row.name} for row in page], **wsgi.next_links(req, following)}

    @staticmethod
    def _view(req, configuration_id):
        with get_db_api().reader() as session:
            return {"configuration": views.full(models.load(session, configuration_id, req.context))}


class DefaultController(wsgi.Controller):
    """/instances/{id}/configuration."""

    @contract(answer=views.DEFAULTS, errors=(501, 503))
    def show(self, req, instance_id):
        """The settings that an instance has without any group: its rendered template as a flat dict."""
        with get_db_api().reader() as session:
            loaded = loading.load(session, instance_id, req.context)
        flavor = flavor_models.get_flavor(loaded.row.flavor_id)
        defaults = template.defaults(loaded.manager, loaded.datastore, loaded.version, {"ram": flavor.ram}, instance_id)
        return {"instance": {"configuration": defaults}}
