"""Answers of the cloud that are kept: how old they may be, and what happens when nobody answers."""
import threading

import pytest

from trove.common import cached, exception


class Service:
    """Counts how often it is asked; ``failure`` is raised when it is set."""

    def __init__(self):
        self.asked, self.failure = 0, None

    def __call__(self, *_names):
        self.asked += 1
        if self.failure:
            raise self.failure
        return [self.asked]


def test_one_answer_is_kept_until_it_is_too_old():
    service = Service()
    kept = cached.Cached("compute", service)
    assert [kept.get(60), kept.get(60), kept.get(0), kept.get(60)] == [[1], [1], [2], [2]]


def test_an_older_answer_outlives_the_service_and_is_not_asked_for_at_once_again():
    service = Service()
    kept = cached.Cached("compute", service)
    kept.get(60)
    service.failure = OSError("refused")
    assert [kept.get(0), kept.get(60)] == [[1], [1]]
    assert service.asked == 2


def test_nothing_known_and_nobody_answers():
    service = Service()
    service.failure = OSError("the password is secret")
    with pytest.raises(exception.ServiceUnavailable) as refused:
        cached.Cached("compute", service).get(60)
    assert str(refused.value) == "The compute service does not answer."


def test_while_one_thread_asks_the_others_have_the_older_answer():
    asking, go_on = threading.Event(), threading.Event()
    answers = iter(["old", "new"])

    def load():
        answer = next(answers)
        if answer == "new":
            asking.set()
            go_on.wait(10)
        return answer
    kept = cached.Cached("compute", load)
    kept.get(60)
    thread = threading.Thread(target=kept.get, args=(0,))
    thread.start()
    assert asking.wait(10)
    assert kept.get(0) == "old"
    go_on.set()
    thread.join()
    assert kept.get(60) == "new"


def test_each_private_thing_has_a_list_of_its_own():
    asked = []
    access = cached.Access("compute", lambda thing: asked.append(thing) or {"a": ["p"], "b": []}[thing])
    assert [access.allows(thing, project, 60) for thing in "ab" for project in "pq"] == [True, False, False, False]
    assert asked == ["a", "b"]
    cached.forget()
    access.allows("a", "p", 60)
    assert asked == ["a", "b", "a"]


def test_access_that_nobody_tells_is_not_granted():
    def away(_thing):
        raise OSError("refused")
    with pytest.raises(exception.ServiceUnavailable):
        cached.Access("volume", away).allows("a", "p", 60)
