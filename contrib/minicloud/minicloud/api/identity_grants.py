"""Keystone v3: which user has which role where; and what belongs to a user alone."""

import time

from minicloud.api import schema
from minicloud.api.identity_crud import listing, view
from minicloud.api.schema import fields
from minicloud.api.tokens import DOMAIN, assignment_id, check_password, hash_password
from minicloud.api.web import Fault, Route


def grant(cloud, user_id, target, role_id):
    """Give a user a role on ``project:<id>``, ``domain:<id>`` or ``system:all``; repeating it changes nothing."""
    id = assignment_id(user_id, target, role_id)
    with cloud.store.transaction():
        if not cloud.store.find("assignment", id):
            # Every request asks for the roles of its user: the store finds names quickly.
            record = {"id": id, "name": user_id, "user_id": user_id, "target": target, "role_id": role_id}
            cloud.store.add("assignment", record)


class Assignments:
    """Roles of users on projects, domains and the system."""

    def __init__(self, cloud):
        self.cloud, self.store = cloud, cloud.store

    def routes(self):
        """Grants by path, and the flat list."""
        result = [
            Route("GET", "/v3/role_assignments", self.list),
            Route("GET", "/v3/users/<user_id>/projects", self.projects),
            Route("POST", "/v3/users/<user_id>/password", self.change_password),
            Route("GET", "/v3/groups", self.groups),
            Route("GET", "/v3/users/<user_id>/groups", self.groups),
        ]
        for path in ("/v3/projects/<project_id>", "/v3/domains/<domain_id>", "/v3/system"):
            result += [
                Route("GET", f"{path}/users/<user_id>/roles", self.roles),
                Route("PUT", f"{path}/users/<user_id>/roles/<role_id>", self.grant),
                Route("GET", f"{path}/users/<user_id>/roles/<role_id>", self.check),
                Route("DELETE", f"{path}/users/<user_id>/roles/<role_id>", self.revoke),
            ]
        return result

    def _target(self, user_id, role_id=None, project_id=None, domain_id=None):
        for kind, id in (
            ("user", user_id),
            ("role", role_id),
            ("project", project_id),
            ("domain", domain_id),
        ):
            if id and not self.store.find(kind, id):
                raise Fault(404, f"Could not find {kind}: {id}.")
        return f"project:{project_id}" if project_id else f"domain:{domain_id}" if domain_id else "system:all"

    def roles(self, request, user_id, **where):
        """The roles given directly."""
        request.context.require_admin("identity:list_grants")
        target = self._target(user_id, **where)
        given = [
            self.store.get("role", a["role_id"])
            for a in self.store.list("assignment", name=user_id, target=target)
        ]
        return listing(request, "roles", [view(self.cloud, "role", role) for role in given])

    def grant(self, request, user_id, role_id, **where):
        """204."""
        request.context.require_admin("identity:create_grant")
        grant(self.cloud, user_id, self._target(user_id, role_id, **where), role_id)
        return 204, None

    def check(self, request, user_id, role_id, **where):
        """204 when given, else 404."""
        request.context.require_admin("identity:check_grant")
        if not self.store.find(
            "assignment", assignment_id(user_id, self._target(user_id, role_id, **where), role_id)
        ):
            raise Fault(404, f"Could not find role assignment with role: {role_id}, user: {user_id}.")
        return 204, None

    def revoke(self, request, user_id, role_id, **where):
        """204, or 404 when it was not given."""
        self.check(request, user_id, role_id, **where)
        self.store.remove(
            "assignment", assignment_id(user_id, self._target(user_id, role_id, **where), role_id)
        )
        return 204, None

    def list(self, request):
        """GET /v3/role_assignments with the filters user.id, role.id, scope.project.id and scope.domain.id."""
        wanted_user = request.args.get("user.id")
        if wanted_user != request.context.user_id:
            request.context.require_admin("identity:list_role_assignments")
        project, domain = request.args.get("scope.project.id"), request.args.get("scope.domain.id")
        target = f"project:{project}" if project else f"domain:{domain}" if domain else None
        found = [
            a
            for a in self.store.list("assignment")
            if wanted_user in (None, a["user_id"])
            and request.args.get("role.id") in (None, a["role_id"])
            and target in (None, a["target"])
        ]
        return listing(request, "role_assignments", [self._view(request, a) for a in found])

    def _view(self, request, assignment):
        def named(kind, id):
            document = self.store.find(kind, id) if request.flag("include_names") else None
            shown = {"id": id, **({"name": document["name"]} if document else {})}
            return {**shown, "domain": DOMAIN} if document and kind in ("user", "project") else shown

        kind, _, id = assignment["target"].partition(":")
        scope = {"system": {"all": True}} if kind == "system" else {kind: named(kind, id)}
        return {
            "user": named("user", assignment["user_id"]),
            "role": named("role", assignment["role_id"]),
            "scope": scope,
            "links": {
                "assignment": f"{self.cloud.config.base_url}/identity/v3/{kind}s/{id}/users/"
                f"{assignment['user_id']}/roles/{assignment['role_id']}"
            },
        }

    def projects(self, request, user_id):
        """The projects on which a user has a role; one's own, or any for an administrator."""
        if user_id != request.context.user_id:
            request.context.require_admin("identity:list_user_projects")
        found = self.cloud.tokens.projects_of(user_id)
        return listing(request, "projects", [view(self.cloud, "project", p) for p in found])

    def change_password(self, request, user_id):
        """204; needs the old password; all tokens of the user end."""
        text = {"type": "string", "minLength": 1}
        body = schema.body_of(
            request, "user", fields(("password", "original_password"), password=text, original_password=text)
        )
        user = self.store.find("user", user_id)
        if (
            not user
            or user_id != request.context.user_id
            or not check_password(body["original_password"], user["password_hash"])
        ):
            raise self.cloud.tokens.unauthorized()
        self.store.change(
            "user", user_id, password_hash=hash_password(body["password"]), tokens_from=time.time()
        )
        return 204, None

    def groups(self, request, user_id=None):
        """There are no groups here."""
        return listing(request, "groups", [])
