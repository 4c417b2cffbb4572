"""GET /emails/{id}/copies, and what a copy adds, says otherwise, and does not bring back."""

from typing import Any

import pytest

from tests.conftest import USER
from tests.samples import EMAILS, MAIL, assert_error, content, log, pages

PEOPLE = ["toAddresses", "ccAddresses", "bccAddresses"]
ALIEN: dict[str, Any] = {
    "msgId": "alien",
    "syncThreadId": "another thread",
    "inReplyTo": "<second@acme.example>",
    "receivedAt": "2020-02-02T02:02:02.200000Z",
    "subject": "Your account",
    "fromAddress": "Jane Doe <thief@evil.example>",
    "fromName": "Thief",
    "toAddresses": ["stranger@evil.example"],
    "ccAddresses": ["dave@acme.example", "x@evil.example"],
    "bccAddresses": ["y@evil.example"],
    "textBody": "Pay here.",
    "htmlBody": "<b>Pay here.</b>",
    "attachments": [{"name": "bill.pdf", "size": 3, "content": "AAAA"}],
    "relatedTo": {"type": "Deal", "id": 9},
}


def copies(client: Any, record: dict[str, Any]) -> list[dict[str, Any]]:
    """The copies of an email, without their times."""
    answer = client.get(f"{EMAILS}/{record['id']}/copies")
    assert answer.status_code == 200, answer.text
    return [{name: value for name, value in copy.items() if name != "loggedAt"} for copy in answer.json]


def row(msg_id: str | None, **differs: Any) -> dict[str, Any]:
    """A copy as it is listed."""
    return {"msgId": msg_id, "userId": USER["id"], "differs": differs or None}


def again(client: Any, **fields: Any) -> dict[str, Any]:
    """A copy of MAIL, from another mailbox."""
    answer = client.post(EMAILS, json=MAIL | {"msgId": "copy"} | fields)
    assert answer.status_code == 200, answer.text
    record: dict[str, Any] = answer.json
    return record


# ---- the list -------------------------------------------------------------------------------------------------------


def test_each_copy_is_listed_once(client: Any) -> None:
    """The first one as well, the oldest first; a POST that is made again is no copy."""
    record = log(client, **MAIL)
    for _ in range(2):
        for msg_id in ("copy", None, " <copy 3> "):
            assert again(client, msgId=msg_id) == record
        assert log(client, **MAIL) == record
    assert copies(client, record) == [row(MAIL["msgId"]), row("copy"), row(None), row(" <copy 3> ")]
    times = [copy["loggedAt"] for copy in client.get(f"{EMAILS}/{record['id']}/copies").json]
    assert times == sorted(times)


def test_copies_come_in_pages(client: Any) -> None:
    """By the links, none twice and none left out; a large one ends its page."""
    record = log(client, **MAIL)
    for n in range(5):
        again(client, msgId=f"copy {n}")
    path = f"{EMAILS}/{record['id']}/copies"
    found = list(pages(client, f"{path}?limit=4"))
    assert [len(page) for page in found] == [4, 2]
    assert [copy["msgId"] for page in found for copy in page] == [MAIL["msgId"], *(f"copy {n}" for n in range(5))]
    assert_error(client.get(f"{path}?limit=0"), 422)
    assert_error(client.get(f"{path}?cursor=x"), 422)


def test_only_an_admin_sees_copies(sync: Any, client: Any, anonymous: Any) -> None:
    """They may say what people took away."""
    path = f"{EMAILS}/{log(sync, **MAIL)['id']}/copies"
    assert_error(sync.get(path), 403)
    assert_error(anonymous.get(path), 401)
    assert client.get(path).status_code == 200
    for unknown in ("999", "abc", "٣"):
        assert_error(client.get(f"{EMAILS}/{unknown}/copies"), 404)


# ---- what a copy says otherwise -------------------------------------------------------------------------------------

OTHERWISE = {name: ALIEN[name] for name in ALIEN if not isinstance(MAIL[name], list)}
OTHERWISE |= {"fromAddress": "J. Doe <jane@acme.example>"}


@pytest.mark.parametrize("name", sorted(OTHERWISE.keys() - {"msgId"}))
def test_what_a_copy_says_otherwise_is_kept_with_the_copy(client: Any, name: str) -> None:
    """The record stays as it was first logged, down to updatedAt and the change feed."""
    record = log(client, **MAIL)
    for _ in range(2):
        assert again(client, **{name: OTHERWISE[name]}) == record
    assert copies(client, record) == [row(MAIL["msgId"]), row("copy", **{name: OTHERWISE[name]})]
    assert len(client.get("/api/v1/changes").json) == 1


def test_of_entries_that_are_the_same_what_is_said_otherwise_is_kept(client: Any) -> None:
    """A name beside an address, further keys of a link, another id of a file, whose content is not kept twice."""
    file = {"id": "1", "name": "a.pdf", "size": 3, "content": "AAAA"}
    record = log(client, **MAIL | {"attachments": [file], "relatedTo": [{"type": "Contact", "id": "42", "n": True}]})
    other: dict[str, Any] = {
        "toAddresses": ["John Smith <JOHN@brightsync.example>", "carol@brightsync.example"],
        "relatedTo": [{"type": "contact", "id": 42, "n": 1}],
        "attachments": [{"id": "7", "name": "a.pdf", "size": 3, "content": "AAAA"}],
    }
    assert again(client, **other) == record
    [_, copy] = copies(client, record)
    assert copy["differs"] == {
        "toAddresses": other["toAddresses"][:1],
        "relatedTo": other["relatedTo"],
        "attachments": [{"id": "7", "name": "a.pdf", "size": 3}],
    }


def test_of_a_copy_with_another_sender_nothing_is_merged_and_all_is_kept(client: Any) -> None:
    """A Message-ID that was used twice, or stolen: its text is not lost, and its recipients do not join the first."""
    record = log(client, **MAIL)
    assert again(client, **ALIEN) == record
    differs = {name: value for name, value in ALIEN.items() if name != "msgId"}
    differs |= {"ccAddresses": ["x@evil.example"], "relatedTo": [ALIEN["relatedTo"]]}
    assert copies(client, record) == [row(MAIL["msgId"]), row("alien", **differs)]
    for filters in ({"address": "y@evil.example"}, {"q": "pay"}):
        assert client.get(EMAILS, query_string=filters).json == []
    assert client.get(EMAILS, query_string={"msgId": "alien"}).json == [record]
    bare = log(client, rfc822MsgId="bare", fromAddress="jane@acme.example")
    assert log(client, **ALIEN | {"rfc822MsgId": "bare"}) == bare
    assert copies(client, bare)[1]["differs"] == {name: value for name, value in ALIEN.items() if name != "msgId"} | {
        "relatedTo": [ALIEN["relatedTo"]]
    }


def test_a_sender_whom_people_corrected_is_no_stranger(client: Any) -> None:
    """Neither the one that was logged nor the one that stands there now."""
    record = log(client, **MAIL)
    client.patch(f"{EMAILS}/{record['id']}", json={"fromAddress": "new@acme.example"})
    again(client, ccAddresses=["a@acme.example"])
    record = again(client, fromAddress="new@acme.example", ccAddresses=["b@acme.example"])
    assert record["ccAddresses"] == [*MAIL["ccAddresses"], "a@acme.example", "b@acme.example"]
    assert again(client, fromAddress="thief@evil.example", ccAddresses=["c@acme.example"]) == record


# ---- files ----------------------------------------------------------------------------------------------------------

PDF = {"id": "1", "name": "a.pdf", "size": 3}


@pytest.mark.parametrize(
    ("first", "copy", "whole"),
    [
        ([], [PDF, PDF], [PDF, PDF]),
        ([PDF], [{"id": "2", "name": "b.pdf"}], [PDF, {"id": "2", "name": "b.pdf"}]),
        ([PDF], [{"id": 1, "name": "other.pdf"}], [PDF]),
        ([PDF], [{"id": "2", "name": "a.pdf", "size": 3}], [PDF]),
        ([PDF], [{"id": "2", "name": "a.pdf", "size": 4}], [PDF, {"id": "2", "name": "a.pdf", "size": 4}]),
        ([PDF], [PDF | {"content": "AAAA"}], [PDF | {"content": "AAAA"}]),
        ([PDF | {"content": ""}], [PDF | {"id": "9", "content": "AAAA"}], [PDF | {"content": "AAAA"}]),
        ([PDF | {"content": "AAAA"}], [PDF], [PDF | {"content": "AAAA"}]),
        ([PDF | {"content": "AAAA"}], [PDF | {"content": "BBBB"}], [PDF | {"content": "AAAA"}]),
        (
            [{"name": "i.png", "content": "AAAA"}],
            [{"name": "i.png", "content": "BBBB"}, {"name": "i.png", "content": "AAAA"}],
            [{"name": "i.png", "content": "AAAA"}, {"name": "i.png", "content": "BBBB"}],
        ),
        ([{"name": "i.png"}], [{"name": "i.png", "content": one} for one in "AB"], None),
        ([{"id": "1"}], [{"id": "2"}, {"id": "1"}], [{"id": "1"}, {"id": "2"}]),
        ([PDF], [{"id": "1", "name": "other.pdf", "content": "AAAA"}], [PDF]),
    ],
)
def test_a_copy_adds_the_files_it_has_alone(client: Any, first: Any, copy: Any, whole: Any) -> None:
    """Files are the same by id, or by name, size and content; one without content gets that of the copy. A content that
    the record has not is never lost."""
    log(client, rfc822MsgId="m", attachments=first)
    record = log(client, rfc822MsgId="m", attachments=copy)
    assert log(client, rfc822MsgId="m", attachments=copy) == record
    assert record["attachments"] == (whole or copy)
    kept = record["attachments"] + [
        file for one in copies(client, record) if one["differs"] for file in one["differs"]["attachments"]
    ]
    for part in ("id", "name", "content"):
        assert {str(file.get(part) or None) for file in first + copy} <= {str(file.get(part)) for file in kept} | {
            "None"
        }


def test_many_files_take_no_square_of_their_number(client: Any) -> None:
    """All of one name, in two copies."""
    files = [{"name": "i.png", "content": f"{n:04}"} for n in range(6000)]
    log(client, rfc822MsgId="m", attachments=files[:3000])
    assert len(log(client, rfc822MsgId="m", attachments=files)["attachments"]) == 6000


# ---- what people took away ------------------------------------------------------------------------------------------


def empty(client: Any, record: dict[str, Any], name: str, how: str) -> dict[str, Any]:
    """Take away what a field has."""
    nothing: Any = [] if isinstance(MAIL[name], list) else None
    path = f"{EMAILS}/{record['id']}"
    if how == "PATCH":
        return dict(client.patch(path, json={name: nothing}).json)
    return dict(client.put(path, json={**record, name: nothing}).json)


@pytest.mark.parametrize("how", ["PATCH", "PUT"])
@pytest.mark.parametrize("name", [name for name in MAIL if name not in ("rfc822MsgId", "msgId")])
def test_what_people_took_away_is_not_brought_back(client: Any, name: str, how: str) -> None:
    """By a retry or another copy; nor is it kept with the copy. What nobody has taken away is added as ever."""
    record = empty(client, log(client, **MAIL), name, how)
    assert log(client, **MAIL) == record
    assert again(client) == record
    assert all(copy["differs"] is None for copy in copies(client, record))
    if isinstance(MAIL[name], list):
        new: list[Any] = ["new@acme.example"] if name in PEOPLE else [{"type": "Deal", "id": "9", "name": "new"}]
        assert again(client, **{name: MAIL[name] + new})[name] == new
    else:
        assert again(client, **{name: OTHERWISE[name]}) == record
        assert copies(client, record)[-1]["differs"] == {name: OTHERWISE[name]}


@pytest.mark.parametrize("name", PEOPLE)
def test_a_recipient_in_another_spelling_is_not_brought_back(client: Any, name: str) -> None:
    """One that a PATCH had added as well."""
    record = log(client, **MAIL)
    path = f"{EMAILS}/{record['id']}"
    client.patch(path, json={name: ["Bob <bob@acme.example>", "amy@acme.example"]})
    client.patch(path, json={name: ["amy@acme.example"]})
    assert again(client, **{name: ["BOB@acme.example.", "zoe@acme.example"]})[name] == [
        "amy@acme.example",
        "zoe@acme.example",
    ]


def test_what_people_replaced_is_not_kept_with_a_copy(client: Any) -> None:
    """A text that was blackened stays so."""
    record = log(client, **MAIL)
    changed = client.patch(f"{EMAILS}/{record['id']}", json={"textBody": "Dear John, [removed]", "subject": "x"}).json
    assert again(client) == changed
    assert copies(client, record) == [row(MAIL["msgId"]), row("copy")]


@pytest.mark.parametrize("name", [name for name in MAIL if name not in ("rfc822MsgId", "msgId")])
def test_what_is_set_again_is_no_longer_taken_away(client: Any, name: str) -> None:
    """Emptied, set once more, and then it is as it was."""
    record = log(client, **MAIL)
    path = f"{EMAILS}/{record['id']}"
    empty(client, record, name, "PATCH")
    assert content(client.patch(path, json={name: MAIL[name]}).json) == MAIL
    if isinstance(MAIL[name], list):
        shorter = client.patch(path, json={name: MAIL[name][:-1]}).json
        assert again(client) == shorter
    else:
        assert again(client, **{name: OTHERWISE[name]})[name] == MAIL[name]
        assert copies(client, record)[-1]["differs"] == {name: OTHERWISE[name]}


def test_a_file_that_was_taken_away_is_known_under_another_id(client: Any) -> None:
    """And without its content; a file of the same name and another content is another one."""
    file = {"id": "1", "name": "a.pdf", "size": 3, "content": "AAAA"}
    record = log(client, **MAIL | {"attachments": [file]})
    client.patch(f"{EMAILS}/{record['id']}", json={"attachments": []})
    other = {"id": "3", "name": "a.pdf", "size": 3, "content": "BBBB"}
    assert again(client, attachments=[file | {"id": "2"}, {"name": "a.pdf", "size": 3}])["attachments"] == []
    assert again(client, attachments=[other])["attachments"] == [other]
