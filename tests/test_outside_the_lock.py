"""While the write lock is held nothing that was sent is parsed or normalized; and what stays is not read again."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import isfunction
from typing import Any

import pytest

import crm
import database
from crm import matching, mentions, merging, preview
from store import emails as email_rows
from store import search, words
from tests.samples import EMAILS

CONTACTS, COMPANIES = "/api/v1/contacts", "/api/v1/companies"
SENT = {"rfc822MsgId": "<a@b.example>", "htmlBody": "<p>found</p>", "toAddresses": ["a@b.example"], "msgId": "1"}

# All that reads what somebody wrote: the functions of the pure modules.
READERS = {
    function.__code__
    for module in (matching, mentions, merging, preview, words)
    for function in vars(module).values()
    if isfunction(function) and function.__module__ == module.__name__
} | {search.vector.__code__}


@contextmanager
def called(within: bool) -> Iterator[list[str]]:
    """The names of the readers that are called, by whatever name they are known there; `within`: in a transaction."""
    names: list[str] = []

    def watch(frame: Any, event: str, _: Any) -> None:
        if event == "call" and frame.f_code in READERS and (not within or database.db.in_transaction()):
            names.append(frame.f_code.co_name)

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        yield names
    finally:
        sys.setprofile(before)


@pytest.fixture
def unlocked() -> Iterator[None]:
    """No reader is called while a transaction is open."""
    with called(within=True) as names:
        yield
    assert not names


def test_it_is_seen_when_a_reader_is_called_in_a_transaction(app: Any) -> None:
    """Else the other tests would say nothing."""
    with called(within=True) as names:
        matching.normalize_address("a@b.example")
        assert not names
        with database.writing():
            matching.normalize_address("a@b.example")
    assert names[:1] == ["normalize_address"]


def test_emails(sync: Any, client: Any, unlocked: None) -> None:
    """New, as copies, changed, replaced, removed."""
    record = sync.post(EMAILS, json=SENT).json
    assert sync.post(EMAILS, json=SENT | {"msgId": "x" * 3000}).status_code == 200
    assert sync.post(EMAILS, json=SENT | {"ccAddresses": ["c@d.example"], "msgId": "2"}).status_code == 200
    assert sync.post(EMAILS, json={"msgId": "2", "textBody": "words " * 20_000}).status_code == 200
    path = f"{EMAILS}/{record['id']}"
    assert client.patch(path, json={"htmlBody": "<p>other", "msgId": "3"}).status_code == 200
    assert client.patch(path, json={"relatedTo": [{"type": "Deal", "id": 1}]}).status_code == 200
    assert client.put(path, json=SENT).status_code == 200
    assert client.delete(path).status_code == 204


def test_what_waits_for_the_search(sync: Any, client: Any, unlocked: None) -> None:
    """Many emails, and a large one that is indexed at once."""
    for n in range(20):
        sync.post(EMAILS, json=SENT | {"rfc822MsgId": f"<{n}@b.example>"})
    record = sync.post(EMAILS, json={"textBody": "words " * 20_000}).json
    assert client.patch(f"{EMAILS}/{record['id']}", json={"subject": "other"}).status_code == 200
    assert client.get(EMAILS, query_string={"q": "other"}).json[0]["id"] == record["id"]
    assert client.delete(f"{EMAILS}/{record['id']}").status_code == 204


def test_contacts_and_companies(client: Any, unlocked: None) -> None:
    """Found or created, put, changed, removed, a company with its contacts too."""
    company = client.post(COMPANIES, json={"name": "Acme", "domains": ["Acme.example"]}).json["id"]
    assert client.post(COMPANIES, json={"domains": ["acme.example", "b.example"]}).status_code == 200
    assert client.put(f"{COMPANIES}/c1", json={"domains": ["Müller.example"]}).status_code == 201
    assert client.patch(f"{COMPANIES}/c1", json={"name": "Maier", "domains": ["Maier.example"]}).status_code == 200
    sent = {"emailAddresses": ["Jane <j@Müller.example>"], "companyId": company}
    contact = client.post(CONTACTS, json=sent).json["id"]
    assert client.post(CONTACTS, json=sent | {"emailAddresses": ["j@müller.example", "k@b.example"]}).status_code == 200
    assert client.put(f"{CONTACTS}/p1", json=sent).status_code == 201
    assert client.patch(f"{CONTACTS}/p1", json={"emailAddresses": ["m@b.example"]}).status_code == 200
    assert client.delete(f"{COMPANIES}/{company}").status_code == 204
    assert client.get(f"{CONTACTS}/p1").json["companyId"] is None
    assert client.delete(f"{CONTACTS}/{contact}").status_code == 204


def test_users(app: Any, unlocked: None) -> None:
    """Added by the command, changed and removed."""
    user = crm.add_user({"email": "Müller <a@Müller.example>", "orgId": "o", "name": None, "timezone": "UTC"})
    crm.change_user(user["id"], {"email": "Maier <b@Müller.example>"})
    crm.remove_user(user["id"])


def test_emails_of_an_import(app: Any, unlocked: None) -> None:
    """New ones and copies in one batch."""
    logged = crm.log_emails([SENT, SENT | {"rfc822MsgId": "<b@b.example>"}, SENT | {"msgId": "2"}])
    assert [new for _, new in logged] == [True, True, False]


def test_html_that_stays_is_not_read_again(sync: Any, client: Any) -> None:
    """Nor are texts that stay split anew. Both are found as before."""
    record = sync.post(EMAILS, json=SENT).json
    path = f"{EMAILS}/{record['id']}"
    with called(within=False) as names:
        assert client.patch(path, json={"relatedTo": {"type": "Deal", "id": 1}}).status_code == 200
        assert sync.post(EMAILS, json=SENT | {"msgId": "2"}).status_code == 200
    assert not {"text_of", "split", "split_texts"} & set(names)
    with called(within=False) as names:
        assert client.patch(path, json={"subject": "new"}).status_code == 200
    assert {"for_fts5", "split_texts"} & set(names)
    assert "text_of" not in names
    for word in ("found", "new", "b.example"):
        assert [one["id"] for one in client.get(EMAILS, query_string={"q": word}).json] == [record["id"]]


def test_a_change_that_came_in_between_is_not_lost(sync: Any, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was prepared for an older version is prepared once more."""
    record = sync.post(EMAILS, json=SENT).json
    path, prepare, first = f"{EMAILS}/{record['id']}", email_rows.prepare, [True]

    def late(*args: Any) -> None:
        prepare(*args)
        if first.pop() if first else False:
            assert client.patch(path, json={"subject": "first"}).status_code == 200

    monkeypatch.setattr("store.emails.prepare", late)
    changed = client.patch(path, json={"fromName": "second"}).json
    assert (changed["subject"], changed["fromName"]) == ("first", "second")


def test_a_change_is_later_than_what_it_changes(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """updatedAt is the version: also where the clock stands still, or was set back."""
    record = client.post(EMAILS, json=SENT).json
    monkeypatch.setattr("clock.now", lambda: "2001-01-01T00:00:00.000000Z")
    for n in range(3):
        before, record = record, client.patch(f"{EMAILS}/{record['id']}", json={"subject": str(n)}).json
        assert record["updatedAt"] > before["updatedAt"]
