"""GET /changes: what was created, changed and deleted, in one order that a reader follows by its last seq."""

from datetime import UTC, datetime
from typing import Any

import pytest

import store
from tests.samples import EMAILS, MAIL, assert_error, log

CHANGES = "/api/v1/changes"
CONTACTS = "/api/v1/contacts"
COMPANIES = "/api/v1/companies"


def feed(client: Any, after: int = 0) -> list[tuple[str, str, str]]:
    """What happened after a seq: type, id, action."""
    answer = client.get(CHANGES, query_string={"after": after, "limit": 1000})
    assert answer.status_code == 200, answer.text
    return [(change["type"], change["id"], change["action"]) for change in answer.json]


def test_nothing_happened_yet(client: Any) -> None:
    """An empty array on an empty database: users and tokens are not the CRM's records."""
    assert client.get(CHANGES).json == []


def test_a_change_says_what_when_and_in_which_place(client: Any) -> None:
    """seq, at, type, id and action, and nothing of what the record holds."""
    before = datetime.now(UTC)
    record = log(client, **MAIL)
    [change] = client.get(CHANGES).json
    assert change.keys() == {"seq", "at", "type", "id", "action"}
    assert isinstance(change["seq"], int)
    assert (change["type"], change["id"], change["action"]) == ("email", record["id"], "created")
    assert before <= datetime.fromisoformat(change["at"]) <= datetime.now(UTC)


def test_a_mails_life_is_told_in_order(client: Any) -> None:
    """Logged, added to by a copy, changed, replaced, removed; what changes nothing is no change."""
    mail = log(client, rfc822MsgId="m")["id"]
    log(client, rfc822MsgId="m")
    log(client, rfc822MsgId="m", msgId="a", subject="new")
    log(client, rfc822MsgId="m", msgId="b")
    client.patch(f"{EMAILS}/{mail}", json={"subject": "newer"})
    client.patch(f"{EMAILS}/{mail}", json={"subject": "newer"})
    client.put(f"{EMAILS}/{mail}", json={"subject": "newest"})
    client.delete(f"{EMAILS}/{mail}")
    assert feed(client) == [
        ("email", mail, action) for action in ("created", "changed", "changed", "changed", "deleted")
    ]


@pytest.mark.parametrize(("kind", "path"), [("contact", CONTACTS), ("company", COMPANIES)])
def test_a_contacts_and_a_companys_life_is_told_in_order(client: Any, kind: str, path: str) -> None:
    """The same for both: a record put back as it was is no change, one that is removed and put again is a new one."""
    name, key = {"contact": ("firstName", "emailAddresses"), "company": ("name", "domains")}[kind]
    client.put(f"{path}/7", json={name: "A", key: ["a@a.example"]})
    client.put(f"{path}/7", json={name: "A", key: ["a@a.example"]})
    client.post(path, json={name: "B", key: ["a@a.example"]})
    client.post(path, json={key: ["a@a.example", "b@b.example"]})
    client.patch(f"{path}/7", json={name: "C"})
    client.put(f"{path}/7", json={})
    client.delete(f"{path}/7")
    client.put(f"{path}/7", json={})
    created = client.post(path, json={name: "D"}).json["id"]
    actions = ["created", "changed", "changed", "changed", "deleted", "created"]
    assert feed(client) == [*((kind, "7", action) for action in actions), (kind, created, "created")]


def test_contacts_that_lose_their_company_have_changed(client: Any) -> None:
    """Removing a company changes the contacts that name it, and the feed says so of each."""
    client.put(f"{COMPANIES}/7", json={})
    for contact_id in ("1", "2", "3"):
        client.put(f"{CONTACTS}/{contact_id}", json={"companyId": "7" if contact_id != "2" else None})
    last = client.get(CHANGES).json[-1]["seq"]
    client.delete(f"{COMPANIES}/7")
    told = feed(client, last)
    assert sorted(told) == [("company", "7", "deleted"), ("contact", "1", "changed"), ("contact", "3", "changed")]
    assert [client.get(f"{CONTACTS}/{n}").json["companyId"] for n in "123"] == [None] * 3


def test_what_was_refused_is_no_change(client: Any) -> None:
    """404, 409 and 422 leave no trace, and no hole that a reader would have to think about."""
    one, _ = log(client, rfc822MsgId="1"), log(client, rfc822MsgId="2")
    assert client.patch(f"{EMAILS}/{one['id']}", json={"rfc822MsgId": "2"}).status_code == 409
    assert client.patch(f"{EMAILS}/999", json={"subject": "x"}).status_code == 404
    assert client.delete(f"{CONTACTS}/999").status_code == 404
    assert client.put(f"{CONTACTS}/1", json={"companyId": "none"}).status_code == 422
    assert client.post(EMAILS, json={"subject": 1}).status_code == 422
    assert len(feed(client)) == 2


def test_a_reader_goes_on_behind_its_last_seq(client: Any) -> None:
    """Numbers rise; after the last one comes what is new, and nothing else."""
    ids = [log(client)["id"] for _ in range(5)]
    changes = client.get(CHANGES).json
    numbers = [change["seq"] for change in changes]
    assert numbers == sorted(set(numbers))
    for n, number in enumerate(numbers):
        assert client.get(CHANGES, query_string={"after": number}).json == changes[n + 1 :]
        assert client.get(CHANGES, query_string={"after": number - 1, "limit": 1}).json == [changes[n]]
    assert [change["id"] for change in changes] == ids
    client.delete(f"{EMAILS}/{ids[-1]}")
    assert feed(client, numbers[-1]) == [("email", ids[-1], "deleted")]


def test_a_number_is_never_given_again(client: Any) -> None:
    """A reader that saw the last change sees the next one, whatever was removed in between."""
    last = 0
    for _ in range(3):
        record = log(client, msgId="same")
        client.delete(f"{EMAILS}/{record['id']}")
        numbers = [change["seq"] for change in client.get(CHANGES, query_string={"after": last}).json]
        assert len(numbers) == 2
        assert last < numbers[0] < numbers[1]
        last = numbers[-1]


def test_pages_of_changes(client: Any) -> None:
    """25 unless asked otherwise, up to 1000."""
    for _ in range(30):
        log(client)
    assert [len(client.get(f"{CHANGES}{query}").json) for query in ("", "?limit=1", "?limit=1000")] == [25, 1, 30]
    seen, last = [], 0
    while page := client.get(CHANGES, query_string={"after": last, "limit": 7}).json:
        seen += [change["seq"] for change in page]
        last = seen[-1]
    assert len(seen) == len(set(seen)) == 30


def test_a_number_beyond_the_end_is_a_conflict(client: Any) -> None:
    """The reader has it from another database, and would miss what comes before it. The last one is none, nor is 0."""
    assert feed(client, 0) == []
    log(client)
    [change] = client.get(CHANGES).json
    assert feed(client, change["seq"]) == []
    for after in (2**63 - 1, 10**6, change["seq"] + 1):
        assert_error(client.get(CHANGES, query_string={"after": after}), 409)


def test_the_last_number_stays_one_when_its_change_is_removed(client: Any) -> None:
    """As when its record's id was the address of somebody who is erased: the reader that has read it just goes on."""
    log(client)
    last = client.get(CHANGES).json[-1]["seq"]
    store.changes.delete(last)
    assert feed(client, last) == []


WRONG = [
    ("after", value) for value in ("-1", "x", "", "1.5", str(2**63), "1" + "0" * 30, "9" * 5000, "%00", "NaN", "1e3")
]
WRONG += [("limit", value) for value in ("0", "-1", "1001", "x", "", "1" + "0" * 30)]


def test_a_wrong_place_is_refused(client: Any) -> None:
    """422 names the parameter."""
    for name, value in WRONG:
        error = assert_error(client.get(f"{CHANGES}?{name}={value}"), 422)
        assert error["errors"]["query"].keys() == {name}


def test_the_feed_is_the_crms_own(sync: Any, anonymous: Any) -> None:
    """BrightSync's token does not read it; without a token nobody does."""
    assert_error(sync.get(CHANGES), 403)
    assert_error(anonymous.get(CHANGES), 401)
