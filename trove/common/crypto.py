"""Secrets at rest inside the infrastructure database, encrypted with the deployment's key. No primitives of our own."""
import base64
import hashlib

from cryptography import fernet

from trove.common.cfg import CONF


def _cipher():
    # Fernet wants 32 bytes in base64; the option is free text of high entropy (checked at start), so a hash is enough.
    digest = hashlib.sha256(CONF.operation_key.encode()).digest()
    return fernet.Fernet(base64.urlsafe_b64encode(digest))


def encrypt(text):
    """The text encrypted and authenticated with [DEFAULT] operation_key, as ASCII."""
    return _cipher().encrypt(text.encode()).decode()


def decrypt(token):
    """The clear text of ``encrypt``. Raises cryptography.fernet.InvalidToken for another key or a changed token."""
    return _cipher().decrypt(token.encode()).decode()
