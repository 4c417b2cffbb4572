"""`flask backup FILE`: a copy of the database while mail is being logged."""

import errno
import os
import re
import stat
import subprocess
import sys
from fcntl import LOCK_SH, flock
from types import SimpleNamespace

import database
from app import create_app
from tests.samples import PROJECT, environment


def test_the_copy_holds_what_is_still_in_the_log_of_the_live_file(app, client, tmp_path):
    """A plain copy of the file would lose it; the copy serves as a database of its own."""
    mail = client.post("/api/v1/emails", json={"subject": "the last one"}).json
    result = app.test_cli_runner().invoke(args=["backup", str(tmp_path / "copy.db")])
    assert result.exit_code == 0, result.output
    database.stop()
    restored = create_app({"DATABASE_URL": f"sqlite:///{tmp_path}/copy.db"}).test_client()
    answer = restored.get(f"/api/v1/emails/{mail['id']}", headers={"Authorization": f"Bearer {client.token}"})
    assert answer.json == mail


def test_nobody_else_can_read_the_copy(app, tmp_path):
    """It holds emails."""
    app.test_cli_runner().invoke(args=["backup", str(tmp_path / "copy.db")])
    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600


def test_no_file_is_overwritten(app, tmp_path):
    """It may be the last good copy."""
    (tmp_path / "copy.db").write_text("precious")
    result = app.test_cli_runner().invoke(args=["backup", str(tmp_path / "copy.db")])
    assert result.exit_code == 1
    assert "No backup was made" in result.stderr
    assert (tmp_path / "copy.db").read_text() == "precious"


def test_what_is_in_the_way_gets_a_sentence(app, url, tmp_path):
    """A folder that is not there, the database itself, a folder in the place of the file."""
    for place, why in [("no/copy.db", "no such folder"), ("connector.db", "already"), (".", "already")]:
        result = app.test_cli_runner().invoke(args=["backup", str(tmp_path / place)])
        assert result.exit_code == 1
        assert re.fullmatch(rf"Error: No backup was made: There is .*{why}.*\.\n", result.stderr), result.stderr


def test_a_disk_without_room_is_left_as_it_is(app, tmp_path, monkeypatch):
    """Rather than filled, which would stop the service."""
    monkeypatch.setattr(database.copies, "disk_usage", lambda folder: SimpleNamespace(free=2**20))
    result = app.test_cli_runner().invoke(args=["backup", str(tmp_path / "copy.db")])
    assert result.exit_code == 1
    assert re.search(r"There is no room: \S+ MB are needed, and 1 MB free\.\n$", result.stderr), result.stderr
    assert not list(tmp_path.glob("copy*"))


def test_a_copy_that_was_not_finished_does_not_look_like_one(app, tmp_path, monkeypatch):
    """Whether it failed, or was killed."""

    def fail(file):
        raise OSError(errno.EIO, "The disk fails")

    monkeypatch.setattr(os, "fsync", fail)
    result = app.test_cli_runner().invoke(args=["backup", str(tmp_path / "copy.db")])
    assert result.stderr == "Error: No backup was made: The disk fails.\n"
    assert not list(tmp_path.glob("copy*"))
    monkeypatch.setattr(os, "fsync", lambda file: os._exit(9))
    database.stop()
    if (pid := os.fork()) == 0:
        try:
            database.backup(tmp_path / "copy.db")
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    assert [path.name[-11:] for path in tmp_path.glob("copy*")] == ["-unfinished"]


def test_it_says_what_it_wrote(app, client, tmp_path):
    """Where, how large, and how many emails: a copy of the wrong database is noticed."""
    for number in range(3):
        client.post("/api/v1/emails", json={"subject": str(number)})
    result = app.test_cli_runner().invoke(args=["backup", str(tmp_path / "copy.db")])
    size = (tmp_path / "copy.db").stat().st_size
    assert result.stdout == f"Wrote {tmp_path}/copy.db: {size:,} bytes, 3 emails.\n"


def test_what_a_killed_backup_left_is_removed_by_the_next(app, client, tmp_path):
    """Unless another backup is writing there now. A file of somebody else's name stays."""
    client.post("/api/v1/emails", json={"subject": "x"})
    folder = tmp_path / "backups"
    folder.mkdir()
    killed = "import os; os.fsync = lambda _: os.kill(os.getpid(), 9); from commands import cli; cli.main()"
    words = [sys.executable, "-c", killed, "backup", str(folder / "first.db")]
    done = subprocess.run(words, cwd=PROJECT, env=environment(tmp_path), check=False)
    assert done.returncode == -9
    [left] = folder.iterdir()
    assert left.stat().st_size
    (folder / "my-unfinished").touch()
    other = os.open(folder, os.O_RDONLY)
    flock(other, LOCK_SH)  # as another backup has it
    database.backup(folder / "second.db")
    assert left.exists()
    os.close(other)
    database.backup(folder / "third.db")
    assert {path.name for path in folder.iterdir()} == {"second.db", "third.db", "my-unfinished"}
