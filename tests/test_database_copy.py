"""`flask database copy --to URL`: from SQLite to PostgreSQL and back, all of it or nothing."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

import crm
import database
import models
from app import create_app
from commands import database_copy
from commands.common import Refused
from commands.consistency import problems
from database import postgresql, sqlite
from tests.conftest import USER, Client
from tests.samples import ACME, EMAILS, JANE, MAIL, WITHIN, ask, log, run_command, serving
from web import tokens

# What JSON's readers and writers would like to change: numbers, the order of keys, keys that come twice to the eye.
ODD = [{"type": "Deal", "id": "1", "b": 1e22, "a": [1.0, True, None, {"é": "e\u0301", "😀": "\\u0000\t\"'%s\\."}]}]
LETTER = {
    **MAIL,
    "rfc822MsgId": "<odd@acme.example>",
    "subject": "\\N \\. \t\r\n\x7f😀",
    "relatedTo": ODD,
    "textBody": "",
}
FILE = {"id": "1", "name": "a.txt", "mimeType": "text/plain", "content": "SGVsbG8="}

PATHS = [
    f"{EMAILS}?limit=100",
    f"{EMAILS}?q=offer+-hello",
    f"{EMAILS}?msgId=18c2f0a9d1e4",
    f"{EMAILS}?address=DAVE@acme.example",
    "/api/v1/contacts?limit=100",
    "/api/v1/companies",
    "/api/v1/contacts/42/emails",
    "/api/v1/contacts/lookup?emails=JANE@acme.example",
    "/api/v1/companies/lookup?domain=acme.example",
    "/api/v1/users/me",
    "/api/v1/changes?limit=100",
]


def unwatched(what: str, total: int, things: Any) -> Any:
    return things


class Scene:
    """A database with a bit of everything, which nobody uses, and the URL of an empty one of the other kind."""

    def __init__(self, client: Any, url: str, target: str, folder: Path) -> None:
        self.url, self.target, self.folder, self.token = url, target, folder, client.token
        crm.put_company("7", ACME)
        crm.put_contact("42", {**JANE, "companyId": "7"})
        crm.put_contact("43", {"firstName": None, "lastName": None, "companyId": None, "emailAddresses": ["no one"]})
        log(client, **MAIL)
        log(client, **LETTER)
        log(client, attachments=[FILE], receivedAt="2020-01-31T09:30:00Z", toAddresses=["dave@acme.example"])
        self.deleted = log(client, subject="deleted")["id"]
        client.delete(f"{EMAILS}/{self.deleted}")
        tokens.create(USER["id"], "sync", "ended", 3)
        tokens.revoke(2)
        tokens.Brake().refuse(401, "wrong", "192.0.2.1", "GET", "/")
        self.leave()

    def leave(self) -> None:
        """Use another database from now on, as if this process had ended."""
        database.stop()
        database.start(f"sqlite:///{self.folder}/elsewhere/other.db")
        database.stop()

    def copy(self, watch: database_copy.Watch = unwatched) -> list[database_copy.Summary]:
        return database_copy.copy(self.url, self.target, watch)

    def refuses(self, because: str) -> None:
        with pytest.raises(Refused, match=because):
            self.copy()

    def client(self, url: str) -> Any:
        """A client of the service on one of the two."""
        app = create_app({"DATABASE_URL": url})
        app.test_client_class = Client
        client: Any = app.test_client()
        client.token = self.token
        return client

    def served(self, url: str) -> dict[str, Any]:
        """What clients and commands are shown of a database."""
        client = self.client(url)
        shown: dict[str, Any] = {path: client.get(path).json for path in PATHS}
        assert all(shown.values())
        shown["file"] = client.get(f"{EMAILS}/3/attachments/1").data
        shown["tokens"] = tokens.listed()
        shown["refusals"] = tokens.list_refusals()
        shown["json"] = database.rows("SELECT related_to, attachments FROM email ORDER BY id")
        self.leave()
        return shown


@pytest.fixture
def target(storage: str, tmp_path: Path, postgres: Any) -> Iterator[str]:
    """The URL of an empty database of the other kind."""
    if storage == "sqlite":
        with postgres.fresh() as fresh:
            yield fresh
    else:
        yield f"sqlite:///{tmp_path}/new/target.db"


@pytest.fixture
def scene(client: Any, url: str, target: str, tmp_path: Path) -> Scene:
    return Scene(client, url, target, tmp_path)


def run(scene: Scene, *words: str) -> "subprocess.CompletedProcess[str]":
    """`flask database copy` in a process of its own."""
    copy = "flask", "database", "copy", "--to", *(words or [scene.target])
    return run_command(scene.folder, *copy, DATABASE_URL=scene.url)


def test_all_is_served_as_before(scene: Scene) -> None:
    """Every call, the tokens, who was refused; the search finds the same, and JSON is the same to the letter."""
    before = scene.served(scene.url)
    held = {summary.table: summary.rows for summary in scene.copy()}
    assert {"email": 3, "contact": 2, "company": 1, "token": 2, "refusal": 1, "change": 8}.items() <= held.items()
    assert scene.served(scene.target) == before
    assert scene.served(scene.url) == before


def test_no_id_is_given_again(scene: Scene) -> None:
    """Not even that of a record that was deleted: the copy goes on counting where the other would."""
    scene.copy()
    given = []
    for url in (scene.url, scene.target):
        client = scene.client(url)
        new = log(client, subject="new")
        seq = client.get("/api/v1/changes?limit=100").json[-1]["seq"]
        given.append((new["id"], seq, tokens.create(USER["id"]) and tokens.listed()[-1]["id"]))
        scene.leave()
    assert given[0] == given[1]
    assert int(given[0][0]) > int(scene.deleted)


def test_a_copy_can_be_copied_back(scene: Scene) -> None:
    """Both ways nothing is lost: the checksums are those of the first, and the search index agrees with the emails."""
    first = scene.copy()
    third = f"sqlite:///{scene.folder}/third.db"
    assert database_copy.copy(scene.target, third, unwatched) == first
    assert database_copy.copy(scene.url, third, unwatched) == first
    database.start(third)
    assert problems() == []
    scene.leave()


def test_the_tables_of_a_copy_are_those_of_a_new_database(scene: Scene, postgres: Any) -> None:
    """With their indexes, references and triggers, some of which are made when the rows are there."""
    schemas = {
        "sqlite": "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY 1, 2",
        "postgresql": """SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' UNION ALL
            SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
            WHERE connamespace = CAST('public' AS regnamespace) ORDER BY 1, 2""",
    }
    schema = schemas[scene.target.partition(":")[0]]
    scene.copy()
    found = []
    with postgres.fresh() as fresh:
        for url in (scene.target, fresh if "postgresql" in scene.target else f"sqlite:///{scene.folder}/fresh.db"):
            database.start(url)
            found.append(database.rows(schema))
            scene.leave()
    assert found[0] == found[1]
    assert len(found[0]) > 25


@pytest.mark.sqlite("files")
def test_nobody_else_can_read_the_copy_and_the_source_is_not_touched(scene: Scene) -> None:
    """It holds emails."""
    path = database.locate(scene.url)
    before = path.read_bytes()
    scene.copy()
    database_copy.copy(scene.target, f"sqlite:///{scene.folder}/new/back.db", unwatched)
    assert path.read_bytes() == before
    new = scene.folder / "new"
    assert {oct(part.stat().st_mode & 0o777) for part in [new, *new.iterdir()]} == {"0o700", "0o600"}
    assert sorted(part.name for part in new.iterdir()) == ["back.db", "back.db-lock"]


# again


@pytest.mark.parametrize(
    "moment", ["contact_address: copying", "email: copying", "search index", "recipient: comparing"]
)
def test_killed_at_any_moment_it_leaves_nothing_and_can_be_run_again(scene: Scene, moment: str) -> None:
    """No record; nothing is doubled then, and nothing missing."""

    def kill(what: str, total: int, things: Any) -> Iterator[Any]:
        for n, thing in enumerate(things):
            if what == moment and n == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            yield thing

    before = scene.served(scene.url)
    pid = os.fork()
    if pid == 0:
        try:
            scene.copy(kill)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    database.start(scene.target)
    for model in models.RECORDS + models.OWN:
        assert database.rows(f"SELECT count(*) FROM {model._meta.table_name}") == [(0,)]
    scene.leave()
    scene.copy()
    assert scene.served(scene.target) == before


def test_run_again_it_compares(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """And writes nothing."""
    first = scene.copy()
    monkeypatch.setattr(database_copy, "_fill", None)
    assert scene.copy() == first


# what differs is found


@pytest.mark.parametrize(
    ("damage", "table"),
    [
        ("UPDATE contact SET first_name = 'Jape' WHERE id = '42'", "contact"),
        ("UPDATE email SET related_to = '[ ]' WHERE id = 2", "email"),
        ("UPDATE email SET text_body = NULL WHERE id = 2", "email"),
        ("UPDATE contact_address SET position = 1 WHERE contact_id = '43'", "contact_address"),
        ("UPDATE token SET revoked_at = NULL", "token"),
    ],
)
def test_a_copy_that_was_changed_is_told_from_a_good_one(scene: Scene, damage: str, table: str) -> None:
    """By the checksum, where there are as many rows; it stays as it is."""
    scene.copy()
    database.start(scene.target)
    database.execute(damage)
    scene.leave()
    scene.refuses(f"other rows than this database in: {table}\\.$")


def test_what_does_not_arrive_as_it_was_sent_is_not_kept(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next try finds an empty database."""
    with monkeypatch.context() as patch:
        for end in (database_copy._File, database_copy._Server):
            fill = end.fill

            def spoil(self: Any, table: Any, rows: Any, fill: Any = fill) -> None:
                changed = ((*row[:-1], "spoilt") if table.name == "crm_user" else row for row in rows)
                fill(self, table, changed)

            patch.setattr(end, "fill", spoil)
        scene.refuses("other rows than this database in: crm_user")
    scene.copy()


@pytest.mark.sqlite("a column of numbers takes any text")
def test_a_row_that_can_not_be_copied_is_not_shown(scene: Scene) -> None:
    """PostgreSQL would quote it."""
    database.start(scene.url)
    database.execute("UPDATE refusal SET token_id = 'hushhush'")
    scene.leave()
    done = run(scene)
    assert done.returncode == 1
    assert done.stderr == "Error: Nothing was copied. A value can't be copied (InvalidTextRepresentation).\n"
    assert done.stdout == ""


# when it must not


def test_it_refuses_while_the_service_runs(scene: Scene) -> None:
    """Until it has ended. The command says what it has done, without contents."""
    with serving(scene.folder, DATABASE_URL=scene.url) as server:
        assert ask(server, "GET", "/health/ready")[0] == 200
        done = run(scene)
        assert (done.returncode, done.stdout) == (1, "")
        assert "The service or a command uses" in done.stderr
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(WITHIN) == 0
    done = run(scene)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == len(models.RECORDS) + len(models.OWN) + 1
    assert not any(word in done.stdout for word in ("jane", "Offer", scene.token, scene.target))


def test_nobody_writes_meanwhile(scene: Scene) -> None:
    """To either database: what comes later would be missing in the copy, or overwritten."""
    seen = []

    def look(what: str, total: int, things: Any) -> Any:
        seen.append((in_use(scene.url), in_use(scene.target)))
        return things

    scene.copy(look)
    assert set(seen) == {(True, True)}
    assert not in_use(scene.url)


def in_use(url: str) -> bool:
    """Whether those who would write are kept away."""
    if url.startswith("postgresql"):
        with psycopg.connect(url) as other:
            return other.execute("SELECT pg_try_advisory_lock(%s)", [postgresql._WRITERS]).fetchone() == (False,)
    try:
        with sqlite.write_lock(database.locate(url), timeout=0):
            return False
    except database.Unavailable:
        return True


def test_a_target_that_holds_something_else_stays_as_it_is(scene: Scene) -> None:
    """It may be somebody's."""
    database.start(scene.target)
    crm.add_user(USER)
    scene.leave()
    scene.refuses("neither empty nor a copy")
    database.start(scene.target)
    assert [user["id"] for user in crm.lookup_users([USER["email"]])] == [USER["id"]]
    scene.leave()


def test_a_database_is_no_copy_of_itself(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it wait for itself."""
    monkeypatch.setattr(postgresql, "LOCK_TIMEOUT", 0.1)
    scene.target = scene.url
    scene.refuses("uses one of the two")


def test_a_source_of_another_version_is_not_copied(scene: Scene) -> None:
    """Its tables may lack what the new ones have."""
    database.start(scene.url)
    database.execute("INSERT INTO schema_migration (name, applied) VALUES ('9999_later', '2026-01-31 09:30:00')")
    scene.leave()
    scene.refuses("not of this version")


def test_a_source_of_another_program_is_not_copied(scene: Scene) -> None:
    """However few tables it has."""
    database.start(scene.url)
    database.execute("DROP TABLE schema_migration")
    scene.leave()
    scene.refuses("not of this version")


@pytest.mark.sqlite("what the command is told is the same")
@pytest.mark.parametrize("words", ["mysql://host/name", "connector.db", "postgresql://hush%zz@host/crm"])
def test_a_target_that_is_none_gets_a_sentence(app: Any, words: str) -> None:
    """Which does not quote what may hold a password."""
    database.start(app.config["DATABASE_URL"] + "-elsewhere")
    database.stop()
    result = app.test_cli_runner().invoke(args=["database", "copy", "--to", words])
    assert result.exit_code in (1, 2)
    assert "It must be " in result.stderr
    assert "hush" not in result.stderr
