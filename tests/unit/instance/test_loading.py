"""What a page of instances costs the database."""
import datetime

import pytest
import sqlalchemy

from trove.instance import loading


@pytest.fixture
def db_statements(db):
    """(text, parameters) of the statements that the test has run so far."""
    found = []
    sqlalchemy.event.listen(db.get_engine(), "before_cursor_execute",
                            lambda _connection, _cursor, text, values, *_rest: found.append((text, values)))
    return found


def test_a_page_is_read_in_the_order_of_an_index(db, db_statements):
    statement = loading._select(by_tenant=True, unclustered=True, after=True, paged=True)
    values = {"tenant": "tenant-1", "marker": "m", "marker_created": datetime.datetime(2026, 1, 1), "rows": 21}
    with db.reader() as session:
        session.execute(statement, values)
        text, bound = db_statements[-1]
        plan = [row[3] for row in session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", bound)]
    assert "instances_of_tenant_alone" in plan[0]
    assert not [line for line in plan if "SCAN" in line or "TEMP B-TREE" in line]


def test_a_form_of_the_statement_is_made_once():
    assert loading._select(by_id=True) is loading._select(by_id=True)
    assert loading._select(by_id=True) is not loading._select(by_id=True, by_tenant=True)
