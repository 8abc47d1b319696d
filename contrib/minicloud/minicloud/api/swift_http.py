"""Swift's headers, ranges, paths and listings: from requests to values and back. Pure; used by object_store.py."""

import re
import time
import urllib.parse

from minicloud.api.objects import LISTING_LIMIT
from minicloud.api.web import Fault, Response, reply

KEPT = ("content-encoding", "content-disposition", "x-object-manifest")
_RANGE = re.compile(r"^(\d*)-(\d*)$")


def split(request, path, prefix):
    """(version, account, container, object) from the URL as it was sent: the server's PATH_INFO keeps %2F apart."""
    raw = request.environ.get("REQUEST_URI", "").partition("?")[0]
    if raw.startswith("http"):
        raw = urllib.parse.urlsplit(raw).path
    if raw.startswith(prefix):
        path = urllib.parse.unquote(raw[len(prefix) :])
    parts = path.lstrip("/").split("/", 3)
    return (*parts, *[""] * (4 - len(parts)))


def unquote_path(path):
    """``/container/object`` of a header, unquoted and without its slash."""
    return urllib.parse.unquote(path).lstrip("/")


def title(headers):
    """Stored headers as they are sent."""
    return {name.title(): value for name, value in headers.items()}


def metadata(request, kind):
    """The headers of a request that belong to an account or a container; empty values remove."""
    result = {}
    for name, value in request.headers.items():
        name = name.lower()
        if name.startswith(f"x-remove-{kind}-"):
            result[f"x-{name[len('x-remove-') :]}"] = ""
        elif name.startswith(f"x-{kind}-meta-") or name in (
            f"x-{kind}-read",
            f"x-{kind}-write",
            f"x-{kind}-sync-to",
        ):
            result[name] = value
    return result


def object_headers(request):
    """The headers of a request that are kept with an object. :raises Fault: 400 beyond Swift's limits"""
    result = {}
    for name, value in request.headers.items():
        name = name.lower()
        if name.startswith("x-object-meta-") and value:
            if len(name) - len("x-object-meta-") > 128 or len(value) > 256:
                raise Fault(
                    400, f"Metadata {name}: a name has at most 128 and a value at most 256 characters"
                )
            result[name] = value
        elif name in KEPT and value:
            result[name] = urllib.parse.unquote(value) if name == "x-object-manifest" else value
    metadata = {
        name[len("x-object-meta-") :]: value
        for name, value in result.items()
        if name.startswith("x-object-meta-")
    }
    if len(metadata) > 90:
        raise Fault(400, "Too many metadata items; max 90")
    if sum(len(name) + len(value) for name, value in metadata.items()) > 4096:
        raise Fault(400, "Total metadata too large; max 4096")
    return result


def is_shown(header):
    """Whether a header of an object is part of an answer to a signed request."""
    return not header.lower().startswith("x-object-meta-") or header.lower().startswith("x-object-meta-public-")


def delete_at(request):
    """When the object is to vanish, as epoch seconds, or None. :raises Fault: 400"""
    after, at = request.headers.get("X-Delete-After"), request.headers.get("X-Delete-At")
    if after is None and at is None:
        return None
    try:
        moment = time.time() + int(after) if after is not None else float(int(at))
    except ValueError as error:
        raise Fault(400, "Non-integer X-Delete-After or X-Delete-At") from error
    if moment < time.time():
        raise Fault(400, "X-Delete-At in past")
    return moment


def limit(request):
    """How many entries a listing may have. :raises Fault: 412 beyond Swift's limit"""
    limit = request.number("limit", LISTING_LIMIT)
    if limit > LISTING_LIMIT:
        raise Fault(412, f"Maximum limit is {LISTING_LIMIT}")
    return limit


def iso(seconds):
    """Epoch seconds as listings show them."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1e6):06}"


def entries(found, prefix, delimiter, marker, limit):
    """Objects as listing entries; what shares a prefix up to the delimiter is one ``subdir``."""
    result = []
    for one in found:
        if len(result) >= limit:
            break
        end = one.name.find(delimiter, len(prefix)) if delimiter else -1
        if end >= 0:
            subdir = one.name[: end + len(delimiter)]
            if subdir != marker and result[-1:] != [{"subdir": subdir}]:
                result.append({"subdir": subdir})
        else:
            result.append(
                {
                    "name": one.name,
                    "hash": one.etag,
                    "bytes": one.size,
                    "content_type": one.content_type,
                    "last_modified": iso(one.modified),
                }
            )
    return result


def listing(request, entries, headers):
    """A listing as JSON or as lines of text, as the client wants it."""
    if request.args.get("format") == "json" or "application/json" in request.headers.get("Accept", ""):
        return reply(entries, 200, headers)
    if not entries:
        return Response(status=204, headers=headers)
    lines = "".join(entry.get("name", entry.get("subdir")) + "\n" for entry in entries)
    return Response(lines, status=200, headers=headers, content_type="text/plain; charset=utf-8")


def matches(header, etag, absent):
    """Whether If-Match or If-None-Match names the ETag; ``absent`` when there is no such header."""
    if header is None:
        return absent
    return header.strip() == "*" or etag.strip('"') in [part.strip().strip('"') for part in header.split(",")]


def parse_ranges(header, size):
    """The [(first, last)] of a Range header that can be delivered, none for the whole.

    :raises Fault: 416 when there is not one of them
    """
    unit, _, listed = (header or "").partition("=")
    matches = [_RANGE.match(part.strip()) for part in listed.split(",")]
    if unit != "bytes" or not all(match and match[0] != "-" for match in matches):
        return []
    spans = [span for match in matches if (span := _span(*match.groups(), size))]
    if not spans:
        raise Fault(
            416, "The Range requested is not available.", headers={"Content-Range": f"bytes */{size}"}
        )
    return spans


def _span(first, last, size):
    if first:
        first, last = int(first), min(int(last), size - 1) if last else size - 1
    else:
        first, last = max(size - int(last), 0), size - 1 if int(last) else -1
    return (first, last) if first <= last else None


def once(data):
    """A read function that delivers these bytes and then none."""
    parts = iter([data])
    return lambda _: next(parts, b"")
