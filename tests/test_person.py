"""`flask person export` and `flask person erase`: what a company owes the people whose mail it keeps."""

import base64
import json
import random
import sqlite3
from contextlib import closing
from hashlib import sha256
from unicodedata import normalize

import pytest

import crm
import database
from crm.matching import normalize_address
from crm.merging import NO_EMAIL
from database.free_space import overwrite_free_space
from web import tokens


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
    assert "erase the address again" in caplog.text


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
    assert normalize_address("%@x.example")
    assert json.loads(run(app, "erase", "%@x.example", "--dry-run").stdout)["emails"] == []


# ---- wherever it stands ---------------------------------------------------------------------------------------------

SPELLINGS = {
    "text": lambda chance: chance.choice(
        ["zoë.kent@müller.example", "Zoë.Kent@MÜLLER.example", "zoë.kent@xn--mller-kva.example"]
    ),
    "composed": lambda chance: normalize(chance.choice(["NFD", "NFKD"]), "zoë.kent@müller.example"),
    "encoded": lambda chance: chance.choice(
        ["mailto:zo%C3%AB.kent%40m%C3%BCller.example", "zoë.kent=40xn--mller-kva.example"]
    ),
    "decorated": lambda chance: chance.choice(["_{}_", "E-Mail-{}", "{}.Then", "见{}", "({})"]).format(
        "zoë.kent@müller.example"
    ),
    "wide": lambda chance: "zoë.kent\uff20müller.example",
    "broken": lambda chance: chance.choice(["\u200b", "\u00ad", "\u2060"]).join("zoë.kent@müller.example"),
}
HTML = [
    "<b>zoë</b>.kent&#64;müller.<wbr>example",
    "zo&euml;.kent<!-- -->@m&uuml;ller.example",
    "<a href='mailto:zoë.kent@müller.example'>x</a>",
]
ZOE = "zoë.kent@müller.example"


def placed(address, chance):
    """Calls that write an address, each into another place; method, path, body."""
    file = base64.b64encode(f"Dear {address}, hello".encode()).decode()
    emails = [
        {"subject": address},
        {"textBody": f"see {address} there"},
        {"htmlBody": chance.choice(HTML)},
        {"fromName": address},
        {"toAddresses": [f"Zoe <{address}>", "b@b.example"]},
        {"ccAddresses": [f"{address} (Zoe)"]},
        {"relatedTo": [{"type": "contact", "id": address}]},
        {"inReplyTo": f"<{address}>"},
        {"msgId": address},
        {"syncThreadId": f"x <{address}>"},
        {"rfc822MsgId": f"<{address}>"},
        {"attachments": [{"id": "1", "name": f"{address}.vcf", "content": "AAAA"}]},
        {"attachments": [{"id": "1", "name": "a", "mimeType": "text/plain", "content": file}]},
        {"attachments": [{"id": address, "name": "a"}]},
    ]
    contacts = [
        {"id": "z1", "emailAddresses": [f"mailto:{address}"]},  # else the second would be found by the first
        {"id": "z2", "emailAddresses": [f"{address} (Zoe)"]},
        {"emailAddresses": [f"b@b.example {address}"]},
        {"firstName": address},
        {"lastName": f"Kent {address}"},
        {"id": address.replace("/", ""), "firstName": "Z"},
    ]
    companies = [
        {"name": f"Kent, {address}", "domains": ["k.example"]},
        {"name": "K", "domains": [f"mail to {address}"]},
    ]
    calls = [("emails", one) for one in emails] + [("contacts", one) for one in contacts]
    return calls + [("companies", one) for one in companies]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_place_and_spelling_is_erased(app, client, tmp_path, storage, spelling):
    """Nothing of it is left in any table or, on SQLite, in the file; the others' records stay as they are."""
    seed = random.randrange(10**9)
    chance = random.Random(seed)
    others = [client.post("/api/v1/emails", json={"textBody": t}).json["id"] for t in (f"a-{ZOE}", f"{ZOE}.br", "zoe")]
    wrote = 0
    for path, body in placed(SPELLINGS[spelling](chance), chance):
        answer = client.post(f"/api/v1/{path}", json=body)
        wrote += answer.status_code == 201
    assert wrote >= 20, seed
    copy = client.post("/api/v1/emails", json={"rfc822MsgId": "<c@c>", "msgId": "c"}).json["id"]
    client.post("/api/v1/emails", json={"rfc822MsgId": "<c@c>", "msgId": f"<{ZOE}>"})
    tokens.create("u1", label=f"of {SPELLINGS[spelling](chance)}")
    held = json.loads(run(app, "export", ZOE).stdout)
    assert len(held["emails"]) == 15, seed
    assert (len(held["contacts"]), len(held["companies"]), len(held["tokens"])) == (6, 2, 1), seed
    receipt = json.loads(run(app, "erase", ZOE).stdout)
    assert copy in receipt["emails"]
    assert {mail["id"] for mail in client.get("/api/v1/emails").json} == set(others), seed
    assert len(client.get("/api/v1/companies").json) == 2
    held = json.loads(run(app, "export", ZOE).stdout)
    assert all(value == [] for name, value in held.items() if name not in ("address", "exportedAt")), seed
    if storage == "sqlite":
        for file in tmp_path.glob("connector.db*"):
            content = normalize("NFKC", file.read_bytes().decode("utf-8", "replace")).casefold()
            for one in ("\u200b", "\u00ad", "\u2060", f"a-{ZOE}", f"{ZOE}.br"):  # the others' in text and snippet
                content = content.replace(one, "")
            assert ".kent" not in content, (seed, file.name)
    assert tokens.listed()


def test_a_msg_id_that_an_email_had_by_a_patch_is_erased(app, client):
    """Also where it has another one since: it is still found by the first."""
    path = f"/api/v1/emails/{client.post('/api/v1/emails', json={'msgId': 'a'}).json['id']}"
    for msg_id in (ZOE, "b"):
        assert client.patch(path, json={"msgId": msg_id}).status_code == 200
    assert len(json.loads(run(app, "erase", ZOE).stdout)["emails"]) == 1
    assert client.get(path).status_code == 404


def test_many_spellings_and_large_mails_are_no_obstacle(app, client):
    """119 spellings made a condition that no database would read."""
    spelled = "zoe.kent.of.somewhere@x.example"
    every = [
        "".join(c.upper() if n >> at & 1 else c for at, c in enumerate(spelled)) for n in range(0, 2**20, 2**20 // 150)
    ]
    client.post("/api/v1/emails", json={"toAddresses": every[:100]})
    client.post("/api/v1/emails", json={"ccAddresses": every[100:], "htmlBody": "<a=" * 100_000 + "@"})
    assert len(json.loads(run(app, "export", spelled).stdout)["emails"]) == 2
    assert len(json.loads(run(app, "erase", spelled).stdout)["emails"]) == 2


def test_what_comes_meanwhile_is_found_as_well(app, client, monkeypatch):
    """Rows are looked for outside the lock: those that are written or changed before it is taken need another look."""
    first, other = (
        client.post("/api/v1/emails", json={"textBody": text}).json["id"] for text in ("zoe@x.example", "-")
    )
    from crm import privacy

    remove = privacy._REMOVE["email"]
    late: list[str] = []

    def others_write(*found):
        if not late:
            late.append(client.post("/api/v1/emails", json={"textBody": "zoe@x.example"}).json["id"])
            client.patch(f"/api/v1/emails/{first}", json={"textBody": "nobody"})
            client.patch(f"/api/v1/emails/{other}", json={"textBody": "zoe@x.example"})
        return remove(*found)

    monkeypatch.setitem(privacy._REMOVE, "email", others_write)
    assert crm.erase_person("zoe@x.example")["emails"] == [other, *late]
    assert [mail["id"] for mail in client.get("/api/v1/emails").json] == [first]


def test_the_id_of_a_record_is_erased_from_the_change_feed(app, client):
    """It would tell the address for ever."""
    client.put("/api/v1/contacts/zoe@x.example", json={"firstName": "Z"})
    client.put("/api/v1/companies/zoe@x.example", json={"name": "Z"})
    employee = client.post("/api/v1/contacts", json={"companyId": "zoe@x.example"}).json["id"]
    run(app, "erase", "zoe@x.example")
    assert {one["id"] for one in client.get("/api/v1/changes").json} == {employee}
    assert client.get(f"/api/v1/contacts/{employee}").json["companyId"] is None


def test_what_is_printed_moves_no_cursor(app, client):
    """An export may be looked at in a terminal."""
    client.post("/api/v1/emails", json={"textBody": "zoe@x.example \x9b2J\u202e\x7f\x1b[0m"})
    out = run(app, "export", "zoe@x.example").stdout
    assert all(char.isprintable() or char == "\n" for char in out)
    assert json.loads(out)["emails"][0]["textBody"] == "zoe@x.example \x9b2J\u202e\x7f\x1b[0m"


def test_a_database_whose_only_user_was_erased_is_not_new(app, client, capsys):
    """Who starts the service next is not given all rights."""
    from commands.serve import welcome

    run(app, "erase", "john@brightsync.example")
    assert tokens.listed() == []
    welcome(app.config)
    assert tokens.listed() == []
    assert "There is no token." in capsys.readouterr().err


def log_crowds():
    """Emails that fill pages which are then divided; those with Zoe have names of their own."""
    for number in range(300):
        name = "gone" if number % 7 == 0 else "here"
        people = [f"{name}-{sha256(f'{number} {n}'.encode()).hexdigest()[: 8 + n]}@x.example" for n in range(20)]
        crm.log_email({**NO_EMAIL, "toAddresses": people, "ccAddresses": ["zoe@x.example"] * (name == "gone")})


@pytest.mark.sqlite("its pages")
def test_nothing_is_left_where_rows_have_moved(app, tmp_path):
    """A page that was divided keeps copies of the rows that it had, which no deletion reaches."""
    log_crowds()
    assert len(crm.erase_person("zoe@x.example")["emails"]) == 43
    assert not [file.name for file in tmp_path.glob("connector.db*") if b"gone-" in file.read_bytes()]
    assert database.rows("PRAGMA integrity_check") == [("ok",)]


@pytest.mark.sqlite("its pages")
def test_what_others_know_of_a_page_is_not_written_again(app, tmp_path, monkeypatch):
    """Another connection reads the pages before they are overwritten, and writes to them afterwards."""
    log_crowds()
    with closing(sqlite3.connect(tmp_path / "connector.db", isolation_level=None)) as other:

        def overwrite(*pages):
            other.execute("SELECT max(at), count(text) FROM recipient WHERE normalized >= ''").fetchall()
            overwrite_free_space(*pages)

        monkeypatch.setattr("database.sqlite.overwrite_free_space", overwrite)
        crm.erase_person("zoe@x.example")
        other.execute("UPDATE recipient SET at = substr(at, 2) || 'x'")
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert not [file.name for file in tmp_path.glob("connector.db*") if b"gone-" in file.read_bytes()]


@pytest.mark.sqlite("its write lock")
def test_others_write_while_what_was_deleted_is_overwritten(app, client, monkeypatch):
    """The lock is not held for the whole file."""
    for number in range(50):
        client.post("/api/v1/emails", json={"textBody": f"zoe{number} " * 1000})
    logged: list[int] = []

    def pause(seconds):
        if len(logged) < 5:
            logged.append(client.post("/api/v1/emails", json={"textBody": "meanwhile"}).status_code)

    monkeypatch.setattr("database.sqlite._OVERWRITTEN", 20)
    monkeypatch.setattr("database.sqlite.time.sleep", pause)
    assert database.purge_deleted()
    assert logged == [201] * 5
