"""What PostgreSQL brings with it: sessions, lost connections, servers that end, locks of others."""

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlencode

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

import crm.changes
import crm.emails
import database
import store
from app import create_app
from commands import doctor
from commands.consistency import problems
from database import postgresql
from settings import Misconfigured
from store.words import split
from tests.conftest import Client
from tests.samples import EMAILS, MAIL, log
from web import checkup

OURS = "FROM pg_stat_activity WHERE application_name = 'connector' AND datname = current_database()"


def end_connections(url: str) -> None:
    """As a server does that ends, or an administrator."""
    with psycopg.connect(url, autocommit=True) as other:
        other.execute(f"SELECT pg_terminate_backend(pid) {OURS}")


def test_a_url_that_is_none_is_not_quoted() -> None:
    """It may hold a password."""
    with pytest.raises(Misconfigured) as error:
        create_app({"DATABASE_URL": "postgresql://hush%zz@host/crm"})
    assert "DATABASE_URL: It must be like postgresql://user@host/name." in str(error.value)
    assert "hush" not in str(error.value)


def test_every_text_is_compared_byte_by_byte(app: Any) -> None:
    """Whatever the database's own rules are: pages and look-ups are the same as SQLite's."""
    texts = database.rows(
        "SELECT collation_name FROM information_schema.columns WHERE table_schema = 'public' AND data_type = 'text'"
    )
    assert len(texts) > 40
    assert set(texts) == {("C",)}


def test_a_session_does_not_take_over_what_would_lose_mail(app: Any, url: str) -> None:
    """Nor what would let a writer read what was there before it had the write lock."""
    with psycopg.connect(url, autocommit=True) as other:
        name = other.info.dbname
        other.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
        other.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
        try:
            database.stop()
            assert database.rows("SHOW synchronous_commit") == [("on",)]
            with database.writing():
                assert database.rows("SHOW transaction_isolation") == [("read committed",)]
        finally:
            other.execute(f"ALTER DATABASE {name} RESET ALL")


def test_a_connection_that_was_lost_meanwhile_is_replaced(client: Any, url: str) -> None:
    """Nobody notices."""
    log(client, **MAIL)
    end_connections(url)
    assert client.get(EMAILS).status_code == 200
    end_connections(url)
    assert client.post(EMAILS, json={}).status_code == 201


@pytest.mark.parametrize("fault", ["connection", "deadlock"])
def test_a_call_that_was_broken_off_is_made_once_more(
    client: Any, url: str, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """Before it had asked that anything be kept: then one mail is logged, and one change is told."""
    tries = []
    record_change = crm.changes.record_change

    def break_off(*change: Any) -> None:
        tries.append(change)
        if len(tries) == 1:
            if fault == "connection":
                end_connections(url)
            else:
                database.execute("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40P01'; END $$")
        record_change(*change)

    monkeypatch.setattr(crm.emails, "record_change", break_off)
    store.withheld.key()  # made with the first email
    database.release()  # what this thread has written before is no part of the call
    assert client.post(EMAILS, json={"subject": "without an id"}).status_code == 201
    assert len(tries) == 2
    assert len(client.get(EMAILS).json) == len(client.get("/api/v1/changes").json) == 1


def test_a_call_that_was_broken_off_while_it_was_being_kept_is_not_made_again(
    client: Any, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been kept: who sent it has to ask. What comes next is served."""
    commit = postgresql.Server.commit
    tries = []

    def end_and_commit(self: Any) -> None:
        tries.append(1)
        end_connections(url)
        commit(self)

    monkeypatch.setattr(postgresql.Server, "commit", end_and_commit)
    answer = client.post(EMAILS, json={})
    assert (answer.status_code, answer.headers["Retry-After"], tries) == (503, "5", [1])
    monkeypatch.undo()
    assert client.post(EMAILS, json={}).status_code == 201


def test_who_waits_for_a_lock_too_long_is_told(client: Any, url: str) -> None:
    """Reading goes on; writing comes back by itself."""
    with psycopg.connect(url) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [postgresql._WRITERS])
        with pytest.raises(database.Unavailable) as error, database.writing(timeout=0):
            pass
        assert database.problem_of(error.value) == ("The database is locked by another program (55P03)", False)
        assert client.get(EMAILS).status_code == 200
    assert client.post(EMAILS, json={}).status_code == 201


def test_a_database_that_is_read_only_cannot_serve_writers(client: Any, url: str) -> None:
    """As a standby is."""
    database.stop()
    with psycopg.connect(url, autocommit=True) as other:
        other.execute(f"ALTER DATABASE {other.info.dbname} SET default_transaction_read_only = on")
        try:
            assert client.post(EMAILS, json={}).status_code == 503
            ready = client.get("/health/ready")
            assert (ready.status_code, "readonly" in ready.json["message"]) == (503, True)
            assert client.get(EMAILS).status_code == 200
        finally:
            other.execute(f"ALTER DATABASE {other.info.dbname} RESET ALL")
    database.stop()
    assert client.get("/health/ready").status_code == 200


def test_of_several_hosts_the_one_that_let_us_in_is_asked_first(url: str) -> None:
    """One that is gone may take seconds to be given up, each time."""
    asked: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as gone:

        def hang_up() -> None:
            with suppress(OSError):
                while True:
                    caller = gone.accept()[0]
                    asked.append(caller)
                    caller.close()

        thread = Thread(target=hang_up)
        thread.start()
        theirs = conninfo_to_dict(url)
        theirs["host"] = f"127.0.0.1,{theirs['host']}"
        theirs["port"] = f"{gone.getsockname()[1]},{theirs.get('port', 5432)}"
        database.start("postgresql://?" + urlencode(theirs))
        assert len(asked) == 1
        assert database.rows("SELECT 1") == [(1,)]
        assert len(asked) == 1
        database.stop()
        gone.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_nothing_is_open_after_the_start(url: str) -> None:
    """The server forks then."""
    create_app({"DATABASE_URL": url})
    with psycopg.connect(url) as other:
        assert other.execute(f"SELECT count(*) {OURS}").fetchone() == (0,)


def test_a_process_has_no_more_connections_than_threads(url: str) -> None:
    """Others wait for one."""
    app = create_app({"DATABASE_URL": url, "THREADS": "2"})
    app.test_client_class = Client
    with ThreadPoolExecutor(8) as pool:
        ready = pool.map(lambda _: app.test_client().get("/health/ready").status_code, range(40))
        assert list(ready) == [200] * 40
    with psycopg.connect(url) as other:
        assert other.execute(f"SELECT count(*) {OURS}").fetchone() in {(1,), (2,)}


def test_the_database_of_another_program_is_not_touched(postgres: Any) -> None:
    """Nor one whose encoding can't hold every letter."""
    url = postgres.create()
    with psycopg.connect(url) as other:
        other.execute("CREATE TABLE email (id int)")
    with pytest.raises(database.Unusable, match="another program"):
        database.start(url)


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        ("DELETE FROM recipient WHERE role = 'from'", "emails whose words can't be found: 1"),
        ("UPDATE email_words SET words = ''", "emails whose words can't be found: 1"),
        ("DELETE FROM copy", "emails that can't be found by their msgId: 1"),
        ("DELETE FROM link", "emails whose links and other fields disagree: 1"),
        ("DELETE FROM change", "records of which the change feed does not tell: email 1"),
        ("DELETE FROM email", "records that the change feed tells of and that are not here: email 1"),
    ],
)
def test_tables_that_disagree_are_found(client: Any, damage: str, found: str) -> None:
    """Each kind of disagreement by the ids of the records; what it is in full, test_consistency tells of SQLite."""
    log(client, **MAIL)
    assert problems() == []
    database.execute(damage)
    assert f"There are {found}." in problems()


@pytest.mark.parametrize(
    "text",
    [
        "Offer-4711: jane@acme.example, C:\\letters\\a_b.txt (1e5, 3.14) don't",
        "Äpfel Ünïcödé Ærøskøbing Łódź ỆỂ Straße ΟΔΟΣ ὀδός Ёлка йод Đà Nẵng İstanbul",
        "हिन्दी 漢字かな交じり文 한국어 ภาษาไทย עברית العربية ½ Ⅷ ²",
        "e\u0301te\u0301 и\u0306од",
    ],
)
def test_every_word_of_a_text_is_found(client: Any, text: str) -> None:
    """However it is written: PostgreSQL takes the words as store/words.py has split them, and does nothing to them."""
    log(client, textBody=text)
    words = split(text)
    assert words
    for word in (*words, *text.split()):
        if split(word):
            assert len(client.get(EMAILS, query_string={"q": word}).json) == 1, word


def test_a_mail_of_more_words_than_an_index_holds_is_logged(client: Any) -> None:
    """Its first words are found in phrases, the later ones alone, as far as there is room."""
    words = " ".join(f"word{n}" for n in range(40_000))
    assert log(client, textBody=f"{words} {'x' * 3000}", subject="long")["textBody"].startswith("word0 ")
    log(client, textBody=" ".join(f"{n:x}" for n in range(1_000_000)))

    def found(q: str) -> int:
        return len(client.get(EMAILS, query_string={"q": q}).json)

    assert [found('"word7 word8"'), found("word39999"), found('"word8 word7"'), found("x" * 3000)] == [1, 1, 0, 1]


def test_doctor_looks_it_over(client: Any, url: str) -> None:
    """Records, writing, clock and tokens; how the server is, its own means tell."""
    client.post(EMAILS, json=MAIL)
    found = list(doctor.examine({"DATABASE_URL": url}))
    assert {finding.level for finding in found} == {checkup.FINE}, found
    assert "All records agree with one another" in [finding.text for finding in found]


def test_backup_and_restore_name_its_own_means(app: Any, tmp_path: Path) -> None:
    """A file of SQLite's would be of no use to it."""
    for command, means in [("backup", "pg_dump"), ("restore", "pg_restore")]:
        result = app.test_cli_runner().invoke(args=[command, str(tmp_path / "copy")])
        assert (result.exit_code, means in result.output) == (1, True)
