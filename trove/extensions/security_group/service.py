"""Controllers of /security-groups and /security-group-rules.

Rules are changed in the cloud at once, by this process: that takes one short request, and may be repeated when the
rows could not be written after it.
"""
from oslo_log import log as logging

from trove.common import exception, remote, wsgi
from trove.common.apischema import contract
from trove.common.cfg import CONF
from trove.db import get_db_api, in_transaction
from trove.extensions.security_group import schema, views
from trove.instance import actions, loading
from trove.instance import models as instances
from trove.network import base, models
from trove.operation import models as operations

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


def _require_turn(session, instance_id):
    """Refuse while an operation sets all rules of the instance: it might take away what is added now."""
    if any(live.kind == actions.KIND_ACCESS for live in operations.live_for(session, "instance", instance_id)):
        raise exception.UnprocessableEntity(f"Who may connect to instance {instance_id} is being changed.")


@in_transaction
def _keep_rules(session, context, instance_id, group_id, rule_ids):
    instance = instances.lock(session, instance_id, context)
    rows = models.keep_rules(session, group_id, rule_ids)
    models.allow(session, instance)
    return rows


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

    @contract(body=schema.create_rule, answer=views.RULES, status=201, errors=(404, 422, 503))
    def create(self, req, body):
        """Let a network reach every port of the datastore; what it may reach already is the same rule."""
        _require_support()
        given = body["security_group_rule"]
        cidr = base.checked_cidr("security_group_rule.cidr", given["cidr"])
        group, instance_id, present = _load_group(req, given["group_id"])
        with get_db_api().reader() as session:
            manager = loading.load(session, instance_id, req.context).manager
            _require_turn(session, instance_id)
        if len(present) >= CONF.max_security_group_rules and cidr not in {rule.cidr for rule in present}:
            raise exception.OverLimit(f"The security group {group.id} has {len(present)} rules already, and may have "
                                      f"{CONF.max_security_group_rules}.")
        with remote.answering("network"):
            rule_ids = base.driver().ensure_rules(group.id, base.datastore_rules(manager, cidr))
        rows = _keep_rules(req.context, instance_id, group.id, rule_ids)
        LOG.info("instance %s: %s may connect (rules %s)", instance_id, cidr, ", ".join(rule_ids.values()))
        return {"security_group_rule": [views.new_rule(row) for row in rows]}

    @contract(status=204, errors=(422, 503))
    def delete(self, req, rule_id):
        """Take a rule away, in the cloud first."""
        _require_support()
        with get_db_api().reader() as session:
            _require_turn(session, models.instance_of(session, models.load_rule(session, rule_id, req.context)))
        with remote.answering("network"):
            base.driver().delete_rule(rule_id)
        self._forget(rule_id, req.context)
        LOG.info("security group rule %s deleted by user %s", rule_id, req.context.user_id)

    @staticmethod
    @in_transaction
    def _forget(session, rule_id, context):
        row = models.load_rule(session, rule_id, context)
        instance = instances.lock(session, models.instance_of(session, row), context)
        row.soft_delete()
        models.allow(session, instance)
