"""`commands.consistency.problems()`: each kind of damage is found, and named without what people wrote."""

import re
from concurrent.futures import ThreadPoolExecutor
from random import Random
from types import ModuleType

import pytest
from flask import Flask

import crm
import database
import store
from commands.consistency import problems
from store.indexing import index_all
from tests.samples import ACME, JANE, MAIL, NO_MAIL, WITHIN

HTML_MAIL = {"subject": "Héllo", "htmlBody": "<p>Only <b>HTML</b></p>", "toAddresses": ["undisclosed-recipients:;", ""]}


@pytest.fixture
def full(app: Flask) -> Flask:
    """A database in which everything has happened once: created, merged, changed, deleted, made again."""
    company = crm.add_company(ACME)[0]
    crm.put_contact("42", {**JANE, "companyId": company["id"]})
    crm.put_contact("43", {"firstName": None, "lastName": None, "companyId": None, "emailAddresses": ["Jöe@acme.x"]})
    crm.delete_contact("43")
    crm.put_contact("43", {"firstName": None, "lastName": None, "companyId": None, "emailAddresses": ["a@b.x", "?"]})
    crm.change_contact("43", {"lastName": "Roe"})
    crm.log_email(MAIL)
    crm.log_email({**MAIL, "msgId": "<copy>", "ccAddresses": ["late@acme.example"], "relatedTo": {"type": "Deal"}})
    crm.log_email(HTML_MAIL)
    crm.log_email({})
    with database.writing():
        list(index_all())  # these are in the search index, and what comes now waits for it
    crm.change_email("2", {"subject": "Hello", "msgId": "new", "relatedTo": {"type": "DEAL", "id": 4711}})
    crm.delete_email("3")
    return app


def plant(*statements: str) -> None:
    """Change rows behind the back of everything that keeps them in step."""
    database.execute("PRAGMA foreign_keys = off")
    for statement in statements:
        database.execute(statement)
    database.execute("PRAGMA foreign_keys = on")


@pytest.mark.usefixtures("full")
def test_a_database_that_only_the_verbs_have_written_has_no_problems() -> None:
    """Whatever they were given."""
    assert problems() == []


@pytest.mark.usefixtures("app")
def test_an_empty_database_has_no_problems() -> None:
    """Nothing is there to disagree."""
    assert problems() == []


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (
            "DELETE FROM recipient WHERE email_id = 1 AND role = 'to' AND position = 0",
            "emails whose recipients and .*: 1",
        ),
        ("DELETE FROM recipient WHERE email_id = 1 AND role = 'to' AND position = 1", "emails whose words can't .*: 1"),
        ("UPDATE recipient SET text = 'x' WHERE email_id = 1 AND role = 'cc'", "emails whose words can't .*: 1"),
        ("UPDATE recipient SET role = 'by' WHERE email_id = 1 AND role = 'cc'", "emails that can't be read: 1"),
        ("UPDATE recipient SET normalized = NULL WHERE role = 'bcc'", "emails whose recipients and .*: 1"),
        ("UPDATE recipient SET normalized = 'a@b.x' WHERE text = ''", "emails whose recipients and .*: 2"),
        (
            "UPDATE contact_address SET normalized = 'x@y' WHERE contact_id = '42'",
            "contacts that have lost an address, or .*: 42",
        ),
        ("UPDATE recipient SET at = '2020' WHERE email_id = 2", "emails whose recipients and .*: 2"),
        ("UPDATE link SET at = '2020' WHERE email_id = 2", "emails whose links and .*: 2"),
        ("DELETE FROM link WHERE email_id = 2", "emails whose links and .*: 2"),
        (
            "INSERT INTO link VALUES (1, 'x', '1', '2026-01-31T09:30:00.000000Z')",
            "emails whose links and .*: 1",
        ),
        ("UPDATE email SET related_to = '[' WHERE id = 1", "emails that can't be read: 1"),
        ("UPDATE email SET related_to = '[7]' WHERE id = 1", "emails that can't be read: 1"),
        ("UPDATE email SET at = '2020' WHERE id = 1", "emails whose at and .*: 1"),
        ("UPDATE email SET message_key = 'x' WHERE id = 1", "emails whose message_key and .*: 1"),
        ("UPDATE email SET thread_key = NULL WHERE id = 1", "emails whose thread_key and .*: 1"),
        ("UPDATE email SET has_attachments = 1 WHERE id = 2", "emails whose has_attachments and .*: 2"),
        ("UPDATE email SET snippet = 'x' WHERE id = 2", "emails whose snippet and .*: 2"),
        ("UPDATE email SET html_text = NULL WHERE id = 2", "emails whose html_text and .*: 2"),
        ("DELETE FROM copy WHERE copy_key = '18c2f0a9d1e4'", "emails that can't be found by their msgId: 1"),
        ("DELETE FROM contact_address WHERE position = 0", "contacts that have lost an address, or .*: 43"),
        ("UPDATE company_domain SET normalized = NULL", "companies that have lost a domain, or .*: "),
        ("UPDATE company_domain SET position = 1", "companies that have lost a domain, or .*: "),
        ("UPDATE crm_user SET normalized = 'x@y'", "users who can't be found .*: u1"),
        ("DELETE FROM company", "rows of contact that name a missing company: "),
        ("DELETE FROM email WHERE id = 1", "rows of recipient that name a missing email: "),
        ("DELETE FROM crm_user; DELETE FROM email WHERE id = 2", "the change feed tells of and .* not here: email 2"),
        ("DELETE FROM change WHERE type = 'company'", "records of which the change feed does not tell: company "),
        (
            "DROP INDEX email_at_id_withheld_has_attachments",
            "indexes that are not there: email_at_id_withheld_has_attachments",
        ),
        ("DELETE FROM email_words_docsize WHERE id = 1", "emails whose words can't be found: 1"),
        ("INSERT INTO email_words (rowid, subject) VALUES (1, 'zugzwang')", "emails whose words can't be found: 1"),
        ("INSERT INTO email_words (rowid, subject) VALUES (77, 'zugzwang')", "and that are not here: 77"),
        ("UPDATE email SET subject = 'Lost' WHERE id = 2", "emails whose words can't be found: 2"),
        ("DELETE FROM email_words_data WHERE id > 10", "damaged"),
    ],
)
@pytest.mark.usefixtures("full")
def test_damage_is_found_and_named_by_ids_alone(damage: str, found: str) -> None:
    """Each kind in a sentence of its own; none says what is in a letter."""
    plant(*damage.split("; "))
    said = problems()
    assert [sentence for sentence in said if re.search(found, sentence)], said
    assert not [sentence for sentence in said if "@" in sentence or "Offer" in sentence]


@pytest.mark.usefixtures("full")
def test_what_is_in_other_tables_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where contacts are somebody else's, the feed tells of them, and they are not here; of companies all is said."""
    plant("DELETE FROM contact", "DELETE FROM contact_address", "DELETE FROM company", "DELETE FROM company_domain")
    said = ["records that the change feed tells of and that are not here: company "]
    assert all(re.search(one, " ".join(problems())) for one in [*said, "contact 42"])
    monkeypatch.setattr(store, "contacts", ModuleType("people"))
    assert [re.sub(r"\w+\.$", "", sentence) for sentence in problems()] == [f"There are {said[0]}"]


@pytest.mark.usefixtures("full")
def test_many_of_a_kind_are_one_sentence() -> None:
    """With the first ids, and how many more there are."""
    for _ in range(15):
        crm.log_email({})
    plant("UPDATE email SET snippet = 'x' WHERE id > 4")
    assert [re.sub(r".*: ", "", sentence) for sentence in problems()] == [
        "5, 6, 7, 8, 9, 10, 11, 12, 13, 14 and 4 more."
    ]


@pytest.mark.usefixtures("full")
def test_damaged_pages_are_found(url: str) -> None:
    """No row of such a file can be believed, so nothing else is said of it."""
    database.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    [(page,)] = database.rows("SELECT rootpage FROM sqlite_schema WHERE name = 'email_at_id_withheld_has_attachments'")
    [(size,)] = database.rows("PRAGMA page_size")
    database.stop()
    with open(url.removeprefix("sqlite:///"), "r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    said = problems()
    assert said
    assert all(sentence.startswith("The file is damaged: ") for sentence in said), said


@pytest.mark.usefixtures("full")
def test_the_check_stops_no_writer_and_leaves_nothing_behind() -> None:
    """It looks at one snapshot, while others write, and at the search index without the lock of writers."""
    before = database.rows("SELECT * FROM temp.sqlite_schema")
    with database.writing(), ThreadPoolExecutor() as other:
        assert other.submit(problems).result(WITHIN) == []
    assert database.rows("SELECT * FROM temp.sqlite_schema") == before == []
    assert problems() == []


@pytest.mark.usefixtures("app")
def test_the_search_index_agrees_whatever_waits_for_it() -> None:
    """Mails are logged, changed and removed before they are indexed, when they are, and with others at once."""
    random = Random(7)
    here: dict[str, str] = {}
    for step in range(400):
        word = f"word{step}"
        match random.choices(["log", "change", "delete", "search"], [5, 4, 2, 1])[0]:
            case "log":
                text = {"textBody": "word " * 20_001} if random.random() < 0.05 else {}
                here[crm.log_email(NO_MAIL | {"subject": word} | text)[0]["id"]] = word
            case "change" if here:
                text = {"textBody": "word " * 20_001 if random.random() < 0.1 else ""}
                crm.change_email(one := random.choice(list(here)), {"subject": word} | text)
                here[one] = word
            case "delete" if here:
                crm.delete_email(one := random.choice(list(here)))
                del here[one]
            case "search":
                for one in random.sample(list(here), min(3, len(here))):
                    assert [record["id"] for record in crm.find_emails({"q": here[one]}).records] == [one]
        if step % 20 == 0:
            assert problems() == []
    found = [crm.find_emails({"q": f"word{step}"}).records for step in range(400)]
    assert {record["id"]: record["subject"] for records in found for record in records} == here
    assert problems() == []


@pytest.mark.usefixtures("app")
def test_a_large_mail_is_indexed_at_once() -> None:
    """With what waited: many of them would keep a search, and all writers meanwhile, waiting for long."""

    def indexed() -> list[int]:
        return [row[0] for row in database.rows("SELECT id FROM email_words_docsize ORDER BY id")]

    large = {"textBody": "word " * 20_001}
    crm.log_email(NO_MAIL | {"subject": "small"})
    assert indexed() == []
    crm.log_email(NO_MAIL | large)
    assert indexed() == [1, 2]
    crm.log_email(NO_MAIL | {"subject": "small"})
    crm.log_email(NO_MAIL | {"subject": "grows"})
    crm.change_email("4", large)
    assert indexed() == [1, 2, 3, 4]
    crm.change_email("4", large | {"subject": "grown"})
    assert [record["id"] for record in crm.find_emails({"q": "grown"}).records] == ["4"]
    assert problems() == []
