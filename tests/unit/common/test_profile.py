"""Profiling is off unless the operator sets it up with a key of his own."""
import queue

import pytest
import sqlalchemy
from osprofiler import notifier, web

from trove.common import profile


def passes(environ, start_response):
    start_response("200 OK", [])
    return [b""]


def test_off_it_is_not_in_the_way(conf):
    assert profile.filter_factory({})(passes) is passes
    profile.setup("api", "host-1")


@pytest.mark.parametrize("key", [None, "SECRET_KEY"])
def test_the_well_known_key_is_refused(conf, key):
    conf.set_override("enabled", True, group="profiler")
    if key:
        conf.set_override("hmac_keys", key, group="profiler")
    with pytest.raises(SystemExit, match="hmac_keys"):
        profile.setup("api", "host-1")


def test_on_it_wraps_the_rest(conf):
    conf.set_override("enabled", True, group="profiler")
    conf.set_override("hmac_keys", "a key of my own", group="profiler")
    wrapped = profile.filter_factory({})(passes)
    assert wrapped is not passes
    assert wrapped.application is passes


@pytest.fixture
def tracing(conf, monkeypatch):
    """Profiling is on; gives the points that the driver was handed, and it fails while ``broken`` is set."""
    class Driver(list):
        broken = False

        def notify(self, point):
            if self.broken:
                raise OSError("no store")
            self.append(point)
    driver = Driver()
    monkeypatch.setattr(profile._Store, "_open", lambda self: driver)
    conf.set_override("enabled", True, group="profiler")
    conf.set_override("trace_sqlalchemy", True, group="profiler")
    conf.set_override("hmac_keys", "a key of my own", group="profiler")
    profile.setup("api", "host-1")
    yield driver
    web.disable()
    notifier.set(lambda info: None)
    for name, function in profile.LISTENERS:
        sqlalchemy.event.remove(sqlalchemy.engine.Engine, name, function)
    profile._store = None


def names(driver):
    profile._store.flush()
    return [point["name"] for point in driver]


def test_what_is_done_for_a_trace_is_told_with_its_sql(tracing):
    engine = sqlalchemy.create_engine("sqlite://", future=True)
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE t (secret TEXT UNIQUE)")
        with profile.joined({"base_id": "b", "parent_id": "p"}), profile.span("step", step="one"):
            connection.execute(sqlalchemy.text("INSERT INTO t VALUES (:secret)"), {"secret": "hidden"})
            with pytest.raises(sqlalchemy.exc.IntegrityError):
                connection.execute(sqlalchemy.text("INSERT INTO t VALUES (:secret)"), {"secret": "hidden"})
            assert profile.current()["base_id"] == "b"
        assert profile.current() is None
        connection.execute(sqlalchemy.text("SELECT * FROM t"))
    assert names(tracing) == ["step-start", *["db-start", "db-stop"] * 2, "step-stop"]
    assert tracing[0]["parent_id"] == "p"
    assert {point["parent_id"] for point in tracing if point["name"].startswith("db")} == {tracing[0]["trace_id"]}
    assert "INSERT INTO t" in str(list(tracing))
    assert "hidden" not in str(list(tracing))
    assert tracing[4]["info"]["etype"] == "IntegrityError"


def test_a_store_that_fails_or_hangs_hinders_nobody(tracing, monkeypatch):
    tracing.broken = True
    profile.report({"base_id": "b", "parent_id": "p"}, "step", 1.0, 2.0)
    assert names(tracing) == []
    tracing.broken = False
    node = profile.report({"base_id": "b", "parent_id": "p"}, "step", 1.0, 2.5)
    assert names(tracing) == ["step-start", "step-stop"]
    assert [(point["trace_id"], point["timestamp"]) for point in tracing] == [
        (node, "1970-01-01T00:00:01.000000"), (node, "1970-01-01T00:00:02.500000")]
    monkeypatch.setattr(profile._store, "_points", queue.Queue(1))
    for _ in range(3):
        profile.report({"base_id": "b", "parent_id": "p"}, "step", 1.0, 2.0)


def test_no_trace_no_points(tracing):
    with profile.joined(None), profile.span("step"):
        assert profile.current() is None
    assert names(tracing) == []
