"""The threads of the runner over toy flows and a real database: waking, sweeping, waiting, leases, stopping."""
import threading
import time

import pytest

from tests.waiting import wait_until
from trove.common import exception
from trove.instance.tasks import InstanceTasks
from trove.operation import models
from trove.taskmanager import runner as runner_module
from trove.taskmanager.flow import Again, Flow, Step
from trove.taskmanager.runner import Periodic, Runner

KIND = "toy.run"

class Bench:
    """Begins toy operations and runs runners; ``step`` is the function of their only step."""

    def __init__(self, db, context):
        self.db, self.context, self.runners = db, context, []
        self.step = lambda work: None
        self.log = []
        self.cancelled = []
        step = Step("only", lambda work: self.step(work), "volume_time_out", InstanceTasks.BUILDING_ERROR_SERVER)
        self.flows = {KIND: Flow(KIND, (step,), done=lambda session, work: self.log.append(work.resource_id),
                                 failed=lambda *_: False,
                                 cancelled=lambda session, work: self.cancelled.append(work.resource_id))}

    def begin(self, name, kind=KIND):
        with self.db.writer() as session:
            return models.begin(session, kind, "toy", name, self.context).id

    def runner(self):
        made = Runner(self.flows)
        made.start()
        self.runners.append(made)
        return made

    def states(self):
        with self.db.reader() as session:
            return [row.state for row in session.query(models.Operation).all()]

    def row(self, operation_id):
        with self.db.reader() as session:
            return session.get(models.Operation, operation_id)


def made_bench(db, context, conf):
    conf.set_override("operation_sweep_interval", 0.1)
    conf.set_override("operation_lease", 1.0)
    conf.set_override("operation_drain_timeout", 5)
    conf.set_override("taskmanager_threads", 2)
    made = Bench(db, context)
    yield made
    for runner in made.runners:
        runner.stop()


@pytest.fixture
def bench(db, context, conf):
    """A Bench on SQLite."""
    yield from made_bench(db, context, conf)


@pytest.fixture
def bench_each(db_each, context, conf):
    """A Bench on every engine."""
    yield from made_bench(db_each, context, conf)


def test_a_message_is_followed_at_once_and_twice_is_once(bench, monkeypatch):
    monkeypatch.setattr(Runner, "sweep", lambda self: None)
    runner = bench.runner()
    operation_id = bench.begin("a")
    for _ in range(3):
        runner.wake(operation_id)
    wait_until(lambda: bench.log == ["a"])
    runner.wake(operation_id)
    bench.begin("b")
    runner.wake("no such operation")
    time.sleep(0.2)
    assert bench.log == ["a"]
    assert bench.row(operation_id).attempts == 1


def test_an_operation_without_a_message_is_found(bench):
    bench.runner()
    bench.begin("a")
    wait_until(lambda: bench.log == ["a"])


def test_operations_of_other_kinds_are_left_to_others(bench):
    bench.begin("a", kind="newer.kind")
    bench.begin("b")
    bench.runner()
    wait_until(lambda: bench.log == ["b"])
    time.sleep(0.3)
    assert sorted(bench.states()) == [models.DONE, models.PENDING]


def test_those_that_wait_hold_no_thread(bench):
    released = threading.Event()
    bench.step = lambda work: None if released.is_set() else Again(0.1)
    waiting = [bench.begin(f"waits-{number}") for number in range(10)]
    runner = bench.runner()
    wait_until(lambda: all(bench.row(each).step == "only" for each in waiting))
    first = bench.step
    bench.step = lambda work: None if work.resource_id == "quick" else first(work)
    runner.wake(bench.begin("quick"))
    wait_until(lambda: bench.log == ["quick"])
    released.set()
    wait_until(lambda: len(bench.log) == 11)


def test_two_runners_share_and_nothing_is_done_twice(bench_each):
    done = []
    bench_each.step = lambda work: done.append(work.resource_id)
    for number in range(30):
        bench_each.begin(f"i-{number}")
    bench_each.runner()
    bench_each.runner()
    wait_until(lambda: set(bench_each.states()) == {models.DONE})
    assert sorted(done) == sorted(f"i-{number}" for number in range(30))


def test_the_lease_is_renewed_while_a_step_blocks_and_while_one_waits(bench, conf):
    conf.set_override("operation_lease", 3.0)  # renewed each second: a busy machine may be late by two
    bench.step = lambda work: time.sleep(4) if work.resource_id == "blocks" else (
        Again(0.5) if work.waited < 4 else None)
    operations = [bench.begin("blocks"), bench.begin("waits")]
    bench.runner()
    wait_until(lambda: all(bench.row(each).attempts == 1 for each in operations))
    bench.runner()  # would take over what it may
    wait_until(lambda: set(bench.states()) == {models.DONE})
    assert [bench.row(each).attempts for each in operations] == [1, 1]


def test_a_runner_that_dies_is_succeeded(bench, monkeypatch):
    class Killed(BaseException):
        pass

    def die(work):
        bench.step = lambda work: None
        raise Killed

    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    bench.step = die
    operation_id = bench.begin("a")
    dying = bench.runner()
    wait_until(lambda: bench.row(operation_id).attempts == 1 and bench.row(operation_id).step == "only")
    dying._held.clear()  # a dead process renews nothing
    bench.runner()
    wait_until(lambda: bench.log == ["a"])
    assert bench.row(operation_id).attempts == 2


def test_one_that_waits_long_is_cancelled_soon(bench):
    bench.step = lambda work: Again(3600)
    operation_id = bench.begin("a")
    bench.runner()
    wait_until(lambda: bench.row(operation_id).step == "only")
    with bench.db.writer() as session:
        models.request_cancel(session, "toy", "a")
    wait_until(lambda: bench.cancelled == ["a"])


def test_stopping_lets_a_step_end_and_others_go_on_at_once(bench, conf):
    conf.set_override("operation_lease", 1000.0)
    entered = threading.Event()

    def slow(work):
        if work.resource_id == "waits":
            return Again(1000)
        entered.set()
        time.sleep(0.5)
        return None

    bench.step = slow
    waits = bench.begin("waits")
    runner = bench.runner()
    wait_until(lambda: bench.row(waits).step == "only")
    bench.begin("slow")
    assert entered.wait(60)
    runner.stop()
    assert bench.log == ["slow"]
    assert bench.row(waits).lease_until is None
    bench.step = lambda work: None
    bench.runner()
    wait_until(lambda: bench.log == ["slow", "waits"])


def test_a_database_that_fails_for_a_while_stops_nothing(bench, conf, monkeypatch):
    advance = runner_module.flow.advance
    failures = [1, 2]

    def failing(*args, **kwargs):
        if failures:
            failures.pop()
            raise OSError("the database is away")
        return advance(*args, **kwargs)

    monkeypatch.setattr(runner_module.flow, "advance", failing)
    conf.set_override("operation_retry_interval", 0.1)
    bench.begin("a")
    bench.runner()
    wait_until(lambda: bench.log == ["a"])


def test_a_periodic_task_survives_its_errors():
    calls = []

    def fails():
        calls.append(1)
        raise ValueError("once more")

    periodic = Periodic("test", fails, lambda: 0.01)
    periodic.start()
    wait_until(lambda: len(calls) >= 3)
    periodic.stop(30)
    count = len(calls)
    time.sleep(0.05)
    assert len(calls) == count


def test_a_cloud_that_is_away_is_one_line_and_a_bug_is_a_traceback(caplog, conf):
    errors = [exception.ServiceUnavailable("Nova is on holiday."), ValueError("a bug")]

    def fails():
        if errors:
            raise errors.pop(0)

    periodic = Periodic("look", fails, lambda: 0.01)
    periodic.start()
    wait_until(lambda: not errors)
    periodic.stop(30)
    passed, bug = [record for record in caplog.records if "periodic" in record.getMessage()]
    assert (passed.levelname, passed.exc_info) == ("WARNING", None)
    assert "look is tried again in 0.01 s: Nova is on holiday." in passed.getMessage()
    assert (bug.levelname, bug.exc_info[0]) == ("ERROR", ValueError)


def test_old_operations_are_forgotten_and_live_ones_kept(bench):
    old, live = bench.begin("old"), bench.begin("live")
    with bench.db.writer() as session:
        models.claim(session, old, "me", 30)
        models.update_held(session, old, "me", **models.end_values(models.DONE))
        now = bench.db.now(session)
        assert models.purge(session, now - 60, 10) == 0
        assert models.purge(session, now + 60, 10) == 1
    assert bench.row(old) is None
    assert bench.row(live) is not None
