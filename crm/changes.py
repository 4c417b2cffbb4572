"""The change feed: what was created, changed and deleted, in order, and with whose token."""

from contextvars import ContextVar

from clock import later
from crm.records import Conflict, Record
from crm.seam import store

# The token with which the present call was made, and its user; None for a command.
calling_token: ContextVar[int | None] = ContextVar("calling_token", default=None)
calling_user: ContextVar[str | None] = ContextVar("calling_user", default=None)


def list_changes(after: int = 0, limit: int = 25) -> list[Record]:
    """What was created, changed and deleted after a sequence number, in order: seq, at, type, id, action, tokenId.

    `tokenId` is None for a command; it does not go out on the wire. A reader that keeps the last `seq` misses nothing:
    the number is given in the transaction that makes the change, and only one such transaction runs at a time. So
    numbers become visible in their own order, and none that is still to come is smaller than one that was read. Raises
    Conflict for a number that was not given yet: it is of another database, and who goes on from there misses much.
    """
    found: list[Record] = store.changes.page(after, limit)
    if not found and after > store.changes.last():
        raise Conflict("There is no change of this number yet. Begin again at 0.")
    return found


def newest_changes(limit: int = 50) -> list[Record]:
    """The last changes, the newest first; of numbers whose change was erased, so many fewer."""
    after = max(store.changes.last() - limit, 0)
    return list(reversed(store.changes.page(after, limit)))


def change_time() -> str:
    """The time of a change, later than that of every change before; called in the transaction that makes it.

    By a microsecond where the clock stands still or was set back, also when another server's runs ahead: who keeps the
    last `updatedAt` that was read misses nothing.
    """
    return later(store.changes.newest())


def record_change(kind: str, record_id: str, action: str, at: str | None = None) -> None:
    """Note a change; called in the transaction that makes it, with its `change_time` where the record shows it."""
    store.changes.append(kind, record_id, action, at or change_time(), calling_token.get())
