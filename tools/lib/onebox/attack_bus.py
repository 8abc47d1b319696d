"""Attacks over the message bus, by root in a guest with the account and the key of that guest."""
import json
import time

from onebox import processes
from onebox.attack_list import register
from onebox.attack_stage import Broken, Weak

ATTACKS, FLOODS = [], []
attack, flood = register(ATTACKS), register(FLOODS)
FORGED = ("message.forged",)
MALFORMED = ("message.malformed",)
ANSWERS = ("message.reply_refused", "message.malformed")
# A line that begins like one of a service's own.
LINE = "2026-01-01 00:00:00.000 1 ERROR trove.conductor.manager [-] made up by a guest"
DAY = 86400


def conductor_works(stage):
    """Raise Broken unless the conductor still records a genuine report of the attacker's guest."""
    before = stage.instance(stage.attacker)["service_status_updated"]
    time.sleep(1.1)  # times are shown in seconds
    stage.send(stage.capture("heartbeat", instance_id=stage.attacker.instance, payload={}))
    if not processes.wait(lambda: stage.instance(stage.attacker)["service_status_updated"] != before, 30, 0.25):
        raise Broken("the conductor recorded no genuine report for 30 s afterwards")
    return "a genuine report afterwards was recorded"


def conductor_message(stage, **altered):
    """Return a genuine sign of life of the attacker's guest, altered."""
    return stage.capture("heartbeat", instance_id=stage.attacker.instance, payload={}).altered(**altered)


def no_line(stage, mark, text=LINE):
    """Raise Broken if a line of a log begins with a text that came from outside."""
    forged = [line for line in stage.lines(mark) if line.startswith(text[:40])]
    if forged:
        raise Broken(f"a log has the line {forged[0][:200]!r}")


# ---------------------------------------------------------------------- reports

@attack("report.state-of-neighbour", "bus", "dropped: the proof is the attacker's", FORGED)
def state_of_neighbour(stage):
    """Report the neighbour's database as crashed, signed with the attacker's own key."""
    return stage.send(stage.capture("heartbeat", instance_id=stage.victim.instance,
                                    payload={"service_status": "crashed"}))


@attack("report.failure-of-neighbour", "bus", "dropped: the proof is the attacker's", FORGED, long=True)
def failure_of_neighbour(stage):
    """Report that the neighbour's creation failed, with a cause for its user."""
    return stage.send(stage.capture("heartbeat", instance_id=stage.victim.instance, payload={
        "service_status": "failed to spawn", "cause": "pay somebody"}))


@attack("report.without-proof", "bus", "dropped: no proof", (*FORGED, *MALFORMED))
def without_proof(stage):
    """Report the neighbour's database as crashed without any proof."""
    message = stage.capture("heartbeat", instance_id=stage.victim.instance, payload={"service_status": "crashed"})
    content = message.content
    args = {name: value for name, value in content["args"].items() if name in ("instance_id", "payload")}
    return stage.send(message.altered(content={"args": args}))


@attack("report.proof-of-another-message", "bus", "dropped: the proof does not cover it", FORGED)
def proof_of_another_message(stage):
    """Take a genuine report of the attacker's guest and put the neighbour's id into it."""
    message = stage.capture("heartbeat", instance_id=stage.attacker.instance, payload={"service_status": "crashed"})
    text = message.body.replace(stage.attacker.instance, stage.victim.instance)
    return stage.send(message.altered(body=text))


@attack("report.guessed-key", "bus", "dropped: another key", FORGED, long=True)
def guessed_key(stage):
    """Sign a report for the neighbour with keys that a careless service might have: its id, its name, a placeholder."""
    keys = (stage.victim.instance, "victim-1", "changeme", "0" * 64)
    return stage.send(*[stage.capture("heartbeat", key=key, instance_id=stage.victim.instance,
                                      payload={"service_status": "crashed"}) for key in keys])


@attack("report.root-of-neighbour", "bus", "dropped: the proof is the attacker's", FORGED, long=True)
def root_of_neighbour(stage):
    """Report that root was enabled on the neighbour's instance."""
    return stage.send(stage.capture("report_root", instance_id=stage.victim.instance, user="nobody"))


@attack("report.backup-of-neighbour", "bus", "dropped: the proof is the attacker's", FORGED, long=True)
def backup_of_neighbour(stage):
    """Report the neighbour's backup as failed, in the neighbour's name."""
    return stage.send(stage.capture("update_backup", instance_id=stage.victim.instance,
                                    backup_id=stage.things["backup"], state="FAILED"))


@attack("report.neighbours-backup-as-own", "bus", "dropped: the backup is not of this instance", FORGED)
def neighbours_backup_as_own(stage):
    """Report the neighbour's backup as failed, in the attacker's own name and with a fitting proof."""
    return stage.send(stage.capture("update_backup", instance_id=stage.attacker.instance,
                                    backup_id=stage.things["backup"], state="FAILED", location="https://elsewhere/x"))


@attack("report.spans-of-neighbour", "bus", "dropped: the proof is the attacker's", FORGED, long=True)
def spans_of_neighbour(stage):
    """Report parts of a trace in the neighbour's name."""
    return stage.send(stage.capture("report_spans", instance_id=stage.victim.instance, spans=[]))


@attack("report.made-up-trace", "bus", "dropped: no seal of the control plane", ("message.replayed", "message.forged"))
def made_up_trace(stage):
    """Report parts of a trace that nobody asked for, with an origin of the attacker's own making."""
    origin = {"request_id": "req-" + stage.made_up(), "trace": {"base_id": stage.made_up(), "hmac_key": "x"},
              "until": time.time() + 600, "seal": "0" * 64}
    return stage.send(stage.capture("report_spans", context={"origin": origin}, instance_id=stage.attacker.instance,
                                    spans=[{"name": "made up"}]))


@attack("report.old", "bus", "dropped: older than allowed", ("message.replayed", "message.forged"))
def old(stage):
    """Send a genuine report of yesterday."""
    return stage.send(stage.capture("heartbeat", sent=time.time() - DAY, instance_id=stage.attacker.instance,
                                    payload={"service_status": "crashed"}))


@attack("report.future", "bus", "dropped: newer than allowed", ("message.replayed", "message.forged"), long=True)
def future(stage):
    """Send a genuine report of tomorrow, which would outlive all reports until then."""
    evidence = stage.send(stage.capture("heartbeat", sent=time.time() + DAY, instance_id=stage.attacker.instance,
                                        payload={"service_status": "crashed"}))
    return f"{evidence}; {conductor_works(stage)}"


@attack("report.replayed", "bus", "dropped: it came before")
def replayed(stage):
    """Send the same genuine report again after a newer one."""
    first = stage.capture("heartbeat", instance_id=stage.attacker.instance, payload={"service_status": "crashed"})
    newer = stage.capture("heartbeat", instance_id=stage.attacker.instance, payload={"service_status": "running"})
    evidence = stage.send(newer, first, first.altered(content={}))
    time.sleep(1)
    if stage.instance(stage.attacker)["status"] not in ("ACTIVE",):
        raise Broken("the older report replaced the newer one")
    return evidence


@attack("report.time-that-is-none", "bus", "dropped: no time", (*FORGED, *MALFORMED, "message.replayed"), long=True)
def time_that_is_none(stage):
    """Give texts, truth values, lists and absurd numbers as the time of sending."""
    message = stage.capture("heartbeat", instance_id=stage.attacker.instance, payload={"service_status": "crashed"})
    wrong = ["now", True, [1], {}, None, 10**40, -1]
    return stage.send(*[message.altered(content={"args": {**message.content["args"], "sent": value}})
                        for value in wrong])


@attack("report.impossible-states", "bus", "dropped: not a guest's to report", MALFORMED)
def impossible_states(stage):
    """Report states that only the control plane gives, and some that do not exist."""
    states = ("deleted", "deleting", "new", "build pending", "no such state", 7, ["running"], None)
    evidence = stage.send(*stage.captures("heartbeat", *[
        {"instance_id": stage.attacker.instance, "payload": {"service_status": state}} for state in states]))
    return f"{evidence}; {conductor_works(stage)}"


@attack("report.wrong-shapes", "bus", "dropped: wrong shape", MALFORMED)
def wrong_shapes(stage):
    """Report with payloads, versions, spans and replication states of the wrong types."""
    own = stage.attacker.instance
    messages = stage.captures("heartbeat", *[{"instance_id": own, "payload": payload} for payload in (
        [], "text", 5, {"agent_version": {"a": 1}}, {"replication": "none"}, {"replication": {"lag": "x" * 2000}},
        {"agent_version": "9" * 5000})])
    messages += stage.captures("report_spans", *[{"instance_id": own, "spans": spans}
                                                 for spans in ("x", 3, {"a": 1}, [[1]])])
    messages += stage.captures("update_backup", *[{"instance_id": own, "backup_id": each, "state": ["COMPLETED"]}
                                                  for each in (5, None, {"id": 1}, "x" * 3000)])
    return f"{stage.send(*messages)}; {conductor_works(stage)}"


@attack("report.ids-that-are-none", "bus", "dropped", (*FORGED, *MALFORMED))
def ids_that_are_none(stage):
    """Report for instances whose ids are no texts, empty, a wildcard or SQL."""
    wrong = ("", "*", "%", f"{stage.victim.instance}' OR '1'='1", f"{stage.victim.instance.upper()}", 0, None,
             [stage.victim.instance])
    return stage.send(*stage.captures("heartbeat", *[
        {"instance_id": each, "payload": {"service_status": "crashed"}} for each in wrong]))


@attack("report.log-line-in-id", "log", "escaped in the log", (*FORGED, *MALFORMED))
def log_line_in_id(stage):
    """Put a line end and a made-up log line into the id of an instance."""
    mark = stage.mark()
    evidence = stage.send(stage.capture("heartbeat", instance_id=f"x\n{LINE}", payload={}),
                          stage.capture("report_root", instance_id=f"x\r\n{LINE}\x1b[2J", user="u"))
    time.sleep(0.5)
    no_line(stage, mark)
    return evidence


@attack("report.log-line-in-texts", "log", "escaped in the log")
def log_line_in_texts(stage):
    """Put a line end and a made-up log line into states, versions, causes, notes and names of methods."""
    own, text, mark = stage.attacker.instance, f"x\n{LINE}", stage.mark()
    messages = [stage.capture("heartbeat", instance_id=own, payload={"service_status": text}),
                stage.capture("heartbeat", instance_id=own, payload={"agent_version": text, "cause": text}),
                stage.capture("heartbeat", instance_id=own, payload={}, context={"request_id": text}),
                stage.capture("update_backup", instance_id=own, backup_id=text, state=text, note=text),
                stage.capture("report_root", instance_id=stage.victim.instance, user=text)]
    messages += [messages[0].altered(content={"method": text}), messages[0].altered(content={"version": text}),
                 messages[0].altered(content={"_unique_id": text})]
    evidence = stage.send(*messages)
    time.sleep(0.5)
    no_line(stage, mark)
    return f"{evidence}; {conductor_works(stage)}"


@attack("report.as-an-administrator", "bus", "what the context claims is ignored", long=True)
def as_an_administrator(stage):
    """Claim in the context of a message to be an administrator of the victim's project."""
    mark = stage.mark()
    message = stage.capture("heartbeat", instance_id=stage.attacker.instance, payload={}, context={
        "is_admin": True, "project_id": stage.victim.project, "roles": ["admin"]})
    evidence = stage.send(message)
    time.sleep(0.5)
    if any(stage.victim.project in line for line in stage.lines(mark)):
        raise Weak("a log line carries the project that the message claimed")
    return evidence


@attack("report.unknown-methods", "bus", "refused: no such method")
def unknown_methods(stage):
    """Call methods of the conductor that are none, or not meant for the bus."""
    message = conductor_message(stage)
    names = ("__init__", "_notify", "__class__", "_is_genuine", "delete_instance", "heartbeat.__globals__", "")
    evidence = stage.send(*[message.altered(content={"method": name}) for name in names])
    return f"{evidence}; {conductor_works(stage)}"


@attack("report.namespaces-and-versions", "bus", "refused: no such namespace or version", long=True)
def namespaces_and_versions(stage):
    """Send genuine reports with other namespaces and versions of the interface and of the envelope."""
    message = conductor_message(stage)
    changed = [message.altered(content=each) for each in (
        {"namespace": "admin"}, {"version": "999.0"}, {"version": "x"}, {"version": None})]
    outer = json.loads(message.body)
    changed += [message.altered(body=json.dumps({**outer, "oslo.version": each})) for each in ("99.0", None, 2)]
    return f"{stage.send(*changed)}; {conductor_works(stage)}"


# ---------------------------------------------------------------------- deliveries

@attack("delivery.no-json", "bus", "rejected before anything is decoded", MALFORMED)
def no_json(stage):
    """Send bodies that are no JSON, not UTF-8, empty, or JSON of another kind to the conductor."""
    bodies = (b"hello", b"\xff\xfe\x00", b"[]", b"null", b"{}", b'{"oslo.version": "2.0"}', b'"text"', b"{" * 20,
              b'{"oslo.version": "2.0", "oslo.message": "{"}', b'{"oslo.version": "2.0", "oslo.message": "[]"}')
    message = conductor_message(stage)
    return f"{stage.send(*[message.altered(body=body) for body in bodies])}; {conductor_works(stage)}"


@attack("delivery.content-type", "bus", "rejected before anything is decoded", MALFORMED)
def content_type(stage):
    """Say that a harmless body is of a type whose decoder would run code."""
    message = conductor_message(stage)
    types = ("application/x-python-serialize", "application/x-yaml", "application/x-msgpack", "text/plain", "",
             "application/data")
    return f"{stage.send(*[message.altered(content_type=kind) for kind in types])}; {conductor_works(stage)}"


@attack("delivery.content-encoding", "bus", "rejected before anything is decoded", MALFORMED, long=True)
def content_encoding(stage):
    """Say that a body is encoded in other ways: binary, UTF-16, one that does not exist."""
    message = conductor_message(stage)
    names = ("binary", "utf-16", "rot13", "us-ascii", "no-such-encoding", "")
    return f"{stage.send(*[message.altered(content_encoding=name) for name in names])}; {conductor_works(stage)}"


@attack("delivery.compressed", "bus", "rejected: nothing is decompressed", MALFORMED)
def compressed(stage):
    """Send a small compressed body whose report would be believed if somebody decompressed it."""
    import base64
    import zlib
    before = stage.instance(stage.attacker)["service_status_updated"]
    time.sleep(1.1)
    message = stage.capture("report_root", instance_id=stage.attacker.instance, user="inflated")
    body = base64.b64encode(zlib.compress(message.body.encode()))
    evidence = stage.send(*[message.altered(body=body, application_headers={"compression": name})
                            for name in ("application/x-gzip", "gzip", "zlib")])
    time.sleep(1)
    root = stage.call("GET", f"/instances/{stage.attacker.instance}/root").json()
    if root.get("rootEnabled"):
        raise Broken("the body was decompressed and its report believed")
    return f"{evidence}; {conductor_works(stage)} (before: {before})"


@attack("delivery.headers", "bus", "rejected: messages have no headers", MALFORMED, long=True)
def headers(stage):
    """Send genuine reports with headers that libraries interpret."""
    message = conductor_message(stage)
    several = ({"x-retry": 5}, {"lang": "py", "task": "os.system", "id": "1"}, {"a": "b" * 1500})
    evidence = stage.send(*[message.altered(application_headers=each) for each in several])
    return f"{evidence}; {conductor_works(stage)}"


@attack("delivery.large", "bus", "refused by the broker, or rejected unread", ("message.too_large",))
def large(stage):
    """Send one report of nine megabytes."""
    message = stage.capture("heartbeat", instance_id=stage.attacker.instance, payload={})
    evidence = stage.send(message.altered(content={"args": {**message.content["args"], "more": "x" * 9_000_000}}))
    conductor_works(stage)
    return evidence


@attack("delivery.many-values", "bus", "rejected unread", ("message.too_large", "message.malformed"), long=True)
def many_values(stage):
    """Send a report of many tiny values, which take thirty times their size in memory."""
    message = stage.capture("heartbeat", instance_id=stage.attacker.instance, payload={})
    changed = message.altered(content={"args": {**message.content["args"], "more": [[]] * 200_000}})
    return f"{stage.send(changed)}; {conductor_works(stage)}"


@attack("delivery.deep", "bus", "rejected: nested too deeply", (*MALFORMED, "message.too_large"))
def deep(stage):
    """Send a report with lists nested in 200 levels, which every JSON library takes."""
    value = []
    for _ in range(200):
        value = [value]
    message = stage.capture("heartbeat", instance_id=stage.attacker.instance, payload={})
    changed = message.altered(content={"args": {**message.content["args"], "more": value}})
    return f"{stage.send(changed)}; {conductor_works(stage)}"


@attack("delivery.odd-texts", "bus", "rejected or dropped", long=True)
def odd_texts(stage):
    """Send reports with NUL characters, lone surrogates and numbers that JSON does not have."""
    message = stage.capture("heartbeat", instance_id=stage.attacker.instance, payload={})
    args = message.content["args"]
    messages = [message.altered(content={"args": {**args, "payload": {"agent_version": text}}})
                for text in ("a\0b", "\ud800", "\ufdd0")]
    text = message.body.replace("payload", "payl\\\\u0000oad")
    nan = message.altered(content={"args": {**args, "sent": float("nan")}})
    return f"{stage.send(*messages, message.altered(body=text), nan)}; {conductor_works(stage)}"


@attack("delivery.wrong-types-inside", "bus", "rejected", MALFORMED)
def wrong_types_inside(stage):
    """Send messages whose method, arguments, version and context are of other types than the library expects."""
    message = conductor_message(stage)
    several = ({"args": []}, {"args": "x"}, {"method": 5}, {"method": ["heartbeat"]}, {"version": 1}, {"args": None},
               {"_unique_id": {"a": 1}}, {"_timeout": 5}, {"_context_origin": [1, 2]}, {"_context_roles": 5})
    return f"{stage.send(*[message.altered(content=each) for each in several])}; {conductor_works(stage)}"


@attack("delivery.mutations", "bus", "rejected or dropped")
def mutations(stage):
    """Change genuine reports at random places (by the seed) and send them."""
    message, messages = conductor_message(stage), []
    for _ in range(10 if stage.short else 60):
        body = bytearray(message.altered(content={}).body.encode())
        for _ in range(stage.rng.randint(1, 4)):
            body[stage.rng.randrange(len(body))] = stage.rng.randrange(256)
        messages.append(message.altered(body=bytes(body)))
    return f"{stage.send(*messages)}; {conductor_works(stage)}"


# ---------------------------------------------------------------------- answers

def asking(stage, queue):
    """Return a genuine report that asks for an answer to a queue."""
    return conductor_message(stage, content={"_msg_id": stage.made_up().replace("-", ""), "_reply_q": queue})


@attack("answer.to-no-queue", "bus", "rejected: reports are not answered", ANSWERS)
def to_no_queue(stage):
    """Ask for answers to queues that do not exist; a service that waits for them would be deaf for a minute each."""
    queues = [f"reply_{stage.rng.getrandbits(128):032x}" for _ in range(8)]
    evidence = stage.send(*[asking(stage, queue) for queue in queues])
    begun = time.monotonic()
    conductor_works(stage)
    if time.monotonic() - begun > 15:
        raise Weak(f"the conductor was deaf for {time.monotonic() - begun:.0f} s")
    return evidence


@attack("answer.to-the-neighbour", "bus", "rejected: reports are not answered", ANSWERS, long=True)
def to_the_neighbour(stage):
    """Have the conductor answer into the neighbour's queue."""
    return stage.send(asking(stage, f"guestagent.{stage.victim.instance}"))


@attack("answer.to-the-control-plane", "bus", "rejected: reports are not answered", ANSWERS, long=True)
def to_the_control_plane(stage):
    """Have the conductor answer into the queues of the task manager and of itself."""
    evidence = stage.send(asking(stage, "taskmanager"), asking(stage, "trove-conductor"))
    return f"{evidence}; {conductor_works(stage)}"


@attack("answer.with-odd-names", "bus", "rejected", ANSWERS, long=True)
def with_odd_names(stage):
    """Ask for answers to queues whose names are no texts, and without an id for the answer."""
    messages = [conductor_message(stage, content=each) for each in (
        {"_reply_q": 5, "_msg_id": "a"}, {"_reply_q": ["x"], "_msg_id": "a"}, {"_reply_q": "reply_x"},
        {"_msg_id": "a"}, {"_reply_q": f"reply_x\n{LINE}", "_msg_id": "a"}, {"_msg_id": {"a": 1}, "_reply_q": "x"})]
    return f"{stage.send(*messages)}; {conductor_works(stage)}"


# ---------------------------------------------------------------------- the task manager

def to_taskmanager(stage, method, args, **content):
    """Return a message as the API sends it to the task manager, through the broker's default exchange."""
    return conductor_message(stage, exchange="", key="taskmanager", content={
        "method": method, "args": args, "version": "1.0", **content})


@attack("taskmanager.made-up-operation", "bus", "refused by the broker, or ignored")
def made_up_operation(stage):
    """Wake the task manager for operations that do not exist, to delete the neighbour."""
    messages = [to_taskmanager(stage, method, {"instance_id": stage.victim.instance, "operation_id": stage.made_up()})
                for method in ("delete_instance", "resize_volume", "restart", "eject_replica_source")]
    return stage.send(*messages)


@attack("taskmanager.odd-arguments", "bus", "refused by the broker, or ignored")
def odd_arguments(stage):
    """Wake the task manager with ids of other types, SQL and log lines, and with methods that are none."""
    mark = stage.mark()
    messages = [to_taskmanager(stage, "restart", {"instance_id": "x", "operation_id": each}) for each in (
        5, None, ["a"], {"a": 1}, "' OR '1'='1", f"x\n{LINE}", "x" * 5000)]
    messages += [to_taskmanager(stage, name, {}) for name in ("__init__", "_runner", "restart")]
    evidence = stage.send(*messages)
    time.sleep(0.5)
    no_line(stage, mark)
    return evidence


@attack("taskmanager.answers", "bus", "refused by the broker, or rejected")
def taskmanager_answers(stage):
    """Ask the task manager for answers to queues that do not exist."""
    messages = [to_taskmanager(stage, "restart", {"instance_id": "x", "operation_id": stage.made_up()},
                               _msg_id=f"{stage.rng.getrandbits(128):032x}",
                               _reply_q=f"reply_{stage.rng.getrandbits(128):032x}") for _ in range(4)]
    evidence = stage.send(*messages)
    answer = stage.call("POST", f"/instances/{stage.attacker.instance}/action", {"restart": {}})
    if answer.status_code != 202 or not processes.wait(
            lambda: stage.instance(stage.attacker)["status"] == "ACTIVE", 60, 0.5):
        raise Broken(f"the task manager does not restart an instance any more ({answer.status_code})")
    return f"{evidence}; a restart afterwards succeeded"


@attack("taskmanager.by-its-topic", "broker", "refused by the broker")
def by_its_topic(stage):
    """Publish to the task manager on the shared exchange."""
    message = conductor_message(stage)
    return stage.must_refuse(*[{"do": "send", **message.altered(key="taskmanager", exchange=exchange).raw}
                               for exchange in {"trove", message.raw["exchange"]}])


@attack("taskmanager.malformed", "bus", "refused by the broker, or rejected", long=True)
def taskmanager_malformed(stage):
    """Send bodies that are no JSON, and types whose decoder would run code, to the task manager."""
    message = to_taskmanager(stage, "restart", {})
    return stage.send(*[message.altered(body=body) for body in (b"hello", b"{}", b"[]")],
                      message.altered(content_type="application/x-python-serialize"))


# ---------------------------------------------------------------------- commands

def database_command(stage, name):
    """Return the genuine command to create a database in the attacker's guest; its agent never sees it."""
    message, _ = stage.take_commands(
        lambda: stage.call("POST", f"/instances/{stage.attacker.instance}/databases", {"databases": [{"name": name}]}),
        name, acknowledge=True)
    return message


def databases(stage, tenant):
    """Return the names of a tenant's databases, by the API."""
    return {each["name"] for each in
            stage.call("GET", f"/instances/{tenant.instance}/databases", tenant=tenant).json()["databases"]}


def server_has(stage, tenant, name):
    """Return whether the server in a tenant's guest has a database; ask inside the guest."""
    output = stage.say_in_guest(tenant, ["mariadb", "-N", "-e", "SHOW DATABASES"])
    return name in output.split()


@attack("command.to-the-neighbour", "bus", "ignored by its agent: another key")
def to_the_neighbours_agent(stage):
    """Put a genuine command of the control plane for the attacker's guest into the neighbour's queue."""
    name = "spoils_replayed"
    message = stage.loot.setdefault("command", database_command(stage, name))
    before = len(stage.guest_events(stage.victim))
    for fresh in (message, message.altered(content={})):
        text = fresh.body.replace(stage.attacker.instance, stage.victim.instance)
        evidence = stage.send(*[fresh.altered(body=body, exchange="", key=f"guestagent.{stage.victim.instance}")
                                for body in (fresh.body, text)])
    time.sleep(2)
    if server_has(stage, stage.victim, name):
        raise Broken("the neighbour's agent carried the command out")
    events = stage.guest_events(stage.victim)[before:]
    return f"{evidence}; events of the neighbour's agent: {sorted({each for each, _ in events}) or 'none'}"


@attack("command.made-for-the-neighbour", "bus", "ignored by its agent: another key", long=True)
def made_for_the_neighbour(stage):
    """Send the neighbour commands without a proof: to drop a database, to give root away, to take a backup."""
    message = stage.loot.get("command") or database_command(stage, "spoils_made")
    messages = [message.altered(exchange="", key=f"guestagent.{stage.victim.instance}", content={
        "method": method, "args": args, "_context_proof": None}) for method, args in (
            ("delete_database", {"database": {"_name": "app"}}), ("enable_root", {}), ("stop_db", {}),
            ("create_backup", {"backup_info": {}}))]
    evidence = stage.send(*messages)
    time.sleep(1)
    return evidence


@attack("command.replayed", "bus", "ignored by the agent: it came before")
def command_replayed(stage):
    """Give a command of the control plane to the attacker's own agent twice: its effect, undone, must not come back."""
    name = "spoils_replayed"
    message = stage.loot.get("command") or database_command(stage, name)
    own = f"guestagent.{stage.attacker.instance}"
    first = stage.send(message.altered(exchange="", key=own))
    done = not first.startswith("refused") and processes.wait(
        lambda: server_has(stage, stage.attacker, name), 8, 0.5)
    stage.say_in_guest(stage.attacker, ["mariadb", "-e", f"DROP DATABASE IF EXISTS {name}"])
    evidence = stage.send(message.altered(content={}, exchange="", key=own), message.altered(exchange="", key=own))
    time.sleep(2)
    if server_has(stage, stage.attacker, name):
        raise Broken("the agent carried out the same command again")
    return f"the first: {first}, {'carried out' if done else 'not carried out'}; the second: {evidence}"


@attack("command.answers-made-up", "bus", "ignored: nobody waits for them")
def answers_made_up(stage):
    """Send answers that nobody asked for, old ones, and junk, to where the API waits for the answers of guests."""
    message, _ = stage.take_commands(lambda: stage.call("GET", f"/instances/{stage.attacker.instance}/databases"),
                                     "list_databases", acknowledge=False)
    queue, exchange = message.content["_reply_q"], conductor_message(stage).raw["exchange"]
    key = stage.facts["reply_key"].replace("QUEUE", queue)
    places = [("", queue)] + ([(exchange, key)] if key != queue else [])
    answer = {"result": [], "failure": None, "ending": True, "_unique_id": "0" * 32}
    bodies = [json.dumps({"oslo.version": "2.0", "oslo.message": json.dumps({**answer, **more})}) for more in (
        {"_msg_id": f"{stage.rng.getrandbits(128):032x}"}, {"_msg_id": None}, {"_msg_id": 5}, {"failure": "junk"},
        {"_msg_id": message.content["_msg_id"]}, {"_msg_id": "a", "failure": {"x": 1}})]
    bodies += [b"junk", b"{}", b"[]", b"null"]
    messages = [message.altered(exchange=place, key=key, body=body) for place, key in places for body in bodies]
    messages += [message.altered(exchange=place, key=key, **more) for place, key in places for more in (
        {"content_type": "application/x-python-serialize"}, {"content_encoding": "no-such-encoding"})]
    evidence = stage.send(*messages)
    time.sleep(0.5)
    begun = time.monotonic()
    answer = stage.call("GET", f"/instances/{stage.victim.instance}/databases", tenant=stage.victim)
    if answer.status_code != 200:
        raise Broken(f"the API does not hear the answers of guests any more: {answer.status_code} {answer.text[:100]}")
    return f"{evidence}; the neighbour's databases were listed {time.monotonic() - begun:.1f} s later"


@attack("command.by-the-neighbours-topic", "broker", "refused by the broker")
def by_the_neighbours_topic(stage):
    """Publish to the neighbour's topic, and to its fanout exchange."""
    victim, message = stage.victim.instance, conductor_message(stage)
    places = [(exchange, f"guestagent.{victim}{end}") for exchange in sorted({"trove", message.raw["exchange"]})
              for end in ("", f".{victim}")]
    places += [(f"guestagent.{victim}_fanout", ""), ("taskmanager_fanout", "")]
    return stage.must_refuse(*[{"do": "send", **message.altered(exchange=exchange, key=key).raw}
                               for exchange, key in places])


@attack("report.into-the-neighbours-queue", "broker", "refused by the broker")
def into_the_neighbours_queue(stage):
    """Put a report where the neighbour's reports are awaited: by the topic and by the name of that queue."""
    message, queue = conductor_message(stage), f"trove-conductor.{stage.victim.instance}"
    return stage.must_refuse({"do": "send", **message.altered(key=queue).raw})


@attack("command.by-dead-letters", "broker", "refused by the broker, or ignored by its agent")
def by_dead_letters(stage):
    """Let an own queue hand its expired messages on to the neighbour's topic, where the account may not publish."""
    own, victim = f"guestagent.{stage.attacker.instance}.letters", f"guestagent.{stage.victim.instance}"
    name, message = "spoils_letters", stage.loot.get("command")
    if message is None:
        message = database_command(stage, name)
    [declared] = stage.moves({"do": "amqp", "call": "queue_declare", "queue": own, "auto_delete": False, "arguments": {
        "x-dead-letter-exchange": "trove", "x-dead-letter-routing-key": victim, "x-message-ttl": 1}})
    if "refused" in declared:
        return f"refused by the broker: {declared['refused']}"
    try:
        stage.send(message.altered(exchange="", key=own))
        time.sleep(2)
        if server_has(stage, stage.victim, name) or server_has(stage, stage.victim, "spoils_replayed"):
            raise Broken("the neighbour's agent carried the command out")
    finally:
        stage.moves({"do": "amqp", "call": "queue_delete", "queue": own})
    return "the broker handed the message on; the neighbour's agent ignored it"


# ---------------------------------------------------------------------- queues and exchanges

def amqp(call, **arguments):
    """Return a move of the intruder: one method of a channel."""
    return {"do": "amqp", "call": call, **arguments}


@attack("broker.read-the-neighbours-queue", "broker", "refused by the broker")
def read_the_neighbours_queue(stage):
    """Consume, fetch and look at the neighbour's queues."""
    queue = f"guestagent.{stage.victim.instance}"
    return stage.must_refuse(amqp("basic_consume", queue=queue), amqp("basic_get", queue=queue),
                             amqp("basic_get", queue=f"{queue}.{stage.victim.instance}"))


@attack("broker.empty-or-delete-the-neighbours-queue", "broker", "refused by the broker")
def empty_the_neighbours_queue(stage):
    """Purge and delete the neighbour's queues."""
    queue = f"guestagent.{stage.victim.instance}"
    return stage.must_refuse(amqp("queue_purge", queue=queue), amqp("queue_delete", queue=queue),
                             amqp("queue_delete", queue=f"{queue}.{stage.victim.instance}"))


@attack("broker.control-planes-queues", "broker", "refused by the broker")
def control_planes_queues(stage):
    """Consume, purge and delete the queues of conductor and task manager."""
    return stage.must_refuse(*[amqp(call, queue=queue) for queue in ("trove-conductor", "taskmanager") for call in (
        "basic_consume", "basic_get", "queue_purge", "queue_delete")])


@attack("broker.reply-queues", "broker", "refused by the broker")
def reply_queues(stage):
    """Read, purge and delete the queues in which the control plane's answers arrive."""
    queues = [queue["name"] for queue in stage.broker("queues") if queue["name"].startswith("reply_")]
    if not queues:
        return "there is no reply queue"
    return stage.must_refuse(*[amqp(call, queue=queue) for queue in queues[:3] for call in (
        "basic_get", "queue_purge", "queue_delete")])


@attack("broker.eavesdrop", "broker", "refused by the broker")
def eavesdrop(stage):
    """Bind an own queue to the topics of the neighbour, of the conductor, of the task manager, and to all."""
    own = f"guestagent.{stage.attacker.instance}"
    keys = (f"guestagent.{stage.victim.instance}", "trove-conductor", "taskmanager", "#", "*", "guestagent.*",
            "guestagent.#")
    exchanges = sorted({"trove", conductor_message(stage).raw["exchange"]})
    return stage.must_refuse(*[amqp("queue_bind", queue=own, exchange=exchange, routing_key=key)
                               for exchange in exchanges for key in keys])


@attack("broker.shared-exchange", "broker", "refused by the broker")
def shared_exchange(stage):
    """Delete the shared exchange, and declare it anew with other properties."""
    exchange = conductor_message(stage).raw["exchange"]
    return stage.must_refuse(amqp("exchange_delete", exchange="trove"), amqp("exchange_delete", exchange=exchange),
                             amqp("exchange_declare", exchange="trove", type="fanout", auto_delete=False),
                             amqp("exchange_delete", exchange="taskmanager_fanout"))


@attack("broker.own-exchange", "broker", "refused by the broker")
def own_exchange(stage):
    """Bind an own exchange to the shared one for everybody's messages, and make one of the broker's own kind."""
    own = f"guestagent.{stage.attacker.instance}_fanout"
    return stage.must_refuse(
        amqp("exchange_bind", destination=own, source="trove", routing_key="#"),
        amqp("exchange_declare", exchange="amq.rabbitmq.mine", type="topic"),
        amqp("exchange_bind", destination="trove", source=own, routing_key="#"),
        amqp("queue_bind", queue=f"guestagent.{stage.attacker.instance}", exchange="amq.rabbitmq.trace",
             routing_key="#"))


@attack("command.answer-as-the-neighbour", "broker", "refused by the broker, or ignored")
def answer_as_the_neighbour(stage):
    """Answer with the routing key that the neighbour's answers have."""
    key = stage.facts["reply_key"].replace("QUEUE", f"reply_{stage.rng.getrandbits(128):032x}")
    if stage.attacker.instance not in key:
        return "answers have no routing key of their own"
    key = key.replace(stage.attacker.instance, stage.victim.instance)
    return stage.must_refuse({"do": "send", **conductor_message(stage, key=key).raw})


@attack("broker.others-names", "broker", "refused by the broker")
def others_names(stage):
    """Declare queues with the names of the neighbour, of the control plane and of everybody."""
    victim = stage.victim.instance
    names = (f"guestagent.{victim}.more", f"guestagent.{victim}_fanout_x", "notifications.info", "reply_" + "0" * 32,
             "anything", "guestagent.", f"xguestagent.{stage.attacker.instance}")
    return stage.must_refuse(*[amqp("queue_declare", queue=name) for name in names])


@attack("broker.neighbours-id-in-a-name", "names", "refused, or harmless when the neighbour is deleted")
def neighbours_id_in_a_name(stage):
    """Give own queues names in which the id of a neighbour stands, and see that the neighbour can be deleted and that
    nothing but its own queues goes with it.
    """
    second = stage.things.pop("second", None)
    own = f"guestagent.{stage.attacker.instance}"
    names = [f"{own}.guestagent.{second}", f"{own}.x{second}"]
    results = stage.moves(*[amqp("queue_declare", queue=name, auto_delete=False) for name in names])
    made = [name for name, result in zip(names, results, strict=True) if "ok" in result]
    stage.call("DELETE", f"/instances/{second}", tenant=stage.victim)
    gone = processes.wait(
        lambda: stage.call("GET", f"/instances/{second}", tenant=stage.victim).status_code == 404, 60, 0.5)
    there = {queue["name"] for queue in stage.broker("queues")}
    stage.moves(*[amqp("queue_delete", queue=name) for name in made])
    if not gone:
        raise Broken("the neighbour cannot be deleted any more")
    if not set(made) <= there:
        raise Weak(f"the deletion of the neighbour took queues with it that only have its id in their names: {made}")
    left = [name for name in there if second in name and name not in made]
    if left:
        raise Weak(f"queues of the deleted neighbour stayed: {left}")
    return f"{results[0].get('refused') or 'the names were allowed'}; the neighbour was deleted"


@attack("broker.others-user-id", "broker", "refused by the broker")
def others_user_id(stage):
    """Say in the properties of a report that the neighbour's account, or the control plane's, has sent it."""
    message = conductor_message(stage)
    return stage.must_refuse(*[{"do": "send", **message.altered(content={}, user_id=name).raw}
                               for name in (f"guest-{stage.victim.instance}", "trove")])


@attack("broker.log-line-in-a-name", "log", "refused by the broker, escaped in logs")
def log_line_in_a_name(stage):
    """Declare an own queue with a line end and a made-up log line in its name."""
    mark, name = stage.mark(), f"guestagent.{stage.attacker.instance}.x\n{LINE}"
    [result] = stage.moves(amqp("queue_declare", queue=name, auto_delete=True))
    stage.moves(amqp("queue_delete", queue=name))
    no_line(stage, mark)
    return result.get("refused", "allowed; no log has the line")


@attack("broker.other-hosts-and-accounts", "broker", "refused by the broker")
def other_hosts_and_accounts(stage):
    """Log in to other virtual hosts, as the neighbour, as the control plane, and with usual accounts."""
    password = stage.facts["password"]
    hosts = [each["name"] for each in stage.broker("vhosts") if each["name"] != stage.facts["virtual_host"]]
    return stage.must_refuse(
        *[{"do": "login", "vhost": host} for host in ("other", *hosts)],
        {"do": "login", "user": f"guest-{stage.victim.instance}"},
        {"do": "login", "user": "trove", "password": password}, {"do": "login", "user": "management"},
        {"do": "login", "user": "guest", "password": "guest"}, {"do": "login", "user": "admin", "password": "admin"})


# ---------------------------------------------------------------------- too much

@flood("flood.connections", "broker", "limited by the broker")
def connections(stage):
    """Open a hundred connections at once."""
    found = stage.ask({"do": "connections", "count": 100})
    time.sleep(2)  # until the broker has counted their end
    if found["refused"] is None:
        raise Broken("a guest may open a hundred connections")
    return f"{found['opened']} were open, then {found['refused']}"


@flood("flood.channels", "broker", "limited by the broker")
def channels(stage):
    """Open five hundred channels on one connection."""
    found = stage.ask({"do": "channels", "count": 500})
    time.sleep(2)
    if found["refused"] is None:
        raise Broken("a guest may open five hundred channels on one connection")
    return f"{found['opened']} were open, then {found['refused']}"


@flood("flood.queues", "broker", "limited by the broker")
def queues(stage):
    """Declare three hundred own queues."""
    found = stage.ask({"do": "queues", "count": 300, "prefix": f"guestagent.{stage.attacker.instance}.flood."})
    if found["refused"] is None:
        raise Broken("a guest may have three hundred queues")
    return f"{found['opened']} could be declared, then {found['refused']}"


@flood("flood.own-queue", "broker", "bounded by the broker")
def own_queue(stage):
    """Fill an own queue that nobody reads with 2000 messages of ten kilobytes."""
    own = f"guestagent.{stage.attacker.instance}.heap"
    [declared] = stage.moves(amqp("queue_declare", queue=own, auto_delete=False))
    if "refused" in declared:
        return f"refused by the broker: {declared['refused']}"
    evidence = stage.send(conductor_message(stage, body="x" * 10_000, exchange="", key=own), times=2000)
    state = processes.wait(lambda: next((queue for queue in stage.broker("queues") if queue["name"] == own
                                         and queue.get("messages") is not None), None), 10, 0.5) or {}
    time.sleep(1)
    held = stage.moves(amqp("queue_declare", queue=own, passive=True))[0].get("ok", str(state.get("messages")))
    stage.moves(amqp("queue_delete", queue=own))
    if "message_count=2000" in held:
        raise Broken(f"the broker keeps all of it: {held}")
    return f"{evidence}; {held}"


@flood("flood.neighbours-queue", "broker", "bounded by the broker; the neighbour goes on", long=True)
def neighbours_queue(stage):
    """Put 3000 messages into the neighbour's queue by its name."""
    key = f"guestagent.{stage.victim.instance}"
    evidence = stage.send(conductor_message(stage, exchange="", key=key), times=3000)
    answer = stage.call("GET", f"/instances/{stage.victim.instance}/databases", tenant=stage.victim)
    if answer.status_code != 200:
        raise Broken(f"the neighbour's agent does not answer any more: {answer.status_code}")
    return evidence


@flood("flood.reports", "broker", "held to its share; the neighbour is heard")
def reports(stage):
    """Send 2000 genuine signs of life at once; the neighbour's are recorded all the same."""
    evidence = stage.send(conductor_message(stage), times=2000)
    return f"{evidence}; {stage.await_beat(stage.victim)}"


@flood("flood.malformed", "bus", "rejected; the neighbour is heard", MALFORMED, long=True)
def malformed(stage):
    """Send 2000 bodies that are no JSON to the conductor."""
    evidence = stage.send(conductor_message(stage, body=b"junk"), times=2000)
    return f"{evidence}; {stage.await_beat(stage.victim)}"


@flood("flood.log", "log", "the log does not grow with the flood")
def log(stage):
    """Send 1000 forged reports: the log tells of them in a bounded number of lines."""
    mark = stage.mark()
    message = stage.capture("heartbeat", instance_id=stage.victim.instance, payload={"agent_version": "x" * 200})
    evidence = stage.send(message, times=1000)
    time.sleep(3)
    size = sum(len(line) for line in stage.lines(mark))
    if size > 250_000:
        raise Weak(f"1000 forged reports made {size} bytes of log")
    return f"{evidence}; {size} bytes of log"
