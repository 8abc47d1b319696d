"""Paths for the object store: what may be one, and that nothing else calls the client."""
import ast
from pathlib import Path

import pytest

from trove.backup import store
from trove.common import object_store, security
from trove.common.object_store import PathRefused, path

TREE = Path(object_store.__file__).parents[1]
ID = "11111111-2222-4333-8444-555555555555"
OTHER = "99999999-2222-4333-8444-555555555555"


@pytest.fixture
def events(monkeypatch):
    """The security events that are reported."""
    found = []
    monkeypatch.setattr(security, "_sinks", [found.append])
    return found


@pytest.mark.parametrize(("container", "name", "expected"), [
    ("c", None, "c"),
    ("database_backups", "a_00000001", "database_backups/a_00000001"),
    ("c", f"{ID}/mysql-guest/log-2026-01-02T03:04:05.000006", f"c/{ID}/mysql-guest/log-2026-01-02T03%3A04%3A05.000006"),
    ("my backups", "a b", "my%20backups/a%20b"),
    ("c", ".hidden", "c/.hidden"),
    ("c", "a..b/...", "c/a..b/..."),
    ("c", "x" * 1024, f"c/{'x' * 1024}"),
])
def test_names_that_stay_in_their_place(container, name, expected, events):
    assert path(container, name) == expected
    assert events == []


@pytest.mark.parametrize("container", ["", ".", "..", "a/b", "/", "a%2fb", "a\\b", "a?b", "a#b", "a\n", "a\x00", "\x7f",
                                       "ä", "\u2024\u2024", "x" * 257, None, 7, b"c", ["c"]])
def test_containers_that_would_not(container, events):
    for arguments in ((container,), (container, "name")):
        with pytest.raises(PathRefused):
            path(*arguments)
    assert [event.name for event in events] == ["path.refused"] * 2


@pytest.mark.parametrize("name", [
    "", ".", "..", "/", "a/", "/a", "a//b", "a/./b", "a/../b", "../a", "a/..", "%2e%2e/a", "a%2fb", "a%2Fb", "a%00",
    "a\\..\\b", "a?b", "a#b", "a\r\nb", "a\tb", "a\x00", "a\x7f", "a\u2028b", "ä", "x" * 1025, 7, b"a", ["a"]])
def test_names_that_would_not(name, events):
    with pytest.raises(PathRefused) as refused:
        path("c", name)
    assert [event.name for event in events] == ["path.refused"]
    assert str(refused.value).isprintable() and events[0].reason.isprintable()


def test_every_method_of_an_account_refuses_before_it_calls_the_client(events):
    class Client:
        def __getattr__(self, name):
            raise AssertionError(f"{name} was called")
    account = object_store.Account(Client())
    calls = [lambda: account.put_container(".."), lambda: account.post_container("..", {}), lambda: account.used(".."),
             lambda: account.delete_container(".."), lambda: account.list(".."), lambda: account.put("c", "..", {}),
             lambda: account.put("..", "n", {}), lambda: account.head("c", "a/../b"), lambda: account.head("..", "n"),
             lambda: account.delete("c", "../x"), lambda: account.delete("..", "n"), lambda: account.purge("..", ["n"]),
             lambda: object_store.sign("http://s/v1/AUTH_x", "c", "..", "PUT", "key", 1),
             lambda: object_store.tenant_account("token", "../x")]
    for call in calls:
        with pytest.raises(PathRefused):
            call()
    assert len(events) == len(calls)


def test_nothing_else_calls_swiftclient():
    """A call elsewhere would put a name into a URL that ``path`` has not seen."""
    allowed = {"common/object_store.py", "common/remote.py"}
    factories = {"swift_client", "tenant_swift_client"}
    users, callers = set(), set()
    for file in TREE.rglob("*.py"):
        name = str(file.relative_to(TREE))
        for node in ast.walk(ast.parse(file.read_text())):
            modules = ([alias.name for alias in node.names] if isinstance(node, ast.Import) else
                       [node.module or ""] if isinstance(node, ast.ImportFrom) else [])
            if any(module.split(".")[0] == "swiftclient" for module in modules):
                users.add(name)
            if isinstance(node, ast.Attribute) and node.attr in factories:
                callers.add(name)
            if isinstance(node, ast.ImportFrom) and factories & {alias.name for alias in node.names}:
                callers.add(name)
    assert users == allowed
    assert callers == {"common/object_store.py"}


# Where a backup lies

URL = "http://swift/v1/AUTH_s"


@pytest.mark.parametrize(("location", "container", "manifest"), [
    (None, f"database_backups_{ID}", None),
    (f"{URL}/database_backups_{ID}/{ID}.xbstream.zst.gcm", f"database_backups_{ID}", f"{ID}.xbstream.zst.gcm"),
    (f"{URL}/database_backups_{ID}/{ID}", f"database_backups_{ID}", ID),
    (f"{URL}/database_backups/{ID}.xbstream.gz.enc", "database_backups", f"{ID}.xbstream.gz.enc"),
    (f"{URL}/database_backups/{ID}.pg_basebackup.gz", "database_backups", f"{ID}.pg_basebackup.gz"),
])
def test_the_place_of_a_backup_is_computed_from_its_row(location, container, manifest):
    where = store.place(ID, location)
    assert (where.container, where.manifest, where.own) == (container, manifest, container != "database_backups")
    assert where.segment(7) == f"{ID}_00000007"


@pytest.mark.parametrize("location", [
    "", "x", ID, f"{URL}/other/{ID}.tar", f"{URL}/database_backups/{OTHER}.tar",
    f"{URL}/database_backups_{OTHER}/{ID}.tar",
    f"{URL}/database_backups_{OTHER}/{OTHER}.tar", f"{URL}/database_backups/{ID}.tar/../../x/y",
    f"{URL}/database_backups/../database_backups/{ID}/..", f"{URL}/database_backups/{ID}..",
    f"{URL}/database_backups/{ID}_00000000", f"{URL}/database_backups/{ID}.a%2f", f"{URL}/database_backups/{ID}.tar\n",
    f"{URL}/database_backups/{ID}.TAR", f"{URL}/database_backups/{ID}" + ".a" * 5])
def test_another_location_is_refused(location, events):
    with pytest.raises(PathRefused):
        store.place(ID, location)
    assert [event.name for event in events] == ["path.refused"]


@pytest.mark.parametrize("backup_id", ["", "..", f"{ID}/..", ID.replace("1", "A"), f"{ID}\n", f"../{ID}", None, 7])
def test_only_a_uuid_names_a_container(backup_id, events):
    with pytest.raises(PathRefused):
        store.place(backup_id)
    assert [event.name for event in events] == ["path.refused"]


@pytest.mark.parametrize(("kind", "compression", "encrypted", "expected"), [
    ("MariaBackup", "zstd", True, ".xbstream.zst.gcm"), ("MySQLClone", "gzip", False, ".tar.gz"),
    ("MySQLDump", "none", True, ".sql.gcm"), ("an operator's own", "zstd", True, ".zst.gcm")])
def test_the_extension_comes_from_known_words(kind, compression, encrypted, expected):
    assert store.extension(kind, compression, encrypted) == expected


def test_the_extensions_are_those_that_agents_read():
    from trove.guestagent.backup import streams
    assert set(streams.COMPRESSIONS.values()) == set(store.COMPRESSIONS)
    assert {word: ending for ending, word in streams.COMPRESSIONS.items()} == store.COMPRESSIONS
    assert store.extension("x", "none", True) == streams.SEALED
