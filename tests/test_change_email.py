"""PATCH, PUT and DELETE /emails/{id}: linked to a contact, corrected, removed."""

import json
from typing import Any

import pytest

from tests.samples import EMAILS, MAIL, NO_MAIL, assert_error, content, log

OTHER: dict[str, Any] = {
    "msgId": "another copy",
    "syncThreadId": "another thread",
    "inReplyTo": "<second@acme.example>",
    "receivedAt": "2020-02-02T02:02:02.200000Z",
    "rfc822MsgId": "<other@acme.example>",
    "subject": "Re: Offer",
    "fromAddress": "Amy <amy@acme.example>",
    "fromName": "Amy",
    "toAddresses": ["x@acme.example", "x@acme.example"],
    "ccAddresses": ["", "y@acme.example"],
    "bccAddresses": ["undisclosed-recipients:;"],
    "textBody": "Other text",
    "htmlBody": "<b>Other text</b>",
    "attachments": [{"content": "AAAA", "new": {"key": [1.0]}}],
    "relatedTo": {"type": "Deal", "id": 9},
}


def path(record: dict[str, Any]) -> str:
    """The path of a mail's record."""
    return f"{EMAILS}/{record['id']}"


def found(client: Any, **filters: Any) -> list[str]:
    """The ids of the emails that pass the filters."""
    answer = client.get(EMAILS, query_string=filters)
    assert answer.status_code == 200, answer.text
    return [record["id"] for record in answer.json]


def actions(client: Any) -> list[str]:
    """What the change feed shows."""
    return [change["action"] for change in client.get("/api/v1/changes").json]


# ---- PATCH ----------------------------------------------------------------------------------------------------------


def test_a_mail_is_linked_to_a_new_contact(sync: Any, client: Any) -> None:
    """What BrightSync does after it has created a contact; the contact's timeline shows the mail."""
    record = log(sync, subject="a")
    contact = sync.post("/api/v1/contacts", json={"firstName": "Jane"}).json
    link = [{"type": "Contact", "id": contact["id"]}]
    answer = sync.patch(path(record), json={"relatedTo": link})
    assert answer.status_code == 200
    assert content(answer.json) == content(record) | {"relatedTo": link}
    [entry] = client.get(f"/api/v1/contacts/{contact['id']}/emails").json
    assert (entry["id"], entry["roles"]) == (record["id"], ["relatedTo"])


@pytest.mark.parametrize("name", MAIL)
def test_only_the_named_field_changes(client: Any, name: str) -> None:
    """Every field can be changed alone; a list is replaced whole; the answer is what GET returns from then on."""
    record = log(client, **MAIL)
    answer = client.patch(path(record), json={name: OTHER[name]})
    assert answer.status_code == 200
    assert content(answer.json) == MAIL | {name: OTHER[name]}
    assert answer.json["id"] == record["id"]
    assert answer.json["createdAt"] == record["createdAt"] < answer.json["updatedAt"]
    assert client.get(path(record)).json == answer.json


@pytest.mark.parametrize("name", MAIL)
def test_null_empties_a_field(client: Any, name: str) -> None:
    """null, and for lists also [], takes away what was there."""
    nothings: list[Any] = [None, []] if isinstance(MAIL[name], list) else [None]
    for nothing in nothings:
        record = log(client, **MAIL)
        assert content(client.patch(path(record), json={name: nothing}).json) == MAIL | {name: NO_MAIL[name]}
        client.delete(path(record) + "?remember=false")


@pytest.mark.parametrize(
    "body", [{}, {"subject": MAIL["subject"]}, MAIL, {"unknown": 1}, {"id": "9", "createdAt": 5, "updatedAt": "2020"}]
)
def test_nothing_new_changes_nothing(client: Any, body: dict[str, Any]) -> None:
    """The same values, unknown fields and the record's own id and times leave it alone, and the change feed too."""
    record = log(client, **MAIL)
    answer = client.patch(path(record), json=body)
    assert (answer.status_code, answer.json) == (200, record)
    assert actions(client) == ["created"]


@pytest.mark.parametrize(("before", "after"), [(1, True), (True, 1), (0, False), ("1", 1), ([], {}), (None, 0)])
def test_values_that_only_python_takes_for_equal_are_changes(client: Any, before: Any, after: Any) -> None:
    """1 and true are two values of JSON: a PATCH from one to the other is stored, not taken for nothing new."""
    record = log(client, attachments=[{"inline": before}], relatedTo={"type": "x", "n": before})
    for changes in ({"attachments": [{"inline": after}]}, {"relatedTo": {"type": "x", "n": after}}):
        answer = client.patch(path(record), json=changes)
        stored = client.get(path(record)).json
        for name, value in changes.items():
            assert json.dumps(answer.json[name]) == json.dumps(stored[name]) == json.dumps(value)


def test_links_are_kept_in_the_shape_of_the_patch(client: Any) -> None:
    """An object replaces a list and a list an object."""
    record = log(client, **MAIL)
    shapes: list[Any] = [{"type": "Contact", "id": 1}, [{"type": "Contact", "id": 1}], {}, [{}], []]
    for related in shapes:
        assert client.patch(path(record), json={"relatedTo": related}).json["relatedTo"] == related
        assert client.get(path(record)).json["relatedTo"] == related


def test_a_message_id_that_another_mail_has_is_a_conflict(client: Any) -> None:
    """409 in any spelling, and none of the other fields named with it has changed."""
    log(client, rfc822MsgId="<taken@acme.example>")
    record = log(client, **MAIL)
    for taken in ("<taken@acme.example>", "taken@acme.example", " <taken@acme.example> "):
        for change in (client.patch, client.put):
            assert_error(change(path(record), json={"subject": "new", "msgId": "new", "rfc822MsgId": taken}), 409)
    assert client.get(path(record)).json == record
    assert found(client, msgId="new") == []
    assert actions(client) == ["created", "created"]


def test_a_message_id_can_be_corrected(client: Any) -> None:
    """The mail is its new rfc822MsgId, in another spelling too; the old one is free for another mail."""
    record = log(client, **MAIL)
    for spelling in ("hello@acme.example", " <hello@acme.example>", "<new@acme.example>"):
        assert client.patch(path(record), json={"rfc822MsgId": spelling}).json["rfc822MsgId"] == spelling
    assert found(client, rfc822MsgId="new@acme.example") == [record["id"]]
    assert found(client, rfc822MsgId="hello@acme.example") == []
    assert log(client, rfc822MsgId="<new@acme.example>")["id"] == record["id"]
    assert log(client, rfc822MsgId="<hello@acme.example>")["id"] != record["id"]


def test_mails_without_message_id_never_conflict(client: Any) -> None:
    """Any number of mails may lack an rfc822MsgId, or have one that says nothing."""
    records = [log(client, **MAIL | {"rfc822MsgId": f"m{n}"}) for n in range(4)]
    for record, nothing in zip(records, [None, None, "", " <> "], strict=True):
        answer = client.patch(path(record), json={"rfc822MsgId": nothing})
        assert (answer.status_code, answer.json["rfc822MsgId"]) == (200, nothing)


def test_the_msg_id_of_each_copy_finds_the_mail_whatever_a_change_does(client: Any) -> None:
    """The record's own msgId may be corrected, to that of a copy and back as well: all of them find it."""
    record = log(client, **MAIL)
    log(client, **MAIL | {"msgId": "copy"})
    for change in (client.patch, client.put):
        for msg_id in ("corrected", "copy", MAIL["msgId"], None, "<corrected>"):
            assert change(path(record), json={**MAIL, "msgId": msg_id}).json["msgId"] == msg_id
            for one in (MAIL["msgId"], "copy", "corrected"):
                assert found(client, msgId=one) == [record["id"]]
    assert [copy["msgId"] for copy in client.get(path(record) + "/copies").json] == [MAIL["msgId"], "copy"]


def test_every_look_up_follows_a_change(client: Any) -> None:
    """Address, thread, time, link and words: the new ones find the mail, the old ones do not."""
    record = log(client, **MAIL)
    before = {
        "address": "john@brightsync.example",
        "syncThreadId": MAIL["syncThreadId"],
        "contactId": "42",
        "q": "4711",
    }
    before |= {"receivedAfter": "2026-01-01T00:00:00Z"}
    changes: dict[str, Any] = {
        "toAddresses": ["new@acme.example"],
        "syncThreadId": "new",
        "receivedAt": "2025-01-01T00:00:00Z",
    }
    changes |= {"relatedTo": {"type": "contact", "id": "43"}, "subject": "Contract 0815"}
    after = {"address": "new@acme.example", "syncThreadId": "new", "contactId": "43", "q": "0815"}
    after |= {"receivedBefore": "2026-01-01T00:00:00Z"}
    for name, value in before.items():
        assert found(client, **{name: value}) == [record["id"]], name
        assert found(client, **{name: after.get(name, value)}) == ([] if name in after else [record["id"]]), name
    assert client.patch(path(record), json=changes).status_code == 200
    for name, value in before.items():
        assert found(client, **{name: value}) == [], name
    for name, value in after.items():
        assert found(client, **{name: value}) == [record["id"]], name


@pytest.mark.parametrize(
    "body", [{"subject": 5}, {"receivedAt": "yesterday"}, {"toAddresses": [{}, 1]}, {"relatedTo": 1}]
)
def test_a_wrong_value_changes_nothing(client: Any, body: dict[str, Any]) -> None:
    """422 names the field; the right fields beside it are not stored either."""
    record = log(client, **MAIL)
    for change in (client.patch, client.put):
        error = assert_error(change(path(record), json={"fromName": "new", **body}), 422)
        assert error["errors"]["json"].keys() == body.keys()
    assert client.get(path(record)).json == record


# ---- PUT ------------------------------------------------------------------------------------------------------------


def test_put_replaces_every_field(sync: Any) -> None:
    """Those that are named get the new value, those that are not become empty, but for the ids: a mail that forgot its
    Message-ID would be logged a second time."""
    record = log(sync, **MAIL)
    answer = sync.put(path(record), json=OTHER)
    assert (answer.status_code, content(answer.json)) == (200, OTHER)
    ids = {name: OTHER[name] for name in ("msgId", "rfc822MsgId")}
    assert content(sync.put(path(record), json={"subject": "alone"}).json) == NO_MAIL | ids | {"subject": "alone"}
    assert content(sync.put(path(record), json={}).json) == NO_MAIL | ids
    answer = sync.put(path(record), json=dict.fromkeys(ids))
    assert content(answer.json) == NO_MAIL
    assert answer.json["createdAt"] == record["createdAt"] < answer.json["updatedAt"]
    assert sync.get(path(record)).json == answer.json


def test_putting_a_record_back_changes_nothing(client: Any) -> None:
    """A record may be sent as it was returned: its own id and times are ignored."""
    record = log(client, **MAIL)
    assert client.put(path(record), json=record).json == record
    assert actions(client) == ["created"]


def test_an_unknown_id_is_not_found(client: Any) -> None:
    """PATCH, PUT and DELETE make no record under an id that the connector did not give."""
    log(client, **MAIL)
    for record_id in ("999", "007", "٣", "1" + "0" * 30, "abc", "\ufffd"):
        for change in (client.patch, client.put):
            assert_error(change(f"{EMAILS}/{record_id}", json=OTHER), 404)
        assert_error(client.delete(f"{EMAILS}/{record_id}"), 404)
    assert len(found(client)) == 1
    assert actions(client) == ["created"]


# ---- DELETE ---------------------------------------------------------------------------------------------------------


def test_a_mail_logged_by_mistake_can_be_removed(client: Any) -> None:
    """204 and no body; from then on no look-up, search or timeline finds it."""
    client.put("/api/v1/contacts/42", json={"emailAddresses": ["jane@acme.example"]})
    record, other = log(client, **MAIL), log(client, **OTHER)
    log(client, **MAIL | {"msgId": "copy"})
    answer = client.delete(path(record))
    assert (answer.status_code, answer.data) == (204, b"")
    for method in (client.get, client.delete):
        assert_error(method(path(record)), 404)
    look_ups = {
        "rfc822MsgId": MAIL["rfc822MsgId"],
        "syncThreadId": MAIL["syncThreadId"],
        "address": "jane@acme.example",
    }
    look_ups |= {"q": "4711", "contactId": "42", "receivedAfter": "2026-01-01T00:00:00Z"}
    for name, value in [*look_ups.items(), ("msgId", MAIL["msgId"]), ("msgId", "copy")]:
        assert found(client, **{name: value}) == [], name
    assert client.get("/api/v1/contacts/42/emails").json == []
    assert found(client) == [other["id"]]
    feed = [
        (change["id"], change["action"]) for change in client.get("/api/v1/changes").json if change["type"] == "email"
    ]
    assert feed == [(record["id"], "created"), (other["id"], "created"), (record["id"], "deleted")]


def test_brightsyncs_token_removes_nothing(sync: Any) -> None:
    """Removing takes the CRM's own scope; linking does not."""
    record = log(sync, **MAIL)
    assert_error(sync.delete(path(record)), 403)
    assert sync.get(path(record)).json == record


def test_a_token_is_needed(anonymous: Any, client: Any) -> None:
    """Without one nothing is changed."""
    record = log(client, **MAIL)
    for method in (anonymous.patch, anonymous.put, anonymous.delete):
        assert_error(method(path(record), json={"subject": "new"}), 401)
    assert client.get(path(record)).json == record
