"""Attacks on the object store by root in a guest, with the signatures that the control plane gave it for a backup."""
import base64
import hashlib
import json
import re
import time
from urllib.parse import urlsplit

from onebox import processes
from onebox.attack_list import register
from onebox.attack_stage import BACKUP_TIMEOUT, Broken, Weak

ATTACKS = []
attack = register(ATTACKS)
# How a backup may end that its guest lied about.
ENDED = ("FAILED", "COMPLETED")
JUNK = "what no backup holds"


def storage(stage):
    """Return the signatures for a running backup of the attacker's: {"url", method: query, "id"}.

    They are read off its command, which the agent never sees: so they are valid until ``finish``. Raises Weak when not
    even the backup's own segment can be written.
    """
    if "storage" not in stage.loot:
        message, answer = backup_command(stage, acknowledge=True)
        given = message.find(lambda value: "url" in value and "PUT" in value)
        given = stage.loot["storage"] = {**given, "id": answer.json()["backup"]["id"]}
        # A backup that nothing is heard of is asked for again.
        stage.send(stage.capture("update_backup", instance_id=stage.attacker.instance, backup_id=given["id"],
                                 state="BUILDING", size=0.1))
        own = stage.http("PUT", f"{given['url']}/{given['id']}_00000000?{given['PUT']}", body=JUNK)
        if own["status"] != 201:
            raise Weak(f"the backup's own segment cannot be written ({own['status']}): nothing else is proved")
    return stage.loot["storage"]


def finish(stage):
    """End the running backup of ``storage``, if there is one: report it as failed."""
    given = stage.loot.pop("storage", None)
    if given is not None:
        stage.send(stage.capture("update_backup", instance_id=stage.attacker.instance, backup_id=given["id"],
                                 state="FAILED"))
        stage.wait_backup(stage.attacker, given["id"], ENDED)


def take_backup(stage, **more):
    """Ask for a backup of the attacker's instance, which has one at a time; return the answer."""
    finish(stage)
    return stage.call("POST", "/backups", {"backup": {
        "instance": stage.attacker.instance, "name": "attackers", **more}})


def backup_command(stage, acknowledge):
    """Take the command for a new backup as ``Stage.take_commands`` does; return the Message and the answer.

    The backup before is ended first: while the intruder waits for the command it does nothing else.
    """
    finish(stage)
    return stage.take_commands(lambda: take_backup(stage), "backup_info", acknowledge)


def places(stage):
    """Return the paths of the neighbour's objects below the account."""
    return sorted(stage.objects(stage.things["backup"]))


def root(given):
    """Return the URL of the account that a grant is for."""
    return given["url"].rpartition("/")[0]


def tries(stage, given, method, urls, headers=None, body=JUNK, query=None):
    """Send requests, none of which may succeed, with each signature of a grant or with ``query``; return the codes."""
    signatures = [query] if query else [given[name] for name in ("GET", "PUT", "POST") if name in given]
    requests = [{"method": method, "url": f"{url}{'&' if '?' in url else '?'}{signature}", "headers": headers,
                 "body": body if method in ("PUT", "POST") else ""} for url in urls for signature in signatures]
    answers = stage.http_all(requests)
    for request, answer in zip(requests, answers, strict=True):
        if 200 <= answer["status"] < 300:
            raise Broken(f"{method} {urlsplit(request['url']).path} with a guest's signature -> {answer['status']} "
                         f"{answer['body'][:120]}")
    codes = {answer["status"] for answer in answers}
    return f"answers {sorted(codes)}"


@attack("store.neighbours-objects", "url", "401")
def neighbours_objects(stage):
    """Read, write, describe and delete the neighbour's objects with the signatures of the attacker's backup."""
    given = storage(stage)
    urls = [f"{root(given)}/{path}" for path in places(stage)]
    return "; ".join(f"{method} {tries(stage, given, method, urls)}"
                     for method in ("GET", "HEAD", "PUT", "POST", "DELETE", "COPY"))


@attack("store.another-prefix", "url", "401", long=True)
def another_prefix(stage):
    """Name the neighbour's backup in the signed prefix, an empty one, and a shorter one."""
    given, victim = storage(stage), stage.things["backup"]
    urls = [f"{root(given)}/{path}" for path in places(stage)]
    prefix = re.compile(r"temp_url_prefix=[^&]*")
    return "; ".join(tries(stage, given, method, urls, query=prefix.sub(f"temp_url_prefix={text}", given["PUT"]))
                     for text in (victim, "", victim[:1]) for method in ("GET", "PUT"))


@attack("store.dot-segments", "url", "401, or an object with that literal name")
def dot_segments(stage):
    """Write beyond the own names with dot segments and encoded slashes in the path."""
    given, victim = storage(stage), places(stage)[0]
    own, container = given["id"], given["url"].rpartition("/")[2]
    urls = [f"{given['url']}/{own}{middle}{victim}" for middle in (
        "/../../", "%2F..%2F..%2F", "/%2e%2e/%2e%2e/", "_/../../", "/./../../", "//../../../")]
    urls += [f"{given['url']}/{own}/../../{container}/{own}_x", f"{given['url']}/../{victim}"]
    codes = sorted({stage.http("PUT", f"{url}?{given['PUT']}", body=JUNK)["status"] for url in urls})
    return f"answers {codes}"


@attack("store.listing", "url", "401")
def listing(stage):
    """List the container and the account, and read the container's keys."""
    given = storage(stage)
    urls = [given["url"], f"{given['url']}/", root(given),
            f"{given['url']}?format=json&prefix={stage.things['backup']}"]
    return "; ".join(tries(stage, given, method, urls) for method in ("GET", "HEAD"))


@attack("store.dynamic-manifest", "url", "400 or 401")
def dynamic_manifest(stage):
    """Make an own object that shows the neighbour's segments (dynamic large object, symbolic link)."""
    given, victim = storage(stage), places(stage)[0]
    urls = [f"{given['url']}/{given['id']}_99999990"]
    return "; ".join(tries(stage, given, "PUT", urls, {name: victim}, "") for name in (
        "X-Object-Manifest", "X-Symlink-Target"))


@attack("store.static-manifest", "url", "refused, or it shows nothing of the neighbour's")
def static_manifest(stage):
    """Make a static large object of the neighbour's segments, and read it and what it says of their sizes."""
    given = storage(stage)
    name = f"{given['url']}/{given['id']}_99999991"
    body = json.dumps([{"path": f"/{path}"} for path in places(stage) if "_0000" in path])
    put = stage.http("PUT", f"{name}?multipart-manifest=put&{given['PUT']}", body=body)
    if not 200 <= put["status"] < 300:
        return f"answer {put['status']}"
    sizes = {str(size) for size, _ in stage.objects(stage.things["backup"]).values() if size > 100}
    for method in ("GET", "HEAD"):
        for query in (given["PUT"], given.get("GET", given["PUT"])):
            answer = stage.http(method, f"{name}?{query}")
            if answer["status"] == 200 and answer["headers"].get("Content-Length") in sizes:
                raise Weak(f"a static manifest shows the size of the neighbour's segment ({method} -> 200)")
    return f"PUT -> {put['status']}, nothing of it can be read"


@attack("store.copy", "url", "401 or 404")
def copy(stage):
    """Copy the neighbour's object into an own one, and an own one over the neighbour's."""
    given, victim = storage(stage), places(stage)[0]
    own = f"{given['url']}/{given['id']}_99999992"
    container = given["url"].rpartition("/")[2]
    put = stage.http("PUT", f"{own}?{given['PUT']}", {"X-Copy-From": f"/{victim}"})
    if any(name.endswith("_99999992") and size for name, (size, _) in stage.objects(given["id"]).items()):
        raise Broken(f"PUT with X-Copy-From the neighbour's object -> {put['status']}: the own object has its bytes")
    segment = f"{given['url']}/{given['id']}_00000000"
    destination = {"Destination": f"{container}/{given['id']}_99999993"}
    return f"PUT -> {put['status']}, nothing was copied; COPY {tries(stage, given, 'COPY', [segment], destination)}"


@attack("store.wrong-signatures", "url", "401")
def wrong_signatures(stage):
    """Use a signature after its time, with a later time written in, with another method, cut, and none at all."""
    given = storage(stage)
    urls = [f"{given['url']}/{given['id']}_99999994"]
    expires = re.compile(r"temp_url_expires=(\d+)")
    changed = [expires.sub(f"temp_url_expires={int(time.time()) + shift}", given["PUT"]) for shift in (-10, 10**7)]
    changed += [re.sub(r"temp_url_sig=[^&]*", f"temp_url_sig={text}", given["PUT"]) for text in ("", "0" * 64, "x")]
    found = [tries(stage, given, "PUT", urls, query=query) for query in (*changed, "a=b")]
    return f"{found[0]}; DELETE {tries(stage, given, 'DELETE', urls)}"


@attack("store.own-backup-after-completion", "url", "401, or found when it is restored", long=True)
def own_backup_after_completion(stage):
    """Replace a segment of the own backup after it was completed: it must not be restored as if nothing had been."""
    message, answer = backup_command(stage, acknowledge=False)
    given = {**message.find(lambda value: "url" in value and "PUT" in value), "id": answer.json()["backup"]["id"]}
    if stage.wait_backup(stage.attacker, given["id"], ENDED)["status"] != "COMPLETED":
        raise Weak("an ordinary backup was not completed")
    codes = {name: stage.http("PUT", f"{given['url']}/{given['id']}_0000000{name}?{given['PUT']}", body=JUNK)["status"]
             for name in (0, 9)}
    if codes[0] >= 300:
        return f"answers {codes}"
    answer = stage.call("POST", "/instances", {"instance": {
        "name": "attacker-restored", "flavorRef": smallest(stage), "volume": {"size": 1},
        "restorePoint": {"backupRef": given["id"]}}})
    if answer.status_code >= 400:
        return f"answers {codes}; the restore: {answer.status_code}"
    made = answer.json()["instance"]["id"]
    ended = processes.wait(lambda: stage.call("GET", f"/instances/{made}").json()["instance"]["status"] in (
        "ACTIVE", "ERROR", "FAILED"), 120, 0.5)
    status = stage.call("GET", f"/instances/{made}").json()["instance"]["status"]
    stage.call("DELETE", f"/instances/{made}")
    processes.wait(lambda: stage.call("GET", f"/instances/{made}").status_code == 404, 60, 0.5)
    if not ended or status == "ACTIVE":
        raise Broken("a backup whose segment was replaced afterwards was restored")
    return f"answers {codes}; its restore ended in {status}"


def smallest(stage):
    """Return the id of the flavor with the least memory."""
    return str(min(stage.call("GET", "/flavors").json()["flavors"], key=lambda flavor: flavor["ram"])["id"])


def lie(stage, segments, extra_headers=None, **report):
    """Take a backup whose command the agent never sees; the intruder uploads and reports in its place.

    segments: {name after the id: text}; report: fields of update_backup beside state and checksum. Returns the view of
    the backup at its end and how it was answered.
    """
    message, answer = backup_command(stage, acknowledge=True)
    given = message.find(lambda value: "url" in value and "PUT" in value)
    backup_id = answer.json()["backup"]["id"]
    codes = []
    for end, text in segments.items():
        url = f"{given['url']}/{backup_id}{end}"
        codes.append(stage.http("PUT", f"{url}?{given['PUT']}", body=text)["status"])
        if extra_headers and "POST" in given:
            codes.append(stage.http("POST", f"{url}?{given['POST']}", extra_headers)["status"])
    sums = [hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() for text in segments.values()]
    checksum = hashlib.md5("".join(sums).encode(), usedforsecurity=False).hexdigest()
    fields = {"size": 0.1, "backup_type": "MariaBackup", "checksum": checksum, "segments": len(segments),
              "uploaded": sum(len(text.encode()) for text in segments.values()), **report}
    for state in ("BUILDING", "COMPLETED"):
        stage.send(stage.capture("update_backup", instance_id=stage.attacker.instance, backup_id=backup_id,
                                 state=state, **fields))
    time.sleep(2)
    view = processes.wait(lambda: ended(stage, backup_id), BACKUP_TIMEOUT, 0.5)
    if view is None:
        stage.send(stage.capture("update_backup", instance_id=stage.attacker.instance, backup_id=backup_id,
                                 state="FAILED"))
        view = processes.wait(lambda: ended(stage, backup_id), 60, 0.5) or stage.call(
            "GET", f"/backups/{backup_id}").json()["backup"]
    return given, view, f"uploads {codes}, the backup ended as {view['status']}"


def ended(stage, backup_id):
    """Return the view of a backup of the attacker's that has ended, else None."""
    view = stage.call("GET", f"/backups/{backup_id}").json()["backup"]
    return view if view["status"] in ENDED else None


def outside(stage, backup_id, before):
    """Return the objects that a backup made outside of its own names."""
    added = set(stage.objects()) - set(before)
    return [path for path in added if not re.fullmatch(
        rf"[a-z_]+(_{backup_id})?/{backup_id}([_.][A-Za-z0-9_.]*)?", path)]


@attack("store.lie-about-the-checksum", "url", "FAILED", ("backup.mismatch",))
def lie_about_the_checksum(stage):
    """Report another checksum than that of what was uploaded."""
    _, view, evidence = lie(stage, {"_00000000": JUNK}, checksum="0" * 32)
    if view["status"] == "COMPLETED":
        raise Broken("a backup with a wrong checksum was completed")
    return evidence


@attack("store.lie-about-the-segments", "url", "FAILED", ("backup.mismatch",), long=True)
def lie_about_the_segments(stage):
    """Leave out a segment in the middle, so that the parts do not fit together."""
    _, view, evidence = lie(stage, {"_00000000": JUNK, "_00000002": "more"})
    if view["status"] == "COMPLETED":
        raise Broken("a backup with a missing segment was completed")
    return evidence


@attack("store.extension", "url", "FAILED or made harmless")
def extension(stage):
    """Give the first segment an extension of dot segments, of which the name of the manifest was once made."""
    before = stage.objects()
    victim = stage.things["backup"]
    headers = {"X-Object-Meta-extension": f"/../{victim}_00000000", "X-Object-Meta-Compression": "zstd",
               "X-Object-Meta-parent-location": stage.things["location"], "X-Object-Meta-segments": "-1"}
    given, view, evidence = lie(stage, {"_00000000": JUNK}, headers)
    names = outside(stage, view["id"], before)
    if names:
        raise Broken(f"objects were made outside of the backup's own names: {names}")
    return evidence


@attack("store.location", "url", "the reported location is not used", long=True)
def location(stage):
    """Report the neighbour's manifest, another server and dot segments as location; then delete the backup, with
    which the neighbour's objects must not go.
    """
    found = []
    for text in (stage.things["location"], f"{stage.things['account']}/x/../../{places(stage)[0]}")[:1 if stage.short
                                                                                                   else 2]:
        _, view, evidence = lie(stage, {"_00000000": JUNK}, location=text)
        if view.get("locationRef") == stage.things["location"]:
            raise Broken("the neighbour's location is shown as the attacker's")
        stage.call("DELETE", f"/backups/{view['id']}")
        processes.wait(lambda view=view: stage.call("GET", f"/backups/{view['id']}").status_code == 404, 60, 0.25)
        found.append(evidence)
    return "; ".join(found)


@attack("store.odd-names", "url", "FAILED, and deleted with nothing else")
def odd_names(stage):
    """Upload objects with dot segments, line ends and query marks in their names; then delete the backup."""
    victim = places(stage)[0].partition("/")[2]
    names = {"_00000000": JUNK, "_/../../x": "a", f"_/../{victim}": "a", "_%0Aline": "a", "_%3Fa=b": "a", "_%23": "a",
             "_%252e%252e": "a", "_%5C..%5C": "a", "_" + "x" * 400: "a"}
    _, view, evidence = lie(stage, names)
    stage.call("DELETE", f"/backups/{view['id']}")
    gone = processes.wait(lambda: stage.call("GET", f"/backups/{view['id']}").status_code == 404, 60, 0.5)
    if not gone:
        raise Broken(f"the backup with odd names cannot be deleted; {evidence}")
    left = [path for path in stage.objects() if view["id"] in path]
    if left:
        raise Weak(f"objects stayed after the deletion: {[path[:80] for path in left]}")
    return evidence


@attack("store.after-deletion", "url", "404 or 401, nothing stays")
def after_deletion(stage):
    """Upload with the signature of a backup that was deleted."""
    given, view, evidence = lie(stage, {"_00000000": JUNK})
    stage.call("DELETE", f"/backups/{view['id']}")
    processes.wait(lambda: stage.call("GET", f"/backups/{view['id']}").status_code == 404, 60, 0.25)
    codes = sorted({stage.http("PUT", f"{given['url']}/{view['id']}{end}?{given['PUT']}", body=JUNK)["status"]
                    for end in ("_00000000", "_00000001", "")})
    left = processes.wait(lambda: not [path for path in stage.objects() if view["id"] in path], 10, 0.5) is None
    if left:
        raise Broken(f"uploads after the deletion stay: answers {codes}")
    return f"{evidence}; answers {codes} after the deletion"


@attack("store.log-signature", "url", "401")
def log_signature(stage):
    """Use the signature for publishing a log outside of that log's names, and for reading."""
    finish(stage)
    message, _ = stage.take_commands(
        lambda: stage.call("POST", f"/instances/{stage.attacker.instance}/log", {"name": "guest", "publish": 1}),
        "guest_log_action", acknowledge=False)
    given = message.find(lambda value: "url" in value and "PUT" in value and "prefix" in value)
    urls = [f"{given['url']}/{path}" for path in (f"{stage.victim.instance}/mysql-guest/x", "other", "x/y")]
    urls += [f"{root(given).replace(stage.attacker.project, stage.victim.project)}/database_logs/{given['prefix']}x"]
    codes = "; ".join(tries(stage, given, method, urls) for method in ("PUT", "GET", "DELETE"))
    return f"{codes}; {tries(stage, given, 'GET', [given['url'] + '/' + given['prefix'] + 'x'])}"


@attack("store.parent-of-the-neighbour", "url", "refused by the API")
def parent_of_the_neighbour(stage):
    """Take an increment on the neighbour's backup."""
    answer = take_backup(stage, parent_id=stage.things["backup"])
    if answer.status_code < 400:
        raise Broken(f"an increment on the neighbour's backup is taken: {answer.text[:200]}")
    return f"{answer.status_code}"


@attack("store.key-of-the-neighbour", "url", "not in the command", long=True)
def key_of_the_neighbour(stage):
    """Look in the command for a backup for keys and places of the neighbour."""
    message, answer = backup_command(stage, acknowledge=False)
    text = base64.b64decode(message.raw["body"]).decode()
    stage.wait_backup(stage.attacker, answer.json()["backup"]["id"], ENDED)
    for word in (stage.victim.instance, stage.victim.project, stage.things["backup"]):
        if word in text:
            raise Broken(f"the command names {word}")
    return "it names nothing of the neighbour"
