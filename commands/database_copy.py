"""All records from one database into another, of whichever kinds, and whether they arrived (`flask database copy`).

Both ends are connections of their own, beside the one of the calls. What there is to copy, models.py says: its tables,
each after those that it refers to. The search index is not copied, as each kind of database has its own: it is made
from the emails that were copied. One transaction fills the target, so that it holds all in the end, or no record.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from hashlib import sha256
from json import JSONEncoder
from typing import Any, NamedTuple

import psycopg
from peewee import BooleanField

import models
from commands.common import Refused
from database import NeverReusedId, Unusable, borrowed, exclusive_use, postgresql, sqlite, start, stop
from database.common import scripts
from store.indexing import index_all

Row = tuple[Any, ...]
Watch = Callable[[str, int, Iterable[Any]], Iterable[Any]]  # tells of the work while it goes through these many things


class Table(NamedTuple):
    """A table of models.py; `counter` is the column of ids that are never given again."""

    name: str
    columns: str
    query: str  # all rows in the order of the key, which is the same in both databases; a truth is 0 or 1
    width: int
    counter: str | None


class Summary(NamedTuple):
    """What a table holds: how many rows, the SHA-256 of them all, and the last id that was given."""

    table: str
    rows: int
    checksum: str
    last_id: int | None


def copy(source_url: str, target_url: str, watch: Watch) -> list[Summary]:
    """Copy a database into an empty one, with its ids and counters; gives what both hold, having read both.

    A target that is a copy already is only compared. What is interrupted, killed or found to differ leaves the target
    empty; the source is only read, and nobody may write to it meanwhile. Raises Refused.
    """
    try:
        with exclusive_use(source_url) as connection:
            source = _end(connection)
            source.execute(source.READ)
            source.require_present()
            with suppress(FileNotFoundError), exclusive_use(target_url):
                pass  # what is in the way is told now: `start` waits for it
            start(target_url)
            stop()
            with exclusive_use(target_url) as connection:
                target = _end(connection)
                return _fill_or_compare(target, source, _tables(), watch)
    except BlockingIOError:
        raise Refused("The service or a command uses one of the two databases. Stop it first.") from None
    except (sqlite3.Error, psycopg.Error, *Unusable) as error:
        raise Refused(f"{_why(error)}.") from None


def _fill_or_compare(target: "_End", source: "_End", tables: list[Table], watch: Watch) -> list[Summary]:
    wanted, there = ([end.count(table) for table in tables] for end in (source, target))
    for statement in target.FILL:
        target.execute(statement)
    if not any(there):
        _fill(target, source, tables, watch)
    elif there != wanted:
        raise Refused("The target is neither empty nor a copy of this database.")
    summaries, copied = ([_summary(end, table, watch) for table in tables] for end in (source, target))
    differing = [known.table for known, found in zip(summaries, copied, strict=True) if known != found]
    if differing:
        raise Refused(f"The target has other rows than this database in: {', '.join(differing)}.")
    target.execute("COMMIT")
    return summaries


def _fill(target: "_End", source: "_End", tables: list[Table], watch: Watch) -> None:
    for table in tables:
        target.fill(table, watch(f"{table.name}: copying", source.count(table), source.rows(table)))
        if table.counter:
            target.set_last_id(table, source.last_id(table))
    if models.Email in models.tables():
        with borrowed(target.connection):
            for _ in watch("search index", models.Email.select().count(), index_all()):
                pass


def _summary(end: "_End", table: Table, watch: Watch) -> Summary:
    """SHA-256 over each row as JSON, a line a row: both databases hold the same letters and numbers, so it is the same
    for both."""
    encode = JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
    rows, checksum = 0, sha256()
    for row in watch(f"{table.name}: comparing", end.count(table), end.rows(table)):
        checksum.update(f"{encode(row)}\n".encode())
        rows += 1
    return Summary(table.name, rows, checksum.hexdigest(), end.last_id(table) if table.counter else None)


def _tables() -> list[Table]:
    found = []
    for model in models.tables():
        if model not in (models.EmailWords, models.EmailVector):
            fields, keys = model._meta.sorted_fields, model._meta.get_primary_keys()
            values = [one.cast("INTEGER") if isinstance(one, BooleanField) else one for one in fields]
            query, _ = model.select(*values).order_by(*keys).sql()
            columns = ", ".join(f'"{one.column_name}"' for one in fields)
            counter = keys[0].column_name if isinstance(keys[0], NeverReusedId) else None
            found.append(Table(model._meta.table_name, columns, query, len(fields), counter))
    return found


def _why(error: Exception) -> str:
    """An error of either database in words; never its own where it may quote a row."""
    if isinstance(error, Unusable):  # while it was opened
        return getattr(error, "strerror", None) or str(error)
    kind = postgresql if isinstance(error, psycopg.Error) else sqlite
    code = getattr(error, "sqlstate", None) or getattr(error, "sqlite_errorname", None)
    problem = kind.problem_of(error) if code or isinstance(error, psycopg.OperationalError) else None
    return problem.reason if problem else f"A value can't be copied ({type(error).__name__})"


# ---- the ends: SQL text, as these connections are not Peewee's ------------------------------------------------------


class _Connection:
    """One of the two databases. READ begins to read, FILL to write."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.execute = connection.execute

    def one(self, query: str, *parameters: Any) -> Any:
        return self.execute(query, parameters).fetchone()[0]

    def require_present(self) -> None:
        try:
            here = {name for (name,) in self.execute("SELECT name FROM schema_migration")}
        except (sqlite3.OperationalError, psycopg.errors.UndefinedTable):
            here = None
        if here != scripts():
            raise Refused("The database is not of this version of the connector. Start the service on it once.")

    def count(self, table: Table) -> int:
        return int(self.one(f'SELECT count(*) FROM "{table.name}"'))


class _File(_Connection):
    READ = "PRAGMA query_only = 1"
    FILL = ["PRAGMA journal_mode = delete", "BEGIN"]  # with the write-ahead log all would be written twice

    def rows(self, table: Table) -> Iterator[Row]:
        yield from self.execute(table.query)

    def fill(self, table: Table, rows: Iterable[Row]) -> None:
        values = ", ".join("?" * table.width)
        self.connection.executemany(f'INSERT INTO "{table.name}" ({table.columns}) VALUES ({values})', rows)

    def last_id(self, table: Table) -> int:
        return int(self.one("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = ?", table.name))

    def set_last_id(self, table: Table, last_id: int) -> None:
        self.execute("DELETE FROM sqlite_sequence WHERE name = ?", [table.name])
        self.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", [table.name, last_id])


class _Server(_Connection):
    READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    FILL = ["BEGIN"]

    def rows(self, table: Table) -> Iterator[Row]:
        yield from self.connection.cursor().stream(table.query)

    def fill(self, table: Table, rows: Iterable[Row]) -> None:
        with self.connection.cursor().copy(f'COPY "{table.name}" ({table.columns}) FROM STDIN') as place:
            for row in rows:
                place.write_row(row)

    def last_id(self, table: Table) -> int:
        return int(self.one("SELECT coalesce(pg_sequence_last_value(%s::regclass), 0)", self._sequence(table)))

    def set_last_id(self, table: Table, last_id: int) -> None:
        self.execute("SELECT setval(%s, %s, %s)", [self._sequence(table), max(last_id, 1), last_id > 0])

    def _sequence(self, table: Table) -> str:
        return str(self.one("SELECT pg_get_serial_sequence(%s, %s)", table.name, table.counter))


_End = _File | _Server


def _end(connection: Any) -> _End:
    return _File(connection) if isinstance(connection, sqlite3.Connection) else _Server(connection)
