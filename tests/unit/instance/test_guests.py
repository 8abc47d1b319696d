"""Calls to guests that do not answer hold only so many threads of the API."""
import threading
import types

import pytest

from trove.common import exception, remote
from trove.instance import guests

PATIENCE = 30  # seconds after which a test that hangs fails


class Hanging:
    """A guest client that answers when it is told to."""

    def __init__(self):
        self.asked = threading.Semaphore(0)
        self.answer = threading.Event()

    def list_users(self, limit):
        """Wait, then answer."""
        self.asked.release()
        assert self.answer.wait(PATIENCE)
        return limit

    def get_user(self, username, hostname):
        """Fail at once."""
        raise exception.GuestTimeout()


@pytest.fixture
def hanging(conf, monkeypatch):
    found = Hanging()
    monkeypatch.setattr(remote, "guest_client", lambda context, instance_id, manager: found)
    return found


def of_tenant(tenant):
    row = types.SimpleNamespace(tenant_id=tenant)
    return guests.client(None, types.SimpleNamespace(id="i", manager="mysql", row=row))


def test_a_tenant_has_so_many_places_and_gets_them_back(conf, hanging):
    conf.set_override("guest_calls_per_tenant", 2)
    conf.set_override("guest_call_wait", 0)
    answers = []
    waiting = [threading.Thread(target=lambda: answers.append(of_tenant("a").list_users(7))) for _ in range(2)]
    for thread in waiting:
        thread.start()
        assert hanging.asked.acquire(timeout=PATIENCE)
    with pytest.raises(exception.ServiceUnavailable, match="2 requests already wait"):
        of_tenant("a").list_users(7)
    hanging.answer.set()
    assert of_tenant("b").list_users(8) == 8
    for thread in waiting:
        thread.join(PATIENCE)
    assert answers == [7, 7]
    assert of_tenant("a").list_users(9) == 9
    assert not guests._waiting


def test_another_tenant_is_served_meanwhile(conf, hanging):
    conf.set_override("guest_calls_per_tenant", 1)
    thread = threading.Thread(target=lambda: of_tenant("a").list_users(1))
    thread.start()
    assert hanging.asked.acquire(timeout=PATIENCE)
    with pytest.raises(exception.GuestTimeout):
        of_tenant("b").get_user("u", "%")
    hanging.answer.set()
    thread.join(PATIENCE)


def test_who_comes_in_a_burst_waits_for_a_place(conf, hanging):
    conf.set_override("guest_calls_per_tenant", 1)
    conf.set_override("guest_call_wait", PATIENCE)
    answers = []
    burst = [threading.Thread(target=lambda: answers.append(of_tenant("a").list_users(1))) for _ in range(5)]
    for thread in burst:
        thread.start()
    assert hanging.asked.acquire(timeout=PATIENCE)
    hanging.answer.set()
    for thread in burst:
        thread.join(PATIENCE)
    assert answers == [1] * 5


def test_a_call_that_fails_gives_its_place_back(conf, hanging):
    conf.set_override("guest_calls_per_tenant", 1)
    for _ in range(2):
        with pytest.raises(exception.GuestTimeout):
            of_tenant("a").get_user("u", "%")
    assert not guests._waiting


def test_fewer_places_than_threads(conf):
    assert conf.guest_calls_per_tenant < conf.trove_api_threads
