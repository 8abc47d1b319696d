"""Volume types as clients see them (rest-api 3.2)."""
import dataclasses

from trove.common import apischema

_TYPE = apischema.view("VolumeType", {
    "id": apischema.string, "name": apischema.string, "is_public": apischema.boolean,
    "description": apischema.or_null(apischema.string)})
LIST = apischema.answer("volume_types", apischema.array(_TYPE))
SHOW = apischema.answer("volume_type", _TYPE)


def volume_type(found):
    """The dict of one VolumeType."""
    return dataclasses.asdict(found)
