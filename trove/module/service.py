"""Controllers of /modules and /instances/{id}/modules. Agents of this release take no modules: applying is refused."""
from trove.common import apischema, exception, wsgi
from trove.common.apischema import contract
from trove.common.cfg import CONF
from trove.datastore import models as datastore_models
from trove.db import get_db_api
from trove.instance import loading
from trove.instance import views as instance_views
from trove.module import actions, models, schema, views


class ModuleController(wsgi.Controller):
    """/modules and /modules/{id}."""

    @contract(query={**apischema.PAGE, "datastore": apischema.string}, answer=views.LIST, errors=(404,))
    def index(self, req):
        """One page of the modules that the caller sees; ``datastore`` is an id, a name or ``all``."""
        limit, marker = req.page(CONF.modules_page_size)
        wanted = req.GET.get("datastore")
        with get_db_api().reader() as session:
            if wanted and wanted != models.ALL:
                wanted = datastore_models.find_datastore(session, wanted).id
            page, following = models.load_page(session, req.context, limit, marker, wanted or None)
        return {"modules": [views.item(module) for module in page], **wsgi.next_links(req, following)}

    @contract(answer=views.SHOW)
    def show(self, req, module_id):
        """One module."""
        with get_db_api().reader() as session:
            return {"module": views.detail(models.load(session, module_id, req.context))}

    @contract(body=schema.create, answer=views.SHOW, errors=(404, 413))
    def create(self, req, body):
        """Make a module."""
        return self.show(req, actions.create(req.context, body["module"]))

    @contract(body=schema.update, answer=views.SHOW)
    def update(self, req, module_id, body):
        """Change what is named."""
        actions.update(req.context, module_id, body["module"])
        return self.show(req, module_id)

    @contract()
    def delete(self, req, module_id):
        """Delete a module that no instance has."""
        actions.delete(req.context, module_id)

    @contract(query=apischema.PAGE, answer=views.INSTANCES)
    def index_instances(self, req, module_id):
        """One page of the instances of the caller that have a module."""
        limit, marker = req.page(CONF.instances_page_size)
        with get_db_api().reader() as session:
            models.load(session, module_id, req.context)
            tenant = None if req.context.is_admin else req.context.project_id
            page, following = loading.load_page_among(
                session, models.select_instance_ids(module_id), tenant, limit, marker)
        return {"instances": [instance_views.item(req, loaded) for loaded in page],
                **wsgi.next_links(req, following)}

    @contract(body=schema.reapply, status=None, errors=(501,))
    def reapply(self, req, module_id, body):
        """Apply a module again to all that have it."""
        with get_db_api().reader() as session:
            models.load(session, module_id, req.context)
        raise exception.NotImplementedHere("The agents of instances take no modules.")


class InstanceModuleController(wsgi.Controller):
    """/instances/{id}/modules."""

    @contract(query={"include_contents": apischema.boolean, "from_guest": apischema.boolean}, answer=views.APPLIED)
    def index(self, req, instance_id):
        """The modules that an instance has, by our rows."""
        with get_db_api().reader() as session:
            loading.load(session, instance_id, req.context)
            found = models.load_applied(session, instance_id)
        return {"modules": [views.applied(module, row) for module, row in found]}

    @contract(body=schema.apply, status=None, errors=(501,))
    def apply(self, req, instance_id, body):
        """Apply modules to an instance."""
        with get_db_api().reader() as session:
            loaded = loading.load(session, instance_id, req.context)
            for entry in body["modules"]:
                models.load(session, entry["id"], req.context)
        raise exception.NotImplementedHere(f"The datastore {loaded.datastore} takes no modules.")

    @contract(status=None, errors=(501,))
    def remove(self, req, instance_id, module_id):
        """Take a module from an instance."""
        with get_db_api().reader() as session:
            loaded = loading.load(session, instance_id, req.context)
            found = models.load_applied(session, instance_id)
        if module_id not in {module.row.id for module, _ in found}:
            raise exception.NotFound(f"The instance {instance_id} has no module {module_id}.")
        raise exception.NotImplementedHere(f"The datastore {loaded.datastore} takes no modules.")
