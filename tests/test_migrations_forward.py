"""Every schema that there was goes forward with its rows, also where the process is killed on the way.

`tests/schemas` holds the rows that each migration's tables can have: frozen SQL, as the migrations are.
"""

import itertools
import os
import signal
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from playhouse.migrations import Runner

import crm
import database
from app import create_app
from commands.consistency import problems
from tests.samples import WITHIN, ask, serving

SCHEMAS = Path(__file__).parent / "schemas"
MIGRATIONS = sorted(script.stem for script in database.MIGRATIONS.glob("[0-9]*.py"))

Rows = dict[str, list[dict[str, Any]]]


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "connector.db"
    database.db.close()


def make(path: Path, last: str) -> Rows:
    """A database as it was when this was the last migration, with rows in its tables; gives them."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = wal")
    for name in MIGRATIONS[: MIGRATIONS.index(last) + 1]:
        Runner(database.attach(path), str(database.MIGRATIONS)).up(name)
        database.db.close()
        file = SCHEMAS / f"{name}.sql"
        if file.exists():
            with closing(sqlite3.connect(path)) as connection:
                connection.executescript(file.read_text())
    return rows(path)


def rows(path: Path) -> Rows:
    """All rows of all tables, but for the search index and what SQLite and Peewee keep for themselves.

    Addresses had a table of their own, with numbers, until 0006.
    """
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        tables = [row["name"] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        own = [name for name in tables if not name.startswith(("sqlite_", "email_search", "schema_migration"))]
        found = {name: [dict(row) for row in connection.execute(f"SELECT * FROM {name}")] for name in own}
    numbered = {row["id"]: row["folded"] for row in found.pop("address", [])}
    for row in itertools.chain.from_iterable(found.values()):
        if "address_id" in row:
            row["folded"] = numbered.get(row.pop("address_id"))
    return found


def kept(before: Rows, after: Rows) -> Rows:
    """Of the rows that are here, what the old tables could hold."""
    return {
        name: [{column: row[column] for column in old[0]} for row in after[name]] if old else after[name]
        for name, old in before.items()
    }


def applied(path: Path) -> list[str]:
    """The migrations that were run."""
    with closing(sqlite3.connect(path)) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'schema_migration'").fetchall():
            return []
        return [name for (name,) in connection.execute("SELECT name FROM schema_migration ORDER BY id")]


@pytest.mark.parametrize("last", MIGRATIONS)
def test_every_schema_goes_forward_with_its_rows(path: Path, last: str) -> None:
    """To the letter; and the verbs find in them what they would have found."""
    before = make(path, last)
    create_app({"DATABASE_URL": f"sqlite:///{path}"})
    after = rows(path)
    assert kept(before, after) == before
    assert applied(path) == MIGRATIONS
    assert problems() == []
    if "email" in before:
        assert [email["id"] for email in crm.find_emails({"q": "dear offer"}).records] == ["1"]
        assert [email["id"] for email in crm.timeline("42").records] == ["1"]
        assert crm.log_email({"msgId": "copy"})[0]["id"] == "1"
        assert crm.log_email({"subject": "the next one"})[0]["id"] == "5"


def test_each_table_has_rows_in_these_tests(path: Path) -> None:
    """Else nothing would be shown of it: a new migration's go into a file in tests/schemas."""
    assert [name for name, found in make(path, MIGRATIONS[-1]).items() if not found] == []


@pytest.mark.parametrize("last", [None, *MIGRATIONS[1:-1]])
def test_a_start_killed_at_any_statement_leaves_the_old_or_the_new(path: Path, last: str | None) -> None:
    """Each migration was run to its end or not at all, and the next start goes on from there."""
    before = make(path, last) if last else {}
    template = path.read_bytes() if last else None
    statement, seen = 1, set()
    while _start_until(path, statement):
        done = applied(path) if path.exists() else []
        if path.exists():
            assert schema(path) == _schema_after(done[-1] if done else None), statement
            assert kept(before, rows(path)) == before
        database.start(f"sqlite:///{path}")
        database.stop()
        assert applied(path) == MIGRATIONS
        assert kept(before, rows(path)) == before
        for part in path.parent.glob("connector.db*"):
            part.unlink()
        if template:
            path.write_bytes(template)
        seen.add(tuple(done))
        statement += 1
    assert seen >= {tuple(MIGRATIONS[:n]) for n in range(MIGRATIONS.index(last) + 1 if last else 0, len(MIGRATIONS))}


def schema(path: Path) -> set[tuple[str, str]]:
    """What there is, by kind and name."""
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT type, name FROM sqlite_schema WHERE tbl_name != 'schema_migration'")
        return set(found.fetchall()) - {("table", "sqlite_sequence")}


@cache
def _schema_after(last: str | None) -> set[tuple[str, str]]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "connector.db"
        if last:
            make(path, last)
        return schema(path)


def _start_until(path: Path, statement: int) -> bool:
    """Start in a process that kills itself before a statement of SQL; whether it came to it."""
    pid = os.fork()
    if pid == 0:
        statements = 0

        def count(sql: str) -> None:
            nonlocal statements
            statements += 1
            if statements == statement:
                os.kill(os.getpid(), signal.SIGKILL)

        def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
            connection = real(*arguments, **options)
            connection.set_trace_callback(count)
            return connection

        try:
            real, sqlite3.connect = sqlite3.connect, connect  # type: ignore[assignment]
            database.start(f"sqlite:///{path}")
            os._exit(0)
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, -signal.SIGKILL)
    return code != 0


def test_four_servers_that_start_at_once_share_one_new_database(tmp_path: Path) -> None:
    """Each serves; one of them has made the tables and the first token."""
    with ExitStack() as stack, ThreadPoolExecutor(4) as pool:
        starts = [pool.submit(stack.enter_context, serving(tmp_path)) for _ in range(4)]
        servers = [start.result(WITHIN) for start in starts]
        [token] = {server.token for server in servers if server.token}
        for server in servers:
            assert ask(server._replace(token=token), "GET", "/api/v1/users/me")[0] == 200
    assert applied(tmp_path / "connector.db") == MIGRATIONS
