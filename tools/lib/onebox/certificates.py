"""The set-up's own CA and what it signs: for the broker, and for the services that log in there.

Made once; the task manager signs the certificates of guests with the same CA.
"""
from onebox.settings import write

_DAYS = 3650


def directory(settings):
    """Directory of the CA (ca.pem, ca.key) and of key and certificate of broker (broker.pem) and services."""
    return settings.state / "tls"


def ca_file(settings):
    """Path of the CA's certificate, with which clients verify the broker and the database servers."""
    return directory(settings) / "ca.pem"


def ca_key_file(settings):
    """Path of the CA's key."""
    return directory(settings) / "ca.key"


def broker_file(settings):
    """Path of the broker's key and certificate."""
    return directory(settings) / "broker.pem"


def services_file(settings):
    """Path of the services' key and certificate."""
    return directory(settings) / "services.pem"


def ensure(settings):
    """Make what is missing. A file is complete when it is there."""
    from trove.common import pki  # only what starts something needs it
    if not ca_file(settings).exists():
        certificate, key = pki.make_authority("Trove quick start CA", _DAYS)
        write(ca_key_file(settings), key, mode=0o600)
        write(ca_file(settings), certificate)
    authority = pki.Authority.load(ca_file(settings), ca_key_file(settings))
    for path, name, usages, addresses in (
            (broker_file(settings), "trove-broker", (pki.SERVER,), (settings.gateway,)),
            (services_file(settings), "trove-services", (pki.CLIENT,), ())):
        if not path.exists():
            write(path, authority.issue(name, pki.after(_DAYS), usages, addresses), mode=0o600)
