"""Horizon with trove-dashboard in a real browser: log in, list, launch, show, back up, delete. Keeps pictures."""
import pytest
from onebox import cloud, dashboard

from tests.scenarios.browser import Browser
from tests.scenarios.support import PASSWORD, wait_until

NAME = "made-by-hand"
PAGES = "", "instances", "volumes", "networks", "security_groups"


@pytest.fixture(scope="module", params=list(dashboard.RELEASES))
def release(request):
    """A release of Horizon."""
    return request.param


@pytest.fixture(scope="module")
def browser(system, release, tmp_path_factory):
    """A browser at the dashboard's first page."""
    url = dashboard.start(system.settings, release)
    opened = Browser(url, tmp_path_factory.mktemp(f"dashboard-{release}"))
    try:
        yield opened
    finally:
        opened.close()
        dashboard.stop(system.settings, release)


@pytest.fixture(scope="module")
def inside(system, browser):
    """The browser, logged in as the tenant, after a wrong password was refused."""
    tenant = cloud.tenant_environment(system.settings)
    complaints = browser.log_in(tenant["OS_USERNAME"], "wrong")
    browser.picture("wrong-password")
    assert complaints == ["Invalid credentials."]
    assert browser.log_in(tenant["OS_USERNAME"], tenant["OS_PASSWORD"]) == []
    browser.picture("overview")
    return browser


@pytest.fixture(scope="module")
def made(system, inside, release):
    """The id of an instance that was launched with the form; deleted by its menu."""
    before = system.inventory()
    name = f"{NAME}-{release}"
    assert inside.open("databases") == []
    inside.launch({"name": name, "volume": "1", "databases": "shop", "user": "carol", "password": PASSWORD})
    inside.picture("launch")
    assert inside.send() == []
    inside.wait(lambda: inside.row(name))
    inside.picture("building")
    [instance_id] = [item["id"] for item in system.api.get("/instances").json()["instances"] if item["name"] == name]
    assert system.wait_ended(instance_id)["status"] == "ACTIVE"
    yield instance_id
    inside.open("databases")
    inside.act(name, "delete")
    inside.picture("deleting")
    wait_until(lambda: system.show(instance_id) is None)
    assert inside.open("databases") == []  # what is shown as "Shutdown" is not asked for again by itself
    assert inside.row(name) is None
    inside.picture("deleted")
    system.assert_nothing_more_than(before)


def test_the_pages_of_the_project_open_without_a_complaint(inside):
    """What Horizon asks of the other services before and beside the databases is answered."""
    assert {page: inside.open(page) for page in PAGES} == {page: [] for page in PAGES}


def test_the_list(made, inside, release, system):
    """The page writes itself anew until the instance is active; what a tenant needs is in the row."""
    inside.open("databases")

    def active():
        row = inside.row(f"{NAME}-{release}")
        return row if row and row["Status"] == "Active" else None

    row = inside.wait(active)
    inside.picture("list")
    assert row["Datastore"] == "mariadb"
    assert row["Host"] == system.show(made)["ip"][0]
    assert row["Volume Size"] == "1GB"
    assert "512MB RAM" in row["Size"]


def test_the_page_of_an_instance(made, inside, release, system):
    """Its facts, its user and its database; they answer SQL."""
    inside.open("databases")
    assert inside.follow(f"{NAME}-{release}") == []
    inside.picture("show")
    host = system.show(made)["ip"][0]
    for fact in (made, "Active", host):
        assert fact in inside.text()
    assert "carol" in inside.tab("Users")
    inside.picture("users")
    assert "shop" in inside.tab("Databases")
    assert inside.complaints() == []
    assert system.sql("SELECT 1", host, "carol", PASSWORD, "shop") == ((1,),)


def test_a_backup(made, inside, release, system):
    """Made with the form of the instance's row, listed, shown and deleted."""
    name = f"backup-{release}"
    inside.open("databases")
    inside.find(f"#databases__row_{made}__action_backup").click()
    inside.wait(lambda: inside.all(".modal #id_name"))
    inside.find(".modal #id_name").send_keys(name)
    assert inside.send() == []
    assert inside.open("database_backups") == []
    inside.wait(lambda: "Complete" in (inside.row(name) or {}).get("Status", ""))
    inside.picture("backups")
    assert inside.follow(name) == []
    inside.picture("backup")
    assert "Completed" in inside.text()
    inside.open("database_backups")
    inside.act(name, "delete")
    wait_until(lambda: system.api.get("/backups").json()["backups"] == [])
