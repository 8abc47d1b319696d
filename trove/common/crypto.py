"""Encrypt secrets at rest and derive the keys of guests from the deployment's keys. No primitives of our own.

An option may have several keys: the first one encrypts, and all of them decrypt.
Never imported by a guest, which has no deployment key.
"""
import base64
import hashlib
import hmac

from cryptography import fernet

from trove.common import exception
from trove.common.cfg import CONF


def key_id(key):
    """Return the name of a key: 16 hexadecimal digits that tell it from others and do not tell the key."""
    return hashlib.sha256(f"key id:{key}".encode()).hexdigest()[:16]


def operation_key_ids():
    """Return the names of the keys in [DEFAULT] operation_key, in their order."""
    return [key_id(key) for key in CONF.operation_key]


def backup_key_ids():
    """Return the names of the keys in [DEFAULT] backup_encryption_key, in their order."""
    return [key_id(key) for key in CONF.backup_encryption_key or []]


def _made(key, text):
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


def _ciphers():
    # Fernet wants 32 bytes in base64; the option is free text of high entropy (checked at start), so a hash is enough.
    return [fernet.Fernet(base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest()))
            for key in CONF.operation_key]


def encrypt(value):
    """Encrypt and authenticate a value (text or bytes) with the first [DEFAULT] operation_key. Return ASCII text."""
    return _ciphers()[0].encrypt(value if isinstance(value, bytes) else value.encode()).decode()


def decrypt(token):
    """Return the clear text of a token that was encrypted with any [DEFAULT] operation_key.

    Raises cryptography.fernet.InvalidToken for another key or a changed token.
    """
    return fernet.MultiFernet(_ciphers()).decrypt(token.encode()).decode()


def reencrypt(token):
    """Encrypt the content of a token with the first [DEFAULT] operation_key. Return None if that key made the token.

    Raises cryptography.fernet.InvalidToken for a key that the option does not have, or a changed token.
    """
    ciphers = _ciphers()
    try:
        ciphers[0].decrypt(token.encode())
    except fernet.InvalidToken:
        return fernet.MultiFernet(ciphers).rotate(token.encode()).decode()
    return None


def guest_keys(instance_id, generation=0, made_from=None):
    """Return the keys with which the guest of an instance may prove who it is: [(name of the operation_key it is made
    from, key)], the one with which commands to it are signed first. No other function knows what such a key is made of.

    generation: how often the guest's secrets were replaced. From the first time on it stands before the hexadecimal
    key, as in "1.0a0b...", and the proofs that are made with the key name it as well. made_from: name of the
    operation_key (``key_id``) that the guest's key is made from, None when that was not kept: then it was the oldest,
    and all count. Each key is HMAC-SHA256 of id and generation with an operation_key.
    """
    text, before = f"guest:{instance_id}", ""
    if generation:
        text, before = f"{text}:{generation}", f"{generation}."
    found = [(key_id(key), before + _made(key, text)) for key in CONF.operation_key]
    own = [entry for entry in found if entry[0] == made_from]
    return own or found[::-1]


def guest_key(instance_id, generation=0, made_from=None):
    """Return the key with which commands to the guest of an instance are signed; see ``guest_keys``."""
    return guest_keys(instance_id, generation, made_from)[0][1]


def guest_password(instance_id, generation, made_from=None):
    """Make the broker password of a guest whose secrets were replaced: always the same for the same generation.

    So a rotation that is repeated cannot take from a guest the password that it was given before. made_from: name of
    the operation_key (``key_id``) that it is made from; None when that was not kept: then it was the oldest.
    """
    return _made(_operation_key(made_from), f"bus:{instance_id}:{generation}")


def _operation_key(name):
    return next((key for key in CONF.operation_key if key_id(key) == name), CONF.operation_key[-1])


def seals(text):
    """Return the codes that prove that a text is ours, the newest first: HMAC-SHA256 with each operation_key."""
    return [_made(key, text) for key in CONF.operation_key]


def replication_password(instance_id, length, made_from=None):
    """Return the password with which a replica logs in at its source, made of its id and an operation_key.

    length: hexadecimal digits, at most 64 (HMAC-SHA256); made_from: name of that key (``key_id``); None when it was not
    kept: then it was the oldest.
    """
    return _made(_operation_key(made_from), f"replication:{instance_id}")[:length]


def backup_key(backup_id, made_from=None):
    """The key of one backup: HMAC-SHA256 of its id with a [DEFAULT] backup_encryption_key, hexadecimal.

    made_from: name of that key (``key_id``); None when that was not kept: then it was the oldest. A guest is given the
    keys of the backups that it takes and restores, and can make no other from them. Raises TroveError when the option
    does not have that key.
    """
    keys = CONF.backup_encryption_key
    if not keys:
        raise exception.TroveError("Set the option backup_encryption_key: backups are to be encrypted.")
    key = next((key for key in keys if key_id(key) == made_from), keys[-1] if made_from is None else None)
    if key is None:
        raise exception.TroveError(f"The backup {backup_id} is encrypted with a key of the name {made_from}, which the "
                                   "option backup_encryption_key does not have (any more).")
    return _made(key, f"backup:{backup_id}")


def container_keys(backup_id, use):
    """Return the keys with which URLs to the objects of one backup are signed: one for each operation_key, in order.

    use: "read" or "write". The first key signs; an object store accepts two.
    """
    return seals(f"temporary URLs of backup {backup_id} to {use}")


def shared_container_keys():
    """Return the keys of the container in which backups of earlier releases lie together; see ``container_keys``."""
    return seals("temporary URLs of backups")


def log_keys(project_id):
    """The keys with which URLs to the published logs of a tenant are signed: one for each operation_key.

    The tenant can read them in its account; they open nothing but the tenant's own container.
    """
    return seals(f"temporary URLs of logs:{project_id}")


def container_headers(keys):
    """Return the headers that make a container accept URLs signed with the first two of ``keys``, and no others."""
    first, second, *_ = [*keys, "", ""]
    return {"X-Container-Meta-Temp-URL-Key": first, "X-Container-Meta-Temp-URL-Key-2": second}
