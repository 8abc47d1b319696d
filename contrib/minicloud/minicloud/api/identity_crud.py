"""Keystone v3's resources: one table says what each is made of, one set of handlers serves them all."""

import time

from minicloud.api import schema
from minicloud.api.schema import fields
from minicloud.api.tokens import DOMAIN, hash_password, new_hex_id
from minicloud.api.web import Fault, Route
from minicloud.store import Missing

_ENABLED = {"type": "boolean"}
_TAGS = {"type": "array", "items": schema.NAME}
_OBJECT = {"type": "object"}

# plural: (kind, members of a body, required on creation, defaults, unique together, members to filter by)
KINDS = {
    "domains": (
        "domain",
        {
            "name": schema.NAME,
            "description": schema.TEXT,
            "enabled": _ENABLED,
            "tags": _TAGS,
            "options": _OBJECT,
        },
        ("name",),
        {"description": "", "enabled": True, "tags": [], "options": {}},
        ("name",),
        ("name", "enabled"),
    ),
    "projects": (
        "project",
        {
            "name": schema.NAME,
            "description": schema.TEXT,
            "enabled": _ENABLED,
            "domain_id": schema.ID,
            "parent_id": schema.TEXT,
            "is_domain": {"const": False},
            "tags": _TAGS,
            "options": _OBJECT,
        },
        ("name",),
        {
            "description": "",
            "enabled": True,
            "domain_id": "default",
            "parent_id": "default",
            "is_domain": False,
            "tags": [],
            "options": {},
        },
        ("domain_id", "name"),
        ("name", "enabled", "domain_id", "parent_id", "is_domain"),
    ),
    "users": (
        "user",
        {
            "name": schema.NAME,
            "description": schema.TEXT,
            "enabled": _ENABLED,
            "domain_id": schema.ID,
            "default_project_id": schema.TEXT,
            "password": {"type": ["string", "null"]},
            "options": _OBJECT,
        },
        ("name",),
        {"enabled": True, "domain_id": "default", "options": {}},
        ("domain_id", "name"),
        ("name", "enabled", "domain_id"),
    ),
    "roles": (
        "role",
        {"name": schema.NAME, "description": schema.TEXT, "domain_id": {"type": "null"}, "options": _OBJECT},
        ("name",),
        {"description": None, "domain_id": None, "options": {}},
        ("name",),
        ("name", "domain_id"),
    ),
    "services": (
        "service",
        {"name": schema.TEXT, "type": schema.NAME, "description": schema.TEXT, "enabled": _ENABLED},
        ("type",),
        {"name": "", "description": "", "enabled": True},
        None,
        ("name", "type"),
    ),
    "endpoints": (
        "endpoint",
        {
            "service_id": schema.ID,
            "interface": {"enum": ["public", "internal", "admin"]},
            "url": {"type": "string", "minLength": 1},
            "region": schema.TEXT,
            "region_id": schema.TEXT,
            "enabled": _ENABLED,
            "name": schema.TEXT,
        },
        ("service_id", "interface", "url"),
        {"region_id": None, "enabled": True},
        None,
        ("service_id", "interface", "region_id"),
    ),
    "regions": (
        "region",
        {"id": schema.ID, "description": schema.TEXT, "parent_region_id": schema.TEXT},
        (),
        {"description": "", "parent_region_id": None},
        ("id",),
        ("parent_region_id",),
    ),
}
PUBLIC_READ = ("regions",)


def view(cloud, kind, document):
    """The member of an answer for a document."""
    shown = {key: value for key, value in document.items() if key not in ("password_hash", "tokens_from")}
    if kind == "user":
        shown["password_expires_at"] = None
    if kind == "endpoint":
        shown["region"] = document["region_id"]
    shown["links"] = {"self": f"{cloud.config.base_url}/identity/v3/{kind}s/{document['id']}"}
    return shown


def listing(request, plural, items):
    """The body of a list answer."""
    return {plural: items, "links": {"self": request.url, "next": None, "previous": None}}


def create(cloud, plural, body):
    """Store a new resource after the checks of the real Keystone; also used for what exists from the beginning.

    :raises Fault: 400, 409 (name taken), 404 (an endpoint's service)
    """
    kind, members, required, defaults, unique, _ = KINDS[plural]
    schema.check(body, fields(required, extra=True, **members))
    document = {
        "id": body.get("id") if kind == "region" and body.get("id") else new_hex_id(),
        **defaults,
        **body,
    }
    _prepare(cloud, kind, document)
    with cloud.store.transaction():
        _require_unique(cloud, kind, document, unique)
        if kind == "endpoint":
            cloud.store.get("service", document["service_id"])
            if document["region_id"] and not cloud.store.find("region", document["region_id"]):
                cloud.store.add(
                    "region", {"id": document["region_id"], "description": "", "parent_region_id": None}
                )
        cloud.store.add(kind, document)
    return document


def _prepare(cloud, kind, document):
    if kind == "user":
        password = document.pop("password", None)
        if password:
            document["password_hash"] = hash_password(password)
    if kind == "endpoint":
        region = document.pop("region", None)
        document["region_id"] = document["region_id"] or region
    if document.get("domain_id") and not cloud.store.find("domain", document["domain_id"]):
        raise Fault(404, f"Could not find domain: {document['domain_id']}.")


def _require_unique(cloud, kind, document, unique):
    if not unique:
        return
    for other in cloud.store.list(kind, **{name: document[name] for name in unique}):
        if other["id"] != document["id"] or "id" in unique:
            raise Fault(
                409,
                f"Conflict occurred attempting to store {kind} - it is not permitted to have two {kind}s with "
                f"either the same name or same id in the same domain: name is {document.get('name')}, "
                f"{kind} id {other['id']}.",
            )


class Collection:
    """The five handlers of one line of KINDS."""

    def __init__(self, cloud, plural):
        self.cloud, self.store, self.plural = cloud, cloud.store, plural
        self.kind, self.members, _, _, self.unique, self.filters = KINDS[plural]

    def routes(self):
        """POST, GET list, GET one, PATCH and DELETE."""
        path = f"/v3/{self.plural}"
        return [
            Route("POST", path, self.create),
            Route("GET", path, self.list),
            Route("GET", f"{path}/<id>", self.show),
            Route("PATCH", f"{path}/<id>", self.update),
            Route("DELETE", f"{path}/<id>", self.delete),
        ]

    def _get(self, id):
        try:
            return self.store.get(self.kind, id)
        except Missing as error:
            raise Fault(404, f"Could not find {self.kind}: {id}.") from error

    def _require(self, request, verb, id=None):
        context = request.context
        own = {"user": context.user_id, "project": context.project_id, "domain": DOMAIN["id"]}.get(self.kind)
        if (
            verb == "get"
            and id is not None
            and id == own
            or self.plural in PUBLIC_READ
            and verb in ("get", "list")
        ):
            return
        context.require_admin(f"identity:{verb}_{self.kind}")

    def create(self, request):
        """201 with the new one."""
        self._require(request, "create")
        document = create(self.cloud, self.plural, schema.body_of(request, self.kind, {"type": "object"}))
        return 201, {self.kind: view(self.cloud, self.kind, document)}

    def list(self, request):
        """All that equal the query's filters."""
        self._require(request, "list")
        wanted = {name: request.args[name] for name in self.filters if name in request.args}
        if "enabled" in wanted:
            wanted["enabled"] = request.flag("enabled")
        if "is_domain" in wanted:
            wanted["is_domain"] = request.flag("is_domain")
        if wanted.get("domain_id") == "null":
            wanted["domain_id"] = None
        found = self.store.list(self.kind, **wanted)
        return listing(request, self.plural, [view(self.cloud, self.kind, d) for d in found])

    def show(self, request, id):
        """200 with one."""
        document = self._get(id) if request.context.is_admin else None
        self._require(request, "get", id)
        return {self.kind: view(self.cloud, self.kind, document or self._get(id))}

    def update(self, request, id):
        """Change the given members."""
        self._require(request, "update", id)
        changes = schema.body_of(request, self.kind, fields(extra=True, **self.members))
        changes.pop("id", None)
        with self.store.transaction():
            document = {**self._get(id), **changes}
            _prepare(self.cloud, self.kind, document)
            _require_unique(
                self.cloud, self.kind, document, self.unique and [u for u in self.unique if u != "id"]
            )
            if changes.get("password"):
                document["tokens_from"] = time.time()
            document = self.store.change(self.kind, id, **document)
        return {self.kind: view(self.cloud, self.kind, document)}

    def delete(self, request, id):
        """204; what hangs on it (assignments, endpoints) goes too."""
        self._require(request, "delete", id)
        with self.store.transaction():
            document = self._get(id)
            if self.kind == "domain" and document["enabled"]:
                raise Fault(403, "Cannot delete a domain that is enabled, please disable it first.")
            self.store.remove(self.kind, id)
            if self.kind == "service":
                for endpoint in self.store.list("endpoint", service_id=id):
                    self.store.remove("endpoint", endpoint["id"])
            for assignment in self.store.list("assignment"):
                if id in (
                    assignment["user_id"],
                    assignment["role_id"],
                    assignment["target"].partition(":")[2],
                ):
                    self.store.remove("assignment", assignment["id"])
        return 204, None


def routes(cloud):
    """All routes of the resources."""
    return [route for plural in KINDS for route in Collection(cloud, plural).routes()]
