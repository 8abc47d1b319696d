"""The pool: order, merging, failures that cannot be recorded."""

import threading

import pytest

from minicloud.api.jobs import Jobs
from minicloud.store import Store


@pytest.fixture
def jobs(tmp_path):
    store = Store(tmp_path / "store.sqlite")
    made = Jobs(store, workers=4)
    yield made
    made.stop()
    store.close()


def add(jobs, name, resource_id, **args):
    with jobs.transaction() as queue:
        queue(name, resource_id, **args)


def test_one_run_serves_all_equal_operations_that_wait(jobs):
    begun, gate, runs = threading.Event(), threading.Event(), []

    def run(resource_id):
        runs.append(resource_id)
        begun.set()
        gate.wait(5)

    jobs.register("refresh", run, lambda resource_id, error: None, merge=True)
    jobs.start()
    add(jobs, "refresh", "r")
    assert begun.wait(5)
    for _ in range(5):
        add(jobs, "refresh", "r")
    gate.set()
    assert jobs.wait_idle(5)
    assert runs == ["r", "r"], "the one that ran already, and one for the five that came after it had begun"
    assert jobs.store.operations() == []


def test_resources_do_not_wait_for_each_other_but_one_keeps_its_order(jobs):
    gate, seen = threading.Event(), []

    def run(resource_id, number):
        if resource_id == "slow":
            gate.wait(5)
        seen.append((resource_id, number))

    jobs.register("do", run, lambda resource_id, error, number: None)
    jobs.start()
    for number in range(3):
        add(jobs, "do", "slow", number=number)
        add(jobs, "do", "fast", number=number)
    for _ in range(500):
        if len(seen) == 3:
            break
        gate.wait(0.01)
    assert seen == [("fast", 0), ("fast", 1), ("fast", 2)]
    gate.set()
    assert jobs.wait_idle(5) and seen[3:] == [("slow", 0), ("slow", 1), ("slow", 2)]


@pytest.mark.parametrize("recordable", [True, False])
def test_a_failure_is_recorded_or_the_operation_stays(jobs, recordable):
    failures = []

    def run(resource_id):
        raise OSError("no")

    def fail(resource_id, error):
        if not recordable:
            raise RuntimeError("the disk is full")
        failures.append((resource_id, str(error)))

    jobs.register("do", run, fail)
    jobs.start()
    add(jobs, "do", "r")
    assert jobs.wait_idle(5)
    assert failures == ([("r", "no")] if recordable else [])
    assert len(jobs.store.operations()) == (0 if recordable else 1)


def test_nothing_runs_when_the_transaction_fails(jobs):
    ran = []
    jobs.register("do", ran.append, lambda resource_id, error: None)
    jobs.start()
    with pytest.raises(ZeroDivisionError), jobs.transaction() as queue:
        queue("do", "r")
        raise ZeroDivisionError
    assert jobs.wait_idle(1) and ran == [] and jobs.store.operations() == []
