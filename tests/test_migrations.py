"""How a database comes to the tables of models.py: a new one is made from them, an older one is brought there by
migrations; and which databases are not touched."""

import itertools
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from stat import S_IMODE
from typing import Any

import psycopg
import pytest
from flask import Flask
from peewee import Model, TextField
from playhouse.migrations import Runner
from playhouse.schema_diff import diff_models

import crm
import database
import models
import settings
from app import create_app
from commands.consistency import problems
from database import common, sqlite
from tests.databases import __main__ as databases
from tests.samples import PROJECT, WITHIN, ask, environment, serving
from web import unmatched

SQLITE_SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY 1, 2"


def applied() -> list[str]:
    """The names of the migrations that the database has, in order."""
    return [row[0] for row in database.rows("SELECT name FROM schema_migration ORDER BY id")]


def differences() -> list[str]:
    """In what the database differs from the models. Of a table for full text on SQLite, Peewee knows only the name."""
    described = [table for table in models.tables() if table is not models.EmailWords]
    return str(diff_models(database.db.obj, described)).splitlines()


@pytest.fixture
def url(storage: str, tmp_path: Path, postgres: Any) -> str:
    """The URL of a database that no other test is given after this one."""
    return postgres.create() if storage == "postgresql" else f"sqlite:///{tmp_path}/connector.db"


@pytest.fixture
def open_mask() -> Iterator[None]:
    """The process takes no permission from the files that it makes."""
    before = os.umask(0)
    yield
    os.umask(before)


# ---- a new database -------------------------------------------------------------------------------------------------


def test_a_new_database_has_the_tables_of_the_models(app: Flask, url: str) -> None:
    """All of them, each as it is stated; and a second start changes nothing."""
    assert {table._meta.table_name for table in models.tables()} <= set(database.db.get_tables())
    assert differences() == []
    assert applied() == sorted(common.scripts())
    create_app({"DATABASE_URL": url})
    assert differences() == []
    assert applied() == sorted(common.scripts())


def test_a_start_keeps_what_is_there(sync: Any, url: str) -> None:
    """No table is made anew."""
    logged = sync.post("/api/v1/emails", json={"subject": "x"}).json
    create_app({"DATABASE_URL": url})
    assert sync.get("/api/v1/emails").json == [logged]


@pytest.mark.system
@pytest.mark.sqlite("statements are counted on its connections")
def test_a_start_killed_at_any_statement_is_completed_by_the_next(tmp_path: Path) -> None:
    """The database is not there, empty, or whole; never a part, which would pass for another program's."""
    path = tmp_path / "connector.db"
    database.start(f"sqlite:///{path}")
    whole = database.rows(SQLITE_SCHEMA)
    database.stop()
    seen = set()
    for statement in itertools.count(1):
        for part in tmp_path.glob("connector.db*"):
            part.unlink()
        if not _start_until(path, statement):
            break
        if path.exists():
            with closing(sqlite3.connect(path)) as connection:
                seen.add(len(connection.execute(SQLITE_SCHEMA).fetchall()))
        database.start(f"sqlite:///{path}")
        assert database.rows(SQLITE_SCHEMA) == whole
        database.stop()
    assert seen == {0, len(whole)}


def test_a_start_on_postgresql_that_breaks_off_leaves_nothing(postgres: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one makes the tables."""
    url = postgres.create()

    def break_off(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Runner, "up", break_off)
        with pytest.raises(KeyboardInterrupt):
            database.start(url)
    with psycopg.connect(url) as other:
        assert other.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)
    database.start(url)
    assert differences() == []
    database.stop()


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


@pytest.mark.system
def test_four_processes_that_start_at_once_make_it_once(url: str, tmp_path: Path) -> None:
    """On a new database: all of them come up, and the tables are whole."""
    # Each says when it is about to start, and waits for its standard input to end: the same moment for all.
    code = "import sys; from app import create_app; print(flush=True); sys.stdin.read(); create_app()"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=PROJECT,
            env=environment(tmp_path / "new", DATABASE_URL=url),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(4)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()
        for process in processes:
            assert process.stdin is not None
            process.stdin.close()
            process.stdin = None  # communicate() would close it once more
        said = [process.communicate(timeout=WITHIN)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait(WITHIN)
    assert [(process.returncode, text) for process, text in zip(processes, said, strict=True)] == [(0, b"")] * 4
    create_app({"DATABASE_URL": url})
    assert applied() == sorted(common.scripts())
    assert differences() == []
    database.stop()


@pytest.mark.system
@pytest.mark.sqlite("servers of one folder")
def test_four_servers_that_start_at_once_share_one_new_database(tmp_path: Path) -> None:
    """Each serves; one of them has made the tables and the first token."""
    with ExitStack() as stack, ThreadPoolExecutor(4) as pool:
        starts = [pool.submit(stack.enter_context, serving(tmp_path)) for _ in range(4)]
        servers = [start.result(WITHIN) for start in starts]
        [token] = {server.token for server in servers if server.token}
        for server in servers:
            assert ask(server._replace(token=token), "GET", "/api/v1/users/me")[0] == 200


@pytest.mark.usefixtures("open_mask")
def test_the_files_are_their_owners_alone(tmp_path: Path) -> None:
    """They hold people's emails: 0600, the folder 0700, whatever the umask."""
    folder = tmp_path / "new"
    create_app({"DATABASE_URL": f"sqlite:///{folder}/connector.db"})
    with database.writing():
        database.execute("DELETE FROM change")  # opens the side files again
    modes = {path.name: oct(S_IMODE(path.stat().st_mode)) for path in folder.iterdir()}
    assert {"connector.db", "connector.db-wal", "connector.db-lock"} <= modes.keys()
    assert set(modes.values()) == {"0o600"}
    assert oct(S_IMODE(folder.stat().st_mode)) == "0o700"
    database.stop()


@pytest.mark.sqlite("its pragmas")
def test_connections_are_set_for_safety(url: str) -> None:
    """Every commit reaches the disk, references are checked, readers and writers do not stop each other."""
    database.start(url)
    wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    assert {name: database.rows(f"PRAGMA {name}")[0][0] for name in wanted} == wanted
    database.stop()


# ---- a database of an earlier version -------------------------------------------------------------------------------

# As a later version might have: a table and an index that models.py has by then.
LATER = """
from peewee import AutoField, Model, TextField

from database import NeverReusedId


def up(migrator, db):
    class Note(Model):
        id = NeverReusedId()
        at = TextField()
        text = TextField(null=True)

        class Meta:
            database = db
            legacy_table_names = False
            indexes = ((("at", "id"), False),)

    db.create_tables([Note])
"""


class Note(models.Table):
    """What the migration above makes."""

    id = database.NeverReusedId()
    at = TextField()
    text = TextField(null=True)

    class Meta:
        indexes = ((("at", "id"), False),)


@pytest.fixture
def later_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes the connector one of a later version, with one table and one migration more."""

    def install() -> None:
        folder = tmp_path / "migrations"
        folder.mkdir()
        (folder / "9999_notes.py").write_text(LATER)
        for script in common.MIGRATIONS.glob("[0-9]*.py"):
            (folder / script.name).write_text(script.read_text())
        present = models.tables

        def tables() -> list[type[Model]]:
            return [*present(), Note]

        monkeypatch.setattr(models, "tables", tables)
        monkeypatch.setattr(common, "MIGRATIONS", folder)
        monkeypatch.setattr(sqlite, "MIGRATIONS", folder, raising=False)
        monkeypatch.setattr(database.postgresql, "MIGRATIONS", folder, raising=False)
        monkeypatch.setattr(common, "_declared", tables)

    return install


def test_made_from_the_models_and_brought_there_by_a_migration_it_is_the_same(
    client: Any, url: str, tmp_path: Path, later_version: Any, postgres: Any
) -> None:
    """To the letter on SQLite; and what was in it stays, and is served."""
    logged = client.post("/api/v1/emails", json={"subject": "an offer"}).json
    later_version()
    create_app({"DATABASE_URL": url})
    assert applied()[-1] == "9999_notes"
    assert differences() == []
    assert client.get("/api/v1/emails?q=offer").json == [logged]
    assert problems() == []
    on_sqlite = url.startswith("sqlite")
    brought = database.rows(SQLITE_SCHEMA) if on_sqlite else []
    history = applied()
    database.start(f"sqlite:///{tmp_path}/fresh.db" if on_sqlite else postgres.create())
    assert differences() == []
    assert applied() == history
    if on_sqlite:
        assert database.rows(SQLITE_SCHEMA) == brought


def test_what_differs_from_the_models_is_found(app: Flask) -> None:
    """Else the comparison above would show nothing."""
    database.execute("DROP INDEX email_at_id_withheld_has_attachments")
    database.execute("ALTER TABLE contact ADD COLUMN phone TEXT")
    assert len(differences()) >= 2


@pytest.mark.sqlite("a file as it was")
def test_a_migration_that_is_killed_is_made_by_the_next_start(app: Flask, url: str, later_version: Any) -> None:
    """It was run to its end or not at all."""
    path = database.locate(url)
    database.stop()
    before = path.read_bytes()
    later_version()
    seen = set()
    for statement in itertools.count(1):
        for part in path.parent.glob("connector.db*"):
            part.unlink()
        path.write_bytes(before)
        if not _start_until(path, statement):
            break
        with closing(sqlite3.connect(path)) as connection:
            made = connection.execute("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'note%'").fetchone()[0]
            noted = connection.execute("SELECT count(*) FROM schema_migration WHERE name = '9999_notes'").fetchone()[0]
            seen.add((made, noted))
        database.start(url)
        assert differences() == []
        database.stop()
    assert seen == {(0, 0), (2, 1)}


# ---- databases that earlier versions have left ----------------------------------------------------------------------


# The commands that read.
READING = """user list
token list
never-log list
retention show
withheld list
unmatched list
audit
audit --refused
sync
person export jane@acme.example
doctor"""


def shown(now: Any, then: Any) -> bool:
    """Whether an answer has all that it had: a later version may have added fields."""
    if isinstance(then, dict):
        return isinstance(now, dict) and all(name in now and shown(now[name], then[name]) for name in then)
    if isinstance(then, list):
        return isinstance(now, list) and len(now) == len(then) and all(map(shown, now, then))
    return bool(now == then)


def rows_of(columns: dict[str, str]) -> dict[str, list[str]]:
    """The rows of tables, of these columns."""
    return {table: sorted(map(repr, database.rows(f"SELECT {names} FROM {table}"))) for table, names in columns.items()}


def test_the_present_version_is_among_the_kept_ones() -> None:
    """`python -m tests.databases` keeps it, before it is released."""
    assert settings.VERSION in databases.VERSIONS


@pytest.fixture(params=databases.VERSIONS)
def earlier(request: Any, url: str) -> Iterator[dict[str, Any]]:
    """A database that a version has left; what was logged there, and what was answered."""
    databases.lay(request.param, url)
    yield databases.kept(request.param)
    database.stop()


def test_a_database_of_an_earlier_version_goes_forward_with_all_its_rows(
    earlier: Any, url: str, built: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tables are those of the models, nothing is lost, and each call that reads answers as it did.

    Where this fails for a version that is not yet released: `python -m tests.databases VERSION`. Else a migration is
    missing or wrong (migrations/README.md).
    """
    database.attach(url)
    names = {
        table: ", ".join(f'"{column.name}"' for column in database.db.get_columns(table))
        for table in database.db.get_tables()
        if not table.startswith(("email_words", "schema_migration", "sqlite_"))
    }
    before = rows_of(names)
    assert {table for table, rows in before.items() if not rows} == set()
    app = create_app({"DATABASE_URL": url})
    assert rows_of(names) == before
    assert differences() == []
    assert applied() == sorted(common.scripts())
    assert problems() == []
    monkeypatch.setattr(unmatched, "_oldest", lambda: "")  # the list is of the last 30 days
    for path, then in earlier["answers"].items():
        now = databases.call(app, databases.ADMIN, "GET", databases.API + path)
        if path == "/sync":  # so are these
            then = [{name: user[name] for name in ("userId", "email", "lastCall", "lastEmail")} for user in then]
        assert shown(now, then), path
    assert [one["id"] for one in crm.search_contacts("jane").records] == ["42"]
    assert [one["id"] for one in crm.search_companies("acme").records] == ["7"]
    run = app.test_cli_runner().invoke
    for words in READING.splitlines():
        done = run(args=words.split())
        assert done.exit_code == 0, (words, done.output)


def test_an_earlier_versions_emails_are_known_and_can_be_changed(earlier: Any, url: str) -> None:
    """Each copy finds its record, or what was deleted stays away; no id is given again; records are found by words."""
    app = create_app({"DATABASE_URL": url})

    def call(method: str, path: str, body: Any = None, token: str = databases.ADMIN) -> Any:
        return databases.call(app, token, method, databases.API + path, body)

    ids = [number for _, number in earlier["emails"]]
    for body, number in earlier["emails"]:
        copy = call("POST", "/emails", body, databases.SYNC)
        if number == "7":  # which was deleted
            assert copy["id"] not in ids
            assert copy["subject"] is None
        elif "rfc822MsgId" in body or "msgId" in body:
            assert copy["id"] == number
        else:
            assert copy["id"] not in ids
    assert call("PATCH", "/emails/1", {"subject": "changed"})["subject"] == "changed"
    assert [one["id"] for one in call("GET", "/emails?q=changed")] == ["1"]
    assert call("POST", "/contacts", {"emailAddresses": ["jane@acme.example"]})["id"] == "42"
    assert call("DELETE", "/emails/1") == ""
    assert problems() == []


# ---- databases that are not touched ---------------------------------------------------------------------------------


def test_a_database_of_before_the_first_release_is_refused(app: Flask, url: str) -> None:
    """With a sentence that says what to do: its tables were others."""
    with database.writing():
        database.execute("INSERT INTO schema_migration (name, applied) VALUES ('0001_tokens', '2026-01-31 09:30:00')")
    database.stop()
    with pytest.raises(database.Unusable, match="before the first release.* import the emails"):
        database.start(url)


def test_a_database_of_a_newer_version_is_refused(app: Flask, url: str) -> None:
    """With the name of what is not known here."""
    with database.writing():
        database.execute("INSERT INTO schema_migration (name, applied) VALUES ('9999_notes', '2026-01-31 09:30:00')")
    database.stop()
    with pytest.raises(database.Unusable, match="newer version, which has 9999_notes"):
        database.start(url)


@pytest.mark.parametrize("table", ["address", "email"])
def test_the_database_of_another_program_is_refused(url: str, table: str) -> None:
    """Whatever its tables are called; and nothing is written to it."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(database.locate(url))) as theirs:
            theirs.execute(f"CREATE TABLE {table} (street TEXT)")
    else:
        with psycopg.connect(url) as other:
            other.execute(f"CREATE TABLE {table} (street TEXT)")
    with pytest.raises(database.Unusable, match=f"another program: it has a table {table}"):
        database.start(url)
    assert database.db.get_tables() == [table]
    database.stop()
