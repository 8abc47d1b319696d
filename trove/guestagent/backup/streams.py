"""What lies between a server's program and the object store: compression and encryption, both ways.

How a backup was made is read from its name and its first bytes; the options only say how new ones are made.
"""
import itertools
import os
import shutil
import subprocess
from dataclasses import dataclass, field

from trove.common import exception, memory
from trove.common.cfg import CONF
from trove.guestagent.backup import cipher
from trove.guestagent.backup.pipeline import Pipeline
from trove.guestagent.common import operating_system

# Extension -> program that compresses its input, and the one that reads it.
COMPRESSORS = {".zst": (["zstd", "-q", "-c"], ["zstd", "-q", "-d", "-c"]),
               ".gz": (["gzip", "-c"], ["gzip", "-d", "-c"])}
# Extension -> the word for it that the control plane knows.
COMPRESSIONS = {"": "none", ".zst": "zstd", ".gz": "gzip"}
# Of the blocks of ``outgoing``.
BLOCK = cipher.BLOCK
# The first bytes of what these programs write.
_COMPRESSED = {b"\x28\xb5\x2f\xfd": ".zst", b"\x1f\x8b": ".gz"}
# Of streams that this agent encrypts, and of those that openssl did.
SEALED, OPENSSL = ".gcm", ".enc"
# What the first clear bytes of an old stream can be: gzip, xbstream, SQL.
_BEGINNINGS = (b"\x1f\x8b", b"XBSTCK01", b"-- ")


def compressor():
    """The extension of the program with which new backups are compressed; "" for none."""
    if not CONF.backup_use_gzip_compression:
        return ""
    return ".zst" if CONF.backup_compressor == "zstd" and shutil.which("zstd") else ".gz"


def compressing(extension):
    """Return the command that compresses, with as many threads as the guest's memory allows."""
    command = COMPRESSORS[extension][0]
    if extension != ".zst":
        return command
    threads = min(memory.compressor_threads(operating_system.total_memory()), os.cpu_count() or 1)
    return [*command, f"-T{threads}" if threads else "--single-thread"]


def outgoing(blocks, key, name):
    """Return the bytes for the object store, as an iterator.

    blocks: of cipher.BLOCK bytes each but the last; key: hexadecimal, None for a stream that is not to be encrypted.
    """
    return cipher.encrypt(blocks, key, name) if key else blocks


@dataclass(frozen=True)
class Incoming:
    """A backup on its way back. blocks: iterator of bytes for the first program; commands, env: the programs that turn
    them into what the server's program once wrote.
    """

    blocks: object
    commands: tuple = ()
    env: dict | None = field(default=None, repr=False)

    def into(self, *programs):
        """Feed programs, connected by pipes, with it to its end. programs: their argument lists.

        Raises TroveError, and then what the programs made is worth nothing.
        """
        with Pipeline(*self.commands, *programs, env=self.env) as pipeline:
            pipeline.feed(self.blocks)


def incoming(blocks, location, key, name):
    """The Incoming of a backup.

    blocks: as they come from the object store; location: whose extensions say how it was made; key, name: as for
    ``outgoing``. Raises TroveError.
    """
    rest = location.rpartition("/")[2]
    commands, env = [], None
    if rest.endswith(SEALED):
        if not key:
            raise exception.TroveError(f"The backup {name} is encrypted, and its key is missing (option "
                                       "backup_encryption_key of the task manager).")
        blocks, rest = cipher.decrypt(blocks, key, name), rest.removesuffix(SEALED)
    elif rest.endswith(OPENSSL):
        reader, rest = cipher.Reader(blocks), rest.removesuffix(OPENSSL)
        head = reader.take(64)
        env = _openssl_environment(name)
        commands.append(_openssl(head, env, name))
        blocks = itertools.chain([head], reader.rest())
    suffix = next((suffix for suffix in COMPRESSORS if rest.endswith(suffix)), None)
    if suffix:
        commands.append(COMPRESSORS[suffix][1])
    return Incoming(blocks, tuple(commands), env)


def recognised(blocks, key, name):
    """The Incoming of a stream of ``outgoing`` whose name does not tell how it was compressed. Arguments: of
    ``incoming``; with a key only an encrypted stream is taken. Raises TroveError.
    """
    reader = cipher.Reader(cipher.decrypt(blocks, key, name) if key else blocks)
    head = reader.take(4)
    suffix = next((suffix for magic, suffix in _COMPRESSED.items() if head.startswith(magic)), None)
    return Incoming(itertools.chain([head], reader.rest()), (COMPRESSORS[suffix][1],) if suffix else ())


def _openssl_environment(name):
    if not CONF.backup_aes_cbc_key:
        raise exception.TroveError(f"The backup {name} was encrypted by openssl, and its pass phrase is missing "
                                   "(option backup_aes_cbc_key of the guest agent).")
    return {"TROVE_BACKUP_PASS": CONF.backup_aes_cbc_key}


def _openssl(head, env, name):
    """The command that decrypts an old stream: the digest for the pass phrase was openssl's default of its day.

    head: the first bytes of the stream.
    """
    for digest in ("sha256", "md5"):
        command = ["openssl", "enc", "-d", "-aes-256-cbc", "-md", digest, "-pass", "env:TROVE_BACKUP_PASS"]
        tried = subprocess.run([*command, "-nopad"], input=head[:len(head) // 16 * 16], capture_output=True,
                               env={**os.environ, **env}, timeout=CONF.host_command_timeout, check=False)
        if tried.returncode == 0 and tried.stdout.startswith(_BEGINNINGS):
            return command
    raise exception.TroveError(f"The backup {name} cannot be decrypted: it is damaged, or the pass phrase (option "
                               "backup_aes_cbc_key) is another.")
