"""`flask restore FILE`: back to a copy, with the old database kept, or nothing has happened."""

import itertools
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from stat import S_IMODE
from typing import Any

import pytest
from flask import Flask

import crm
import database
from commands import restore
from commands.consistency import problems
from database import common, copies
from tests.conftest import USER
from tests.samples import EMAILS, ask, run_command, serving
from tests.test_migrations import LATER
from web import tokens


def subjects(file: Path) -> list[str]:
    """What mail a database holds, as it would be served."""
    database.start(f"sqlite:///{file}")
    found = [subject for (subject,) in database.rows("SELECT subject FROM email ORDER BY id")]
    assert problems() == []
    database.stop()
    return found


def leave(folder: Path) -> None:
    """Use another database from now on, as if this process had ended."""
    database.start(f"sqlite:///{folder}/elsewhere/other.db")
    database.stop()


class Scene:
    """A database with the mails "before" and "after", and a copy that was made between the two."""

    def __init__(self, app: Flask, folder: Path) -> None:
        self.folder, self.file, self.copy = folder, folder / "connector.db", folder / "copies" / "copy.db"
        self.copy.parent.mkdir()
        crm.log_email({"subject": "before"})
        database.backup(self.copy)
        crm.log_email({"subject": "after"})
        leave(folder)
        self.runner = app.test_cli_runner()

    def restore(self, *words: object) -> Any:
        return self.runner.invoke(args=["restore", *map(str, words or [self.copy])])

    def restore_and_start(self) -> None:
        """And use the database."""
        leave(self.folder)
        result = self.restore()
        assert (result.exit_code, result.stderr) == (0, "")
        database.start(f"sqlite:///{self.file}")

    def run(self) -> "subprocess.CompletedProcess[str]":
        """In a process of its own."""
        return run_command(self.folder, "flask", "restore", str(self.copy))

    def copy_again(self) -> None:
        """With the token that the service has got since."""
        self.copy.unlink()
        run_command(self.folder, "flask", "backup", str(self.copy))

    def refuses(self, *words: object, because: str) -> None:
        """The command fails with a sentence, and all files stay as they were."""
        before = self.files()
        result = self.restore(*words)
        assert result.exit_code == 1
        assert isinstance(result.exception, SystemExit), result.exception
        assert result.stderr.startswith("Error: Nothing was replaced. ")
        assert because in result.stderr, result.stderr
        assert self.files() == before

    def files(self) -> dict[str, bytes]:
        """What the files of the database hold, but for those that are for locks alone."""
        parts = self.folder.glob("connector.db*")
        return {part.name: part.read_bytes() for part in parts if not part.name.endswith(("-lock", "-shm"))}

    def kept(self) -> list[Path]:
        return sorted(part for part in self.folder.glob("connector.db-before-*") if part.name.endswith("Z"))


@pytest.fixture
def scene(app: Flask, tmp_path: Path) -> Scene:
    return Scene(app, tmp_path)


def test_it_goes_back_and_tells_how_to_go_forth(scene: Scene) -> None:
    """What came after the copy is not there, but in the file that is kept; restoring that one undoes all."""
    result = scene.restore()
    assert (result.exit_code, result.stderr) == (0, "")
    [kept] = scene.kept()
    assert f"flask restore {kept}\n" in result.stdout
    assert subjects(scene.file) == ["before"]
    leave(scene.folder)
    assert scene.restore(kept).exit_code == 0
    assert subjects(scene.file) == ["before", "after"]


def test_tokens_come_from_the_copy_and_it_says_so(app: Flask, tmp_path: Path) -> None:
    """One that was revoked since is valid again."""
    token = tokens.create(USER["id"])
    scene = Scene(app, tmp_path)
    database.start(f"sqlite:///{scene.file}")
    tokens.revoke(1)
    assert tokens.authenticate(token) is None
    leave(tmp_path)
    result = scene.restore()
    assert result.exit_code == 0
    assert "a token that was revoked since is valid again" in result.stdout
    database.start(f"sqlite:///{scene.file}")
    assert tokens.authenticate(token) is not None


def test_it_makes_a_database_where_there_is_none(scene: Scene) -> None:
    """On a new machine, in a folder that is not there."""
    scene.runner.app.config["DATABASE_URL"] = f"sqlite:///{scene.folder}/new/connector.db"
    result = scene.restore()
    assert result.exit_code == 0
    assert "kept" not in result.stdout
    assert "could not be read" in result.stdout
    assert S_IMODE((scene.folder / "new").stat().st_mode) == 0o700
    assert subjects(scene.folder / "new" / "connector.db") == ["before"]


def test_all_files_stay_their_owners_alone(scene: Scene) -> None:
    """Whatever the umask, and the mode of the copy."""
    scene.copy.chmod(0o644)
    before = os.umask(0)
    try:
        assert scene.restore().exit_code == 0
    finally:
        os.umask(before)
    assert {oct(S_IMODE(part.stat().st_mode)) for part in scene.folder.glob("connector.db*")} == {"0o600"}


# ids and the change feed


CONTACT: dict[str, Any] = {"firstName": None, "lastName": None, "emailAddresses": [], "companyId": None}


@pytest.fixture
def changed(app: Flask, tmp_path: Path) -> Scene:
    """Records of every kind that stay, change, come and go after the copy was made."""
    for one in ("stays", "changes", "goes", "comes again"):
        crm.put_contact(one, CONTACT)
        crm.put_company(one, {"name": None, "domains": []})
    for one in ("2 changes", "3 goes"):
        crm.log_email({"subject": one})
    scene = Scene(app, tmp_path)  # with the emails 4, in the copy, and 5, "after"
    database.start(f"sqlite:///{scene.file}")
    crm.put_contact("changes", CONTACT | {"firstName": "Jane"})
    crm.change_company("changes", {"name": "Acme"})
    crm.change_email("1", {"subject": "changed"})
    crm.delete_email("2")
    for kind in ("contact", "company"):
        delete, put = getattr(crm, f"delete_{kind}"), getattr(crm, f"put_{kind}")
        delete("goes")
        delete("comes again")
        put("comes again", CONTACT if kind == "contact" else {"name": None, "domains": []})
        put("is new", CONTACT if kind == "contact" else {"name": None, "domains": []})
    tokens.create(USER["id"])
    crm.delete_email(crm.log_email({"subject": "gone again"})[0]["id"])
    return scene


WHAT_A_RESTORE_DOES = {
    *((kind, one, "changed") for kind in ("contact", "company") for one in ("changes", "comes again")),
    *((kind, "goes", "created") for kind in ("contact", "company")),
    *((kind, "is new", "deleted") for kind in ("contact", "company")),
    ("email", "1", "changed"),
    ("email", "2", "created"),
    ("email", "4", "deleted"),
}


def feed(after: int = 0) -> list[tuple[str, str, str]]:
    return [(one["type"], one["id"], one["action"]) for one in crm.list_changes(after, 1000)]


def followed(changes: list[tuple[str, str, str]]) -> set[tuple[str, str]]:
    """What is there, by the feed; each step must follow from the one before."""
    here: set[tuple[str, str]] = set()
    for kind, record_id, action in changes:
        assert (action == "created") == ((kind, record_id) not in here), (kind, record_id, action)
        (here.discard if action == "deleted" else here.add)((kind, record_id))
    return here


def test_the_feed_tells_of_each_record_that_it_changed(changed: Scene) -> None:
    """Behind all numbers that were given before, and of no other; what was done since the copy stays known."""
    before = crm.list_changes(0, 1000)
    changed.restore_and_start()
    now = crm.list_changes(0, 1000)
    assert now[: len(before)] == before
    assert sorted(feed(before[-1]["seq"])) == sorted(WHAT_A_RESTORE_DOES)
    assert now[len(before)]["at"] > before[-1]["at"]
    ids = [("email", str(row_id)) for (row_id,) in database.rows("SELECT id FROM email")]
    people = [(kind, one) for kind in ("contact", "company") for one in ("stays", "changes", "goes", "comes again")]
    assert followed(feed()) == {*ids, *people}
    assert problems() == []


def test_the_feed_goes_on_when_the_restore_is_undone(changed: Scene) -> None:
    """Back and forth: numbers rise, and each record is told of again."""
    before = crm.list_changes(0, 1000)
    changed.restore_and_start()
    middle = crm.list_changes(0, 1000)[-1]["seq"]
    leave(changed.folder)
    [kept] = changed.kept()
    assert changed.restore(kept).exit_code == 0
    database.start(f"sqlite:///{changed.file}")
    assert crm.list_changes(0, 1000)[: len(before)] == before
    opposite = {"created": "deleted", "deleted": "created", "changed": "changed"}
    assert set(feed(middle)) == {(kind, one, opposite[action]) for kind, one, action in WHAT_A_RESTORE_DOES}
    followed(feed())


def test_no_id_is_given_a_second_time(changed: Scene) -> None:
    """Neither one that a client has seen, nor the one of a record that was gone before."""
    tokens.Brake().refuse(401, "wrong", "192.0.2.1", "GET", "/")
    tables = {"email": "id", "change": "seq", "token": "id", "refusal": "seq"}
    given = {table: database.last_id(table, column) for table, column in tables.items()}
    assert all(given.values())
    changed.restore_and_start()
    assert {
        table: database.last_id(table, column) >= given[table] for table, column in tables.items()
    } == dict.fromkeys(tables, True)
    assert int(crm.log_email({})[0]["id"]) == given["email"] + 1
    tokens.create(USER["id"])
    assert tokens.listed()[-1]["id"] == given["token"] + 1


@pytest.mark.parametrize("damage", [Path.unlink, lambda file: file.write_text("no database " * 100)])
def test_what_may_have_been_given_is_left_out_where_nobody_knows(changed: Scene, damage: Any) -> None:
    """The old database is gone or damaged. Each record is told of; it is said that this may not be all."""
    last = {"email": database.last_id("email"), "change": database.last_id("change", "seq")}
    leave(changed.folder)
    damage(changed.file)
    result = changed.restore()
    assert result.exit_code == 0
    assert "let programs that read /changes begin again at 0" in result.stdout
    database.start(f"sqlite:///{changed.file}")
    ids = [str(row_id) for (row_id,) in database.rows("SELECT id FROM email")]
    assert {one for kind, one, action in feed(last["change"]) if (kind, action) == ("email", "changed")} == set(ids)
    assert int(crm.log_email({})[0]["id"]) > last["email"] + 1000
    assert problems() == []


def test_a_database_with_other_tables_is_compared_as_far_as_it_goes(changed: Scene) -> None:
    """The way back from an upgrade: it knows which ids were given, if it has the tables."""
    before = crm.list_changes(0, 1000)
    leave(changed.folder)
    sql(NEWER, "CREATE TABLE later (x)")(changed.file)
    changed.restore_and_start()
    assert set(feed(before[-1]["seq"])) == WHAT_A_RESTORE_DOES
    leave(changed.folder)
    sql(NEWER, "ALTER TABLE contact RENAME COLUMN updated_at TO later")(changed.file)
    assert "let programs that read /changes begin again at 0" in changed.restore().stdout
    assert len(subjects(changed.file)) == 3


# when it must not


NEWER = "INSERT INTO schema_migration (name, applied) VALUES ('9999_later', '')"


def test_a_damaged_or_newer_database_that_is_in_use_is_refused(scene: Scene) -> None:
    """Who has it open would go on with its pages, or with tables that the other version does not know."""
    sql(NEWER)(scene.file)
    with closing(sqlite3.connect(scene.file)) as other:
        assert other.execute("SELECT count(*) FROM email").fetchone() == (2,)
        scene.refuses(because="Stop that")
        assert other.execute("SELECT count(*) FROM email").fetchone() == (2,)
    assert scene.restore().exit_code == 0
    [kept] = scene.kept()
    assert raw(kept) == ["before", "after"]
    with closing(sqlite3.connect(scene.file)) as other:
        page = other.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'email'").fetchone()[0]
    with scene.file.open("r+b") as content:
        content.seek((page - 1) * 4096)
        content.write(b"\xa5" * 200)
    with closing(sqlite3.connect(scene.file)) as other:
        other.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        scene.refuses(because="damaged")
    assert scene.restore().exit_code == 0
    assert subjects(scene.file) == ["before"]


def test_while_another_program_writes_it_is_refused(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the time that any writer waits."""
    monkeypatch.setattr(database.copies, "LOCK_TIMEOUT", 0.1)
    with closing(sqlite3.connect(scene.file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        result = scene.restore()
    assert result.exit_code == 1
    assert result.stderr == "Error: Nothing was replaced. database is locked.\n"
    assert subjects(scene.file) == ["before", "after"]


def test_one_restore_at_a_time(scene: Scene) -> None:
    """Two would take each other's files."""
    with restore._only_restore(scene.folder):
        scene.refuses(because="Another restore is under way")


# while the service runs


def test_the_service_serves_what_was_restored(scene: Scene) -> None:
    """On the same file, with the same owner and mode, by each of its threads; and takes mail at once."""
    with serving(scene.folder) as server:
        scene.copy_again()
        assert ask(server, "POST", EMAILS, b'{"subject": "later"}')[0] == 201
        assert {len(json.loads(ask(server, "GET", EMAILS)[2])) for _ in range(20)} == {3}
        before = scene.file.stat()
        done = scene.run()
        assert (done.returncode, done.stderr) == (0, "")
        assert {len(json.loads(ask(server, "GET", EMAILS)[2])) for _ in range(20)} == {2}
        assert ask(server, "POST", EMAILS, b'{"subject": "new"}')[0] == 201
        after = scene.file.stat()
    assert (after.st_ino, after.st_mode, after.st_uid) == (before.st_ino, before.st_mode, before.st_uid)
    assert subjects(scene.file) == ["before", "after", "new"]


def test_mail_that_is_taken_meanwhile_is_in_one_of_the_two(scene: Scene) -> None:
    """Each that was acknowledged is in the database or in a file that was kept."""
    acknowledged: set[str] = set()
    with serving(scene.folder) as server:
        scene.copy_again()
        done = threading.Event()

        def write(thread: int) -> None:
            for n in itertools.count():
                subject = f"{thread}-{n}"
                if ask(server, "POST", EMAILS, json.dumps({"subject": subject}).encode())[0] == 201:
                    acknowledged.add(subject)
                if done.is_set():
                    break

        with ThreadPoolExecutor(4) as threads:
            writers = [threads.submit(write, n) for n in range(4)]
            for _ in range(3):
                assert scene.run().returncode == 0
            done.set()
            for writer in writers:
                writer.result()
    assert len(acknowledged) > 20
    files = [scene.file, *scene.kept()]
    assert len(files) == 4
    assert acknowledged <= {subject for file in files for subject in raw(file)}
    assert "before" in subjects(scene.file)


def test_a_reader_sees_the_old_or_the_new(scene: Scene) -> None:
    """A transaction that began before goes on with the old one."""
    with closing(sqlite3.connect(scene.file, isolation_level=None)) as other:
        other.execute("BEGIN")
        assert other.execute("SELECT count(*) FROM email").fetchone() == (2,)
        assert scene.restore().exit_code == 0
        assert other.execute("SELECT count(*) FROM email").fetchone() == (2,)
        other.execute("COMMIT")
        assert other.execute("SELECT count(*) FROM email").fetchone() == (1,)
    assert subjects(scene.file) == ["before"]


def test_a_copy_with_pages_of_another_size_is_taken(scene: Scene) -> None:
    """The file in use keeps its own."""
    sql("PRAGMA journal_mode = delete")(scene.copy)
    with closing(sqlite3.connect(scene.copy, isolation_level=None)) as copy:
        copy.execute("PRAGMA page_size = 1024")
        copy.execute("VACUUM")
    assert scene.restore().exit_code == 0
    assert subjects(scene.file) == ["before"]


# files that are not good enough


def overwritten(file: Path) -> None:
    file.write_text("This is not a database. " * 100)


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def spoilt(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-40000:-20000] = b"\xff" * 20000
    file.write_bytes(content)


def sql(*statements: str) -> Any:
    def change(file: Path) -> None:
        with closing(sqlite3.connect(file)) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    return change


@pytest.mark.parametrize(
    ("spoil", "because"),
    [
        (Path.unlink, "There is no file"),
        (overwritten, "copy.db is damaged, or not a database"),
        (emptied, "copy.db has lost its content"),
        (cut, "damaged"),
        (spoilt, "damaged"),
        (sql("INSERT INTO schema_migration (name, applied) VALUES ('9999_later', '')"), "newer version"),
        (sql("DROP TABLE schema_migration"), "another program"),
        (sql("DELETE FROM recipient", "DELETE FROM change WHERE type = 'email'"), "does not tell: email 1."),
        (
            sql("DROP INDEX email_at_id_withheld_has_attachments"),
            "There are indexes that are not there: email_at_id_withheld_has_attachments.",
        ),
    ],
)
def test_a_file_that_is_not_good_enough_is_refused(scene: Scene, spoil: Any, because: str) -> None:
    """With the reason; nothing is replaced, and nothing left behind."""
    spoil(scene.copy)
    scene.refuses(because=because)


def test_a_folder_and_the_database_itself_are_no_copies(scene: Scene) -> None:
    """Nor is anything replaced by them."""
    scene.refuses(scene.folder, because="There is no file")
    link = scene.folder / "link.db"
    link.symlink_to(scene.file)
    scene.refuses(link, because="is the database itself")


def test_the_only_copy_can_be_taken_although_its_records_do_not_agree(scene: Scene) -> None:
    """Some mail is better than none. What is damaged is not taken even so."""
    sql("DELETE FROM copy", "UPDATE email SET snippet = 'x'")(scene.copy)
    scene.refuses(because="snippet")
    assert scene.restore(scene.copy, "--despite-problems").exit_code == 0
    database.start(f"sqlite:///{scene.file}")
    assert database.rows("SELECT subject FROM email") == [("before",)]
    leave(scene.folder)
    spoilt(scene.copy)
    scene.refuses(scene.copy, "--despite-problems", because="damaged")


def test_a_disk_without_room_is_left_as_it_is(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked before anything is written."""
    monkeypatch.setattr(database.copies, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    scene.refuses(because="There is no room: ")


def test_a_copy_of_an_older_version_is_brought_up_to_date(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy itself stays as it is: it may be wanted by the older version."""
    later = tmp_path / "migrations"
    later.mkdir()
    (later / "9999_notes.py").write_text(LATER)
    monkeypatch.setattr(common, "MIGRATIONS", later)
    before = scene.copy.read_bytes()
    assert scene.restore().exit_code == 0
    assert scene.copy.read_bytes() == before
    assert subjects(scene.file) == ["before"]
    database.start(f"sqlite:///{scene.file}")
    assert database.db.table_exists("note")
    leave(scene.folder)


# the logs


def killed(scene: Scene, file: Path, subject: str) -> None:
    """Log one more mail by a process that ends without closing the database: the mail is in the log alone."""
    pid = os.fork()
    if pid == 0:
        try:
            database.start(f"sqlite:///{file}")
            crm.log_email({"subject": subject})
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    assert Path(f"{file}-wal").stat().st_size
    assert subject.encode() not in file.read_bytes()


def test_the_old_log_is_taken_in_and_not_replayed_into_the_new_file(scene: Scene) -> None:
    """SQLite would write its pages over those of the restored file."""
    killed(scene, scene.file, "in the log")
    assert scene.restore().exit_code == 0
    [kept] = scene.kept()
    assert subjects(scene.file) == ["before"]
    assert subjects(kept) == ["before", "after", "in the log"]


def test_a_damaged_database_is_kept_with_its_log(scene: Scene) -> None:
    """Somebody may still get mail out of the two; and neither disturbs the new file."""
    killed(scene, scene.file, "in the log")
    log = Path(f"{scene.file}-wal").read_bytes()
    content = scene.file.read_bytes()
    overwritten(scene.file)
    assert scene.restore().exit_code == 0
    [kept] = scene.kept()
    assert kept.read_text().startswith("This is not a database.")
    assert Path(f"{kept}-wal").read_bytes() == log
    assert subjects(scene.file) == ["before"]
    kept.write_bytes(content)
    assert subjects(kept) == ["before", "after", "in the log"]


def test_a_copy_that_has_a_log_is_taken_with_it(scene: Scene) -> None:
    """Such as both files of a machine that is gone."""
    killed(scene, scene.copy, "in the log")
    before = scene.copy.read_bytes()
    assert scene.restore().exit_code == 0
    assert subjects(scene.file) == ["before", "in the log"]
    assert scene.copy.read_bytes() == before


# killed


def test_killed_at_any_moment_it_leaves_the_old_or_the_new(scene: Scene) -> None:
    """At each of its steps that the folder sees: a file opened, renamed, removed …; and the next try succeeds."""
    killed(scene, scene.file, "in the log")
    whole = scene.folder / "whole"
    whole.mkdir()
    for part in scene.folder.glob("connector.db*"):
        shutil.copy(part, whole)
    old, new = ["before", "after", "in the log"], ["before"]
    seen, step = [old], 1
    while _restore_until(scene, step):
        seen.append(subjects(scene.file))
        leave(scene.folder)
        assert restore.go_back(scene.file, scene.copy)
        assert not list(scene.folder.glob("*-restoring*"))
        assert {S_IMODE(part.stat().st_mode) for part in scene.folder.glob("connector.db*")} == {0o600}
        assert raw(scene.file) == new
        assert old in map(raw, scene.kept())
        for part in scene.folder.glob("connector.db*"):
            part.unlink()
        for part in whole.iterdir():
            shutil.copy(part, scene.folder)
        step += 1
    turn = seen.index(new)
    assert seen == [old] * turn + [new] * (step - turn)
    assert turn > 15


def test_killed_at_any_page_it_leaves_the_old_or_the_new(scene: Scene) -> None:
    """While the new content is written over the old, also after some of it has reached the log."""
    copy, kills = copies._copy, 0
    for step in itertools.count(1):
        pid = os.fork()
        if pid == 0:

            def copy_some(source: sqlite3.Connection, target: sqlite3.Connection, step: int = step) -> None:
                if target.execute("PRAGMA database_list").fetchone()[2] != str(scene.file):
                    return copy(source, target)
                target.execute("PRAGMA cache_size = 5")  # what does not fit is written at once
                steps = itertools.count(1)
                source.backup(
                    target,
                    pages=4,
                    progress=lambda *_: os.kill(os.getpid(), signal.SIGKILL) if next(steps) == step else None,
                )
                return None

            copies._copy = copy_some
            try:
                restore.go_back(scene.file, scene.copy)
            finally:
                os._exit(0)
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0:
            break
        kills += 1
        # The last step is the one that commits.
        assert raw(scene.file) in (["before", "after"], ["before"])
        if raw(scene.file) == ["before"]:
            break
        assert subjects(scene.file) == ["before", "after"]
        leave(scene.folder)
    assert kills > 5
    assert raw(scene.file) == ["before"]


def raw(file: Path) -> list[str]:
    """The mail in a file, as it lies there."""
    with closing(sqlite3.connect(file)) as connection:
        return [subject for (subject,) in connection.execute("SELECT subject FROM email ORDER BY id")]


def _restore_until(scene: Scene, step: int) -> bool:
    """Restore in a process that kills itself at a step; whether it came to that step."""
    pid = os.fork()
    if pid == 0:
        steps = 0

        def count(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal steps
            if event != "os.scandir" and arguments and str(scene.folder) in str(arguments[0]):
                steps += 1
                if steps == step:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(count)
            restore.go_back(scene.file, scene.copy)
            os._exit(0)
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, -signal.SIGKILL)
    return code != 0
