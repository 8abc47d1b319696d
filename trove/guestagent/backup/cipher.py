"""Authenticated encryption of a stream, in large blocks, and the reading of old streams that openssl made.

The construction is STREAM (Hoang, Reyhanitabar, Rogaway, Vizár) with AES-256-GCM: blocks are numbered in their nonces
and the last one is marked, so that a stream which was cut, reordered or changed in any bit is refused before a byte of
that block is used. Key and salt give the key of the stream; the backup's id is part of it, so that a stream cannot
take another's place. Primitives are those of ``cryptography``.

    stream = MAGIC, salt (16 bytes), block...     block = AES-GCM(plaintext of at most BLOCK bytes), tag
"""
import os

from cryptography import exceptions
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, aead, algorithms, modes
from cryptography.hazmat.primitives.kdf import hkdf

from trove.common import exception

MAGIC = b"TROVEGC1"
OPENSSL_MAGIC = b"Salted__"
SALT = 16
TAG = 16
BLOCK = 1024 * 1024


class BadStream(exception.TroveError):
    """The stream is not what was encrypted with this key."""


def _derived(key, salt, name):
    """The key of one stream."""
    return hkdf.HKDF(hashes.SHA256(), 32, salt, b"trove backup " + name.encode()).derive(bytes.fromhex(key))


def _nonce(number, last):
    return number.to_bytes(11, "big") + (b"\1" if last else b"\0")


def encrypt(blocks, key, name):
    """The encrypted stream, as an iterator of bytes-like parts, each valid until the next one is asked for.

    blocks: iterator of bytes-like blocks, each of BLOCK bytes but the last, valid until the one after the next is asked
    for; key: 32 bytes in hexadecimal; name: id of the backup.
    """
    blocks, salt = iter(blocks), os.urandom(SALT)
    algorithm = algorithms.AES(_derived(key, salt, name))
    sealed = memoryview(bytearray(BLOCK + TAG))

    def seal(number, block, last):
        encryptor = Cipher(algorithm, modes.GCM(_nonce(number, last))).encryptor()
        size = encryptor.update_into(block, sealed)
        encryptor.finalize()
        sealed[size:size + TAG] = encryptor.tag
        return sealed[:size + TAG]

    yield MAGIC + salt
    number, held = 0, next(blocks, b"")
    for block in blocks:
        yield seal(number, held, False)
        number, held = number + 1, block
    yield seal(number, held, True)


def decrypt(blocks, key, name):
    """The clear stream of ``encrypt``, as an iterator of bytes.

    blocks: iterator of bytes of any sizes. Raises BadStream before the first byte that is not to be trusted.
    """
    reader = Reader(blocks)
    header = reader.take(len(MAGIC) + SALT)
    if header[:len(MAGIC)] != MAGIC or len(header) != len(MAGIC) + SALT:
        raise BadStream(f"The backup {name} does not begin as an encrypted one.")
    cipher = aead.AESGCM(_derived(key, header[len(MAGIC):], name))
    number, block = 0, reader.take(BLOCK + TAG)
    while True:
        following = reader.take(BLOCK + TAG) if len(block) == BLOCK + TAG else b""
        try:
            yield cipher.decrypt(_nonce(number, not following), block, None)
        except (exceptions.InvalidTag, ValueError):
            where = "its first block" if number == 0 else f"block {number} of its stream"
            raise BadStream(f"The backup {name} cannot be decrypted: {where} is damaged, was encrypted with another "
                            "key, or the end of the stream is missing.") from None
        if not following:
            return
        number, block = number + 1, following


class Reader:
    """Takes exact amounts out of an iterator of bytes."""

    def __init__(self, blocks):
        self._blocks = iter(blocks)
        self._held = bytearray()

    def take(self, size):
        """The next ``size`` bytes; fewer at the end."""
        while len(self._held) < size:
            block = next(self._blocks, None)
            if block is None:
                break
            self._held += block
        taken = bytes(memoryview(self._held)[:size])
        del self._held[:size]
        return taken

    def rest(self):
        """What was not taken, as an iterator of bytes."""
        held = bytes(self._held)
        self._held.clear()
        if held:
            yield held
        yield from self._blocks
