"""Controller of /mgmt/storage: what Cinder says of its pools."""
from trove.common import remote, wsgi
from trove.common.apischema import contract
from trove.extensions.mgmt.storage import views


class StorageController(wsgi.Controller):
    """/mgmt/storage."""

    @contract(answer=views.LIST, errors=(503,))
    def index(self, req):
        """Every pool that volumes are made in."""
        cinder = remote.cinder_client()
        with remote.answering("volume"):
            pools = cinder.pools.list(detailed=True)
        return {"devices": [views.device(pool) for pool in pools]}
