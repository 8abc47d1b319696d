"""Storage as administrators see it; sizes in GB."""
from trove.common import apischema

_number, _string = apischema.number, apischema.string
LIST = apischema.answer("devices", apischema.array(apischema.view("StorageDevice", {
    "name": _string, "type": _string, "used": _number,
    "capacity": apischema.view("StorageCapacity", dict.fromkeys(("total", "available"), _number)),
    "provision": apischema.view("StorageProvision", dict.fromkeys(("total", "available", "percent"), _number))})))


def _number_of(value):
    """A size of Cinder, which may be a word: what it does not know, or finds without bounds, counts as 0."""
    return value if isinstance(value, (int, float)) else 0


def device(pool):
    """The view of one pool of Cinder."""
    total = _number_of(getattr(pool, "total_capacity_gb", 0))
    free = _number_of(getattr(pool, "free_capacity_gb", 0))
    provisioned = _number_of(getattr(pool, "provisioned_capacity_gb", total - free))
    return {"name": pool.name, "type": getattr(pool, "volume_backend_name", None) or "",
            "capacity": {"total": total, "available": free},
            "provision": {"total": provisioned, "available": max(total - provisioned, 0),
                          "percent": round(100 * provisioned / total) if total else 0},
            "used": total - free}
