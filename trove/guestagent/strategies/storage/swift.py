"""Backups in Swift, by signatures (TempURL) that the control plane made for the objects of one backup.

The guest has no account in the cloud. Segments are held in memory while they are sent, so that a request that failed
in passing is repeated for ``backup_request_patience`` seconds; one or two, as the guest's memory allows, are under way
while the next is filled. Checksums are compared on both ends.
"""
import concurrent.futures
import hashlib
import http.client
import mmap
import queue
import ssl
import time
from urllib import parse

from oslo_log import log as logging

from trove.common import exception, memory
from trove.common.cfg import CONF
from trove.common.context import TroveContext
from trove.guestagent.common import operating_system
from trove.guestagent.strategies.storage import base

LOG = logging.getLogger(__name__)

_BLOCK = 1024 * 1024
# Statuses below 500 of requests that may succeed later. Swift sends 422 for bytes that changed on their way, and 498
# for too many requests.
_PASSING = (408, 422, 429, 498, 499)
_NO_ROOM = (413, 507)


class StorageError(exception.TroveError):
    """The object store refused or lost something; names the object."""

    message = "The object %(name)s of the object store: %(reason)s"


class _Passing(Exception):
    """A request that may be repeated."""


class SwiftStorage(base.Storage):
    """Segments named <backup id>_<8 digits>; the control plane makes the manifest."""

    def save(self, backup, blocks):
        """See the base."""
        sums, size = [], 0
        count = memory.segments_in_memory(operating_system.total_memory())
        buffers = _Buffers(count, CONF.backup_segment_max_size)

        def send(number, data):
            try:
                return self._put(backup, number, data)
            finally:
                buffers.give_back(data)

        # What they log belongs to the request that began the backup.
        request = TroveContext.current()
        with concurrent.futures.ThreadPoolExecutor(count - 1, initializer=request.update_store) as senders:
            for number, data in enumerate(_segments(blocks, buffers)):
                for sent in sums:
                    if sent.done() and sent.exception():
                        raise sent.exception()
                size += len(data)
                sums.append(senders.submit(send, number, data))
            hashes = [sent.result() for sent in sums]
        whole = hashlib.md5("".join(hashes).encode(), usedforsecurity=False).hexdigest()
        return base.Saved(whole, size, len(hashes))

    def _put(self, backup, number, data):
        return put(backup["storage"], f"{backup['id']}_{number:08d}", data)

    def save_metadata(self, backup, metadata):
        """See the base."""
        name = f"{backup['id']}_00000000"
        headers = {f"X-Object-Meta-{key.replace('_', '-')}": str(value) for key, value in metadata.items()}

        def attempt():
            with _request(backup["storage"], "POST", name, b"", headers) as answer:
                _check(answer, backup["storage"], "POST", name, 202)
        _repeated(name, "written", attempt, CONF.backup_request_patience)

    def load(self, link):
        """See the base."""
        whole = hashlib.md5("".join(md5 for _, _, md5 in link["segments"]).encode(), usedforsecurity=False)
        if whole.hexdigest() != link["checksum"]:
            raise StorageError(name=link["id"], reason=f"its segments have the checksum {whole.hexdigest()}, the "
                                                       f"backup had {link['checksum']}.")
        for name, size, expected in link["segments"]:
            yield from self._get(link["storage"], name, size, expected)

    def _get(self, storage, name, size, expected):
        md5, position = hashlib.md5(usedforsecurity=False), 0
        patience = _Patience(name, "read", CONF.backup_request_patience)
        while position < size:
            try:
                headers = {"Range": f"bytes={position}-"} if position else {}
                with _request(storage, "GET", name, None, headers) as answer:
                    _check(answer, storage, "GET", name, 206 if position else 200)
                    while block := answer.read(_BLOCK):
                        md5.update(block)
                        position += len(block)
                        yield block
                        patience.renew()
            except (_Passing, OSError, http.client.HTTPException) as error:
                patience.wait(error)
                continue
            if position < size:
                raise StorageError(name=name, reason=f"it is damaged: it has {position} bytes, {size} were written.")
        if md5.hexdigest() != expected or position != size:
            raise StorageError(name=name, reason=f"it is damaged: its checksum is {md5.hexdigest()}, what was written "
                                                 f"had {expected}.")


def put(storage, name, data, headers=None, patience=None):
    """Write one object; returns the MD5 of ``data`` (bytes), which both ends have compared.

    storage: {"url": of the container, "PUT": query string with the signature}; patience: seconds for which a request
    that failed in passing is repeated, those of the option backup_request_patience by default. Raises StorageError.
    """
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()

    def attempt():
        with _request(storage, "PUT", name, data, {**(headers or {}), "ETag": md5}) as answer:
            _check(answer, storage, "PUT", name, 201)
            etag = answer.headers.get("ETag", "").strip('"').lower()
        if etag != md5:
            raise StorageError(name=name, reason=f"its checksum there is {etag}, what was sent has {md5}.")
    _repeated(name, "written", attempt, CONF.backup_request_patience if patience is None else patience)
    return md5


def put_stream(storage, name, make):
    """Write one object of any size, as it comes; one that is there is replaced when all of it has come.

    storage: as for ``put``; make: called to get an iterator of bytes-like parts, each valid until the next one is asked
    for. One attempt; raises StorageError, and what the iterator raises.
    """
    md5 = hashlib.md5(usedforsecurity=False)

    def parts():
        for part in make():
            md5.update(part)
            yield part
    try:
        with _request(storage, "PUT", name, parts(), {}) as answer:
            _check(answer, storage, "PUT", name, 201)
            etag = answer.headers.get("ETag", "").strip('"').lower()
    except (_Passing, OSError, http.client.HTTPException) as error:
        raise StorageError(name=name, reason=f"it could not be written: {error}.") from error
    if etag != md5.hexdigest():
        raise StorageError(name=name, reason=f"its checksum there is {etag}, what was sent has {md5.hexdigest()}.")


def get_stream(storage, name):
    """The content of one object as an iterator of bytes; it ends only if the object store says that this was all.

    storage: as for ``put``, with GET. A request that fails in passing is repeated as for backups. Raises StorageError.
    """
    md5, position, etag, size = hashlib.md5(usedforsecurity=False), 0, None, None
    patience = _Patience(name, "read", CONF.backup_request_patience)
    while size is None or position < size:
        try:
            headers = {"Range": f"bytes={position}-", "If-Match": etag} if position else {}
            with _request(storage, "GET", name, None, headers) as answer:
                _check(answer, storage, "GET", name, 206 if position else 200)
                if not position:
                    size, etag = int(answer.headers.get("Content-Length", 0)), answer.headers.get("ETag", "").strip('"')
                while block := answer.read(_BLOCK):
                    md5.update(block)
                    position += len(block)
                    yield block
                    patience.renew()
                if position < size:
                    raise _Passing(f"the answer ended after {position} of {size} bytes")
        except (_Passing, OSError, http.client.HTTPException) as error:
            patience.wait(error)
    if md5.hexdigest() != etag.lower():
        raise StorageError(name=name, reason=f"it is damaged: its checksum is {md5.hexdigest()}, what was written had "
                                             f"{etag}.")


class _Buffers:
    """At most ``count`` buffers of ``size`` bytes, used again and again. It gives their memory back."""

    def __init__(self, count, size):
        self.size = size
        self._left = count
        self._free = queue.SimpleQueue()

    def take(self):
        """Return a buffer (memoryview); wait until one is given back if all are in use."""
        if self._left and self._free.empty():
            self._left -= 1
            # Not of the heap, which would keep it; and a page of it counts only once it was written to.
            return memoryview(mmap.mmap(-1, self.size))
        return self._free.get()

    def give_back(self, data):
        """Let the buffer be used again of which ``data`` is a part."""
        self._free.put(memoryview(data.obj))


def _segments(blocks, buffers):
    """The bytes of ``blocks`` in pieces of the buffers' size; at least one piece, the last may be shorter.

    Each piece is a part of one of the ``buffers``, which the caller gives back.
    """
    held, filled, empty = None, 0, True
    for block in blocks:
        rest = memoryview(block)
        while rest:
            held = held or buffers.take()
            part = rest[:buffers.size - filled]
            held[filled:filled + len(part)] = part
            filled, rest = filled + len(part), rest[len(part):]
            if filled == buffers.size:
                yield held
                held, filled, empty = None, 0, False
    if filled or empty:
        yield (held or buffers.take())[:filled]


class _request:
    """Context manager: one request, whose answer is entered and whose connection is closed at the end."""

    def __init__(self, storage, method, name, body, headers):
        parts = parse.urlsplit(storage["url"])
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        more = {"context": ssl.create_default_context()} if parts.scheme == "https" else {}
        self.connection = kind(parts.netloc, timeout=CONF.backup_request_timeout, blocksize=_BLOCK, **more)
        self.arguments = (method, f"{parts.path}/{parse.quote(name)}?{storage[method]}", body, headers)

    def __enter__(self):
        try:
            self.connection.request(*self.arguments)
            return self.connection.getresponse()
        except BaseException:
            self.connection.close()
            raise

    def __exit__(self, kind, error, trace):
        self.connection.close()


def _check(answer, storage, method, name, expected):
    """Raise _Passing for an answer after which the request may be repeated, StorageError for any other but
    ``expected`` (status).
    """
    status = answer.status
    if status == expected:
        return
    if status in _NO_ROOM:
        raise StorageError(name=name, reason=f"there is no room for it (status {status}).")
    if status >= 500 or status in _PASSING:
        raise _Passing(f"status {status}")
    if status in (401, 403):
        end = _end(storage[method])
        if time.time() >= end:
            raise StorageError(name=name, reason=f"the time of the signature is over since {time.time() - end:.0f} s "
                                                 f"(status {status}).")
        # Swift cannot check a signature while the servers with the keys are away, and refuses it then.
        raise _Passing(f"the signature is not accepted, status {status}")
    if status == 404 and method == "PUT":
        raise _Passing("the container is not found, status 404")  # it was there when the signature was made
    raise StorageError(name=name, reason=f"{'it is missing' if status == 404 else 'the request was refused'} "
                                         f"(status {status}).")


def _end(signature):
    """Return when a signature (query string) ends, in seconds since the epoch."""
    return int(parse.parse_qs(signature)["temp_url_expires"][0])


class _Patience:
    """How long one request is repeated: ``seconds`` since it was begun or since the last ``renew``.

    done: what the request does to the object, for messages.
    """

    def __init__(self, name, done, seconds):
        self._name, self._done, self._seconds = name, done, seconds
        self.renew()

    def renew(self):
        """Begin again: the object store has answered."""
        self._end, self._tries = time.monotonic() + self._seconds, 0

    def wait(self, error):
        """Pause before the next attempt. Raises StorageError when the time is over."""
        if isinstance(error, ssl.SSLCertVerificationError):
            raise StorageError(name=self._name, reason=f"the certificate of the object store is not accepted: {error}.")
        left = self._end - time.monotonic()
        if left <= 0:
            raise StorageError(name=self._name, reason=f"it could not be {self._done} for {self._seconds} s (option "
                                                       f"backup_request_patience): {error}.") from error
        LOG.warning("%s cannot be %s now and is tried again: %s", self._name, self._done, error)
        self._tries = min(self._tries + 1, 6)
        time.sleep(min(0.2 * 2 ** self._tries, 10, left))


def _repeated(name, done, attempt, seconds):
    patience = _Patience(name, done, seconds)
    while True:
        try:
            return attempt()
        except (_Passing, OSError, http.client.HTTPException) as error:
            patience.wait(error)
