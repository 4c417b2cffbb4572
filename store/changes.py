"""The change feed."""

from typing import Any

from peewee import fn

from database import last_id
from database.query import Prepared, param
from models import Change

_APPEND = Prepared(
    lambda: Change.insert(
        at=param("at"),
        type=param("type"),
        record_id=param("record_id"),
        action=param("action"),
        token_id=param("token_id"),
    )
)
_PAGE = Prepared(
    lambda: (
        Change.select(Change.seq, Change.at, Change.type, Change.record_id, Change.action, Change.token_id)
        .where(Change.seq > param("after"))
        .order_by(Change.seq)
        .limit(param("limit"))
    )
)
_NEWEST = Prepared(lambda: Change.select(Change.at).where(Change.seq == Change.select(fn.MAX(Change.seq))))
_DELETE = Prepared(lambda: Change.delete().where(Change.seq == param("seq")))
_NAMES = ["seq", "at", "type", "id", "action", "tokenId"]


def append(kind: str, record_id: str, action: str, at: str, token_id: int | None) -> None:
    """Note that a record was created, changed or deleted. The number is given in the transaction of the change."""
    _APPEND.run(at=at, type=kind, record_id=record_id, action=action, token_id=token_id)


def page(after: int, limit: int) -> list[dict[str, Any]]:
    """The changes behind a number, in order: seq, at, type, id, action, tokenId."""
    return [dict(zip(_NAMES, row, strict=True)) for row in _PAGE(after=after, limit=limit)]


def last() -> int:
    """The last number that was given, also to a change that is not here any more."""
    return last_id("change", "seq")


def newest() -> str:
    """The time of the last change; "" where there is none."""
    row = _NEWEST.first()
    return row[0] if row else ""


def delete(seq: int) -> None:
    """Remove a change, as its record's id is a person's address."""
    _DELETE.run(seq=seq)
