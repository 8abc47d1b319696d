"""Controller of /mgmt/hosts."""
from trove.common import exception, wsgi
from trove.common.apischema import contract
from trove.db import get_db_api
from trove.extensions.mgmt.host import models, schema, views


class HostController(wsgi.Controller):
    """/mgmt/hosts and /mgmt/hosts/{name}."""

    @contract(answer=views.LIST, errors=(503,))
    def index(self, req):
        """Every host, with the number of database instances on it."""
        hosts = models.load_hosts()
        with get_db_api().reader() as session:
            ours = models.instances_of(session, [server for host in hosts for server in host.servers])
        return {"hosts": [views.item(host, ours) for host in hosts]}

    @contract(answer=views.SHOW, errors=(503,))
    def show(self, req, name):
        """One host with its servers."""
        host = models.load_host(name)
        with get_db_api().reader() as session:
            ours = models.instances_of(session, host.servers)
        return {"host": views.detail(host, ours)}

    @contract(body=schema.action, status=None, errors=(501, 503))
    def action(self, req, name, body):
        """Ask all agents on a host to update themselves, which no agent can."""
        models.load_host(name)
        raise exception.NotImplementedHere("Agents cannot be updated in place; build instances from a newer image.")
