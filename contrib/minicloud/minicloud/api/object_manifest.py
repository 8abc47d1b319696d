"""The manifest of a static large object: from what a client PUTs to what is stored, after looking at every segment."""

import json

from minicloud.api.objects import large_etag
from minicloud.api.web import Fault

MAX_SEGMENTS = 1000


def parse_manifest(objects, account, body):
    """Check a manifest against the segments it names.

    :param body: JSON: [{"path": "container/object", "etag": MD5 or None, "size_bytes": n or None}]
    :returns: (the manifest as stored, the ETag of the large object in quotes)
    :raises Fault: 400 naming the segments that are missing or different
    """
    try:
        entries = json.loads(body)
    except ValueError as error:
        raise Fault(400, "Manifest must be valid JSON.") from error
    if (
        not isinstance(entries, list)
        or not 0 < len(entries) <= MAX_SEGMENTS
        or not all(isinstance(entry, dict) and isinstance(entry.get("path"), str) for entry in entries)
    ):
        raise Fault(400, f"Manifest must be a list of 1 to {MAX_SEGMENTS} objects, each with a path.")
    stored, etags, problems = [], [], []
    for entry in entries:
        container, _, name = entry["path"].lstrip("/").partition("/")
        segment = objects.find(account, container, name)
        if not segment:
            problems.append(f"{entry['path']}, 404 Not Found")
            continue
        size, etag = objects.facts(segment)
        etag = etag.strip('"')
        if entry.get("etag") not in (None, etag):
            problems.append(f"{entry['path']}, Etag Mismatch")
        if entry.get("size_bytes") not in (None, size):
            problems.append(f"{entry['path']}, Size Mismatch")
        etags.append(etag)
        stored.append(
            {
                "name": f"/{container}/{name}",
                "bytes": size,
                "hash": etag,
                "content_type": segment.content_type,
                "sub_slo": segment.is_static_manifest,
            }
        )
    if problems:
        raise Fault(400, "Errors: " + "; ".join(problems))
    return json.dumps(stored).encode(), large_etag(etags)
