"""A broker that speaks only TLS, with certificates on both sides, and the rotation of a guest's secrets on it.

The programs are real processes, the broker is a real RabbitMQ; the agent has the very files that its server was given.
"""
import configparser
import datetime
import shutil

import pytest
import requests
import sqlalchemy

from tests import rabbitmq
from tests.functional.deployment import Deployment
from tests.functional.taskmanager.conftest import use_broker
from tests.functional.taskmanager.test_bus import work_of
from trove import rpc
from trove.common import crypto, exception, pki, remote
from trove.common.context import TroveContext
from trove.conductor import api as conductor_api
from trove.db import guest_secrets
from trove.db.sqlalchemy import tables
from trove.instance import rotation
from trove.operation import models as operations
from trove.taskmanager.steps import bus

pytestmark = pytest.mark.slow
INSTANCE = "0d0d0d0d-0000-4000-8000-00000000000d"
_HOUR = datetime.timedelta(hours=1)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Directory of certificates of one CA (broker, services, one that has expired) and of another CA."""
    directory = tmp_path_factory.mktemp("tls")
    for prefix in ("", "other-"):
        certificate, key = pki.make_authority("CA of tests", 1)
        pki.write_new(directory / f"{prefix}ca.pem", certificate, 0o644)
        pki.write_new(directory / f"{prefix}ca.key", key, 0o600)
        authority = pki.Authority.load(directory / f"{prefix}ca.pem", directory / f"{prefix}ca.key")
        for name, usages, addresses, until in (
                ("broker", (pki.SERVER,), ("127.0.0.1",), pki.after(1)), ("services", (pki.CLIENT,), (), pki.after(1)),
                ("expired", (pki.CLIENT,), (), pki.after(0) - datetime.timedelta(seconds=1))):
            pki.write_new(directory / f"{prefix}{name}.pem",
                          authority.issue(name, until, usages, addresses), 0o600)
    return directory


@pytest.fixture(scope="module")
def secure(files):
    """The broker."""
    made = rabbitmq.RabbitMQ(tls=files).start()
    yield made
    made.stop()


@pytest.fixture
def options(conf, secure, files):
    """The options of a process that logs in there."""
    use_broker(conf, secure)
    for name, value in (("ssl", True), ("ssl_ca_file", str(files / "ca.pem")),
                        ("ssl_cert_file", str(files / "services.pem")), ("ssl_key_file", str(files / "services.pem"))):
        conf.set_override(name, value, group="oslo_messaging_rabbit")
    conf.set_override("rpc_send_retries", 0)
    yield conf
    rpc.cleanup()


def pair(path):
    return {"ssl_cert_file": str(path), "ssl_key_file": str(path)}


def test_who_shows_a_certificate_of_the_ca_gets_in(secure, files):
    rpc.try_account(secure.transport_url, 5, ssl_ca_file=str(files / "ca.pem"), **pair(files / "services.pem"))


@pytest.mark.parametrize(("ca", "own", "host"), [
    (None, None, "127.0.0.1"), ("ca.pem", None, "127.0.0.1"), ("ca.pem", "expired.pem", "127.0.0.1"),
    ("ca.pem", "other-services.pem", "127.0.0.1"), ("other-ca.pem", "services.pem", "127.0.0.1"),
    ("ca.pem", "services.pem", "localhost")],
    ids=["plain text", "no certificate", "expired", "certificate of another CA", "broker of another CA", "other name"])
def test_who_does_not_is_refused(secure, files, ca, own, host):
    url = secure.transport_url.replace("127.0.0.1", host)
    given = {**({"ssl_ca_file": str(files / ca)} if ca else {}), **(pair(files / own) if own else {})}
    with pytest.raises(rpc.CONNECTION_ERRORS):
        rpc.try_account(url, 5, **given)


@pytest.mark.parametrize("change", [{"ssl": False}, {"ssl_ca_file": "other-ca.pem"}, {"ssl_cert_file": "expired.pem"}],
                         ids=["plain text", "broker of another CA", "expired"])
def test_the_library_of_the_bus_does_the_same(options, files, change, context):
    for name, value in change.items():
        if isinstance(value, str):
            value = str(files / value)
        options.set_override(name, value, group="oslo_messaging_rabbit")
        if name == "ssl_cert_file":
            options.set_override("ssl_key_file", value, group="oslo_messaging_rabbit")
    with pytest.raises((rpc.DeliveryFailure, *rpc.CONNECTION_ERRORS)):
        rpc.get_client("nobody", "guestagent").prepare().cast(context, "knock")


def test_a_message_goes_through(options, context):
    rpc.get_client("nobody", "guestagent").prepare().cast(context, "knock")


def test_the_management_api_is_verified(options, db, context, files):
    work = work_of(db, context, INSTANCE)
    bus.create_account(work)
    options.set_override("management_ca_file", str(files / "other-ca.pem"), group="guest_bus")
    with pytest.raises(exception.TroveError, match="is not accepted .*option .guest_bus. management_ca_file") as caught:
        bus.create_account(work)
    assert not remote.is_passing(caught.value)


@pytest.fixture
def deployment(db, options, secure, files, running_cloud, tmp_path):
    """Services and a guest with its own account and certificate."""
    running_cloud.configure(options)
    etc = tmp_path / "guest"
    (tmp_path / "agent.conf").write_text(
        f"[DEFAULT]\nguest_state_dir = {tmp_path}/state\nreport_interval = 1\n"
        "datastore_registry_ext = mariadb:tests.fakes.stone.Manager\n")
    more = {
        "DEFAULT": {"injected_config_location": etc, "guest_config": tmp_path / "agent.conf",
                    "usage_sleep_time": 0.2, "agent_call_low_timeout": 3, "backup_encryption_key": "k" * 32},
        "oslo_messaging_rabbit": {"ssl": True, "ssl_ca_file": files / "ca.pem", "ssl_cert_file": files / "services.pem",
                                  "ssl_key_file": files / "services.pem"},
        "tls": {"ca_file": files / "ca.pem", "ca_key_file": files / "ca.key", "expiry_warning_days": 0},
        "guest_bus": {"credentials": "per_instance", "management_url": secure.management_url, "address": secure.address,
                      "management_user": rabbitmq.ADMIN, "management_password": rabbitmq.PASSWORD}}
    made = Deployment(db, running_cloud, secure, tmp_path, more)
    made.guest_files = etc
    yield made
    made.stop()
    running_cloud.clear()
    remote.reset()


@pytest.fixture
def guest(deployment, running_cloud):
    """The id of an instance that is ACTIVE."""
    deployment.start()
    instance_id = deployment.create().json()["instance"]["id"]
    deployment.eventually(lambda: "step server done" in deployment.log("taskmanager"))
    deployment.start_injected_agent(instance_id, running_cloud)
    deployment.wait_active(instance_id)
    return instance_id


def users(secure, instance_id):
    answer = requests.get(f"{secure.management_url}/api/users", auth=(rabbitmq.ADMIN, rabbitmq.PASSWORD), timeout=10,
                          verify=secure.verify)
    return {user["name"] for user in answer.json() if instance_id in user["name"]}


def state_of(db, operation_id):
    with db.reader() as session:
        return session.get(operations.Operation, operation_id).state


def generations(db, instance_id):
    with db.reader() as session:
        return guest_secrets.generations(session, instance_id)


def info(directory):
    parser = configparser.RawConfigParser(default_section=None)
    parser.read(directory / "guest_info.conf")
    return {key: value for group in parser.sections() for key, value in parser[group].items()}


def log_in(directory, values):
    rpc.try_account(values["transport_url"], 5, ssl_ca_file=str(directory / "guest_ca.pem"),
                    **pair(directory / "guest.pem"))


def heartbeats(db, instance_id):
    with db.reader() as session:
        return session.execute(sqlalchemy.select(tables.conductor_lastseen.c.sent).where(
            tables.conductor_lastseen.c.instance_id == instance_id,
            tables.conductor_lastseen.c.method_name == "heartbeat")).scalar()


def test_a_guest_gets_new_secrets_and_the_old_ones_end(deployment, guest, db, secure, conf, tmp_path):
    etc, pid = deployment.guest_files, deployment.pid("guestagent")
    assert {path.name: path.stat().st_mode & 0o777 for path in etc.iterdir()} == dict.fromkeys(
        ("guest.pem", "guest_ca.pem", "guest_info.conf", "server.pem", "trove-guestagent.conf"), 0o600)
    assert users(secure, guest) == {f"guest-{guest}"}
    before = shutil.copytree(etc, tmp_path / "before")
    log_in(before, info(before))
    operation_id = rotation.begin(guest)
    deployment.eventually(lambda: state_of(db, operation_id) == operations.DONE)
    assert generations(db, guest) == (1, None)
    assert users(secure, guest) == {f"guest-{guest}.1"}
    assert (etc / "guest.pem").read_text() != (before / "guest.pem").read_text()
    assert sorted(path.name for path in etc.iterdir()) == sorted(path.name for path in before.iterdir())
    log_in(etc, info(etc))
    with pytest.raises(rpc.CONNECTION_ERRORS):
        log_in(before, info(before))
    # The same process goes on: heartbeats come, commands are obeyed.
    assert deployment.pid("guestagent") == pid
    seen = heartbeats(db, guest)
    deployment.eventually(lambda: heartbeats(db, guest) > seen)
    assert deployment.request("GET", f"/instances/{guest}/databases").status_code == 200
    # What is signed with the old key is dropped.
    conf.set_override("guest_id", guest)
    conf.set_override("guest_key", info(before)["guest_key"])
    conductor_api.API(TroveContext(overwrite=False)).heartbeat(guest, {"service_status": "crashed"})
    deployment.eventually(lambda: "its key was replaced by a newer one" in deployment.log("conductor"))
    assert deployment.request("GET", f"/instances/{guest}").json()["instance"]["status"] == "ACTIVE"
    # And once more.
    again = rotation.begin(guest)
    deployment.eventually(lambda: state_of(db, again) == operations.DONE)
    assert users(secure, guest) == {f"guest-{guest}.2"}


def test_a_guest_that_died_before_is_given_them_when_it_is_back(deployment, guest, db, secure):
    operation_id = rotation.begin(guest)
    deployment.kill("guestagent")
    deployment.eventually(lambda: "step make done" in deployment.log("taskmanager"))
    assert users(secure, guest) >= {f"guest-{guest}.1"}
    deployment.restart_injected_agent(deployment.guest_files)
    deployment.eventually(lambda: state_of(db, operation_id) == operations.DONE)
    assert users(secure, guest) == {f"guest-{guest}.1"}


def test_both_are_valid_until_a_conductor_has_heard_it(deployment, guest, db, secure):
    deployment.kill("conductor")
    operation_id = rotation.begin(guest)
    deployment.eventually(lambda: "step deliver done" in deployment.log("taskmanager"))
    assert generations(db, guest) == (0, 1)
    assert users(secure, guest) == {f"guest-{guest}", f"guest-{guest}.1"}
    # It has the new key by now, and the control plane does not know that yet: commands reach it all the same.
    deployment.eventually(lambda: info(deployment.guest_files)["guest_key"].startswith("1."))
    deployment.eventually(lambda: deployment.request("GET", f"/instances/{guest}/databases").status_code == 200)
    deployment.kill("guestagent")
    deployment.restart_injected_agent(deployment.guest_files)
    deployment.kill("taskmanager")
    deployment.start("taskmanager", "conductor")
    deployment.eventually(lambda: state_of(db, operation_id) == operations.DONE)
    assert users(secure, guest) == {f"guest-{guest}.1"}
    assert generations(db, guest) == (1, None)


def test_an_account_that_the_broker_refuses_is_not_taken_over(deployment, guest, db, context, files, conf):
    """The agent tries what it is given before it gives up what it has."""
    from trove.common import sealing
    from trove.guestagent import api
    etc = deployment.guest_files
    before = info(etc)
    wrong = (etc / "guest_info.conf").read_text().replace(
        before["guest_key"], crypto.guest_key(guest, 1)).replace("rabbit://guest-", "rabbit://guest-x")
    sealed = sealing.seal(before["guest_key"], [["guest_info.conf", wrong]])
    with pytest.raises(exception.GuestError, match="the broker refuses its new secrets"):
        api.API(context, guest).rotate_secrets(1, sealed)
    with pytest.raises(exception.BadRequest, match="cannot be opened"):
        api.API(context, guest).rotate_secrets(1, sealing.seal("another key", []))
    assert info(etc) == before
    assert not list(etc.glob(".*"))
