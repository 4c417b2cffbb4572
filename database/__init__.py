"""The one place that opens connections and knows what differs between databases.

    database.start("sqlite:///instance/connector.db")  # or postgresql://user@host/name
    with database.writing():
        database.execute("INSERT …", [...])

The rooms above write SQL in SQLite's words, with ``?`` for each parameter; a `dialect` knows the few that differ.
"""

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType

from peewee import SqliteDatabase

from database import sqlite
from database.common import (
    MIGRATIONS,
    PATIENCE,
    Damaged,
    NeverReusedId,
    Trouble,
    Unavailable,
    Unusable,
    db,
    execute,
    insert,
    iterate,
    marks,
    rows,
)
from database.sqlite import alone, check, check_room, locate, sync

__all__ = [
    "MIGRATIONS",
    "PATIENCE",
    "Damaged",
    "NeverReusedId",
    "Trouble",
    "Unavailable",
    "Unusable",
    "alone",
    "attach",
    "check",
    "check_room",
    "db",
    "execute",
    "insert",
    "iterate",
    "locate",
    "marks",
    "rows",
    "sync",
]

_kind: ModuleType = sqlite  # or postgresql


def start(url: str, most_connections: int | None = None, make: bool = True) -> None:
    """Name the database, make it where there is none, and bring its tables up to date.

    With `make` false it must be there and be one of the connector: raises FileNotFoundError or DatabaseError.
    """
    global _kind
    stop()
    if url.startswith("postgresql://"):
        from database import postgresql  # not above: with SQLite its library need not even be loaded

        kind: ModuleType = postgresql
    else:
        kind = sqlite
    kind.start(url, most_connections, make)
    _kind = kind


def attach(path: Path) -> SqliteDatabase:
    """Name a database file as it is; `start` does more."""
    global _kind
    stop()
    _kind = sqlite
    return sqlite.attach(path)


def stop() -> None:
    """Close this thread's connection, and those that nobody uses."""
    _kind.stop()


def release() -> None:
    """A call has ended: its connection is for others."""
    _kind.release()


def follow(glance: float = 0) -> None:
    """Notice that the database which this thread has open has gone or was replaced.

    `glance`: seconds for which one look is enough.
    """
    _kind.follow(glance)


def writing(patience: float = PATIENCE) -> AbstractContextManager[None]:
    """A transaction that writes; all of it is kept, or nothing. May be nested.

    Writers take turns: what is read in it stays as it is until it ends. Raises OperationalError where others don't stop
    writing for so many seconds; with 0, at once. Readers need neither lock nor transaction.
    """
    context: AbstractContextManager[None] = _kind.writing(patience)
    return context


def may_repeat(error: Exception) -> bool:
    """Whether a call that ended with this error has certainly left nothing, and may do better at once."""
    return bool(_kind.may_repeat(error))


def forget() -> bool:
    """Leave no trace of what was deleted; False where something is in the way."""
    return bool(_kind.forget())


def backup(file: Path) -> int | None:
    """Write a copy of the database, as it is at this moment, into a new file, while others go on writing.

    Gives the number of emails in the copy. Removes what killed backups have left in the
    file's folder. Raises FileExistsError, OSError with ENOSPC before the disk is full, and what `start` raises.
    """
    emails: int | None = _kind.backup(file)
    return emails


def check_writable() -> None:
    """Raises one of Unavailable, or OSError, where nothing can be written."""
    _kind.check_writable()


def trouble(error: Exception) -> Trouble | None:
    """What one of Unavailable or an OSError means; None for an error that is a fault of the program."""
    found: Trouble | None = _kind.trouble(error)
    return found


def indexed(texts: Sequence[str | None]) -> dict[str, str]:
    """The columns of an email's row that the search needs besides, of its texts."""
    columns: dict[str, str] = _kind.indexed(texts)
    return columns


def full_text(query: str) -> tuple[str, str, str]:
    """A full-text search: the tables, the email being ``e``; the condition; its parameter.

    In `query` are words, "phrases", beginnings* and -excluded ones; all must be found. Raises ValueError with the
    reason for one that can't be searched for. On SQLite it may write: the index lags behind the mails until then.
    """
    if query.count('"') % 2:
        raise ValueError("A quotation mark is not closed.")
    wanted: list[tuple[str, bool]] = []
    unwanted: list[tuple[str, bool]] = []
    for minus, phrase, word, star in re.findall(r'(-?)(?:"([^"]*)"|([^\s"]+?)(\*?)(?=[\s"]|$))', query):
        if re.search(r"[^\W_]", phrase or word):
            (unwanted if minus else wanted).append((phrase or word, bool(star)))
    if not wanted:
        raise ValueError("There is no word to search for.")
    # A phrase of thousands of words, or what is written as one (a.a.a), takes minutes and gigabytes.
    if len(re.findall(r"[^\W_]+|[^\x00-\x7f]", " ".join(text for text, _ in wanted + unwanted))) > 32:
        raise ValueError("More than 32 words.")
    search: tuple[str, str, str] = _kind.full_text(wanted, unwanted)
    return search
