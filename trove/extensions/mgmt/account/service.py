"""Controller of /mgmt/accounts."""
from trove.common import wsgi
from trove.common.apischema import contract
from trove.db import get_db_api
from trove.extensions.mgmt.account import models, views


class AccountController(wsgi.Controller):
    """/mgmt/accounts and /mgmt/accounts/{tenant}."""

    @contract(answer=views.LIST)
    def index(self, req):
        """Every tenant with live instances, and how many it has."""
        with get_db_api().reader() as session:
            counts = models.count_instances(session)
        return {"accounts": [{"id": tenant, "num_instances": number} for tenant, number in counts]}

    @contract(answer=views.SHOW)
    def show(self, req, tenant):
        """The live instances of a tenant."""
        with get_db_api().reader() as session:
            return {"account": {"id": tenant, "instance_ids": models.instance_ids(session, tenant)}}
