"""JSON schema of the body of a request that enables root; most clients send none."""
from trove.common import apischema

enable_root = apischema.compiled({"type": "object", "properties": {"password": apischema.or_null(apischema.password)}})
