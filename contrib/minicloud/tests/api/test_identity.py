"""Keystone as its own client, keystoneauth and keystonemiddleware see it."""

import uuid
from urllib.parse import urlsplit

import pytest
import requests
from keystoneauth1 import exceptions
from keystoneauth1 import session as keystone
from keystoneauth1.identity import v2, v3
from keystoneclient.v3 import client
from keystonemiddleware import auth_token

from minicloud.config import SERVICES


@pytest.fixture
def keystone_admin(admin):
    return client.Client(session=admin)


def test_the_catalog_names_every_service_with_the_project_filled_in(fake, tenant):
    project = tenant.get_project_id()
    expected = {
        "identity": fake.url("identity"),
        "compute": f"{fake.url('compute')}/v2.1",
        "volumev3": f"{fake.url('volume')}/v3/{project}",
        "volumev2": f"{fake.url('volume')}/v2/{project}",
        "block-storage": f"{fake.url('volume')}/v3/{project}",
        "image": fake.url("image"),
        "network": fake.url("network"),
        "object-store": f"{fake.url('object-store')}/v1/AUTH_{project}",
    }
    catalog = tenant.auth.get_access(tenant).service_catalog
    for service_type, url in expected.items():
        for interface in ("public", "internal", "admin"):
            found = catalog.get_urls(service_type=service_type, interface=interface, region_name="RegionOne")
            assert found == (url,)


def test_each_service_has_a_port_of_its_own_and_answers_for_no_other(fake, admin):
    ports = [urlsplit(fake.url(service)).port for service in SERVICES]
    assert len(set(ports)) == len(SERVICES)
    for service in SERVICES:
        for other in SERVICES:
            url = f"http://127.0.0.1:{urlsplit(fake.url(service)).port}/{other}"
            assert (requests.get(f"{url}/").status_code == 404) == (service != other or other == "object-store")


def test_a_registered_service_appears_in_the_catalog(keystone_admin, fake, tenant):
    service = keystone_admin.services.create("trove", type=f"database-{uuid.uuid4().hex[:6]}")
    endpoint = keystone_admin.endpoints.create(
        service.id, "http://127.0.0.1:8779/v1.0/$(project_id)s", interface="public", region="RegionOne"
    )
    tenant.invalidate()
    expected = f"http://127.0.0.1:8779/v1.0/{tenant.get_project_id()}"
    assert tenant.get_endpoint(service_type=service.type) == expected
    keystone_admin.services.delete(service)
    with pytest.raises(exceptions.NotFound):
        keystone_admin.endpoints.get(endpoint)


def test_projects_users_and_roles_live_and_die(keystone_admin, log_in):
    name = uuid.uuid4().hex
    project = keystone_admin.projects.create(name, "default", description="one", enabled=True)
    user = keystone_admin.users.create(name, password="first", default_project=project, email="a@example.org")
    role = keystone_admin.roles.create(f"role-{name}")
    assert keystone_admin.users.get(user.id).email == "a@example.org"
    with pytest.raises(exceptions.Unauthorized):
        log_in(name, "first", name).get_token()
    keystone_admin.roles.grant(role, user=user, project=project)
    assert [r.id for r in keystone_admin.roles.list(user=user, project=project)] == [role.id]
    session = log_in(name, "first", name)
    assert session.auth.get_access(session).role_names == [role.name]
    assert [p.id for p in keystone_admin.projects.list(user=user)] == [project.id]
    assignments = keystone_admin.role_assignments.list(user=user)
    assert [(a.role["id"], a.scope["project"]["id"]) for a in assignments] == [(role.id, project.id)]
    keystone_admin.roles.revoke(role, user=user, project=project)
    keystone_admin.projects.delete(project)
    keystone_admin.users.delete(user)
    keystone_admin.roles.delete(role)
    assert not keystone_admin.projects.list(name=name)


def test_a_name_can_be_taken_once(keystone_admin):
    name = uuid.uuid4().hex
    keystone_admin.projects.create(name, "default")
    with pytest.raises(exceptions.Conflict):
        keystone_admin.projects.create(name, "default")


def test_domains_are_found_by_name(keystone_admin):
    assert [d.id for d in keystone_admin.domains.list(name="Default")] == ["default"]


def test_only_administrators_change_things(tenant):
    with pytest.raises(exceptions.Forbidden):
        client.Client(session=tenant).projects.create("mine", "default")


def test_a_tenant_sees_itself_and_nobody_else(tenant, admin):
    mine = client.Client(session=tenant)
    assert mine.users.get(tenant.get_user_id()).id == tenant.get_user_id()
    with pytest.raises(exceptions.Forbidden):
        mine.users.get(admin.get_user_id())


def test_a_new_password_ends_old_tokens(keystone_admin, fake, tenant):
    old = tenant.get_token()
    url = f"{fake.base_url}/identity/v3/auth/tokens"
    headers = {"X-Auth-Token": old, "X-Subject-Token": old}
    assert requests.get(url, headers=headers).status_code == 200
    keystone_admin.users.update(tenant.get_user_id(), password="another")
    assert requests.get(url, headers=headers).status_code == 401


@pytest.mark.parametrize(
    "scope",
    [
        {"unscoped": True},
        {"project_name": "admin", "project_domain_name": "Default"},
        {"system_scope": "all"},
        {"domain_name": "Default"},
    ],
)
def test_a_token_can_be_exchanged_for_another_scope(fake, scope):
    url = f"{fake.base_url}/identity/v3"
    unscoped = keystone.Session(
        auth=v3.Password(url, username="admin", password=fake.admin_password, user_domain_name="Default", unscoped=True)
    )
    exchanged = keystone.Session(auth=v3.Token(url, token=unscoped.get_token(), **scope))
    access = exchanged.auth.get_access(exchanged)
    assert access.project_scoped == ("project_name" in scope)
    assert access.domain_scoped == ("domain_name" in scope)
    assert access.expires == unscoped.auth.get_access(unscoped).expires, "a token must not outlive its parent"


def test_tokens_are_validated_headed_and_revoked(fake, admin, tenant):
    url = f"{fake.base_url}/identity/v3/auth/tokens"
    headers = {"X-Auth-Token": admin.get_token(), "X-Subject-Token": tenant.get_token()}
    shown = requests.get(url, headers=headers)
    assert shown.headers["X-Subject-Token"] == tenant.get_token()
    assert shown.json()["token"]["project"]["id"] == tenant.get_project_id()
    assert requests.head(url, headers=headers).status_code == 200
    assert requests.delete(url, headers=headers).status_code == 204
    gone = requests.get(url, headers=headers)
    assert gone.status_code == 404 and gone.json()["error"]["title"] == "Not Found"


def test_a_tenant_may_not_validate_the_tokens_of_others(fake, tenant, new_tenant):
    headers = {"X-Auth-Token": tenant.get_token(), "X-Subject-Token": new_tenant().get_token()}
    assert requests.get(f"{fake.base_url}/identity/v3/auth/tokens", headers=headers).status_code == 403


@pytest.mark.parametrize("body", [{}, {"auth": 1}, {"auth": {"identity": {"methods": ["password"]}}, "more": 1}])
def test_malformed_requests_are_told_what_is_wrong(fake, body):
    answer = requests.post(f"{fake.base_url}/identity/v3/auth/tokens", json=body)
    assert answer.status_code in (400, 401)
    assert set(answer.json()["error"]) == {"code", "title", "message"}


def test_a_wrong_password_is_unauthorized(log_in):
    with pytest.raises(exceptions.Unauthorized):
        log_in("admin", "wrong", "admin").get_token()


@pytest.mark.parametrize("user, project", [("admin", "nosuch"), ("nosuch", "admin"), ("mallory", "admin")])
def test_a_wrong_user_or_project_is_unauthorized_and_not_told_which(log_in, keystone_admin, fake, user, project):
    if user == "mallory":  # somebody without a role there
        keystone_admin.users.create(user, password=fake.admin_password)
    with pytest.raises(exceptions.Unauthorized, match="The request you have made requires authentication"):
        log_in(user, fake.admin_password, project).get_token()


def test_every_service_refuses_an_ended_token_and_clients_log_in_again(fake, admin, new_tenant):
    session = new_tenant()
    endpoints = {service["type"]: service["endpoints"][0]["url"] for service in
                 session.get(f"{fake.base_url}/identity/v3/auth/catalog").json()["catalog"]}
    paths = {"compute": "/servers", "volumev3": "/volumes", "network": "/v2.0/networks", "image": "/v2/images",
             "object-store": "", "identity": "/v3/auth/projects"}
    for kind, path in paths.items():
        url, token = endpoints[kind] + path, session.get_token()
        assert session.get(url).status_code < 300, url
        admin.delete(f"{fake.base_url}/identity/v3/auth/tokens", headers={"X-Subject-Token": token})
        assert requests.get(url, headers={"X-Auth-Token": token}).status_code == 401, url
        assert session.get(url).status_code < 300, url
        assert session.get_token() != token


@pytest.mark.parametrize("tenant_name", ["admin", None])
def test_version_2_serves_old_clients(fake, tenant_name):
    url = f"{fake.base_url}/identity/v2.0"
    session = keystone.Session(
        auth=v2.Password(url, username="admin", password=fake.admin_password, tenant_name=tenant_name)
    )
    access = session.auth.get_access(session)
    if tenant_name:
        assert access.project_name == "admin" and "admin" in access.role_names
        expected = f"{fake.url('volume')}/v3/{access.project_id}"
        assert session.get_endpoint(service_type="volumev3", interface="publicURL") == expected
    tenants = session.get(f"{url}/tenants", authenticated=True).json()["tenants"]
    assert "admin" in [t["name"] for t in tenants]
    shown = session.get(f"{url}/tokens/{session.get_token()}") if tenant_name else None
    assert shown is None or shown.json()["access"]["token"]["tenant"]["name"] == "admin"


def test_discovery_offers_both_versions(fake):
    answer = requests.get(f"{fake.base_url}/identity/")
    assert answer.status_code == 300
    assert [v["id"][:2] for v in answer.json()["versions"]["values"]] == ["v3", "v2"]


def test_the_token_middleware_lets_in_whom_it_should(fake, tenant):
    def application(environ, start_response):
        start_response("200 OK", [])
        return [f"{environ['HTTP_X_PROJECT_ID']} {environ['HTTP_X_ROLES']}".encode()]

    protected = auth_token.AuthProtocol(
        application,
        {
            "auth_type": "password",
            "auth_url": f"{fake.base_url}/identity",
            "www_authenticate_uri": f"{fake.base_url}/identity",
            "username": "admin",
            "password": fake.admin_password,
            "project_name": "admin",
            "user_domain_name": "Default",
            "project_domain_name": "Default",
            "oslo_config_project": "minicloud-tests",
            "oslo_config_config": None,
            "delay_auth_decision": False,
        },
    )
    import webob

    allowed = webob.Request.blank("/", headers={"X-Auth-Token": tenant.get_token()}).get_response(protected)
    assert (allowed.status_int, allowed.text.split()[0]) == (200, tenant.get_project_id())
    refused = webob.Request.blank("/", headers={"X-Auth-Token": "nonsense"}).get_response(protected)
    assert refused.status_int == 401


def test_no_service_shows_one_project_to_another(fake, tenant, new_tenant):
    """What is in the path of a URL, or hidden in an id, is another project's: as if it were not there, or forbidden."""
    mine, theirs = tenant, new_tenant()
    catalog = mine.get(f"{fake.base_url}/identity/v3/auth/catalog").json()["catalog"]
    endpoints = {service["type"]: service["endpoints"][0]["url"] for service in catalog}
    network = mine.post(f"{endpoints['network']}/v2.0/security-groups", json={"security_group": {"name": "g"}}).json()
    volume = mine.post(f"{endpoints['volumev3']}/volumes", json={"volume": {"name": "v", "size": 1}}).json()["volume"]
    image = mine.post(f"{endpoints['image']}/v2/images", json={
        "name": "i", "disk_format": "raw", "container_format": "bare", "visibility": "private"}).json()
    for path in (
        f"{endpoints['volumev3']}/volumes",
        f"{endpoints['volumev3']}/volumes/{volume['id']}",
        f"{endpoints['network']}/v2.0/security-groups/{network['security_group']['id']}",
        f"{endpoints['image']}/v2/images/{image['id']}",
        endpoints["object-store"],
        f"{fake.base_url}/identity/v3/projects/{mine.get_project_id()}",
    ):
        assert mine.get(path, raise_exc=False).status_code in (200, 204), path
        # Cinder calls a path with another project's id malformed.
        assert theirs.get(path, raise_exc=False).status_code in (400, 403, 404), path
    assert theirs.get(f"{endpoints['compute']}/servers/{volume['id']}", raise_exc=False).status_code in (403, 404)
