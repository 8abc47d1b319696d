"""A plug-in's tables live beside Trove's, with a version of their own, and are mapped when a service starts."""
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy import orm

from tests.unit.db import example_plugin
from tests.unit.db.test_migration import NEWEST
from trove.cmd import common
from trove.db import get_db_api
from trove.db.sqlalchemy import migration, tables

REPOSITORY = Path(example_plugin.__file__).with_name("migrate_repo")
CLASS = "tests.unit.db.example_plugin.Plugin"


@pytest.fixture
def synced(new_database):
    new_database("plugin")
    migration.db_sync()
    migration.db_sync(repo_path=str(REPOSITORY))
    yield
    # A process maps a class once; here every engine gets its turn.
    if sqlalchemy.inspect(example_plugin.Person, raiseerr=False) is not None:
        orm.class_mapper(example_plugin.Person).registry.dispose()


def table_names():
    return set(sqlalchemy.inspect(get_db_api().get_engine()).get_table_names())


def test_its_schema_comes_and_goes_without_touching_ours(synced):
    ours = set(tables.metadata.tables) | {"migrate_version"}
    assert table_names() == ours | {"example_person", "example_migrate_version"}
    assert (migration.db_version(), migration.db_version(str(REPOSITORY))) == (NEWEST, 1)
    migration.db_sync(repo_path=str(REPOSITORY))
    migration.db_downgrade(0, str(REPOSITORY))
    assert table_names() == ours | {"example_migrate_version"}
    migration.db_sync(repo_path=str(REPOSITORY))
    migration.db_recreate(str(REPOSITORY))
    assert table_names() == ours | {"example_person", "example_migrate_version"}
    assert migration.db_version() == NEWEST


def test_a_service_maps_it_and_its_rows_share_our_transactions(synced, conf):
    conf.set_override("db_plugins", [CLASS])
    common.configure_database()
    with get_db_api().writer() as session:
        person = example_plugin.Person()
        person.tenant_id, person.name = "t", "Ada"
        session.add(person)
        session.execute(tables.datastores.insert().values(id="d", name="mysql"))
    with get_db_api().reader() as session:
        assert session.execute(sqlalchemy.select(example_plugin.Person)).scalars().one().name == "Ada"


@pytest.mark.parametrize("path", ["nowhere.Plugin", "Plugin", f"{CLASS}X"])
def test_a_plugin_that_cannot_be_loaded_stops_the_start(db, conf, path):
    conf.set_override("db_plugins", [path])
    with pytest.raises(SystemExit, match="Cannot start: option db_plugins"):
        common.configure_database()


def test_a_database_that_does_not_answer_stops_the_start_after_the_tries(conf, tmp_path, monkeypatch):
    pauses = []
    monkeypatch.setattr("trove.db.sqlalchemy.session.time.sleep", pauses.append)
    conf.set_override("connection", f"sqlite:///{tmp_path}/absent/trove.sqlite", group="database")
    conf.set_override("max_retries", 3, group="database")
    conf.set_override("retry_interval", 7, group="database")
    get_db_api().dispose()
    with pytest.raises(SystemExit, match=r"\[database\] connection names does not answer: unable to open"):
        common.configure_database()
    get_db_api().dispose()
    assert pauses == [7, 7, 7]
