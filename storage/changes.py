"""The change feed: what was created, changed and deleted, in order, and with whose token."""

import tokens
from clock import now
from database import insert, rows
from records import Record


def list_changes(after: int = 0, limit: int = 25) -> list[Record]:
    """What was created, changed and deleted after a sequence number, in order: seq, at, type, id, action, tokenId.

    `tokenId` is that of the token with which it was done, None for a command; it does not go out on the wire. A reader
    that keeps the last `seq` misses nothing: the number is given in the transaction that makes the change, and only
    one such transaction runs at a time (`database.writing`). So numbers become visible in their own order, and none
    that is still to come is smaller than one that was read.
    """
    names = ["seq", "at", "type", "id", "action", "tokenId"]
    page = "SELECT seq, at, type, record_id, action, token_id FROM change WHERE seq > ? ORDER BY seq LIMIT ?"
    return [dict(zip(names, row, strict=True)) for row in rows(page, [after, limit])]


def record_change(kind: str, record_id: str, action: str) -> None:
    by = tokens.caller.get()
    values = (now(), kind, record_id, action, by.token_id if by else None)
    insert("INTO change (at, type, record_id, action, token_id)", "(?, ?, ?, ?, ?)", [values])
