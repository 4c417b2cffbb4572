"""What is the same whatever the database: the connection at hand, and how statements are run on it."""

from collections.abc import Callable, Sequence, Sized
from pathlib import Path
from typing import Any, NamedTuple

from peewee import (  # type: ignore[attr-defined]
    EXCEPTIONS,
    SQL,
    AutoField,
    Context,
    Database,
    DatabaseError,
    DatabaseProxy,
    InterfaceError,
    InternalError,
    Model,
    NodeList,
    OperationalError,
    SqliteDatabase,
    __exception_wrapper__,
)
from playhouse.migrations import Runner

db = DatabaseProxy()


class Damaged(DatabaseError):
    """The file is damaged, or no database: of all kinds of DatabaseError the bare one of SQLite's module."""


class StorageError(OSError):
    """The folder, the lock file or the disk of the database fails. No other OSError is the database's."""


EXCEPTIONS["DatabaseError"] = Damaged  # by these names Peewee gives the errors of drivers its own types

# What the database says when it can't serve now (locked, full, not writable, gone): a 503, not a fault of the caller.
Unavailable = (OperationalError, InterfaceError, InternalError, Damaged, StorageError)
# What `start` raises for a database that can't be made, opened or brought up to date, or is none.
Unusable = (OSError, DatabaseError, InterfaceError)


class TookTooLong(Exception):
    """A query was broken off at its `time_limit`."""


Tables = Callable[[], list[type[Model]]]

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


def check_schema(what: str, tables: set[str], applied: set[str]) -> None:
    """Raises DatabaseError, with a sentence, for a database with tables that must not be served or changed."""
    if tables and "schema_migration" not in tables:
        raise DatabaseError(f"{what} belongs to another program: it has a table {min(tables)}, and none of ours")
    if "0001_tokens" in applied:
        raise DatabaseError(
            f"{what} is of a version before the first release, whose tables were others. "
            "Make a new database, and import the emails and contacts again"
        )
    newer = sorted(applied - {script.stem for script in MIGRATIONS.glob("[0-9]*.py")})
    if newer:
        raise DatabaseError(f"{what} was written by a newer version, which has {newer[-1]}. Install that one")


_declared: list[Tables] = []


def declare(tables: Tables) -> None:
    """Say which tables a new database is to have: models.py does."""
    _declared[:] = [tables]


def make_tables(database: Database) -> set[str]:
    """Make the tables of a new database, or bring an older one up to date; gives the names of its migrations."""
    runner = Runner(database, str(MIGRATIONS))
    is_new = not database.get_tables()
    if is_new:
        with database.atomic():
            runner.applied()  # which makes the table of migrations
            for tables in _declared:
                database.create_tables(tables())
    runner.up(fake=is_new)
    return set(runner.applied())


def execute(sql: str, parameters: Sequence[Any] = ()) -> Any:
    """Run one statement, with the places of its parameters as the driver has them; gives the cursor."""
    return db.execute_sql(sql, parameters)


def rows(sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """All rows of a query."""
    cursor = execute(sql, parameters)
    with __exception_wrapper__:  # a page that can't be read may be one that only a later row needs
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found


def placeholders(values: Sized) -> str:
    """``?, ?, ?``: a parameter's place for each of the values; NULL, which equals nothing, for none."""
    return ", ".join("?" * len(values)) or "NULL"
