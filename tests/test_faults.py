"""What goes wrong below: the file is gone, replaced, damaged or of somebody else, the disk is full or fails.

Never an answer of 2xx for a mail that is not kept, never a 500; reads go on where they can; and the service returns
by itself when the cause is gone. The long forms are in bench/faults.
"""

import errno
import os
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from fcntl import LOCK_EX, flock
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from peewee import OperationalError, __exception_wrapper__  # type: ignore[attr-defined]

import crm
import database
from app import create_app
from bench.faults import disk, power
from commands.consistency import problems
from settings import Misconfigured
from tests.samples import EMAILS, MAIL, assert_error, content, log
from web import tokens

READY = "/health/ready"


@pytest.fixture
def file(app: Flask) -> Path:
    """The database file of the application."""
    return Path(app.config["DATABASE_URL"].removeprefix("sqlite:///"))


@pytest.fixture
def service(app: Flask, client: Any) -> Iterator[Callable[[], list[int]]]:
    """Twenty calls side by side, half of them writing, in threads of their own; gives their statuses."""

    def call(number: int) -> int:
        own: Any = app.test_client()
        own.token = client.token
        try:
            answer = own.post(EMAILS, json={"msgId": f"m{number}"}) if number % 2 else own.get(EMAILS)
            return int(answer.status_code)
        finally:
            database.stop()

    with ThreadPoolExecutor(20) as threads:
        yield lambda: list(threads.map(call, range(20)))


def assert_serves(client: Any, service: Callable[[], list[int]]) -> None:
    """It is ready, and answers twenty at once; the tables agree with one another."""
    assert client.get(READY).status_code == 200
    assert set(service()) <= {200, 201}
    assert problems() == []


def assert_refused(client: Any, reason: str, status: int = 503) -> None:
    """No mail is taken, the health call says why, and each answer when to come again."""
    change = {"subject": "secret"}
    for answer in (client.post(EMAILS, json=change), client.patch(f"{EMAILS}/1", json=change)):
        assert_error(answer, status)
        assert int(answer.headers["Retry-After"]) > 0
    answer = client.get(READY)
    assert reason in assert_error(answer, 503)["message"]
    assert int(answer.headers["Retry-After"]) > 0


def side_files(file: Path) -> list[Path]:
    """What SQLite has beside a database that is in use."""
    return [file.with_name(f"{file.name}-{kind}") for kind in ("wal", "shm")]


# ---- no room --------------------------------------------------------------------------------------------------------


def test_a_full_disk_is_503_until_there_is_room(client: Any, service: Any, monkeypatch: Any, caplog: Any) -> None:
    """A mail that does not fit is refused whole; reads go on; the log does not quote it."""
    logged = log(client, **MAIL)
    database.execute(f"PRAGMA max_page_count = {database.rows('PRAGMA page_count')[0][0]}")
    for _ in range(3):
        answer = client.post(EMAILS, json={"subject": "secret", "textBody": "x" * 100_000})
        assert_error(answer, 503)
        assert int(answer.headers["Retry-After"]) > 0
    assert client.get(EMAILS).json == [logged]
    assert [change["action"] for change in client.get("/api/v1/changes").json] == ["created"]
    assert "secret" not in caplog.text
    database.execute("PRAGMA max_page_count = 1000000")
    assert_serves(client, service)


def test_it_is_not_ready_on_a_full_disk(client: Any, monkeypatch: Any) -> None:
    """Though nothing was written yet that did not fit."""

    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        assert "No space left on device" in assert_error(client.get(READY), 503)["message"]
    assert client.get(READY).status_code == 200


def test_no_room_for_what_processes_share_is_a_full_disk(client: Any, monkeypatch: Any) -> None:
    """SQLite calls it a fault of the disk."""

    def fail(*_: Any) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode, error.sqlite_errorname = sqlite3.SQLITE_IOERR_SHMSIZE, "SQLITE_IOERR_SHMSIZE"
        raise error

    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def refuse(*_: Any) -> None:
        with __exception_wrapper__:
            fail()

    monkeypatch.setattr(crm, "log_email", refuse)
    assert_error(client.post(EMAILS, json={}), 503)
    monkeypatch.setattr(os, "posix_fallocate", full)
    assert_error(client.post(EMAILS, json={}), 503)


def test_who_is_still_sending_sees_that_it_is_refused(client: Any, monkeypatch: Any) -> None:
    """Else the connection would be closed in the middle of a large mail, and the answer never read."""

    def fail(_: str) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(tokens, "authenticate", fail)
    body = BytesIO(b" " * 1_000_000)
    answer = client.post(EMAILS, input_stream=body, content_length=1_000_000, content_type="application/json")
    assert_error(answer, 503)
    assert body.tell() == 1_000_000


# ---- the file is gone, or another one ------------------------------------------------------------------------------


def test_nothing_is_written_to_a_file_that_has_no_name_any_more(client: Any, file: Path, service: Any) -> None:
    """It would be gone with the process. What is in it can be read; moved back, it is as before."""
    logged = log(client, **MAIL)
    aside = file.with_name("aside")
    file.rename(aside)
    assert_refused(client, "The database file is gone")
    assert not file.exists()
    assert client.get(EMAILS).json == [logged]
    aside.rename(file)
    assert_serves(client, service)
    assert content(client.get(f"{EMAILS}/{logged['id']}").json) == MAIL


def test_a_backup_in_the_place_of_the_file_is_served(client: Any, file: Path, service: Any) -> None:
    """What is logged from then on is in the new file; a thread that only reads sees it from its next write on."""
    log(client, **MAIL)
    database.backup(file.with_name("backup"))
    log(client, msgId="later")
    for gone in (file, *side_files(file)):
        gone.unlink()
    assert_refused(client, "The database file is gone")
    file.with_name("backup").rename(file)
    new = log(client, msgId="new")
    assert [content(record) for record in client.get(EMAILS).json][-1] == MAIL
    assert len(client.get(EMAILS).json) == 2
    assert_serves(client, service)
    with closing(sqlite3.connect(file)) as other:
        assert other.execute("SELECT id FROM email WHERE msg_id = 'new'").fetchall() == [(int(new["id"]),)]


def test_the_log_of_a_file_is_not_mixed_into_another(client: Any, file: Path, service: Any) -> None:
    """SQLite writes a log that it finds into the file beside it, of whatever database it was."""
    log(client, **MAIL)
    database.backup(file.with_name("backup"))
    kept = file.with_name("backup").read_bytes()
    log(client, msgId="later")
    file.unlink()
    file.with_name("backup").rename(file)
    assert_refused(client, "write-ahead log (-wal)")
    assert file.read_bytes() == kept
    for gone in side_files(file):
        gone.unlink()
    assert_serves(client, service)
    assert problems() == []


def test_mail_in_a_log_that_was_removed_is_saved(client: Any, file: Path, service: Any) -> None:
    """Someone tidied up: the connection still has it. Another one is open: SQLite saves it only with the last."""
    logged = [log(client, **MAIL), log(client, msgId="second")]
    with closing(sqlite3.connect(file)) as other:
        other.execute("SELECT count(*) FROM email").fetchall()
        for gone in side_files(file):
            gone.unlink()
        logged.append(log(client, msgId="third"))
    with closing(sqlite3.connect(file)) as other:
        kept = [str(row[0]) for row in other.execute("SELECT id FROM email ORDER BY id")]
    assert kept == [record["id"] for record in logged]
    assert_serves(client, service)


def empty(file: Path) -> None:
    file.write_bytes(b"")


def text(file: Path) -> None:
    file.write_bytes(b"Dear John, see the offer attached. " * 1000)


def folder(file: Path) -> None:
    file.mkdir()


def foreign(file: Path) -> None:
    with closing(sqlite3.connect(file)) as other:
        other.executescript("CREATE TABLE contact (nick TEXT); INSERT INTO contact VALUES ('x')")


def newer(file: Path) -> None:
    database.start(f"sqlite:///{file}")
    with database.writing():
        database.execute("INSERT INTO schema_migration (name, applied) VALUES ('9999_later', '2030-01-01')")
    database.stop()


def filled(file: Path) -> None:
    """Not a fault yet: a database with mail in it, all of it in the file."""
    database.start(f"sqlite:///{file}")
    with database.writing():
        for n in range(100):
            crm.log_email({**MAIL, "rfc822MsgId": f"<m{n}@a.example>", "msgId": f"g{n}"})
    database.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    database.stop()


def cut(file: Path) -> None:
    filled(file)
    os.truncate(file, file.stat().st_size // 2)


def damage(file: Path, first: int = 3) -> None:
    """Nonsense at the beginning of this page and of each that follows."""
    with file.open("r+b") as pages:
        for page in range(first, file.stat().st_size // 4096):
            pages.seek(page * 4096)
            pages.write(b"\xa5" * 200)


def damaged(file: Path) -> None:
    filled(file)
    damage(file)


BAD: dict[Callable[[Path], None], str] = {
    empty: "has lost its content. Go back to a backup: flask restore FILE",
    text: "is damaged, or not a database. Go back to a backup: flask restore FILE",
    folder: "It names a folder or a device",
    foreign: "belongs to another program: it has a table contact, and none of ours",
    newer: "was written by a newer version, which has 9999_later",
    cut: "is damaged, or not a database. Go back to a backup: flask restore FILE",
    damaged: "is damaged, or not a database. Go back to a backup: flask restore FILE",
}


@pytest.mark.parametrize("make", BAD, ids=lambda make: make.__name__)
def test_a_file_that_can_not_be_served_ends_the_start(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """With one sentence that says what to do; the file is left as it was."""
    file = tmp_path / "connector.db"
    make(file)
    before = file.read_bytes() if file.is_file() else None
    with pytest.raises(Misconfigured) as raised:
        create_app({"DATABASE_URL": f"sqlite:///{file}"})
    assert BAD[make] in str(raised.value)
    assert "\n" not in str(raised.value)
    assert (file.read_bytes() if file.is_file() else None) == before


@pytest.mark.parametrize("make", [empty, text, folder, foreign, newer], ids=lambda make: make.__name__)
def test_a_bad_file_in_the_place_of_a_good_one_takes_no_mail(
    client: Any, file: Path, service: Any, make: Callable[[Path], None]
) -> None:
    """Under a running service; with the good one back, all is as before."""
    logged = log(client, **MAIL)
    database.stop()  # its log is in the file now
    good = file.with_name("good")
    file.rename(good)
    make(file)
    for call in (client.get, client.post):
        answer = call(EMAILS)
        assert_error(answer, 503)
        assert int(answer.headers["Retry-After"]) > 0
    assert_error(client.get(READY), 503)
    for path in (file, *side_files(file)):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    good.rename(file)
    assert client.get(EMAILS).json == [logged]
    assert_serves(client, service)


def test_damaged_pages_are_503_and_never_quoted(client: Any, file: Path, service: Any, caplog: Any) -> None:
    """What is on whole pages can be read; with the pages as they were, all is as before."""
    for n in range(100):
        log(client, **MAIL | {"rfc822MsgId": f"<m{n}@a.example>", "msgId": f"g{n}"})
    paths = [f"{EMAILS}/{n}" for n in range(1, 101)] + [f"{EMAILS}?limit=100", f"{EMAILS}?q=offer"]
    before = {path: client.get(path).json for path in paths}
    database.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    first = database.rows("SELECT rootpage FROM sqlite_schema WHERE name = 'email'")[0][0]
    database.stop()
    good = file.read_bytes()
    damage(file, first)
    answers = {path: client.get(path) for path in paths}
    assert {answer.status_code for answer in answers.values()} >= {503}
    for path, answer in answers.items():
        if answer.status_code == 200:
            assert answer.json == before[path]
        else:
            assert int(assert_error(answer, 503)["code"]) == 503
    assert "Offer" not in caplog.text
    assert "SQLITE_CORRUPT" in caplog.text
    database.stop()
    file.write_bytes(good)
    assert {path: client.get(path).json for path in paths} == before
    assert_serves(client, service)


def test_nonsense_in_the_log_is_not_taken_for_mail(tmp_path: Path) -> None:
    """Its frames carry check sums; what is in the file itself is served."""
    file = tmp_path / "connector.db"
    filled(file)
    side_files(file)[0].write_bytes(os.urandom(100_000))
    create_app({"DATABASE_URL": f"sqlite:///{file}"})
    assert database.rows("SELECT count(*) FROM email") == [(100,)]
    assert problems() == []
    database.stop()


# ---- locks ----------------------------------------------------------------------------------------------------------


def test_calls_that_waited_in_vain_do_not_pile_up(client: Any, file: Path, service: Any) -> None:
    """A stopped process that holds the write lock leaves no waiting thread behind, however many calls are refused."""
    before = threading.active_count()
    with open(f"{file}-lock") as other:
        flock(other, LOCK_EX)
        for _ in range(10):
            with pytest.raises(database.Unavailable), database.writing(timeout=0.05):
                pass
        assert threading.active_count() == before
        assert client.get(EMAILS).status_code == 200
    assert_serves(client, service)


def test_a_search_waits_for_nobody(client: Any, file: Path, service: Any) -> None:
    """It writes nothing: the last email is found while another process has the write lock."""
    logged = log(client, **MAIL)
    with open(f"{file}-lock") as other:
        flock(other, LOCK_EX)
        assert client.get(EMAILS, query_string={"q": "offer"}).json == [logged]
    assert_serves(client, service)


def test_after_one_has_waited_in_vain_nobody_else_does(client: Any, file: Path, monkeypatch: Any) -> None:
    """Else those behind a file that another program keeps locked would wait one after the other."""
    monkeypatch.setattr(database.sqlite, "LOCK_TIMEOUT", 0.1)
    database.execute("PRAGMA busy_timeout = 100")
    said: list[str] = []
    database.db.connection().set_trace_callback(said.append)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        for waits in (True, False):
            with pytest.raises(database.Unavailable), database.writing(timeout=0.1):
                pass
            assert ("PRAGMA busy_timeout = 0" not in said) == waits
        assert client.get(EMAILS).json == []
    assert client.post(EMAILS, json={}).status_code == 201


# ---- the rig --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [disk.failing, disk.damaged, disk.full])
def test_the_served_process_survives(fault: Callable[[bool], Any]) -> None:
    """Twenty write and read meanwhile, and afterwards; bench/faults tells what is done to it."""
    if fault is disk.full and subprocess.run(["unshare", "--map-root-user", "--mount", "true"]).returncode:
        pytest.skip("This system lets nobody mount a small disk (unshare).")
    outcome = fault(True)
    assert outcome.passed, outcome
    assert outcome.acknowledged >= 20


def test_a_power_failure_loses_no_mail_that_was_acknowledged() -> None:
    """At some dozen moments, and the same moments without syncs do lose some."""
    if not shutil.which("strace"):
        pytest.skip("It takes strace to see what reaches the disk: apt-get install strace")
    safe, unsafe = power.run(quick=True)
    assert safe.passed, safe
    assert unsafe.passed, unsafe
    assert safe.acknowledged >= 30
