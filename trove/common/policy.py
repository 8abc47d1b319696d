"""Who may call what: one rule of oslo.policy for each method of a controller that a route table names.

Rules are made from the rows, so that there is no second list; the operator overrides them in the file that
[oslo_policy] policy_file names. The router asks ``Policy.check``; nobody else decides by roles. That tenants see only
what is theirs is no rule: what is another tenant's does not exist for them (404, ``loading`` and ``models``).
"""
import re
import threading
import time

from oslo_log import log as logging
from oslo_policy import policy

from trove.common import exception
from trove.common.cfg import CONF

LOG = logging.getLogger(__name__)

# What the last column of a route may be; an operator's file may use these names as well.
MEMBER = "rule:admin_or_owner"
ADMIN = "rule:admin"
ADMIN_OR_NAMED = "rule:admin_or_named_tenant"
BASE = (
    policy.RuleDefault("admin", "is_admin:True", "Whoever has a role of the option admin_roles."),
    policy.RuleDefault("admin_or_owner", "rule:admin or project_id:%(project_id)s",
                       "Whoever has a token for the tenant in the path."),
    policy.RuleDefault("admin_or_named_tenant", "rule:admin or project_id:%(tenant)s",
                       "A tenant that the end of the path names, for what is its own."),
)
# Seconds that the operator's file is believed not to have changed, and that a decision is believed: to look costs as
# much as to decide, and clients ask the same again and again.
_FRESH = 1.0
# What reading the operator's file raises when it is no good.
_UNUSABLE = (policy.PolicyNotAuthorized, policy.InvalidRuleDefault, ValueError)
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def rule_name(row):
    """The name of the rule of a Route: the controller's noun and the method, for example ``mgmt_instance:show``."""
    noun = row.controller.rpartition(".")[2].removesuffix("Controller")
    return f"{_HUMP.sub('_', noun).lower()}:{row.action}"


def rules(table):
    """The rules of a route table, each with its default, its summary and the requests that it is for.

    Raises ValueError when rows of one rule have different defaults.
    """
    by_name = {}
    for row in table:
        by_name.setdefault(rule_name(row), []).append(row)
    found = []
    for name, rows in by_name.items():
        checks = {row.role for row in rows}
        if len(checks) > 1:
            raise ValueError(f"routes of the rule {name} have different roles: {', '.join(sorted(checks))}")
        found.append(policy.DocumentedRuleDefault(name, checks.pop(), f"{name} of the API.", [
            {"method": row.method, "path": f"/v1.0{row.path}"} for row in rows]))
    return found


class Policy:
    """The rules of one route table, with what the operator's file says of them; a file that changed is read again.

    clock: function that gives seconds.
    Raises SystemExit with a sentence when the file cannot be used, ValueError as ``rules`` does.
    """

    def __init__(self, table, clock=time.monotonic):
        self._clock = clock
        self._look_again = 0.0
        self._lock = threading.Lock()
        self._decided = {}  # of this _FRESH
        self._enforcer = policy.Enforcer(CONF)
        self._enforcer.suppress_default_change_warnings = True
        self._enforcer.register_defaults(BASE)
        self._enforcer.register_defaults(rules(table))
        try:
            self._enforcer.load_rules()
        except _UNUSABLE as error:
            raise SystemExit(f"Cannot start: [oslo_policy] policy_file is {CONF.oslo_policy.policy_file}: {error}"
                             ) from error
        self._enforcer.use_conf = False  # from now on it looks at the file when it is told to

    def _look(self):
        """Read the operator's file again if it has changed. While it is no good, the rules stay as they were."""
        now = self._clock()
        if now < self._look_again:
            return
        self._look_again = now + _FRESH
        self._decided.clear()
        self._enforcer.use_conf = True
        try:
            self._enforcer.load_rules()
        except _UNUSABLE as error:
            LOG.error("The rules stay as they were: [oslo_policy] policy_file is %s: %s",
                      CONF.oslo_policy.policy_file, error)
        finally:
            self._enforcer.use_conf = False

    def check(self, row, context, variables):
        """Refuse a caller whom the rule of a Route does not admit: Forbidden.

        variables: those of the path, which rules may name as %(variable)s, beside the tenant as %(project_id)s.
        """
        question = (row, context.is_admin, context.user_id, context.project_id, *context.roles, *variables.items())
        with self._lock:  # while the file is read there are moments without rules
            self._look()
            if question not in self._decided:
                self._decided[question] = self._decide(row, context, variables)
            admitted = self._decided[question]
        if not admitted:
            raise exception.Forbidden("Only administrators may do this." if row.role == ADMIN else
                                      f"You may not do this: the rule {rule_name(row)} does not admit you.")

    def _decide(self, row, context, variables):
        target = {**variables, "project_id": context.project_id}
        # Not the context itself: its policy values leave is_admin out.
        caller = {"is_admin": context.is_admin, "roles": [role.lower() for role in context.roles],
                  "user_id": context.user_id, "project_id": context.project_id}
        return self._enforcer.enforce(rule_name(row), target, caller)
