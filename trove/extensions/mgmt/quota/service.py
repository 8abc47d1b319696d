"""Controller of /mgmt/quotas/{tenant}: the route table says that administrators set them and tenants read their own."""
from trove.common import wsgi
from trove.common.apischema import contract
from trove.db import get_db_api, in_transaction
from trove.extensions.mgmt.quota import schema, views
from trove.quota import quota


@in_transaction
def _set(session, tenant, limits):
    quota.set_limits(session, tenant, limits)


class QuotaController(wsgi.Controller):
    """/mgmt/quotas/{tenant}."""

    @contract(answer=views.SHOW)
    def show(self, req, tenant):
        """Limit, use and reservations of each resource of a tenant."""
        with get_db_api().reader() as session:
            usages = quota.usages(session, tenant)
        return {"quotas": views.quotas(usages)}

    @contract(body=schema.update, answer=views.UPDATED)
    def update(self, req, tenant, body):
        """Set limits; resources that are not named keep theirs."""
        _set(tenant, body["quotas"])
        return {"quotas": body["quotas"]}
