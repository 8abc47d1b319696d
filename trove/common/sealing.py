"""Secrets for one guest inside a command: sealed by the task manager, opened by the agent.

The guest's key signs commands; the key that seals is made from it. Sealing protects the secrets from whoever sees the
bus or the broker's queues. It does not protect them from somebody who knows the key that is being replaced: against
that only TLS on the bus helps.
"""
import base64
import hashlib
import json


def _cipher(key):
    from cryptography import fernet  # takes time and memory, which an agent needs only for this
    return fernet.Fernet(base64.urlsafe_b64encode(hashlib.sha256(b"secrets sealed for " + key.encode()).digest()))


def seal(key, values):
    """Return ``values`` (JSON-able) encrypted and authenticated with the guest's key, as text."""
    return _cipher(key).encrypt(json.dumps(values).encode()).decode()


def unseal(key, sealed):
    """Return what was sealed with ``key``. Raises ValueError when it was another key, or for anything else."""
    from cryptography import fernet
    try:
        return json.loads(_cipher(key).decrypt(sealed.encode()))
    except (fernet.InvalidToken, AttributeError, ValueError):
        raise ValueError("what came cannot be opened with the key of this guest") from None
