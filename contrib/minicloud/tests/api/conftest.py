"""A cloud with fake guests for the tests of the facades, and sessions of its users."""

import uuid

import pytest
from keystoneauth1 import session as keystone
from keystoneauth1.identity import v3

from minicloud.testing import FakeCloud


@pytest.fixture(scope="session")
def fake(tmp_path_factory):
    """One running cloud for all tests: each uses projects of its own."""
    with FakeCloud(tmp_path_factory.mktemp("fake")) as cloud:
        yield cloud


@pytest.fixture(scope="session")
def log_in(fake):
    """A function that returns a keystoneauth session for a user, a password and a project."""

    def make(user, password, project):
        auth = v3.Password(
            f"{fake.base_url}/identity/v3",
            username=user,
            password=password,
            project_name=project,
            user_domain_name="Default",
            project_domain_name="Default",
        )
        return keystone.Session(auth=auth)

    return make


@pytest.fixture(scope="session")
def admin(fake, log_in):
    """The administrator's session."""
    return log_in("admin", fake.admin_password, "admin")


@pytest.fixture
def new_tenant(fake, admin, log_in):
    """A function that makes a project with one user and returns a session of it."""

    def make(role="member"):
        name, password = f"tenant-{uuid.uuid4().hex[:8]}", uuid.uuid4().hex
        url = f"{fake.base_url}/identity/v3"
        project = admin.post(f"{url}/projects", json={"project": {"name": name}}).json()["project"]
        user = admin.post(f"{url}/users", json={"user": {"name": name, "password": password}}).json()["user"]
        role_id = admin.get(f"{url}/roles?name={role}").json()["roles"][0]["id"]
        admin.put(f"{url}/projects/{project['id']}/users/{user['id']}/roles/{role_id}")
        return log_in(name, password, name)

    return make


@pytest.fixture
def tenant(new_tenant):
    """The session of an ordinary tenant."""
    return new_tenant()


@pytest.fixture(scope="session")
def image(fake, admin):
    """The id of a public image with a few bytes in it."""
    url = f"{fake.url('image')}/v2/images"
    body = {"name": "base", "container_format": "bare", "disk_format": "raw", "visibility": "public"}
    made = admin.post(url, json=body).json()
    admin.put(f"{url}/{made['id']}/file", data=b"layer", headers={"Content-Type": "application/octet-stream"})
    return made["id"]
