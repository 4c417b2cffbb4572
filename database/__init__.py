"""The one place that opens connections and knows what differs between databases.

    database.start("sqlite:///instance/connector.db")  # or postgresql://user@host/name
    with database.writing():
        database.execute("INSERT …", [...])

What each kind of database has of its own is in sqlite.py (with copies.py) and postgresql.py; `_kind` chooses between
the two. What the functions of the same names there do is said here.
"""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from peewee import SqliteDatabase

from database import copies, sqlite
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
    rows,
)
from database.copies import check_room, overwrite
from database.sqlite import is_in_use, locate, open_private, parts, raise_last_ids

NO_POSTGRESQL = "Psycopg, the library for PostgreSQL, is missing here; connector-postgresql.pyz has it"


def _kind() -> Any:
    """The module that knows the database that is open."""
    return _kind_of("sqlite:" if db.obj is None or isinstance(db.obj, SqliteDatabase) else "postgresql:")


def _kind_of(url: str) -> Any:
    if url.startswith("sqlite:"):
        return sqlite
    try:
        from database import postgresql  # not above: with SQLite its library need not even be loaded
    except ImportError:
        raise OSError(NO_POSTGRESQL) from None
    return postgresql


def start(url: str, most_connections: int | None = None, make: bool = True) -> None:
    """Name the database, make it where there is none, and bring its tables up to date.

    With `make` false it must be there and be one of the connector: raises FileNotFoundError or DatabaseError.
    """
    stop()
    _kind_of(url).start(url, most_connections, make)


def attach(url: str) -> None:
    """Name a database as it is, with whatever tables it has; `start` does more.

    Raises DatabaseError, with a sentence, for one that must not be served or changed.
    """
    stop()
    _kind_of(url).attach(url)


def exclusive_use(url: str) -> AbstractContextManager[Any]:
    """Have a database to oneself, through the one connection that is given: the driver's own, beside the others.

    Nobody writes or starts on it meanwhile. Raises FileNotFoundError where there is none, and BlockingIOError where
    somebody has it open, as a service has from its first call on.
    """
    return _kind_of(url).exclusive_use(url)


def stop() -> None:
    """Close this thread's connection, and those that nobody uses."""
    _kind().stop()


def release() -> None:
    """A call has ended: its connection is for others."""
    _kind().release()


def writing(timeout: float = LOCK_TIMEOUT) -> AbstractContextManager[None]:
    """A transaction that writes; all of it is kept, or nothing. May be nested.

    Only one is under way at a time: what is read in it stays as it is until it ends. Raises OperationalError where
    others don't stop writing for so many seconds; with 0, at once. Readers need neither lock nor transaction.
    """
    return _kind().writing(timeout)


def time_limit(seconds: float) -> AbstractContextManager[None]:
    """Interrupt what this thread reads in it after so many seconds: raises TookTooLong. Not within a transaction."""
    return _kind().time_limit(seconds)


def snapshot() -> AbstractContextManager[None]:
    """A transaction that only reads, and sees all as it was at one moment. It takes no lock, and may take its time."""
    return _kind().snapshot()


def is_retryable(error: Exception) -> bool:
    """Whether a call that ended with this error has certainly left nothing, and may do better at once."""
    return _kind().is_retryable(error)


def purge_deleted() -> bool:
    """Leave no trace of what was deleted; False where something is in the way."""
    return _kind().purge_deleted()


def last_id(table: str, column: str = "id") -> int:
    """The last id that a table with a NeverReusedId has given, also to a row that is gone; 0 if it gave none."""
    return _kind().last_id(table, column)


def backup(file: Path) -> int | None:
    """Write a copy of the database, as it is at this moment, into a new file, while others go on writing.

    Gives the number of emails in the copy. Removes what killed backups have left in the file's folder. Raises
    FileExistsError, OSError with ENOSPC before the disk is full or for PostgreSQL, and what `start` raises.
    """
    if _kind() is not sqlite:
        raise OSError("Copy a PostgreSQL database with its own pg_dump")
    return copies.backup(file)


def size() -> int:
    """How many bytes the database takes."""
    return int(_kind().size())


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
    return _kind().problem_of(error)
