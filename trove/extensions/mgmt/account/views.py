"""Tenants with instances as administrators see them."""
from trove.common import apischema

LIST = apischema.answer("accounts", apischema.array(apischema.view(
    "AccountInList", {"id": apischema.string, "num_instances": apischema.integer})))
SHOW = apischema.answer("account", apischema.view(
    "Account", {"id": apischema.string, "instance_ids": apischema.array(apischema.string)}))
