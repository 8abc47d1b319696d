"""doc/users.rst and pages of engines are true: their commands, typed in their order by a new user, print what the page
says.

``--write-pages`` writes the outputs into the page instead. Between two blocks of the page nothing may be in progress.
"""
import difflib
import shlex
import subprocess
from pathlib import Path

import pytest
from keystoneclient.v3.client import Client as Keystone
from onebox import cloud, instance
from onebox.settings import CHECKOUT

from tests import pages
from tests.scenarios import support
from tests.scenarios.support import TOOL, wait_until

USERS = CHECKOUT / "doc/users.rst"
# Page -> the datastore that is offered beside the default one while it is typed.
PAGES = {USERS: "mysql", CHECKOUT / "doc/redis.rst": "redis", CHECKOUT / "doc/postgresql.rst": "postgresql"}
NAME, PASSWORD = "guide", "of-nobody-else"  # the user and its project


@pytest.fixture(params=PAGES, ids=lambda page: page.stem)
def page_file(request, system):
    """The file of a page, whose datastore is offered."""
    support.quickstart("--datastore", PAGES[request.param], state=system.facts["state"])
    return request.param


@pytest.fixture
def user(system, page_file):
    """The OS_* variables of a user with an empty project, and an HTTP client for it; all it made is removed."""
    keystone = Keystone(session=cloud.session(cloud.admin_environment(system.settings)), interface="public")
    project = keystone.projects.create(NAME, domain="default")
    person = keystone.users.create(NAME, domain="default", password=PASSWORD, default_project=project)
    keystone.roles.grant(keystone.roles.list(name="member")[0], user=person, project=project)
    environment = {**cloud.tenant_environment(system.settings), "OS_USERNAME": NAME, "OS_PROJECT_NAME": NAME,
                   "OS_PASSWORD": PASSWORD}
    api = instance.client(system.settings, environment)
    before = system.inventory()
    yield environment, api
    remove_all(api)
    person.delete()
    project.delete()
    system.assert_nothing_more_than(before)


def items(api, what):
    """What the user has of ``instances``, ``backups`` or ``configurations``."""
    return api.get(f"/{what}?limit=100").json()[what]


def remove_all(api):
    """Delete all that a user has; replicas go before their sources, groups when no instance uses them."""
    def gone(what):
        left = items(api, what)
        for each in left:
            api.delete(f"/{what}/{each['id']}", raise_exc=False)
        return not left
    for what in ("instances", "backups", "configurations"):
        wait_until(lambda what=what: gone(what), pause=1)


def settled(api):
    """Whether no operation of the user is in progress and every status is one that stays."""
    views = [api.get(f"/instances/{each['id']}", raise_exc=False) for each in items(api, "instances")]
    views = [answer.json()["instance"] for answer in views if answer.status_code == 200]
    return all(view["operation"]["state"] in ("done", "failed") for view in views) \
        and all(view["status"] in ("ACTIVE", "RESTART_REQUIRED", "ERROR", "FAILED") for view in views) \
        and all(view["status"] in ("COMPLETED", "FAILED") for view in items(api, "backups"))


def test_a_page_is_true(user, openstack, trove, tmp_path, request, page_file):
    """Each command of the page prints what the page says, apart from ids, addresses, times and sizes."""
    environment, api = user
    page, outputs, block = page_file.read_text(), [], None
    variables = {"PATH": ":".join(str(Path(client.program).parent) for client in (openstack, trove)) + ":/usr/bin:/bin",
                 "LANG": "C.UTF-8", "HOME": str(tmp_path), **environment}
    for example in pages.examples(page):
        if example.block != block:
            wait_until(lambda: settled(api))
            block = example.block
        done = subprocess.run(["/bin/bash", "-c", example.command], capture_output=True, text=True, timeout=TOOL,
                              env=variables, cwd=tmp_path, check=False)
        outputs.append(done.stdout + done.stderr)
    if request.config.getoption("--write-pages"):
        page_file.write_text(pages.rewritten(page, outputs))
    else:
        assert differences(page_file.name, pages.examples(page), outputs) == []


def differences(name, examples, outputs):
    """One text for each example that printed something else than the page says. name: of the page."""
    found = []
    for example, output in zip(examples, outputs, strict=True):
        expected, printed = pages.masked(example.output), pages.masked(output)
        if expected != printed:
            lines = difflib.unified_diff(expected.splitlines(), printed.splitlines(), "page", "printed", lineterm="")
            found.append("\n".join([f"{name}:{example.begin}: {example.command}", *lines]))
    return found


def test_the_page_names_the_commands_that_users_have(openstack):
    """No command of these parts of the client is left out."""
    text = " ".join(shlex.quote(example.command) for example in pages.examples(USERS.read_text()))
    [listed] = openstack.json("command", "list", "--group", "openstack.database.v1")
    commands = [name for name in listed["Commands"] if name.split()[1] in PARTS]
    assert commands and [name for name in commands if name not in text and name not in ELSEWHERE] == []


PARTS = ("instance", "db", "user", "root", "backup", "configuration", "log")
# Of administrators, or refused by this service (doc/clients.rst).
ELSEWHERE = {"database instance force delete", "database instance reset status", "database instance reboot",
             "database instance rebuild", "database instance upgrade", "database backup execution delete",
             "database backup strategy create", "database backup strategy list", "database backup strategy delete",
             "database log show", "database log save"}
