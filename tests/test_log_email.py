"""POST /emails: one record for all copies of a mail, kept to the letter."""

import json
import logging
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.samples import EMAILS, MAIL, NO_MAIL, assert_error, content, log

SCALARS = [name for name, value in MAIL.items() if not isinstance(value, list)]
LISTS = [name for name, value in MAIL.items() if isinstance(value, list)]
PEOPLE = ["toAddresses", "ccAddresses", "bccAddresses"]


def found(client: Any, **filters: Any) -> list[str]:
    """The ids of the emails that pass the filters."""
    answer = client.get(EMAILS, query_string=filters)
    assert answer.status_code == 200, answer.text
    return [record["id"] for record in answer.json]


# ---- which mail it is -----------------------------------------------------------------------------------------------


def test_a_new_mail_is_created(sync: Any) -> None:
    """BrightSync's token may log a mail: 201, the record, and a Location that leads to it."""
    answer = sync.post(EMAILS, json=MAIL)
    assert answer.status_code == 201
    assert content(answer.json) == MAIL
    assert sync.get(answer.headers["Location"]).json == answer.json


def test_the_same_mail_again_is_the_same_record(client: Any) -> None:
    """A second POST gives 200, no Location, and the record unchanged, down to updatedAt and the change feed."""
    first = log(client, **MAIL)
    answer = client.post(EMAILS, json=MAIL)
    assert (answer.status_code, answer.json) == (200, first)
    assert "Location" not in answer.headers
    assert [change["action"] for change in client.get("/api/v1/changes").json] == ["created"]


@pytest.mark.parametrize(
    "spelling", ["<m@acme.example>", "m@acme.example", " <m@acme.example>\r\n", "< m@acme.example >"]
)
def test_spellings_of_a_message_id_are_one_mail(client: Any, spelling: str) -> None:
    """White space around and one pair of angle brackets do not count, and what was sent first is returned."""
    first = log(client, rfc822MsgId="<m@acme.example>")
    assert log(client, rfc822MsgId=spelling) == first
    other = log(client, msgId=" <18c2f0> ")
    assert other["msgId"] == " <18c2f0> "
    assert log(client, msgId="18c2f0") == other


@pytest.mark.parametrize(
    "other", ["<M@acme.example>", "<m@ACME.example>", "<<m@acme.example>>", "<m@acme.example", "<m @acme.example>"]
)
def test_what_looks_alike_is_another_mail(client: Any, other: str) -> None:
    """Letter case counts, and so do a second pair of brackets, a bracket alone and white space inside."""
    assert log(client, rfc822MsgId="<m@acme.example>")["id"] != log(client, rfc822MsgId=other)["id"]
    assert log(client, msgId="<m@acme.example>")["id"] != log(client, msgId=other)["id"]


def test_long_message_ids_differ_by_their_last_letter(client: Any) -> None:
    """An id of any length is compared whole and returned whole."""
    long = "<" + "x" * 5000 + "{}@acme.example>"
    one, two = (log(client, rfc822MsgId=long.format(n), msgId=long.format(n)) for n in "12")
    assert one["id"] != two["id"]
    assert one["rfc822MsgId"] == long.format(1)
    assert found(client, rfc822MsgId=long.format(2)) == found(client, msgId=long.format(2)) == [two["id"]]


def test_a_mail_without_message_id_is_its_msg_id(client: Any) -> None:
    """Without rfc822MsgId, msgId says which mail it is."""
    first = log(client, msgId="g1", subject="a")
    assert log(client, msgId="g1")["id"] == first["id"]
    assert log(client, msgId="g2")["id"] != first["id"]
    assert log(client, msgId="G1")["id"] != first["id"]


R: dict[str, Any] = {"rfc822MsgId": "<r@acme.example>"}
G: dict[str, Any] = {"msgId": "g"}


@pytest.mark.parametrize(("first", "second"), [(G, R | G), (R | G, G)])
def test_a_mail_is_one_whichever_of_its_copies_has_the_message_id(client: Any, first: Any, second: Any) -> None:
    """The record has the Message-ID that either brought, and each further copy finds it by that."""
    record = log(client, **MAIL | {"rfc822MsgId": None} | first)
    answer = client.post(EMAILS, json=MAIL | {"rfc822MsgId": None} | second)
    assert (answer.status_code, answer.json["id"]) == (200, record["id"])
    assert answer.json["rfc822MsgId"] == R["rfc822MsgId"]
    assert log(client, **R, msgId="another mailbox")["id"] == record["id"]
    assert found(client, **R) == found(client, **G) == found(client, msgId="another mailbox") == [record["id"]]


CONTRADICTIONS: dict[str, tuple[Any, Any]] = {
    "subject": ("Salary", "Lunch?"),
    "fromAddress": ("Boss <boss@acme.example>", "joe@acme.example"),
    "receivedAt": ("2026-01-31T09:30:00.000000Z", "2026-01-31T09:30:00.000001Z"),
    "textBody": ("Dear Ann", "Dear Bob"),
    "htmlBody": ("<p>Dear Ann</p>", "<p>Dear Bob</p>"),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
@pytest.mark.parametrize(("first", "second"), [(G, G), (G, R | G), (R | G, G)])
def test_mails_that_share_a_msg_id_and_contradict_are_two(client: Any, name: str, first: Any, second: Any) -> None:
    """Two mailboxes may use one word for two mails: neither text is lost, and no recipient gets the other's mail."""
    one, other = CONTRADICTIONS[name]
    salary = log(client, **first, **{name: one}, toAddresses=["boss@acme.example"])
    lunch = log(client, **second, **{name: other}, toAddresses=["stranger@acme.example"])
    assert lunch["id"] != salary["id"]
    assert (salary[name], lunch[name]) == (one, other)
    assert client.get(f"{EMAILS}/{salary['id']}").json == salary
    assert found(client, **G) == [lunch["id"], salary["id"]] if name != "receivedAt" else True
    assert log(client, **first, **{name: one}) == salary
    assert log(client, **second, **{name: other}) == lunch


@pytest.mark.parametrize("name", CONTRADICTIONS)
@pytest.mark.parametrize("nothing", [None, "", " \r\n"])
def test_what_only_one_of_them_has_contradicts_nothing(client: Any, name: str, nothing: Any) -> None:
    """Nor does a sender who is written in another way."""
    value = CONTRADICTIONS[name][0]
    if name == "receivedAt" and nothing is not None:
        pytest.skip("no time")
    for n, (first, second) in enumerate([(value, nothing), (nothing, value), (value, value)]):
        record = log(client, msgId=f"g{n}", **{name: first})
        assert log(client, msgId=f"g{n}", **{name: second})["id"] == record["id"]
    record = log(client, msgId="s", fromAddress="Boss <boss@acme.example>")
    assert log(client, msgId="s", fromAddress="BOSS@acme.example.")["id"] == record["id"]


def test_what_was_logged_says_which_mail_it_is_and_not_what_people_made_of_it(client: Any) -> None:
    """A mail is sent once more after its subject was corrected: it is still that mail."""
    record = log(client, msgId="g", subject="Offer", textBody="Dear Ann")
    changed = client.patch(f"{EMAILS}/{record['id']}", json={"subject": "Offer 4711", "textBody": None}).json
    assert log(client, msgId="g", subject="Offer", textBody="Dear Ann") == changed
    assert log(client, msgId="g", subject="Offer 4711")["id"] != record["id"]


def test_what_a_copy_has_filled_says_which_mail_it_is(client: Any) -> None:
    """A mail whose subject came with its second copy is no mail of another subject."""
    record = log(client, msgId="g", textBody="Dear Ann")
    assert log(client, msgId="g", subject="Salary")["id"] == record["id"]
    assert log(client, msgId="g", subject="Lunch?")["id"] != record["id"]


def test_of_several_mails_the_oldest_that_nothing_contradicts_is_meant(client: Any) -> None:
    """Where two mails have one msgId."""
    one = log(client, rfc822MsgId="<1@a.example>", msgId="7", subject="one")
    two = log(client, rfc822MsgId="<2@a.example>", msgId="7", subject="two")
    assert log(client, msgId="7", subject="two")["id"] == two["id"]
    assert log(client, msgId="7")["id"] == one["id"]
    three = log(client, msgId="7", subject="three")
    assert three["id"] not in (one["id"], two["id"])
    assert log(client, rfc822MsgId="<3@a.example>", msgId="7", subject="three")["id"] == three["id"]


@pytest.mark.parametrize("nothing", [{}, {"rfc822MsgId": None, "msgId": None}, {"rfc822MsgId": "", "msgId": " <> "}])
def test_a_mail_without_any_id_is_new_each_time(client: Any, nothing: dict[str, Any]) -> None:
    """Without rfc822MsgId and msgId, empty ones included, every POST makes a record."""
    answers = [client.post(EMAILS, json={"subject": "same", **nothing}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201] * 3
    assert len({answer.json["id"] for answer in answers}) == 3


def test_mails_with_one_msg_id_but_other_message_ids_are_two(client: Any) -> None:
    """rfc822MsgId goes before msgId, which each mailbox gives on its own."""
    one, two = log(client, rfc822MsgId="<1@a.example>", msgId="7"), log(client, rfc822MsgId="<2@a.example>", msgId="7")
    assert one["id"] != two["id"]
    assert found(client, msgId="7") == [two["id"], one["id"]]


# ---- what a copy adds -----------------------------------------------------------------------------------------------


def test_a_copy_is_found_by_its_own_msg_id(client: Any) -> None:
    """Each copy's msgId finds the record from then on, while the record shows the first one."""
    first = log(client, **MAIL)
    assert log(client, **MAIL | {"msgId": "copy-2"}) == first
    assert log(client, **MAIL | {"msgId": "copy-3"}) == first
    for msg_id in (MAIL["msgId"], "copy-2", "copy-3", " <copy-3>"):
        assert found(client, msgId=msg_id) == [first["id"]]


def test_a_copy_without_message_id_is_known_by_any_msg_id_that_was_seen(client: Any) -> None:
    """What comes with the msgId of an earlier copy alone is that mail."""
    first = log(client, rfc822MsgId="<1@acme.example>", msgId="one")
    log(client, rfc822MsgId="<1@acme.example>", msgId="two")
    assert log(client, msgId="two", subject="late")["id"] == first["id"]
    assert client.get(f"{EMAILS}/{first['id']}").json["subject"] == "late"


@pytest.mark.parametrize("name", [name for name in MAIL if name != "rfc822MsgId"])
def test_a_copy_fills_what_was_empty(client: Any, name: str) -> None:
    """A field that the record lacks is taken from the copy, whatever stood for nothing."""
    nothings: list[Any] = [None, []] if name in LISTS else [None] if name == "receivedAt" else [None, ""]
    for n, nothing in enumerate(nothings):
        first = log(client, **{"rfc822MsgId": f"m{n}", name: nothing})
        copy = log(client, **{"rfc822MsgId": f"m{n}", name: MAIL[name]})
        assert copy["id"] == first["id"]
        assert content(copy) == NO_MAIL | {"rfc822MsgId": f"m{n}", name: MAIL[name]}
        assert copy["updatedAt"] > first["updatedAt"]
        assert copy["createdAt"] == first["createdAt"]
        assert client.get(f"{EMAILS}/{first['id']}").json == copy


@pytest.mark.parametrize("name", sorted({*SCALARS} - {"rfc822MsgId"}))
def test_a_copy_replaces_nothing(client: Any, name: str) -> None:
    """What the record has stays: the content is that of the mail as first logged."""
    others = {"receivedAt": "2020-02-02T02:02:02.000000Z"}
    first = log(client, **MAIL)
    assert log(client, **MAIL | {name: others.get(name, "another")}) == first
    assert log(client, **MAIL | {name: None}) == first
    assert log(client, rfc822MsgId=MAIL["rfc822MsgId"]) == first


@pytest.mark.parametrize("name", ["subject", "textBody", "htmlBody", "fromAddress"])
def test_a_copy_that_differs_is_warned_of(client: Any, caplog: Any, name: str) -> None:
    """The log names the record and the field, and not a word of the letter."""
    first = log(client, **MAIL)
    log(client, **MAIL)
    log(client, **MAIL | {name: None})
    assert not caplog.records
    log(client, **MAIL | {name: "Quite secret"})
    [warning] = caplog.records
    assert warning.levelno == logging.WARNING
    assert first["id"] in warning.getMessage()
    assert name in warning.getMessage()
    assert "secret" not in warning.getMessage()
    assert MAIL[name] not in warning.getMessage()


@pytest.mark.parametrize("name", PEOPLE)
def test_a_copy_adds_the_recipients_it_has_alone(client: Any, name: str) -> None:
    """Recipients that the record lacks come behind its own, each once; known ones, in whatever spelling, do not."""
    log(client, rfc822MsgId="m", **{name: ["Bob <bob@a.example>", "undisclosed-recipients:;"]})
    added = [
        "BOB@A.example.",
        "zoe@a.example",
        "undisclosed-recipients:;",
        "Amy <amy@a.example>",
        "ZOE@a.example",
        "?",
        "?",
    ]
    merged = log(client, rfc822MsgId="m", **{name: added})[name]
    assert merged == ["Bob <bob@a.example>", "undisclosed-recipients:;", "zoe@a.example", "Amy <amy@a.example>", "?"]
    [record] = client.get(EMAILS, query_string={"address": "amy@a.example"}).json
    assert record[name] == merged


def test_a_recipient_of_one_list_is_added_to_another(client: Any) -> None:
    """Who is in To of one copy and in Bcc of another stands in both lists: each is evidence of its own."""
    log(client, rfc822MsgId="m", toAddresses=["bob@a.example"])
    record = log(client, rfc822MsgId="m", bccAddresses=["bob@a.example"])
    assert (record["toAddresses"], record["bccAddresses"]) == (["bob@a.example"], ["bob@a.example"])


ONE, DEAL = {"type": "Contact", "id": "1"}, {"type": "Deal", "id": 7}
NESTED = {"type": "a", "id": {"b": 1, "c": 2}}


@pytest.mark.parametrize(
    ("first", "copy", "merged"),
    [
        ([], ONE, ONE),
        (ONE, ONE, ONE),
        (ONE, [{"type": "CONTACT", "id": 1, "role": "x"}], ONE),
        (ONE, DEAL, [ONE, DEAL]),
        ([DEAL], [{"type": "deal", "id": "7"}, {"type": "Deal", "id": "07"}], [DEAL, {"type": "Deal", "id": "07"}]),
        ([{"id": "1"}], [{"id": "1"}, {"type": "Contact"}], [{"id": "1"}, {"type": "Contact"}]),
        ([NESTED], [{"id": {"c": 2, "b": 1}, "type": "a"}], [NESTED]),
        ([{"type": "a", "id": True}], [{"type": "a", "id": 1}], [{"type": "a", "id": True}, {"type": "a", "id": 1}]),
        ([{"x": 1}], [{"y": 1}, {"y": 1}], [{"x": 1}, {"y": 1}]),
        ([ONE], [DEAL, {"type": "DEAL", "id": "7"}], [ONE, DEAL]),
        ({}, {}, {}),
        ([], [], []),
    ],
)
def test_a_copy_adds_the_links_it_has_alone(client: Any, first: Any, copy: Any, merged: Any) -> None:
    """Entries are the same when type, in any case, and id are; an addition makes a list of what was one object."""
    assert log(client, rfc822MsgId="m", relatedTo=first)["relatedTo"] == first
    assert log(client, rfc822MsgId="m", relatedTo=copy)["relatedTo"] == merged
    assert log(client, rfc822MsgId="m", relatedTo=copy)["relatedTo"] == merged
    [record] = client.get(EMAILS, query_string={"rfc822MsgId": "m"}).json
    assert record["relatedTo"] == merged


def test_what_a_copy_adds_is_a_change(client: Any) -> None:
    """The change feed shows one change for a copy that adds something, and none for one that does not."""
    record = log(client, rfc822MsgId="m")
    log(client, rfc822MsgId="m", msgId="copy", ccAddresses=["bob@a.example"])
    log(client, rfc822MsgId="m", msgId="another copy")
    feed = client.get("/api/v1/changes").json
    assert [(change["id"], change["action"]) for change in feed] == [
        (record["id"], "created"),
        (record["id"], "changed"),
    ]


COPIES = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "rfc822MsgId": st.sampled_from(["m1", "m2", None]),
            "msgId": st.sampled_from(["g1", "g2", "g3", None]),
            "subject": st.sampled_from(["a", "b", "", None]),
            "fromAddress": st.sampled_from(["p@a.example", "P <p@a.example>", "q@a.example", None]),
            "inReplyTo": st.sampled_from(["x", "y", None]),
            "toAddresses": st.lists(st.sampled_from(["p@a.example", "P@a.example", "q@a.example", "?"]), max_size=3),
            "ccAddresses": st.lists(st.sampled_from(["p@a.example", "q@a.example"]), max_size=2),
            "relatedTo": st.lists(
                st.sampled_from([{"type": "Deal", "id": "1"}, {"type": "deal", "id": 1}, {"id": "1"}]), max_size=2
            ),
        },
    ),
    max_size=8,
)


class Model:
    """The contract's rules for copies, in the fewest words, over plain lists."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.seen: list[set[str]] = []  # the msgIds of each record

    def log(self, mail: dict[str, Any]) -> int:
        mail = NO_MAIL | mail
        place = self._place(mail)
        if place is None:
            self.records.append(dict(mail))
            self.seen.append({mail["msgId"]} - {None})
            return len(self.records) - 1
        record = self.records[place]
        self.seen[place] |= {mail["msgId"]} - {None}
        if self._contradict("fromAddress", record, mail):
            return place
        for name, value in mail.items():
            if not record[name]:
                record[name] = value or record[name]
            elif isinstance(value, list):
                for entry in value:
                    if self._key(entry) not in map(self._key, record[name]):
                        record[name] = [*record[name], entry]
        return place

    def _place(self, mail: dict[str, Any]) -> int | None:
        for n, record in enumerate(self.records):
            if mail["rfc822MsgId"] and record["rfc822MsgId"] == mail["rfc822MsgId"]:
                return n
        for n, record in enumerate(self.records):
            alike = not any(self._contradict(name, record, mail) for name in ("subject", "fromAddress"))
            if mail["msgId"] in self.seen[n] and not (mail["rfc822MsgId"] and record["rfc822MsgId"]) and alike:
                return n
        return None

    def _contradict(self, name: str, one: dict[str, Any], other: dict[str, Any]) -> bool:
        texts = [mail[name].lower().removeprefix("p <").removesuffix(">") for mail in (one, other) if mail[name]]
        return len(set(texts)) > 1

    def _key(self, entry: Any) -> object:
        if isinstance(entry, str):
            return entry.lower()
        return str(entry["type"]).lower() if "type" in entry else None, str(entry["id"])


def forget(client: Any) -> None:
    """Remove all mail."""
    while ids := found(client, limit=100):
        for record_id in ids:
            assert client.delete(f"{EMAILS}/{record_id}?remember=false").status_code == 204


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(copies=COPIES)
def test_any_order_of_copies_ends_as_the_contract_says(client: Any, copies: list[dict[str, Any]]) -> None:
    """Against a model of the rules: after any copies in any order, the records are those that it has."""
    model = Model()
    ids: dict[int, str] = {}
    for mail in copies:
        place, record = model.log(mail), log(client, **mail)
        assert ids.setdefault(place, record["id"]) == record["id"]
        assert content(record) == model.records[place]
    stored = {record["id"]: content(record) for record in client.get(EMAILS).json}
    assert stored == {ids[place]: record for place, record in enumerate(model.records)}
    for msg_id in ("g1", "g2", "g3"):
        assert sorted(found(client, msgId=msg_id)) == sorted(
            ids[n] for n, seen in enumerate(model.seen) if msg_id in seen
        )
    forget(client)


# ---- to the letter --------------------------------------------------------------------------------------------------


def test_nothing_has_one_look(client: Any) -> None:
    """null, a missing field and an empty list all mean none: null is returned for a scalar, [] for a list."""
    ways: list[dict[str, Any]] = [{}, dict.fromkeys(MAIL), {name: [] for name in LISTS}]
    for sent in ways:
        assert content(log(client, **sent)) == NO_MAIL


TEXTS = ["", " ", "\r\n", "\ufeff", "e\u0301", "\u202e", "\U0010ffff", "\x01\x7f\x85", "٣", "0", "'; --", "a" * 100_000]


@pytest.mark.parametrize("name", [name for name in SCALARS if name != "receivedAt"])
def test_texts_are_kept_to_the_letter(client: Any, name: str) -> None:
    """No text is trimmed, normalised, or taken for something else."""
    for text in TEXTS:
        record = log(client, **{name: text})
        assert content(record) == NO_MAIL | {name: text}
        assert client.get(f"{EMAILS}/{record['id']}").json == record


NONSENSE = [
    "undisclosed-recipients:;",
    '"a,b"@x.example',
    "Jane <JANE@X.example>",
    "JANE@X.example",
    "JANE@X.example",
    "",
    " ",
    "@",
    "<>",
    "a@b@c",
    "Jürgen <jürgen@münchen.example>",
    "=?utf-8?q?J=C3=BCrgen?= <j@x.example>",
    "a" * 3000 + "@x.example",
]


@pytest.mark.parametrize("name", PEOPLE)
def test_recipients_are_evidence(client: Any, name: str) -> None:
    """Each entry is kept to the letter and in order, duplicates and nonsense included."""
    record = log(client, **{name: NONSENSE})
    assert content(record) == NO_MAIL | {name: NONSENSE}


def test_a_sender_is_evidence(client: Any) -> None:
    """No mail is refused for the look of its sender."""
    for sender in NONSENSE:
        assert log(client, fromAddress=sender)["fromAddress"] == sender


@pytest.mark.parametrize(
    ("sent", "returned"),
    [
        ({"name": "Jane Doe", "address": "jane@a.example"}, "Jane Doe <jane@a.example>"),
        ({"address": "jane@a.example"}, "jane@a.example"),
        ({"name": None, "address": "jane@a.example"}, "jane@a.example"),
        ({"name": "", "address": "jane@a.example", "type": "to"}, "jane@a.example"),
        ({"name": "Jane Doe", "address": ""}, "Jane Doe"),
        ({"name": "Jane Doe", "email": "jane@a.example"}, "Jane Doe <jane@a.example>"),
        ({"email": "jane@a.example"}, "jane@a.example"),
        ({"name": "Jane Doe", "address": None, "email": "jane@a.example"}, "Jane Doe <jane@a.example>"),
        ({"emailAddress": {"name": "Jane Doe", "address": "jane@a.example"}}, "Jane Doe <jane@a.example>"),
        ({"emailAddress": {"address": "jane@a.example"}, "type": "required"}, "jane@a.example"),
        ({"name": "Jane Doe", "emailAddress": "jane@a.example"}, "Jane Doe <jane@a.example>"),
        ({"name": 'Doe, "J"', "address": "JANE@a.example"}, 'Doe, "J" <JANE@a.example>'),
    ],
)
def test_a_recipient_may_be_an_object(client: Any, sent: Any, returned: str) -> None:
    """A name and an address become one text, in which the address is found."""
    record = log(client, fromAddress=sent, toAddresses=["x", sent], ccAddresses=[sent, sent], bccAddresses=[sent])
    assert record["fromAddress"] == returned
    assert [record[name] for name in PEOPLE] == [["x", returned], [returned, returned], [returned]]
    if "@" in returned:
        assert found(client, address="jane@a.example") == [record["id"]]


def test_a_null_in_a_list_is_left_out(client: Any) -> None:
    """It refuses no email, wherever it stands."""
    sent = {"toAddresses": [None, "a@a.example", None], "ccAddresses": [None], "attachments": [None, {"id": "1"}]}
    record = log(client, **sent, relatedTo=[None, {"type": "Deal", "id": "1"}])
    assert (record["toAddresses"], record["ccAddresses"]) == (["a@a.example"], [])
    assert (record["attachments"], record["relatedTo"]) == ([{"id": "1"}], [{"type": "Deal", "id": "1"}])
    contact = client.post("/api/v1/contacts", json={"emailAddresses": [None, "a@a.example"]}).json
    assert contact["emailAddresses"] == ["a@a.example"]


def test_five_thousand_recipients_are_kept(client: Any) -> None:
    """A mail to a whole company is a mail like another: all come back in order. The first 2,000 people are found."""
    people = [f"Employee {n} <e{n}@acme.example>" for n in range(5000)]
    record = log(client, rfc822MsgId="m", toAddresses=people)
    assert record["toAddresses"] == people
    assert log(client, rfc822MsgId="m", toAddresses=[*reversed(people), "boss@acme.example"])["toAddresses"] == [
        *people,
        "boss@acme.example",
    ]
    assert found(client, address="e1998@acme.example") == [record["id"]]
    assert found(client, q="e1998") == [record["id"]]
    assert found(client, address="e2000@acme.example") == found(client, q="e2000") == []
    shorter = client.patch(f"/api/v1/emails/{record['id']}", json={"toAddresses": people[1000:]}).json
    assert shorter["toAddresses"] == people[1000:]
    assert found(client, address="e2000@acme.example") == [record["id"]]
    assert client.get(f"/api/v1/emails/{record['id']}").json == shorter


def test_an_address_is_sought_in_what_may_have_one(client: Any) -> None:
    """An entry of megabytes is kept, and no pattern looks at it."""
    entry = "<a>" * 7_000 + "<jane@a.example>"
    record = log(client, rfc822MsgId="m", fromAddress=entry, toAddresses=[entry, "<a>" * 3_000 + "<bob@a.example>"])
    assert (record["fromAddress"], record["toAddresses"][0]) == (entry, entry)
    assert found(client, address="jane@a.example") == []
    assert found(client, address="bob@a.example") == [record["id"]]


ODD_FILES = [
    {},
    {"name": None, "size": 0, "inline": False},
    {"size": 1, "ratio": 1.0, "inline": True, "big": 2**64, "small": -(10**308), "tiny": 5e-324, "huge": 1e308},
    {"size": True, "ratio": 1, "inline": 1},
    {"headers": {"X-A": ["1", {"b": [None, [], {}]}]}, "": "empty name", "id": ["not", "a", "text"]},
    {"name": "\ufeffça\u0301.pdf", "content": "JVBERi0xLjQ=" * 1000, "mimeType": 7},
]


def test_attachments_keep_what_they_hold(client: Any) -> None:
    """Unknown keys, nested values and the types of numbers come back as they were sent."""
    record = log(client, attachments=ODD_FILES)
    assert json.dumps(record["attachments"]) == json.dumps(ODD_FILES)
    assert client.get(f"{EMAILS}/{record['id']}").json == record


@pytest.mark.parametrize(
    "related",
    [
        {"type": "Contact", "id": "42"},
        {"type": "Contact", "id": 42},
        [{"type": "Contact", "id": "42"}],
        [{"type": "Contact", "id": "42"}, {"type": "contact", "id": 42}],
        {"type": "Contact", "id": {"deep": [1, True, None]}, "since": 1.0},
        [{"type": None, "id": None}, {"type": ["Contact"], "id": True}, {"type": "", "id": ""}],
        [{"id": "42"}, {"type": "Contact"}, {}],
        [{"type": "Contact", "id": "x" * 5000}],
        {},
        [{}],
    ],
)
def test_links_are_returned_in_the_shape_in_which_they_came(client: Any, related: Any) -> None:
    """One object or a list of them, with whatever keys and values, or none."""
    record = log(client, relatedTo=related)
    assert json.dumps(record["relatedTo"]) == json.dumps(related)
    assert client.get(f"{EMAILS}/{record['id']}").json == record


def test_what_no_database_stores_becomes_a_replacement_character(client: Any) -> None:
    """NUL and lone surrogates become U+FFFD wherever they stand, keys included; a pair is one character."""
    odd, clean = "a\x00b\ud800c\udfff \ud83d\ude00", "a\ufffdb\ufffdc\ufffd 😀"
    texts = [name for name in SCALARS if name != "receivedAt"]
    sent: dict[str, Any] = dict.fromkeys(texts, odd)
    sent |= {"toAddresses": [odd], "attachments": [{odd: [odd]}], "relatedTo": {odd: {odd: odd}}}
    answer = client.post(EMAILS, data=json.dumps(sent), content_type="application/json")
    expected = {"toAddresses": [clean], "attachments": [{clean: [clean]}], "relatedTo": {clean: {clean: clean}}}
    assert content(answer.json) == NO_MAIL | dict.fromkeys(texts, clean) | expected
    assert len(found(client, rfc822MsgId="a\x00b\ufffdc\ufffd 😀")) == 1


def test_fields_that_are_unknown_or_not_the_clients_are_ignored(client: Any) -> None:
    """A client that learns a new field must not stop logging; id and the record's own times are the connector's."""
    theirs = {
        "id": "7",
        "createdAt": "2020-01-01T00:00:00Z",
        "updatedAt": 5,
        "labels": ["x"],
        "to_addresses": 1,
        "": {},
    }
    record = log(client, **MAIL | theirs)
    assert content(record) == MAIL
    assert record["id"] != "7"
    assert record["createdAt"] == record["updatedAt"] > "2021"


TIMES = [
    ("2026-01-31T09:30:00Z", "2026-01-31T09:30:00.000000Z"),
    ("2026-01-31t09:30:00z", "2026-01-31T09:30:00.000000Z"),
    ("2026-01-31 09:30:00Z", "2026-01-31T09:30:00.000000Z"),
    ("2026-01-31T09:30:00", "2026-01-31T09:30:00.000000Z"),
    ("2026-01-31T09:30:00.5+05:45", "2026-01-31T03:45:00.500000Z"),
    ("2026-01-01T00:30:00-23:59", "2026-01-02T00:29:00.000000Z"),
    ("2026-01-31T09:30:00-00:00", "2026-01-31T09:30:00.000000Z"),
    ("2026-01-31T09:30:00.123456789Z", "2026-01-31T09:30:00.123456Z"),
    ("2026-01-31T09:30:00.9999999999999999999999Z", "2026-01-31T09:30:00.999999Z"),
    ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000000Z"),
    ("2017-01-01T01:59:60.5+02:00", "2017-01-01T00:00:00.500000Z"),
    ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000000Z"),
    ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
    ("0001-01-01T00:00:00-01:00", "0001-01-01T01:00:00.000000Z"),
    ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
]


def test_times_are_returned_in_utc_to_the_microsecond(client: Any) -> None:
    """RFC 3339 in all its forms; no offset means UTC."""
    for sent, returned in TIMES:
        record = log(client, receivedAt=sent)
        assert (sent, record["receivedAt"]) == (sent, returned)
        assert client.get(f"{EMAILS}/{record['id']}").json["receivedAt"] == returned


NO_TIMES = ["2026-01-31", "2026-01-31T09:30Z", "2026-01-31T09Z", "20260131T093000Z", "2026-W05-6T09:30:00Z"]
NO_TIMES += ["2026-031T09:30:00Z", "", " ", "now", "2026-01-31T09:30:00Z ", "2026-01-31T09:30:00.Z"]
NO_TIMES += ["2026-01-31T09:30:00+1", "2026-01-31T09:30:00+24:00", "2026-01-31T09:30:00+01:60", "2026-01-31T24:00:00Z"]
NO_TIMES += ["2026-01-31T23:59:61Z", "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "0000-01-01T00:00:00Z"]
NO_TIMES += ["10000-01-01T00:00:00Z", "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01", "9999-12-31T23:59:60Z"]
NO_TIMES += ["٢٠٢٦-01-31T09:30:00Z", "Sat, 31 Jan 2026 09:30:00 +0000"]


def test_what_is_no_time_is_refused(client: Any) -> None:
    """A date alone, an epoch number, or anything else is 422 and logs nothing."""
    others = [1767225600, 1767225600.5, -1, 0, True, False, [], {}, ["2026-01-31T09:30:00Z"]]
    accepted = []
    for sent in [*NO_TIMES, *others]:
        answer = client.post(EMAILS, json={"receivedAt": sent})
        if answer.status_code == 201:
            accepted.append(sent)
        else:
            assert assert_error(answer, 422)["errors"]["json"].keys() == {"receivedAt"}
    assert accepted == []
    assert found(client) == []


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
SAFE_KEY = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=8)
NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SAFE_KEY, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(SAFE_KEY, VALUES, max_size=4)
PAYLOADS = st.fixed_dictionaries(
    {},
    optional={name: st.none() | ANY_TEXT for name in SCALARS if name != "receivedAt"}
    | {name: st.none() | st.lists(ANY_TEXT, max_size=5) for name in PEOPLE}
    | {
        "receivedAt": st.none()
        | st.datetimes(
            datetime(1, 1, 2),  # noqa: DTZ001
            datetime(9999, 12, 30),  # noqa: DTZ001
            timezones=st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes))),
        ).map(datetime.isoformat),
        "attachments": st.none() | st.lists(OBJECTS, max_size=3),
        "relatedTo": st.none() | OBJECTS | st.lists(OBJECTS, max_size=3),
    },
)


def mended(value: Any) -> Any:
    """What the contract makes of a value that JSON carried: U+FFFD for what no database stores."""
    if isinstance(value, str):
        return "".join("\ufffd" if one == "\x00" or "\ud800" <= one <= "\udfff" else one for one in value)
    if isinstance(value, dict):
        return {mended(key): mended(one) for key, one in value.items()}
    return [mended(one) for one in value] if isinstance(value, list) else value


def expected_of(payload: dict[str, Any]) -> dict[str, Any]:
    """What is returned of a payload."""
    sent = {name: value for name, value in mended(json.loads(json.dumps(payload))).items() if value is not None}
    if "receivedAt" in sent:
        moment = datetime.fromisoformat(sent["receivedAt"]).astimezone(timezone.utc).replace(tzinfo=None)  # noqa: UP017
        sent["receivedAt"] = moment.isoformat(timespec="microseconds") + "Z"
    return NO_MAIL | sent


@settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(payload=PAYLOADS)
def test_whatever_is_accepted_comes_back_equal(client: Any, payload: dict[str, Any]) -> None:
    """Any mail, of any characters, is returned by POST and GET as it was sent, code point by code point."""
    answer = client.post(EMAILS, data=json.dumps(payload), content_type="application/json")
    assert answer.status_code == 201, answer.text
    assert json.dumps(content(answer.json), sort_keys=True) == json.dumps(expected_of(payload), sort_keys=True)
    assert client.get(answer.headers["Location"]).data == answer.data
    assert client.delete(answer.headers["Location"] + "?remember=false").status_code == 204


# ---- what can't be logged -------------------------------------------------------------------------------------------

JSON = "application/json"


BODIES: list[tuple[bytes, str | None, int]] = [
    (b"", JSON, 400),
    (b"{", JSON, 400),
    (b'{"subject": "a"} x', JSON, 400),
    (b'{"subject": "a",}', JSON, 400),
    (b"{'subject': 'a'}", JSON, 400),
    (b'{"subject": "a\nb"}', JSON, 400),
    (b'{"subject": "\xff"}', JSON, 400),
    (b'{"subject": "\xed\xa0\x80"}', JSON, 400),
    ('{"subject": "a"}'.encode("utf-16"), JSON, 400),
    (b'{"subject": "a", "subject": "b"}', JSON, 400),
    (b'{"attachments": [{"a": 1, "a": 2}]}', JSON, 400),
    (b'{"attachments": [{"a": NaN}]}', JSON, 400),
    (b'{"attachments": [{"a": -Infinity}]}', JSON, 400),
    (b'{"attachments": [{"a": 1e400}]}', JSON, 400),
    (b'{"attachments": [{"a": 1' + b"0" * 309 + b"}]}", JSON, 400),
    (b'{"attachments": [{"a": ' + b"9" * 5000 + b"}]}", JSON, 400),
    (b'{"attachments": [{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]}", JSON, 400),
    (b"[" * 100_000, JSON, 400),
    (b'{"a":' * 5000 + b"1" + b"}" * 5000, JSON, 400),
    (b"null", JSON, 422),
    (b"[]", JSON, 422),
    (b"[{}]", JSON, 422),
    (b'"text"', JSON, 422),
    (b"3", JSON, 422),
    (b"true", JSON, 422),
    (b"{}", "text/plain", 415),
    (b"{}", "application/x-www-form-urlencoded", 415),
    (b"{}", "", 415),
    (b"{}", None, 415),
]


def test_a_body_that_is_no_json_object_is_refused(client: Any) -> None:
    """Each with its status in the one shape of errors, and nothing is logged."""
    for body, content_type, status in BODIES:
        assert_error(client.post(EMAILS, data=body, content_type=content_type), status)
    assert found(client) == []


def test_a_charset_and_a_byte_order_mark_do_no_harm(client: Any) -> None:
    """What some clients put around their JSON."""
    answer = client.post(
        EMAILS, data=b'\xef\xbb\xbf{"subject": "\xc3\xa9"}', content_type="application/json; charset=UTF-8"
    )
    assert (answer.status_code, answer.json["subject"]) == (201, "é")


WRONG: dict[str, list[Any]] = {name: [5, 0, True, False, ["a"], {}] for name in SCALARS if name != "receivedAt"}
WRONG |= {name: ["a@b.example", "", 5, {}, [5], [{}], [{"name": "Jane"}], [["a"]]] for name in PEOPLE}
WRONG |= {"fromAddress": [5, False, ["a@b.example"], {"address": 5}, {"address": {}}, {"name": ["x"]}, {"name": False}]}
WRONG["fromAddress"] += [{}, {"name": "Jane"}, {"name": "Jane", "address": None}, {"emailAddress": {"name": "Jane"}}]
WRONG |= {"attachments": ["x", "", 5, {}, ["x"], [[]], [{}, 1]]}
WRONG |= {"relatedTo": ["Contact", "", 5, True, ["x"], [[]], [{}, 1]]}


@pytest.mark.parametrize("name", WRONG)
def test_a_field_of_another_type_is_refused(client: Any, name: str) -> None:
    """422 names the field, and nothing is logged or changed."""
    first = log(client, rfc822MsgId="m")
    accepted = []
    for wrong in WRONG[name]:
        answer = client.post(EMAILS, json={"rfc822MsgId": "m", "subject": "new", name: wrong})
        if answer.status_code == 200:
            accepted.append(wrong)
        else:
            assert assert_error(answer, 422)["errors"]["json"].keys() == {name}
    assert accepted == []
    assert client.get(EMAILS).json == [first]


def test_every_wrong_field_is_named_at_once(client: Any) -> None:
    """Who writes a client sees all that is wrong in one answer."""
    error = assert_error(client.post(EMAILS, json={"subject": 1, "toAddresses": ["ok", 2], "receivedAt": "x"}), 422)
    assert error["errors"]["json"].keys() == {"subject", "toAddresses", "receivedAt"}
    assert error["errors"]["json"]["toAddresses"].keys() == {"1"}


def test_a_token_is_needed(anonymous: Any, client: Any) -> None:
    """Without one nothing is logged."""
    answer = anonymous.post(EMAILS, json=MAIL)
    assert_error(answer, 401)
    assert "WWW-Authenticate" in answer.headers
    assert found(client) == []
