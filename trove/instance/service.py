"""Controller of /instances: reads the request, checks its shape, calls one function of the domain, answers a view."""
from oslo_log import log as logging

from trove.common import apischema, exception, wsgi
from trove.common.apischema import contract
from trove.common.cfg import CONF
from trove.db import get_db_api
from trove.instance import actions, create, loading, replicas, resize, schema, views
from trove.operation import answer
from trove.operation import models as operations
from trove.operation import views as operation_views

LOG = logging.getLogger(__name__)


class InstanceController(wsgi.Controller):
    """/instances and /instances/{id}, with its actions."""

    @contract(query={**apischema.PAGE, "include_clustered": apischema.boolean}, answer=views.LIST)
    def index(self, req):
        """One page of the tenant's instances."""
        with get_db_api().reader() as session:
            page, following = self._page(session, req, listed=True)
        return {"instances": [views.item(req, loaded) for loaded in page], **wsgi.next_links(req, following)}

    @contract(query={**apischema.PAGE, "include_clustered": apischema.boolean}, answer=views.DETAILS)
    def index_detail(self, req):
        """The same page, each instance as it is shown alone but for the progress of its operation."""
        with get_db_api().reader() as session:
            page, following = self._page(session, req)
            page = loading.with_details(session, page)
        return {"instances": [views.detail(req, details) for details in page], **wsgi.next_links(req, following)}

    @staticmethod
    def _page(session, req, listed=False):
        limit, marker = req.page(CONF.instances_page_size)
        return loading.load_page(session, req.context.project_id, limit, marker, req.flag("include_clustered"),
                                 listed=listed)

    @contract(answer=views.SHOW)
    def show(self, req, instance_id):
        """One instance, with the space used on its data volume as its guest last reported it."""
        with get_db_api().reader() as session:
            details = loading.load_details(session, instance_id, req.context, shown=True)
        return {"instance": views.detail(req, details)}

    @contract(query=apischema.PAGE, answer=operation_views.LIST)
    def operations(self, req, instance_id):
        """One page of the operations on an instance with their steps, the newest first."""
        limit, marker = req.page(CONF.instances_page_size)
        with get_db_api().reader() as session:
            loading.load(session, instance_id, req.context)
            page, following = operations.load_page(session, limit, marker, resource=("instance", instance_id))
            now = get_db_api().now(session)
        return {"operations": [operation_views.whole(operation, now) for operation in page],
                **wsgi.next_links(req, following)}

    @contract(answer=operation_views.SHOW)
    def operation(self, req, instance_id, operation_id):
        """One operation on an instance with its steps."""
        with get_db_api().reader() as session:
            loading.load(session, instance_id, req.context)
            found = operations.load(session, operation_id, ("instance", instance_id))
            return {"operation": operation_views.whole(found, get_db_api().now(session))}

    @contract(body=schema.create, answer=views.SHOW, errors=(404, 409, 422, 501, 503))
    def create(self, req, body):
        """Begin to build an instance."""
        instance_id, password = create.create(
            req.context, req.headers.get("X-Auth-Token"), create.parse(body["instance"]))
        with get_db_api().reader() as session:
            details = loading.load_details(session, instance_id, req.context, shown=True)
        return {"instance": views.detail(req, details, password=password)}

    @contract(body=schema.put, status=202, errors=(501,), waits=True)
    def update(self, req, instance_id, body):
        """PUT: change what is named; an empty object detaches the configuration group."""
        return answer.when_done(req, actions.update(req.context, instance_id, body["instance"]), replaceable=True)

    @contract(body=schema.patch, status=202, errors=(501,), waits=True)
    def edit(self, req, instance_id, body):
        """PATCH: as PUT, but unknown keys are refused."""
        return answer.when_done(req, actions.update(req.context, instance_id, body["instance"]), replaceable=True)

    @contract(status=202, errors=(422, 501))
    def delete(self, req, instance_id):
        """Begin to delete an instance."""
        actions.delete(req.context, instance_id)

    @contract(body=schema.action, status=202, errors=(409, 422, 501, 503))
    def action(self, req, instance_id, body):
        """Do the one action that the body names."""
        ((name, value),) = body.items()
        getattr(self, f"_{name}")(req.context, instance_id, value)

    def _restart(self, context, instance_id, _value):
        actions.restart(context, instance_id)

    def _reset_status(self, context, instance_id, _value):
        actions.reset_status(context, instance_id)

    def _reset_password(self, context, instance_id, _value):
        self._unsupported(context, instance_id, "reset_password")

    def _resize(self, context, instance_id, value):
        if "flavorRef" in value:
            resize.resize_flavor(context, instance_id, value["flavorRef"])
        else:
            volume = value["volume"]
            resize.resize_volume(context, instance_id, int(volume["size"] if isinstance(volume, dict) else volume))

    def _promote_to_replica_source(self, context, instance_id, _value):
        replicas.promote(context, instance_id)

    def _eject_replica_source(self, context, instance_id, _value):
        replicas.eject(context, instance_id)

    @staticmethod
    def _load(context, instance_id):
        with get_db_api().reader() as session:
            return loading.load(session, instance_id, context)

    def _unsupported(self, context, instance_id, name):
        loaded = self._load(context, instance_id)
        raise exception.NotImplementedHere(
            f"The action {name} is not supported for the datastore {loaded.datastore} of instance {instance_id}.")
