"""`flask doctor`: what is not well with an installation, and what to do about it."""

import os
import sqlite3
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from flask import Flask

import crm
import database
from commands import doctor
from tests.conftest import USER
from tests.samples import JANE, MAIL, free_port, run_command, serving
from web import checkup, tokens

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def file(url: str) -> Path:
    return database.locate(url)


@pytest.fixture
def well(app: Flask) -> Flask:
    """An installation of which nothing is to be said, but that a test is no service."""
    crm.put_contact("42", {**JANE, "companyId": None})
    crm.log_email(MAIL)
    tokens.create(USER["id"])
    app.config["PORT"] = free_port()
    return app


def said(app: Flask, *words: str) -> list[str]:
    """The lines that are not "ok", of a run that ends as they want it to."""
    result = app.test_cli_runner().invoke(args=["doctor", *words])
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    levels = [line.split(maxsplit=1)[0] for line in lines]
    assert set(levels) <= set(checkup.LEVELS)
    assert result.exit_code == (1 if "PROBLEM" in levels else 0), result.output
    return [line for line, level in zip(lines, levels, strict=True) if level != "ok"]


def look(path: Path) -> list[checkup.Finding]:
    """The findings for a database on which nothing has started."""
    return list(doctor.examine({"DATABASE_URL": f"sqlite:///{path}", "HOST": "127.0.0.1", "PORT": free_port()}))


def test_a_good_installation_has_no_problem(well: Flask) -> None:
    """And the lines can be shown by any terminal, and hold nothing that people wrote."""
    lines = said(well)
    [line] = lines[:1]
    assert lines == [line]
    assert line.startswith("warning  The database is in use, but nothing answers at 127.0.0.1")
    output = well.test_cli_runner().invoke(args=["doctor"]).output
    assert output.isascii()
    assert len(output.splitlines()) > 5
    assert "@" not in output
    assert "Offer" not in output


def test_nothing_is_changed(well: Flask, file: Path) -> None:
    """Not even the number that the next token gets."""

    def dump() -> list[str]:
        with closing(sqlite3.connect(file)) as connection:
            return list(connection.iterdump())

    before, files = dump(), set(file.parent.iterdir())
    assert any("sqlite_sequence" in line for line in before)
    said(well)
    assert dump() == before
    assert set(file.parent.iterdir()) <= files


@pytest.mark.system
def test_it_looks_while_the_service_runs(tmp_path: Path) -> None:
    """And asks it how it is."""
    with serving(tmp_path) as server:
        done = run_command(tmp_path, "flask", "doctor", PORT=server.port)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        assert f"ok       The service answers at 127.0.0.1, port {server.port}" in done.stdout


@pytest.mark.system
@pytest.mark.parametrize("program", ["flask", "commands"])
def test_it_looks_where_nothing_can_start(tmp_path: Path, program: str) -> None:
    """At a damaged database and at none, which it does not make."""
    done = run_command(tmp_path, program, "doctor")
    assert (done.returncode, done.stderr) == (1, "")
    assert f"PROBLEM  There is no database {tmp_path}/connector.db." in done.stdout
    assert not (tmp_path / "connector.db").exists()
    (tmp_path / "connector.db").write_text("This is not a database. " * 100)
    done = run_command(tmp_path, program, "doctor")
    assert (done.returncode, done.stderr) == (1, "")
    assert "is damaged, or not a database. Go back to a backup: flask restore FILE." in done.stdout


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (503, b'{"message": "The disk is full."}', "PROBLEM  Another program answers at 127.0.0.1"),
        (200, b'{"status": "ready"}', "PROBLEM  Another program answers at 127.0.0.1"),
        (200, b"hello", "warning  The database is in use, but nothing answers"),
    ],
)
def test_what_the_service_says_of_itself_is_told(well: Flask, status: int, body: bytes, words: str) -> None:
    """Unless it is another one that answers."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            """Nothing on the test's output."""

    with HTTPServer(("127.0.0.1", 0), Answer) as other, ThreadPoolExecutor() as pool:
        well.config["PORT"] = other.server_port
        pool.submit(other.handle_request)
        assert any(line.startswith(words) for line in said(well))


@pytest.mark.system
def test_a_service_on_another_database_is_named(tmp_path: Path) -> None:
    """It is well, but what is looked at is not what it serves."""
    with serving(tmp_path) as server:
        other = f"sqlite:///{tmp_path}/other.db"
        run_command(tmp_path, "flask", "user", "add", "john@brightsync.example", DATABASE_URL=other)
        done = run_command(tmp_path, "flask", "doctor", PORT=server.port, DATABASE_URL=other)
        assert f"PROBLEM  The service at 127.0.0.1, port {server.port} serves another database." in done.stdout


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """And not made."""
    texts = [finding.text for finding in look(tmp_path / "x" / "connector.db")]
    assert any(text.startswith(f"There is no folder {tmp_path / 'x'}.") for text in texts)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("INSERT INTO schema_migration (name, applied) VALUES ('9999_later', '')", "newer version, which has 9999"),
        ("DROP TABLE schema_migration", "belongs to another program"),
        ("PRAGMA writable_schema = 1; DELETE FROM sqlite_schema", "damaged"),
        (
            "DROP INDEX email_at_id_withheld_has_attachments",
            "indexes that are not there: email_at_id_withheld_has_attachments.",
        ),
        ("UPDATE email SET snippet = 'x'", "emails whose snippet and other fields disagree: 1."),
    ],
)
def test_a_database_that_is_not_right_is_a_problem(well: Flask, file: Path, statement: str, words: str) -> None:
    """In a sentence, and what to do in another."""
    database.stop()
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(statement)
    problems = [line for line in said(well) if line.startswith("PROBLEM")]
    assert words in problems[0]
    assert "Go back to a backup" in problems[-1] or "Install that one" in problems[-1] or "another" in problems[-1]


def test_an_older_database_is_left_for_the_next_start(
    well: Flask, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not brought up to date by being looked at."""
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    (scripts / "0001_later.py").touch()
    monkeypatch.setattr(database, "MIGRATIONS", scripts)
    assert any("The next start brings it up to date." in line for line in said(well))
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT name FROM schema_migration").fetchall() == []


def test_files_that_others_may_read_are_a_problem(well: Flask, file: Path) -> None:
    """With the command that ends it."""
    file.chmod(0o640)
    file.parent.chmod(0o755)
    lines = said(well)
    assert f"PROBLEM  Others may read connector.db, which holds people's emails: chmod 600 {file}" in lines
    assert any(line.endswith(f"chmod 700 {file.parent}") for line in lines)


def test_the_commands_it_gives_can_be_pasted(tmp_path: Path) -> None:
    """Also where the name of a folder has a space, as in a home under macOS."""
    file = tmp_path / "my data" / "connector.db"
    file.parent.mkdir(mode=0o755)
    file.touch(0o640)
    texts = [finding.text for finding in checkup.folder(file)]
    assert any(text.endswith(f"chmod 600 '{file}'") for text in texts)
    assert any(text.endswith(f"chmod 700 '{file.parent}'") for text in texts)


def test_a_file_of_another_user_is_a_problem(well: Flask, file: Path) -> None:
    """As a command leaves it that was run by root."""
    if os.geteuid():
        pytest.skip("only root can give a file away")
    os.chown(f"{file}-lock", 12345, -1)
    assert any("connector.db-lock is another user's than the database" in line for line in said(well))


@pytest.mark.parametrize("ending", ["-restoring", "-before-20260131T093000.000000Z"])
def test_what_a_restore_has_left_is_named(well: Flask, file: Path, ending: str) -> None:
    """It holds emails, also of those who were erased since."""
    Path(f"{file}{ending}").touch(mode=0o600)
    assert any(f"connector.db{ending} " in line for line in said(well))


@pytest.mark.parametrize(
    ("kind", "level"),
    [("nfs4", "PROBLEM"), ("cifs", "PROBLEM"), ("fuse.sshfs", "PROBLEM"), ("overlay", "warning"), ("ext4", None)],
)
def test_a_file_system_that_cannot_keep_a_database_is_named(
    well: Flask, monkeypatch: pytest.MonkeyPatch, kind: str, level: str | None
) -> None:
    """As the system calls it."""
    monkeypatch.setattr(checkup, "_file_system", lambda folder: kind)
    assert [line.split()[0] for line in said(well) if f"The folder is on {kind}" in line] == [level] * bool(level)


@pytest.mark.parametrize(
    ("free", "line"), [(1000, "PROBLEM  The disk is nearly full"), (10**9, "warning  There is no")]
)
def test_a_disk_without_room_is_named(well: Flask, monkeypatch: pytest.MonkeyPatch, free: int, line: str) -> None:
    """Before it is full, and before a backup fails."""
    monkeypatch.setattr(checkup, "disk_usage", lambda folder: Usage(10**12, 0, free))
    monkeypatch.setattr(database, "parts", lambda path: [_Large()])
    assert any(one.startswith(line) for one in said(well))


class _Large:
    """A file of one gigabyte."""

    def stat(self) -> Any:
        return os.stat_result((0o100600, 0, 0, 0, 0, 0, 10**9, 0, 0, 0))


def test_a_database_that_cannot_be_written_is_a_problem(well: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what else there is to say is said."""

    def locked(timeout: float) -> None:
        raise database.Unavailable[0]("database is locked")

    monkeypatch.setattr(database, "writing", locked)
    monkeypatch.setattr(tokens, "listed", list)
    lines = said(well)
    assert "PROBLEM  Writing can't be looked at. database is locked." in lines
    assert any("No token is valid" in line for line in lines)


@pytest.mark.parametrize("is_synchronized", [True, False])
def test_a_clock_that_nobody_keeps_right_is_named(
    well: Flask, monkeypatch: pytest.MonkeyPatch, is_synchronized: bool
) -> None:
    """With the command that ends it."""
    answer = Mock(stdout="yes\n" if is_synchronized else "no\n")
    monkeypatch.setattr("commands.doctor.subprocess.run", lambda *_, **__: answer)
    assert any("timedatectl set-ntp true" in line for line in said(well)) is not is_synchronized


def test_the_system_says_what_a_folder_is_on() -> None:
    """As findmnt does."""
    assert checkup._file_system(Path("/proc")) == "proc"


def test_a_clock_before_the_newest_record_is_a_problem(well: Flask) -> None:
    """What is logged now would stand below older mail, and be missed by those who ask for what came since."""
    database.execute("UPDATE change SET at = '2999-01-31T09:30:00.000000Z'")
    assert any("The clock is wrong" in line for line in said(well))


def test_tokens_that_end_soon_or_are_nobodys_are_named(well: Flask) -> None:
    """By their numbers."""
    tokens.create(USER["id"], days=13)
    tokens.create(USER["id"], days=15)
    tokens.create("gone")
    lines = said(well)
    assert [line[:20] for line in lines if "Token" in line] == ["warning  Token 2 end", "warning  Token 4 is "]


def test_that_nobody_can_call_is_a_problem(well: Flask) -> None:
    """All tokens are revoked or at their end."""
    tokens.create(USER["id"], days=1)
    database.execute("UPDATE token SET expires_at = '2020-01-31T09:30:00.000000Z' WHERE expires_at IS NOT NULL")
    tokens.revoke(1)
    assert any("No token is valid" in line for line in said(well))
