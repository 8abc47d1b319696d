"""The agent's part of an archive of logs, with a strategy of plain files and minicloud's Swift."""
import os
import threading
import types

import pytest

from tests.fakes import cloud as fake_cloud
from trove.backup import archive_store
from trove.common import crypto, exception, object_store, remote
from trove.db import models as db_models
from trove.guestagent import archive
from trove.guestagent.strategies.archive.base import ArchiveStrategy, Gap, LogFile

KEY = "ab" * 32


class Killed(BaseException):
    """The agent is gone."""


@pytest.fixture(scope="module")
def running_cloud(tmp_path_factory):
    cloud = fake_cloud.Cloud(tmp_path_factory.mktemp("cloud"))
    yield cloud
    cloud.stop()


class Files(ArchiveStrategy):
    """Logs are numbered files in a directory; the newest one is open. Released ones are deleted."""

    bases = ("Full",)

    def __init__(self, app):
        super().__init__(app)
        self.held = False

    def _names(self):
        return sorted(path.name for path in self.app.logs.iterdir())

    def write(self, text):
        with open(self.app.logs / self._names()[-1], "a", encoding="utf-8") as file:
            file.write(text)

    def begin(self):
        self.held = True
        self.rotate()
        return self._names()[-2] if len(self._names()) > 1 else ""

    def rotate(self):
        last = self._names()[-1]
        if (self.app.logs / last).stat().st_size:
            (self.app.logs / f"log.{int(last[4:]) + 1:04d}").touch()

    def closed(self, after):
        names = [name for name in self._names()[:-1] if name > after]
        following = f"log.{int(after[4:]) + 1:04d}" if after else None
        if following and following not in self._names():
            raise Gap(reason=f"{following} is gone")
        return [LogFile(name, self.app.logs / name) for name in names]

    def release(self, name):
        for each in self._names():
            if each <= name:
                (self.app.logs / each).unlink()

    def end(self):
        self.held = False

    def replay(self, directory, files, point):
        self.replayed = [(file.name, file.path.read_text()) for file in files]


class Bench:
    """One archiver with its store."""

    def __init__(self, tmp_path, key):
        self.logs, self.id = tmp_path / "logs", db_models.new_id()
        self.logs.mkdir()
        (self.logs / "log.0001").touch()
        self.key = key
        self.tmp_path = tmp_path
        archive_store.open_container(self.id)
        self.start()

    def start(self):
        """A new process of the agent."""
        self.archiver = archive.Archiver(Files(types.SimpleNamespace(logs=self.logs)), str(self.tmp_path))

    def given(self, pieces=0):
        return {"id": self.id, "pieces": pieces, "key": self.key,
                "storage": archive_store.signatures(self.id, "PUT", 60)}

    def begin(self, kind="Full", pieces=0):
        return self.archiver.begin_archive(self.given(pieces), kind)

    def step(self):
        self.archiver._rotated = float("-inf")
        return self.archiver.step()

    def replayed(self, first=0, count=None, **changes):
        told = self.archiver.facts()["archive"]["pieces"] if count is None else count
        directory = self.tmp_path / "data.new"
        directory.mkdir(exist_ok=True)
        self.archiver.replay({"id": self.id, "key": self.key, "first": first, "count": told, "point": 5,
                              "storage": archive_store.signatures(self.id, "GET", 60), **changes}, directory)
        assert not (self.tmp_path / "data.new.logs").exists()
        return self.archiver.strategy.replayed

    @property
    def fact(self):
        return self.archiver.facts()["archive"]


@pytest.fixture(params=[KEY, None], ids=["sealed", "clear"])
def bench(conf, running_cloud, tmp_path, request):
    running_cloud.configure(conf)
    object_store.forget_limits()
    conf.set_override("backup_encryption_key", ["a key for tests, never for a deployment"])
    conf.set_override("guest_state_dir", str(tmp_path / "state"))
    (tmp_path / "state").mkdir()
    conf.set_override("backup_request_patience", 0)
    yield Bench(tmp_path, request.param)
    running_cloud.clear_objects()
    remote.reset()


sealed = pytest.mark.parametrize("bench", [KEY], indirect=True)


def test_what_is_written_comes_back_in_order(bench):
    assert bench.archiver.facts() == {}
    assert not bench.step()
    assert bench.begin() == {"id": bench.id, "next": 0}
    wanted = []
    for number in range(1, 4):
        bench.archiver.strategy.write(f"change {number}")
        wanted.append((f"log.{number:04d}", f"change {number}"))
        assert bench.step()
        assert (bench.fact["pieces"], bench.fact["state"]) == (number, "on")
    assert bench.replayed() == wanted
    assert bench.replayed(first=1) == wanted[1:]
    assert archive_store.find_missing(bench.id, 0, 3) is None
    assert [path.name for path in bench.logs.iterdir()] == ["log.0004"]


def test_time_goes_on_without_writes_and_without_pieces(bench, monkeypatch):
    bench.begin()
    now = [1000.0]
    monkeypatch.setattr(archive.time, "time", lambda: now[0])
    bench.step()
    assert (bench.fact["covers"], bench.fact["pieces"]) == (1000.0, 0)
    now[0] = 1010.0
    bench.archiver.strategy.write("x")
    bench.step()
    assert (bench.fact["covers"], bench.fact["pieces"]) == (1010.0, 1)


@sealed
def test_a_log_that_stays_open_as_the_volume_is_full_is_not_covered(bench, monkeypatch):
    bench.begin()
    now = [1000.0]
    monkeypatch.setattr(archive.time, "time", lambda: now[0])
    bench.step()
    bench.archiver.strategy.write("x")
    now[0] = 1010.0
    with monkeypatch.context() as patch:
        patch.setattr(archive.volume, "is_full", lambda _mount_point: True)
        assert bench.step()
        assert (bench.fact["covers"], bench.fact["pieces"]) == (1000.0, 0)
    bench.step()
    assert (bench.fact["covers"], bench.fact["pieces"]) == (1010.0, 1)


@sealed
def test_an_answer_that_ends_too_early_is_not_asked_for_for_ever(bench, monkeypatch):
    asked = []

    class Answer:
        status, headers = 200, {"Content-Length": "5", "ETag": "x"}

        def __enter__(self):
            asked.append(1)
            assert len(asked) < 9
            return self

        def __exit__(self, *error):
            return None

        def read(self, _size):
            return b""
    monkeypatch.setattr(archive.swift, "_request", lambda *args: Answer())
    with pytest.raises(exception.TroveError, match="the answer ended after 0 of 5 bytes"):
        list(archive.swift.get_stream({}, "a piece"))


@sealed
def test_a_backup_of_another_kind_begins_nothing(bench):
    assert bench.begin("Dump") == {"id": None, "next": 0}
    assert bench.archiver.facts() == {}


@sealed
def test_an_archive_that_runs_goes_on_with_the_next_backup(bench):
    bench.begin()
    bench.archiver.strategy.write("x")
    bench.step()
    assert bench.begin(pieces=1) == {"id": bench.id, "next": 1}
    assert bench.fact["pieces"] == 1


@sealed
def test_pieces_that_are_not_known_any_more_are_not_overwritten(bench):
    assert bench.begin(pieces=3) == {"id": None, "next": 0}
    bench.archiver.renew_archive(bench.id, bench.given(3))
    assert bench.fact["state"] == "gap"
    assert not bench.step()
    assert bench.begin(pieces=3) == {"id": None, "next": 0}


@pytest.mark.parametrize("method", ["put_stream", "_remember", "release"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@sealed
def test_a_death_at_any_line_leaves_no_hole(bench, monkeypatch, method, after):
    bench.begin()
    bench.archiver.strategy.write("one")
    owner = {"put_stream": archive.swift, "_remember": archive.Archiver, "release": Files}[method]
    real = getattr(owner, method)

    def dying(*args):
        if after:
            real(*args)
        raise Killed
    with monkeypatch.context() as patch:
        patch.setattr(owner, method, dying)
        with pytest.raises(Killed):
            bench.step()
    bench.start()
    bench.archiver.strategy.rotate()
    bench.archiver.strategy.write("two")
    for _ in range(3):
        bench.step()
    assert bench.replayed() == [("log.0001", "one"), ("log.0002", "two")]
    assert bench.fact["state"] == "on"


@sealed
def test_the_store_is_away(bench, conf, monkeypatch):
    bench.begin()
    storage = bench.archiver._remembered()
    bench.archiver._remember({**storage, "storage": {**storage["storage"], "url": "http://127.0.0.1:1/v1/a/c"}})
    bench.archiver.strategy.write("x")
    monkeypatch.setattr(archive.Archiver, "_is_short", lambda self: False)
    with pytest.raises(exception.TroveError, match="could not be written"):
        bench.step()
    bench.archiver._failing = True
    assert bench.fact["state"] == "late"
    assert bench.archiver.strategy.held
    # With new signatures it goes on.
    bench.archiver.renew_archive(bench.id, bench.given())
    bench.step()
    bench.archiver._failing = False
    assert (bench.fact["state"], bench.fact["pieces"]) == ("on", 1)


@sealed
def test_the_volume_is_short_of_room_while_the_store_is_away(bench, monkeypatch):
    bench.begin()
    monkeypatch.setattr(archive.Archiver, "_is_short", lambda self: True)
    bench.archiver.strategy.write("x")
    assert bench.step(), "what can be stored is stored, with little room too"
    monkeypatch.setattr(archive.swift, "put_stream", lambda *args: (_ for _ in ()).throw(OSError("away")))
    bench.archiver.strategy.write("y")
    assert not bench.step()
    assert bench.fact["state"] == "no_room"
    assert not bench.archiver.strategy.held
    assert bench.begin(pieces=1) == {"id": None, "next": 0}


@sealed
def test_a_log_that_is_gone_ends_the_archive(bench):
    bench.begin()
    bench.archiver.strategy.write("x")
    bench.step()
    for _ in range(2):
        bench.archiver.strategy.write("y")
        bench.archiver.strategy.rotate()
    (bench.logs / "log.0002").unlink()
    assert not bench.step()
    assert bench.fact["state"] == "gap"


@sealed
def test_an_archive_that_nobody_needs_ends(bench):
    bench.begin()
    bench.archiver.renew_archive(db_models.new_id(), None)
    assert bench.fact["state"] == "on"
    bench.archiver.renew_archive(bench.id, None)
    assert bench.archiver.facts() == {}
    assert not bench.archiver.strategy.held


def _filled(bench, pieces=3):
    bench.begin()
    for number in range(pieces):
        bench.archiver.strategy.write(f"change {number}")
        bench.step()
    return object_store.service_account(), archive_store.place(bench.id)


def test_a_missing_piece_is_named(bench):
    account, where = _filled(bench)
    account.delete(where.container, where.segment(1))
    assert archive_store.find_missing(bench.id, 0, 3) == 1
    with pytest.raises(exception.TroveError, match="_00000001 of the object store: it is missing"):
        bench.replayed()


@sealed
def test_what_a_guest_puts_between_its_pieces_costs_little(bench, monkeypatch):
    account, where = _filled(bench)
    for number in range(9):
        account.put(where.container, f"{where.segment(0)}_{number}", {})
    assert archive_store.find_missing(bench.id, 0, 3) is None
    limits, calls = account.limits(), []
    real = object_store.Account.list
    monkeypatch.setattr(object_store.Account, "limits", lambda self: limits.__class__(listing=2))
    monkeypatch.setattr(object_store.Account, "list", lambda *args: calls.append(args) or real(*args))
    assert archive_store.find_missing(bench.id, 0, 3) is None, "the listing is given up, and each is asked for"
    assert len(calls) == 5
    monkeypatch.setattr(archive_store, "_ASKED", 1)
    monkeypatch.setattr(object_store.Account, "list", lambda *args: [])
    assert archive_store.find_missing(bench.id, 0, 3) == 1


def _copy(account, where, source, target, change=lambda data: data):
    client = account._client
    _, data = client.get_object(where.container, where.segment(source))
    client.put_object(where.container, where.segment(target), change(data))


def test_a_piece_in_the_place_of_another_is_refused(bench):
    account, where = _filled(bench)
    _copy(account, where, 0, 1)
    with pytest.raises(exception.TroveError, match=r"cannot be decrypted|does not follow"):
        bench.replayed()


@sealed
@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data[:60] + bytes([data[60] ^ 1]) + data[61:],
                                    lambda data: data + b"x", lambda data: b""])
def test_a_changed_piece_is_refused(bench, change):
    account, where = _filled(bench)
    _copy(account, where, 1, 1, change)
    with pytest.raises(exception.TroveError):
        bench.replayed()


@sealed
def test_pieces_are_deleted_up_to_a_number_and_at_last_all(bench):
    _, _ = _filled(bench)
    forever = float("inf")
    assert archive_store.delete_pieces(bench.id, 0, 2, forever) == 2
    assert archive_store.find_missing(bench.id, 0, 3) == 0
    assert archive_store.find_missing(bench.id, 2, 3) is None
    assert archive_store.delete(bench.id, forever)
    assert archive_store.delete(bench.id, forever)


@sealed
def test_the_signature_for_writing_does_not_read(bench):
    _filled(bench, 1)
    writing = archive_store.signatures(bench.id, "PUT", 60)
    with pytest.raises(exception.TroveError, match="status 401"):
        bench.replayed(storage={"url": writing["url"], "GET": writing["PUT"]})


@sealed
def test_after_its_end_nobody_writes(bench):
    _filled(bench, 1)
    archive_store.open_container(bench.id, for_writing=False)
    bench.archiver.strategy.write("late")
    with pytest.raises(exception.TroveError, match="not accepted|could not be written"):
        bench.step()
    assert len(bench.replayed()) == 1


@sealed
def test_the_thread_survives_what_fails(bench, monkeypatch):
    calls, stopping = [], threading.Event()

    def failing(self):
        calls.append(self)
        if len(calls) == 2:
            stopping.set()
        raise OSError("a failure")
    monkeypatch.setattr(archive.Archiver, "step", failing)
    monkeypatch.setattr(archive, "_PAUSE", 0.01)
    bench.archiver.run(lambda: True, stopping)
    assert len(calls) == 2


def test_files_are_put_together_up_to_a_size(tmp_path, conf):
    conf.set_override("archive_piece_size", 1 << 20)
    files = []
    for number, size in enumerate((1, 1 << 19, 1 << 20, 5)):
        path = tmp_path / f"log{number}"
        path.touch()
        os.truncate(path, size)
        files.append(LogFile(path.name, path))
    assert archive.Archiver._batch(files) == files[:2]
    assert archive.Archiver._batch(files[2:]) == files[2:3]


@sealed
def test_keys_of_containers_differ_by_use(bench):
    assert crypto.container_keys(bench.id, "read") != crypto.container_keys(bench.id, "write")
