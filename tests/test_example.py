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
from urllib.parse import urlsplit

import pytest
from psycopg.conninfo import conninfo_to_dict

import store
from conformance import RULES
from conformance.client import ADMIN, NoAnswer
from conformance.run import check, run
from conformance.session import Known, Named, Session
from tests import mariadb
from tests.samples import PROJECT, WITHIN, free_port

EXAMPLE = PROJECT / "examples" / "othercrm"
JANE, LENA, BOB, ACME, JOHN = (
    f"{'60f0000000000':0<{17 - len(name)}}{name}" for name in ("jane", "lena", "bob", "acme", "john")
)

NAMED = Known(
    contacts=[Named(JANE, "jane@acme.example"), Named(f"lead:{LENA}", "lena@prospect.example")],
    companies=[Named(ACME, "acme.example")],
    deleted=[Named(BOB, "bob@acme.example")],
    users=["john@othercrm.example"],
)
# What the README of the example names: ids of 17 characters, of which the CRM does not tell upper from lower case.
ITS_OWN_IDS = {"contact-put", "contact-id-case"}
# Of the kit's rules, those that are checked on SQLite by `make test`; all the others by `make test-system`.
A_FEW = {
    "email-logged",
    "lookup-one",
    "lookup-mix",
    "company-parent",
    "contact-patch",
    "timeline-roles",
    "your-deleted",
}


class Example:
    """A folder with a copy of the example, in which its commands are run, and the CRM's database."""

    def __init__(self, folder: Path, server: mariadb.Server | None) -> None:
        self.folder, self.server = folder, server
        self.port = free_port()
        self.environment = os.environ | {
            "CRM_DATABASE_URL": server.create("espocrm") if server else "sqlite:///crm.db",
            "DATABASE_URL": "sqlite:///connector.db",
            "PYTHONPATH": str(PROJECT),
            "PORT": str(self.port),
        }

    def run(self, *command: str) -> str:
        """What a command prints; the README has to name it."""
        assert f"python {' '.join(command[:4])}" in (EXAMPLE / "README.md").read_text(encoding="utf-8")
        return self.run_other(*command)

    def run_other(self, *command: str, status: int = 0) -> str:
        words = [sys.executable, *command]
        done = subprocess.run(words, cwd=self.folder, env=self.environment, capture_output=True, text=True)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout.strip()

    def rows(self, sql: str, *parameters: str) -> list[Any]:
        """What the CRM finds in its database, or changes there."""
        if self.server:
            return self.server.run(sql.replace("?", "%s"), parameters, "espocrm")
        with sqlite3.connect(self.folder / "crm.db") as crm:
            found = crm.execute(sql, parameters).fetchall()
        crm.close()
        return found


@pytest.fixture(scope="module", params=["sqlite", pytest.param("mariadb", marks=pytest.mark.system)])
def example(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Example]:
    """The example with its seed in place."""
    folder = tmp_path_factory.mktemp("examples") / "othercrm"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("*.db*", "__pycache__"))
    if request.param == "mariadb" and mariadb.MISSING:
        pytest.skip(f"not installed: {', '.join(mariadb.MISSING)}")
    server = mariadb.Server() if request.param == "mariadb" else None
    try:
        made = Example(folder, server)
        made.run("seed.py")
        made.run("sync.py")
        yield made
    finally:
        if server:
            server.remove()


@pytest.fixture(scope="module")
def crm(example: Example) -> Iterator[Session]:
    """BrightSync, in a session with the running example."""
    token, admin_token = (
        example.run("-m", "commands", "token", "create", "john@othercrm.example", "--scope", scope)
        for scope in ("sync", "admin")
    )
    session = Session(f"http://127.0.0.1:{example.port}", token, admin_token, NAMED)
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
    """Each function that the docstring of our store lists, but for those that a store need not have: one that is
    added to the seam is missed here first. They are the example's still when all of the connector is imported."""
    listed = re.findall(r"^    ([\w, ]+?)  +(.*(?:\n {20,}.*)*)", store.__doc__ or "", re.MULTILINE)
    parts = {part: functions for parts, functions in listed for part in parts.split(", ")}
    names = {
        name if "." in name else f"{part}.{name}"
        for part, names in parts.items()
        for name in re.findall(r"[\w.]+", names)
    }
    names -= {"emails.prepare", "emails.catch_up", "users.insert", "users.update"}
    names -= {name for name in names if name.startswith("companies.contacts.") or "." not in name}
    names -= {"companies.of_company", "contacts.named"}
    wanted = [*sorted(names), "transaction", "check", "purge"]
    assert len(wanted) > 30
    script = "import sys; sys.path.insert(0, '')" + _FUNCTIONS
    ours = [" ".join([name, *signature(attrgetter(name)(store)).parameters]) for name in wanted]
    assert example.run_other("-c", script, *wanted).splitlines() == ours


def test_a_lead_is_matched(crm: Session) -> None:
    """A lead is looked up as contacts are; its id tells it from them, and reads it."""
    found = crm.get("/contacts/lookup", emails="LENA@prospect.example,jane@acme.example").expect(200)
    assert found.ids == [f"lead:{LENA}", JANE]
    assert crm.get(f"/contacts/lead:{LENA}").expect(200).record == found.records[0]
    crm.get(f"/contacts/{LENA}").expect(404)


def test_a_stranger_who_is_a_lead_is_no_new_contact(crm: Session) -> None:
    """POST finds the lead."""
    found = crm.post("/contacts", {"lastName": "Prospect", "emailAddresses": ["lena@prospect.example"]}).expect(200)
    assert found.id == f"lead:{LENA}"


def test_a_deleted_contact_is_not_matched(crm: Session, example: Example) -> None:
    """What the CRM marked as deleted is gone, though its row is there."""
    assert example.rows("SELECT deleted FROM contact WHERE id = ?", BOB) == [(1,)]
    assert crm.get("/contacts/lookup", emails="bob@acme.example").expect(200).ids == []
    crm.get(f"/contacts/{BOB}").expect(404)


def test_letter_case_and_accents_tell_records_apart(crm: Session) -> None:
    """The CRM's collation takes é for e and ABC for abc: what it finds so is nobody's."""
    assert crm.get("/contacts/lookup", emails="jané@acme.example").expect(200).ids == []
    crm.get(f"/contacts/{JANE.upper()}").expect(404)
    crm.delete(f"/contacts/{JANE.upper()}").expect(404)
    assert crm.put(f"/contacts/{JANE.upper()}", {"lastName": "Roe"}).status in (201, 409)  # SQLite tells them apart


def test_what_the_tables_cannot_hold_is_kept_to_the_letter(crm: Session, example: Example) -> None:
    """Long names, addresses as written, several domains and microseconds; the CRM has what fits."""
    address = crm.address()
    sent = {
        "lastName": "ü" * 300,
        "emailAddresses": [f"Jane <{address.upper()}>", "no address", "x" * 300 + "@x.example"],
    }
    made = crm.post("/contacts", sent).expect(201)
    again = crm.get(f"/contacts/{made.id}").expect(200).record
    assert again == made.record
    assert [again[name] for name in sent] == list(sent.values())
    assert example.rows("SELECT last_name FROM contact WHERE id = ?", made.id) == [("ü" * 100,)]
    linked = """SELECT a.lower, l.`primary` FROM entity_email_address l
        JOIN email_address a ON a.id = l.email_address_id
        WHERE l.entity_type = 'Contact' AND l.entity_id = ? AND l.deleted = 0"""
    assert example.rows(linked, made.id) == [(address, 1)]
    domains = [f"www.{crm.new_domain()}", crm.new_domain()]
    company = crm.post("/companies", {"name": "Acme", "domains": domains}).expect(201)
    assert [crm.get("/companies/lookup", domain=one).ids for one in domains] == [[company.id], [company.id]]
    assert example.rows("SELECT website FROM account WHERE id = ?", company.id) == [(domains[0],)]
    crm.patch(f"/contacts/{made.id}", {"companyId": company.id}).expect(200)
    in_both = "SELECT account_id FROM account_contact WHERE deleted = 0 AND contact_id = ?"
    assert example.rows(in_both, made.id) == [(company.id,)]


def test_the_crm_shows_a_logged_mail(crm: Session, example: Example) -> None:
    """The CRM's own tables have the mail: subject, texts, sender, recipients, and what it belongs to."""
    mail, email = crm.log(
        subject="Offer 4712",
        fromAddress="lena@prospect.example",
        toAddresses=["john@othercrm.example", "John@othercrm.example", "undisclosed-recipients:;"],
        ccAddresses=[],
        bccAddresses=[],
        relatedTo=[{"type": "Deal", "id": "1"}, {"type": "Contact", "id": f"lead:{LENA}"}],
    )
    row = f"bsc{int(email):014d}"
    columns = "name, body_plain, body, date_sent, parent_type, parent_id, deleted"
    [shown] = example.rows(f"SELECT {columns} FROM email WHERE message_id = ?", mail["rfc822MsgId"])
    texts = ("Offer 4712", mail["textBody"], mail["htmlBody"])
    assert (*map(str, shown[:6]), shown[6]) == (*texts, "2024-05-17 09:30:00", "Lead", LENA, 0)
    linked = """SELECT r.address_type, a.lower FROM email_email_address r
        JOIN email_address a ON a.id = r.email_address_id
        WHERE r.email_id = ? AND r.deleted = 0 ORDER BY 1"""
    assert example.rows(linked, row) == [("from", "lena@prospect.example"), ("to", "john@othercrm.example")]
    timeline = crm.get(f"/contacts/lead:{LENA}/emails").expect(200)
    assert [one["roles"] for one in timeline.records if one["id"] == email] == [["from", "relatedTo"]]
    crm.delete(f"/emails/{email}").expect(204)
    assert example.rows("SELECT deleted FROM email WHERE id = ?", row) == [(1,)]


def test_a_mail_that_the_crm_fetched_itself_is_shown_once(crm: Session, example: Example) -> None:
    """The CRM's own stays the only one on its screens."""
    message_id = crm.message_id()
    columns = "id, name, message_id, is_html, deleted"
    example.rows(f"INSERT INTO email ({columns}) VALUES ('60f0000000000mail', 'Hello', ?, 0, 0)", message_id)
    crm.log(rfc822MsgId=message_id)
    found = example.rows("SELECT name FROM email WHERE deleted = 0 AND message_id = ?", message_id)
    assert found == [("Hello",)]


def test_a_large_email_is_kept_whole_and_shown_in_part(crm: Session, example: Example) -> None:
    """The CRM's column has room for 16 MiB, and its server for statements of as many: the rest is the connector's."""
    text = "'\"\\ü" * 1_500_000
    mail, email = crm.log(textBody=text)
    assert crm.email(email)["textBody"] == text
    shown = example.rows("SELECT body_plain FROM email WHERE message_id = ?", mail["rfc822MsgId"])
    assert shown == [(text[:1_000_000],)]


def test_a_change_in_the_crm_is_seen_at_once_and_in_the_feed_after_a_sync(crm: Session, example: Example) -> None:
    """Reads and look-ups ask the CRM itself; lists, the feed and companies' domains are as sync has left them."""
    contact = crm.contact(crm.address())
    last = max(change["seq"] for change in _feed(crm, 0))
    example.rows("UPDATE `lead` SET first_name = 'Helena' WHERE id = ?", LENA)
    example.rows("UPDATE contact SET deleted = 1 WHERE id = ?", contact)
    example.rows("UPDATE account SET website = 'http://new-acme.example' WHERE id = ?", ACME)
    assert crm.get(f"/contacts/lead:{LENA}").expect(200).record["firstName"] == "Helena"
    crm.get(f"/contacts/{contact}").expect(404)
    assert crm.get(f"/companies/{ACME}").expect(200).record["domains"] == ["http://new-acme.example"]
    assert crm.get("/companies/lookup", domain="acme.example").expect(200).ids == []
    assert _feed(crm, last) == []
    example.run("sync.py")
    assert [(one["type"], one["id"], one["action"]) for one in _feed(crm, last)] == [
        ("company", ACME, "changed"),
        ("contact", f"lead:{LENA}", "changed"),
        ("contact", contact, "deleted"),
    ]
    assert crm.get("/companies/lookup", domain="new-acme.example").expect(200).ids == [ACME]
    assert crm.get(f"/contacts/lead:{LENA}").expect(200).record["firstName"] == "Helena"
    example.rows("UPDATE account SET website = 'http://acme.example' WHERE id = ?", ACME)
    assert example.run("sync.py") == f"company {ACME} changed"
    assert example.run("sync.py") == ""


def _feed(crm: Session, after: int) -> list[dict[str, Any]]:
    changes: list[dict[str, Any]] = []
    while page := crm.get("/changes", after=str(after), limit="1000").expect(200).records:
        changes += page
        after = page[-1]["seq"]
    return changes


_CRASH = """
import sys; sys.path.insert(0, "")
import os, app, database
from crm.directory import add_contact
from crm.emails import log_email
from crm.merging import NO_EMAIL
from store.crm import crm
from unittest.mock import patch
database.start(os.environ["DATABASE_URL"])
address, message_id = sys.argv[1:]
commit = type(crm).commit
def crash(self):
    commit(self)
    raise KeyboardInterrupt
for call in (
    lambda: add_contact({"firstName": None, "lastName": "X", "emailAddresses": [address], "companyId": None}),
    lambda: log_email({**NO_EMAIL, "rfc822MsgId": message_id}),
):
    with patch.object(type(crm), "commit", crash):
        try:
            call()
        except KeyboardInterrupt:
            print("crash")
"""


def test_a_crash_between_the_two_commits_loses_nothing(crm: Session, example: Example) -> None:
    """The CRM has what was not acknowledged: an email is logged again, and a contact is found, and told to the feed."""
    address, message_id = crm.address(), crm.message_id()
    last = max(change["seq"] for change in _feed(crm, 0))
    assert example.run_other("-c", _CRASH, address, message_id).split() == ["crash", "crash"]
    assert _feed(crm, last) == []
    shown = "SELECT count(*) FROM email WHERE deleted = 0 AND message_id = ?"
    assert example.rows(shown, message_id) == [(1,)]
    [contact] = crm.get("/contacts/lookup", emails=address).expect(200).ids
    crm.post("/emails", {"rfc822MsgId": message_id}).expect(201)
    assert example.rows(shown, message_id) in ([(1,)], [(2,)])
    example.run("sync.py")
    assert [one["id"] for one in _feed(crm, last) if one["type"] == "contact"] == [contact]
    crm.delete(f"/contacts/{contact}").expect(204)


def test_a_user_who_is_not_active_is_no_user(crm: Session, example: Example) -> None:
    """Deactivated in the CRM, a user is not found, and has no token that works, for any call."""
    with_token = Session(crm.base_url, crm.token, None, NAMED._replace(left_token=crm.token))
    assert check(RULES["door-left-user"], with_token).status == "failed"
    try:
        example.rows("UPDATE user SET is_active = 0 WHERE id = ?", JOHN)
        crm.get("/users/me").refused(401)
        assert check(RULES["door-left-user"], with_token).status == "passed"
        example.run_other("-m", "commands", "token", "create", "john@othercrm.example", status=1)
    finally:
        example.rows("UPDATE user SET is_active = 1 WHERE id = ?", JOHN)
    assert crm.get("/users/lookup", emails="JOHN@othercrm.example").expect(200).ids == [JOHN]


def test_a_server_that_can_not_take_an_email_is_not_ready(crm: Session, example: Example) -> None:
    """What would be 503 for each large email is said before the first one."""
    if not example.server:
        pytest.skip("max_allowed_packet is MariaDB's")
    example.server.run("SET GLOBAL max_allowed_packet = 1048576")
    try:
        said = example.run_other("-m", "commands", "doctor", status=1)
    finally:
        example.server.run("SET GLOBAL max_allowed_packet = 16777216")
    assert "max_allowed_packet of the CRM's database is 1048576: it must be" in said


def test_calls_wait_for_the_crm_to_come_back(crm: Session, example: Example) -> None:
    """While the CRM's database is down, calls are 503, and the connector is not ready; after that all is as before."""
    if not example.server:
        pytest.skip("a file is not down")
    example.server.stop()
    try:
        crm.get("/contacts/lookup", emails="jane@acme.example").expect(503)
        crm.post("/emails", crm.mail()).expect(503)
        crm.request("GET", "/health/ready", outside=True).expect(503)
    finally:
        example.server.start()
    assert crm.get("/contacts/lookup", emails="jane@acme.example").expect(200).ids == [JANE]
    crm.log()


def test_erasing_leaves_no_row(crm: Session, example: Example) -> None:
    """A person is disclosed, and erased with all mail, and so is what was only marked as deleted."""
    address = crm.address("erased")
    marked = crm.contact(address)
    example.rows("UPDATE contact SET deleted = 1 WHERE id = ?", marked)
    contact = crm.contact(address)
    crm.log(toAddresses=["x@x.example"], textBody=f"Ask {address}.")
    assert contact in example.run_other("-m", "commands", "person", "export", address)
    example.run_other("-m", "commands", "person", "erase", address)
    for table in ("email_address", "email", "entity_email_address", "contact", "account_contact"):
        rows = str(example.rows(f"SELECT * FROM {table}"))
        assert not [text for text in (address, contact, marked) if text in rows]


def _rules() -> list[Any]:
    return [pytest.param(rule_id, marks=() if rule_id in A_FEW else pytest.mark.system) for rule_id in RULES]


@pytest.mark.parametrize("rule_id", _rules())
def test_the_example_keeps(rule_id: str, crm: Session) -> None:
    """It offers everything and keeps every rule, but for ids that are none for the CRM: these are refused. Users are
    changed in the CRM; for one who has left see above."""
    alone = Session(crm.base_url, crm.token, crm.tokens[ADMIN], NAMED)  # with the shortest ids that the kit makes
    result = check(RULES[rule_id], alone)
    assert alone.clean_up() == []
    if rule_id in ITS_OWN_IDS and result.status == "failed":
        assert re.search("To th(is|e) CRM (an|this) id is", str(result.got))
        return
    wanted = "not offered" if rule_id in ("users-change", "door-left-user") else "passed"
    assert result.status == wanted, f"{result.expected}\n{result.got}\n{result.curl}"


@pytest.fixture(params=["sqlite", "mariadb", "postgresql"])
def crm_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database for the guide's CRM, in the form that the guide has."""
    if request.param == "sqlite":
        yield "sqlite:///crm.db"
        return
    if request.param == "postgresql":
        where = conninfo_to_dict(request.getfixturevalue("postgres").create())
        yield f"psycopg3+pool://postgres@/{where['dbname']}?host={where['host']}"
        return
    if mariadb.MISSING:
        pytest.skip(f"not installed: {', '.join(mariadb.MISSING)}")
    server = mariadb.Server()
    try:
        server.create("crm")
        server.run("CREATE USER crm@127.0.0.1 IDENTIFIED BY 'se@cret'")
        server.run("GRANT ALL ON crm.* TO crm@127.0.0.1")
        yield f"mysql+pool://crm:se%40cret@127.0.0.1:{server.port}/crm?client_flag=2&connect_timeout=5&read_timeout=10"
    finally:
        server.remove()


@pytest.mark.system
def test_the_guide_leads_to_a_passing_kit(tmp_path: Path, crm_url: str) -> None:
    """docs/own-tables.md, step by step: on a small CRM that only reads, and then on one that also writes."""
    guide = GUIDE.read_text(encoding="utf-8")
    _, sql, opened, first_lines, fill, people, firms, staff, seam, imports, writes = _blocks(guide)
    _copy_project(tmp_path)
    server, port = urlsplit(crm_url), free_port()
    kind = server.scheme.partition("+")[0]
    name = server.path[1:]
    pwiz = {
        "sqlite": ["-e", "sqlite", "crm.db"],
        "mysql": ["-e", "mysql", "-H", "127.0.0.1", "-p", str(server.port), "-u", "crm", "-P", "crm"],
        "psycopg3": ["-e", "postgresql", "-H", server.query.partition("=")[2], "-u", "postgres", name],
    }[kind]

    def write(name: str, text: str) -> None:
        (tmp_path / name).write_text(text, encoding="utf-8")

    def python(*command: str, typed: str = "") -> str:
        assert " ".join(["python", *command[: 5 if "pwiz" in command else None]]) in guide.replace('"', "")
        return _python(tmp_path, environment, *command, typed=typed)

    environment = os.environ | {"PORT": str(port), "PYTHONPATH": "", "CRM_DATABASE_URL": crm_url}
    write("crm.sql", sql.replace("DATETIME", "TIMESTAMP") if kind == "psycopg3" else sql)
    write("crm_database.py", opened)
    script = re.search(r'python -c "(from crm_database.*)"', guide)
    assert script
    python("-c", script[1])
    tables = python("-m", "pwiz", "-o", *pwiz, typed="se@cret\n")
    write("crm_tables.py", first_lines + re.sub(r"\A.*?^database = .*?$", "", tables, count=1, flags=re.DOTALL | re.M))
    write("fill.py", fill)
    python("fill.py")
    for name, text in (("people", people), ("firms", firms), ("staff", staff), ("__init__", seam)):
        write(f"store/{name}.py", text)
    token = python("-m", "commands", "token", "create", "john@crm.example", "--scope", "admin").strip()
    session = Session(f"http://127.0.0.1:{port}", token)
    with serving(tmp_path, environment, session):
        assert session.get("/contacts/lookup", emails="JANE@acme.example").ids == ["42"]
        assert session.get("/contacts/lookup", emails="jané@acme.example,bob@acme.example").ids == []
        assert session.get("/companies/lookup", domain="mail.acme.example").ids == ["7"]
        assert session.get("/users/lookup", emails="john@crm.example,ann@crm.example").ids == ["1"]
        assert session.request("GET", "/health/ready", outside=True).status == 200
        said = r"--contact (\S+) --company (\S+) --user (\S+) --deleted (\S+) \\\n\s+--deleted (\S+)"
        options = re.search(said, guide)
        assert options
        contact, company, user, *gone = options.groups()
        named = Known([Named.of(contact)], [Named.of(company)], list(map(Named.of, gone)), [user])
        rules = ["your-*", "users-*", "lookup-one", "email-logged", "contact-created"]
        needing_more = ["lookup-one", "contact-created", "users-list", "users-change"]
        report = run(session.base_url, token, only=rules, named=named)
        assert [result.rule.id for result in report.of("not offered")] == needing_more
        assert report.of("failed") == []
        moved = "from crm_tables import PeopleMail; PeopleMail.update(address='Jane@new.example').where({}).execute()"
        _python(tmp_path, environment, "-c", moved.format("PeopleMail.address == 'Jane@Acme.example'"))
        python("fill.py")
        assert session.get("/contacts/lookup", emails="jane@acme.example").ids == []
        assert session.get("/contacts/lookup", emails="jane@new.example").ids == ["42"]

    write("store/people.py", f"{imports}\n{people}\n\n{writes}")
    with serving(tmp_path, environment, session):
        rules = ["users-*", "lookup-*", "contact-*", "company-*", "emails-by-*", "timeline-*"]
        report = run(session.base_url, token, only=rules)
    its_ids = ["contact-put", "contact-id-case"] if kind == "mysql" else ["contact-put"]
    assert [result.rule.id for result in report.of("failed")] == its_ids
    assert not [result.got for result in report.of("failed") if "422" not in str(result.got)]
    kept = {result.rule.id for result in report.of("passed")}
    assert {"emails-by-contact", *(rule_id for rule_id in RULES if rule_id.startswith("timeline-"))} <= kept
    assert "All records agree with one another" in _python(tmp_path, environment, "-m", "commands", "doctor")
    if kind == "sqlite":  # the store in memory is the same, whatever database the CRM's own tables are in
        shutil.copytree(PROJECT / "tests", tmp_path / "tests")
        shutil.copy(PROJECT / "pyproject.toml", tmp_path)
        memory = ("-p", "no:cacheprovider", "-n", "0", "-k", "memory", "tests/test_lookup_contacts.py")
        assert " passed" in _python(tmp_path, environment, "-m", "pytest", "-v", *memory)


@pytest.mark.system
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
            sort_name TEXT NOT NULL, created TEXT NOT NULL, changed TEXT NOT NULL)"""
        )
        moment = "2025-01-03T08:00:00.000000Z"
        database.execute("INSERT INTO people VALUES ('42', 'Jane', 'Doe', NULL, 'jane doe', ?, ?)", [moment, moment])
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


def test_the_guide_names_tests_that_are_there() -> None:
    """Those that hold on other tables."""
    named = re.findall(r"tests/test_\w+\.py", GUIDE.read_text(encoding="utf-8"))
    assert len(named) >= 4
    assert [name for name in named if not (PROJECT / name).exists()] == []


GUIDE = PROJECT / "docs" / "own-tables.md"
PARTS = ("commands", "crm", "database", "migrations", "pages", "routes", "store", "web")


def _blocks(guide: str) -> list[str]:
    blocks: list[str] = re.findall(r"^```\w+\n(.*?)^```$", guide, re.DOTALL | re.MULTILINE)
    return blocks


def _copy_project(folder: Path) -> None:
    for part in (*PROJECT.glob("*.py"), *(PROJECT / name for name in PARTS)):
        (shutil.copytree if part.is_dir() else shutil.copy)(part, folder / part.name)


def _python(folder: Path, environment: dict[str, str], *command: str, typed: str = "") -> str:
    words = [sys.executable, *command]
    quiet: Any = {"capture_output": True, "text": True, "start_new_session": True}  # no terminal, to be typed into
    done = subprocess.run(words, cwd=folder, env=environment, input=typed, **quiet)
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)
