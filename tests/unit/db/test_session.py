"""Transactions on every engine: what waits, what is repeated, what is seen after waiting, and the database's clock."""
import threading
import time

import pytest
import sqlalchemy

from trove.common import exception
from trove.db import in_transaction
from trove.db.sqlalchemy import session as db_session
from trove.db.sqlalchemy import tables
from trove.operation import models as operations


def together(number, function):
    """Run ``function(i)`` in as many threads, started at once; returns what each returned or raised."""
    results, start = [None] * number, threading.Barrier(number)

    def run(index):
        start.wait()
        try:
            results[index] = function(index)
        except Exception as error:
            results[index] = error

    threads = [threading.Thread(target=run, args=(index,)) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def add_datastores(db, *names):
    with db.writer() as session:
        for name in names:
            session.execute(tables.datastores.insert().values(id=name, name=name))


def test_the_clock_is_the_databases_and_in_seconds(db_each):
    with db_each.reader() as session:
        before = time.time()
        first = db_each.now(session)
        assert before - 2 < first < time.time() + 2
        time.sleep(0.01)
        assert first + 0.005 < db_each.now(session) < time.time() + 2


def test_what_fails_leaves_nothing(db_each):
    with pytest.raises(RuntimeError), db_each.writer() as session:
        session.execute(tables.datastores.insert().values(id="d", name="d"))
        raise RuntimeError
    with db_each.reader() as session:
        assert session.execute(tables.datastores.select()).all() == []


def test_transactions_that_lock_each_other_out_are_repeated(db_each):
    """Each takes one row and then the other's: the database ends one of them, which then does it again."""
    add_datastores(db_each, "a", "b")
    first_taken = threading.Barrier(2)
    attempts = []

    def update(index):
        rows = ("a", "b") if index == 0 else ("b", "a")

        @in_transaction
        def transaction(session):
            attempts.append(index)
            for number, row in enumerate(rows):
                session.execute(tables.datastores.update().where(tables.datastores.c.id == row).values(
                    default_version_id=str(index)))
                if number == 0 and attempts.count(index) == 1 and session.get_bind().dialect.name != "sqlite":
                    first_taken.wait(10)  # one writer at a time is all that SQLite lets in
        transaction()

    assert together(2, update) == [None, None]
    if db_each.get_engine().dialect.name != "sqlite":
        assert len(attempts) > 2
    with db_each.reader() as session:
        values = set(session.execute(sqlalchemy.select(tables.datastores.c.default_version_id)).scalars())
    assert len(values) == 1


def test_a_race_that_is_always_lost_ends_with_the_databases_error(db, monkeypatch):
    monkeypatch.setattr(db_session.time, "sleep", lambda _seconds: None)
    calls = []

    @db.retry_lost_races
    def lose():
        calls.append(1)
        error = sqlalchemy.exc.OperationalError("UPDATE", {}, None)
        error.orig = type("Deadlock", (Exception,), {})(1213, "Deadlock found")
        raise error

    with pytest.raises(sqlalchemy.exc.OperationalError):
        lose()
    assert len(calls) == 10


def test_other_errors_are_not_repeated(db_each):
    add_datastores(db_each, "a")
    calls = []

    @in_transaction
    def insert(session):
        calls.append(1)
        session.execute(tables.datastores.insert().values(id="a", name="another"))

    with pytest.raises(sqlalchemy.exc.IntegrityError):
        insert()
    assert len(calls) == 1


def test_who_waited_for_a_lock_sees_what_its_holder_wrote(db_each):
    """Counting up by reading first and writing then, under a lock: no count is lost."""
    add_datastores(db_each, "a")
    column = tables.datastores.c.default_version_id

    @in_transaction
    def count_up(session):
        session.execute(sqlalchemy.select(sqlalchemy.func.count(tables.datastores.c.id))).scalar()
        value = session.execute(sqlalchemy.select(column).with_for_update()).scalar_one()
        session.execute(tables.datastores.update().values(default_version_id=str(int(value or 0) + 1)))

    assert together(8, lambda _index: count_up()) == [None] * 8
    with db_each.reader() as session:
        assert session.execute(sqlalchemy.select(column)).scalar_one() == "8"


def test_of_many_requests_at_once_one_begins_the_operation(db_each, context):
    @in_transaction
    def begin(session):
        return operations.begin(session, "instance.restart", "instance", "i-1", context).id

    results = together(8, lambda _index: begin())
    assert sum(isinstance(result, str) for result in results) == 1
    assert sum(isinstance(result, exception.UnprocessableEntity) for result in results) == 7


def test_of_many_task_managers_at_once_one_claims_each_operation(db_each, context):
    with db_each.writer() as session:
        ids = [operations.begin(session, "instance.restart", "instance", f"i-{n}", context).id for n in range(5)]

    @in_transaction
    def claim(session, owner, operation_id):
        return operations.claim(session, operation_id, owner, 30) is not None

    def work(index):
        return [operation_id for operation_id in ids if claim(f"tm-{index}", operation_id)]

    claimed = [operation_id for result in together(6, work) for operation_id in result]
    assert sorted(claimed) == sorted(ids)


def test_columns_of_one_name_keep_their_types(db_each):
    """The driver remembers what the server said of a column; another one of its name is another column."""
    for _ in range(2):
        for text, value in (("1", 1), ("'1'", "1"), ("NULL", None)):
            with db_each.reader() as session:
                row = session.execute(sqlalchemy.text(f"SELECT {text} AS a, 'b' AS b")).one()
            assert (row.a, row.b) == (value, "b")


@pytest.mark.parametrize(("error", "lost"), [
    ((1213, "Deadlock found"), True), ((1205, "Lock wait timeout"), True), ((1062, "Duplicate"), False), ((), False)])
def test_which_errors_of_mysql_are_lost_races(error, lost):
    wrapped = sqlalchemy.exc.OperationalError("UPDATE", {}, None)
    wrapped.orig = Exception(*error)
    assert db_session.is_lost_race(wrapped) is lost
