"""Access to the store: a function that is missing makes a call 501; what is `retried` computes outside the write lock,
and writes inside."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import store as _store
from crm.records import NotOffered

_TRIES = 5
HELD = 0.02  # seconds for which one of many transactions writes
A = TypeVar("A")
B = TypeVar("B")
P = ParamSpec("P")


class _Part:
    """A part of the store, by its name. What it does not have makes a call 501."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        try:
            return getattr(getattr(_store, self._name), name)
        except AttributeError:
            raise NotOffered(name) from None


class _Store:
    contacts, companies, users = _Part("contacts"), _Part("companies"), _Part("users")
    emails, timelines, changes = _Part("emails"), _Part("timelines"), _Part("changes")
    withheld, never_log, retention = _Part("withheld"), _Part("never_log"), _Part("retention")

    @staticmethod
    def transaction() -> AbstractContextManager[None]:
        return _store.transaction()

    @staticmethod
    def check() -> None:
        _store.check()

    @staticmethod
    def purge() -> bool:
        if not hasattr(_store, "purge"):
            raise NotOffered("purge")
        return _store.purge()


if TYPE_CHECKING:
    import store as store
else:
    store = _Store


def check() -> None:
    """Raises one of database.Unavailable where nothing can be written."""
    store.check()


def offers(part: Any, name: str) -> bool:
    """Whether a part of the store has a function."""
    try:
        return bool(getattr(part, name))
    except (NotOffered, AttributeError):
        return False


def optional(part: Any, name: str) -> Callable[..., Any]:
    """A function that a store need not have: one that does nothing stands in for it."""
    found: Callable[..., Any] = getattr(part, name) if offers(part, name) else lambda *_: None
    return found


class Stale(Exception):
    """What was read is no longer so."""


def retried(change: Callable[P, B]) -> Callable[P, B]:
    """A change that reads and computes first, takes the write lock then, and raises Stale if what it read has changed.

    Nobody waits for what it reads and computes. It is tried again; the last try has the lock from its beginning, so
    that nothing becomes stale.
    """

    @wraps(change)
    def tried(*args: P.args, **kwargs: P.kwargs) -> B:
        for _ in range(_TRIES - 1):
            with suppress(Stale):
                return change(*args, **kwargs)
        with store.transaction():
            return change(*args, **kwargs)

    return tried


def let_others_write() -> None:
    """Between two transactions of one writer: without a pause it would have the write lock again before others wake."""
    time.sleep(0.005)


def in_short_transactions(things: Iterable[A], write: Callable[[A], B]) -> Iterator[B]:
    """Write some things, so many in a transaction as it takes HELD seconds; gives what `write` gives for each."""
    waiting = deque(things)
    while waiting:
        written: list[B] = []
        with store.transaction():
            end = time.monotonic() + HELD
            while waiting and (not written or time.monotonic() < end):
                written.append(write(waiting.popleft()))
        yield from written
        let_others_write()
