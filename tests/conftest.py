"""Fixtures of all suites: options that fall back after each test, and an empty database with the whole schema."""
import pytest
import sqlalchemy

from tests import rabbitmq, servers, waiting
from tests.contract import table
from trove.common import cfg, security
from trove.common.cfg import CONF
from trove.common.context import TroveContext
from trove.db import get_db_api
from trove.db.sqlalchemy import tables


def pytest_addoption(parser):
    """``--fuzz-cases``: requests of tests/functional/test_fuzz.py; ``--write-pages``: for tests of pages' examples;
    ``--long``: tests that take minutes.
    """
    parser.addoption("--fuzz-cases", type=int, default=20000, metavar="NUMBER",
                     help="requests that the fuzz run of the API makes (default: 20000)")
    parser.addoption("--write-pages", action="store_true",
                     help="write what the examples on pages of doc/ print into these pages")
    parser.addoption("--long", action="store_true", help="run the tests marked long as well")


def pytest_configure(config):
    """Let the contract's results be compared with their page."""
    config.pluginmanager.register(table.Results(config.getoption("--write-pages")))


def pytest_collection_modifyitems(config, items):
    """Leave out the tests marked long unless they were asked for, and give all more time on a busy machine."""
    for item in items:
        item.add_marker(pytest.mark.timeout(float(config.getini("timeout")) * waiting.slowness()))
    if not config.getoption("--long"):
        left_out = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session", autouse=True)
def _parsed():
    cfg.parse_args([], default_config_files=[])


@pytest.fixture(autouse=True)
def _security_events(monkeypatch):
    """Each test begins without sinks, and may log as many events as a process in one second."""
    monkeypatch.setattr(security, "_sinks", [])
    monkeypatch.setattr(security, "_lines", security._Lines())


@pytest.fixture
def conf():
    """CONF; overrides made through it are taken back. A deployment key of the test's own is set."""
    CONF.set_override("operation_key", ["a key for tests, never for a deployment"])
    yield CONF
    CONF.reset()  # takes all overrides back, and the command line that was parsed
    cfg.parse_args([], default_config_files=[])


@pytest.fixture
def db(conf, tmp_path):
    """The database layer on a fresh SQLite file."""
    conf.set_override("connection", f"sqlite:///{tmp_path}/trove.sqlite", group="database")
    conf.set_override("sqlite_synchronous", False, group="database")
    api = get_db_api()
    api.dispose()
    api.configure_db(conf)
    tables.metadata.create_all(api.get_engine())
    yield api
    api.dispose()


@pytest.fixture
def context():
    """The context of an ordinary tenant."""
    return TroveContext(user_id="user-1", project_id="tenant-1", roles=["member"], is_admin=False)


@pytest.fixture(scope="session")
def mariadb():
    """A private MariaDB, started at first use."""
    server = servers.MariaDB().start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgresql():
    """A private PostgreSQL, started at first use."""
    server = servers.PostgreSQL().start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def node():
    """A private RabbitMQ, started at first use."""
    made = rabbitmq.RabbitMQ().start()
    yield made
    made.stop()


_with_schema = set()  # URLs of databases that have all tables
_ENGINES = ["sqlite", pytest.param("mariadb", marks=pytest.mark.slow),
            pytest.param("postgresql", marks=pytest.mark.slow)]


def _new_database(request, engine, name):
    if engine == "sqlite":
        return f"sqlite:///{request.getfixturevalue('tmp_path')}/{name}.sqlite"
    return request.getfixturevalue(engine).new_database(name)


@pytest.fixture(params=_ENGINES)
def new_database(request, conf):
    """A function that makes an empty database of a name, and [database] connection leads to it; once per engine."""
    def make(name):
        url = _new_database(request, request.param, name)
        get_db_api().dispose()
        conf.set_override("connection", url, group="database")
        return url
    yield make
    get_db_api().dispose()


def emptied(server, conf):
    """The database layer on a real server, with all tables and no rows."""
    api = get_db_api()
    api.dispose()
    if server.url("trove") not in _with_schema:
        conf.set_override("connection", server.new_database("trove"), group="database")
        tables.metadata.create_all(api.get_engine())
        _with_schema.add(server.url("trove"))
    conf.set_override("connection", server.url("trove"), group="database")
    api.configure_db(conf)
    with api.writer() as session:  # much faster than making the tables again
        for table in reversed(tables.metadata.sorted_tables):
            session.execute(table.delete())
    yield api
    api.dispose()


@pytest.fixture(params=_ENGINES)
def db_each(request, conf):
    """Like ``db``, once per database engine that is supported."""
    if request.param == "sqlite":
        yield request.getfixturevalue("db")
    else:
        yield from emptied(request.getfixturevalue(request.param), conf)


@pytest.fixture
def db_on_mariadb(mariadb, conf):
    """Like ``db``, on MariaDB only."""
    yield from emptied(mariadb, conf)


@pytest.fixture
def statements(db):
    """The SQL statements that the test has run so far, without those that begin and end transactions."""
    texts = []

    def note(_connection, _cursor, statement, *_rest):
        if not statement.startswith(("BEGIN", "SAVEPOINT", "RELEASE")):
            texts.append(statement)

    sqlalchemy.event.listen(db.get_engine(), "before_cursor_execute", note)
    yield texts
    sqlalchemy.event.remove(db.get_engine(), "before_cursor_execute", note)
