"""``advance`` over toy flows: order, waiting, deadlines, errors, undoing, cancelling, and losing the lease."""
import dataclasses

import pytest
from oslo_context.context import get_current

from trove.common import exception
from trove.instance.tasks import InstanceTasks
from trove.operation import models
from trove.taskmanager import flow
from trove.taskmanager.flow import Again, Flow, Step

KIND = "toy.run"


class Toy:
    """A flow of steps whose answers the test gives; ``log`` is what happened, in order.

    answers: step name (or "undo <name>") -> list of what its calls return or raise; without one they return None.
    """

    def __init__(self, db, context, names=("one", "two", "three"), undone=("one", "two"), **answers):
        self.db, self.log, self.answers, self.wants_undo = db, [], answers, True
        self.flow = Flow(KIND, done=self._done, failed=self._failed, cancelled=self._cancelled, steps=tuple(
            Step(name, self._call(name), "volume_time_out", InstanceTasks.BUILDING_ERROR_SERVER,
                 undo=self._call(f"undo_{name}") if name in undone else None) for name in names))
        with db.writer() as session:
            self.id = models.begin(session, KIND, "toy", "t-1", context).id

    def _call(self, name):
        def call(work):
            self.log.append(name)
            answer = self.answers[name].pop(0) if self.answers.get(name) else None
            if isinstance(answer, BaseException):
                raise answer
            return answer(work) if callable(answer) else answer
        return call

    def _done(self, session, work):
        self.log.append("DONE")

    def _failed(self, session, work, step, error, message):
        self.log.append(f"FAILED {step.name}")
        return self.wants_undo

    def _cancelled(self, session, work):
        self.log.append("CANCELLED")

    def claim(self, owner="me", lease=30):
        with self.db.writer() as session:
            assert models.claim(session, self.id, owner, lease)
        return self

    def advance(self, owner="me"):
        return flow.advance({KIND: self.flow}, self.id, owner)

    def row(self):
        with self.db.reader() as session:
            return session.get(models.Operation, self.id)

    def write(self, **values):
        with self.db.writer() as session:
            assert models.update_held(session, self.id, "me", **values)


def test_steps_run_in_order_and_the_history_says_so(db, context):
    toy = Toy(db, context).claim()
    assert toy.advance() is None
    assert toy.log == ["one", "two", "three", "DONE"]
    row = toy.row()
    assert (row.state, row.lock_key, row.lease_until) == (models.DONE, None, None)
    assert [entry["step"] for entry in row.data["history"]] == ["one", "two", "three"]


def test_a_step_that_waits_keeps_its_place(db, context):
    toy = Toy(db, context, two=[Again(0.25), Again(3)]).claim()
    assert toy.advance() == Again(0.25)
    assert toy.row().step == "two"
    assert toy.advance() == Again(3)
    assert toy.advance() is None
    assert toy.log == ["one", "two", "two", "two", "three", "DONE"]


def test_another_process_goes_on_where_the_dead_one_was(db, context):
    toy = Toy(db, context, two=[Again(1)]).claim(lease=-1)
    with pytest.raises(flow.LeaseLost):
        toy.advance()
    toy.claim("me").advance()
    toy.write(lease_until=0)
    toy.claim("heir")
    with pytest.raises(flow.LeaseLost):
        toy.advance("me")
    assert toy.advance("heir") is None
    assert toy.log == ["one", "two", "two", "three", "DONE"]


def die(_work):
    raise KeyboardInterrupt


def taken_over(toy):
    """Another process has claimed it after the end of the lease."""
    toy.write(lease_until=0)
    return toy.claim()


def test_a_step_in_which_every_process_dies_fails(db, context, conf):
    conf.set_override("operation_step_attempts", 3)
    toy = Toy(db, context, two=[die] * 9, undo_two=[die] * 9, undone=("one", "two")).claim()
    with pytest.raises(KeyboardInterrupt):
        toy.advance()
    for _ in range(5):  # undoing it is no better
        with pytest.raises(KeyboardInterrupt):
            taken_over(toy).advance()
    assert taken_over(toy).advance() is None
    assert toy.log == ["one", *["two"] * 3, "FAILED two", *["undo_two"] * 3, "undo_one"]
    row = toy.row()
    assert (row.state, row.step, row.error_step) == (models.FAILED, "two", "two")
    assert "3 task managers ended in the middle of step 'two' (option operation_step_attempts)" in row.error
    assert "3 task managers ended" in row.data["not_undone"][0]["message"]


def test_deaths_while_a_step_only_waits_are_not_held_against_it(db, context, conf):
    conf.set_override("operation_step_attempts", 2)
    toy = Toy(db, context, two=[Again(1)] * 9).claim()
    toy.advance()
    for _ in range(8):
        assert taken_over(toy).advance() == Again(1)
    assert toy.advance() is None
    assert toy.log[-1] == "DONE"


def test_notes_are_kept_at_once_and_only_by_the_holder(db, context):
    def note_then_die(work):
        work.note(server_asked=True)
        raise KeyboardInterrupt

    def lose(work):
        toy.write(lease_until=0)
        toy.claim("thief")
        work.note(stolen=True)

    toy = Toy(db, context, one=[note_then_die], two=[lose]).claim()
    with pytest.raises(KeyboardInterrupt):
        toy.advance()
    assert toy.row().data["server_asked"]
    with pytest.raises(flow.LeaseLost):
        toy.advance()
    assert "stolen" not in toy.row().data


def test_what_a_step_writes_is_rolled_back_when_the_lease_is_lost(db, context):
    def lose(work):
        toy.write(lease_until=0)
        toy.claim("thief")
        with work.writing() as session:
            models.begin(session, "toy.other", "toy", "t-2", context)

    toy = Toy(db, context, one=[lose]).claim()
    with pytest.raises(flow.LeaseLost):
        toy.advance()
    with db.reader() as session:
        assert models.newest_for(session, "toy", "t-2") is None


def test_a_refusal_fails_at_once_and_undoes_in_reverse(db, context):
    toy = Toy(db, context, three=[exception.CloudError(reason="no host")], undo_two=[Again(0.1)]).claim()
    assert toy.advance() == Again(0.1)
    assert toy.row().state == models.UNDOING
    assert toy.advance() is None
    assert toy.log == ["one", "two", "three", "FAILED three", "undo_two", "undo_two", "undo_one"]
    row = toy.row()
    assert (row.state, row.error_step, row.lock_key) == (models.FAILED, "three", None)
    assert "no host" in row.error


def test_of_a_long_error_as_much_is_kept_as_the_column_takes(db, context):
    toy = Toy(db, context, two=[exception.GuestError(original="x" * 100000)]).claim()
    toy.advance()
    assert 1000 < len(toy.row().error) < 16000


def test_the_failing_step_is_undone_too(db, context):
    toy = Toy(db, context, two=[exception.CloudError(reason="half")]).claim()
    assert toy.advance() is None
    assert toy.log == ["one", "two", "FAILED two", "undo_two", "undo_one"]


def test_nothing_is_undone_if_the_flow_does_not_want_it(db, context):
    toy = Toy(db, context, two=[exception.CloudError(reason="half")])
    toy.wants_undo = False
    assert toy.claim().advance() is None
    assert toy.log == ["one", "two", "FAILED two"]
    assert toy.row().state == models.FAILED


def test_a_step_that_cannot_be_undone_does_not_keep_the_others(db, context):
    toy = Toy(db, context, three=[ValueError("a bug")], undo_two=[exception.CloudError(reason="stuck")]).claim()
    assert toy.advance() is None
    assert toy.log[-2:] == ["undo_two", "undo_one"]
    row = toy.row()
    assert row.data["not_undone"][0]["step"] == "two"
    assert "unexpected error occurred (ValueError)" in row.error
    assert "a bug" not in row.error


@pytest.mark.parametrize("error", [exception.ServiceUnavailable("gone fishing"), ConnectionRefusedError])
def test_only_a_passing_error_is_tried_again(db, context, conf, error):
    conf.set_override("operation_retry_interval", 7.0)
    toy = Toy(db, context, two=[error]).claim()
    if error is ConnectionRefusedError:  # not one of a cloud's client: nobody says that it will pass
        toy.answers["two"] = [ConnectionRefusedError("x")]
        assert toy.advance() is None
        assert "FAILED two" in toy.log
    else:
        assert toy.advance() == Again(7.0)
        assert toy.advance() is None
        assert toy.log == ["one", "two", "two", "three", "DONE"]


@pytest.mark.parametrize("answer", [Again(1), exception.ServiceUnavailable("gone fishing")])
def test_a_deadline_ends_waiting_and_retrying_and_names_its_option(db, context, conf, answer):
    conf.set_override("volume_time_out", 5)
    conf.set_override("operation_retry_interval", 60.0)
    toy = Toy(db, context, two=[answer, answer]).claim()
    pause = toy.advance()
    assert 0 < pause.seconds <= 5
    toy.write(deadline=0)
    assert toy.advance() is None
    error = toy.row().error
    assert "step 'two' did not happen within 5 s (option volume_time_out)" in error
    assert ("gone fishing" in error) == isinstance(answer, Exception)


def test_a_step_that_is_done_late_is_done(db, context):
    toy = Toy(db, context, two=[Again(1)]).claim()
    toy.advance()
    toy.write(deadline=0)
    assert toy.advance() is None
    assert toy.log[-1] == "DONE"


@pytest.mark.parametrize("undoing", [False, True])
def test_it_stops_before_the_next_step_when_cancelled(db, context, undoing):
    def cancel(work):
        with db.writer() as session:
            models.request_cancel(session, "toy", "t-1")

    answers = {"undo_two": [cancel], "three": [exception.CloudError(reason="x")]} if undoing else {"two": [cancel]}
    toy = Toy(db, context, **answers).claim()
    assert toy.advance() is None
    assert toy.log[-2:] == ["undo_two" if undoing else "two", "CANCELLED"]
    row = toy.row()
    assert (row.state, row.lock_key) == (models.FAILED, None)


def test_it_begins_no_step_when_the_process_stops(db, context):
    toy = Toy(db, context).claim()
    assert flow.advance({KIND: toy.flow}, toy.id, "me", stopping=lambda: True) == Again(0)
    assert toy.log == []


def test_a_step_of_another_version_begins_again_from_the_start(db, context):
    toy = Toy(db, context, two=[Again(1)]).claim()
    toy.advance()
    toy.flow = dataclasses.replace(toy.flow, steps=tuple(step for step in toy.flow.steps if step.name != "two"))
    assert toy.advance() is None
    assert toy.log == ["one", "two", "one", "three", "DONE"]


def test_pauses_grow_with_the_wait(db, context, conf):
    conf.set_override("usage_sleep_time", 5.0)
    toy = Toy(db, context).claim()
    toy.write(state=models.RUNNING, step="one")
    work = flow._look(toy.id, "me")
    for waited, pause in ((0, 0.1), (0.5, 0.1), (20, 2), (900, 5)):
        work.data["since"] = work.now() - waited
        assert work.again().seconds == pytest.approx(pause, abs=0.05)


def test_what_is_logged_belongs_to_the_request_of_the_operation(db, context):
    """A thread works on many operations; an earlier one must not lend its request id to the next."""
    seen = []
    for request_id in ("req-a", "req-b"):
        context.request_id = request_id
        toy = Toy(db, context, one=[lambda work: seen.append(get_current().request_id)]).claim()
        toy.advance()
    assert seen == ["req-a", "req-b"]
