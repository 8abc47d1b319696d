"""Whether the files that TLS needs can be used: asked when a service starts, so that it refuses with a sentence then.

The bus has oslo.messaging's options in [oslo_messaging_rabbit], which ``trove.rpc`` registers.
"""
import stat
from pathlib import Path

from oslo_log import log as logging

from trove.common import pki
from trove.common.cfg import CONF

LOG = logging.getLogger(__name__)


def on_bus():
    """Return whether this process speaks TLS with the broker."""
    return CONF.oslo_messaging_rabbit.ssl


def management_verification():
    """Return how ``requests`` is to verify the management API: the path of a CA file, or True for the system's CAs."""
    return CONF.guest_bus.management_ca_file or (CONF.oslo_messaging_rabbit.ssl_ca_file if on_bus() else None) or True


def authority():
    """Return the CA that signs the certificates of guests (``pki.Authority``), or None when guests get none.

    Raises ValueError with a sentence about the file that cannot be used.
    """
    if not CONF.tls.ca_file:
        return None
    return pki.Authority.load(CONF.tls.ca_file, CONF.tls.ca_key_file)


def problems(signs=False):
    """Return sentences about options and files of TLS that cannot be used, and log warnings of what ends soon.

    signs: whether this process signs certificates, and so needs the key of the CA.
    """
    found = []
    if on_bus():
        found += _bus_problems()
    if (CONF.guest_bus.management_url or "").startswith("https:") and CONF.guest_bus.management_ca_file:
        found += _certificate_problems("[guest_bus] management_ca_file", CONF.guest_bus.management_ca_file)
    if signs:
        found += _authority_problems()
    return found


def _bus_problems():
    options, found = CONF.oslo_messaging_rabbit, []
    if not options.ssl_ca_file:
        found.append("set [oslo_messaging_rabbit] ssl_ca_file: without it nothing verifies the broker")
    else:
        found += _certificate_problems("[oslo_messaging_rabbit] ssl_ca_file", options.ssl_ca_file)
    if not options.ssl_enforce_hostname_verification:
        found.append("remove [oslo_messaging_rabbit] ssl_enforce_hostname_verification: without it any certificate of "
                     "the CA passes for the broker's")
    if options.ssl_version:
        found.append("remove [oslo_messaging_rabbit] ssl_version: TLS 1.2 and later are used")
    if bool(options.ssl_cert_file) != bool(options.ssl_key_file):
        found.append("set both [oslo_messaging_rabbit] ssl_cert_file and ssl_key_file, or none of them")
    elif options.ssl_cert_file:
        found += _certificate_problems("[oslo_messaging_rabbit] ssl_cert_file", options.ssl_cert_file,
                                       "[oslo_messaging_rabbit] ssl_key_file", options.ssl_key_file)
    return found


def _authority_problems():
    options = CONF.tls
    if bool(options.ca_file) != bool(options.ca_key_file):
        return ["set both [tls] ca_file and [tls] ca_key_file, or none of them"]
    if not options.ca_file:
        return []
    found = _certificate_problems("[tls] ca_file", options.ca_file)
    try:
        authority()
        if Path(options.ca_key_file).stat().st_mode & stat.S_IRWXO:
            found.append(f"[tls] ca_key_file: let only the task manager read {options.ca_key_file} (chmod 0600)")
    except ValueError as error:
        if not found:
            found.append(f"[tls] ca_file, ca_key_file: {error}")
    if options.guest_certificate_renew_days >= options.guest_certificate_days:
        found.append("set [tls] guest_certificate_renew_days to less than guest_certificate_days")
    return found


def _certificate_problems(option, path, key_option=None, key_path=None):
    try:
        certificates = pki.read(path)
    except ValueError as error:
        return [f"{option}: {error}"]
    left = pki.days_left(certificates[0]) if key_path else max(map(pki.days_left, certificates))
    if left <= 0:
        return [f"{option}: {path} expired {-left:.0f} days ago"]
    if left < CONF.tls.expiry_warning_days:
        LOG.warning("%s: %s expires in %.0f days", option, path, left)
    if not key_path:
        return []
    try:
        key = pki.read_key(key_path)
    except ValueError as error:
        return [f"{key_option}: {error}"]
    return [] if pki.fits(certificates[0], key) else [f"{key_option}: {key_path} is not the key of {path}"]
