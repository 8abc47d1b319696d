"""Rules are made of rows, checked with the caller and the path, and the operator's file goes before them."""
import pytest

from trove.common import api, exception, policy
from trove.common.context import TroveContext
from trove.common.routing import Route

ROWS = {action: Route(f"/{{tenant_id}}/{action}", "GET", "some.where.MgmtThingController", action, role)
        for action, role in (("open", policy.MEMBER), ("closed", policy.ADMIN), ("own", policy.ADMIN_OR_NAMED))}
CALLERS = {"member": TroveContext(project_id="t", user_id="u", roles=["member"], is_admin=False, overwrite=False),
           "dba": TroveContext(project_id="t", user_id="u", roles=["DBA"], is_admin=False, overwrite=False),
           "admin": TroveContext(project_id="a", user_id="u", roles=["admin"], is_admin=True, overwrite=False)}


def admits(rules, who, action, **variables):
    try:
        rules.check(ROWS[action], CALLERS[who], variables)
    except exception.Forbidden:
        return False
    return True


@pytest.fixture
def operator(conf, tmp_path):
    """A function that writes the operator's file."""
    path = tmp_path / "policy.yaml"
    policy.Policy([])  # registers the options
    conf.set_override("policy_file", str(path), group="oslo_policy")
    return path.write_text


def test_defaults(conf):
    rules = policy.Policy(ROWS.values())
    assert admits(rules, "member", "open")
    assert admits(rules, "admin", "open")
    assert not admits(rules, "member", "closed")
    assert admits(rules, "admin", "closed")
    assert admits(rules, "member", "own", tenant="t")
    assert not admits(rules, "member", "own", tenant="other")
    assert admits(rules, "admin", "own", tenant="other")


def test_the_operators_file_goes_first(operator):
    operator('"mgmt_thing:closed": "rule:admin or role:dba"\n"mgmt_thing:open": "!"\n')
    rules = policy.Policy(ROWS.values())
    assert admits(rules, "dba", "closed")
    assert not admits(rules, "member", "closed")
    assert not admits(rules, "admin", "open")
    assert admits(rules, "member", "own", tenant="t")


def test_a_file_that_changes_is_read_again_within_a_second(operator):
    now = [0.0]
    operator('"mgmt_thing:open": "!"\n')
    rules = policy.Policy(ROWS.values(), clock=lambda: now[0])
    assert not admits(rules, "member", "open")
    operator('"mgmt_thing:open": "role:member"\n')
    now[0] = 0.5
    assert not admits(rules, "member", "open")
    now[0] = 1.5
    assert admits(rules, "member", "open")


def test_a_file_that_is_spoilt_meanwhile_changes_nothing(operator):
    now = [0.0]
    operator('"mgmt_thing:open": "role:member"\n')
    rules = policy.Policy(ROWS.values(), clock=lambda: now[0])
    operator('"mgmt_thing:open": [')
    for now[0] in (1.5, 3.0):
        assert admits(rules, "member", "open")
    operator('"mgmt_thing:open": "!"\n # mended')
    now[0] = 4.5
    assert not admits(rules, "member", "open")


def test_a_decision_is_made_once_a_second_for_each_caller_and_path(conf):
    now, decided = [0.0], []
    rules = policy.Policy(ROWS.values(), clock=lambda: now[0])
    decide = rules._decide
    rules._decide = lambda *args: (decided.append(args[2]), decide(*args))[1]
    for now[0] in (0.0, 0.5, 0.9):
        assert admits(rules, "member", "own", tenant="t")
        assert not admits(rules, "member", "own", tenant="other")
    assert decided == [{"tenant": "t"}, {"tenant": "other"}]
    now[0] = 1.5
    assert admits(rules, "member", "own", tenant="t")
    assert len(decided) == 3


@pytest.mark.parametrize("text", ["[1, 2", '"mgmt_thing:open": "rule:nobody_wrote_this"\n'])
def test_a_file_that_cannot_be_used_opens_nothing(operator, text):
    operator(text)
    try:
        rules = policy.Policy(ROWS.values())
    except SystemExit as refusal:
        assert "policy_file" in str(refusal)
    else:
        assert not admits(rules, "member", "open")


def test_the_rules_of_our_routes():
    rules = {rule.name: rule for rule in api.list_policies()}
    assert rules["instance:create"].check_str == policy.MEMBER
    assert rules["mgmt_instance:show"].check_str == policy.ADMIN
    assert {"method": "PUT", "path": "/v1.0/{tenant_id}/mgmt/quotas/{tenant}"} in rules["quota:update"].operations
    assert {policy.rule_name(row) for row in api.ROUTES} == {name for name in rules if ":" in name}


def test_rows_of_one_rule_must_agree():
    with pytest.raises(ValueError, match="mgmt_thing:open"):
        policy.rules([ROWS["open"], ROWS["open"]._replace(path="/x", role=policy.ADMIN)])
