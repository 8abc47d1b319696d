"""Certificates of the deployment: an own CA, what it signs, and what a file of certificates holds.

Elliptic keys on P-256; PEM texts. Never imported by a guest.
"""
import dataclasses
import datetime
import ipaddress
import os
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# Certificates count from a little before they are made: the clocks of a deployment differ.
_CLOCK_ALLOWANCE = datetime.timedelta(minutes=10)
CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH


def _now():
    return datetime.datetime.now(datetime.UTC)


def _pem_of_key(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption()).decode()


def _pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _name(common_name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(subject, issuer, public_key, until):
    since = min(_now(), until) - _CLOCK_ALLOWANCE
    return x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public_key).serial_number(
        x509.random_serial_number()).not_valid_before(since).not_valid_after(until).add_extension(
        x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)


def _key_usage(**allowed):
    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
             "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{name: allowed.get(name, False) for name in names})


def make_authority(common_name, days):
    """Make a CA: (certificate, key) as PEM texts.

    days: how long it is valid.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(common_name)
    certificate = _builder(name, name, key.public_key(), _now() + datetime.timedelta(days=days)).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True).add_extension(
        _key_usage(key_cert_sign=True, crl_sign=True), critical=True).sign(key, hashes.SHA256())
    return _pem(certificate), _pem_of_key(key)


@dataclasses.dataclass(frozen=True)
class Authority:
    """A CA that can sign."""

    certificate: x509.Certificate
    key: object = dataclasses.field(repr=False)

    @classmethod
    def load(cls, certificate_file, key_file):
        """Read the CA's files (PEM). Raises ValueError with a sentence that names the file which cannot be used."""
        certificate = read(certificate_file)[0]
        key = read_key(key_file)
        try:
            is_authority = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        except x509.ExtensionNotFound:
            is_authority = False
        if not is_authority:
            raise ValueError(f"{certificate_file} is no certificate of a CA")
        if not fits(certificate, key):
            raise ValueError(f"{key_file} is not the key of {certificate_file}")
        return cls(certificate, key)

    def issue(self, common_name, until, usages=(CLIENT,), addresses=()):
        """Make a key and sign its certificate; returns key, certificate and the CA's certificate as one PEM text.

        until: the end of its validity (aware datetime), never after the CA's own; usages: CLIENT, SERVER or both;
        addresses: host names and IP addresses that it is for.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(common_name), self.certificate.subject, key.public_key(),
                           min(until, self.certificate.not_valid_after_utc))
        for extension, critical in (
                (x509.BasicConstraints(ca=False, path_length=None), True),
                (_key_usage(digital_signature=True), True),
                (x509.ExtendedKeyUsage(list(usages)), False),
                (x509.AuthorityKeyIdentifier.from_issuer_public_key(self.certificate.public_key()), False)):
            builder = builder.add_extension(extension, critical=critical)
        if addresses:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_general_name(each) for each in addresses]), critical=False)
        return _pem_of_key(key) + _pem(builder.sign(self.key, hashes.SHA256())) + _pem(self.certificate)


def _general_name(address):
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address)


def read(path):
    """Read the certificates in a PEM file: a list of x509.Certificate, not empty.

    Raises ValueError with a sentence that names the file.
    """
    content = _content(path)
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError as error:
        raise ValueError(f"{path} holds no certificate in PEM form") from error


def read_key(path):
    """Read the private key in a PEM file. Raises ValueError with a sentence that names the file."""
    content = _content(path)
    try:
        return serialization.load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(f"{path} holds no private key in PEM form without a passphrase") from error


def fits(certificate, key):
    """Return whether a private key belongs to a certificate."""
    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return certificate.public_key().public_bytes(*form) == key.public_key().public_bytes(*form)


def expiry(text):
    """Return when the first certificate of a PEM text ends: seconds since the epoch."""
    return x509.load_pem_x509_certificates(text.encode())[0].not_valid_after_utc.timestamp()


def days_left(certificate):
    """Return the days until a certificate ends; negative after its end."""
    return (certificate.not_valid_after_utc - _now()) / datetime.timedelta(days=1)


def after(days):
    """Return the time in ``days`` days, as ``Authority.issue`` wants it."""
    return _now() + datetime.timedelta(days=days)


def write_new(path, text, mode):
    """Write a file that must not exist yet, with these permissions from its first moment. Raises FileExistsError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _content(path):
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror})") from error
