"""What all of this CRM's tables have in common: ids, soft deletion, times; and pages of what was changed."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from peewee import Tuple, chunked
from records import Cursor, NotFound, Page, Record

from clock import stamp


def write(table: Any, row_id: str, columns: Mapping[str, Any], is_new: bool) -> None:
    """Insert or update a row. One that was marked as deleted is taken back into use."""
    values = {**columns, "date_modified": utcnow(), "deleted": False}
    if is_new:
        values["date_entered"] = values["date_modified"]
    if not table.update(values).where(table.id == row_id).execute():
        table.insert(id=row_id, **values).execute()


def mark_deleted(table: Any, row_id: str) -> None:
    """Delete a row as the CRM does. Raises NotFound."""
    deletion = table.update(deleted=True, date_modified=utcnow())
    if not deletion.where(table.id == row_id, ~table.deleted).execute():
        raise NotFound


def insert(table: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert many rows, 500 in a statement."""
    for part in chunked(rows, 500):
        table.insert_many(part).execute()


def tuples(query: Any) -> list[tuple[Any, ...]]:
    """The rows of a query, as plain tuples."""
    return list(query.tuples())


def only(records: Sequence[Record]) -> Record:
    """The one record there is. Raises NotFound where there is none."""
    if not records:
        raise NotFound
    return records[0]


def age(record: Record) -> tuple[str, str]:
    """To sort by: the oldest first, then by id."""
    return record["createdAt"], record["id"]


def gaps(old: Record, new: Mapping[str, Any]) -> Record:
    """The fields that are empty in the old record, as the new one has them."""
    return {name: value for name, value in new.items() if not old[name]}


def behind(at: Any, row_id: Any, since: str | None, after: Cursor | None) -> list[Any]:
    """The conditions for a page of what was changed since a time, or behind a cursor; `at` is the time's column."""
    if since == "":  # an empty filter matches nothing
        return [at.is_null()]
    if after:
        return [Tuple(at, row_id) > Tuple(crm_time(after[0]), after[1])]
    return [at >= crm_time(since)] if since else []


def first_page(found: Sequence[Record], limit: int) -> Page:
    """The longest unchanged of the records, of which there is one too many where there is a next page."""
    records = sorted(found, key=lambda record: (record["updatedAt"], record["id"]))
    last = records[limit - 1] if len(records) > limit else None
    return Page(records[:limit], (last["updatedAt"], last["id"]) if last else None)


def utcnow() -> datetime:
    """This moment, as the CRM stores times."""
    return datetime.now(UTC).replace(tzinfo=None)


def crm_time(text: str | None) -> datetime | None:
    """A time of the wire as the CRM stores it."""
    return datetime.fromisoformat(text).replace(tzinfo=None) if text else None


def wire_time(moment: datetime | None) -> str | None:
    """A time of the CRM as it is on the wire."""
    return stamp(moment.replace(tzinfo=UTC)) if moment else None
