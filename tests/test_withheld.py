"""What was deleted stays away: DELETE /emails/{id} and the records that another copy makes then."""

import json
from typing import Any

import pytest
from flask import Flask

import crm
import database
import models
from crm.identity import hash_with
from tests.samples import EMAILS, MAIL, NO_MAIL, assert_error, content, log

KEPT = ("msgId", "rfc822MsgId", "receivedAt")


def found(client: Any, **filters: Any) -> list[str]:
    """The ids of the emails that pass the filters."""
    return [record["id"] for record in client.get(EMAILS, query_string=filters).json]


def delete(client: Any, record: dict[str, Any], query: str = "") -> None:
    """Remove an email."""
    assert client.delete(f"{EMAILS}/{record['id']}{query}").status_code == 204


def bare(email: dict[str, Any]) -> dict[str, Any]:
    """What a record of a mail that is withheld shows."""
    return NO_MAIL | {name: email[name] for name in KEPT if name in email}


@pytest.fixture
def gone(client: Any) -> dict[str, Any]:
    """A mail of two mailboxes that was logged by mistake and removed."""
    record = log(client, **MAIL)
    log(client, **MAIL | {"msgId": "copy"})
    delete(client, record)
    return record


def test_a_copy_of_what_was_removed_has_ids_and_time_and_nothing_else(sync: Any, client: Any, gone: Any) -> None:
    """201 with an id of its own, then 200: BrightSync is content, and nobody's words are kept."""
    answer = sync.post(EMAILS, json=MAIL | {"msgId": "third"})
    assert answer.status_code == 201
    record = answer.json
    assert content(record) == bare(MAIL | {"msgId": "third"})
    assert record["id"] != gone["id"]
    assert sync.get(answer.headers["Location"]).json == record
    for msg_id in ("copy", "third", MAIL["msgId"], "fourth"):
        answer = sync.post(EMAILS, json=MAIL | {"msgId": msg_id})
        assert (answer.status_code, answer.json) == (200, record)
        assert found(sync, msgId=msg_id) == [record["id"]]
    kept = client.get(f"{EMAILS}/{record['id']}/copies").json
    assert {copy["msgId"]: copy["differs"] for copy in kept} == dict.fromkeys(
        ["third", "copy", MAIL["msgId"], "fourth"]
    )


def test_what_is_removed_again_stays_away_by_each_id_that_it_ever_had(client: Any, gone: Any) -> None:
    """Also where the record that went last knew but one of them."""
    again = log(client, **MAIL | {"rfc822MsgId": None, "msgId": "copy"})
    assert content(again) == bare(MAIL | {"rfc822MsgId": None, "msgId": "copy"})
    delete(client, again)
    for ids in ({"msgId": "third"}, {"rfc822MsgId": None}, {"rfc822MsgId": None, "msgId": "copy"}):
        record = log(client, **MAIL | ids)
        assert content(record) == bare(MAIL | ids)
        delete(client, record)
    [one] = crm.list_withheld()
    assert crm.forget_withheld(one["id"]) == [one["id"]]
    assert content(log(client, **MAIL)) == content(gone)


@pytest.mark.parametrize("msg_id", [MAIL["msgId"], "copy"])
def test_each_mailbox_s_own_msg_id_says_that_it_was_removed(client: Any, gone: Any, msg_id: str) -> None:
    """A copy without Message-ID is known by it."""
    assert content(log(client, **MAIL | {"rfc822MsgId": None, "msgId": msg_id})) == bare(
        MAIL | {"rfc822MsgId": None, "msgId": msg_id}
    )


def test_another_mail_of_the_same_msg_id_is_not_withheld(client: Any, gone: Any) -> None:
    """One that contradicts what was removed, or has a Message-ID of its own, is logged whole."""
    for other in ({"subject": "Lunch?", "rfc822MsgId": None}, {"rfc822MsgId": "<other@acme.example>"}):
        assert content(log(client, **MAIL | other)) == MAIL | other
    withheld = log(client, **MAIL)
    other = MAIL | {"rfc822MsgId": None, "subject": "Dinner?", "msgId": "copy"}
    assert log(client, **other)["id"] != withheld["id"]


def test_another_mail_is_told_from_what_was_removed_also_by_what_a_copy_lacks(client: Any, gone: Any) -> None:
    """The copy that made the record had but its msgId; what has that msgId and another subject is logged whole."""
    record = log(client, msgId="copy")
    assert log(client, msgId="copy", subject="Lunch?")["subject"] == "Lunch?"
    assert log(client, msgId="copy", subject=MAIL["subject"])["id"] == record["id"]


def test_a_copy_brings_the_ids_that_a_withheld_record_lacks(client: Any) -> None:
    """So a further mailbox's copy, which has the Message-ID alone in common, stays away as well."""
    delete(client, log(client, msgId="g", subject="s"))
    record = log(client, msgId="g", subject="s")
    whole = log(client, **MAIL | {"msgId": "g", "subject": "s"})
    assert (whole["id"], content(whole)) == (record["id"], bare(MAIL | {"msgId": "g"}))
    assert log(client, **MAIL | {"msgId": "other"}) == whole


def test_what_is_withheld_is_found_by_its_ids_alone(client: Any, gone: Any) -> None:
    """Not in lists, searches and timelines; so nobody who reads meets an empty mail."""
    client.put("/api/v1/contacts/42", json={"emailAddresses": ["jane@acme.example"]})
    record, other = log(client, **MAIL), log(client, msgId="other", receivedAt=MAIL["receivedAt"])
    assert found(client, rfc822MsgId=MAIL["rfc822MsgId"]) == found(client, msgId=MAIL["msgId"]) == [record["id"]]
    assert found(client, msgId=MAIL["msgId"], receivedAfter="2026-01-01T00:00:00Z") == [record["id"]]
    assert found(client) == found(client, receivedAfter="2026-01-01T00:00:00Z") == [other["id"]]
    for name, value in {"syncThreadId": MAIL["syncThreadId"], "address": "jane@acme.example"}.items():
        assert found(client, **{name: value}) == []
    assert found(client, contactId="42") == found(client, q="offer") == found(client, q="hello") == []
    assert client.get("/api/v1/contacts/42/emails").json == []
    feed = [(change["id"], change["action"]) for change in client.get("/api/v1/changes").json]
    assert (record["id"], "created") in feed


def test_a_change_brings_no_content_into_it(client: Any, gone: Any) -> None:
    """By PATCH or PUT: 200, and all but ids and time is ignored."""
    record = log(client, **MAIL)
    path = f"{EMAILS}/{record['id']}"
    for change in (client.patch, client.put):
        answer = change(path, json={**MAIL, "relatedTo": [{"type": "Contact", "id": "1"}]})
        assert (answer.status_code, answer.json) == (200, record)
    moved = client.patch(path, json={"receivedAt": "2020-01-01T00:00:00Z", "msgId": "other"}).json
    assert content(moved) == bare(MAIL) | {"receivedAt": "2020-01-01T00:00:00.000000Z", "msgId": "other"}
    assert found(client, msgId="other") == found(client, msgId=MAIL["msgId"]) == [record["id"]]


def test_removing_what_is_withheld_keeps_it_away(client: Any, gone: Any) -> None:
    """Unless it is to be forgotten: then a copy is logged anew, with all that it has."""
    for n in range(3):
        record = log(client, **MAIL | {"msgId": f"copy {n}"})
        assert content(record) == bare(MAIL | {"msgId": f"copy {n}"})
        delete(client, record)
    record = log(client, **MAIL)
    delete(client, record, "?remember=false")
    assert content(log(client, **MAIL)) == MAIL
    assert crm.list_withheld() == []


def test_what_need_not_be_remembered_is_logged_anew(client: Any) -> None:
    """It is a new record, with nothing of the old one."""
    old = log(client, **MAIL)
    delete(client, old, "?remember=false")
    answer = client.post(EMAILS, json={"rfc822MsgId": MAIL["rfc822MsgId"], "msgId": MAIL["msgId"]})
    assert answer.status_code == 201
    assert answer.json["id"] != old["id"]
    assert answer.json["subject"] is None
    assert crm.list_withheld() == []
    assert_error(client.delete(f"{EMAILS}/{answer.json['id']}?remember=perhaps"), 422)


def test_a_mail_without_ids_leaves_nothing(client: Any) -> None:
    """It could never be known again."""
    delete(client, log(client, subject="a"))
    assert crm.list_withheld() == []
    assert content(log(client, subject="a"))["subject"] == "a"


def test_what_was_removed_can_be_let_in_again(client: Any, gone: Any) -> None:
    """By the id that it had, or by its Message-ID; the list tells ids, reasons and times, and nothing of the mail."""
    other = log(client, msgId="other")
    delete(client, other)
    [one, two] = crm.list_withheld()
    assert (one["id"], one["reason"], two["id"], two["reason"]) == (gone["id"], "deleted", other["id"], "deleted")
    assert crm.list_withheld(after=one["seq"]) == [two]
    assert crm.list_withheld(limit=1) == [one]
    assert crm.forget_withheld(message_id=" hello@acme.example ") == [gone["id"]]
    assert crm.forget_withheld(message_id="hello@acme.example") == crm.forget_withheld(gone["id"]) == []
    assert content(log(client, **MAIL)) == MAIL
    assert crm.forget_withheld(other["id"]) == [other["id"]]
    assert content(log(client, msgId="other", subject="s"))["subject"] == "s"


def test_a_person_who_was_erased_does_not_come_back(app: Flask, client: Any) -> None:
    """With the next mailbox's copy, or when the mail is sent again."""
    log(client, **MAIL)
    crm.erase_person("jane@acme.example")
    assert [one["reason"] for one in crm.list_withheld()] == ["erased"]
    record = log(client, **MAIL | {"msgId": "copy"})
    assert content(record) == bare(MAIL | {"msgId": "copy"})
    assert "jane" not in json.dumps([record, client.get(f"{EMAILS}/{record['id']}/copies").json])
    assert list(crm.export_person("jane@acme.example")) == []


def test_in_a_batch_what_was_removed_stays_away(client: Any, gone: Any) -> None:
    """As `mail import` logs them; copies of one another among them."""
    emails = [
        NO_MAIL | MAIL,
        NO_MAIL | {"msgId": "new"},
        NO_MAIL | MAIL | {"msgId": "copy"},
        NO_MAIL | {"msgId": "new"},
    ]
    [(one, new_one), (two, new_two), (three, new_three), (four, new_four)] = crm.log_emails(emails)
    assert (new_one, new_two, new_three, new_four) == (True, True, False, False)
    assert (three["id"], four["id"]) == (one["id"], two["id"])
    assert one["subject"] is None


def test_what_was_removed_is_listed_and_let_in_by_command(app: Flask, client: Any, gone: Any) -> None:
    """`flask withheld list` and `forget`: by id, by Message-ID, and a sentence for what is not there."""
    run = app.test_cli_runner().invoke
    delete(client, log(client, msgId="other"))
    [one, two] = crm.list_withheld()
    shown = run(args=["withheld", "list"]).output
    assert [line.split() for line in shown.splitlines()[1:]] == [[x["at"], "deleted", x["id"]] for x in (one, two)]
    assert run(args=["withheld", "forget"]).exit_code == 2
    assert run(args=["withheld", "forget", "--message-id", "unknown"]).exit_code == 1
    assert run(args=["withheld", "forget", "--message-id", MAIL["rfc822MsgId"]]).output == f"Forgotten: {gone['id']}\n"
    assert run(args=["withheld", "forget", two["id"]]).exit_code == 0
    assert crm.list_withheld() == []


def test_a_person_whom_only_a_copy_mentions_is_disclosed_and_erased(app: Flask, client: Any) -> None:
    """What a copy says otherwise is kept, and so it has to be found: as text and as HTML."""
    for n, words in enumerate([{"textBody": "Ask amy@acme.example."}, {"htmlBody": "<p>a<b>my</b>@acme.example</p>"}]):
        record = log(client, **MAIL | {"rfc822MsgId": f"m{n}"})
        log(client, **MAIL | {"rfc822MsgId": f"m{n}", "msgId": "copy"} | words)
        [(kind, copy)] = crm.export_person("amy@acme.example")
        assert (kind, copy["id"], copy["differs"]) == ("copy", record["id"], words)
        assert crm.erase_person("amy@acme.example")["emails"] == [record["id"]]
        assert list(crm.export_person("amy@acme.example")) == []


def test_the_key_of_the_hashes_is_that_of_the_database_as_it_is_now(client: Any, storage: str) -> None:
    """A restore may put in a database with another key while the service runs: hashes are made with that one."""
    if storage == "memory":
        pytest.skip("there is no database to put in")
    deleted = {"rfc822MsgId": "<r@acme.example>", "subject": "Salary"}
    path = client.post(EMAILS, json=deleted).headers["Location"]
    client.delete(path)
    other = "ab" * 32
    with database.writing():
        models.Secret.update(key=other).execute()
        models.Withheld.update(message_key=hash_with(other)("rfc822MsgId", "s@acme.example")).execute()
    assert client.post(EMAILS, json=deleted).json["subject"] == "Salary"
    assert client.post(EMAILS, json={"rfc822MsgId": "<s@acme.example>", "subject": "Lunch"}).json["subject"] is None
