"""PostgreSQL's quoting, password verifiers, names and errors, and how segments of its log are handed over."""
import os
import shlex
import subprocess
import types

import pytest
from pg8000.exceptions import DatabaseError, InterfaceError

from trove.common import exception
from trove.guestagent.common.operating_system import ProcessError
from trove.guestagent.datastore.experimental.postgresql import errors, sql
from trove.guestagent.db import models
from trove.guestagent.db.base import Database
from trove.guestagent.strategies.archive.base import LogFile
from trove.guestagent.strategies.archive.experimental import postgresql_impl as archive
from trove.guestagent.strategies.replication.experimental import postgresql_impl as replication


@pytest.mark.parametrize(("name", "quoted"), [("user", '"user"'), ('a"b', '"a""b"'), ("É", '"É"'),
                                              ("%s{0}$1", '"%s{0}$1"')])
def test_names_are_quoted(name, quoted):
    assert sql.quote(name) == quoted


@pytest.mark.parametrize("name", ["", "a\x00b", "x" * 64, "é" * 32])
def test_names_that_the_server_would_not_keep_are_refused(name):
    with pytest.raises(exception.BadValue):
        sql.quote(name)


@pytest.mark.parametrize(("text", "quoted"), [("a", "'a'"), ("it's", "'it''s'"), ("a\\'b", " E'a\\\\''b'")])
def test_texts_are_quoted(text, quoted):
    assert sql.literal(text) == quoted


def test_a_verifier_is_that_of_the_standard():
    """The example of RFC 7677."""
    salt = b"[m\x99h\x9d\x125\x8e\xec\xa0K\x14\x126\xfa\x81"
    assert sql.verifier("pencil", salt) == (
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
        "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=")
    assert sql.verifier("Ⅸ", salt) == sql.verifier("IX", salt)  # as clients prepare it
    assert sql.verifier("a\x07b", salt) != sql.verifier("ab", salt)  # and what they cannot prepare
    assert sql.verifier("pencil") != sql.verifier("pencil")


@pytest.mark.parametrize("name", ["shop", "Shop", "é" * 31 + "x", "a b", "emoji 🐘", "postgresql", "Root"])
def test_names_that_can_be(name):
    names = models.of("postgresql")
    names.check_user_name(name)
    names.check_database_name(name)


@pytest.mark.parametrize(("name", "why"), [("é" * 32, "64 bytes, at most 63"), ("a/b", "must not contain /")])
def test_names_that_cannot_be(name, why):
    for check in (models.of("postgresql").check_user_name, models.of("postgresql").check_database_name):
        with pytest.raises(exception.BadValue, match=why):
            check(name)


def test_reserved_names():
    names = models.of("postgresql")
    for name in ("os_admin", "root", "postgres", "pg_x", "public", "none", "os_db_1", "os_replica_1"):
        assert names.is_ignored_user(name)
    for name in ("postgres", "template0", "template1"):
        assert names.is_ignored_database(name)


@pytest.mark.parametrize(("encoding", "collation", "field"), [
    ("UTF8", "de_DE.UTF-8", None), ("utf-8", None, None), ("latin1", "C", None), ("utf8mb4", None, "character_set"),
    ("SJIS", None, "character_set"), (None, "C'", "collate"), (None, "", "collate")])
def test_encodings_and_collations(encoding, collation, field):
    database = Database("d", encoding, collation)
    if field is None:
        models.of("postgresql").check_database(database)
        return
    with pytest.raises(exception.BadValue, match=field):
        models.of("postgresql").check_database(database)


class Asked:
    """A server that nobody can ask who holds a lock."""

    @staticmethod
    def session(**_options):
        raise InterfaceError("no connection")


@pytest.mark.parametrize(("code", "kind", "says"), [
    ("55P03", exception.GuestConflict, "waited in vain for a lock .*pg_stat_activity"),
    ("53100", exception.GuestConflict, "volume .* is full .*Resize"),
    ("53300", exception.GuestUnavailable, "no connection left"),
    ("28000", exception.GuestUnavailable, "own account"), ("28P01", exception.GuestUnavailable, "own account"),
    ("08006", exception.GuestUnavailable, "connection .* was lost"), ("3D000", exception.NotFound, "does not exist"),
    ("42P04", exception.GuestConflict, "exists already"), ("22023", exception.BadRequest, "encoding or collation"),
    ("XX001", exception.GuestConflict, "damaged"), ("99999", exception.GuestConflict, "refused")])
def test_errors_have_a_cause_and_a_cure(code, kind, says):
    error = errors.explain(DatabaseError({"C": code, "M": "the tenant's data"}), Asked())
    assert isinstance(error, kind)
    with pytest.raises(kind, match=says):
        raise error
    assert f"error {code}" in str(error)
    assert "tenant's data" not in str(error)


def test_errors_of_the_driver_of_programs_and_others():
    assert isinstance(errors.explain(InterfaceError("network error"), Asked()), exception.GuestUnavailable)
    full = ProcessError(command="/bin/x", code="code 1", stderr="write: No space left on device")
    assert "volume of the database server is full" in str(errors.explain(full, Asked()))
    assert "program x failed (code 1): why" in str(
        errors.explain(ProcessError(command="/bin/x", code="code 1", stderr="why."), Asked()))
    assert errors.explain(ValueError("x"), Asked()) is None


def test_a_segment_that_was_handed_over_is_not_waited_for(tmp_path):
    """A server asks for the segment of its checkpoint, for earlier ones, and for the same one again."""
    data, work = tmp_path / "data", tmp_path / "work"
    (data / "pg_wal").mkdir(parents=True)
    work.mkdir()
    name, later = "000000010000000000000005", "000000010000000000000006"
    (work / name).write_text("5")
    script = work / "fetch"
    script.write_text(archive._FETCH.format(directory=shlex.quote(str(work)), first=name))

    def fetch(wanted):
        return subprocess.run(["bash", script, wanted, "pg_wal/RECOVERYXLOG"], cwd=data, timeout=5).returncode
    assert fetch("000000010000000000000004") == 1
    assert fetch(name) == 0
    assert (data / "pg_wal/RECOVERYXLOG").read_text() == "5"
    assert fetch(name) == 1
    (work / "end").touch()
    assert fetch(later) == 1


def test_log_that_a_server_leaves_is_no_end_of_the_log(tmp_path):
    archive.PgWalArchive._check_used(tmp_path, iter(()))
    with pytest.raises(exception.TroveError, match="damaged: .* before the segment 000000010000000000000007"):
        archive.PgWalArchive._check_used(tmp_path, iter([LogFile("000000010000000000000007", tmp_path)]))
    (tmp_path / "000000010000000000000006").touch()
    with pytest.raises(exception.TroveError, match="before the segment 000000010000000000000006"):
        archive.PgWalArchive._check_used(tmp_path, iter(()))


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to(path.with_name("other"))],
                         ids=["pipe", "link"])
def test_what_stands_in_the_place_of_the_log_is_not_read(tmp_path, make):
    (tmp_path / "other").write_text("FATAL:  could not connect to the primary server: a secret\n")
    app = types.SimpleNamespace(layout=types.SimpleNamespace(log_file=tmp_path / "log"))
    make(tmp_path / "log")
    assert replication.PgStreamingReplication(app)._reason() is None
    (tmp_path / "log").unlink()
    (tmp_path / "other").rename(tmp_path / "log")
    assert "a secret" in replication.PgStreamingReplication(app)._reason()
