"""Which secrets a guest has: generations, accounts that are left, and who is due."""
import pytest

from trove.common import exception
from trove.datastore.models import DBDatastore, DBDatastoreVersion
from trove.db import guest_secrets
from trove.instance import rotation
from trove.instance.models import DBInstance
from trove.instance.tasks import InstanceTasks


def test_a_guest_without_a_row_has_those_it_was_made_with(db):
    with db.reader() as session:
        assert guest_secrets.generations(session, "i-1") == (0, None)
        assert guest_secrets.accounts(session, "i-1") == ([0], [])


def test_a_generation_is_given_out_until_it_is_heard(db):
    with db.writer() as session:
        assert guest_secrets.renew(session, "i-1") == 1
        assert guest_secrets.renew(session, "i-1") == 1
        assert guest_secrets.accounts(session, "i-1") == ([0, 1], [])
        assert not guest_secrets.heard(session, "i-1", 2)
        assert not guest_secrets.heard(session, "i-2", 1)
        assert guest_secrets.heard(session, "i-1", 1)
        assert not guest_secrets.heard(session, "i-1", 1)
        assert guest_secrets.generations(session, "i-1") == (1, None)
        assert guest_secrets.accounts(session, "i-1") == ([1], [0])
        guest_secrets.forget_accounts(session, "i-1", 1)
        assert guest_secrets.accounts(session, "i-1") == ([1], [])
        assert guest_secrets.renew(session, "i-1") == 2


@pytest.fixture
def instances(db):
    """Ids of instances, a-f."""
    ids = [f"i-{letter}" for letter in "abcdef"]
    with db.writer() as session:
        session.add(DBDatastore(id="d", name="mysql"))
        session.flush()
        session.add(DBDatastoreVersion(id="v", datastore_id="d", name="8", image_id="i", active=True, manager="mysql"))
        session.flush()
        for each in ids:
            row = DBInstance(id=each, name=each, tenant_id="t", flavor_id="1", volume_size=1, datastore_version_id="v")
            row.task = InstanceTasks.NONE
            session.add(row)
    return ids


def test_who_is_due(instances, db):
    with db.writer() as session:
        for each, until in zip(instances, (100, 50, 60, None, 70, 40), strict=True):
            guest_secrets.record_certificate(session, each, until)
        guest_secrets.renew(session, "i-a")  # did not come to its end
        guest_secrets.renew(session, "i-d")
        guest_secrets.heard(session, "i-d", 1)  # its old account is left
        guest_secrets.record_attempt(session, "i-b", 500)
        guest_secrets.record_attempt(session, "i-c", 900)
        DBInstance.get(session, "i-f").soft_delete()
        session.flush()
        assert guest_secrets.due(session, 80, 800, 9) == [("i-a", False), ("i-d", False), ("i-e", True), ("i-b", True)]
        assert guest_secrets.due(session, 80, 800, 2) == [("i-a", False), ("i-d", False)]
        assert guest_secrets.due(session, 0, 800, 0) == []
        guest_secrets.forget(session, "i-a")
        assert guest_secrets.generations(session, "i-a") == (0, None)


def test_a_silent_or_deleted_guest_is_refused(instances):
    with pytest.raises(exception.UnprocessableEntity, match="its guest is silent"):
        rotation.begin("i-a")
    with pytest.raises(exception.NotFound):
        rotation.begin("nobody")
