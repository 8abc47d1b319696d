"""GET of volume types."""
from trove.common import wsgi
from trove.common.apischema import contract
from trove.volume_type import models, views


class VolumeTypeController(wsgi.Controller):
    """Volume types are Cinder's; they are listed and shown."""

    @contract(answer=views.LIST, errors=(503,))
    def index(self, req):
        """Every volume type that the caller may use."""
        return {"volume_types": [views.volume_type(found)
                                 for found in models.list_volume_types(req.context.project_id)]}

    @contract(answer=views.SHOW, errors=(503,))
    def show(self, req, name):
        """The volume type with the id or name ``name``."""
        return {"volume_type": views.volume_type(models.get_volume_type(name, req.context.project_id))}
