"""The whole pipeline of trove-api in this process: the shipped paste file with a token filter for tests.

The database is a fresh SQLite file, the bus is oslo.messaging's fake one, Nova is ``tests.fakes.nova``.
"""
import configparser
import json
from pathlib import Path

import pytest
import sqlalchemy
import webtest
from paste import deploy

from tests import openapi
from tests.fakes import cloud as fake_cloud
from tests.fakes import guest, nova, swift
from tests.functional.world import World
from trove import rpc
from trove.common import cached, remote
from trove.datastore import models as datastore_models

SHIPPED = Path(__file__).parents[2] / "etc" / "trove" / "api-paste.ini"
FAKE_CLIENTS = {"nova_client": "tests.fakes.nova.nova_client", "cinder_client": "tests.fakes.nova.cinder_client",
                "swift_client": "tests.fakes.swift.swift_client",
                "tenant_neutron_client": "tests.fakes.neutron.tenant_neutron_client"}
KEYS = {400: "badRequest", 401: "unauthorized", 403: "forbidden", 404: "itemNotFound", 405: "badMethod",
        406: "notAcceptable", 409: "conflict", 413: "overLimit", 415: "badMediaType", 422: "unprocessableEntity",
        500: "instanceFault", 501: "notImplemented", 503: "serviceUnavailable"}


def check_fault(answer):
    """Rows 1.30-1.32: one key, named by the code, with the code and a message; returns the message."""
    assert answer.content_type == "application/json"
    assert list(answer.json) == [KEYS[answer.status_int]]
    fault = answer.json[KEYS[answer.status_int]]
    assert fault["code"] == answer.status_int
    assert isinstance(fault["message"], str)
    assert fault["message"]
    return fault["message"]


class Caller:
    """Speaks to the API as somebody: paths are relative to the caller's tenant; errors are checked for their shape.

    app: webtest.TestApp; tenant: project id; roles: of the token.
    """

    def __init__(self, app, tenant, roles=("member",)):
        self.app = app
        self.tenant = tenant
        self.headers = {"X-Auth-Token": f"{tenant}:user-of-{tenant}:{','.join(roles)}", "Accept": "application/json"}

    def __call__(self, method, path, body=None, status=None, headers=None):
        """Make a request and return the webtest response.

        path: below ``/v1.0/<tenant>``, or absolute if it starts with ``/v1.0``; body: JSON-able value, or bytes that
        are sent as they are; status: the code to insist on; headers: on top of the caller's, None removes one.
        """
        given = dict(self.headers)
        options = {}
        if isinstance(body, bytes):
            options["body"] = body
        elif body is not None:
            options["body"] = json.dumps(body).encode()
            given["Content-Type"] = "application/json"
        given.update(headers or {})
        url = path if path.startswith("/v1.0") else f"/v1.0/{self.tenant}{path}"
        answer = self.app.request(url, method=method, expect_errors=True,
                                  headers={name: value for name, value in given.items() if value is not None},
                                  **options)
        if status is not None:
            assert answer.status_int == status, f"{method} {path}: {answer.status} {answer.text}"
        if answer.status_int >= 400 and method != "HEAD":
            check_fault(answer)
        return answer

    def get(self, path, status=200, **more):
        """GET."""
        return self("GET", path, status=status, **more)

    def post(self, path, body=None, status=200, **more):
        """POST."""
        return self("POST", path, body, status=status, **more)

    def put(self, path, body=None, status=202, **more):
        """PUT."""
        return self("PUT", path, body, status=status, **more)

    def patch(self, path, body=None, status=202, **more):
        """PATCH."""
        return self("PATCH", path, body, status=status, **more)

    def delete(self, path, status=202, **more):
        """DELETE."""
        return self("DELETE", path, status=status, **more)


def write_paste_file(path):
    """The shipped paste file at ``path``, with the token filter for tests in place of Keystone's and nothing else."""
    parser = configparser.RawConfigParser()
    parser.read(SHIPPED)
    parser["filter:authtoken"] = {"paste.filter_factory": "tests.fakes.tokens:filter_factory"}
    with open(path, "w") as file:
        parser.write(file)
    return path


@pytest.fixture
def options(conf):
    """CONF for the API under test; set overrides before asking for ``app``. Rates are out of the way."""
    for verb in ("get", "post", "put", "delete", "mgmt_post"):
        conf.set_override(f"http_{verb}_rate", 1_000_000)
    rpc.messaging.TransportURL.parse(conf)  # registers the option
    conf.set_override("transport_url", "fake://")
    for name, path in FAKE_CLIENTS.items():
        conf.set_override(f"remote_{name}", path)
    conf.set_override("answer_wait", 0.05)  # nobody works on operations
    conf.set_override("backup_encryption_key", ["a key for tests, never for a deployment"])
    nova.Cloud.reset()
    swift.ETAGS.clear()
    cached.forget()
    rpc.cleanup()
    yield conf
    rpc.cleanup()


@pytest.fixture(scope="session")
def running_cloud(tmp_path_factory):
    """One cloud for all tests."""
    cloud = fake_cloud.Cloud(tmp_path_factory.mktemp("cloud"))
    yield cloud
    cloud.stop()


@pytest.fixture
def cloud(options, running_cloud):
    """minicloud behind all clients of the cloud: tests.fakes.cloud.Cloud."""
    for name in FAKE_CLIENTS:
        if name != "swift_client":
            options.clear_override(f"remote_{name}")
    running_cloud.configure(options)
    yield running_cloud
    running_cloud.clear()
    remote.reset()


@pytest.fixture(scope="session")
def document():
    """The document of the API."""
    return openapi.Document()


@pytest.fixture
def wsgi_app(options, db, tmp_path, document):
    """The WSGI application of the paste file; an answer that the API's document does not admit fails the test."""
    app = deploy.loadapp(f"config:{write_paste_file(tmp_path / 'api-paste.ini')}", name="trove")
    return openapi.Checked(app, document)


@pytest.fixture
def app(wsgi_app):
    """The application for requests without a token."""
    return webtest.TestApp(wsgi_app)


@pytest.fixture
def alice(app):
    """A tenant."""
    return Caller(app, "tenant-a")


@pytest.fixture
def bob(app):
    """Another tenant."""
    return Caller(app, "tenant-b")


@pytest.fixture
def admin(app):
    """An administrator, in a tenant of its own."""
    return Caller(app, "tenant-admin", roles=("member", "Admin"))


@pytest.fixture
def catalog(db):
    """Datastores: mysql (5.7 active and default, 5.6 not active), mariadb (10.11), and relic without an active version.

    Returns {"mysql": row, "mysql 5.7": row, ...}; parameters are loaded for mysql 5.7.
    """
    rows = {}
    with db.writer() as session:
        for name, versions, default in (("mysql", {"5.6": False, "5.7": True}, "5.7"),
                                        ("mariadb", {"10.11": True}, "10.11"), ("relic", {"1": False}, "1")):
            datastore = rows[name] = datastore_models.DBDatastore(name=name)
            session.add(datastore)
            session.flush()
            for version, active in versions.items():
                row = rows[f"{name} {version}"] = datastore_models.DBDatastoreVersion(
                    datastore_id=datastore.id, name=version, image_id="image-1", packages="", active=active,
                    manager=name)
                session.add(row)
                session.flush()
                if version == default:
                    datastore.default_version_id = row.id
        for name, data_type, smallest, largest in (("autocommit", "boolean", None, None),
                                                   ("max_connections", "integer", "1", "65535"),
                                                   ("character_set.client", "string", None, None)):
            session.add(datastore_models.DBDatastoreConfigurationParameter(
                datastore_version_id=rows["mysql 5.7"].id, name=name, data_type=data_type, min_size=smallest,
                max_size=largest, restart_required=name == "autocommit"))
    return rows


@pytest.fixture
def statements(db):
    """The SQL statements sent since the fixture was asked for, without those that only frame a transaction."""
    sent = []

    def note(_connection, _cursor, statement, _parameters, _context, _many):
        if not statement.startswith(("BEGIN", "SAVEPOINT", "RELEASE")):
            sent.append(statement)

    engine = db.get_engine()
    sqlalchemy.event.listen(engine, "before_cursor_execute", note)
    yield sent
    sqlalchemy.event.remove(engine, "before_cursor_execute", note)


@pytest.fixture
def world(options, db, catalog, monkeypatch):
    """Instances, and what happens to them behind the API: see ``tests.functional.world``."""
    options.set_override("remote_guest_client", "tests.fakes.guest.client")
    guest.GUESTS.clear()
    return World(db, catalog, monkeypatch)
