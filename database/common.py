"""What is the same whatever the database: the connection at hand, and how statements are run on it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
    """A query was interrupted at its `time_limit`."""


Tables = Callable[[], list[type[Model]]]

MIGRATIONS = Path(__file__).parent.with_name("migrations")
LOCK_TIMEOUT = 5  # seconds that a call waits for the write lock, and for a lock of another program


class NeverReusedId(AutoField):
    """An integer primary key that is not given out again after its row was deleted.

    SQLite's own would give the id of the newest row, once deleted, to the next one: a client that kept it would be
    shown somebody else's email.
    """

    def ddl(self, ctx: Context) -> Any:
        node = super().ddl(ctx)
        return NodeList((node, SQL("AUTOINCREMENT"))) if isinstance(db.obj, SqliteDatabase) else node


class DatabaseProblem(NamedTuple):
    """Why the database can't serve, in words that quote nothing of what is stored; and whether the disk is full."""

    reason: str
    disk_full: bool


def scripts() -> set[str]:
    """The names of the migrations of this version."""
    return {script.stem for script in MIGRATIONS.glob("[0-9]*.py")}


def check_schema(what: str, tables: set[str], applied: set[str], make: bool) -> None:
    """Raises DatabaseError, with a sentence, for a database with tables that must not be served or changed; where none
    may be made, also for one without any."""
    if tables and "schema_migration" not in tables and _beside not in tables:
        raise DatabaseError(f"{what} belongs to another program: it has a table {min(tables)}, and none of ours")
    if not make and "schema_migration" not in tables:
        raise DatabaseError(f"{what} has none of the connector's tables")
    if "0001_tokens" in applied:
        raise DatabaseError(
            f"{what} is of a version before the first release, whose tables were others. "
            "Make a new database, and import the emails and contacts again"
        )
    newer = sorted(applied - scripts())
    if newer:
        raise DatabaseError(f"{what} was written by a newer version, which has {newer[-1]}. Install that one")


_declared: Tables = list
_beside = ""


def declare(tables: Tables, beside: str = "") -> None:
    """Say which tables a new database is to have: models.py does; who comes last is right.

    A store that keeps records in a CRM's own tables names one of these: so its database is known, and the connector's
    tables are made `beside` the CRM's. Any other database with tables in it is refused.
    """
    global _declared, _beside
    _declared, _beside = tables, beside


def make_tables(database: Database) -> set[str]:
    """Make the tables of a new database, or bring an older one up to date; gives the names of its migrations."""
    runner = Runner(database, str(MIGRATIONS))
    if "schema_migration" in database.get_tables():
        runner.up()
    else:
        with database.atomic():  # all or none: tables without that of migrations would be another program's
            database.create_tables(_declared())
            runner.up(fake=True)
    return set(runner.applied())


@contextmanager
def borrowed(connection: Any) -> Iterator[None]:
    """Within it, this thread's queries run on a connection that somebody else has opened, to a database of the kind
    that was started. This thread has none of its own then."""
    db._state.set_connection(connection)
    try:
        yield
    finally:
        db._state.reset()


def execute(sql: str, parameters: Sequence[Any] = ()) -> Any:
    """Run one statement, with the places of its parameters as the driver has them; gives the cursor."""
    return db.execute_sql(sql, parameters)


def rows(sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """All rows of a query."""
    cursor = execute(sql, parameters)
    with __exception_wrapper__:  # a page that can't be read may be one that only a later row needs
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found
