"""The store: transactions, threads, and what is left of a writer that died."""

import threading

import pytest

from minicloud.store import Exists, Missing, Store


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "store.sqlite")
    yield made
    made.close()


def test_documents_are_found_by_what_they_hold(store):
    store.add("x", {"id": "1", "project_id": "p", "name": "a", "colour": None})
    store.add("x", {"id": "2", "project_id": "q", "name": "a", "colour": "red"})
    store.add("y", {"id": "1", "project_id": "p", "name": "a"})
    assert [d["id"] for d in store.list("x")] == ["1", "2"]
    assert [d["id"] for d in store.list("x", project_id="p", name="a")] == ["1"]
    assert [d["id"] for d in store.list("x", colour=None)] == ["1"]
    assert store.change("x", "1", colour="blue")["colour"] == store.get("x", "1")["colour"] == "blue"
    assert store.remove("x", "1") and not store.remove("x", "1")


def test_what_is_not_there_or_there_already(store):
    store.add("x", {"id": "1"})
    with pytest.raises(Exists):
        store.add("x", {"id": "1"})
    for call in (lambda: store.get("x", "2"), lambda: store.change("x", "2", a=1)):
        with pytest.raises(Missing):
            call()
    assert store.find("x", "2") is None


def test_a_transaction_is_whole_or_nothing_also_when_nested(store):
    with pytest.raises(ZeroDivisionError), store.transaction():
        store.add("x", {"id": "1"})
        with store.transaction():
            store.add("x", {"id": "2"})
        raise ZeroDivisionError
    assert store.list("x") == []
    with store.transaction():
        store.add("x", {"id": "1"})
        with pytest.raises(Exists):
            store.add("x", {"id": "1"})
    assert [d["id"] for d in store.list("x")] == ["1"], "a caught refusal inside does not undo the rest"


def test_threads_take_turns(store):
    store.add("x", {"id": "1", "count": 0})

    def count():
        for _ in range(50):
            with store.transaction():
                store.change("x", "1", count=store.get("x", "1")["count"] + 1)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.get("x", "1")["count"] == 400


def test_operations_stay_until_they_are_removed(store, tmp_path):
    first = store.add_operation("do", "r", {"a": 1})
    store.add_operation("do", "r", {"a": 2})
    store.remove_operation(first)
    store.close()
    again = Store(tmp_path / "store.sqlite")
    assert [(name, resource, args) for _, name, resource, args in again.operations()] == [("do", "r", {"a": 2})]
    again.close()
