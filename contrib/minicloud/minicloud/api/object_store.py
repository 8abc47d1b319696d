"""Swift: accounts, containers and objects, with dynamic and static large objects. objects.py has the bytes."""

import time
import urllib.parse
import uuid
from email.utils import formatdate

from minicloud.api import swift_http, temp_url
from minicloud.api.object_manifest import parse_manifest
from minicloud.api.objects import LISTING_LIMIT, MAX_OBJECT_BYTES, Object, Objects
from minicloud.api.web import READ_METHODS, Fault, Response, Service, reply

INFO = {
    "swift": {
        "version": "2.38.3",
        "max_file_size": MAX_OBJECT_BYTES,
        "container_listing_limit": LISTING_LIMIT,
        "account_listing_limit": LISTING_LIMIT,
        "max_object_name_length": 1024,
        "max_container_name_length": 256,
        "max_meta_count": 90,
        "max_meta_name_length": 128,
        "max_meta_value_length": 256,
        "max_meta_overall_size": 4096,
        "policies": [{"name": "Policy-0", "default": True}],
    },
    "slo": {"max_manifest_segments": 1000, "max_manifest_size": 8388608, "min_segment_size": 1},
    "tempurl": {
        "methods": list(temp_url.METHODS),
        "incoming_remove_headers": ["x-timestamp"],
        "outgoing_remove_headers": ["x-object-meta-*"],
        "allowed_digests": ["sha256", "sha512"],
    },
    "bulk_delete": {"max_deletes_per_request": 10000, "max_failed_deletes": 1000},
}
_REASONS = {
    401: "This server could not verify that you are authorized to access the document you requested.",
    403: "Access was denied to this resource.",
    404: "The resource could not be found.",
}


class ObjectStore(Service):
    """PUT /object-store/v1/AUTH_<project>/<container>/<object> ..."""

    prefix = "/object-store"

    def __init__(self, cloud):
        super().__init__(cloud)
        self.objects = Objects(cloud.store, cloud.config.state_dir / "objects")
        self.objects.clean()
        self.objects.lists = cloud.weather.lists
        cloud.objects = self.objects
        # The table of contents: what follows the account decides, then the method.
        self._account = {
            "GET": self.list_containers,
            "HEAD": self.list_containers,
            "POST": self.post_account,
            "PUT": self.post_account,
            "DELETE": self.bulk_delete,
        }
        self._container = {
            "GET": self.list_objects,
            "HEAD": self.list_objects,
            "PUT": self.put_container,
            "POST": self.post_container,
            "DELETE": self.delete_container,
        }
        self._object = {
            "GET": self.get,
            "HEAD": self.get,
            "PUT": self.put,
            "POST": self.post,
            "DELETE": self.delete,
            "COPY": self.copy,
        }

    def dispatch(self, request, path):
        """Names may hold anything, so the path is split here and not by routing rules."""
        weather = self.cloud.weather
        if path == "/info":
            if "info" in weather.without:
                raise Fault(403, _REASONS[403])
            if "proxy" in weather.away:
                weather.check(request, None, None)
            return reply({name: value for name, value in INFO.items() if name not in weather.without})
        version, account, container, name = swift_http.split(request, path, self.prefix)
        if version != "v1" or not account:
            raise Fault(404, _REASONS[404])
        weather.check(request, container, name)
        table = self._object if name else self._container if container else self._account
        if request.method not in table:
            raise Fault(
                405, "The method is not allowed for this resource.", headers={"Allow": ", ".join(table)}
            )
        self._authorize(request, account, container, name)
        handler = table[request.method]
        parts = (account, container, name)[: 3 if name else 2 if container else 1]
        return handler(request, *parts)

    def _authorize(self, request, account, container, name):
        headers = (self.objects.container(account, container) or {}) if container else {}
        if name and temp_url.is_signed(request):
            known = (self.store.find("swift_account", account) or {"headers": {}})["headers"]
            keys = temp_url.keys("container", headers) + temp_url.keys("account", known)
            temp_url.check(request, f"/v1/{account}/{container}/{name}", name, keys)
            return
        reading = request.method in READ_METHODS
        access = headers.get("x-container-read" if reading else "x-container-write", "")
        rules = {rule.strip() for rule in access.split(",")}
        if request.method in ("GET", "HEAD") and ".r:*" in rules and (name or ".rlistings" in rules):
            return
        context = request.context = self.cloud.tokens.authenticate(request)
        own = account == f"AUTH_{context.project_id}"
        if context.is_admin or own and (reading or set(context.roles) - {"reader"}):
            return
        grants = {
            f"{context.project_id}:{context.user_id}",
            f"{context.project_id}:*",
            f"*:{context.user_id}",
            "*:*",
        }
        if not name and not reading or not grants & rules:
            raise Fault(403, _REASONS[403])

    def fault(self, fault):
        """Swift's short HTML; HEAD shows none of it."""
        html = f"<html><h1>{fault.title}</h1><p>{_REASONS.get(fault.code, fault.message)}</p></html>"
        headers = {"WWW-Authenticate": 'Swift realm="minicloud"'} if fault.code == 401 else fault.headers
        status = "499 Client Disconnect" if fault.code == 499 else fault.code
        return Response(html, status=status, headers=headers, content_type="text/html; charset=UTF-8")

    def finish(self, request, response):
        """Every answer names its transaction."""
        super().finish(request, response)
        response.headers["X-Trans-Id"] = f"tx{request.request_id[4:]}"

    # Account

    def _account_headers(self, account):
        stored = self.store.find("swift_account", account) or {"headers": {}}
        every = self.objects.containers(account, limit=-1)
        return {
            **swift_http.title(stored["headers"]),
            "X-Account-Container-Count": str(len(every)),
            "X-Account-Object-Count": str(sum(c[3] for c in every)),
            "X-Account-Bytes-Used": str(sum(c[4] for c in every)),
            "X-Timestamp": f"{time.time():.5f}",
            "Accept-Ranges": "bytes",
        }

    def list_containers(self, request, account):
        """The account's headers and, on GET, its containers."""
        args, headers = request.args, self._account_headers(account)
        if request.method == "HEAD":
            return Response(status=204, headers=headers)
        found = self.objects.containers(
            account,
            args.get("prefix", ""),
            args.get("marker", ""),
            args.get("end_marker"),
            swift_http.limit(request),
        )
        entries = [
            {"name": name, "count": count, "bytes": size, "last_modified": swift_http.iso(created)}
            for name, created, _, count, size in found
        ]
        return swift_http.listing(request, entries, headers)

    def post_account(self, request, account):
        """Set metadata, or delete many objects at once."""
        if "bulk-delete" in request.args:
            return self.bulk_delete(request, account)
        with self.store.transaction():
            stored = self.store.find("swift_account", account) or self.store.add(
                "swift_account", {"id": account, "headers": {}}
            )
            headers = {**stored["headers"], **swift_http.metadata(request, "account")}
            self.store.change("swift_account", account, headers={k: v for k, v in headers.items() if v})
        return reply(None, 204)

    def bulk_delete(self, request, account):
        """Delete the objects (and empty containers) that the body names, one per line."""
        if "bulk-delete" not in request.args or "bulk_delete" in self.cloud.weather.without:
            raise Fault(403, _REASONS[403])
        answer = {
            "Response Status": "200 OK",
            "Response Body": "",
            "Number Deleted": 0,
            "Number Not Found": 0,
            "Errors": [],
        }
        for line in request.text.decode("utf-8", "replace").splitlines():
            path = urllib.parse.unquote(line.strip())
            container, _, name = path.lstrip("/").partition("/")
            if not container:
                continue
            try:
                self.cloud.weather.check(request, container, name)
                if name:
                    found = self.objects.find(account, container, name)
                    gone = found is not None and self.objects.delete(found)
                else:
                    gone = self.objects.container(account, container) is not None
                    if gone:
                        self.objects.delete_container(account, container)
                answer["Number Deleted" if gone else "Number Not Found"] += 1
            except Fault as fault:
                answer["Errors"].append([path, f"{fault.code} {fault.title}"])
                answer["Response Status"] = "400 Bad Request"
        return reply(answer)

    # Containers

    def list_objects(self, request, account, container):
        """The container's headers and, on GET, its objects."""
        stored = self.objects.container(account, container)
        if stored is None:
            raise Fault(404, _REASONS[404])
        count, size = self.objects.usage(account, container)
        headers = {
            **swift_http.title(stored),
            "X-Container-Object-Count": str(count),
            "X-Container-Bytes-Used": str(size),
            "X-Storage-Policy": "Policy-0",
            "Accept-Ranges": "bytes",
            "Last-Modified": formatdate(float(stored["x-timestamp"]), usegmt=True),
        }
        if request.method == "HEAD":
            return Response(status=204, headers=headers)
        args = request.args
        prefix, delimiter = args.get("prefix", ""), args.get("delimiter", "")
        if "path" in args:
            prefix, delimiter = (args["path"].rstrip("/") + "/" if args["path"] else ""), "/"
        found = self.objects.list(
            account,
            container,
            prefix,
            args.get("marker", ""),
            args.get("end_marker"),
            request.flag("reverse"),
        )
        return swift_http.listing(
            request,
            swift_http.entries(found, prefix, delimiter, args.get("marker", ""), swift_http.limit(request)),
            headers,
        )

    def put_container(self, request, account, container):
        """201 new, 202 known."""
        if len(container.encode()) > 256:
            raise Fault(400, f"Container name length of {len(container.encode())} longer than 256")
        new = self.objects.put_container(account, container, swift_http.metadata(request, "container"))
        return reply(None, 201 if new else 202)

    def post_container(self, request, account, container):
        """Set metadata."""
        if self.objects.container(account, container) is None:
            raise Fault(404, _REASONS[404])
        self.objects.put_container(account, container, swift_http.metadata(request, "container"))
        return reply(None, 204)

    def delete_container(self, request, account, container):
        """204, 409 while it has objects."""
        self.objects.expire()
        self.objects.delete_container(account, container)
        return reply(None, 204)

    # Objects

    def _find(self, account, container, name):
        found = self.objects.find(account, container, name)
        if not found:
            raise Fault(404, _REASONS[404])
        return found

    def _object_headers(self, request):
        headers = swift_http.object_headers(request)
        if self.cloud.weather.strips:
            return {key: value for key, value in headers.items() if not key.startswith("x-object-meta-")}
        return headers

    def get(self, request, account, container, name):
        """GET and HEAD: whole, one range of it, or with ``multipart-manifest=get`` the manifest itself."""
        found = self._find(account, container, name)
        manifest = request.args.get("multipart-manifest") == "get"
        size, etag = (found.size, found.etag) if manifest else self.objects.facts(found)
        headers = {
            **swift_http.title(found.headers),
            "Content-Type": found.content_type,
            "ETag": etag,
            "Accept-Ranges": "bytes",
            "Last-Modified": formatdate(found.modified, usegmt=True),
            "X-Timestamp": f"{found.modified:.5f}",
        }
        if temp_url.is_signed(request):
            headers = {key: value for key, value in headers.items() if swift_http.is_shown(key)}
        if found.delete_at:
            headers["X-Delete-At"] = str(int(found.delete_at))
        if manifest and found.is_static_manifest:
            headers["Content-Type"] = "application/json; charset=utf-8"
        if not swift_http.matches(request.headers.get("If-Match"), etag, absent=True):
            raise Fault(412, "A precondition for this request was not met.")
        if swift_http.matches(request.headers.get("If-None-Match"), etag, absent=False):
            return Response(status=304, headers=headers)
        spans = swift_http.parse_ranges(request.headers.get("Range"), size)
        if len(spans) > 1:
            return self._several(found, spans, size, headers)
        span = spans[0] if spans else None
        first, last = span or (0, size - 1)
        if span:
            headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        if request.method == "HEAD":
            body = ()
        elif manifest:
            body = [self.objects.path(found).read_bytes()[first : last + 1]]
        else:
            body = self.objects.stream(found, first, last)
        response = Response(body, status=206 if span else 200, headers=headers, direct_passthrough=True)
        response.content_length = last - first + 1
        return response

    def _several(self, found, spans, size, headers):
        """206 with several ranges, each in a part of its own."""
        boundary = uuid.uuid4().hex
        parts = [
            f"--{boundary}\r\nContent-Type: {found.content_type}\r\n"
            f"Content-Range: bytes {first}-{last}/{size}\r\n\r\n".encode()
            + b"".join(self.objects.stream(found, first, last))
            + b"\r\n"
            for first, last in spans
        ]
        headers["Content-Type"] = f"multipart/byteranges;boundary={boundary}"
        return Response(b"".join([*parts, f"--{boundary}--".encode()]), status=206, headers=headers)

    def put(self, request, account, container, name):
        """201 with the ETag; 422 when the bytes are not those that the client announced."""
        if len(name.encode()) > 1024:
            raise Fault(400, f"Object name length of {len(name.encode())} longer than 1024")
        if self.objects.container(account, container) is None:
            raise Fault(404, _REASONS[404])
        if request.headers.get("If-None-Match") == "*" and self.objects.find(account, container, name):
            raise Fault(412, "A precondition for this request was not met.")
        if "X-Copy-From" in request.headers:
            source = swift_http.unquote_path(request.headers["X-Copy-From"])
            return self._copy(request, account, source, account, container, name)
        if request.content_length is None and not request.environ.get("wsgi.input_terminated"):
            raise Fault(411, "Missing Content-Length header.")
        if (request.content_length or 0) > MAX_OBJECT_BYTES:
            raise Fault(413, "The body of your request was too large for this server.")
        headers, delete_at = self._object_headers(request), swift_http.delete_at(request)
        if headers.get("x-object-manifest") and "/" not in headers["x-object-manifest"].strip("/"):
            raise Fault(400, "X-Object-Manifest must be in the format container/prefix")
        static = request.args.get("multipart-manifest") == "put"
        read, length = request.stream.read, request.content_length
        if static:
            manifest, etag = parse_manifest(self.objects, account, request.text)
            read, length = swift_http.once(manifest), None
            headers["x-static-large-object"] = "True"
        file, size, md5 = self.objects.write(read, length)
        announced = request.headers.get("ETag", "").strip('"')  # Swift compares letters as they are
        new = Object(
            account,
            container,
            name,
            file,
            size,
            md5,
            request.content_type or "application/octet-stream",
            time.time(),
            delete_at,
            headers,
        )
        if announced and announced != (etag.strip('"') if static else md5):
            self.objects.path(new).unlink()
            raise Fault(422, "Unable to process the contained instructions: the ETag does not fit the bytes.")
        self.objects.put(new)
        return reply(
            None,
            201,
            {
                "ETag": etag if static else md5,
                "Last-Modified": formatdate(new.modified, usegmt=True),
                "Content-Type": "text/html; charset=UTF-8",
            },
        )

    def post(self, request, account, container, name):
        """202: the metadata of the request take the place of all there were."""
        found = self._find(account, container, name)
        headers = self._object_headers(request)
        if found.is_static_manifest:
            headers["x-static-large-object"] = "True"
        kind = request.headers.get("Content-Type") or found.content_type
        self.objects.set_headers(found, headers, kind, swift_http.delete_at(request))
        return reply(None, 202)

    def delete(self, request, account, container, name):
        """204; with ``multipart-manifest=delete`` the segments of a static large object too."""
        found = self._find(account, container, name)
        if request.args.get("multipart-manifest") != "delete":
            self.objects.delete(found)
            return reply(None, 204)
        doomed = self.objects.segments(found, lenient=True) if found.is_static_manifest else []
        deleted = sum(self.objects.delete(one) for one in [*doomed, found])
        return reply(
            {
                "Response Status": "200 OK",
                "Response Body": "",
                "Number Deleted": deleted,
                "Number Not Found": 0,
                "Errors": [],
            }
        )

    def copy(self, request, account, container, name):
        """COPY to the header Destination: ``container/object``."""
        target, _, target_name = swift_http.unquote_path(request.headers.get("Destination", "")).partition(
            "/"
        )
        if not target_name:
            raise Fault(412, "Destination header must be of the form <container name>/<object name>")
        return self._copy(request, account, f"{container}/{name}", account, target, target_name)

    def _copy(self, request, source_account, source, account, container, name):
        source_container, _, source_name = source.partition("/")
        found = self._find(source_account, source_container, source_name)
        as_manifest = request.args.get("multipart-manifest") == "get"
        blocks = iter(
            [self.objects.path(found).read_bytes()]
            if as_manifest
            else self.objects.stream(found, 0, self.objects.facts(found)[0] - 1)
        )
        file, size, md5 = self.objects.write(lambda _: next(blocks, b""))
        fresh = request.headers.get("X-Fresh-Metadata", "").lower() in ("true", "1")
        kept = (
            {}
            if fresh
            else {
                k: v
                for k, v in found.headers.items()
                if as_manifest or k not in ("x-object-manifest", "x-static-large-object")
            }
        )
        kind = request.content_type or found.content_type
        new = Object(
            account,
            container,
            name,
            file,
            size,
            md5,
            kind,
            time.time(),
            swift_http.delete_at(request),
            {**kept, **self._object_headers(request)},
        )
        self.objects.put(new)
        return reply(
            None,
            201,
            {
                "ETag": md5,
                "Last-Modified": formatdate(new.modified, usegmt=True),
                "X-Copied-From": urllib.parse.quote(source),
            },
        )
