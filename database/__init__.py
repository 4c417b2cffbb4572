"""The one place that opens connections and knows what differs between databases.

    database.start("sqlite:///instance/connector.db")  # or postgresql://user@host/name
    with database.writing():
        database.execute("INSERT …", [...])

The rooms above write SQL in SQLite's words, with ``?`` for each parameter; a `dialect` knows the few that differ.
"""

from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType

from peewee import SqliteDatabase

from database import sqlite
from database.common import (
    LOCK_TIMEOUT,
    MIGRATIONS,
    Damaged,
    DatabaseProblem,
    NeverReusedId,
    Unavailable,
    Unusable,
    db,
    declare,
    execute,
    placeholders,
    rows,
)
from database.sqlite import PARTS, check, check_room, exclusive_use, is_in_use, locate, open_private, overwrite

__all__ = [
    "MIGRATIONS",
    "PARTS",
    "LOCK_TIMEOUT",
    "Damaged",
    "NeverReusedId",
    "DatabaseProblem",
    "Unavailable",
    "Unusable",
    "exclusive_use",
    "attach",
    "attach_server",
    "check",
    "check_room",
    "db",
    "declare",
    "execute",
    "is_in_use",
    "locate",
    "open_private",
    "overwrite",
    "placeholders",
    "rows",
    "snapshot",
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


def attach_server(url: str) -> None:
    """Name a PostgreSQL database as it is, with whatever tables it has; `start` does more. Raises DatabaseError."""
    global _kind
    stop()
    from database import postgresql

    _kind = postgresql
    postgresql.attach(url)


def stop() -> None:
    """Close this thread's connection, and those that nobody uses."""
    _kind.stop()


def release() -> None:
    """A call has ended: its connection is for others."""
    _kind.release()


def writing(timeout: float = LOCK_TIMEOUT) -> AbstractContextManager[None]:
    """A transaction that writes; all of it is kept, or nothing. May be nested.

    Writers take turns: what is read in it stays as it is until it ends. Raises OperationalError where others don't stop
    writing for so many seconds; with 0, at once. Readers need neither lock nor transaction.
    """
    context: AbstractContextManager[None] = _kind.writing(timeout)
    return context


def snapshot() -> AbstractContextManager[None]:
    """A transaction that only reads, and sees all as it was at one moment. It takes no lock, and may take its time."""
    context: AbstractContextManager[None] = _kind.snapshot()
    return context


def is_retryable(error: Exception) -> bool:
    """Whether a call that ended with this error has certainly left nothing, and may do better at once."""
    return bool(_kind.is_retryable(error))


def purge_deleted() -> bool:
    """Leave no trace of what was deleted; False where something is in the way."""
    return bool(_kind.purge_deleted())


def had_rows(table: str) -> bool:
    """Whether a table whose ids are never given again has, or ever had, a row."""
    return bool(_kind.had_rows(table))


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


def problem_of(error: Exception) -> DatabaseProblem | None:
    """What one of Unavailable or an OSError means; None for an error that is a fault of the program."""
    found: DatabaseProblem | None = _kind.problem_of(error)
    return found
