"""The payloads that billing gets, field by field."""
import datetime

import pytest

from trove.notification import usage

FACTS = {"created_at": "2026-01-02T03:04:05Z", "name": "m1", "instance_id": "i", "nova_instance_id": "s",
         "tenant_id": "t", "user_id": "u", "instance_type": "m1.tiny", "instance_type_id": "1", "instance_size": 512,
         "availability_zone": "nova", "manager": "mysql", "volume_size": 2, "nova_volume_id": "v"}
COMMON = {
    "created_at": "2026-01-02T03:04:05Z", "launched_at": "2026-01-02T03:04:05Z", "name": "m1", "instance_name": "m1",
    "instance_id": "i", "nova_instance_id": "s", "tenant_id": "t", "user_id": "u", "instance_type": "m1.tiny",
    "instance_type_id": "1", "instance_size": 512, "availability_zone": "nova", "region": "LOCAL_DEV",
    "state": "active", "state_description": "active", "service_id": "2f3ff068-2bfb-4f70-9a9d-a6bb65bc084b",
    "volume_size": 2, "nova_volume_id": "v"}
MOMENT = datetime.datetime(2026, 5, 6, 7, 8, 9)
CHANGED = {"launched_at": "2026-05-06T07:08:09Z", "modify_at": "2026-05-06T07:08:09Z"}


@pytest.mark.parametrize(("kind", "facts", "before", "event", "payload"), [
    ("instance.create", FACTS, None, "create", COMMON),
    ("instance.delete", None, FACTS, "delete", {**COMMON, "state": "shutdown", "state_description": "shutdown",
                                                "deleted_at": "2026-05-06T07:08:09Z"}),
    ("instance.resize_volume", {**FACTS, "volume_size": 3}, FACTS, "modify_volume",
     {**COMMON, **CHANGED, "old_volume_size": 2, "volume_size": 3}),
    ("instance.resize_flavor", {**FACTS, "instance_size": 1024, "instance_type": "m1.small", "instance_type_id": "2"},
     FACTS, "modify_flavor", {**COMMON, **CHANGED, "old_instance_size": 512, "instance_size": 1024,
                              "instance_type": "m1.small", "instance_type_id": "2"}),
])
def test_payloads(conf, kind, facts, before, event, payload):
    assert usage.of_operation(kind, facts, before, MOMENT) == (f"trove.instance.{event}", payload)


def test_without_a_volume_none_is_named(conf):
    _, payload = usage.of_operation("instance.create", {**FACTS, "volume_size": None}, None, MOMENT)
    assert not {"volume_size", "nova_volume_id"} & set(payload)


def test_a_manager_that_has_no_service_id(conf):
    assert usage.service_id("stone") == "unknown-service-id-error"
    conf.set_override("notification_service_id", {"stone": "a-b"})
    assert usage.service_id("stone") == "a-b"
