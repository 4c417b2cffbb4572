"""Health: whether the process answers, and whether mail can be logged."""

import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

import database
from settings import VERSION
from tests.samples import WITHIN, assert_error, run_command, serving

LIVE, READY, EMAILS = "/health/live", "/health/ready", "/api/v1/emails"


@pytest.fixture
def file(app: Flask) -> Path:
    """The database file of the application."""
    return Path(app.config["DATABASE_URL"].removeprefix("sqlite:///"))


def log(sync: Any) -> Any:
    """The answer to a mail."""
    return sync.post(EMAILS, json={"subject": "x"})


def assert_not_ready(anonymous: Any, reason: str) -> None:
    """503 with the reason, while the process is alive."""
    response = anonymous.get(READY)
    error = assert_error(response, 503)
    assert reason in error["message"]
    assert int(response.headers["Retry-After"]) > 0
    assert anonymous.get(LIVE).status_code == 200


def test_a_running_service_is_live_and_ready(anonymous: Any) -> None:
    """Without a token, and never from a cache."""
    for path, told in ((LIVE, {"status": "live", "version": VERSION}), (READY, {"status": "ready"})):
        response = anonymous.get(path)
        assert (response.status_code, response.json) == (200, told)
        assert response.headers["Cache-Control"] == "no-store"
        assert anonymous.head(path).status_code == 200


def test_readiness_writes_nothing(anonymous: Any, client: Any, tmp_path: Path) -> None:
    """A load balancer asks every few seconds, for years."""
    anonymous.get(READY)
    before = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    for _ in range(20):
        assert anonymous.get(READY).status_code == 200
    assert {path.name: path.stat().st_size for path in tmp_path.iterdir()} == before
    assert client.get("/api/v1/changes").json == []


def test_it_is_not_ready_where_the_file_is_read_only(anonymous: Any, sync: Any) -> None:
    """A mail that is posted is refused too, so that it comes again; what is there can be read."""
    logged = log(sync).json
    database.db.pragma("query_only", 1, permanent=True)  # what permissions do, which do not stop root
    assert_not_ready(anonymous, "readonly")
    assert_error(log(sync), 503)
    assert sync.get(EMAILS).json == [logged]
    database.db.pragma("query_only", 0, permanent=True)
    assert anonymous.get(READY).status_code == 200


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """While another program writes the database, as somebody's sqlite3 shell may."""
    code = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('BEGIN IMMEDIATE'); print(flush=True); input()"
    other = subprocess.Popen([sys.executable, "-c", code, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == b"\n"
        yield
    finally:
        other.communicate(b"\n", timeout=WITHIN)


def test_it_is_not_ready_while_another_program_holds_the_lock(anonymous: Any, sync: Any, file: Path) -> None:
    """Reads go on meanwhile; afterwards nothing of it is left behind."""
    database.execute("PRAGMA busy_timeout = 50")  # in place of five seconds
    with locked(file):
        assert_not_ready(anonymous, "locked")
        assert_error(log(sync), 503)
        assert sync.get(EMAILS).json == []
    assert anonymous.get(READY).status_code == 200
    assert log(sync).status_code == 201


def test_it_is_not_ready_where_the_folder_is_gone(anonymous: Any, sync: Any, file: Path) -> None:
    """A volume that was unmounted: what would be logged would be lost."""
    shutil.rmtree(file.parent)
    assert_not_ready(anonymous, "No such file or directory")
    assert_error(log(sync), 503)


def test_the_reason_is_nobody_else_s_business(anonymous: Any, sync: Any, file: Path) -> None:
    """It says what is wrong, and not where the files are."""
    shutil.rmtree(file.parent)
    assert str(file.parent) not in anonymous.get(READY).text
    assert str(file.parent) not in log(sync).text


def test_a_full_disk_loses_nothing(sync: Any) -> None:
    """A mail that does not fit is refused whole; what is there stays, and can be read."""
    logged = log(sync).json
    pages = database.rows("PRAGMA page_count")[0][0]
    database.execute(f"PRAGMA max_page_count = {pages}")
    assert_error(sync.post(EMAILS, json={"textBody": "x" * 100_000}), 503)
    assert sync.get(EMAILS).json == [logged]


def test_the_served_process_is_live_and_ready(tmp_path: Path) -> None:
    """And says so while its database is gone, without a traceback."""
    folder = tmp_path / "data"
    with serving(tmp_path, DATABASE_URL=f"sqlite:///{folder}/connector.db") as server:
        base = f"http://127.0.0.1:{server.port}"
        for path in (LIVE, READY):
            with urllib.request.urlopen(base + path, timeout=WITHIN) as answer:
                assert answer.status == 200
        shutil.rmtree(folder)
        with pytest.raises(urllib.error.HTTPError) as raised:
            urllib.request.urlopen(base + READY, timeout=WITHIN)
        assert raised.value.code == 503
        raised.value.close()
        assert "Traceback" not in server.output.read_text()


def test_a_command_asks_the_service_that_runs_here(tmp_path: Path) -> None:
    """For a container's HEALTHCHECK: 0 where mail can be logged, else 1 with a sentence."""
    with serving(tmp_path, HOST="0.0.0.0") as server:
        where = {"HOST": "0.0.0.0", "PORT": server.port}
        done = run_command(tmp_path, "commands", "health", **where)
        assert (done.returncode, done.stdout) == (0, '{"status":"ready"}\n')
        with locked(tmp_path / "connector.db"):
            done = run_command(tmp_path, "commands", "health", **where)
        assert (done.returncode, '"code":503' in done.stdout) == (1, True)
    done = run_command(tmp_path, "commands", "health", **where)
    assert (done.returncode, done.stderr) == (1, f"Error: Nothing answers at 127.0.0.1, port {server.port}.\n")
