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
    StorageError,
    TookTooLong,
    Unavailable,
    Unusable,
    borrowed,
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
    "StorageError",
    "TookTooLong",
    "Unavailable",
    "Unusable",
    "exclusive_use",
    "attach",
    "borrowed",
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


def _kind() -> ModuleType:
    """The module that knows the database that is open."""
    if db.obj is None or isinstance(db.obj, SqliteDatabase):
        return sqlite
    from database import postgresql  # not above: with SQLite its library need not even be loaded

    return postgresql


def start(url: str, most_connections: int | None = None, make: bool = True) -> None:
    """Name the database, make it where there is none, and bring its tables up to date.

    With `make` false it must be there and be one of the connector: raises FileNotFoundError or DatabaseError.
    """
    stop()
    if url.startswith("postgresql://"):
        from database import postgresql

        postgresql.start(url, most_connections, make)
    else:
        sqlite.start(url, most_connections, make)


def attach(path: Path) -> SqliteDatabase:
    """Name a database file as it is; `start` does more."""
    stop()
    return sqlite.attach(path)


def attach_server(url: str) -> None:
    """Name a PostgreSQL database as it is, with whatever tables it has; `start` does more. Raises DatabaseError."""
    stop()
    from database import postgresql

    postgresql.attach(url)


def stop() -> None:
    """Close this thread's connection, and those that nobody uses."""
    _kind().stop()


def release() -> None:
    """A call has ended: its connection is for others."""
    _kind().release()


def writing(timeout: float = LOCK_TIMEOUT) -> AbstractContextManager[None]:
    """A transaction that writes; all of it is kept, or nothing. May be nested.

    Writers take turns: what is read in it stays as it is until it ends. Raises OperationalError where others don't stop
    writing for so many seconds; with 0, at once. Readers need neither lock nor transaction.
    """
    context: AbstractContextManager[None] = _kind().writing(timeout)
    return context


def time_limit(seconds: float) -> AbstractContextManager[None]:
    """Break off what this thread reads in it after so many seconds: raises TookTooLong. Not within a transaction."""
    context: AbstractContextManager[None] = _kind().time_limit(seconds)
    return context


def snapshot() -> AbstractContextManager[None]:
    """A transaction that only reads, and sees all as it was at one moment. It takes no lock, and may take its time."""
    context: AbstractContextManager[None] = _kind().snapshot()
    return context


def is_retryable(error: Exception) -> bool:
    """Whether a call that ended with this error has certainly left nothing, and may do better at once."""
    return bool(_kind().is_retryable(error))


def purge_deleted() -> bool:
    """Leave no trace of what was deleted; False where something is in the way."""
    return bool(_kind().purge_deleted())


def had_rows(table: str) -> bool:
    """Whether a table whose ids are never given again has, or ever had, a row."""
    return bool(_kind().had_rows(table))


def backup(file: Path) -> int | None:
    """Write a copy of the database, as it is at this moment, into a new file, while others go on writing.

    Gives the number of emails in the copy. Removes what killed backups have left in the
    file's folder. Raises FileExistsError, OSError with ENOSPC before the disk is full, and what `start` raises.
    """
    emails: int | None = _kind().backup(file)
    return emails


def check_writable() -> None:
    """Raises one of Unavailable where nothing can be written."""
    _kind().check_writable()


def reason_of(error: Exception) -> str:
    """Why a command could not do its work, for people: of one of Unusable or Unavailable."""
    problem = problem_of(error) if isinstance(error, Unavailable) else None
    if problem:
        return problem.reason
    return (isinstance(error, OSError) and error.strerror) or str(error)


def problem_of(error: Exception) -> DatabaseProblem | None:
    """What one of Unavailable means; None for an error that is a fault of the program."""
    found: DatabaseProblem | None = _kind().problem_of(error)
    return found
