"""``conn.database`` of openstacksdk against the running system: each of its calls on an instance of its own making."""
import openstack
import pytest
from onebox import cloud
from openstack import exceptions

from tests.scenarios.support import PASSWORD, wait_until

pytestmark = pytest.mark.filterwarnings("ignore::Warning")  # the SDK announces its own next releases


def connect(system):
    """A connection of the tenant's."""
    names = {name.removeprefix("OS_").lower(): value for name, value in
             cloud.tenant_environment(system.settings).items()}
    return openstack.connect(load_yaml_config=False, load_envvars=False, **names)


@pytest.fixture(scope="module")
def database(system):
    """The proxy of a connection."""
    connection = connect(system)
    yield connection.database
    connection.close()


@pytest.fixture(scope="module")
def instance(system, database):
    """An ACTIVE instance that the SDK made; deleted by it."""
    # It has no way to name databases and users at this moment.
    made = database.create_instance(name="sdk", flavor=system.smallest_flavor(), volume={"size": 1})
    assert made.status == "BUILD"
    assert database.wait_for_status(made, "ACTIVE", failures=["ERROR", "FAILED"], interval=1, wait=300).id == made.id
    yield database.get_instance(made.id)
    database.delete_instance(made.id)
    wait_until(lambda: system.show(made.id) is None)
    with pytest.raises(exceptions.NotFoundException):
        database.get_instance(made.id)


def test_flavors(database, system):
    """Listed, found by name, shown by id."""
    assert "m1.tiny" in [flavor.name for flavor in database.flavors()]
    assert str(database.find_flavor("m1.tiny").id) == system.smallest_flavor()
    assert database.get_flavor(system.smallest_flavor()).name == "m1.tiny"


def test_instances(database, instance):
    """Found by name and in the pages of the list; renamed; what is not there is None or an error."""
    assert database.find_instance("sdk").id == instance.id
    assert instance.id in [each.id for each in database.instances(limit=1)]
    database.update_instance(instance, name="sdk2")
    assert database.get_instance(instance).name == "sdk2"
    assert database.find_instance("nosuch") is None
    with pytest.raises(exceptions.NotFoundException):
        database.get_instance("nosuch")


def test_databases_and_users(database, instance, system):
    """Made, listed, let in, removed."""
    for name in ("shop", "films"):
        database.create_database(instance, name=name)
    assert {each.name for each in database.databases(instance)} == {"shop", "films"}
    database.delete_database("films", instance)
    assert {each.name for each in database.databases(instance)} == {"shop"}
    database.create_user(instance, name="dave", password=PASSWORD, databases=[{"name": "shop"}])
    assert {user.name for user in database.users(instance)} == {"dave"}
    host = system.show(instance.id)["ip"][0]
    assert system.sql("SELECT 1", host, "dave", PASSWORD, "shop") == ((1,),)
    database.delete_user("dave", instance)
    assert list(database.users(instance)) == []


def test_a_token_that_ended_is_replaced(system):
    """The API says 401, the SDK logs in again and repeats the request."""
    connection = connect(system)
    ended = connection.session.get_token()  # not used before: the API does not remember it
    administrator = cloud.admin_environment(system.settings)
    cloud.session(administrator).delete(f"{administrator['OS_AUTH_URL']}/auth/tokens",
                                        headers={"X-Subject-Token": ended})
    assert "m1" in [each.name for each in connection.database.instances()]
    assert connection.session.get_token() != ended
    connection.close()
