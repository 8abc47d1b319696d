"""What a server understands, by what it says of its version."""
import pytest

from trove.common import exception
from trove.guestagent.datastore.mysql_common import dialect, sql


@pytest.mark.parametrize(("said", "engine", "version", "can_clone"), [
    ("10.11.18-MariaDB-0+deb12u1", "mariadb", (10, 11, 18), False),
    ("5.5.5-10.6.4-MariaDB-log", "mariadb", (10, 6, 4), False),
    ("11.8.2-MariaDB", "mariadb", (11, 8, 2), False),
    ("9.7.4-2", "mysql", (9, 7, 4), True),
    ("8.0.17", "mysql", (8, 0, 17), True),
    ("8.0.16-log", "mysql", (8, 0, 16), False),
    ("5.7.44-48-log", "mysql", (5, 7, 44), False),
    ("8.4", "mysql", (8, 4, 0), True),
])
def test_engines_and_versions(said, engine, version, can_clone):
    found = dialect.of(said)
    assert (found.engine, found.version, found.can_clone) == (engine, version, can_clone)
    assert found.dump_options == (("--set-gtid-purged=OFF",) if engine == "mysql" else ())


@pytest.mark.parametrize(("said", "words"), [
    ("10.11.18-MariaDB", "DISABLE ON SLAVE"), ("8.0.36", "DISABLE ON SLAVE"), ("8.4.2", "DISABLE ON REPLICA"),
    ("9.7.4-2", "DISABLE ON REPLICA")])
def test_how_an_event_rests_on_a_replica(said, words):
    assert dialect.of(said).event_off == words


@pytest.mark.parametrize(("said", "can"), [
    ("10.11.18-MariaDB", True), ("9.7.4-2", True), ("8.0.26", True), ("8.0.25", False), ("5.7.44-48-log", False)])
def test_who_can_replicate(said, can):
    assert dialect.of(said).can_replicate is can


@pytest.mark.parametrize(("said", "why"), [("5.6.51", "too old"), ("10.1.48-MariaDB", "too old"), ("", "none of this"),
                                           ("PostgreSQL 15.1", "none of this")])
def test_others_are_refused(said, why):
    with pytest.raises(exception.TroveError, match=why):
        dialect.of(said)


def test_the_file_that_makes_the_administrator_takes_plain_words_only():
    text = sql.making_of_administrator(dialect.MARIADB, "os_admin", "aB3")
    assert text.startswith("SET SESSION sql_log_bin = 0;\n")
    assert all(line.endswith(";") for line in text.splitlines())
    for name, password in (("a'b", "x"), ("a", "x'"), ("a", "x\n"), ("", "")):
        with pytest.raises(ValueError, match="plain word"):
            sql.making_of_administrator(dialect.MARIADB, name, password)
