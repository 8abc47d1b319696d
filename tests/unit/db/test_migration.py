"""Migrations lead to the tables of tables.py, from nothing and from an old deployment, on every engine."""
import ast
import threading
from pathlib import Path

import pytest
import sqlalchemy

from trove.db import get_db_api
from trove.db.sqlalchemy import migration, session, tables

NEWEST = max(int(path.name[:3]) for path in migration.REPOSITORY.glob("versions/0*.py"))


def schema():
    """What the database holds, by reflection, in a form that can be compared."""
    engine = session.create_engine(session.CONF.database.connection)
    inspector = sqlalchemy.inspect(engine)
    found = {}
    for table in inspector.get_table_names():
        if table == "migrate_version":
            continue
        found[table] = {
            "columns": [(c["name"], str(c["type"]), c["nullable"]) for c in inspector.get_columns(table)],
            "key": inspector.get_pk_constraint(table)["constrained_columns"],
            "indexes": sorted((i["name"], i["column_names"], bool(i["unique"])) for i in inspector.get_indexes(table)),
            "unique": sorted((u["name"] or "", u["column_names"]) for u in inspector.get_unique_constraints(table)),
            "foreign": sorted((f["constrained_columns"], f["referred_table"], f["referred_columns"],
                               f["options"].get("ondelete")) for f in inspector.get_foreign_keys(table)),
        }
    engine.dispose()
    return found


def by_name(found):
    """The same without the order of columns, for databases that were made in other steps."""
    return {name: {**table, "columns": sorted(table["columns"])} for name, table in found.items()}


def test_the_newest_version_equals_tables_py(new_database):
    new_database("by_tables")
    tables.metadata.create_all(get_db_api().get_engine())
    wanted = schema()
    new_database("by_steps")
    migration.db_sync()
    assert set(schema()) == set(tables.metadata.tables)
    assert by_name(schema()) == by_name(wanted)
    assert migration.db_version() == NEWEST


def test_sync_again_changes_nothing(new_database):
    new_database("twice")
    migration.db_sync()
    before = schema()
    migration.db_sync()
    assert schema() == before


def test_a_mitaka_database_goes_on_from_its_version_and_keeps_its_rows(new_database):
    new_database("mitaka")
    migration.db_sync(version=37)
    mitaka = schema()
    assert "operations" not in mitaka
    engine = session.create_engine(session.CONF.database.connection)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(
            "INSERT INTO root_enabled_history (id, created) VALUES ('i-1', '2016-01-01 00:00:00')"))
    migration.db_sync()
    migration.db_downgrade(37)
    assert schema() == mitaka
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("SELECT id FROM root_enabled_history")).scalar() == "i-1"
    engine.dispose()


def test_an_interrupted_step_is_finished_by_the_next_sync(new_database):
    new_database("interrupted")
    migration.db_sync()
    whole = schema()
    migration.db_downgrade(37)
    engine = session.create_engine(session.CONF.database.connection)
    with engine.begin() as connection:  # as if the process was killed after the first of the new columns
        connection.execute(sqlalchemy.text("ALTER TABLE instances ADD COLUMN addresses TEXT"))
        tables.operations.create(connection)
    engine.dispose()
    migration.db_sync()
    assert by_name(schema()) == by_name(whole)


def test_two_at_once_are_fine(new_database):
    new_database("at_once")
    errors = []

    def sync():
        try:
            migration.db_sync()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=sync) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert migration.db_version() == NEWEST


def test_who_waits_too_long_for_the_lock_is_told_the_option(new_database, conf):
    new_database("locked")
    conf.set_override("migration_lock_timeout", 1, group="database")
    with migration._engine() as engine, migration._exclusive(engine), \
            pytest.raises(migration.MigrationError, match="migration_lock_timeout"):
        migration.db_sync()
    migration.db_sync()
    assert migration.db_version() == NEWEST


def test_recreate_empties_everything(new_database):
    new_database("recreated")
    migration.db_sync()
    engine = session.create_engine(session.CONF.database.connection)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("INSERT INTO datastores (id, name) VALUES ('d', 'mysql')"))
        connection.execute(sqlalchemy.text("CREATE TABLE more (id INTEGER)"))
    migration.db_recreate()
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("SELECT count(*) FROM datastores")).scalar() == 0
    engine.dispose()
    assert set(schema()) == set(tables.metadata.tables)


@pytest.mark.parametrize(("at", "call", "reason"), [
    (NEWEST, lambda: migration.db_downgrade(36), "no way to version 36"),
    (NEWEST, lambda: migration.db_sync(version=99), "no way to version 99"),
    (NEWEST, lambda: migration.db_sync(version=37), "use db_downgrade"),
    (37, lambda: migration.db_downgrade(NEWEST), "use db_upgrade"),
    (None, lambda: migration.db_downgrade(37), "run db_sync first"),
    (35, migration.db_sync, "upgrades from 36"),
    (99, migration.db_sync, "newer release"),
    (NEWEST, lambda: migration.db_sync(repo_path="/nowhere"), "--repo_path: /nowhere"),
])
def test_impossible_ways_are_explained(conf, tmp_path, at, call, reason):
    conf.set_override("connection", f"sqlite:///{tmp_path}/trove.sqlite", group="database")
    if at is not None:
        migration.db_sync(version=37)
        engine = session.create_engine(session.CONF.database.connection)
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text("UPDATE migrate_version SET version = :at"), {"at": at})
        engine.dispose()
    with pytest.raises(migration.MigrationError, match=reason):
        call()


def test_the_migration_library_is_known_to_one_module():
    root = Path(migration.__file__).parents[2]
    users = []
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [
                node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.partition(".")[0] == "migrate" for name in names):
                users.append(path.relative_to(root).as_posix())
    assert set(users) == {"db/sqlalchemy/migration.py"}
