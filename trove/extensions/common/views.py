"""What users see of root; the schemas of the answers about it."""
from trove.common import apischema

ROOT_ENABLED = apischema.answer("rootEnabled", apischema.boolean)
ROOT_USER = apischema.answer("user", apischema.view(
    "RootUser", {"name": apischema.string, "password": apischema.string}))
