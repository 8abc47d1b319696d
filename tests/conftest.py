"""Fixtures of all suites: options that fall back after each test, and an empty database with the whole schema."""
import pytest

from trove.common import cfg
from trove.common.cfg import CONF
from trove.common.context import TroveContext
from trove.db import get_db_api
from trove.db.sqlalchemy import tables


@pytest.fixture(scope="session", autouse=True)
def _parsed():
    cfg.parse_args([], default_config_files=[])


@pytest.fixture
def conf():
    """CONF; overrides made through it are taken back. A deployment key of the test's own is set."""
    CONF.set_override("operation_key", "a key for tests, never for a deployment")
    yield CONF
    CONF.clear()  # takes all overrides back, and the command line that was parsed
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
