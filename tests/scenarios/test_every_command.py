"""Every command of ``openstack database|datastore`` and of ``trove``: works, or is refused with a reason.

Writes doc/clients.rst. A command that the page of the last run says works must still work.
"""
import json
import re
import shlex
import subprocess
import tempfile
from pathlib import Path

import pytest
from onebox import cloud
from onebox.settings import CHECKOUT

from tests.scenarios import commands
from tests.scenarios.support import wait_until

PAGE = CHECKOUT / "doc/clients.rst"
ADMIN = "admin: "
UNKNOWN = "00000000-0000-4000-8000-000000000000"
WORKS = "works"
HEAD = """..  Written by tests/scenarios/test_every_command.py from what the clients printed.

Commands of the clients
=======================

Each command was run by the unmodified client against a running system with an instance of MariaDB. What is not said to
work was refused with that sentence, by the service or by the client itself.
"""
# In the order in which they are written; the name of the fixture of the client is the key.
CLIENTS = {
    "openstack": ("``openstack`` 10.5.0 with python-troveclient 8.11.0", "openstackclient.shell", commands.OPENSTACK),
    "trove": ("``trove`` 2.1.2", "troveclient.shell", commands.TROVE),
}


class Facts(dict):
    """What the braces in the commands mean; looked up when a command names it."""

    def __init__(self, system, file):
        super().__init__(password="pa55word", unknown=UNKNOWN, project=system.tenant_id, file=str(file))
        self.system = system

    def __missing__(self, name):
        if name in ("flavor", "larger"):
            flavors = sorted(self._items("/flavors"), key=lambda flavor: flavor["ram"])
            return str(flavors[("flavor", "larger").index(name)]["id"])
        if name in ("version", "spare_version"):
            versions = self._items("/datastores/mariadb/versions")
            return self._id(versions, "10.11" if name == "version" else "0.0")
        if name == "image":
            return self.system.cloud_get("image", "/v2/images")["images"][0]["id"]
        if name == "rule":
            rules = [rule for group in self._items("/security-groups") for rule in group["rules"]]
            return next((rule["id"] for rule in rules if rule["cidr"] == "10.0.0.0/8"), UNKNOWN)
        if name in ("m1", "c2"):
            return self._id(self._items("/instances"), name)
        path, made = {"group": ("/configurations", "g1"), "backup": ("/backups", "b1"), "module": ("/modules", "mod1"),
                      "security_group": ("/security-groups", None)}[name]
        return self._id(self._items(path), made)

    def _items(self, path):
        answer = self.system.admin.get(path, raise_exc=False) if "versions" in path else \
            self.system.api.get(path, raise_exc=False)
        return next(iter(answer.json().values())) if answer.status_code == 200 else []

    @staticmethod
    def _id(items, name):
        return next((item["id"] for item in items if name in (None, item["name"])), UNKNOWN)


@pytest.fixture
def facts(system, tmp_path):
    """The meanings of the braces, and a file of a module."""
    (tmp_path / "module").write_text("ping")
    return Facts(system, tmp_path / "module")


class Many:
    """A client that runs command after command in one process. environment: its OS_* variables."""

    def __init__(self, client, module, environment):
        python = Path(client.program).with_name("python")
        self.process = subprocess.Popen(
            [str(python), "-W", "ignore", str(Path(__file__).with_name("many.py")), module], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, cwd=tempfile.gettempdir(),
            env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "COLUMNS": "500", **environment})

    def __call__(self, *arguments):
        """(exit status, output) of a command."""
        self.process.stdin.write(json.dumps(arguments) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        """End the process."""
        self.process.stdin.close()
        self.process.wait(30)


def offered(name, client):
    """The commands that the client itself lists."""
    if name == "trove":
        return set(re.findall(r"^    ([a-z-]+)", client("help").partition("Optional arg")[0], re.MULTILINE)) \
            - {"help", "bash-completion"}
    listed = client("command", "list", "--group", "openstack.database.v1", "-f", "json")
    return {command for group in json.loads(listed) for command in group["Commands"]}


def verdict(command, status, output):
    """``works``, or the reason without what is different each time."""
    refused = re.findall(r"^.*(?:ERROR|HTTP [45]\d\d).*$", output, re.MULTILINE)  # some refusals end with status 0
    shown = re.search(r"\+--|, Version: |written to", output)  # a table, the head of a server's log, or where it is
    if re.match(r"(database )?log", command) and not shown:
        refused = refused or output.strip().splitlines()  # the clients print the sentence alone and end with status 0
    if status == 0 and not refused:
        return WORKS
    last = (refused or output.strip().splitlines() or ["no output"])[-1]
    last = re.sub(r"^(ERROR: |\S+: error: )|\(Request-ID: [^)]*\)", "", last)
    last = re.sub(r"<Instance .*>", "<Instance ...>", last)  # as one client shows what it was given
    last = re.sub(r"""^b(['"])(.*)\1$""", r"\2", last)  # the older client prints bytes
    return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", last).strip()


def known(page):
    """{(client, command): verdict} of a page."""
    found, title = {}, None
    for line in page.splitlines():
        if line in [title for title, _, _ in CLIENTS.values()]:
            title = line
        elif match := re.fullmatch(r"   \* - ``(.*)``", line):
            command = match[1]
        elif line.startswith("     - ") and title and not line.startswith("     - What"):
            found[title, command] = line[7:]
    return found


def settle(system):
    """Wait until m1 can be worked on again."""
    wait_until(lambda: system.show(system.m1["id"])["status"] not in ("REBOOT", "RESIZE", "BACKUP", "RESTORE",
                                                                      "UPGRADING", "PROMOTE", "EJECT"), 300)


def test_every_command(system, openstack, trove, facts):
    """Nothing fails inside, nothing is forgotten, nothing stops working; the page says the rest."""
    found, clumsy = {}, []
    for name, (title, module, text) in CLIENTS.items():
        client, lines = {"openstack": openstack, "trove": trove}[name], text.strip().splitlines()
        bare = [line.removeprefix(ADMIN) for line in lines]
        missing = {command for command in offered(name, client)
                   if not any(f"{line} ".startswith(f"{command} ") for line in bare)}
        assert not missing
        people = {"": Many(client, module, client.environment),
                  ADMIN: Many(client, module, cloud.admin_environment(system.settings))}
        for line, command in zip(lines, bare, strict=True):
            settle(system)
            arguments = shlex.split(command.replace('"', '\\"').format_map(facts))
            status, output = people[ADMIN if line != command else ""](name, *arguments)
            found[title, command.replace("{{", "{").replace("}}", "}")] = verdict(command, status, output)
            if re.search(r"HTTP 5(?!01)\d\d|Traceback", output):  # 501 is how the API says that it has no such thing
                clumsy.append((command, output))
        for each in people.values():
            each.close()
    before = known(PAGE.read_text()) if PAGE.exists() else {}
    PAGE.write_text(page(found))
    assert clumsy == []
    assert {key for key, was in before.items() if was == WORKS and found.get(key, WORKS) != WORKS} == set()


def page(found):
    """doc/clients.rst"""
    text = HEAD
    for title, _, _ in CLIENTS.values():
        text += f"\n{title}\n{'-' * len(title)}\n\n.. list-table::\n   :header-rows: 1\n\n"
        for command, what in [("Command", "What happens"), *((c, v) for (t, c), v in found.items() if t == title)]:
            cell = command if command == "Command" else f"``{command}``"
            text += f"   * - {cell}\n     - {what}\n"
    return text
