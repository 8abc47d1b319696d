"""Both keys of the deployment are replaced while it has guests, backups and secrets, and the old ones are removed."""
import json
import re

import pytest
from onebox import services

from tests.scenarios.support import CommandFailed, wait_until
from tests.scenarios.test_backups import restore, take
from trove.common import crypto

OPTIONS = ("operation_key", "backup_encryption_key")
NEW = {"operation_key": "of the second year: n8Yk2mPq, and of 43 characters", "backup_encryption_key": "B" * 40}


@pytest.fixture
def configure(system):
    """A function that writes the keys of trove.conf and restarts the services; the file is put back in the end."""
    path = system.settings.etc / "trove.conf"
    original = path.read_text()
    old = {name: re.search(rf"^{name} *= *(.*)$", original, re.M)[1] for name in OPTIONS}

    def write(keys):
        text = original
        for name in OPTIONS:
            lines = "\n".join(f"{name} = {key}" for key in keys(old[name], NEW[name]))
            text = re.sub(rf"^{name} *=.*$", lambda _match, lines=lines: lines, text, flags=re.M)
        path.write_text(text)
        assert set(services.ensure(system.settings)) == set(services.NAMES)
    write.old = old
    yield write
    path.write_text(original)
    services.ensure(system.settings)


def refused(system, instance_id):
    """The events that name an instance."""
    return [event for event in json.loads(services.manage(system.settings, "security_events", "--json"))
            if event["instance_id"] == instance_id]


def test_keys_are_rotated_and_the_old_ones_removed(system, openstack, configure):
    old, new = ({name: crypto.key_id(keys[name]) for name in OPTIONS} for keys in (configure.old, NEW))
    before = take(openstack, "before")
    configure(lambda old, new: [old, new])  # every process knows the new key before one uses it
    configure(lambda old, new: [new, old])

    # m1 has the old key: its reports are believed and its commands obeyed.
    assert "Name" in openstack("database", "user", "list", "m1")
    increment = take(openstack, "after", "--parent", before["id"])
    assert refused(system, system.m1["id"]) == []

    # A chain whose parts have different keys is restored, into a guest with the new key.
    restored = restore(system, openstack, "rotated", increment["id"])
    assert restored["status"] == "ACTIVE", restored
    assert "Name" in openstack("database", "user", "list", "rotated")
    assert refused(system, restored["id"]) == []

    said = services.manage(system.settings, "rekey")
    assert f"operation_key {old['operation_key']}: 1 guests, needed" in said
    assert f"operation_key {new['operation_key']}: 1 guests, the first" in said
    assert f"backup_encryption_key {old['backup_encryption_key']}: 1 backups, needed" in said
    openstack("database", "backup", "delete", before["id"])
    wait_until(lambda: not openstack.json("database", "backup", "list"))
    kept = openstack.json("database", "backup", "create", "kept", "--instance", "rotated")
    wait_until(lambda: openstack.json("database", "backup", "show", kept["id"])["status"] == "COMPLETED")
    assert f"backup_encryption_key {old['backup_encryption_key']}: 0 backups, not needed any more" in services.manage(
        system.settings, "rekey")

    configure(lambda old, new: [new])
    assert "Name" in openstack("database", "user", "list", "rotated")
    assert refused(system, restored["id"]) == []
    # m1's guest was not given a new key, so it is heard no more; that can be seen.
    assert wait_until(lambda: refused(system, system.m1["id"]), timeout=60)
    with pytest.raises(CommandFailed):
        openstack("database", "user", "list", "m1")
    openstack("database", "backup", "delete", kept["id"])
    wait_until(lambda: not openstack.json("database", "backup", "list"))
    system.delete(restored["id"])
