"""`flask database copy`: all records from one database into another, of whichever kinds, and whether they arrived.

Both ends are connections of their own, beside the one of the calls. What there is to copy, models.py says: its tables,
each after those that it refers to. The search index is not copied, as each kind of database has its own: it is made
from the emails that were copied. The target holds all in the end, or nothing.
"""

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from glob import escape
from hashlib import sha256
from json import JSONEncoder
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from peewee import CompositeKey

import models
import store
from database import NeverReusedId, Unusable, borrowed, placeholders, postgresql, sqlite, start, stop
from database.common import scripts

Row = tuple[Any, ...]
Watch = Callable[[str, int, Iterable[Any]], Iterable[Any]]  # tells of the work while it goes through these many things

_UNDER_WAY = "-copying"  # the file that is filled before it takes its name
_CACHE = 256 * 1024  # KiB, to fill a file


class Refused(Exception):
    """A copy that was not made; the message is for people, and quotes nothing of what is stored."""


class Table(NamedTuple):
    """A table of models.py; `counter` is the column of ids that are never given again."""

    name: str
    columns: list[str]
    key: list[str]
    counter: str | None

    def query(self, columns: Iterable[str]) -> str:
        """All rows, in the order of the key, which is the same in both databases."""
        return f'SELECT {", ".join(columns)} FROM "{self.name}" ORDER BY {_names(self.key)}'


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
    tables = _tables()
    try:
        with _reading(source_url) as source, _filling(target_url) as target:
            wanted, there = ([end.count(table) for table in tables] for end in (source, target))
            if not any(there):
                summaries = _fill(target, source, tables, watch)
            elif there == wanted:
                summaries = [_summary(source, table, watch) for table in tables]
            else:
                raise Refused("The target is neither empty nor a copy of this database.")
            differing = [
                known.table
                for known, table in zip(summaries, tables, strict=True)
                if known != _summary(target, table, watch)
            ]
            if differing:
                raise Refused(f"The target has other rows than this database in: {', '.join(differing)}.")
            return summaries
    except BlockingIOError:
        raise Refused("The service or a command uses one of the two databases. Stop it first.") from None
    except (sqlite3.Error, psycopg.Error, *Unusable) as error:
        raise Refused(f"{_why(error)}.") from None


def _fill(target: "_End", source: "_End", tables: list[Table], watch: Watch) -> list[Summary]:
    later = target.prepare()
    summaries = []
    for table in tables:
        passed = _Passed(watch(f"{table.name}: copying", source.count(table), source.rows(table)))
        target.fill(table, passed)
        last_id = source.last_id(table) if table.counter else None
        if last_id is not None:
            target.set_last_id(table, last_id)
        summaries.append(Summary(table.name, passed.rows, passed.checksum(), last_id))
    if models.Email in models.tables():
        emails = next(summary.rows for summary in summaries if summary.table == models.Email._meta.table_name)
        with target.queries():
            for _ in watch("search index", emails, store.emails.index_all()):
                pass
    for statement in watch("indexes", len(later), later):
        target.execute(statement)
    return summaries


def _summary(end: "_End", table: Table, watch: Watch) -> Summary:
    passed = _Passed(watch(f"{table.name}: comparing", end.count(table), end.rows(table)))
    for _ in passed:
        pass
    return Summary(table.name, passed.rows, passed.checksum(), end.last_id(table) if table.counter else None)


class _Passed:
    """Rows, counted and summed up as they pass: SHA-256 over each as JSON, a line a row. Both databases hold the same
    letters and numbers, so it is the same for both."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._all, self._sum, self.rows = rows, sha256(), 0

    def __iter__(self) -> Iterator[Row]:
        encode = JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
        for row in self._all:
            self._sum.update(encode(row).encode())
            self._sum.update(b"\n")
            self.rows += 1
            yield row

    def checksum(self) -> str:
        return self._sum.hexdigest()


def _tables() -> list[Table]:
    found = []
    for model in models.tables():
        if model not in (models.EmailWords, models.EmailVector):
            key: Any = model._meta.primary_key
            fields = [model._meta.fields[name] for name in key.field_names] if isinstance(key, CompositeKey) else [key]
            counter = key.column_name if isinstance(key, NeverReusedId) else None
            columns = [field.column_name for field in model._meta.sorted_fields]
            found.append(Table(model._meta.table_name, columns, [field.column_name for field in fields], counter))
    return found


def _names(columns: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in columns)


def _why(error: Exception) -> str:
    """An error of either database in words; never its own where it may quote a row."""
    if isinstance(error, Unusable):  # while it was opened
        return str(error)
    kind = postgresql if isinstance(error, psycopg.Error) else sqlite
    code = getattr(error, "sqlstate", None) or getattr(error, "sqlite_errorname", None)
    problem = kind.problem_of(error) if code or isinstance(error, psycopg.OperationalError) else None
    return problem.reason if problem else f"A value can't be copied ({type(error).__name__})"


# ---- the ends -------------------------------------------------------------------------------------------------------


class _File:
    """An SQLite database."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.execute = connection.execute

    def count(self, table: Table) -> int:
        return int(self.execute(f'SELECT count(*) FROM "{table.name}"').fetchone()[0])

    def rows(self, table: Table) -> Iterator[Row]:
        return self.execute(table.query([_names(table.columns)]))

    def last_id(self, table: Table) -> int:
        largest = f'SELECT max("{table.counter}") FROM "{table.name}"'
        return int(
            self.execute(
                f"SELECT max(coalesce(max(seq), 0), coalesce(({largest}), 0)) FROM sqlite_sequence WHERE name = ?",
                [table.name],
            ).fetchone()[0]
        )

    def prepare(self) -> list[str]:
        """Take away what is quicker to make when the rows are there; gives the statements that make it."""
        made = self.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql > ''").fetchall()
        for name, _ in made:
            self.execute(f'DROP INDEX "{name}"')
        return [sql for _, sql in made]

    def queries(self) -> AbstractContextManager[None]:
        """Within it, the queries of the store see this end, and what was written to it."""
        return borrowed(self._connection)

    def fill(self, table: Table, rows: Iterable[Row]) -> None:
        into = f'"{table.name}" ({_names(table.columns)})'
        self._connection.executemany(f"INSERT INTO {into} VALUES ({placeholders(table.columns)})", rows)

    def set_last_id(self, table: Table, last_id: int) -> None:
        self.execute("DELETE FROM sqlite_sequence WHERE name = ?", [table.name])
        self.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", [table.name, last_id])


class _Server:
    """A PostgreSQL database."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        self.execute = connection.execute

    def _one(self, query: str, *parameters: Any) -> Any:
        return next(self.execute(query, parameters or None))[0]

    def count(self, table: Table) -> int:
        return int(self._one(f'SELECT count(*) FROM "{table.name}"'))

    def rows(self, table: Table) -> Iterator[Row]:
        described = self.execute(f'SELECT {_names(table.columns)} FROM "{table.name}" LIMIT 0').description or []
        truths = {column.name for column in described if column.type_display == "bool"}  # 0 and 1 in SQLite
        columns = [f'"{column.name}"' + "::int" * (column.name in truths) for column in described]
        with self._connection.cursor().copy(f"COPY ({table.query(columns)}) TO STDOUT") as found:
            found.set_types(["int4" if column.name in truths else column.type_code for column in described])
            yield from found.rows()

    def last_id(self, table: Table) -> int:
        sequence = self._sequence(table)
        given = self._one(f"SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END FROM {sequence}")
        return max(int(given), self._one(f'SELECT coalesce(max("{table.counter}"), 0) FROM "{table.name}"'))

    def _sequence(self, table: Table) -> str:
        return str(self._one("SELECT pg_get_serial_sequence(%s, %s)", table.name, table.counter))

    def prepare(self) -> list[str]:
        """Take away what is quicker to make when the rows are there; gives the statements that make it."""
        names = [model._meta.table_name for model in models.tables()]
        references = self.execute(_REFERENCES, [names]).fetchall()
        indexes = self.execute(_INDEXES, [names]).fetchall()
        self.execute(f"TRUNCATE {_names(names)}")  # they are empty; this spares the server to note each row twice
        for drop, _ in references + indexes:
            self.execute(drop)
        return [make for _, make in indexes + references] + [f'ANALYZE "{name}"' for name in names]

    def queries(self) -> AbstractContextManager[None]:
        """Within it, the queries of the store see this end, and what was written to it."""
        return borrowed(self._connection)

    def fill(self, table: Table, rows: Iterable[Row]) -> None:
        into = f'"{table.name}" ({_names(table.columns)})'
        with self._connection.cursor().copy(f"COPY {into} FROM STDIN (FREEZE)") as place:
            for row in rows:
                place.write_row(row)

    def set_last_id(self, table: Table, last_id: int) -> None:
        self.execute("SELECT setval(%s, %s, %s)", [self._sequence(table), max(last_id, 1), last_id > 0])


_End = _File | _Server

_REFERENCES = """SELECT format('ALTER TABLE %%s DROP CONSTRAINT %%I', conrelid::regclass, conname),
    format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s', conrelid::regclass, conname, pg_get_constraintdef(c.oid))
    FROM pg_constraint c JOIN pg_class t ON t.oid = conrelid
    WHERE contype = 'f' AND relnamespace = current_schema()::text::regnamespace AND relname = ANY(%s)"""
_INDEXES = """SELECT format('DROP INDEX %%s', indexrelid::regclass), pg_get_indexdef(indexrelid)
    FROM pg_index JOIN pg_class t ON t.oid = indrelid
    WHERE relnamespace = current_schema()::text::regnamespace AND relname = ANY(%s)
    AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u', 'x'))"""


def _reading(url: str) -> AbstractContextManager[_End]:
    return _read_server(url) if _is_server(url) else _read_file(sqlite.locate(url))


def _filling(url: str) -> AbstractContextManager[_End]:
    return _fill_server(url) if _is_server(url) else _fill_file(sqlite.locate(url))


def _is_server(url: str) -> bool:
    return url.startswith("postgresql://")


@contextmanager
def _read_file(path: Path) -> Iterator[_End]:
    if not path.is_file():
        raise Refused(f"There is no database {path}.")
    with sqlite.exclusive_use(path) as connection:
        if connection is None:
            raise Refused(f"There is no database {path}.")
        yield _present(connection)


def _present(connection: sqlite3.Connection) -> _End:
    """A file of the present schema, as it is at this moment."""
    connection.execute("PRAGMA query_only = 1")
    _require_present(sqlite.applied(connection))
    return _File(connection)


def _require_present(applied: set[str] | None) -> None:
    if applied != scripts():
        raise Refused("The database is not of this version of the connector. Start the service on it once.")


@contextmanager
def _fill_file(path: Path) -> Iterator[_End]:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = path.with_name(f"{path.name}{_UNDER_WAY}")
    with sqlite.exclusive_use(path) as present:
        if present is not None:  # whatever is in it stays
            yield _present(present)
            return
        try:
            _remove(new)
            start(f"sqlite:///{new}")
            stop()
            with closing(sqlite3.connect(new, isolation_level=None)) as connection:
                # What is killed is made anew: nothing in it has to be safe before the end.
                for setting in (
                    "journal_mode = delete",
                    "journal_mode = off",
                    "synchronous = off",
                    f"cache_size = -{_CACHE}",
                ):
                    connection.execute(f"PRAGMA {setting}")
                connection.execute("BEGIN")
                yield _File(connection)
                connection.execute("COMMIT")
            with new.open("rb") as handle:
                os.fsync(handle.fileno())
            new.rename(path)
            sqlite.sync(path.parent)
        finally:
            _remove(new)


def _remove(path: Path) -> None:
    for part in path.parent.glob(f"{escape(path.name)}*"):
        part.unlink()


@contextmanager
def _read_server(url: str) -> Iterator[_End]:
    with postgresql.exclusive_use(url) as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        ours = connection.execute("SELECT to_regclass('schema_migration') IS NOT NULL").fetchone() == (True,)
        _require_present(
            {name for (name,) in connection.execute("SELECT name FROM schema_migration")} if ours else None
        )
        yield _Server(connection)


@contextmanager
def _fill_server(url: str) -> Iterator[_End]:
    with postgresql.exclusive_use(url):
        pass  # what is in the way is told now: the next waits for it
    start(url)
    stop()
    with postgresql.exclusive_use(url) as connection:
        connection.execute("BEGIN")
        yield _Server(connection)
