"""What is made of the deployment's keys: different for each, and short enough for where it goes."""
import re

import pytest
from cryptography import fernet

from trove.common import crypto, exception, origin
from trove.taskmanager.steps import replication

ONE, OTHER = "0a0a0a0a-0000-4000-8000-00000000000a", "0b0b0b0b-0000-4000-8000-00000000000b"


def test_the_account_of_a_replica_fits_the_servers(conf):
    conf.set_override("operation_key", ["k" * 43])
    one, other = replication.account("mysql", ONE), replication.account("mysql", OTHER)
    assert one == replication.account("mysql", ONE)
    assert one["user"] != other["user"]
    assert one["password"] != other["password"]
    assert len(one["user"]) <= 32  # MySQL's limit for both
    assert len(one["password"]) == 32
    conf.set_override("operation_key", ["l" * 43])
    assert replication.account("mysql", ONE)["password"] != one["password"]


OLD, NEW, THIRD = "o" * 40, "n" * 40, "t" * 40


def test_what_an_old_key_encrypted_is_read_and_encrypted_anew(conf):
    conf.set_override("operation_key", [OLD])
    token = crypto.encrypt("secret")
    conf.set_override("operation_key", [NEW, OLD])
    assert crypto.decrypt(token) == "secret"
    renewed = crypto.reencrypt(token)
    assert crypto.reencrypt(renewed) is None
    conf.set_override("operation_key", [NEW])
    assert crypto.decrypt(renewed) == "secret"
    for call in (crypto.decrypt, crypto.reencrypt):
        with pytest.raises(fernet.InvalidToken):
            call(token)


@pytest.mark.parametrize(("keys", "made_from", "expected"), [
    ([OLD], None, [OLD]), ([OLD], OLD, [OLD]), ([NEW, OLD], OLD, [OLD]), ([NEW, OLD], NEW, [NEW]),
    ([NEW, OLD], None, [OLD, NEW]), ([THIRD, NEW, OLD], None, [OLD, NEW, THIRD]), ([NEW], OLD, [NEW]),
])
def test_which_keys_a_guest_may_have(conf, keys, made_from, expected):
    conf.set_override("operation_key", keys)
    name = made_from and crypto.key_id(made_from)
    for generation, before in ((0, ""), (2, "2.")):
        conf.set_override("operation_key", keys)
        found = crypto.guest_keys("i-1", generation, name)
        assert [name for name, _key in found] == [crypto.key_id(key) for key in expected]
        assert crypto.guest_key("i-1", generation, name) == found[0][1]
        assert all(re.fullmatch(re.escape(before) + "[0-9a-f]{64}", key) for _name, key in found)
        password = crypto.guest_password("i-1", generation, name)
        conf.set_override("operation_key", [expected[0]])
        assert crypto.guest_key("i-1", generation) == found[0][1]
        assert crypto.guest_password("i-1", generation) == password


def test_a_name_of_a_key_does_not_tell_it(conf):
    assert crypto.key_id(OLD) != crypto.key_id(NEW)
    assert len(crypto.key_id(OLD)) == 16 and OLD not in crypto.key_id(OLD)


def test_a_backup_keeps_the_key_it_was_taken_with(conf):
    conf.set_override("backup_encryption_key", [OLD])
    first = crypto.backup_key("b-1")
    conf.set_override("backup_encryption_key", [NEW, OLD])
    assert crypto.backup_key("b-1") == crypto.backup_key("b-1", crypto.key_id(OLD)) == first
    assert crypto.backup_key("b-1", crypto.key_id(NEW)) != first
    with pytest.raises(exception.TroveError, match=f"{crypto.key_id(THIRD)}.*backup_encryption_key"):
        crypto.backup_key("b-1", crypto.key_id(THIRD))
    conf.set_override("backup_encryption_key", [])
    with pytest.raises(exception.TroveError, match="backup_encryption_key"):
        crypto.backup_key("b-1")


def test_a_container_takes_urls_of_two_keys(conf):
    conf.set_override("operation_key", [OLD])
    (old,) = crypto.container_keys("b-1", "read")
    assert crypto.container_headers([old]) == {
        "X-Container-Meta-Temp-URL-Key": old, "X-Container-Meta-Temp-URL-Key-2": ""}
    conf.set_override("operation_key", [NEW, OLD, THIRD])
    new, *_ = crypto.container_keys("b-1", "read")
    assert new != old
    assert crypto.container_headers(crypto.container_keys("b-1", "read")) == {
        "X-Container-Meta-Temp-URL-Key": new, "X-Container-Meta-Temp-URL-Key-2": old}
    assert crypto.container_headers([]) == {
        "X-Container-Meta-Temp-URL-Key": "", "X-Container-Meta-Temp-URL-Key-2": ""}


def test_keys_for_urls_differ(conf):
    conf.set_override("operation_key", [OLD])
    made = [crypto.container_keys("b-1", "read"), crypto.container_keys("b-1", "write"),
            crypto.container_keys("b-2", "read"), crypto.shared_container_keys(), crypto.log_keys("p"),
            crypto.log_keys("q")]
    assert len({key for (key,) in made}) == len(made)


def test_a_seal_of_an_old_key_is_ours(conf, context):
    conf.set_override("operation_key", [OLD])
    sealed = origin.seal("i-1", context, 60)
    conf.set_override("operation_key", [NEW, OLD])
    assert origin.unseal("i-1", sealed).request_id == context.request_id
    conf.set_override("operation_key", [NEW])
    assert origin.unseal("i-1", sealed) is None
