"""Access to the store: a function that is missing makes a call 501; what is `retried` computes outside the write lock,
and writes inside."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import store as _store
from crm.records import NotOffered

_TRIES = 5
P = ParamSpec("P")
T = TypeVar("T")


class _Part:
    """A part of the store. What it does not have makes a call 501."""

    def __init__(self, get: Any) -> None:
        self._get = get

    def __getattr__(self, name: str) -> Any:
        try:
            return getattr(self._get(), name)
        except AttributeError:
            raise NotOffered(name) from None


class _Store:
    contacts = _Part(lambda: _store.contacts)
    companies = _Part(lambda: _store.companies)
    users = _Part(lambda: _store.users)
    emails = _Part(lambda: _store.emails)
    changes = _Part(lambda: _store.changes)
    withheld = _Part(lambda: _store.withheld)
    never_log = _Part(lambda: _store.never_log)
    retention = _Part(lambda: _store.retention)
    timelines = _Part(lambda: _store.timelines)

    @staticmethod
    def transaction() -> AbstractContextManager[None]:
        return _store.transaction()

    @staticmethod
    def check() -> None:
        _store.check()

    @staticmethod
    def purge() -> bool:
        return _Part(lambda: _store).purge()


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


def retried(change: Callable[P, T]) -> Callable[P, T]:
    """A change that reads and computes first, takes the write lock then, and raises Stale if what it read has changed.

    Nobody waits for what it reads and computes. It is tried again; the last try has the lock from its beginning, so
    that nothing becomes stale.
    """

    @wraps(change)
    def tried(*args: P.args, **kwargs: P.kwargs) -> T:
        for _ in range(_TRIES - 1):
            with suppress(Stale):
                return change(*args, **kwargs)
        with store.transaction():
            return change(*args, **kwargs)

    return tried


def let_others_write() -> None:
    """Between two transactions of one writer: without a pause it would have the write lock again before others wake."""
    time.sleep(0.005)
