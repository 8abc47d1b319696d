"""Operations: one live one per lock, claimed by one, written only by who holds it, secrets encrypted and wiped."""
import pytest
import sqlalchemy

from trove.common import exception
from trove.db.sqlalchemy import tables
from trove.operation import models


def begin(db_each, context, resource_id="i-1", **kwargs):
    with db_each.writer() as session:
        return models.begin(session, "instance.create", "instance", resource_id, context, **kwargs)


def test_a_refusal_names_what_is_busy(db_each, context):
    begin(db_each, context, lock="instance:s-1")
    with pytest.raises(exception.UnprocessableEntity, match="the instance s-1 has not ended"):
        begin(db_each, context, resource_id="b-2", lock="instance:s-1")


def test_two_operations_of_one_resource_cannot_both_live(db_each, context):
    first = begin(db_each, context)
    with pytest.raises(exception.UnprocessableEntity, match="i-1 has not ended"):
        begin(db_each, context)
    with db_each.writer() as session:
        models.claim(session, first.id, "me", 30)
        assert models.update_held(session, first.id, "me", **models.end_values(models.DONE))
    assert begin(db_each, context).state == models.PENDING


def test_only_one_claims_and_only_the_holder_writes(db_each, context):
    operation = begin(db_each, context)
    with db_each.writer() as session:
        assert models.claim(session, operation.id, "me", 30).attempts == 1
        assert models.claim(session, operation.id, "you", 30) is None
        assert not models.update_held(session, operation.id, "you", step="stolen")
        assert models.update_held(session, operation.id, "me", step="next")
    with db_each.reader() as session:
        assert session.get(models.Operation, operation.id).step == "next"


def test_an_ended_lease_is_taken_over(db_each, context):
    operation = begin(db_each, context)
    with db_each.writer() as session:
        models.claim(session, operation.id, "dead", -1)
        assert models.claimable(session, db_each.now(session), 10) == [operation.id]
        assert models.claim(session, operation.id, "heir", 30).attempts == 2
        assert not models.update_held(session, operation.id, "dead", step="late")


def test_secrets_are_encrypted_while_it_lives_and_gone_afterwards(db_each, context):
    operation = begin(db_each, context, secrets={"users": [{"_password": "p'%\\ü"}]})
    with db_each.writer() as session:
        stored = session.execute(tables.operations.select()).mappings().one()
        assert "_password" not in stored["secrets"]
        held = models.claim(session, operation.id, "me", 30)
        assert held.load_secrets() == {"users": [{"_password": "p'%\\ü"}]}
        models.update_held(session, operation.id, "me", **models.end_values(models.DONE))
        assert session.execute(tables.operations.select()).mappings().one()["secrets"] is None


def test_secrets_that_the_column_does_not_take_are_refused(db, context):
    with db.writer() as session, pytest.raises(exception.OverLimit, match="too many"):
        models.begin(session, "instance.create", "instance", "i-1", context, secrets={"users": ["x" * 50_000]})
    with db.reader() as session:
        assert models.live_for(session, "instance", "i-1") == []


def test_the_newest_and_a_page_are_read_in_the_order_of_an_index(db):
    """A resource may have thousands: each change of a database or user is one."""
    with db.reader() as session:
        plans = [row[3] for query in (
            sqlalchemy.select(models.newest_id("instance", "i-1")),
            sqlalchemy.select(tables.operations.c.id).where(
                tables.operations.c.resource_type == "instance", tables.operations.c.resource_id == "i-1").order_by(
                tables.operations.c.created_at.desc(), tables.operations.c.id.desc()).limit(21),
        ) for row in session.connection().exec_driver_sql("EXPLAIN QUERY PLAN " + str(
            query.compile(session.connection(), compile_kwargs={"literal_binds": True})))]
    assert any("operations_resource" in line for line in plans)
    assert not [line for line in plans if "TEMP B-TREE" in line]
