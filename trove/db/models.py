"""What the row classes of all resources share: the declarative base, times, soft deletion, paging by id."""
import datetime
import uuid

import sqlalchemy
from oslo_utils import timeutils
from sqlalchemy import orm

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


def page(session, query, row_class, limit, marker):
    """One page of ``query`` ordered by id.

    limit: rows at most; marker: id after which the page starts, or None.
    Returns (rows, marker of the next page or None).
    """
    if marker is not None:
        query = query.where(row_class.id > marker)
    rows = session.execute(query.order_by(row_class.id).limit(limit + 1)).scalars().all()
    return rows[:limit], rows[limit - 1].id if len(rows) > limit else None


def iso(moment):
    """A stored time as the contract writes it (YYYY-MM-DDTHH:MM:SS), None for None."""
    return moment.isoformat(timespec="seconds") if isinstance(moment, datetime.datetime) else None
