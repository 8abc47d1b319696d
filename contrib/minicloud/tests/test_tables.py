"""Decisions of the facades that need no cloud: pages, sorting, schemas, rules, addresses, listings, microversions."""

import pytest
from werkzeug.test import EnvironBuilder

from minicloud.api import network_checks, schema, security_groups, servers, swift_http, tokens
from minicloud.api.microversion import Microversions
from minicloud.api.web import Fault, Request, page, sort

ITEMS = [{"id": str(n), "name": "ab"[n % 2], "created_at": "same"} for n in range(5)]


def request(query="", **headers):
    return Request(EnvironBuilder(query_string=query, headers=headers).get_environ())


def ids(items):
    return "".join(item["id"] for item in items)


@pytest.mark.parametrize(
    "query, shown, following",
    [
        ("", "01234", None),
        ("limit=2", "01", "limit=2&marker=1"),
        ("limit=2&marker=1", "23", "limit=2&marker=3"),
        ("limit=2&marker=3", "4", None),
        ("limit=5", "01234", None),
        ("limit=0", "", None),
        ("marker=4", "", None),
    ],
)
def test_page(query, shown, following):
    items, link = page(request(query), ITEMS)
    assert (ids(items), link) == (shown, following)


@pytest.mark.parametrize("query", ["marker=9", "limit=-1", "limit=x", "limit=1.5", "limit=²"])
def test_pages_that_cannot_be(query):
    with pytest.raises(Fault) as error:
        page(request(query), ITEMS)
    assert error.value.code == 400


@pytest.mark.parametrize(
    "query, order",
    [
        ("", "43210"),
        ("sort_key=id&sort_dir=asc", "01234"),
        ("sort=name:asc,id:desc", "42031"),
        ("sort_key=name&sort_dir=desc&sort_key=id&sort_dir=asc", "13024"),
    ],
)
def test_sort(query, order):
    assert ids(sort(request(query), ITEMS, ("id", "name", "created_at"))) == order


@pytest.mark.parametrize("query", ["sort_key=secret", "sort=id:sideways"])
def test_sorting_by_what_is_not_offered(query):
    with pytest.raises(Fault):
        sort(request(query), ITEMS, ("id",))


@pytest.mark.parametrize(
    "body, word",
    [
        ({}, "'a' is a required"),
        ({"a": 1}, "a. Value: 1"),
        ({"a": "x", "b": 1}, "'b' was unexpected"),
        ({"a": ""}, "a."),
    ],
)
def test_schemas_name_the_member(body, word):
    with pytest.raises(Fault, match=word) as error:
        schema.check(body, schema.fields(("a",), a=schema.NAME))
    assert error.value.code == 400


@pytest.mark.parametrize(
    "protocol, low, high, entry",
    [
        ("tcp", 1, 2, ("tcp", 1, 2)),
        ("6", 1, 2, ("tcp", 1, 2)),
        ("udp", None, None, ("udp", None, None)),
        ("icmp", 8, 0, ("icmp", None, None)),
        (None, None, None, ("any", None, None)),
        ("sctp", 1, 2, None),
    ],
)
def test_rules_for_the_host(protocol, low, high, entry):
    rule = {"protocol": protocol, "port_range_min": low, "port_range_max": high}
    found = security_groups.host_rule(rule, "10.0.0.0/8")
    assert (found and tuple(found.values())) == (entry and (*entry, "10.0.0.0/8"))


@pytest.mark.parametrize(
    "name, values, result",
    [
        ("name", ["x", "n"], True),
        ("name", ["x"], False),
        ("shared", ["False"], True),
        ("shared", ["true"], False),
        ("fixed_ips", ["ip_address=10.0.0.1"], True),
        ("fixed_ips", ["ip_address=10.0.0.1", "subnet_id=other"], False),
        ("security_groups", ["g"], True),
        ("absent", [""], True),
    ],
)
def test_filters_of_neutron(name, values, result):
    document = {
        "name": "n",
        "shared": False,
        "security_groups": ["g"],
        "fixed_ips": [{"ip_address": "10.0.0.1", "subnet_id": "s"}],
    }
    assert network_checks.matches(document, name, values) == result


@pytest.mark.parametrize(
    "headers, chosen",
    [
        ({}, (2, 1)),
        ({"OpenStack-API-Version": "compute 2.12"}, (2, 12)),
        ({"OpenStack-API-Version": "volume 3.5, compute latest"}, (2, 72)),
        ({"OpenStack-API-Version": "volume 3.5"}, (2, 1)),
        ({"X-OpenStack-Nova-API-Version": "2.9"}, (2, 9)),
        ({"OpenStack-API-Version": "compute 2.12", "X-OpenStack-Nova-API-Version": "2.9"}, (2, 12)),
        ({"OpenStack-API-Version": "compute 2.01"}, 400),
        ({"OpenStack-API-Version": "compute 2.73"}, 406),
    ],
)
def test_microversions(headers, chosen):
    versions = Microversions("compute", (2, 1), (2, 72), "X-OpenStack-Nova-API-Version")
    if isinstance(chosen, tuple):
        assert versions.choose(request(**headers)) == chosen
    else:
        with pytest.raises(Fault) as error:
            versions.choose(request(**headers))
        assert error.value.code == chosen


@pytest.mark.parametrize(
    "name, hostname",
    [("My Server_1", "my-server-1"), ("db", "db"), ("Ü", "server"), ("-a-", "a"), ("x" * 70, "x" * 63)],
)
def test_host_names(name, hostname):
    assert servers.hostname(name) == hostname


@pytest.mark.parametrize(
    "url, project, expected",
    [
        ("http://h/v1/$(project_id)s", "p", "http://h/v1/p"),
        ("http://h/v1/%(tenant_id)s", "p", "http://h/v1/p"),
        ("http://h/v1/AUTH_%(project_id)s", None, None),
        ("http://h/v1/$(user_id)s", None, "http://h/v1/u"),
        ("http://h", None, "http://h"),
    ],
)
def test_templates_of_endpoints(url, project, expected):
    assert tokens.expand(url, project, "u") == expected


def test_passwords():
    stored = tokens.hash_password("secret")
    assert "secret" not in stored and tokens.check_password("secret", stored)
    assert not tokens.check_password("Secret", stored) and not tokens.check_password("secret", None)


@pytest.mark.parametrize(
    "header, etag, absent, result",
    [(None, "a", True, True), (None, "a", False, False), ('"a"', "a", False, True), ("*", "a", False, True),
     ("b, a", '"a"', False, True), ("b", "a", True, False)],
)  # fmt: skip
def test_conditions_of_swift(header, etag, absent, result):
    assert swift_http.matches(header, etag, absent) == result
