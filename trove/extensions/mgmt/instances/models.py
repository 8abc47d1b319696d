"""What ``trove.instance.exists`` tells of each instance: the classes that ``exists_notification_transformer`` may name.

Called by ``trove.taskmanager.audit``.
"""
from trove.common import exception, remote
from trove.common.cfg import CONF
from trove.db import get_db_api
from trove.flavor import models as flavor_models
from trove.instance import loading
from trove.notification import usage
from trove.taskmanager.steps import compute


class NotificationTransformer:
    """Made with the begin and the end of the period (naive UTC); called without arguments it gives the payloads."""

    def __init__(self, begun, ended):
        self._begun, self._ended = begun, ended

    def __call__(self):
        """One payload (dict) for each live instance."""
        with get_db_api().reader() as session:
            page, _ = loading.load_page(session, None, None, include_clustered=True)
        return [self.transform(loaded) for loaded in page]

    def transform(self, loaded):
        """The payload of an instance. loaded: ``instance.loading.Loaded``."""
        row = loaded.row
        return {
            "audit_period_beginning": self._begun.isoformat(timespec="microseconds"),
            "audit_period_ending": self._ended.isoformat(timespec="microseconds"),
            "created_at": usage.zulu(row.created), "launched_at": usage.zulu(row.created), "display_name": row.name,
            "instance_name": row.name, "instance_id": row.id, "instance_type_id": row.flavor_id,
            "nova_instance_id": row.compute_instance_id, "region": CONF.region, "state": loaded.status.lower(),
            "state_description": loaded.status.lower(), "tenant_id": row.tenant_id,
            "service_id": usage.service_id(loaded.manager)}


class NovaNotificationTransformer(NotificationTransformer):
    """The same with what Nova knows, for instances that have a server and are not shut down."""

    def __call__(self):
        """See the base."""
        servers = {server.id: server for server in compute.all_servers(remote.nova_client())}
        with get_db_api().reader() as session:
            page, _ = loading.load_page(session, None, None, include_clustered=True)
        return [self._with_server(loaded, servers[loaded.row.compute_instance_id]) for loaded in page
                if loaded.row.compute_instance_id in servers and loaded.status != "SHUTDOWN"]

    def _with_server(self, loaded, server):
        row = loaded.row
        try:
            flavor = flavor_models.get_flavor(row.flavor_id)
        except exception.NotFound:  # it is not offered any more
            flavor = None
        told = {**self.transform(loaded), "instance_type": flavor and flavor.name,
                "instance_size": flavor and flavor.ram, "user_id": getattr(server, "user_id", None),
                "availability_zone": getattr(server, "OS-EXT-AZ:availability_zone", None)}
        if row.volume_size:
            told.update(volume_size=row.volume_size, nova_volume_id=row.volume_id)
        return told
