"""The one place that opens connections and knows what differs between databases.

A connection is opened by the first call of each thread and kept: opening and closing one costs more than a commit.
Nothing is open when this module has done its work at start, so that a server may fork after it.

    database.start("sqlite:///instance/connector.db")
    with database.writing():
        database.execute("INSERT …", [...])
"""

import os
import re
from collections.abc import Iterator, Sequence, Sized
from contextlib import contextmanager
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Any

from peewee import (
    SQL,
    AutoField,
    Context,
    DatabaseError,
    DatabaseProxy,
    InterfaceError,
    NodeList,
    OperationalError,
    SqliteDatabase,
)
from playhouse.migrations import Runner

db = DatabaseProxy()

# What the database says when it can't serve now (locked, full, not writable, gone): a 503, not a fault of the caller.
Unavailable = (OperationalError, InterfaceError)
# What `start` raises for a file that can't be made, opened or brought up to date, or is no database.
Unusable = (OSError, DatabaseError, InterfaceError)

MIGRATIONS = Path(__file__).with_name("migrations")

_PRAGMAS = {
    "journal_mode": "wal",  # readers never wait for a writer
    "synchronous": "full",  # a mail that was acknowledged survives a power failure; NORMAL loses the last ones
    "foreign_keys": 1,  # off by default
    "journal_size_limit": 64 * 1024 * 1024,  # a large import does not leave a large write-ahead log behind
}
_MOST_PARAMETERS = 30_000  # of one statement: SQLite's limit is 32,766, PostgreSQL's 65,535


class NeverReusedId(AutoField):
    """An integer primary key that is not given out again after its row was deleted.

    SQLite's own would give the id of the newest row, once deleted, to the next one: a client that kept it would be
    shown somebody else's letter.
    """

    def ddl(self, ctx: Context) -> Any:
        node = super().ddl(ctx)
        return NodeList((node, SQL("AUTOINCREMENT"))) if isinstance(db.obj, SqliteDatabase) else node


def start(url: str) -> None:
    """Name the database, make it where there is none, and bring its tables up to date."""
    path = Path(url.removeprefix("sqlite:///")).absolute()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        path.touch(mode=0o600)  # people's letters: readable by nobody else; SQLite gives its side files the same mode
    stop()
    # IMMEDIATE: read-then-write in a deferred transaction fails at once with SQLITE_BUSY_SNAPSHOT, whatever timeout.
    db.initialize(SqliteDatabase(str(path), pragmas=_PRAGMAS, timeout=5, lock_type="IMMEDIATE"))
    try:
        with _only_writer():
            Runner(db.obj, str(MIGRATIONS)).up()
    finally:
        db.close()


def stop() -> None:
    """Close this thread's connection."""
    if db.obj is not None and not db.is_closed():
        db.close()


@contextmanager
def writing() -> Iterator[None]:
    """A transaction that writes; all of it is kept, or nothing. May be nested.

    Writers take turns at a lock of the system, which wakes the next at once; two that sleep in SQLite's own busy
    handler have been seen to wait 1.9 s. Readers need neither lock nor transaction.
    """
    if db.in_transaction():
        with db.atomic():
            yield
    else:
        with _only_writer(), db.atomic():
            yield


@contextmanager
def _only_writer() -> Iterator[None]:
    # A file of its own: closing any handle of the database file would drop SQLite's locks on it. Opened anew each
    # time, because processes forked later would share a kept handle, and with it the lock.
    handle = os.open(f"{db.database}-lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        flock(handle, LOCK_EX)
        yield
    finally:
        os.close(handle)


def execute(sql: str, parameters: Sequence[Any] = ()) -> Any:
    """Run one statement with ``?`` for each parameter; gives the cursor."""
    return db.execute_sql(sql, parameters)


def rows(sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """All rows of a query."""
    found: list[tuple[Any, ...]] = db.execute_sql(sql, parameters).fetchall()
    return found


def insert(into: str, values: str, table: Sequence[Sequence[Any]]) -> None:
    """Insert many rows in one statement: ``insert("INTO t (a, b)", "(?, ?)", [(1, 2), (3, 4)])``.

    More rows than a statement has room for go in several. A conflict with a row that is there is no error.
    """
    if not table:
        return
    step = _MOST_PARAMETERS // len(table[0])
    for lowest in range(0, len(table), step):
        part = table[lowest : lowest + step]
        db.execute_sql(
            f"INSERT {into} VALUES {', '.join([values] * len(part))} ON CONFLICT DO NOTHING",
            [value for row in part for value in row],
        )


def marks(values: Sized) -> str:
    """``?, ?, ?``: a parameter's place for each of the values."""
    return ", ".join("?" * len(values))


def forget() -> bool:
    """Leave no trace of what was deleted, neither in the search index nor in the file's free pages.

    Writes the whole file anew, which takes its size again on the disk meanwhile. False where someone's long reading
    kept the write-ahead log from being emptied; it is overwritten later, as mail is logged.
    """
    if db.table_exists("email_search"):  # not where the emails are kept in somebody else's tables
        with writing():
            execute("INSERT INTO email_search (email_search) VALUES ('optimize')")
    with _only_writer():
        execute("VACUUM")
        return not rows("PRAGMA wal_checkpoint(TRUNCATE)")[0][0]


def backup(file: Path) -> None:
    """Write a copy of the database, as it is at this moment, into a new file, while others go on writing.

    Copying the file itself would lose what is still in the write-ahead log. Raises FileExistsError, and what `start`
    raises.
    """
    file.touch(mode=0o600, exist_ok=False)  # VACUUM INTO takes an empty file; its own would be readable by others
    execute("VACUUM INTO ?", [str(file)])
    with file.open("rb") as copy:
        os.fsync(copy.fileno())


def check_writable() -> None:
    """Raises one of Unavailable where nothing can be written."""
    with writing():
        execute("UPDATE schema_migration SET name = name WHERE 0")


def full_text(query: str) -> tuple[str, str, str]:
    """A full-text search: the table, as ``s`` with the email's id as ``s.rowid``; the condition; its parameter.

    In `query` are words, "phrases", beginnings* and -excluded ones; all must be found. Raises ValueError with the
    reason for one that can't be searched for.
    """
    if query.count('"') % 2:
        raise ValueError("A quotation mark is not closed.")
    wanted: list[str] = []
    unwanted: list[str] = []
    for minus, phrase, word, star in re.findall(r'(-?)(?:"([^"]*)"|([^\s"]+?)(\*?)(?=[\s"]|$))', query):
        if re.search(r"[^\W_]", phrase or word):
            (unwanted if minus else wanted).append(f'"{phrase or word}"{star}')
    if not wanted:
        raise ValueError("There is no word to search for.")
    if len(wanted) + len(unwanted) > 32:
        raise ValueError("More than 32 words.")
    match = " AND ".join(wanted) + (f" NOT ({' OR '.join(unwanted)})" if unwanted else "")
    return "email_search s", "s.email_search MATCH ?", match
