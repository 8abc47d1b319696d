"""Secrets move to the newest key, in batches, also when they were cut off; and which keys are still needed is known."""
import json

import pytest
import sqlalchemy

from trove.common import crypto
from trove.db import keys
from trove.db.sqlalchemy import tables

OLD, NEW, GONE = "o" * 40, "n" * 40, "g" * 40


def encrypted(conf, key, text="secret"):
    conf.set_override("operation_key", [key])
    try:
        return crypto.encrypt(text)
    finally:
        conf.set_override("operation_key", [NEW, OLD])


def operation(row_id, secrets=None, notes="{}"):
    return {"id": row_id, "kind": "k", "resource_type": "instance", "resource_id": row_id, "arguments": "{}",
            "secrets": secrets, "context": "{}", "state": "running", "step_data": notes, "cancel": False,
            "run_after": 0, "attempts": 0, "created_at": 0, "updated_at": 0}


def module(row_id, contents):
    moment = sqlalchemy.func.now()
    return {"id": row_id, "name": row_id, "type": "ping", "contents": contents, "auto_apply": False, "visible": True,
            "live_update": False, "md5": "m", "created": moment, "updated": moment, "deleted": False}


def put(db, table, *rows):
    with db.writer() as session:
        for row in rows:
            session.execute(table.insert().values(**row))


def column(db, table, name):
    with db.reader() as session:
        return dict(map(tuple, session.execute(sqlalchemy.select(table.c.id, table.c[name]))))


def test_all_secrets_are_encrypted_with_the_first_key(db_each, conf, monkeypatch):
    monkeypatch.setattr(keys, "BATCH", 3)
    token = encrypted(conf, OLD)
    put(db_each, tables.operations, *(operation(f"o-{number}", token) for number in range(8)), operation("none"),
        operation("notes", notes=json.dumps({"bus_password": token, "history": [1]})),
        operation("other", notes=json.dumps({"text": "bus_password"})))
    put(db_each, tables.modules, *(module(f"m-{number}", token) for number in range(4)))
    assert {name: done.changed for name, done in keys.rekey().items()} == {
        "secrets of operations": 8, "passwords in notes of operations": 1, "contents of modules": 4}
    conf.set_override("operation_key", [NEW])
    secrets = column(db_each, tables.operations, "secrets")
    assert [crypto.decrypt(secrets[f"o-{number}"]) for number in range(8)] == ["secret"] * 8
    assert secrets["none"] is None
    notes = json.loads(column(db_each, tables.operations, "step_data")["notes"])
    assert crypto.decrypt(notes["bus_password"]) == "secret" and notes["history"] == [1]
    assert {crypto.decrypt(each) for each in column(db_each, tables.modules, "contents").values()} == {"secret"}
    assert all(done.changed == done.failed == 0 for done in keys.rekey().values())


def test_a_run_that_was_cut_off_is_taken_up(db_each, conf, monkeypatch):
    monkeypatch.setattr(keys, "BATCH", 2)
    token = encrypted(conf, OLD)
    put(db_each, tables.modules, *(module(f"m-{number}", token) for number in range(6)))
    calls = []

    def dying(given):
        calls.append(given)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return crypto.reencrypt(given)
    table, column, _renew = keys.SECRETS["contents of modules"]
    monkeypatch.setattr(keys, "SECRETS", {"contents of modules": (table, column, dying)})
    with pytest.raises(KeyboardInterrupt):
        keys.rekey()
    assert keys.rekey()["contents of modules"].changed == 4


def test_what_no_key_opens_is_left_and_counted(db_each, conf):
    lost, good = encrypted(conf, GONE), encrypted(conf, OLD)
    put(db_each, tables.modules, module("lost", lost), module("good", good), module("never", "no token"),
        module("deleted", ""))
    done = keys.rekey()["contents of modules"]
    assert (done.changed, done.failed) == (1, 2)
    assert column(db_each, tables.modules, "contents")["lost"] == lost


def test_rows_without_a_name_get_the_oldest_key_and_are_counted(db_each, conf):
    conf.set_override("operation_key", [NEW, OLD])
    conf.set_override("backup_encryption_key", [GONE, NEW])
    put(db_each, tables.datastores, {"id": "d", "name": "mysql"})
    put(db_each, tables.datastore_versions, {"id": "v", "datastore_id": "d", "name": "8", "image_id": "i",
                                             "active": True, "manager": "mysql"})
    put(db_each, tables.instances, *(
        {"id": row_id, "datastore_version_id": "v", "deleted": deleted, "guest_key_id": name}
        for row_id, deleted, name in (
            ("a", False, None), ("b", False, crypto.key_id(NEW)), ("c", True, None), ("e", False, None))))
    put(db_each, tables.backups, *(
        {"id": row_id, "name": "b", "state": state, "deleted": deleted, "key_id": name, "location": location}
        for row_id, state, deleted, name, location in (
            ("a", "COMPLETED", False, None, "http://s/a.zst.gcm"), ("b", "BUILDING", False, None, None),
            ("c", "COMPLETED", True, None, "http://s/c.gcm"), ("plain", "COMPLETED", False, None, "http://s/p.zst"),
            ("e", "COMPLETED", False, crypto.key_id(GONE), "http://s/e.gcm"))))
    assert keys.of_guest("a") is None and keys.of_guest("b") == crypto.key_id(NEW)
    keys.name_oldest()
    assert keys.of_guest("a") == crypto.key_id(OLD) and keys.of_guest("nobody") is None
    assert keys.uses() == ({crypto.key_id(OLD): 2, crypto.key_id(NEW): 1},
                           {crypto.key_id(NEW): 1, None: 2, crypto.key_id(GONE): 1})


def test_one_key_needs_no_question_to_the_database(db, conf, statements):
    conf.set_override("operation_key", [NEW])
    assert keys.of_guest("i-1") is None
    assert statements == []
