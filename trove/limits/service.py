"""GET /limits: the tenant's quotas, then the rates and what is left of them."""
import datetime

from oslo_utils import timeutils

from trove.common import wsgi
from trove.common.apischema import contract
from trove.common.limits import LIMITER_KEY
from trove.db import get_db_api
from trove.limits import views
from trove.quota import quota


class LimitsController(wsgi.Controller):
    """The limits of the caller's tenant."""

    @contract(answer=views.LIST)
    def index(self, req):
        """The absolute limits come first: clients take element 0 for them."""
        tenant = req.context.project_id
        with get_db_api().reader() as session:
            quotas = quota.limits(session, tenant)
        now = timeutils.utcnow()
        return {"limits": [views.absolute(quotas), *(
            views.rate(limit, remaining, now + datetime.timedelta(seconds=wait))
            for limit, remaining, wait in req.environ[LIMITER_KEY].state(tenant))]}
