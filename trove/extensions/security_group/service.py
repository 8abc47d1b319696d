"""Controllers of /security-groups and /security-group-rules.

Rules are changed in the cloud at once, by this process: that takes one short request, and may be repeated when the
rows could not be written after it.
"""
import ipaddress

from oslo_log import log as logging

from trove.common import exception, remote, wsgi
from trove.common.apischema import contract
from trove.common.cfg import CONF
from trove.db import get_db_api, in_transaction
from trove.extensions.security_group import schema, views
from trove.instance import loading
from trove.network import base, models

LOG = logging.getLogger(__name__)


def _require_support():
    if not CONF.trove_security_groups_support:
        raise exception.NotFound("There is nothing at this address.")


def _load_group(req, group_or_instance_id):
    """(group, instance id, rules) of one group. Raises NotFound."""
    tenant = None if req.context.is_admin else req.context.project_id
    with get_db_api().reader() as session:
        found = models.load_groups(session, tenant, group_or_instance_id)
    if not found:
        raise exception.NotFound(resource=models.SecurityGroup.label, id=group_or_instance_id)
    return found[0]


def _checked_cidr(text):
    """A network in its usual spelling. Raises BadValue."""
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise exception.BadValue(field="security_group_rule.cidr", reason=f"must be address/length: {error}") from None


class SecurityGroupController(wsgi.Controller):
    """/security-groups and /security-groups/{id of a group or of its instance}."""

    @contract(answer=views.LIST, errors=(404,))
    def index(self, req):
        """Every group of the tenant, on one page: a client would ask for a second one for ever."""
        _require_support()
        with get_db_api().reader() as session:
            found = models.load_groups(session, req.context.project_id)
        return {"security_groups": [views.group(req, *each) for each in found]}

    @contract(answer=views.SHOW)
    def show(self, req, group_id):
        """One group."""
        _require_support()
        return {"security_group": views.group(req, *_load_group(req, group_id))}


class SecurityGroupRuleController(wsgi.Controller):
    """/security-group-rules."""

    @contract(body=schema.create_rule, answer=views.RULES, status=201, errors=(404, 503))
    def create(self, req, body):
        """Let a network reach every port of the datastore; what it may reach already is the same rule."""
        _require_support()
        given = body["security_group_rule"]
        cidr = _checked_cidr(given["cidr"])
        group, instance_id, present = _load_group(req, given["group_id"])
        with get_db_api().reader() as session:
            manager = loading.load(session, instance_id, req.context).manager
        if len(present) >= CONF.max_security_group_rules and cidr not in {rule.cidr for rule in present}:
            raise exception.OverLimit(f"The security group {group.id} has {len(present)} rules already, and may have "
                                      f"{CONF.max_security_group_rules}.")
        with remote.answering("network"):
            rule_ids = base.driver().ensure_rules(group.id, base.datastore_rules(manager, cidr))
        rows = in_transaction(models.keep_rules)(group.id, rule_ids)
        LOG.info("instance %s: %s may connect (rules %s)", instance_id, cidr, ", ".join(rule_ids.values()))
        return {"security_group_rule": [views.new_rule(row) for row in rows]}

    @contract(status=204, errors=(503,))
    def delete(self, req, rule_id):
        """Take a rule away, in the cloud first."""
        _require_support()
        with get_db_api().reader() as session:
            models.load_rule(session, rule_id, req.context)
        with remote.answering("network"):
            base.driver().delete_rule(rule_id)
        self._forget(rule_id, req.context)
        LOG.info("security group rule %s deleted by user %s", rule_id, req.context.user_id)

    @staticmethod
    @in_transaction
    def _forget(session, rule_id, context):
        models.load_rule(session, rule_id, context).soft_delete()
