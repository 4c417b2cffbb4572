"""The connector on other tables: the example, started as its README says, and the guide, followed to the letter."""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

import store
from conformance import RULES
from conformance.client import NoAnswer
from conformance.run import check, run
from conformance.session import Session
from tests.samples import PROJECT, WITHIN, free_port

EXAMPLE = PROJECT / "examples" / "othercrm"


class Example:
    """A folder with a copy of the example, in which its commands are run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.environment = os.environ | {
            "DATABASE_URL": "sqlite:///crm.db",
            "PYTHONPATH": str(PROJECT),
            "PORT": str(self.port),
        }

    def run(self, *command: str) -> str:
        """What a command prints; the README has to name it."""
        assert f"python {' '.join(command[:4])}" in (EXAMPLE / "README.md").read_text(encoding="utf-8")
        return self.run_other(*command)

    def run_other(self, *command: str) -> str:
        words = [sys.executable, *command]
        done = subprocess.run(words, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def rows(self, sql: str, *parameters: str) -> list[Any]:
        """What another program finds in the CRM's file, or changes there."""
        with sqlite3.connect(self.folder / "crm.db") as crm:
            found = crm.execute(sql, parameters).fetchall()
        crm.close()
        return found


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Example:
    """The example with its seed in place."""
    folder = tmp_path_factory.mktemp("examples") / "othercrm"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("crm.db*", "__pycache__"))
    made = Example(folder)
    made.run("seed.py")
    return made


@pytest.fixture(scope="module")
def crm(example: Example) -> Iterator[Session]:
    """BrightSync, in a session with the running example."""
    token, admin_token = (
        example.run("-m", "commands", "token", "create", "john@othercrm.example", "--scope", scope)
        for scope in ("sync", "admin")
    )
    session = Session(f"http://127.0.0.1:{example.port}", token, admin_token)
    with serving(example.folder, example.environment, session):
        yield session
        assert session.clean_up() == []


@contextmanager
def serving(folder: Path, environment: dict[str, str], session: Session) -> Iterator[None]:
    """`python -m commands serve` in a folder, from its first answer to the end of the block."""
    with (folder / "log").open("wb") as log:
        command = [sys.executable, "-m", "commands", "serve"]
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + WITHIN
        while not _answers(session):
            assert server.poll() is None, (folder / "log").read_text(encoding="utf-8")
            assert time.monotonic() < deadline, "The server does not answer."
            time.sleep(0.05)
        yield
    finally:
        server.terminate()
        server.wait(WITHIN)


def _answers(session: Session) -> bool:
    try:
        return session.get("/users/me").status == 200
    except NoAnswer:
        return False


_FUNCTIONS = """
import inspect, app, store
for name in sys.argv[1:]:
    part, _, function = name.rpartition(".")
    print(name, *inspect.signature(getattr(getattr(store, part) if part else store, function)).parameters)
"""


def test_it_supplies_the_same_functions(example: Example) -> None:
    """Each function that the docstring of our store lists, but for the two that a store need not have: one that is
    added to the seam is missed here first. They are the example's still when all of the connector is imported."""
    listed = re.findall(r"^    ([\w, ]+?)  +(.*(?:\n {20,}.*)*)", store.__doc__ or "", re.MULTILINE)
    parts = {part: functions.split(";")[0] for parts, functions in listed for part in parts.split(", ")}
    names = [f"{part}.{name}" for part, names in parts.items() for name in re.findall(r"\w+", names)]
    for optional in ("emails.prepare", "emails.catch_up"):
        names.remove(optional)
    names += ["contacts.of_company", "transaction", "check", "purge"]
    assert len(names) > 30
    script = "import sys; sys.path.insert(0, '')" + _FUNCTIONS
    ours = [" ".join([name, *signature(attrgetter(name)(store)).parameters]) for name in names]
    assert example.run_other("-c", script, *names).splitlines() == ours


def test_a_lead_is_matched(crm: Session) -> None:
    """A lead is looked up as contacts are; its id tells it from them, and reads it."""
    found = crm.get("/contacts/lookup", emails="LENA@prospect.example,jane@acme.example").expect(200)
    assert found.ids == ["lead:seed-lena", "seed-jane"]
    assert crm.get("/contacts/lead:seed-lena").expect(200).record == found.records[0]
    crm.get("/contacts/seed-lena").expect(404)


def test_a_stranger_who_is_a_lead_is_no_new_contact(crm: Session) -> None:
    """POST finds the lead."""
    found = crm.post("/contacts", {"lastName": "Prospect", "emailAddresses": ["lena@prospect.example"]}).expect(200)
    assert found.id == "lead:seed-lena"


def test_a_deleted_contact_is_not_matched(crm: Session, example: Example) -> None:
    """What the CRM marked as deleted is gone, though its row is there."""
    assert example.rows("SELECT deleted FROM contacts WHERE id = 'seed-bob'") == [(1,)]
    assert crm.get("/contacts/lookup", emails="bob@acme.example").expect(200).ids == []
    crm.get("/contacts/seed-bob").expect(404)


def test_the_primary_address_comes_first(crm: Session) -> None:
    """Of addresses that the CRM linked, the primary one is the first."""
    jane = crm.get("/contacts/seed-jane").expect(200).record
    assert jane["emailAddresses"] == ["Jane@Acme.example", "jane.doe@home.example"]


def test_a_mail_of_the_crm_is_not_logged_twice(crm: Session) -> None:
    """A mail that came past the connector is found, and a copy of it adds what it lacks."""
    found = crm.get("/emails", rfc822MsgId="offer-4711@othercrm.example").expect(200)
    assert found.ids == ["seed-mail"]
    assert found.records[0]["toAddresses"] == ["Jane@Acme.example", '"Doe, J." <jane.doe@home.example>']
    to = ["jane@acme.example", "lena@prospect.example"]
    copy = {"rfc822MsgId": "<offer-4711@othercrm.example>", "toAddresses": to}
    assert crm.post("/emails", copy).expect(200).record["toAddresses"] == [
        *found.records[0]["toAddresses"],
        "lena@prospect.example",
    ]


def test_the_crm_shows_a_logged_mail(crm: Session, example: Example) -> None:
    """The CRM's own tables have the mail: subject, recipients, files, and links to contact, lead and account."""
    mail, email = crm.log(
        subject="Offer 4712",
        fromAddress="lena@prospect.example",
        toAddresses=["john@othercrm.example", "undisclosed-recipients:;"],
        ccAddresses=[],
        bccAddresses=[],
        attachments=[{"name": "offer.pdf", "mimeType": "application/pdf"}],
        relatedTo=[
            {"type": "Contact", "id": "lead:seed-lena"},
            {"type": "Account", "id": "seed-acme"},
            {"type": "Deal", "id": "1"},
        ],
    )
    row = ("Offer 4712", mail["rfc822MsgId"])
    assert example.rows("SELECT name, message_id FROM emails WHERE id = ?", email) == [row]
    assert example.rows(
        """SELECT r.address_type, a.address FROM email_recipients r JOIN email_addresses a ON a.id = r.email_address_id
        WHERE r.email_id = ? ORDER BY 1""",
        email,
    ) == [("from", "lena@prospect.example"), ("to", "john@othercrm.example")]
    assert example.rows("SELECT bean_module, bean_id FROM email_beans WHERE email_id = ? ORDER BY 1", email) == [
        ("Accounts", "seed-acme"),
        ("Leads", "seed-lena"),
    ]
    assert example.rows("SELECT filename FROM notes WHERE parent_id = ?", email) == [("offer.pdf",)]
    timeline = crm.get("/contacts/lead:seed-lena/emails").expect(200)
    assert [one["roles"] for one in timeline.records if one["id"] == email] == [["from", "relatedTo"]]


def test_the_feed_tells_what_the_crm_changed(crm: Session, example: Example) -> None:
    """A change in the CRM's own screens is in the feed, as deletion is."""
    contact = crm.contact(crm.address())
    last = max(change["seq"] for change in _feed(crm, 0))
    example.rows("UPDATE leads SET first_name = 'Helena', date_modified = datetime() WHERE id = 'seed-lena'")
    example.rows("UPDATE contacts SET deleted = 1, date_modified = datetime() WHERE id = ?", contact)
    assert [(one["type"], one["id"], one["action"]) for one in _feed(crm, last)] == [
        ("contact", "lead:seed-lena", "changed"),
        ("contact", contact, "deleted"),
    ]


def _feed(crm: Session, after: int) -> list[dict[str, Any]]:
    changes: list[dict[str, Any]] = []
    while page := crm.get("/changes", after=str(after), limit="1000").expect(200).records:
        changes += page
        after = page[-1]["seq"]
    return changes


def test_erasing_leaves_no_row(crm: Session, example: Example) -> None:
    """A person is disclosed, and erased with all mail, and so is what was only marked as deleted."""
    address = crm.address("erased")
    marked = crm.contact(address)
    example.rows("UPDATE contacts SET deleted = 1 WHERE id = ?", marked)
    contact = crm.contact(address)
    crm.log(toAddresses=["x@x.example"], textBody=f"Ask {address}.")
    assert contact in example.run_other("-m", "commands", "person", "export", address)
    example.run_other("-m", "commands", "person", "erase", address)
    for table in ("email_addresses", "emails_text", "connector_emails", "contacts"):
        rows = example.rows(f"SELECT * FROM {table}")
        assert address not in str(rows)
        assert contact not in str(rows)
        assert marked not in str(rows)


@pytest.mark.parametrize("rule_id", RULES)
def test_the_example_keeps(rule_id: str, crm: Session) -> None:
    """It offers everything and keeps every rule, without an exception."""
    result = check(RULES[rule_id], crm)
    assert result.status == "passed", f"{result.expected}\n{result.got}\n{result.curl}"


def test_the_guide_leads_to_a_passing_kit(tmp_path: Path) -> None:
    """docs/own-tables.md, step by step: on a small CRM that only reads, and then on one that also writes."""
    guide = GUIDE.read_text(encoding="utf-8")
    _, sql, first_lines, normalize, people, firms, staff, seam, imports, writes = _blocks(guide)
    _copy_project(tmp_path)

    def write(name: str, text: str) -> None:
        (tmp_path / name).write_text(text, encoding="utf-8")

    def python(*command: str) -> str:
        assert " ".join(command[-3:]) in guide
        return _python(tmp_path, environment, *command)

    port = free_port()
    environment = os.environ | {"PORT": str(port), "PYTHONPATH": "", "DATABASE_URL": "sqlite:///crm.db"}
    with sqlite3.connect(tmp_path / "crm.db") as database:
        database.executescript(sql)
    database.close()
    tables = python("-m", "pwiz", "-o", "-e", "sqlite", "crm.db")
    assert "database = SqliteDatabase('crm.db')\n" in tables
    write("crm_tables.py", first_lines + tables.partition("database = SqliteDatabase('crm.db')\n")[2])
    for name, text in (("people", people), ("firms", firms), ("staff", staff), ("__init__", seam)):
        write(f"store/{name}.py", text)
    write("fill.py", normalize)
    python("fill.py")
    token = python("-m", "commands", "token", "create", "john@crm.example", "--scope", "admin").strip()
    session = Session(f"http://127.0.0.1:{port}", token)
    with serving(tmp_path, environment, session):
        assert session.get("/contacts/lookup", emails="JANE@acme.example").ids == ["42"]
        assert session.get("/companies/lookup", domain="mail.acme.example").ids == ["7"]
        report = run(session.base_url, token, only=["users-*", "lookup-one", "email-logged", "contact-created"])
        assert [result.rule.id for result in report.of("not offered")] == ["lookup-one", "contact-created"]
        assert report.of("failed") == []

    write("store/people.py", f"{imports}\n{people}\n\n{writes}")
    with serving(tmp_path, environment, session):
        rules = ["users-*", "lookup-*", "contact-*", "company-*", "emails-by-*", "timeline-*"]
        report = run(session.base_url, token, only=rules)
    assert report.of("failed") == []
    kept = {result.rule.id for result in report.of("passed")}
    assert {"emails-by-contact", *(rule_id for rule_id in RULES if rule_id.startswith("timeline-"))} <= kept


def test_tables_and_columns_may_have_other_names(tmp_path: Path) -> None:
    """The guide's class for a table that is laid out alike, in the place of ours."""
    renamed = _blocks(GUIDE.read_text(encoding="utf-8"))[0]
    _copy_project(tmp_path)
    models = (tmp_path / "models.py").read_text(encoding="utf-8")
    ours = re.search(r"^class Contact\(Table\):.*?(?=^class)", models, re.DOTALL | re.MULTILINE)
    assert ours
    models = models.replace(ours[0], f"{renamed}\n\n").replace("declare(tables)", 'declare(tables, beside="people")')
    (tmp_path / "models.py").write_text(models, encoding="utf-8")
    with sqlite3.connect(tmp_path / "crm.db") as database:
        database.execute(
            """CREATE TABLE people (number TEXT PRIMARY KEY, first TEXT, last TEXT, firm TEXT,
            created TEXT NOT NULL, changed TEXT NOT NULL)"""
        )
        moment = "2025-01-03T08:00:00.000000Z"
        database.execute("INSERT INTO people VALUES ('42', 'Jane', 'Doe', NULL, ?, ?)", [moment, moment])
    database.close()
    port = free_port()
    environment = os.environ | {"PORT": str(port), "PYTHONPATH": "", "DATABASE_URL": "sqlite:///crm.db"}
    _python(tmp_path, environment, "-m", "commands", "user", "add", "john@crm.example")
    token = _python(tmp_path, environment, "-m", "commands", "token", "create", "john@crm.example", "--scope", "admin")
    session = Session(f"http://127.0.0.1:{port}", token.strip())
    with serving(tmp_path, environment, session):
        assert session.get("/contacts/42").expect(200).record["lastName"] == "Doe"
        report = run(session.base_url, token.strip(), only=["lookup-*", "contact-*", "company-*", "timeline-*"])
    assert report.of("failed") == report.of("not offered") == []


GUIDE = PROJECT / "docs" / "own-tables.md"
PARTS = ("commands", "crm", "database", "migrations", "routes", "store", "web")


def _blocks(guide: str) -> list[str]:
    blocks: list[str] = re.findall(r"^```\w+\n(.*?)^```$", guide, re.DOTALL | re.MULTILINE)
    return blocks


def _copy_project(folder: Path) -> None:
    for part in (*PROJECT.glob("*.py"), *(PROJECT / name for name in PARTS)):
        (shutil.copytree if part.is_dir() else shutil.copy)(part, folder / part.name)


def _python(folder: Path, environment: dict[str, str], *command: str) -> str:
    words = [sys.executable, *command]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout
