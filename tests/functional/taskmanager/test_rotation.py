"""Rotation of guests' secrets in a task manager: who is begun by the clock, what a new guest gets, what comes again."""
import base64
import dataclasses
import datetime

import pytest
from cryptography import x509

from tests.fakes.agent import GUESTS
from trove import rpc  # noqa: F401 - registers [oslo_messaging_rabbit]
from trove.common import crypto, exception, pki, sealing
from trove.db import guest_secrets
from trove.instance.models import AgentHeartBeat, service_status
from trove.operation import models as operations
from trove.taskmanager import rotation
from trove.taskmanager.flows import FLOWS

_DAY = 24 * 3600


@pytest.fixture
def secure(world, conf, tmp_path):
    """A World with a CA, whose guests get certificates for 90 days."""
    certificate, key = pki.make_authority("CA of tests", 1000)
    pki.write_new(tmp_path / "ca.pem", certificate, 0o644)
    pki.write_new(tmp_path / "ca.key", key, 0o600)
    for name, value in (("ssl", True), ("ssl_ca_file", str(tmp_path / "ca.pem"))):
        conf.set_override(name, value, group="oslo_messaging_rabbit")
    for name in ("ca_file", "ca_key_file"):
        conf.set_override(name, str(tmp_path / {"ca_file": "ca.pem", "ca_key_file": "ca.key"}[name]), group="tls")
    return world


def certificate(text):
    return x509.load_pem_x509_certificate(text.encode())


def begun(world):
    """What the clock begins: ids of instances."""
    found = []
    rotation.rotate_due(found.append)
    return [world.operation(operation_id).resource_id for operation_id in found]


def until(world, instance_id):
    with world.db.reader() as session:
        return guest_secrets._row(session, instance_id).certificate_until


def test_a_new_guest_gets_certificates(secure):
    instance_id = secure.built()
    server_id = secure.instance(instance_id).compute_instance_id
    files = {file["path"].rpartition("/")[2]: base64.b64decode(file["content"]).decode()
             for file in secure.cloud.server.host.guest(server_id)["files"]}
    own = certificate(files["guest.pem"])
    assert own.subject.rfc4514_string() == f"CN=guest-{instance_id}"
    assert 89 < pki.days_left(own) < 91
    assert until(secure, instance_id) == own.not_valid_after_utc.timestamp()
    assert "ssl_ca_file = /etc/trove/conf.d/guest_ca.pem" in files["guest_info.conf"]
    [command] = GUESTS.called("install_certificate")
    text = sealing.unseal(crypto.guest_key(instance_id), command["sealed"])
    names = certificate(text).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    address = secure.instance(instance_id).address_list[0]["address"]
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == [address]
    assert names.get_values_for_type(x509.DNSName) == [instance_id]


@pytest.mark.parametrize("error", [exception.GuestError(original="it does not know that"),
                                   exception.DatastoreOperationNotSupported(operation="x", datastore="y")])
def test_a_server_that_takes_no_certificate_is_of_use(secure, error):
    def answer(_instance_id, method):
        if method == "install_certificate":
            raise error
    GUESTS.answer = answer
    secure.built()


def test_the_clock_begins_before_the_end_and_a_few_at_once(secure, conf):
    ids = sorted(secure.built() for _ in range(3))
    for instance_id in ids:
        secure.report(instance_id)
    with secure.db.writer() as session:
        long_ago = datetime.datetime(2020, 1, 1)
        service_status(session, ids[2]).updated_at = long_ago
        session.query(AgentHeartBeat).filter_by(instance_id=ids[2]).update({"updated_at": long_ago})
    assert begun(secure) == []
    conf.set_override("guest_certificate_days", 200, group="tls")
    conf.set_override("guest_certificate_renew_days", 100, group="tls")
    conf.set_override("rotation_limit", 1, group="tls")
    assert begun(secure) == ids[:1]
    assert begun(secure) == []  # one is under way
    conf.set_override("rotation_limit", 9, group="tls")
    assert begun(secure) == ids[1:2]  # the third is silent
    with secure.db.reader() as session:
        [first, second] = operations.live_of(session, ["guest.rotate"])
    for operation in (first, second):
        secure.run(operation.id)
        assert secure.operation(operation.id).state == operations.DONE, secure.operation(operation.id).error
    assert until(secure, ids[0]) - until(secure, ids[2]) > 100 * _DAY


def test_a_rotation_that_did_not_come_to_its_end_is_taken_up_with_the_same_secrets(secure, conf):
    instance_id = secure.built()
    secure.report(instance_id)

    def lost(_instance_id, method):
        if method == "rotate_secrets":
            raise exception.GuestTimeout
    GUESTS.answer = lost
    operation_id = rotation.rotation.begin(instance_id)
    conf.set_override("guest_rotation_time_out", 0)
    secure.run(operation_id)
    assert "option guest_rotation_time_out" in secure.operation(operation_id).error
    assert secure.fault(instance_id) is None
    given = dict(secure.broker.users)
    GUESTS.answer = lambda *_: None
    conf.set_override("guest_rotation_time_out", 60)
    assert begun(secure) == [instance_id]
    with secure.db.reader() as session:
        [again] = operations.live_of(session, ["guest.rotate"])
    secure.run(again.id)
    assert secure.operation(again.id).state == operations.DONE
    new = f"guest-{instance_id}.1"
    assert secure.broker.users == {new: given[new]}  # the password as well


@pytest.mark.parametrize("error", [exception.GuestTimeout(), exception.Conflict("busy")])
def test_a_guest_that_is_busy_or_late_is_asked_again(secure, error):
    instance_id = secure.built()
    secure.report(instance_id)
    attempts = []

    def answer(_instance_id, method):
        if method == "rotate_secrets" and len(attempts) < 2:
            attempts.append(method)
            raise error
    GUESTS.answer = answer
    operation_id = rotation.rotation.begin(instance_id)
    secure.run(operation_id)
    assert secure.operation(operation_id).state == operations.DONE
    assert len(attempts) == 2


def test_what_a_rotation_left_is_removed_without_another(secure, conf):
    instance_id = secure.built()
    secure.report(instance_id)
    flow = FLOWS["guest.rotate"]

    def refuse(_work):
        raise exception.CloudError(reason="refused by the test")
    steps = tuple(dataclasses.replace(each, do=refuse) if each.name == "old_accounts" else each for each in flow.steps)
    secure.run(rotation.rotation.begin(instance_id),
               all_flows={**FLOWS, flow.kind: dataclasses.replace(flow, steps=steps)})
    assert set(secure.broker.users) == {f"guest-{instance_id}", f"guest-{instance_id}.1"}
    assert begun(secure) == [instance_id]
    with secure.db.reader() as session:
        [again] = operations.live_of(session, ["guest.rotate"])
    secure.run(again.id)
    assert secure.operation(again.id).state == operations.DONE
    assert set(secure.broker.users) == {f"guest-{instance_id}.1"}
    assert len(GUESTS.called("rotate_secrets")) == 1


def test_two_of_one_guest_are_not_under_way_at_once(secure):
    instance_id = secure.built()
    secure.report(instance_id)
    rotation.rotation.begin(instance_id)
    with pytest.raises(exception.UnprocessableEntity, match="has not ended yet"):
        rotation.rotation.begin(instance_id)
