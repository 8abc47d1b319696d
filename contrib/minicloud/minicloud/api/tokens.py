"""Who may do what: passwords, tokens and the catalog. Called by the identity facades, and by all to authenticate.

Tokens are random; the store keeps only their digest. Roles and the catalog are looked up at each validation, so a
revoked role or a disabled user takes effect at once.
"""

import base64
import datetime
import hashlib
import hmac
import json
import secrets
import time

from minicloud.api.web import Context, Fault
from minicloud.store import new_id

TOKEN_SECONDS = 3600
DOMAIN = {"id": "default", "name": "Default"}
IMPLIED = {"admin": ("member", "reader"), "member": ("reader",)}
UNAUTHORIZED = "The request you have made requires authentication."


def hash_password(password):
    """A salted scrypt hash as text."""
    salt = secrets.token_bytes(16)
    return base64.b64encode(salt + _scrypt(password, salt)).decode()


def check_password(password, stored):
    """Whether the password is the one that was hashed."""
    raw = base64.b64decode(stored or "")
    return len(raw) == 48 and hmac.compare_digest(_scrypt(password, raw[:16]), raw[16:])


def _scrypt(password, salt):
    return hashlib.scrypt(password.encode(), salt=salt, n=4096, r=8, p=1, dklen=32)


def _digest(token_id):
    return hashlib.sha256(token_id.encode()).hexdigest()


def stamp(seconds):
    """Seconds since the epoch as Keystone writes times."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def assignment_id(user_id, target, role_id):
    """The id of the record of a role on ``target`` (``project:<id>``, ``domain:<id>`` or ``system:all``)."""
    return f"{user_id}/{target}/{role_id}"


class Tokens:
    """Issues and validates tokens."""

    def __init__(self, store, base_url):
        self.store = store
        self.base_url = base_url

    def unauthorized(self, message=UNAUTHORIZED):
        """The 401 of Keystone and of keystonemiddleware."""
        return Fault(401, message, headers={"WWW-Authenticate": f'Keystone uri="{self.base_url}/identity"'})

    def user_by_password(self, user, password):
        """The user document. :param user: ``{"id"}`` or ``{"name"[, "domain"]}``. :raises Fault: 401"""
        domain = user.get("domain", DOMAIN)
        if "id" in user:
            found = self.store.find("user", user["id"])
        else:
            found = next(iter(self.store.list("user", name=user.get("name", ""))), None)
            if found and found["domain_id"] not in (domain.get("id"), self._domain_id(domain.get("name"))):
                found = None
        if not found or not found["enabled"] or not check_password(password, found.get("password_hash")):
            raise self.unauthorized()
        return found

    def _domain_id(self, name):
        domain = next(iter(self.store.list("domain", name=name)), None) if name else None
        return domain and domain["id"]

    def roles(self, user_id, target):
        """The role documents of a user on a target, with the implied ones."""
        named = {role["name"]: role for role in self.store.list("role")}
        by_id = {role["id"]: role for role in named.values()}
        mine = [by_id[a["role_id"]] for a in self.store.list("assignment", name=user_id, target=target)]
        for role in list(mine):
            mine += [
                named[name]
                for name in IMPLIED.get(role["name"], ())
                if name in named and named[name] not in mine
            ]
        return mine

    def projects_of(self, user_id):
        """The enabled projects on which a user has a role."""
        targets = {a["target"] for a in self.store.list("assignment", name=user_id)}
        return [p for p in self.store.list("project") if f"project:{p['id']}" in targets and p["enabled"]]

    def find_project(self, project):
        """The enabled project of a scope ``{"id"}`` or ``{"name", "domain"}``. :raises Fault: 401"""
        if "id" in project:
            found = self.store.find("project", project["id"])
        else:
            domain = project.get("domain", DOMAIN)
            wanted = (domain.get("id"), self._domain_id(domain.get("name")))
            found = next(
                (
                    p
                    for p in self.store.list("project", name=project.get("name", ""))
                    if p["domain_id"] in wanted
                ),
                None,
            )
        if not found or not found["enabled"]:
            raise self.unauthorized()
        return found

    def issue(self, user, target, methods, expires=None, audit_ids=()):
        """A new token.

        :param target: ``project:<id>``, ``domain:<id>``, ``system:all`` or None (unscoped).
        :param expires: epoch seconds; a token made from a token must not outlive it.
        :returns: (token id, token document)
        :raises Fault: 401 when the user has no role on the target.
        """
        if target and not self.roles(user["id"], target):
            raise self.unauthorized()
        token_id = secrets.token_urlsafe(32)
        issued = time.time()
        audit = base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
        document = {
            "user_id": user["id"],
            "target": target,
            "methods": methods,
            "issued": issued,
            "expires": expires or issued + TOKEN_SECONDS,
            "audit_ids": [audit, *audit_ids[-1:]],
        }
        with self.store.transaction() as sql:
            sql.execute("DELETE FROM tokens WHERE expires < ?", (issued,))
            sql.execute(
                "INSERT INTO tokens (digest, expires, body) VALUES (?, ?, ?)",
                (_digest(token_id), document["expires"], json.dumps(document)),
            )
        return token_id, document

    def load(self, token_id):
        """The token document with ``user``, ``project`` and ``roles`` filled in; None when it is not valid."""
        row = self.store.sql.execute(
            "SELECT body FROM tokens WHERE digest = ? AND expires > ?", (_digest(token_id), time.time())
        ).fetchone()
        token = json.loads(row["body"]) if row else None
        user = token and self.store.find("user", token["user_id"])
        if not user or not user["enabled"] or token["issued"] < user.get("tokens_from", 0):
            return None
        token["user"], token["project"], token["roles"] = user, None, []
        if token["target"]:
            kind, _, id = token["target"].partition(":")
            token["roles"] = self.roles(user["id"], token["target"])
            if kind == "project":
                token["project"] = self.store.find("project", id)
                if not token["project"] or not token["project"]["enabled"]:
                    return None
            if not token["roles"]:
                return None
        return token

    def revoke(self, token_id):
        """Forget a token."""
        with self.store.transaction() as sql:
            sql.execute("DELETE FROM tokens WHERE digest = ?", (_digest(token_id),))

    def authenticate(self, request):
        """The Context of a request with a valid X-Auth-Token. :raises Fault: 401"""
        token_id = request.headers.get("X-Auth-Token") or request.headers.get("X-Storage-Token")
        token = self.load(token_id) if token_id else None
        if not token:
            raise self.unauthorized()
        return Context(
            user_id=token["user_id"],
            user_name=token["user"]["name"],
            project_id=token["project"] and token["project"]["id"],
            roles=tuple(role["name"] for role in token["roles"]),
            token=token,
        )

    def catalog(self, token):
        """The v3 catalog for a loaded token; endpoints that need a project are left out without one."""
        project_id = token["project"]["id"] if token["project"] else None
        endpoints = {}
        for endpoint in self.store.list("endpoint"):
            url = expand(endpoint["url"], project_id, token["user_id"])
            if endpoint.get("enabled", True) and url:
                endpoints.setdefault(endpoint["service_id"], []).append(
                    {
                        "id": endpoint["id"],
                        "interface": endpoint["interface"],
                        "region": endpoint["region_id"],
                        "region_id": endpoint["region_id"],
                        "url": url,
                    }
                )
        return [
            {"id": s["id"], "type": s["type"], "name": s["name"], "endpoints": endpoints.get(s["id"], [])}
            for s in self.store.list("service")
            if s.get("enabled", True)
        ]


def expand(url, project_id, user_id):
    """An endpoint's URL template filled in, or None when it needs a project and there is none."""
    url = url.replace("$(", "%(")
    values = {"project_id": project_id, "tenant_id": project_id, "user_id": user_id}
    for name, value in values.items():
        if f"%({name})s" in url:
            if not value:
                return None
            url = url.replace(f"%({name})s", value)
    return url


def new_hex_id():
    """A random id in the form that Keystone uses."""
    return new_id().replace("-", "")
