"""Certificates of the deployment, and what a service says of files that it cannot use."""
import logging
import re
import ssl

import pytest
from cryptography import x509

from trove import rpc  # noqa: F401 - registers [oslo_messaging_rabbit]
from trove.common import pki, sealing, tls


@pytest.fixture
def ca(tmp_path):
    """A CA and its files."""
    certificate, key = pki.make_authority("CA of tests", 100)
    pki.write_new(tmp_path / "ca.pem", certificate, 0o644)
    pki.write_new(tmp_path / "ca.key", key, 0o600)
    return pki.Authority.load(tmp_path / "ca.pem", tmp_path / "ca.key")


def issue(ca, path, days=50, **more):
    text = ca.issue("someone", pki.after(days), **more)
    path.write_text(text)
    return x509.load_pem_x509_certificate(text.encode())


def extension(certificate, kind):
    return certificate.extensions.get_extension_for_class(kind)


def test_a_ca_is_one_and_its_key_is_for_its_owner_alone(ca, tmp_path):
    constraints, usage = (extension(ca.certificate, kind) for kind in (x509.BasicConstraints, x509.KeyUsage))
    assert (constraints.value.ca, constraints.value.path_length, constraints.critical) == (True, 0, True)
    assert (usage.value.key_cert_sign, usage.value.digital_signature, usage.critical) == (True, False, True)
    assert (tmp_path / "ca.key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        pki.write_new(tmp_path / "ca.key", "another", 0o600)


def test_what_it_signs_is_for_one_use(ca, tmp_path):
    client = issue(ca, tmp_path / "client.pem")
    server = issue(ca, tmp_path / "server.pem", usages=(pki.SERVER,), addresses=("10.1.2.3", "db.example"))
    assert list(extension(client, x509.ExtendedKeyUsage).value) == [pki.CLIENT]
    assert list(extension(server, x509.ExtendedKeyUsage).value) == [pki.SERVER]
    names = extension(server, x509.SubjectAlternativeName).value
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["10.1.2.3"]
    assert names.get_values_for_type(x509.DNSName) == ["db.example"]
    assert extension(client, x509.BasicConstraints).value.ca is False
    assert client.issuer == ca.certificate.subject


def test_nothing_outlives_its_ca(ca, tmp_path):
    made = issue(ca, tmp_path / "late.pem", days=5000)
    assert made.not_valid_after_utc == ca.certificate.not_valid_after_utc
    assert pki.expiry((tmp_path / "late.pem").read_text()) == ca.certificate.not_valid_after_utc.timestamp()


def handshake(directory, server_file, client_file):
    """Both sides of a connection; returns the errors (server's, client's)."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(directory / server_file)
    server.load_verify_locations(directory / "ca.pem")
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.create_default_context(cafile=directory / "ca.pem")
    client.load_cert_chain(directory / client_file)
    pipes = [ssl.MemoryBIO() for _ in range(4)]
    sides = [server.wrap_bio(pipes[0], pipes[1], server_side=True),
             client.wrap_bio(pipes[1], pipes[0], server_hostname="10.1.2.3")]
    errors = [None, None]
    for _ in range(8):
        for number, side in enumerate(sides):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError as error:
                errors[number] = errors[number] or error.reason
    return errors


def test_openssl_takes_them_and_each_only_for_its_use(ca, tmp_path):
    issue(ca, tmp_path / "server.pem", usages=(pki.SERVER,), addresses=("10.1.2.3",))
    issue(ca, tmp_path / "client.pem")
    assert handshake(tmp_path, "server.pem", "client.pem") == [None, None]
    assert handshake(tmp_path, "client.pem", "client.pem")[1] == "CERTIFICATE_VERIFY_FAILED"
    assert handshake(tmp_path, "server.pem", "server.pem")[0] == "CERTIFICATE_VERIFY_FAILED"


@pytest.mark.parametrize(("certificate", "key", "said"), [
    ("none.pem", "ca.key", "none.pem cannot be read .No such file"),
    ("ca.pem", "none.key", "none.key cannot be read .No such file"),
    ("ca.key", "ca.key", "ca.key holds no certificate in PEM form"),
    ("ca.pem", "ca.pem", "ca.pem holds no private key in PEM form"),
    ("client.pem", "client.pem", "client.pem is no certificate of a CA"),
    ("ca.pem", "client.pem", "client.pem is not the key of .*ca.pem")])
def test_a_ca_that_cannot_be_used_is_named(ca, tmp_path, certificate, key, said):
    issue(ca, tmp_path / "client.pem")
    with pytest.raises(ValueError, match=said):
        pki.Authority.load(tmp_path / certificate, tmp_path / key)


@pytest.fixture
def bus(conf, ca, tmp_path):
    """The options of a process whose files are all good."""
    issue(ca, tmp_path / "own.pem")
    for name, value in (("ssl", True), ("ssl_ca_file", tmp_path / "ca.pem"), ("ssl_cert_file", tmp_path / "own.pem"),
                        ("ssl_key_file", tmp_path / "own.pem")):
        conf.set_override(name, value if value is True else str(value), group="oslo_messaging_rabbit")
    conf.set_override("ca_file", str(tmp_path / "ca.pem"), group="tls")
    conf.set_override("ca_key_file", str(tmp_path / "ca.key"), group="tls")
    return conf


def test_good_files_are_no_problem(bus, caplog):
    assert tls.problems(signs=True) == []
    assert not caplog.records


def test_without_tls_nothing_is_asked_for(conf):
    assert tls.problems(signs=True) == []
    assert tls.authority() is None


@pytest.mark.parametrize(("group", "option", "value", "said"), [
    ("oslo_messaging_rabbit", "ssl_ca_file", "", "set .* ssl_ca_file: without it nothing verifies the broker"),
    ("oslo_messaging_rabbit", "ssl_ca_file", "/nowhere", "ssl_ca_file: /nowhere cannot be read"),
    ("oslo_messaging_rabbit", "ssl_key_file", "", "set both .*ssl_cert_file and ssl_key_file, or none"),
    ("oslo_messaging_rabbit", "ssl_key_file", "ca.key", "ssl_key_file: .*ca.key is not the key of .*own.pem"),
    ("oslo_messaging_rabbit", "ssl_cert_file", "old.pem", "ssl_cert_file: .*old.pem expired 3 days ago"),
    ("oslo_messaging_rabbit", "ssl_version", "TLSv1", "remove .*ssl_version"),
    ("oslo_messaging_rabbit", "ssl_enforce_hostname_verification", False, "remove .*ssl_enforce_hostname"),
    ("tls", "ca_key_file", "", "set both .tls. ca_file and .tls. ca_key_file, or none"),
    ("tls", "ca_key_file", "own.pem", "own.pem is not the key of .*ca.pem"),
    ("tls", "guest_certificate_renew_days", 90, "guest_certificate_renew_days to less than")])
def test_what_cannot_be_used_is_said(bus, ca, tmp_path, group, option, value, said):
    (tmp_path / "old.pem").write_text(ca.issue("old", pki.after(-3)))
    if isinstance(value, str) and value.endswith((".pem", ".key")):
        value = str(tmp_path / value)
    bus.set_override(option, value, group=group)
    found = tls.problems(signs=True)
    assert len(found) == 1
    assert re.search(said, found[0]), found


def test_a_key_of_the_ca_that_others_may_read_is_refused(bus, tmp_path):
    (tmp_path / "ca.key").chmod(0o644)
    assert "chmod 0600" in tls.problems(signs=True)[0]
    assert tls.problems() == []


def test_the_end_of_a_certificate_is_told_before(bus, caplog):
    bus.set_override("expiry_warning_days", 60, group="tls")
    with caplog.at_level(logging.WARNING):
        assert tls.problems() == []
    assert "own.pem expires in 50 days" in caplog.text


def test_the_management_api_is_verified_with_the_ca_of_the_bus(bus, conf, tmp_path):
    assert tls.management_verification() == str(tmp_path / "ca.pem")
    conf.set_override("management_ca_file", "/other.pem", group="guest_bus")
    assert tls.management_verification() == "/other.pem"
    conf.clear_override("management_ca_file", group="guest_bus")
    conf.set_override("ssl", False, group="oslo_messaging_rabbit")
    assert tls.management_verification() is True


def test_secrets_are_opened_with_the_key_that_sealed_them_only():
    sealed = sealing.seal("k1", [["name", "text"]])
    assert sealing.unseal("k1", sealed) == [["name", "text"]]
    assert "text" not in sealed
    for key, value in (("k2", sealed), ("k1", sealed[:-2]), ("k1", None), ("k1", "é")):
        with pytest.raises(ValueError, match="cannot be opened"):
            sealing.unseal(key, value)
