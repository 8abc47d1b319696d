"""Names and passwords that are hard on quoting: stored, listed, used and dropped as they are."""
import pytest

NASTY = ["it's", 'say "hi"', "back\\slash", "100%", "naïve-Ünï", "drop table; --", "a`b", "日本"]


@pytest.fixture(scope="module")
def users(system):
    """The path of the users of m1."""
    return f"/instances/{system.m1['id']}/users"


def listed(system, kind):
    """The names in a list of m1."""
    return {item["name"] for item in system.api.get(f"/instances/{system.m1['id']}/{kind}?limit=100").json()[kind]}


def quoted(name):
    """A name as the last part of a path."""
    from urllib.parse import quote
    return quote(quote(name, safe=""), safe="%")


@pytest.mark.parametrize("name", ["it's", "100%", "naïve-Ünï", "a`b", "drop-table", "日本"])
def test_a_database_with_a_nasty_name(system, name):
    """Either refused with a sentence or stored and dropped exactly."""
    databases = f"/instances/{system.m1['id']}/databases"
    before = listed(system, "databases")
    answer = system.api.post(databases, json={"databases": [{"name": name}]}, raise_exc=False)
    if answer.status_code == 400:
        assert name in answer.json()["badRequest"]["message"]
        assert listed(system, "databases") == before
        return
    assert answer.status_code == 202, answer.text
    assert listed(system, "databases") == before | {name}
    assert system.api.delete(f"{databases}/{quoted(name)}").status_code == 202
    assert listed(system, "databases") == before


@pytest.mark.parametrize("password", NASTY)
@pytest.mark.parametrize("name", ["plain", "it-is", "100%"])
def test_a_user_with_a_nasty_password(system, users, name, password):
    """Who can log in with exactly that password."""
    created = system.api.post(users, json={"users": [{"name": name, "password": password,
                                                      "databases": [{"name": "app"}]}]})
    assert created.status_code == 202
    try:
        assert system.sql("SELECT 1", system.m1["host"], name, password, "app") == ((1,),)
    finally:
        system.api.delete(f"{users}/{quoted(name)}")
    assert name not in listed(system, "users")
