"""Names and passwords hard on quoting: refused with a sentence, or stored, listed, used and dropped exactly."""
from urllib.parse import quote

import pytest

from tests.scenarios.support import wait_until

# The servers take all of it, as values reach them as parameters.
ALLOWED = ["100%", "%s%(x)d", "naïve-Ünï", "日本", "x OR 1=1 --", "$(id) & #", "a_b%", "-- drop", "it's", 'say "hi"',
           "back\\slash", "'; DROP DATABASE app; --", "a`b", "a,b"]
# No address could have these names; a password may be either.
REFUSED_NAMES = ["a/b", " blank"]
REFUSED = ["", "\x00"]
DATABASES = ["100", "a-b", "shop?#@ 1", "select", "it's", "a`b", "日本", "100%", "app`; --", "a.b$"]


@pytest.fixture(scope="module")
def call(system):
    """``call(method, path below m1, **kwargs)`` as the tenant, without exceptions."""
    return lambda method, path, **kwargs: system.api.request(
        f"/instances/{system.m1['id']}{path}", method, raise_exc=False, **kwargs)


@pytest.fixture(scope="module")
def listed(call):
    """``listed(kind)``: the names in a list of m1."""
    return lambda kind: {item["name"] for item in call("GET", f"/{kind}?limit=100").json()[kind]}


def user(name, password):
    """The body that creates a user of the database app."""
    return {"users": [{"name": name, "password": password, "databases": [{"name": "app"}]}]}


def quoted(name):
    """A name as the last part of a path, as the clients write it."""
    return quote(name, safe="").replace(".", "%2e")


@pytest.mark.parametrize(("name", "password"), [*((name, "Secret-1") for name in ALLOWED),
                                                *((f"u{n}", word) for n, word in enumerate(ALLOWED))])
def test_a_user_whose_name_or_password_is_hard_to_quote(system, call, listed, name, password):
    """Can log in with exactly these, is listed and shown under its name, and is dropped."""
    before = listed("users")
    assert call("POST", "/users", json=user(name, password)).status_code == 202
    wait_until(lambda: listed("users") == before | {name})
    assert system.sql("SELECT 1", system.m1["host"], name, password, "app") == ((1,),)
    shown = call("GET", f"/users/{quoted(name)}")
    assert (shown.status_code, shown.json()["user"]["name"]) == (200, name)
    assert call("DELETE", f"/users/{quoted(name)}").status_code == 202
    wait_until(lambda: listed("users") == before)


@pytest.mark.parametrize("word", [*REFUSED, *REFUSED_NAMES])
def test_a_user_name_or_password_that_cannot_be(call, listed, word):
    """400, and nothing was made."""
    before = listed("users")
    for body in (user(word, "Secret-1"), *([user("someone", word)] if word in REFUSED else [])):
        answer = call("POST", "/users", json=body)
        assert answer.status_code == 400, answer.text
    assert listed("users") == before


@pytest.mark.parametrize("name", DATABASES)
def test_a_database_name_that_is_hard_to_quote(call, listed, name):
    """Is listed and dropped as it is."""
    before = listed("databases")
    assert call("POST", "/databases", json={"databases": [{"name": name}]}).status_code == 202
    wait_until(lambda: listed("databases") == before | {name})
    assert call("DELETE", f"/databases/{quoted(name)}").status_code == 202
    wait_until(lambda: listed("databases") == before)


@pytest.mark.parametrize("name", [*REFUSED, *REFUSED_NAMES, "../mysql", "mysql", "a" * 65])
def test_a_database_name_that_cannot_be(call, listed, name):
    """400, and nothing was made."""
    before = listed("databases")
    assert call("POST", "/databases", json={"databases": [{"name": name}]}).status_code == 400
    assert listed("databases") == before
