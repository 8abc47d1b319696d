"""Answers that wait for the end of what was asked for, and the operations behind them."""
import contextlib
import json
import threading

import pytest

from tests.functional.test_configurations import configures, group, put
from tests.functional.test_databases_and_users import user
from tests.functional.world import create_active
from trove.common import crypto, exception
from trove.common.context import TroveContext
from trove.common.instance import ServiceStatuses
from trove.db.sqlalchemy import tables
from trove.instance import models as instance_models
from trove.instance.tasks import InstanceTasks
from trove.operation import answer as answers
from trove.operation import models as operations

DATABASE = {"databases": [{"name": "db1"}]}


@pytest.fixture
def instance_id(world, alice):
    """An instance that is ACTIVE."""
    return create_active(world, alice)


@pytest.fixture
def guest(world, instance_id):
    """Its fake guest."""
    return world.guest(instance_id)


@pytest.fixture
def path(instance_id):
    """The path of the instance."""
    return f"/instances/{instance_id}"


def changes(world, instance_id):
    """The operations that change databases or users, oldest first."""
    return [one for one in world.operations(instance_id) if not one.kind.startswith("instance.")]


def headers(answer):
    """(state, ids) as the headers of an answer have them."""
    return answer.headers.get("X-Operation-State"), answer.headers.get("X-Operation-Id")


class TestWhatTheAnswerSays:
    def test_done_and_there_at_once(self, world, alice, guest, instance_id, path):
        made = alice.post(f"{path}/databases", DATABASE, status=202)
        [operation] = changes(world, instance_id)
        assert (made.body, headers(made), "Location" in made.headers) == (b"", ("done", operation.id), False)
        assert alice.get(f"{path}/databases").json == {"databases": [{"name": "db1"}]}
        assert (operation.kind, operation.state) == ("database.create", operations.DONE)

    def test_running_when_the_task_manager_is_away_and_where_to_look(self, world, alice, guest, instance_id, path):
        world.task_manager_works = False
        made = alice.post(f"{path}/databases", DATABASE, status=202)
        [operation] = changes(world, instance_id)
        assert headers(made) == ("running", operation.id)
        where = made.headers["Location"]
        assert where == f"http://localhost/v1.0/tenant-a{path}/operations/{operation.id}"
        assert alice.get(where.removeprefix("http://localhost")).json["operation"]["state"] == "pending"
        assert guest.databases == {}
        world.carry_on(operation.id)
        shown = alice.get(where.removeprefix("http://localhost")).json["operation"]
        assert (shown["state"], [step["name"] for step in shown["steps"]]) == ("done", ["check", "carry_out"])
        assert list(guest.databases) == ["db1"]

    def test_what_begins_nothing_has_no_such_header(self, alice, instance_id, path):
        assert headers(alice.patch(path, {"instance": {"name": "n"}}, status=202)) == (None, None)

    @pytest.mark.parametrize(("error", "code", "says"), [
        (exception.GuestError(original="no room"), 400, "The guest could not do it: no room (instance "),
        (exception.NotFound(resource="user", id="x"), 404, "The user x does not exist"),
        (exception.PollTimeOut(what="step 'carry_out'", seconds=9, option="o"), 503, "did not happen within 9 s"),
        (RuntimeError("secret"), 503, "An unexpected error occurred (RuntimeError)")])
    def test_a_failure_is_an_error_with_its_code(self, world, alice, guest, instance_id, path, error, code, says):
        world.task_manager_works = False
        alice.post(f"{path}/databases", DATABASE, status=202)  # so that the next is not checked at once
        world.task_manager_works = True
        world.carry_on(changes(world, instance_id)[0].id)
        guest.error = error
        refused = alice.delete(f"{path}/databases/db1", status=code)
        assert says in refused.text and "secret" not in refused.text
        assert changes(world, instance_id)[-1].state == operations.FAILED
        guest.error = None
        fault = alice.get(path).json["instance"].get("fault")
        # What the request is to blame for is no fault of the instance.
        assert (fault is None) == (code == 404)
        alice.delete(f"{path}/databases/db1", status=202)
        assert "fault" not in alice.get(path).json["instance"]

    def test_one_that_was_stopped_is_a_conflict(self, world, alice, guest, instance_id, path, monkeypatch):
        def cancel_first(operation_id):
            with world.db.writer() as session:
                operations.request_cancel(session, "instance", instance_id)
            return carry_on(operation_id)
        carry_on = world.carry_on
        monkeypatch.setattr(world, "carry_on", cancel_first)
        assert "Cancelled by a later operation" in alice.post(f"{path}/databases", DATABASE, status=409).text
        assert guest.databases == {}


class TestWaiting:
    def _polls(self, statements):
        return [statement for statement in statements if "operations.error" in statement]

    def test_it_looks_seldom(self, world, alice, guest, path, options, statements):
        options.set_override("answer_wait", 1.0)
        world.task_manager_works = False
        alice.post(f"{path}/databases", DATABASE, status=202)
        assert 3 <= len(self._polls(statements)) <= 7

    @pytest.mark.parametrize("option", ["answer_wait", "answer_waiters", "answer_waiters_per_tenant"])
    def test_none_waits_when_none_may(self, world, alice, guest, path, options, statements, option):
        options.set_override("answer_wait", 60)
        options.set_override(option, 0)
        world.task_manager_works = False
        assert headers(alice.post(f"{path}/databases", DATABASE, status=202))[0] == "running"
        assert self._polls(statements) == []

    def test_places_are_bounded_for_each_tenant_and_for_all_and_come_back(self, options):
        options.set_override("answer_waiters", 3)
        options.set_override("answer_waiters_per_tenant", 2)
        with contextlib.ExitStack() as stack:
            found = [stack.enter_context(answers._place(tenant)) for tenant in "aaabc"]
            assert found == [True, True, False, True, False]
        assert answers._waiting.total() == 0
        with answers._place("a") as again:
            assert again


class TestOrder:
    def test_what_waits_before_decides(self, world, alice, guest, instance_id, path):
        """The user that is granted something, and the database, are still to be made."""
        world.task_manager_works = False
        alice.post(f"{path}/databases", DATABASE, status=202)
        alice.post(f"{path}/users", {"users": [user()]}, status=202)
        alice.put(f"{path}/users/bob/databases", DATABASE, status=202)
        alice.post(f"{path}/databases", DATABASE, status=202)
        made, created, granted, again = changes(world, instance_id)
        for operation in (again, granted, created):  # not before the first
            assert world.carry_on(operation.id).state == operations.RUNNING
        assert guest.calls.count("create_user") == 0
        states = [world.carry_on(operation.id) for operation in (made, created, granted, again)]
        assert [operation.state for operation in states] == ["done", "done", "done", "failed"]
        assert states[-1].error == "The database 'db1' exists already."
        assert alice.get(f"{path}/users/bob").json["user"]["databases"] == [{"name": "db1"}]

    def test_a_lost_answer_does_not_make_it_exist_already(self, world, alice, guest, instance_id, path):
        guest.lost = 1
        assert headers(alice.post(f"{path}/users", {"users": [user()]}, status=202))[0] == "running"
        [operation] = changes(world, instance_id)
        assert world.carry_on(operation.id).state == operations.DONE
        assert guest.calls.count("create_user") == 2
        assert "exists already" in alice.post(f"{path}/users", {"users": [user()]}, status=400).text

    @pytest.mark.parametrize("change", [{"task": InstanceTasks.REBOOTING}, {"service": ServiceStatuses.SHUTDOWN}])
    def test_it_waits_for_a_database_that_is_restarted(self, world, alice, guest, instance_id, path, change):
        world.task_manager_works = False
        alice.post(f"{path}/databases", DATABASE, status=202)
        world.set(instance_id, **change)
        [operation] = changes(world, instance_id)
        assert world.carry_on(operation.id).state == operations.RUNNING
        assert guest.databases == {}
        world.set(instance_id, task=InstanceTasks.NONE, service=ServiceStatuses.RUNNING)
        assert world.carry_on(operation.id).state == operations.DONE

    def test_what_waits_in_vain_says_why(self, world, alice, guest, instance_id, path):
        world.task_manager_works = False
        alice.post(f"{path}/databases", DATABASE, status=202)
        world.silence(instance_id)
        [operation] = changes(world, instance_id)
        world.carry_on(operation.id)
        with world.db.writer() as session:
            session.get(operations.Operation, operation.id).deadline = 1
        error = world.carry_on(operation.id).error
        assert "did not happen within 600 s (option administration_time_out)" in error
        assert error.endswith("its guest is silent.")
        assert alice.get(path).json["instance"]["fault"]["message"] == f"database.create: {error}"

    def test_of_an_instance_that_has_become_a_replica(self, world, alice, guest, instance_id, path):
        world.task_manager_works = False
        alice.post(f"{path}/databases", DATABASE, status=202)
        world.set(instance_id, slave_of_id=create_active(world, alice))
        assert "has become a replica" in world.carry_on(changes(world, instance_id)[0].id).error

    def test_too_many(self, world, alice, guest, path, options):
        options.set_override("administration_queue_length", 2)
        world.task_manager_works = False
        for code in (202, 202, 422):
            alice.post(f"{path}/databases", DATABASE, status=code)

    def test_not_while_it_is_deleted(self, world, alice, guest, instance_id, path):
        world.set(instance_id, task=InstanceTasks.DELETING)
        assert "is being deleted" in alice.post(f"{path}/databases", DATABASE, status=422).text
        assert changes(world, instance_id) == []

    def test_it_does_not_hold_up_a_configuration_group(self, world, alice, guest, instance_id, path):
        world.task_manager_works = False
        alice.post(f"{path}/databases", DATABASE, status=202)
        put(alice, instance_id, {"configuration": group(alice)})
        [operation] = configures(world, instance_id)
        assert world.carry_on(operation.id).step != "turn"


def test_passwords_are_kept_encrypted_and_forgotten_at_the_end(world, alice, guest, instance_id, path):
    world.task_manager_works = False
    alice.post(f"{path}/users", {"users": [user(password="correct horse")]}, status=202)
    [row] = [row for row in world.rows(tables.operations) if row["kind"] == "user.create"]
    assert "correct horse" not in str({**row, "secrets": None})
    assert "correct horse" in json.loads(crypto.decrypt(row["secrets"]))["arguments"]["users"][0]["_password"]
    operation = world.carry_on(row["id"])
    assert (operation.state, operation.secrets) == (operations.DONE, None)
    assert guest.users["bob", "%"]["_password"] == "correct horse"


def test_more_than_can_be_kept_is_refused(world, alice, guest, instance_id, path):
    many = {"databases": [{"name": f"{number:060}"} for number in range(1000)]}
    assert "Make fewer at once" in alice.post(f"{path}/databases", many, status=413).text
    assert changes(world, instance_id) == []


class TestGroups:
    @pytest.fixture
    def ending(self, world, instance_id, monkeypatch):
        """A function that lets each operation on the instance end like that as soon as somebody waits for it."""
        def end(state, error=None, cancel=False):
            def look(session, ids):
                with world.db.writer() as writer:
                    if cancel:
                        operations.request_cancel(writer, "instance", instance_id)
                world.end_operations(instance_id, state, error)
                return found(session, ids)
            found = operations.outcomes
            monkeypatch.setattr(operations, "outcomes", look)
        return end

    def test_done_at_attach_change_and_detach(self, alice, instance_id, ending):
        group_id = group(alice)
        ending(operations.DONE)
        assert headers(put(alice, instance_id, {"configuration": group_id}))[0] == "done"
        for method, status in (("PATCH", 200), ("PUT", 202)):
            values = {"max_connections": 20 + status}
            answer = alice(method, f"/configurations/{group_id}", {"configuration": {"values": values}}, status)
            assert (answer.body, headers(answer)[0]) == (b"", "done")
            answer = alice(method, f"/configurations/{group_id}", {"configuration": {"values": values}}, status)
            assert headers(answer) == (None, None)  # nothing was changed
        assert headers(put(alice, instance_id, {}))[0] == "done"

    def test_running_names_the_instances_that_have_not_taken_it(self, world, alice, instance_id):
        group_id = group(alice)
        ids = [instance_id, create_active(world, alice)]
        for each in ids:
            put(alice, each, {"configuration": group_id})
        answer = alice.patch(f"/configurations/{group_id}", {"configuration": {"values": {"max_connections": 11}}},
                             status=200)
        newest = {configures(world, each)[-1].id for each in ids}
        assert headers(answer)[0] == "running" and set(headers(answer)[1].split(", ")) == newest
        assert "Location" not in answer.headers

    def test_a_failure(self, alice, instance_id, ending):
        group_id = group(alice)
        put(alice, instance_id, {"configuration": group_id})
        ending(operations.FAILED, "The guest did not answer in time.")
        answer = alice.patch(f"/configurations/{group_id}", {"configuration": {"values": {"max_connections": 11}}},
                             status=503)
        assert f"The guest did not answer in time (instance {instance_id}" in answer.text

    def test_one_that_a_later_change_has_replaced_goes_on(self, alice, instance_id, ending):
        group_id = group(alice)
        put(alice, instance_id, {"configuration": group_id})
        ending(operations.FAILED, "Cancelled by a later operation.", cancel=True)
        answer = alice.patch(f"/configurations/{group_id}", {"configuration": {"values": {"max_connections": 11}}},
                             status=200)
        assert headers(answer)[0] == "running"


def test_the_order_of_changes_is_that_of_their_commits(world, alice, guest, instance_id):
    """Two requests at once are one after the other."""
    from trove.instance import administration
    context = TroveContext(user_id="u", project_id="tenant-a")
    threads = [threading.Thread(target=administration._begin, args=(
        context, instance_id, "database.create", {"databases": [{"_name": f"d{number}"}]}, {})) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with world.db.reader() as session:
        ids = operations.live_ids(session, "instance", instance_id, administration.CHANGES, 10)
        assert instance_models.newest_fault(session, instance_id) is None
    assert len(ids) == 6
    for operation_id in ids:
        assert world.carry_on(operation_id).state == operations.DONE
