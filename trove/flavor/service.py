"""GET of flavors."""
from trove.common import wsgi
from trove.common.apischema import contract
from trove.flavor import models, views


class FlavorController(wsgi.Controller):
    """Flavors are Nova's; they are listed and shown."""

    @contract(answer=views.LIST, errors=(503,))
    def index(self, req):
        """Every flavor that the caller may use."""
        return {"flavors": [views.flavor(req, found) for found in models.list_flavors(req.context.project_id)]}

    @contract(answer=views.SHOW, errors=(503,))
    def show(self, req, flavor):
        """The flavor with the id ``flavor``."""
        return {"flavor": views.flavor(req, models.get_flavor(flavor, req.context.project_id))}
