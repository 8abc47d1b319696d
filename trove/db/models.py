"""What the row classes of all resources share: declarative base, times, soft deletion, pages in order of creation."""
import datetime
import uuid

import sqlalchemy
from oslo_utils import timeutils
from sqlalchemy import orm
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from trove.common import exception

registry = orm.registry()


def new_id():
    """A fresh lower-case UUID4 as text."""
    return str(uuid.uuid4())


def utcnow():
    """Now as a naive UTC time without fractions, as the contract stores and shows it."""
    return timeutils.utcnow().replace(microsecond=0)


class Row:
    """Mixin of the row classes.

    label: the word for the thing in messages; notes: columns whose change alone leaves ``updated`` as it is.
    """

    label = "object"
    notes = frozenset()

    @classmethod
    def live(cls):
        """A SELECT of the rows that are not deleted."""
        query = sqlalchemy.select(cls)
        if "deleted" in cls.__table__.c:
            query = query.where(cls.deleted.is_(False))
        return query

    @classmethod
    def get(cls, session, row_id, context=None):
        """The live row with that id.

        context: if given, rows of another tenant are refused unless it is an administrator's.
        Raises NotFound, the same for absent, deleted and foreign rows.
        """
        query = cls.live().where(cls.id == row_id)
        if context is not None and not context.is_admin:
            query = query.where(cls.tenant_id == context.project_id)
        row = session.execute(query).scalars().one_or_none()
        if row is None:
            raise exception.NotFound(resource=cls.label, id=row_id)
        return row

    def soft_delete(self):
        """Mark the row deleted."""
        self.deleted = True
        self.deleted_at = utcnow()


def add_defaults(row):
    """Fill id, created, updated and deleted of a row that is about to be inserted, where the table has them."""
    columns = row.__table__.c
    if "id" in columns and row.id is None:
        row.id = new_id()
    moment = utcnow()
    for name in ("created", "updated"):
        if name in columns and getattr(row, name) is None:
            setattr(row, name, moment)
    if "deleted" in columns and row.deleted is None:
        row.deleted = False


@sqlalchemy.event.listens_for(orm.Session, "before_flush")
def _stamp(session, _flush_context, _instances):
    for row in session.new:
        if isinstance(row, Row):
            add_defaults(row)
    for row in session.dirty:
        if isinstance(row, Row) and "updated" in row.__table__.c and _changed(row):
            row.updated = utcnow()


def _changed(row):
    return any(attribute.history.has_changes() for attribute in sqlalchemy.inspect(row).attrs
               if attribute.key not in row.notes)


_UPSERTS = {"mysql": mysql.insert, "postgresql": postgresql.insert, "sqlite": sqlite.insert}


def upsert(session, table, rows):
    """Insert rows, or overwrite those that exist, with one statement for all of them at the server.

    rows: dicts with the same columns, among them those of the primary key.
    """
    dialect = session.get_bind().dialect.name
    statement, keys = _UPSERTS[dialect](table), [column.name for column in table.primary_key]
    names = [name for name in rows[0] if name not in keys]
    if dialect == "mysql":
        statement = statement.on_duplicate_key_update({name: statement.inserted[name] for name in names})
    else:
        statement = statement.on_conflict_do_update(
            index_elements=keys, set_={name: statement.excluded[name] for name in names})
    session.execute(statement, rows)


class _Beyond(FunctionElement):
    """``(first, second) > (third, fourth)``, in the form that each database answers from an index."""

    type = sqlalchemy.Boolean()
    name = "beyond"
    inherit_cache = True


@compiles(_Beyond)
def _row_values(element, compiler, **kwargs):
    first, second, third, fourth = (compiler.process(clause, **kwargs) for clause in element.clauses)
    return f"({first}, {second}) > ({third}, {fourth})"


@compiles(_Beyond, "mysql")
def _two_ranges(element, compiler, **kwargs):
    # MariaDB looks at every row for a comparison of row values, and reads two ranges of an index for this.
    first, second, third, fourth = (compiler.process(clause, **kwargs) for clause in element.clauses)
    return f"({first} > {third} OR ({first} = {third} AND {second} > {fourth}))"


def along(query, table, index):
    """Return ``query``, of one page, with the name of the index of a table that has its order.

    By its own estimates a server may take an index that leads through the rows of other tenants.
    """
    return query.with_hint(table, f"FORCE INDEX ({index})", "mysql")


def oldest_first(row_class):
    """Return the columns of the order of lists: time of creation, then id."""
    return row_class.created, row_class.id


def beyond_marker(row_class, newest_first=False):
    """Return the condition that a row comes after the marker of a page.

    Its parameters ``marker_created`` and ``marker`` are the values that ``find_marker`` returns. newest_first: for
    lists in the opposite order.
    """
    row = [row_class.created, row_class.id]
    marker = [sqlalchemy.bindparam("marker_created", type_=sqlalchemy.DateTime),
              sqlalchemy.bindparam("marker", type_=sqlalchemy.String)]
    return _Beyond(*marker, *row) if newest_first else _Beyond(*row, *marker)


def find_marker(session, row_class, marker, *conditions):
    """Return the parameters of ``beyond_marker``: {} without a marker (None).

    marker: id of the last row of the page before; the row may have been deleted since. conditions: what else the row
    must fulfil, such as the tenant. Raises BadValue if there is no such row.
    """
    if marker is None:
        return {}
    created = session.execute(sqlalchemy.select(row_class.created).where(
        row_class.id == marker, *conditions)).scalar_one_or_none()
    if created is None:
        raise exception.BadValue(field="marker", reason=f"there is no {row_class.label} with this id.")
    return {"marker_created": created, "marker": marker}


def page(session, query, row_class, limit, marker, *conditions):
    """One page of ``query``, the oldest rows first.

    limit: rows at most; marker: id of the last row of the page before, or None; conditions: see ``find_marker``.
    Returns (rows as the query gives them, marker of the next page or None). Raises BadValue for an unknown marker.
    """
    values = find_marker(session, row_class, marker, *conditions)
    if values:
        query = query.where(beyond_marker(row_class))
    rows = session.execute(query.order_by(*oldest_first(row_class)).limit(limit + 1), values).all()
    return rows[:limit], rows[limit - 1][0].id if len(rows) > limit else None


def iso(moment):
    """A stored time as the contract writes it (YYYY-MM-DDTHH:MM:SS), None for None."""
    return moment.isoformat(timespec="seconds") if isinstance(moment, datetime.datetime) else None
