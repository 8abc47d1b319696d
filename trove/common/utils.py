"""Small helpers without a better home: passwords, stable numbers."""
import hashlib
import secrets

from trove.common.cfg import CONF

# Letters and digits that cannot be taken for one another.
_CHARACTERS = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"


def generate_random_password():
    """A fresh password of ``default_password_length`` characters."""
    # passlib's generator does the same, but its import reads every installed distribution: half a second in a guest.
    return "".join(secrets.choice(_CHARACTERS) for _ in range(CONF.default_password_length))


def stable_server_id(instance_id):
    """A number in 1 .. 2**31-1 that is the same for an instance in every process."""
    number = int.from_bytes(hashlib.sha256(instance_id.encode()).digest()[:4], "big") & 0x7FFFFFFF
    return number or 1
