"""User data: what is understood, and that nothing in it can stop a boot."""

from __future__ import annotations

import base64
import gzip
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

import pytest

from minicloud.host.userdata import parse

SCRIPT = b"#!/bin/sh\necho hi\n"


def test_a_script_is_run_as_it_is():
    plan = parse(SCRIPT)
    assert (plan.scripts, plan.files, plan.notes) == ([SCRIPT], [], [])
    assert parse(gzip.compress(SCRIPT)).scripts == [SCRIPT]


def test_nothing_asks_for_nothing():
    for empty in (b"", b"\n \n", b"#cloud-config\n"):
        plan = parse(empty)
        assert (plan.scripts, plan.files, plan.notes) == ([], [], [])


def test_write_files_in_all_encodings():
    content = base64.b64encode(b"body").decode()
    packed = base64.b64encode(gzip.compress(b"body")).decode()
    plan = parse(
        f"""#cloud-config
write_files:
- {{path: /a, content: body}}
- {{path: /b, content: {content}, encoding: b64, permissions: '0600', owner: 'mysql:mysql', append: true}}
- {{path: /c, content: {packed}, encoding: gz+b64, permissions: 0755}}
""".encode()
    )
    assert [(base64.b64decode(file["content"]), file["path"], oct(file["mode"])) for file in plan.files] == [
        (b"body", "/a", "0o644"),
        (b"body", "/b", "0o600"),
        (b"body", "/c", "0o755"),
    ]
    assert [(file["owner"], file["append"]) for file in plan.files] == [("", False), ("mysql:mysql", True), ("", False)]


def test_commands_become_one_script_with_quoting():
    plan = parse(b"#cloud-config\nbootcmd: [echo first]\nruncmd:\n- [echo, 'a b', \"it's\"]\n- echo $HOME\n")
    assert plan.scripts == [
        b"#!/bin/sh\necho first\n",
        b"#!/bin/sh\necho 'a b' 'it'\"'\"'s'\necho $HOME\n",
    ]


def test_mime_parts_are_taken_in_order():
    message = MIMEMultipart()
    message.attach(MIMEText("#cloud-config\nruncmd: [one]\n", "cloud-config"))
    message.attach(MIMEText("#!/bin/sh\ntwo\n", "x-shellscript"))
    assert parse(message.as_bytes()).scripts == [b"#!/bin/sh\none\n", b"#!/bin/sh\ntwo\n"]


@pytest.mark.parametrize(
    ("data", "note"),
    [
        (b"hello", "neither a script"),
        (b"#cloud-config\n- a\n", "must be a mapping"),
        (b"#cloud-config\na: [\n", "not valid YAML"),
        (b"#cloud-config\npackages: [x]\n", "ignored: packages"),
        (b"#cloud-config\nwrite_files: [{path: relative}]\n", "must be absolute"),
        (b"#cloud-config\nwrite_files: [{content: x}]\n", "'path'"),
        (b"#cloud-config\nwrite_files: [{path: /x, content: '!', encoding: b64}]\n", "write_files"),
        (b"#cloud-config\nwrite_files: [{path: /x, permissions: '9'}]\n", "write_files"),
        (b"#cloud-config\nwrite_files: 7\n", "write_files"),
        (b"#cloud-config\nruncmd: 7\n", "runcmd"),
        (b"\x1f\x8bjunk", "damaged gzip"),
    ],
)
def test_what_is_not_understood_is_said_on_the_console(data, note):
    plan = parse(data)
    assert len(plan.notes) == 1
    assert note in plan.notes[0]
    assert plan.scripts[-1].startswith(b"#!/bin/sh\necho ")
    assert plan.files == []
