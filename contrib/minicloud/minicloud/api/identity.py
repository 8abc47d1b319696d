"""Keystone v3: tokens here; projects, users, roles, services in identity_crud.py; v2.0 in identity_v2.py."""

from minicloud.api import identity_crud, identity_v2
from minicloud.api.identity_grants import Assignments
from minicloud.api.schema import check, fields
from minicloud.api.tokens import DOMAIN, stamp
from minicloud.api.web import Fault, Route, Service, reply

_DOMAIN = fields(id={"type": "string"}, name={"type": "string"})
_NAMED = fields(id={"type": "string"}, name={"type": "string"}, domain=_DOMAIN)
_AUTH = fields(
    ("auth",),
    auth=fields(
        ("identity",),
        identity=fields(
            ("methods",),
            methods={"type": "array", "items": {"type": "string"}, "minItems": 1},
            password=fields(
                ("user",),
                user=fields(
                    ("password",),
                    id={"type": "string"},
                    name={"type": "string"},
                    domain=_DOMAIN,
                    password={"type": "string"},
                ),
            ),
            token=fields(("id",), id={"type": "string"}),
        ),
        scope={
            "anyOf": [{"type": "string"}, fields(project=_NAMED, domain=_NAMED, system={"type": "object"})]
        },
    ),
)


class Identity(Service):
    """GET /identity ... DELETE /identity/v3/..."""

    prefix = "/identity"

    def routes(self):
        """The table of contents."""
        return [
            Route("GET", "/", self.versions, public=True),
            Route("GET", "/v3", self.version_3, public=True),
            Route("POST", "/v3/auth/tokens", self.issue, public=True),
            Route("GET", "/v3/auth/tokens", self.validate),
            Route("DELETE", "/v3/auth/tokens", self.revoke),
            Route("GET", "/v3/auth/catalog", self.catalog),
            Route("GET", "/v3/auth/projects", self.my_projects),
            Route("GET", "/v3/auth/domains", self.my_domains),
            Route("GET", "/v3/auth/system", self.my_system),
            *Assignments(self.cloud).routes(),
            *identity_crud.routes(self.cloud),
            *identity_v2.routes(self.cloud),
        ]

    def authorize(self, request, project_id):
        """Any valid token will do here; each handler says what else it needs."""

    def finish(self, request, response):
        """Answers of Keystone depend on the token."""
        super().finish(request, response)
        response.headers["Vary"] = "X-Auth-Token"

    def _version(self, version):
        ids = {"v3": "v3.14", "v2.0": "v2.0"}
        return {
            "id": ids[version],
            "status": "stable" if version == "v3" else "deprecated",
            "updated": "2020-04-07T00:00:00Z",
            "links": [{"rel": "self", "href": f"{self.cloud.config.base_url}/identity/{version}/"}],
            "media-types": [
                {"base": "application/json", "type": f"application/vnd.openstack.identity-{version}+json"}
            ],
        }

    def versions(self, request):
        """All versions, as Keystone does with 300."""
        return 300, {"versions": {"values": [self._version("v3"), self._version("v2.0")]}}

    def version_3(self, request):
        """The version document."""
        return {"version": self._version("v3")}

    def issue(self, request):
        """Exchange a password or a token for a token of the wanted scope."""
        check(request.body, _AUTH)
        auth = request.body["auth"]
        identity, scope = auth["identity"], auth.get("scope")
        tokens = self.cloud.tokens
        expires, audit_ids = None, ()
        if "token" in identity["methods"] and "token" in identity:
            old = tokens.load(identity["token"]["id"])
            if not old:
                raise tokens.unauthorized()
            user, methods = old["user"], sorted({"token", *old["methods"]})
            expires, audit_ids = old["expires"], old["audit_ids"]
        elif "password" in identity["methods"] and "password" in identity:
            user = tokens.user_by_password(
                identity["password"]["user"], identity["password"]["user"]["password"]
            )
            methods = ["password"]
        else:
            raise tokens.unauthorized("Attempted to authenticate with an unsupported method.")
        token_id, token = tokens.issue(user, self._target(user, scope), methods, expires, audit_ids)
        return self._show(request, token_id, 201)

    def _target(self, user, scope):
        if scope == "unscoped":
            return None
        if not scope:
            default = user.get("default_project_id")
            return (
                f"project:{default}"
                if default and self.cloud.tokens.roles(user["id"], f"project:{default}")
                else None
            )
        if "project" in scope:
            return f"project:{self.cloud.tokens.find_project(scope['project'])['id']}"
        if "domain" in scope:
            wanted = scope["domain"]
            found = next(
                (
                    d
                    for d in self.store.list("domain")
                    if d["id"] == wanted.get("id") or d["name"] == wanted.get("name")
                ),
                None,
            )
            if not found:
                raise self.cloud.tokens.unauthorized()
            return f"domain:{found['id']}"
        return "system:all"

    def _show(self, request, token_id, code=200):
        token = self.cloud.tokens.load(token_id)
        if not token:
            raise Fault(404, "Could not find token.")
        body = {
            "methods": token["methods"],
            "audit_ids": token["audit_ids"],
            "expires_at": stamp(token["expires"]),
            "issued_at": stamp(token["issued"]),
            "user": {
                "id": token["user_id"],
                "name": token["user"]["name"],
                "password_expires_at": None,
                "domain": self._domain(token["user"]["domain_id"]),
            },
        }
        if token["target"]:
            kind, _, id = token["target"].partition(":")
            body["roles"] = [{"id": role["id"], "name": role["name"]} for role in token["roles"]]
            if kind == "project":
                body["is_domain"] = False
                body["project"] = {
                    "id": id,
                    "name": token["project"]["name"],
                    "domain": self._domain(token["project"]["domain_id"]),
                }
            elif kind == "domain":
                body["domain"] = self._domain(id)
            else:
                body["system"] = {"all": True}
            if not request.flag("nocatalog"):
                body["catalog"] = self.cloud.tokens.catalog(token)
        return reply({"token": body}, code, {"X-Subject-Token": token_id})

    def _domain(self, id):
        domain = self.store.find("domain", id) or DOMAIN
        return {"id": domain["id"], "name": domain["name"]}

    def _subject(self, request):
        token_id = request.headers.get("X-Subject-Token")
        if not token_id:
            raise Fault(400, "The header X-Subject-Token is missing.")
        if token_id != request.headers.get("X-Auth-Token") and not self._may_validate(request):
            raise Fault(
                403, "You are not authorized to perform the requested action: identity:validate_token."
            )
        return token_id

    @staticmethod
    def _may_validate(request):
        return request.context.is_admin or "service" in request.context.roles

    def validate(self, request):
        """The token named by X-Subject-Token: one's own, anybody's for admin and service."""
        return self._show(request, self._subject(request))

    def revoke(self, request):
        """End a token's life."""
        token_id = self._subject(request)
        if not self.cloud.tokens.load(token_id):
            raise Fault(404, "Could not find token.")
        self.cloud.tokens.revoke(token_id)
        return 204, None

    def catalog(self, request):
        """The catalog of the token."""
        return {"catalog": self.cloud.tokens.catalog(request.context.token), "links": {"self": request.url}}

    def my_projects(self, request):
        """Projects to which this user may scope a token."""
        projects = self.cloud.tokens.projects_of(request.context.user_id)
        return identity_crud.listing(
            request, "projects", [identity_crud.view(self.cloud, "project", p) for p in projects]
        )

    def my_domains(self, request):
        """Domains to which this user may scope a token."""
        domains = [
            d
            for d in self.store.list("domain")
            if self.cloud.tokens.roles(request.context.user_id, f"domain:{d['id']}")
        ]
        return identity_crud.listing(
            request, "domains", [identity_crud.view(self.cloud, "domain", d) for d in domains]
        )

    def my_system(self, request):
        """Whether this user may scope a token to the system."""
        mine = self.cloud.tokens.roles(request.context.user_id, "system:all")
        return {"system": [{"all": True}] if mine else [], "links": {"self": request.url}}
