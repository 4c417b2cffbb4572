"""The change feed: what was created, changed and deleted, in order."""

from clock import now
from database import insert, rows
from records import Record


def list_changes(after: int = 0, limit: int = 25) -> list[Record]:
    """What was created, changed and deleted after a sequence number, in order: seq, at, type, id, action.

    A reader that keeps the last `seq` misses nothing: the number is given in the transaction that makes the change,
    and only one such transaction runs at a time (`database.writing`). So numbers become visible in their own order,
    and none that is still to come is smaller than one that was read.
    """
    page = "SELECT seq, at, type, record_id, action FROM change WHERE seq > ? ORDER BY seq LIMIT ?"
    return [dict(zip(["seq", "at", "type", "id", "action"], row, strict=True)) for row in rows(page, [after, limit])]


def record_change(kind: str, record_id: str, action: str) -> None:
    insert("INTO change (at, type, record_id, action)", "(?, ?, ?, ?)", [(now(), kind, record_id, action)])
