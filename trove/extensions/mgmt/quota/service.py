"""Controller of /mgmt/quotas/{tenant}: administrators read and set them, a tenant reads its own."""
from trove.common import apischema, exception, wsgi
from trove.db import get_db_api, in_transaction
from trove.extensions.mgmt.quota import schema
from trove.quota import quota


@in_transaction
def _set(session, tenant, limits):
    quota.set_limits(session, tenant, limits)


class QuotaController(wsgi.Controller):
    """/mgmt/quotas/{tenant}."""

    def show(self, req, tenant):
        """Limit, use and reservations of each resource of a tenant."""
        if not req.context.is_admin and tenant != req.context.project_id:
            raise exception.Forbidden("Only administrators may see the quotas of another tenant.")
        with get_db_api().reader() as session:
            usages = quota.usages(session, tenant)
        return {"quotas": [{"resource": resource, "in_use": usage.in_use, "reserved": usage.reserved,
                            "limit": usage.limit} for resource, usage in sorted(usages.items())]}

    def update(self, req, tenant, body):
        """Set limits; resources that are not named keep theirs."""
        apischema.check(schema.update, body)
        _set(tenant, body["quotas"])
        return {"quotas": body["quotas"]}
