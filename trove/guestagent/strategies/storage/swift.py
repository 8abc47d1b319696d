"""Backups in Swift, by signatures (TempURL) that the control plane made for the objects of one backup.

The guest has no account in the cloud. Segments are held in memory while they are sent, so that a request that failed
in passing is repeated; two are under way while the next is filled. Sums are compared on both ends.
"""
import concurrent.futures
import hashlib
import http.client
import ssl
import threading
import time
from urllib import parse

from oslo_log import log as logging

from trove.common import exception
from trove.common.cfg import CONF
from trove.common.context import TroveContext
from trove.guestagent.strategies.storage import base

LOG = logging.getLogger(__name__)

_PARALLEL = 2
_BLOCK = 1024 * 1024


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
        slots = threading.BoundedSemaphore(_PARALLEL)

        def send(number, data):
            try:
                return self._put(backup, number, data)
            finally:
                slots.release()

        # What they log belongs to the request that began the backup.
        request = TroveContext.current()
        with concurrent.futures.ThreadPoolExecutor(_PARALLEL, initializer=request.update_store) as senders:
            for number, data in enumerate(_segments(blocks, CONF.backup_segment_max_size)):
                slots.acquire()
                for sent in sums:
                    if sent.done() and sent.exception():
                        slots.release()
                        raise sent.exception()
                size += len(data)
                sums.append(senders.submit(send, number, data))
                del data
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
                _check(answer, name, 202)
        _repeated(name, attempt)

    def load(self, link):
        """See the base."""
        whole = hashlib.md5("".join(md5 for _, _, md5 in link["segments"]).encode(), usedforsecurity=False)
        if whole.hexdigest() != link["checksum"]:
            raise StorageError(name=link["id"], reason=f"its segments have the checksum {whole.hexdigest()}, the "
                                                       f"backup had {link['checksum']}.")
        for name, size, expected in link["segments"]:
            yield from self._get(link["storage"], name, size, expected)

    def _get(self, storage, name, size, expected):
        md5, position, tries = hashlib.md5(usedforsecurity=False), 0, 0
        while position < size:
            try:
                headers = {"Range": f"bytes={position}-"} if position else {}
                with _request(storage, "GET", name, None, headers) as answer:
                    _check(answer, name, 206 if position else 200)
                    while block := answer.read(_BLOCK):
                        md5.update(block)
                        position += len(block)
                        yield block
            except (_Passing, OSError, http.client.HTTPException) as error:
                tries += 1
                if tries > CONF.backup_request_retries:
                    raise StorageError(name=name, reason=f"it cannot be read ({error}).") from error
                LOG.warning("Reading %s is taken up again at byte %d: %s", name, position, error)
                time.sleep(_pause(tries))
                continue
            if position < size:
                raise StorageError(name=name, reason=f"it is damaged: it has {position} bytes, {size} were written.")
        if md5.hexdigest() != expected or position != size:
            raise StorageError(name=name, reason=f"it is damaged: its checksum is {md5.hexdigest()}, what was written "
                                                 f"had {expected}.")


def put(storage, name, data, headers=None):
    """Write one object; returns the MD5 of ``data`` (bytes), which both ends have compared.

    storage: {"url": of the container, "PUT": query string with the signature}. Raises StorageError.
    """
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()

    def attempt():
        with _request(storage, "PUT", name, data, {**(headers or {}), "ETag": md5}) as answer:
            _check(answer, name, 201)
            etag = answer.headers.get("ETag", "").strip('"')
        if etag != md5:
            raise StorageError(name=name, reason=f"its checksum there is {etag}, what was sent has {md5}.")
    _repeated(name, attempt)
    return md5


def _segments(blocks, size):
    """The bytes of ``blocks`` in pieces of ``size`` bytes; at least one piece, the last may be shorter.

    Each is made in its full size and given away as it was filled: growing and copying would cost as much memory again.
    """
    held, filled, empty = memoryview(bytearray(size)), 0, True
    for block in blocks:
        rest = memoryview(block)
        while rest:
            part = rest[:size - filled]
            held[filled:filled + len(part)] = part
            filled, rest = filled + len(part), rest[len(part):]
            if filled == size:
                yield held
                held = None  # before the next is made
                held, filled, empty = memoryview(bytearray(size)), 0, False
    if filled or empty:
        yield held[:filled]


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


def _check(answer, name, expected):
    if answer.status == expected:
        return
    if answer.status >= 500 or answer.status in (408, 422, 429, 499):
        raise _Passing(f"status {answer.status}")
    reasons = {401: "the signature is not accepted, or its time is over", 404: "it is missing",
               413: "there is no room for it", 507: "there is no room for it"}
    raise StorageError(name=name, reason=f"{reasons.get(answer.status, 'the request was refused')} "
                                         f"(status {answer.status}).")


def _repeated(name, attempt):
    for number in range(1, CONF.backup_request_retries + 2):
        try:
            return attempt()
        except (_Passing, OSError, http.client.HTTPException) as error:
            if number > CONF.backup_request_retries:
                raise StorageError(name=name, reason=f"it cannot be written ({error}).") from error
            LOG.warning("%s is sent again: %s", name, error)
            time.sleep(_pause(number))
    return None


def _pause(number):
    return min(0.2 * 2 ** number, 10)
