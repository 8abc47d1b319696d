"""The context of a request as it crosses the bus: who asks, in which request, with which trace."""
from oslo_context import context


class TroveContext(context.RequestContext):
    """oslo's context plus the page of the request and the service catalog of the token.

    limit: items wanted (int or None); marker: where the page starts; service_catalog: list as Keystone gives it;
    trace_info: {"base_id", "parent_id"} of the trace that it belongs to, or None; origin: in a guest, what its command
    came with (``trove.common.origin``); client_ip, server_ip: who asked, and the Host that was asked.
    """

    def __init__(self, limit=None, marker=None, service_catalog=None, trace_info=None, origin=None, client_ip=None,
                 server_ip=None, **kwargs):
        super().__init__(**kwargs)
        self.limit = limit
        self.marker = marker
        self.service_catalog = service_catalog or []
        self.trace_info = trace_info
        self.origin = origin
        self.client_ip = client_ip
        self.server_ip = server_ip

    @classmethod
    def current(cls):
        """The context of what this thread works on, or a fresh one that is nobody's."""
        return context.get_current() or cls(overwrite=False)

    @property
    def tenant(self):
        """The tenant (project) id of the caller."""
        return self.project_id

    def to_dict(self):
        """A plain dict for the bus; both the old and the new names of user and tenant are in it."""
        values = super().to_dict()
        values.update(limit=self.limit, marker=self.marker, service_catalog=self.service_catalog,
                      trace_info=self.trace_info, origin=self.origin, tenant=self.project_id, user=self.user_id)
        return values

    def to_durable_dict(self):
        """What an operation keeps of a request: no token, no catalog."""
        return {"user_id": self.user_id, "project_id": self.project_id, "is_admin": self.is_admin,
                "request_id": self.request_id, "user_name": self.user_name, "roles": list(self.roles),
                "trace_info": self.trace_info, "client_ip": self.client_ip, "server_ip": self.server_ip}

    @classmethod
    def from_dict(cls, values, **kwargs):
        """Rebuild a context; keys that this version does not know are ignored."""
        known = {"auth_token", "user_id", "project_id", "domain_id", "user_domain_id", "project_domain_id", "is_admin",
                 "read_only", "show_deleted", "request_id", "resource_uuid", "roles", "user_name", "project_name",
                 "limit", "marker", "service_catalog", "trace_info", "origin", "client_ip", "server_ip",
                 "global_request_id"}
        args = {key: values[key] for key in known & values.keys()}
        args.setdefault("project_id", values.get("tenant"))
        args.setdefault("user_id", values.get("user"))
        args["overwrite"] = False
        return cls(**{**args, **kwargs})
