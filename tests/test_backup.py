"""`flask backup FILE`: a copy of the database while mail is being logged."""

import errno
import os
import re
import stat
from types import SimpleNamespace

import database
from app import create_app


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
    """It holds letters."""
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
    monkeypatch.setattr(database.sqlite, "disk_usage", lambda folder: SimpleNamespace(free=2**20))
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
