"""`flask person export` and `flask person erase`: what a company owes the people whose mail it keeps."""

import json
import sqlite3

import pytest

import database
from folding import fold_address


def run(app, *words):
    """The result of a command."""
    return app.test_cli_runner().invoke(args=["person", *words])


@pytest.fixture
def ids(client):
    """Two mails with Jane, one that mentions her, one without; a contact of hers and one of another's."""
    mails = {
        "sent": {"fromAddress": "Jane <JANE@acme.example>", "subject": "sent", "toAddresses": ["bob@b.example"]},
        "blind": {"bccAddresses": ["jane@ACME.example"], "textBody": "blind"},
        "quoted": {"fromAddress": "bob@b.example", "htmlBody": "<a href='mailto:Jane@Acme.example'>her</a>"},
        "other": {"fromAddress": "bob@b.example", "textBody": "mjane@acme.example.org is somebody else"},
        "unrelated": {"fromAddress": "bob@b.example", "textBody": "hello"},
    }
    found = {name: client.post("/api/v1/emails", json=mail).json["id"] for name, mail in mails.items()}
    for name in ("jane@acme.example", "bob@b.example"):
        found[name] = client.post("/api/v1/contacts", json={"emailAddresses": [name]}).json["id"]
    return found


def test_export_holds_all_that_is_held_and_nothing_else(app, ids):
    """Mails by any role and by mention, and the contact."""
    held = json.loads(run(app, "export", "JANE@acme.example").stdout)
    assert [mail["id"] for mail in held["emails"]] == [ids["sent"], ids["blind"], ids["quoted"]]
    assert [contact["id"] for contact in held["contacts"]] == [ids["jane@acme.example"]]
    assert held["emails"][0]["fromAddress"] == "Jane <JANE@acme.example>"
    assert held["users"] == []


def test_a_dry_run_names_what_would_go_and_leaves_it(app, client, ids):
    """Look before you leap."""
    receipt = json.loads(run(app, "erase", "jane@acme.example", "--dry-run").stdout)
    assert receipt["dryRun"] is True
    assert receipt["emails"] == [ids["sent"], ids["blind"], ids["quoted"]]
    assert client.get(f"/api/v1/emails/{ids['sent']}").status_code == 200


def test_erasing_leaves_the_mail_of_others(app, client, ids):
    """An address that merely contains hers is another person's."""
    receipt = json.loads(run(app, "erase", "jane@acme.example").stdout)
    assert receipt["emails"] == [ids["sent"], ids["blind"], ids["quoted"]]
    assert receipt["contacts"] == [ids["jane@acme.example"]]
    left = {mail["id"] for mail in client.get("/api/v1/emails").json}
    assert left == {ids["other"], ids["unrelated"]}
    assert client.get(f"/api/v1/contacts/{ids['bob@b.example']}").status_code == 200


@pytest.mark.sqlite("it reads the file")
def test_erasing_leaves_no_trace_in_the_files(app, ids, tmp_path):
    """Neither in the tables nor in the search index, the free pages or the write-ahead log."""
    files = list(tmp_path.glob("connector.db*"))
    assert any(b"blind" in file.read_bytes() for file in files)
    run(app, "erase", "jane@acme.example")
    for file in tmp_path.glob("connector.db*"):
        content = file.read_bytes().lower()
        assert b'jane@acme.example"' not in content
        assert b"blind" not in content
        assert content.count(b"jane@acme.example") == content.count(b"mjane@acme.example.org")


@pytest.mark.sqlite("its words for a schema")
def test_an_address_goes_with_the_last_record_that_has_it(client):
    """Also where only a mail or a contact is removed, and nobody is erased."""
    mail = client.post("/api/v1/emails", json={"fromAddress": "ann@gone.example", "ccAddresses": ["Al@Gone.example"]})
    contact = client.post("/api/v1/contacts", json={"emailAddresses": ["ann@gone.example", "b@gone.example"]})
    client.delete(f"/api/v1/emails/{mail.json['id']}")
    client.delete(f"/api/v1/contacts/{contact.json['id']}")
    tables = [name for name in database.db.get_tables() if not name.startswith("email_search")]
    assert {"recipient", "contact_address"} < set(tables)
    assert [name for name in tables if "gone.example" in str(database.rows(f'SELECT * FROM "{name}"')).lower()] == []


def test_the_change_feed_tells_what_was_erased_by_id_alone(app, client, ids):
    """A CRM that keeps a copy has to hear of it."""
    run(app, "erase", "jane@acme.example")
    deleted = [(one["type"], one["id"]) for one in client.get("/api/v1/changes").json if one["action"] == "deleted"]
    assert sorted(deleted) == sorted(
        [
            ("email", ids["sent"]),
            ("email", ids["blind"]),
            ("email", ids["quoted"]),
            ("contact", ids["jane@acme.example"]),
        ]
    )


def test_a_user_goes_with_his_tokens(app, client):
    """What is held about a user's address is the user."""
    receipt = json.loads(run(app, "erase", "john@brightsync.example").stdout)
    assert receipt["users"] == ["u1"]
    assert client.get("/api/v1/users/me").status_code == 401


def test_capital_letters_of_other_alphabets_are_found(app, client):
    """The database knows the small letters of ASCII only."""
    mail = client.post("/api/v1/emails", json={"textBody": "ask JÖRG@X.EXAMPLE"}).json
    assert json.loads(run(app, "export", "jörg@x.example").stdout)["emails"][0]["id"] == mail["id"]


@pytest.mark.parametrize("field", ["subject", "msgId", "syncThreadId", "inReplyTo", "rfc822MsgId", "fromName"])
def test_a_mention_is_found_in_every_text(app, client, field):
    """Ids are texts that other programs write, and some write addresses into them."""
    mail = client.post("/api/v1/emails", json={field: "<jane@acme.example>"}).json
    assert json.loads(run(app, "erase", "jane@acme.example", "--dry-run").stdout)["emails"] == [mail["id"]]


@pytest.mark.sqlite("its write-ahead log")
def test_it_says_when_a_reader_keeps_the_log_from_being_emptied(app, ids, tmp_path, caplog):
    """What was erased would still stand in the write-ahead log."""
    reader = sqlite3.connect(tmp_path / "connector.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM email").fetchone()
    database.db.obj.timeout = 0
    run(app, "erase", "jane@acme.example")
    reader.close()
    assert "erase the same address again" in caplog.text


@pytest.mark.parametrize("command", ["export", "erase"])
def test_what_is_no_address_gets_a_sentence(app, command):
    """No traceback, and nothing is erased."""
    result = run(app, command, "everybody")
    assert result.exit_code == 1
    assert "can't be read as an e-mail address" in result.stderr


def test_wildcards_in_an_address_are_letters(app, client):
    """Per cent and underscore must not erase strangers' mail."""
    client.post("/api/v1/emails", json={"textBody": "axb@x.example"})
    assert json.loads(run(app, "erase", "a_b@x.example", "--dry-run").stdout)["emails"] == []
    assert fold_address("%@x.example")
    assert json.loads(run(app, "erase", "%@x.example", "--dry-run").stdout)["emails"] == []
