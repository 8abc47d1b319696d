"""What a page of instances costs the database."""
from trove.instance import loading


def test_a_page_is_read_in_the_order_of_an_index(db):
    statement = loading._select(by_tenant=True, unclustered=True, after=True, paged=True)
    values = {"tenant": "tenant-1", "marker": "m", "rows": 21}
    with db.reader() as session:
        compiled = str(statement.params(values).compile(session.get_bind(), compile_kwargs={"literal_binds": True}))
        plan = [row[3] for row in session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}")]
    assert "instances_of_tenant_alone" in plan[0]
    assert not [line for line in plan if "SCAN" in line or "TEMP B-TREE" in line]


def test_a_form_of_the_statement_is_made_once():
    assert loading._select(by_id=True) is loading._select(by_id=True)
    assert loading._select(by_id=True) is not loading._select(by_id=True, by_tenant=True)
