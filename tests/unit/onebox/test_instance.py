"""What tools/quickstart does with an instance that it finds: one that holds data is never deleted."""
import pytest
from onebox import certificates, instance, quickstart
from onebox.probes import mysql_family
from onebox.settings import Settings, SetupError


def view(status, kind="instance.create", state="done"):
    """An instance as show gives it."""
    return {"id": "i-1", "name": "m1", "status": status, "operation": {"kind": kind, "state": state}}


@pytest.mark.parametrize(("found", "expected"), [
    (view("ERROR", state="failed"), True),
    (view("FAILED", state="failed"), True),
    (view("ERROR"), False),  # its guest is silent: the bus was dead, or the machine slept
    (view("ERROR", "instance.restart", "failed"), False),
    (view("ERROR") | {"operation": None}, False),
    (view("SHUTDOWN"), False),
    (view("BUILD", state="failed"), False),
])
def test_only_what_could_not_be_built_is_made_anew(found, expected):
    """Everything else may hold data."""
    assert instance.never_built(found) is expected


def test_the_clients_file_has_the_path_in_quotes(tmp_path):
    """Else it would end at a "#"."""
    state = tmp_path / 'a #b \\ "c"'
    settings = Settings(state, tmp_path / "cache", "tr0000", "10.90.0.0/16", 8779)
    probe = mysql_family.Probe("10.90.0.9", "alice", "pw", "app")
    lines = instance.write_client_file(settings, probe).read_text().splitlines()
    path = str(certificates.ca_file(settings)).replace("\\", "\\\\").replace('"', '\\"')
    assert f'ssl-ca="{path}"' in lines


@pytest.mark.parametrize(("path", "word"), [("/srv/.run/openrc", "/srv/.run/openrc"), ("/a b/c", "'/a b/c'")])
def test_commands_that_are_printed_can_be_pasted(path, word):
    """A checkout may lie anywhere."""
    assert quickstart.quoted({"openrc": path}) == {"openrc": word}


class Api:
    """Answers a show with one view after the other, and keeps the last."""

    def __init__(self, *views):
        self.views = list(views)

    def get(self, _path):
        self.view = self.views.pop(0) if self.views else self.view
        return self

    def json(self):
        return {"instance": self.view}


def test_an_instance_whose_guest_was_silent_is_waited_for():
    """It is ACTIVE as soon as its guest reports again."""
    assert instance.wait_back(Api(view("ERROR"), view("ACTIVE")), "i-1", pause=0)["status"] == "ACTIVE"


def test_an_instance_that_does_not_come_back_is_a_sentence():
    """Which says what its user may do."""
    with pytest.raises(SetupError, match="is SHUTDOWN and does not come back.*instance delete m1"):
        instance.wait_back(Api(view("SHUTDOWN")), "i-1", timeout=0, pause=0)
