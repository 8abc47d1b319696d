"""The certificate of the database server: clients verify it, and it is replaced while the server runs."""
import ssl

import pymysql
import pytest
from cryptography import x509

from tests.functional.guestagent.conftest import end
from trove.common import pki, sealing
from trove.common.cfg import CONF
from trove.common.context import TroveContext
from trove.guestagent import secrets
from trove.guestagent.common import configuration
from trove.guestagent.datastore.mysql_common import service

pytestmark = pytest.mark.slow


@pytest.fixture
def authority(tmp_path):
    """A CA with its files in the test's directory."""
    certificate, key = pki.make_authority("CA of tests", 1)
    pki.write_new(tmp_path / "ca.pem", certificate, 0o644)
    pki.write_new(tmp_path / "ca.key", key, 0o600)
    return pki.Authority.load(tmp_path / "ca.pem", tmp_path / "ca.key")


def connect(app, ca=None, host="10.1.2.3"):
    """A connection of the administrator as a client makes it that verifies ``host``; a plain one without ca."""
    context = ssl.create_default_context(cafile=ca) if ca else None
    return pymysql.connect(unix_socket=str(app.layout.socket), host=host, user=service.ADMIN_USER,
                           password=app.admin_password(), ssl=context)


def serial(connection):
    """The serial number of the certificate that the server has shown."""
    return x509.load_der_x509_certificate(connection._sock.getpeercert(binary_form=True)).serial_number


@pytest.fixture
def agent(guest, packaged_data, reports, authority, monkeypatch):
    """The agent of a guest that was prepared with a first certificate, which names no address."""
    guest.layout.template.symlink_to(packaged_data)
    first = authority.issue("i-1", pki.after(1), (pki.SERVER,), ["i-1"])
    monkeypatch.setattr(secrets, "first_server_certificate", lambda: first)
    manager = guest.manager()
    manager.prepare(TroveContext(), packages=[], databases=[], memory_mb=256, users=[],
                    config_contents=guest.config_contents())
    yield manager
    end(manager.app)


def test_clients_verify_the_server_and_it_gets_another_while_it_runs(agent, authority, tmp_path):
    app, ca = agent.app, tmp_path / "ca.pem"
    before, pid = connect(app, ca, "i-1"), app.layout.pid_file.read_text()
    assert app.certificate_file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(pymysql.err.OperationalError, match="(?i)certificate verify failed.*IP address mismatch"):
        connect(app, ca)
    text = authority.issue("i-1", pki.after(1), (pki.SERVER,), ["i-1", "10.1.2.3"])
    for _ in range(2):  # a command may come twice
        agent.install_certificate(None, sealing.seal(CONF.guest_key, text))
    with connect(app, ca) as after:
        assert serial(after) == x509.load_pem_x509_certificate(text.encode()).serial_number != serial(before)
    before.ping(reconnect=False)  # what was connected goes on
    assert app.layout.pid_file.read_text() == pid
    app.restart()
    with connect(app, ca) as again:
        assert serial(again) == x509.load_pem_x509_certificate(text.encode()).serial_number
    connect(app).close()  # plain clients are served all the same


def test_a_server_that_knows_no_tls_begins_at_its_next_start(agent, authority, tmp_path, engine):
    if engine == "mysql":
        pytest.skip("MySQL makes certificates of its own at its first start")
    app = agent.app
    app.configuration.remove_override(configuration.SYSTEM_GROUP, "tls")
    app.restart()
    text = authority.issue("i-1", pki.after(1), (pki.SERVER,), ["10.1.2.3"])
    agent.install_certificate(None, sealing.seal(CONF.guest_key, text))
    app.restart()
    connect(app, tmp_path / "ca.pem").close()
