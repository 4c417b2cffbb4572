"""Emails are put into the search index of SQLite some at a time (`search` says why)."""

from collections.abc import Iterator
from time import monotonic
from typing import Any

from database import TookTooLong, Unavailable, db, writing
from database.query import Prepared, on_sqlite, param
from models import Email
from store import search
from store.email_rows import HEAD, TEXTS, Record, record_of, select
from store.values import Draft
from store.words import joined

_WAITING = Prepared(
    lambda: select({**HEAD, **TEXTS}).where(Email.id > param("after")).order_by(Email.id).limit(param("limit"))
)
_VERSIONS = Prepared(lambda: Email.select(Email.id, Email.updated_at).where(Email.id > param("after")))
_CATCH_UP_TIMEOUT = 0.1  # seconds


def catch_up(new: Draft) -> None:
    """Index the emails that wait, if with this one there are enough, or it is large."""
    if not on_sqlite():
        return
    size = sum(len(text or "") for text in search.texts_of(new.record))
    last = int(new.record["id"])
    while size > search.LARGE or last - search.last_indexed() >= search.AT_A_TIME:
        size = 0
        if not _index(_waiting(search.AT_A_TIME)):
            return


def index_all() -> Iterator[str]:
    """Put all emails that wait into the search index (on PostgreSQL, where none waits: all), in the transaction at
    hand; gives the id of each."""
    after = search.last_indexed() if on_sqlite() else 0
    while found := [record_of({**HEAD, **TEXTS}, row) for row in _WAITING(after=after, limit=search.AT_A_TIME)]:
        for record in found:
            after = int(record["id"])
            search.put_in(after, search.words(search.texts_of(record)))
            yield record["id"]


def _index(waiting: list[tuple[int, Record]]) -> bool:
    """Put emails into the search index; False where others are in the way."""
    words = [(row_id, record["updatedAt"], search.words(search.texts_of(record))) for row_id, record in waiting]
    try:
        with writing(_CATCH_UP_TIMEOUT):
            versions: dict[int, str] = dict(_VERSIONS(after=search.last_indexed()))
            for row_id, updated_at, texts in words:
                if row_id not in versions:  # removed, or indexed by another process
                    continue
                if versions[row_id] != updated_at:
                    return False  # this one and those behind it wait, as the index only grows at its end
                search.put_in(row_id, texts)
    except Unavailable:
        return False
    return bool(waiting)


def _waiting(limit: int) -> list[tuple[int, Record]]:
    """The first emails that are not indexed yet, with what is searched in them."""
    found = [record_of({**HEAD, **TEXTS}, row) for row in _WAITING(after=search.last_indexed(), limit=limit)]
    return [(int(record["id"]), record) for record in found]


_words: dict[int, tuple[Any, str, list[str]]] = {}  # of emails that wait: the database, the version and the words


def waiting_words(seconds: float) -> dict[int, list[str]]:
    """The words of the emails that are not indexed yet, by their rows. Each is read and split once in a process.

    Raises TookTooLong after so many seconds: where others have written for long, many wait. What was split is kept.
    """
    if not on_sqlite():
        return {}
    deadline = monotonic() + seconds
    versions = {row_id: (db.obj, updated_at) for row_id, updated_at in _VERSIONS(after=search.last_indexed())}
    kept = {row_id: words for row_id, (*version, words) in _words.copy().items() if versions.get(row_id) == (*version,)}
    if kept.keys() != versions.keys():
        for row_id in _words.keys() - kept.keys():
            _words.pop(row_id, None)
        for row_id in versions.keys() - kept.keys():
            for row in _WAITING(after=row_id - 1, limit=1):
                record = record_of({**HEAD, **TEXTS}, row)
                if record["id"] == str(row_id):  # not where it was deleted in this moment
                    kept[row_id] = joined(search.texts_of(record))
                    _words[row_id] = db.obj, record["updatedAt"], kept[row_id]
            if monotonic() > deadline:
                raise TookTooLong
    return kept
