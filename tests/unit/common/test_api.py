"""The route table: every row leads to a method that takes what the row gives."""
import inspect
import re

import pytest

from trove.common import api, policy, routing, wsgi
from trove.common.strategies import strategy


def shown(row):
    return f"{row.method} {row.path}"


@pytest.mark.parametrize("row", api.ROUTES, ids=shown)
def test_a_row_fits_its_method(row):
    arguments = set(re.findall(r"{(\w+)}", row.path)) - {"tenant_id"}
    if row.method in ("POST", "PUT", "PATCH"):
        arguments.add("body")
    controller = strategy.load(row.controller, wsgi.Controller)
    inspect.signature(getattr(controller, row.action)).bind(None, None, **dict.fromkeys(arguments))


def test_no_row_is_there_twice():
    rows = [(row.method, re.sub(r"{\w+}", "{}", row.path)) for row in api.ROUTES]
    assert sorted(set(rows)) == sorted(rows)


def test_no_row_hides_another():
    router = routing.Router(api.ROUTES)
    for row in api.ROUTES:
        path = re.sub(r"{(\w+)}", r"a-\1", row.path)
        assert router.match(path)[0] == row.path


def test_management_is_for_administrators():
    assert [shown(row) for row in api.ROUTES if "/mgmt/" in row.path and row.role != policy.ADMIN] == [
        "GET /{tenant_id}/mgmt/quotas/{tenant}"]
    assert [shown(row) for row in api.ROUTES if "/mgmt/" not in row.path and row.role != policy.MEMBER] == [
        "DELETE /{tenant_id}/datastores/{datastore}"]


@pytest.mark.parametrize("row", api.ROUTES, ids=shown)
def test_the_method_of_a_row_has_a_contract(row):
    contract = getattr(strategy.load(row.controller, wsgi.Controller), row.action).contract
    assert (contract.body is not None) == (row.method in ("POST", "PUT", "PATCH"))
    assert contract.status is None or 200 <= contract.status < 300
