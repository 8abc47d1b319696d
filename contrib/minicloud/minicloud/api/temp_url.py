"""Swift's TempURL: a signature in the query string stands for a token. Pure; used by object_store.py.

As in Swift, the path that is signed begins at /v1, the key is metadata of the account or the container, a signature of
GET, PUT or POST is good for HEAD too, a signed request has no other query parameters (so that it makes no static large
object), and it can make neither a dynamic one nor a link nor a copy.
"""

import base64
import hashlib
import hmac
import re
import time

from werkzeug.datastructures import MultiDict

from minicloud.api.web import Fault

KEY_NAMES = ("meta-temp-url-key", "meta-temp-url-key-2")
METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE")
FORBIDDEN_HEADERS = ("X-Object-Manifest", "X-Symlink-Target", "X-Copy-From")
# The query parameters that are left of a signed request.
KEPT_PARAMETERS = ("temp_url_sig", "temp_url_expires", "temp_url_prefix", "filename")
# Length of a signature in hexadecimal, and name before one in base64; SHA-1 is not accepted any more.
_DIGESTS = {64: hashlib.sha256, 128: hashlib.sha512, "sha256": hashlib.sha256, "sha512": hashlib.sha512}


def keys(kind, headers):
    """The keys among the stored headers of an ``account`` or a ``container``."""
    return [headers[f"x-{kind}-{name}"] for name in KEY_NAMES if headers.get(f"x-{kind}-{name}")]


def is_signed(request):
    """Whether a request comes with a signature, right or wrong."""
    return "temp_url_sig" in request.args or "temp_url_expires" in request.args


def _parse(signature):
    """(function of the digest, signature in bytes); (None, b"") for what is no signature."""
    name, colon, encoded = signature.partition(":")
    try:
        if colon:
            return _DIGESTS.get(name), base64.b64decode(encoded.translate({45: 43, 95: 47}) + "==")
        return _DIGESTS.get(len(signature)), bytes.fromhex(signature)
    except ValueError:
        return None, b""


def check(request, path, name, keys):
    """Accept or refuse a signed request, and take away its other query parameters.

    :param path: the whole path of the object from /v1 on.
    :param name: the name of the object.
    :param keys: those with which it may be signed.
    :raises Fault: 401 for a signature that is wrong or too old, 400 for a header that is not allowed.
    """
    args = request.args
    digest, signature = _parse(args.get("temp_url_sig", ""))
    expires = args.get("temp_url_expires", "")
    if digest is None or not re.fullmatch("[0-9]+", expires) or int(expires) < time.time():
        raise Fault(401, "Temp URL invalid")
    signed = path
    if "temp_url_prefix" in args:
        if not name.startswith(args["temp_url_prefix"]):
            raise Fault(401, "Temp URL invalid")
        signed = "prefix:" + path[: len(path) - len(name)] + args["temp_url_prefix"]
    methods = ("HEAD", "GET", "PUT", "POST") if request.method == "HEAD" else (request.method,)
    fits = any(
        hmac.compare_digest(
            hmac.new(key.encode(), f"{method}\n{expires}\n{signed}".encode(), digest).digest(), signature
        )
        for key in keys
        for method in methods
    )
    if request.method not in METHODS or not fits:
        raise Fault(401, "Temp URL invalid")
    for header in FORBIDDEN_HEADERS:
        if header in request.headers:
            raise Fault(400, f"The header '{header}' is not allowed in this tempurl")
    request.args = MultiDict((name, args[name]) for name in KEPT_PARAMETERS if name in args)
