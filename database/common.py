"""What is the same whatever the database: the connection at hand, and how statements are run on it."""

from collections.abc import Generator, Sequence, Sized
from pathlib import Path
from typing import Any, NamedTuple

from peewee import (  # type: ignore[attr-defined]
    EXCEPTIONS,
    SQL,
    AutoField,
    Context,
    DatabaseError,
    DatabaseProxy,
    InterfaceError,
    InternalError,
    NodeList,
    OperationalError,
    SqliteDatabase,
    __exception_wrapper__,
)

db = DatabaseProxy()


class Damaged(DatabaseError):
    """The file is damaged, or no database: of all kinds of DatabaseError the bare one of SQLite's module."""


EXCEPTIONS["DatabaseError"] = Damaged  # by these names Peewee gives the errors of drivers its own types

# What the database says when it can't serve now (locked, full, not writable, gone): a 503, not a fault of the caller.
Unavailable = (OperationalError, InterfaceError, InternalError, Damaged)
# What `start` raises for a database that can't be made, opened or brought up to date, or is none.
Unusable = (OSError, DatabaseError, InterfaceError)

MIGRATIONS = Path(__file__).parent.with_name("migrations")
LOCK_TIMEOUT = 5  # seconds that a call waits for its turn to write, and for a lock of another program
_MOST_PARAMETERS = 30_000  # of one statement: SQLite's limit is 32,766, PostgreSQL's 65,535


class NeverReusedId(AutoField):
    """An integer primary key that is not given out again after its row was deleted.

    SQLite's own would give the id of the newest row, once deleted, to the next one: a client that kept it would be
    shown somebody else's letter.
    """

    def ddl(self, ctx: Context) -> Any:
        node = super().ddl(ctx)
        return NodeList((node, SQL("AUTOINCREMENT"))) if isinstance(db.obj, SqliteDatabase) else node


class DatabaseProblem(NamedTuple):
    """Why the database can't serve, in words that quote nothing of what is stored; and whether the disk is full."""

    reason: str
    disk_full: bool


def execute(sql: str, parameters: Sequence[Any] = ()) -> Any:
    """Run one statement with ``?`` for each parameter; gives the cursor."""
    return db.execute_sql(db.dialect(sql), parameters)


def rows(sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """All rows of a query."""
    cursor = execute(sql, parameters)
    with __exception_wrapper__:  # a page that can't be read may be one that only a later row needs
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found


def iterate(sql: str, parameters: Sequence[Any] = ()) -> Generator[tuple[Any, ...], None, None]:
    """The rows of a query one by one, as all together may be too large; close it to be given no more."""
    with __exception_wrapper__:
        yield from db.stream(db.dialect(sql), parameters)


def insert(into: str, values: str, table: Sequence[Sequence[Any]]) -> None:
    """Insert many rows in one statement: ``insert("INTO t (a, b)", "(?, ?)", [(1, 2), (3, 4)])``.

    More rows than a statement has room for go in several. A conflict with a row that is there is no error.
    """
    if not table:
        return
    step = _MOST_PARAMETERS // len(table[0])
    for lowest in range(0, len(table), step):
        part = table[lowest : lowest + step]
        execute(
            f"INSERT {into} VALUES {', '.join([values] * len(part))} ON CONFLICT DO NOTHING",
            [value for row in part for value in row],
        )


def placeholders(values: Sized) -> str:
    """``?, ?, ?``: a parameter's place for each of the values; NULL, which equals nothing, for none."""
    return ", ".join("?" * len(values)) or "NULL"
