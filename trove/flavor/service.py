"""GET of flavors."""
from trove.common import wsgi
from trove.flavor import models, views


class FlavorController(wsgi.Controller):
    """Flavors are Nova's; they are listed and shown."""

    def index(self, req):
        """Every flavor."""
        return {"flavors": [views.flavor(req, found) for found in models.list_flavors()]}

    def show(self, req, flavor):
        """The flavor with the id ``flavor``."""
        return {"flavor": views.flavor(req, models.get_flavor(flavor))}
