"""`flask backup FILE`: a copy of the database while mail is being logged."""

import stat

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
