"""The first start: tables where there are none, by one of however many processes start at once."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from stat import S_IMODE
from typing import Any

import pytest
from flask import Flask

import database
from app import create_app
from tests.samples import PROJECT, WITHIN, environment

TABLES = {
    "company",
    "company_domain",
    "contact",
    "contact_address",
    "crm_user",
    "email",
    "recipient",
    "relation",
    "sighting",
    "change",
    "token",
}


def names(kind: str) -> set[str]:
    """What the database has of a kind: tables, indexes, triggers."""
    return {row[0] for row in database.rows("SELECT name FROM sqlite_schema WHERE type = ?", [kind])}


def applied() -> list[str]:
    """The names of the migrations that were run, in order."""
    return [row[0] for row in database.rows("SELECT name FROM schema_migration ORDER BY id")]


@pytest.fixture
def open_mask() -> Iterator[None]:
    """The process takes no permission from the files that it makes."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.sqlite("its words for a schema")
def test_an_empty_folder_gets_all_tables(app: Flask) -> None:
    """One for each noun, and the search index."""
    assert names("table") >= TABLES | {"email_search"}
    assert names("trigger") >= {"email_search_insert", "email_search_update", "email_search_delete"}


@pytest.mark.sqlite("its words for a schema")
def test_every_migration_is_run_once_in_order(app: Flask, url: str) -> None:
    """A second start changes nothing."""
    numbered = sorted(path.stem for path in database.MIGRATIONS.glob("[0-9]*.py"))
    assert applied() == numbered
    schema = database.rows("SELECT type, name, sql FROM sqlite_schema ORDER BY name")
    create_app({"DATABASE_URL": url})
    assert applied() == numbered
    assert database.rows("SELECT type, name, sql FROM sqlite_schema ORDER BY name") == schema


def test_a_start_keeps_what_is_there(sync: Any, url: str) -> None:
    """No table is made anew."""
    logged = sync.post("/api/v1/emails", json={"subject": "x"}).json
    create_app({"DATABASE_URL": url})
    assert sync.get("/api/v1/emails").json == [logged]


def test_somebody_elses_table_of_addresses_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who keeps all records in tables of his own deletes 0002, and may call one of them as we called one (0006)."""
    scripts = tmp_path / "migrations"
    shutil.copytree(database.MIGRATIONS, scripts, ignore=shutil.ignore_patterns("0002*", "__pycache__"))
    monkeypatch.setattr(database.sqlite, "MIGRATIONS", scripts)
    with closing(sqlite3.connect(tmp_path / "crm.db")) as theirs:
        theirs.executescript("CREATE TABLE address (street TEXT); INSERT INTO address VALUES ('Main Street 1');")
    database.start(f"sqlite:///{tmp_path}/crm.db")
    assert database.rows("SELECT * FROM address") == [("Main Street 1",)]
    assert names("table") >= {"address", "token", "refusal"}
    database.stop()


def test_four_processes_that_start_at_once_migrate_once(tmp_path: Path) -> None:
    """On an empty folder: all of them come up, and the tables are whole."""
    # Each says when it is about to start, and waits for its standard input to end: the same moment for all.
    code = "import sys; from app import create_app; print(flush=True); sys.stdin.read(); create_app()"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=PROJECT,
            env=environment(tmp_path / "new"),
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
    create_app({"DATABASE_URL": f"sqlite:///{tmp_path}/new/connector.db"})
    assert len(applied()) == len(set(applied())) == len(list(database.MIGRATIONS.glob("[0-9]*.py")))
    assert names("table") >= TABLES
    assert database.rows("PRAGMA integrity_check") == [("ok",)]
    database.stop()


@pytest.mark.usefixtures("open_mask")
def test_the_files_are_their_owners_alone(tmp_path: Path) -> None:
    """They hold people's letters: 0600, the folder 0700, whatever the umask."""
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
def test_connections_are_set_for_safety(app: Flask) -> None:
    """Every commit reaches the disk, references are checked, readers and writers do not stop each other."""
    wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    assert {name: database.rows(f"PRAGMA {name}")[0][0] for name in wanted} == wanted
