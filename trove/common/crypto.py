"""What is made from the deployment's key: encryption of secrets at rest, keys of guests. No primitives of our own.

Never imported by a guest, which has no deployment key.
"""
import base64
import hashlib
import hmac

from cryptography import fernet

from trove.common.cfg import CONF


def _cipher():
    # Fernet wants 32 bytes in base64; the option is free text of high entropy (checked at start), so a hash is enough.
    digest = hashlib.sha256(CONF.operation_key.encode()).digest()
    return fernet.Fernet(base64.urlsafe_b64encode(digest))


def encrypt(value):
    """The value (text or bytes) encrypted and authenticated with [DEFAULT] operation_key, as ASCII."""
    return _cipher().encrypt(value if isinstance(value, bytes) else value.encode()).decode()


def decrypt(token):
    """The clear text that was encrypted. Raises cryptography.fernet.InvalidToken for another key or a changed token."""
    return _cipher().decrypt(token.encode()).decode()


def guest_key(instance_id, generation=0):
    """Make the key with which a guest proves who it is: HMAC-SHA256 of its id with [DEFAULT] operation_key.

    generation: how often the guest's secrets were replaced. From the first time on it stands before the hexadecimal
    key, as in "1.0a0b...", and the proofs that are made with the key name it as well.
    """
    if not generation:
        return hmac.new(CONF.operation_key.encode(), f"guest:{instance_id}".encode(), hashlib.sha256).hexdigest()
    made = hmac.new(CONF.operation_key.encode(), f"guest:{instance_id}:{generation}".encode(), hashlib.sha256)
    return f"{generation}.{made.hexdigest()}"


def guest_password(instance_id, generation):
    """Make the broker password of a guest whose secrets were replaced: always the same for the same generation.

    So a rotation that is repeated cannot take from a guest the password that it was given before.
    """
    return hmac.new(CONF.operation_key.encode(), f"bus:{instance_id}:{generation}".encode(),
                    hashlib.sha256).hexdigest()


def replication_password(instance_id):
    """With what a replica logs in at its source: made of its id and [DEFAULT] operation_key, hexadecimal.

    HMAC-SHA256, of which 128 bits are used: MySQL takes no more than 32 characters for a replica's password.
    """
    made = hmac.new(CONF.operation_key.encode(), f"replication:{instance_id}".encode(), hashlib.sha256)
    return made.hexdigest()[:32]


def backup_key(backup_id):
    """The key of one backup: HMAC-SHA256 of its id with [DEFAULT] backup_encryption_key, hexadecimal.

    A guest is given the keys of the backups that it takes and restores, and can make no other from them.
    """
    return hmac.new(CONF.backup_encryption_key.encode(), f"backup:{backup_id}".encode(), hashlib.sha256).hexdigest()


def container_key(backup_id, use):
    """Return the key with which URLs to the objects of one backup are signed, hexadecimal.

    use: "read" or "write". Made from [DEFAULT] operation_key.
    """
    return hmac.new(CONF.operation_key.encode(), f"temporary URLs of backup {backup_id} to {use}".encode(),
                    hashlib.sha256).hexdigest()


def shared_container_key():
    """Return the key of the container in which backups of earlier releases lie together, hexadecimal."""
    return hmac.new(CONF.operation_key.encode(), b"temporary URLs of backups", hashlib.sha256).hexdigest()


def log_key(project_id):
    """The key with which URLs to the published logs of a tenant are signed: made from [DEFAULT] operation_key.

    The tenant can read it in its account; it opens nothing but the tenant's own container.
    """
    return hmac.new(CONF.operation_key.encode(), f"temporary URLs of logs:{project_id}".encode(),
                    hashlib.sha256).hexdigest()
