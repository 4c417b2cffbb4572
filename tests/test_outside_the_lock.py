"""While the write lock is held, nothing of an email is parsed or normalized."""

from collections.abc import Callable
from typing import Any

import pytest

import database
from storage import emails
from tests.samples import EMAILS

SENT = {"rfc822MsgId": "<a@b.example>", "htmlBody": "<p>found</p>", "toAddresses": ["a@b.example"]}
READERS = ["text_of", "fold_address", "fold_message_id", "has_files", "snippet", "indexed", "merged", "entries"]


@pytest.fixture
def unlocked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each function that reads what was sent fails in a transaction."""

    def outside(function: Callable[..., Any]) -> Callable[..., Any]:
        def checked(*args: Any, **kwargs: Any) -> Any:
            assert not database.db.in_transaction()
            return function(*args, **kwargs)

        return checked

    for name in READERS:
        monkeypatch.setattr(emails, name, outside(getattr(emails, name)))


def test_an_email_is_prepared_before_the_lock(sync: Any, client: Any, unlocked: None) -> None:
    """New, as a copy, changed, and replaced."""
    record = sync.post(EMAILS, json=SENT).json
    assert sync.post(EMAILS, json=SENT | {"ccAddresses": ["c@d.example"], "msgId": "2"}).status_code == 200
    path = f"{EMAILS}/{record['id']}"
    assert client.patch(path, json={"htmlBody": "<p>other", "msgId": "3"}).status_code == 200
    assert client.put(path, json=SENT).status_code == 200


def test_what_has_not_changed_is_not_read_again(sync: Any, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """HTML that stays is not parsed, texts that stay are not indexed anew; both are found as before."""
    record = sync.post(EMAILS, json=SENT).json

    def fail(*args: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr(emails, "text_of", fail)
    with monkeypatch.context() as patch:
        patch.setattr(emails, "indexed", fail)
        path = f"{EMAILS}/{record['id']}"
        assert client.patch(path, json={"relatedTo": {"type": "Deal", "id": 1}}).status_code == 200
    assert client.patch(path, json={"subject": "new"}).status_code == 200
    for word in ("found", "new", "b.example"):
        assert [one["id"] for one in client.get(EMAILS, query_string={"q": word}).json] == [record["id"]]


def test_a_change_that_came_in_between_is_not_lost(sync: Any, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was prepared for an older version is prepared once more."""
    record = sync.post(EMAILS, json=SENT).json
    path, prepare, first = f"{EMAILS}/{record['id']}", emails._prepare_change, [True]

    def late(*args: Any) -> Any:
        change = prepare(*args)
        if first.pop() if first else False:
            assert client.patch(path, json={"subject": "first"}).status_code == 200
        return change

    monkeypatch.setattr(emails, "_prepare_change", late)
    changed = client.patch(path, json={"fromName": "second"}).json
    assert (changed["subject"], changed["fromName"]) == ("first", "second")
