"""The change feed: what was created, changed and deleted, in order, and with whose token."""

from contextvars import ContextVar

from clock import now
from crm.records import Record
from crm.seam import store

# The token with which the present call was made, and its user; None for a command.
calling_token: ContextVar[int | None] = ContextVar("calling_token", default=None)
calling_user: ContextVar[str | None] = ContextVar("calling_user", default=None)


def list_changes(after: int = 0, limit: int = 25) -> list[Record]:
    """What was created, changed and deleted after a sequence number, in order: seq, at, type, id, action, tokenId.

    `tokenId` is None for a command; it does not go out on the wire. A reader that keeps the last `seq` misses nothing:
    the number is given in the transaction that makes the change, and only one such transaction runs at a time. So
    numbers become visible in their own order, and none that is still to come is smaller than one that was read.
    """
    return store.changes.page(after, limit)


def record_change(kind: str, record_id: str, action: str) -> None:
    """Note a change; called in the transaction that makes it."""
    store.changes.append(kind, record_id, action, now(), calling_token.get())
