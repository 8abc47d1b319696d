"""Keystone v2.0 for old clients: tokens, tenants and users in the era's shapes, read from the v3 resources."""

import functools

from minicloud.api import identity_crud, identity_grants, schema
from minicloud.api.schema import check, fields
from minicloud.api.tokens import stamp
from minicloud.api.web import Fault, Route

_TEXT = {"type": "string"}
_AUTH = fields(
    ("auth",),
    auth=fields(
        passwordCredentials=fields(("password",), username=_TEXT, userId=_TEXT, password=_TEXT),
        token=fields(("id",), id=_TEXT),
        tenantName=schema.TEXT,
        tenantId=schema.TEXT,
    ),
)


def routes(cloud):
    """The routes below /identity."""
    v2 = _V2(cloud)
    return [
        Route("GET", "/v2.0", v2.version, public=True),
        Route("POST", "/v2.0/tokens", v2.issue, public=True),
        Route("GET", "/v2.0/tokens/<token_id>", v2.validate),
        Route("DELETE", "/v2.0/tokens/<token_id>", v2.revoke),
        Route("GET", "/v2.0/tenants", v2.tenants),
        Route("POST", "/v2.0/tenants", functools.partial(v2.create, plural="projects", wrapper="tenant")),
        Route("GET", "/v2.0/tenants/<id>", functools.partial(v2.show, kind="project", wrapper="tenant")),
        Route("DELETE", "/v2.0/tenants/<id>", functools.partial(v2.delete, plural="projects")),
        Route("GET", "/v2.0/users", v2.users),
        Route("POST", "/v2.0/users", functools.partial(v2.create, plural="users", wrapper="user")),
        Route("GET", "/v2.0/users/<id>", functools.partial(v2.show, kind="user", wrapper="user")),
        Route("DELETE", "/v2.0/users/<id>", functools.partial(v2.delete, plural="users")),
        Route("GET", "/v2.0/OS-KSADM/roles", v2.roles),
        Route("GET", "/v2.0/tenants/<tenant_id>/users/<user_id>/roles", v2.user_roles),
        Route("PUT", "/v2.0/tenants/<tenant_id>/users/<user_id>/roles/OS-KSADM/<role_id>", v2.grant),
    ]


def _tenant(project):
    return {
        "id": project["id"],
        "name": project["name"],
        "description": project["description"],
        "enabled": project["enabled"],
    }


def _user(user):
    return {
        "id": user["id"],
        "name": user["name"],
        "username": user["name"],
        "email": user.get("email"),
        "enabled": user["enabled"],
        "tenantId": user.get("default_project_id"),
    }


class _V2:
    def __init__(self, cloud):
        self.cloud, self.store, self.tokens = cloud, cloud.store, cloud.tokens

    def version(self, request):
        """The version document."""
        return {
            "version": {
                "id": "v2.0",
                "status": "deprecated",
                "updated": "2016-08-04T00:00:00Z",
                "links": [{"rel": "self", "href": f"{self.cloud.config.base_url}/identity/v2.0/"}],
                "media-types": [
                    {"base": "application/json", "type": "application/vnd.openstack.identity-v2.0+json"}
                ],
            }
        }

    def issue(self, request):
        """POST /v2.0/tokens."""
        check(request.body, _AUTH)
        auth = request.body["auth"]
        expires, audit_ids = None, ()
        if "token" in auth:
            old = self.tokens.load(auth["token"]["id"])
            if not old:
                raise self.tokens.unauthorized()
            user, expires, audit_ids = old["user"], old["expires"], old["audit_ids"]
        elif "passwordCredentials" in auth:
            given = auth["passwordCredentials"]
            wanted = {"id": given["userId"]} if "userId" in given else {"name": given.get("username", "")}
            user = self.tokens.user_by_password(wanted, given["password"])
        else:
            raise Fault(400, "Expecting to find passwordCredentials or token in auth.")
        target = None
        if auth.get("tenantId") or auth.get("tenantName"):
            wanted = {"id": auth["tenantId"]} if auth.get("tenantId") else {"name": auth["tenantName"]}
            target = f"project:{self.tokens.find_project(wanted)['id']}"
        token_id, _ = self.tokens.issue(user, target, ["password"], expires, audit_ids)
        return self._access(token_id)

    def _access(self, token_id):
        token = self.tokens.load(token_id)
        if not token:
            raise Fault(404, "Could not find token.")
        shown = {
            "id": token_id,
            "expires": stamp(token["expires"])[:19] + "Z",
            "issued_at": stamp(token["issued"]),
            "audit_ids": token["audit_ids"],
        }
        if token["project"]:
            shown["tenant"] = _tenant(token["project"])
        return {
            "access": {
                "token": shown,
                "serviceCatalog": self._catalog(token) if token["project"] else [],
                "user": {
                    "id": token["user_id"],
                    "name": token["user"]["name"],
                    "username": token["user"]["name"],
                    "roles_links": [],
                    "roles": [{"name": role["name"]} for role in token["roles"]],
                },
                "metadata": {"is_admin": 0, "roles": [role["id"] for role in token["roles"]]},
            }
        }

    def _catalog(self, token):
        result = []
        for service in self.tokens.catalog(token):
            regions = {}
            for endpoint in service["endpoints"]:
                entry = regions.setdefault(
                    endpoint["region_id"], {"region": endpoint["region_id"], "id": endpoint["id"]}
                )
                entry[f"{endpoint['interface']}URL"] = endpoint["url"]
            result.append(
                {
                    "type": service["type"],
                    "name": service["name"],
                    "endpoints": list(regions.values()),
                    "endpoints_links": [],
                }
            )
        return result

    def validate(self, request, token_id):
        """GET or HEAD /v2.0/tokens/<id>, for administrators and services."""
        if "service" not in request.context.roles:
            request.context.require_admin("identity:validate_token")
        return self._access(token_id)

    def revoke(self, request, token_id):
        """DELETE /v2.0/tokens/<id>."""
        request.context.require_admin("identity:revoke_token")
        if not self.tokens.load(token_id):
            raise Fault(404, "Could not find token.")
        self.tokens.revoke(token_id)
        return 204, None

    def tenants(self, request):
        """One's own tenants; an administrator may ask for any by name."""
        if "name" in request.args:
            request.context.require_admin("identity:list_projects")
            found = self.store.list("project", name=request.args["name"])
            if not found:
                raise Fault(404, f"Could not find project: {request.args['name']}.")
            return {"tenant": _tenant(found[0])}
        mine = (
            self.store.list("project")
            if request.context.is_admin
            else self.tokens.projects_of(request.context.user_id)
        )
        return {"tenants": [_tenant(project) for project in mine], "tenants_links": []}

    def users(self, request):
        """All users, or the one called ``name``."""
        request.context.require_admin("identity:list_users")
        if "name" in request.args:
            found = self.store.list("user", name=request.args["name"])
            if not found:
                raise Fault(404, f"Could not find user: {request.args['name']}.")
            return {"user": _user(found[0])}
        return {"users": [_user(user) for user in self.store.list("user")]}

    def create(self, request, plural, wrapper):
        """POST /v2.0/tenants and /v2.0/users."""
        request.context.require_admin(f"identity:create_{wrapper}")
        body = schema.body_of(request, wrapper, {"type": "object"})
        tenant_id = body.pop("tenantId", None)
        if wrapper == "user":
            body.setdefault("name", body.pop("username", ""))
            body["default_project_id"] = tenant_id
        document = identity_crud.create(self.cloud, plural, body)
        if tenant_id:
            member = self.store.list("role", name="member")[0]
            identity_grants.grant(self.cloud, document["id"], f"project:{tenant_id}", member["id"])
        return {wrapper: _tenant(document) if wrapper == "tenant" else _user(document)}

    def show(self, request, id, kind, wrapper):
        """GET /v2.0/tenants/<id> and /v2.0/users/<id>."""
        if id not in (request.context.user_id, request.context.project_id):
            request.context.require_admin(f"identity:get_{kind}")
        document = self.store.find(kind, id)
        if not document:
            raise Fault(404, f"Could not find {kind}: {id}.")
        return {wrapper: _tenant(document) if kind == "project" else _user(document)}

    def delete(self, request, id, plural):
        """DELETE /v2.0/tenants/<id> and /v2.0/users/<id>."""
        return identity_crud.Collection(self.cloud, plural).delete(request, id)

    def roles(self, request):
        """All roles."""
        request.context.require_admin("identity:list_roles")
        return {"roles": [{"id": role["id"], "name": role["name"]} for role in self.store.list("role")]}

    def user_roles(self, request, tenant_id, user_id):
        """The roles of a user on a tenant."""
        request.context.require_admin("identity:list_grants")
        return {
            "roles": [
                {"id": r["id"], "name": r["name"]} for r in self.tokens.roles(user_id, f"project:{tenant_id}")
            ]
        }

    def grant(self, request, tenant_id, user_id, role_id):
        """Give a role."""
        request.context.require_admin("identity:create_grant")
        for kind, id in (("project", tenant_id), ("user", user_id), ("role", role_id)):
            if not self.store.find(kind, id):
                raise Fault(404, f"Could not find {kind}: {id}.")
        identity_grants.grant(self.cloud, user_id, f"project:{tenant_id}", role_id)
        role = self.store.get("role", role_id)
        return {"role": {"id": role["id"], "name": role["name"]}}
