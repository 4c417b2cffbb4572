"""GET /emails: filters that may be combined, pages that lose and repeat nothing, words in full text."""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from random import Random
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import store.emails
import store.search
from store.words import joined, matches, read_search
from tests.samples import EMAILS, MAIL, assert_error, log, new_random, pages

FILTERS = ["rfc822MsgId", "msgId", "syncThreadId", "address", "domain", "contactId", "receivedAfter", "receivedBefore"]
FILTERS += ["q"]


def found(client: Any, query: str = "", **filters: Any) -> list[str]:
    """The ids of the emails that pass the filters, given as they stand in the address or by name."""
    answer = client.get(f"{EMAILS}?{query}") if query else client.get(EMAILS, query_string=filters)
    assert answer.status_code == 200, answer.text
    return [record["id"] for record in answer.json]


def at(second: int) -> str:
    """A time, the later the higher the number."""
    return f"2026-01-31T00:{second // 60:02}:{second % 60:02}.000000Z"


# ---- filters --------------------------------------------------------------------------------------------------------


def test_a_mail_is_found_by_each_of_its_ids(sync: Any) -> None:
    """BrightSync's token finds whole records, in whatever white space and brackets the id is asked for."""
    log(sync, rfc822MsgId="<other@acme.example>", msgId="other", syncThreadId="other")
    record = log(sync, **MAIL)
    for name in ("rfc822MsgId", "msgId", "syncThreadId"):
        key = MAIL[name].strip("<>")
        for spelling in (key, f"<{key}>", f" <{key}> ", f"\t{key}\n"):
            assert sync.get(EMAILS, query_string={name: spelling}).json == [record], spelling


@pytest.mark.parametrize("name", ["rfc822MsgId", "msgId", "syncThreadId"])
def test_letter_case_counts_in_ids(client: Any, name: str) -> None:
    """Two ids that differ in case are two; so are those that differ in an inner space or a second bracket."""
    record = log(client, **{name: "<Abc@x.example>"})
    assert found(client, **{name: "Abc@x.example"}) == [record["id"]]
    for other in ("abc@x.example", "Abc@X.example", "<<Abc@x.example>>", "Abc@x.example>", "Abc@x.exampl", "%", "Abc*"):
        assert found(client, **{name: other}) == [], other


@pytest.mark.parametrize("name", FILTERS)
def test_an_empty_filter_matches_nothing(client: Any, name: str) -> None:
    """Never everything, alone or beside a filter that matches."""
    log(client, **MAIL)
    log(client, msgId="", syncThreadId="", fromAddress="")
    assert found(client, f"{name}=") == []
    assert found(client, f"{name}=&fromAddress=x&limit=5") == []
    other = "msgId" if name != "msgId" else "syncThreadId"
    assert found(client, f"{name}=&{other}={MAIL[other]}") == []


def test_a_filter_that_says_nothing_matches_nothing(client: Any) -> None:
    """White space and brackets around nothing, and an address that is none."""
    log(client, **MAIL)
    log(client, msgId=" ", rfc822MsgId="<>", toAddresses=["", "<>", "none"])
    for name in ("rfc822MsgId", "msgId", "syncThreadId", "address", "domain", "contactId"):
        for nothing in ("%20", "%3C%3E", "%09", "none", "%3C", "%00", "%ED%A0%80", "%FF"):
            assert found(client, f"{name}={nothing}") == [], (name, nothing)


@pytest.mark.parametrize("name", ["rfc822MsgId", "msgId", "syncThreadId"])
def test_a_plus_that_arrives_as_a_space_is_found(client: Any, name: str) -> None:
    """Clients leave the + of Gmail's ids unencoded; several of them, at the edges too."""
    for key in ("CA+a+b@x.example", "+lead@x.example", "trail+"):
        record = log(client, **{name: key})
        assert found(client, f"{name}={key}") == found(client, f"{name}={quote(key)}") == [record["id"]], key
        assert found(client, f"{name}=%3C{key}%3E") == [record["id"]], key


@pytest.mark.parametrize("name", ["rfc822MsgId", "msgId", "syncThreadId"])
def test_an_exact_match_goes_before_a_plus(client: Any, name: str) -> None:
    """Where an id with the space is there, it is meant."""
    plus, space = log(client, **{name: "a+b"}), log(client, **{name: "a b"})
    assert found(client, f"{name}=a+b") == found(client, f"{name}=a%20b") == [space["id"]]
    assert found(client, f"{name}=a%2Bb") == [plus["id"]]


def test_a_plus_in_an_address_is_found(client: Any) -> None:
    """jane+tag@ is another address than jane@; an address with the space, nonsense as it is, goes first."""
    log(client, fromAddress="jane@a.example")
    plus = log(client, fromAddress="Jane <jane+tag@a.example>")
    assert found(client, "address=jane+tag@a.example") == found(client, address="jane+tag@a.example") == [plus["id"]]
    space = log(client, fromAddress="jane tag@a.example")
    assert found(client, "address=jane+tag@a.example") == [space["id"]]
    assert found(client, address="jane+tag@a.example") == [plus["id"]]


@pytest.mark.parametrize("role", ["fromAddress", "toAddresses", "ccAddresses", "bccAddresses"])
def test_a_mail_is_found_by_any_of_its_addresses(client: Any, role: str) -> None:
    """In all four roles, however the address is written here or there, and once."""
    written = "Jürgen <JÜRGEN@MÜNCHEN.example.>"
    log(client, fromAddress="other@a.example", toAddresses=["xjürgen@münchen.example", "jürgen@münchen.example.org"])
    record = log(client, **{role: written if role == "fromAddress" else ["a@a.example", written, written, "junk"]})
    for spelling in (
        written,
        "jürgen@münchen.example",
        "JÜRGEN@xn--mnchen-3ya.EXAMPLE",
        "ju\u0308rgen@mu\u0308nchen.example",
    ):
        assert found(client, address=spelling) == [record["id"]], spelling
    assert found(client, address="jürgen") == found(client, address="münchen.example") == []


def test_a_domain_finds_the_emails_of_everybody_at_it(client: Any) -> None:
    """In any role, below it too, however it is written; not what only looks like it, and each email once."""
    people = ["Jane@MAIL.acme.example", "bob@acme.example", "xacme@b.example"]
    ids = [log(client, msgId="1", fromAddress=people[1])["id"], log(client, msgId="2", ccAddresses=people)["id"]]
    log(client, msgId="3", toAddresses=["jane@xacme.example", "acme.example", "jane@acme.example.org"])
    for spelling in ("acme.example", "ACME.example.", "https://www.acme.example/contact", "jane@acme.example"):
        assert found(client, domain=spelling) == ids[::-1], spelling
    assert (
        found(client, domain="mail.acme.example") == found(client, domain="acme.example", address=people[0]) == ids[1:]
    )
    assert found(client, domain="acme") == found(client, domain="%.example") == []


def test_emails_with_files_are_found_and_those_without(client: Any) -> None:
    """Alone and beside other filters; a value that is neither is refused, as it must not be everything."""
    file = {"name": "offer.pdf", "content": "aGVsbG8="}
    ids = [log(client, subject="offer", msgId=str(n), attachments=[file] * (n % 2))["id"] for n in range(4)]
    for more in ("", "&q=offer", f"&receivedAfter={at(0)}"):
        wanted = [] if "received" in more else ids
        assert found(client, f"hasAttachments=true{more}") == wanted[3::-2], more
        assert found(client, f"hasAttachments=false{more}") == wanted[2::-2], more
    for nothing in ("", "maybe"):
        assert client.get(f"{EMAILS}?hasAttachments={nothing}").status_code == 422


def test_each_address_of_an_entry_finds_the_mail(client: Any) -> None:
    """Of a group each member, and beside a comment; the entry stays as it was written, also after a change, a copy."""
    entries = ["Team: ann@a.example, Bob <bob@b.example>;", "carl@c.example (Carl)", "plain@a.example"]
    mail = {
        "rfc822MsgId": "1",
        "fromAddress": "mailto:jane@j.example",
        "toAddresses": entries,
        "ccAddresses": entries[:1],
    }
    record = log(client, **mail)
    assert record["toAddresses"] == entries
    addresses = ("ann@a.example", "BOB@b.example", "carl@c.example", "plain@a.example", "jane@j.example")
    for address in addresses:
        assert found(client, f"address={address}") == [record["id"]], address
    client.put("/api/v1/contacts/1", json={"emailAddresses": ["bob@b.example"]})
    assert client.get("/api/v1/contacts/1/emails").json[0]["roles"] == ["to", "cc"]
    copy = mail | {"toAddresses": ["ann@a.example"], "ccAddresses": ["Two: bob@b.example, dave@d.example;"]}
    record = client.post(EMAILS, json=copy).json
    assert record["toAddresses"] == [*entries, "ann@a.example"]
    assert found(client, "address=dave@d.example") == [record["id"]]
    record = client.patch(f"{EMAILS}/{record['id']}", json={"toAddresses": entries[1:], "ccAddresses": []}).json
    assert found(client, "address=ann@a.example") == found(client, "address=dave@d.example") == []
    assert client.get(f"{EMAILS}/{record['id']}").json == record


def test_an_address_may_stand_in_the_query_as_plain_utf_8(client: Any) -> None:
    """What curl sends of an address that was not percent-encoded."""
    record = log(client, fromAddress="jürgen@a.example")
    raw = "address=jürgen@a.example".encode().decode("latin-1")  # as WSGI hands a query string on
    answer = client.get(EMAILS, environ_overrides={"QUERY_STRING": raw})
    assert [one["id"] for one in answer.json] == [record["id"]]


def test_a_contacts_mail_is_found_by_address_and_by_link(client: Any) -> None:
    """Each mail once, also where both are true; a link may name the id as a number, and the type in any case."""
    client.put("/api/v1/contacts/42", json={"emailAddresses": ["jane@a.example", "JANE@b.example", "no address"]})
    one = log(
        client, fromAddress="jane@a.example", relatedTo={"type": "CONTACT", "id": 42}, ccAddresses=["jane@b.example"]
    )
    two = log(client, bccAddresses=["Jane <Jane@B.example>"])
    three = log(client, relatedTo=[{"type": "Deal", "id": "1"}, {"type": "contact", "id": "42"}])
    log(
        client,
        relatedTo=[{"type": "Deal", "id": "42"}, {"type": "Contact", "id": "4"}, {"id": "42"}],
        toAddresses=["no address"],
    )
    assert found(client, contactId="42") == [three["id"], two["id"], one["id"]]
    assert found(client, contactId="7") == []


def test_mail_of_a_contact_that_is_not_here_is_found_by_its_link(client: Any) -> None:
    """The CRM may keep its contacts elsewhere: a link is evidence enough."""
    record = log(client, relatedTo={"type": "Contact", "id": "elsewhere"})
    assert found(client, contactId="elsewhere") == [record["id"]]


def test_times_bound_what_is_found(client: Any) -> None:
    """receivedAfter includes its moment, receivedBefore does not; a mail without receivedAt passes neither."""
    records = [log(client, receivedAt=at(n))["id"] for n in range(5)]
    log(client)
    assert found(client, receivedAfter=at(2)) == [records[4], records[3], records[2]]
    assert found(client, receivedBefore=at(2)) == [records[1], records[0]]
    assert found(client, receivedAfter=at(1), receivedBefore=at(3)) == [records[2], records[1]]
    assert found(client, receivedAfter=at(3), receivedBefore=at(3)) == []
    assert found(client, receivedAfter=at(4), receivedBefore=at(0)) == []
    assert found(client, receivedAfter="2026-01-31t01:00:03+01:00") == [records[4], records[3]]
    assert found(client, receivedAfter="2026-01-31 00:00:03") == [records[4], records[3]]
    assert found(client, receivedBefore="9999-12-31T23:59:59Z", limit=100) == records[::-1]


def test_a_filter_that_is_no_time_is_refused(client: Any) -> None:
    """422 names the filter."""
    for name in ("receivedAfter", "receivedBefore"):
        for wrong in ("2026-01-31", "yesterday", "1767225600", "%20", "2026-01-31T00:00", "%00", "٣"):
            error = assert_error(client.get(f"{EMAILS}?{name}={wrong}"), 422)
            assert error["errors"]["query"].keys() == {name}


def test_unknown_parameters_are_ignored(client: Any) -> None:
    """A client that learns a new filter is not refused."""
    record = log(client, **MAIL)
    assert found(client, f"msgId={MAIL['msgId']}&sort=asc&x[]=1&=&&") == [record["id"]]


@pytest.mark.parametrize("query", ["rfc822msgid=none", "rfc822MsgID=none&limit=1", "from=jane@acme.example&cursor="])
def test_unknown_parameters_alone_are_refused(client: Any, query: str) -> None:
    """A mistyped filter must not answer that somebody's mail is the one that was asked for."""
    log(client, **MAIL)
    assert_error(client.get(f"{EMAILS}?{query}"), 422)


def test_a_very_long_filter_matches_nothing(client: Any) -> None:
    """And is no error of the server's."""
    log(client, **MAIL)
    for name in ("rfc822MsgId", "msgId", "syncThreadId", "address", "contactId"):
        assert found(client, **{name: "x" * 100_000 + "@a.example"}) == []


# ---- any filters together -------------------------------------------------------------------------------------------

CROWD = [
    {
        "rfc822MsgId": f"m{n}",
        "msgId": f"g{n % 7}",
        "syncThreadId": f"t{n % 3}",
        "receivedAt": at(n // 3) if n % 5 else None,
        "fromAddress": f"P{n % 2} <p{n % 2}@a.example>",
        "toAddresses": [f"p{n % 4}@a.example", f"P{n % 4}@A.example"],
        "relatedTo": [{"type": "Contact", "id": str(n % 6)}],
        "subject": "offer" if n % 4 else "contract",
        "textBody": "net price" if n % 3 else "price net",
        "ccAddresses": [f"c{n}@sub.d{n % 3}.example"],
        "attachments": [{"name": "a.txt", "content": "aGVsbG8="}] * (n % 2),
    }
    for n in range(24)
]
ADDRESS_OF = {"0": "p3@a.example", "9": "p0@a.example"}  # contacts that are here, besides those that are linked only

TESTS: dict[str, Callable[[dict[str, Any], str], bool]] = {
    "rfc822MsgId": lambda mail, value: mail["rfc822MsgId"] == value,
    "msgId": lambda mail, value: mail["msgId"] == value,
    "syncThreadId": lambda mail, value: mail["syncThreadId"] == value,
    "address": lambda mail, value: value in (mail["fromAddress"][4:-1], mail["toAddresses"][0]),
    "contactId": lambda mail, value: (
        mail["relatedTo"][0]["id"] == value or TESTS["address"](mail, ADDRESS_OF.get(value, "-"))
    ),
    "receivedAfter": lambda mail, value: (mail["receivedAt"] or "") >= value,
    "receivedBefore": lambda mail, value: (mail["receivedAt"] or "~") < value,
    "domain": lambda mail, value: mail["ccAddresses"][0].endswith(value),
    "hasAttachments": lambda mail, value: bool(mail["attachments"]) == (value == "true"),
    "q": lambda mail, value: (
        value.strip('"') in (mail["textBody"] if '"' in value else f"{mail['subject']} {mail['textBody']}")
    ),
}
VALUES = {
    "rfc822MsgId": ["m1", "m7", "m15"],
    "msgId": ["g1", "g2"],
    "syncThreadId": ["t0", "t1"],
    "address": ["p0@a.example", "p1@a.example", "p2@a.example"],
    "contactId": ["0", "3", "9"],
    "receivedAfter": [at(1), at(4)],
    "receivedBefore": [at(3), at(6)],
    "domain": ["d0.example", "sub.d1.example"],
    "hasAttachments": ["true", "false"],
    "q": ["offer", "contract", '"net price"'],
}
COMBINATIONS = st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in VALUES.items()})


def test_any_filters_together_find_what_passes_them_all(client: Any) -> None:
    """Against a plain reading of each filter, in pages of any length: no mail is missing, doubled or out of order."""
    for contact_id, address in ADDRESS_OF.items():
        client.put(f"/api/v1/contacts/{contact_id}", json={"emailAddresses": [address, "x@a.example"]})
    records = [log(client, **mail) for mail in CROWD]
    records.sort(key=lambda record: (record["receivedAt"] or record["createdAt"], int(record["id"])), reverse=True)
    sizes = set()

    @settings(max_examples=250, deadline=None, derandomize=True)
    @given(filters=COMBINATIONS, limit=st.integers(1, 9))
    def check(filters: dict[str, str], limit: int) -> None:
        expected = [one for one in records if all(TESTS[name](one, value) for name, value in filters.items())]
        query = "&".join(f"{name}={quote(str(value))}" for name, value in {**filters, "limit": limit}.items())
        shown = list(pages(client, f"{EMAILS}?{query}"))
        assert [one for page in shown for one in page] == expected
        assert [len(page) for page in shown[:-1]] == [limit] * (len(shown) - 1)
        sizes.add(len(expected))

    check()
    assert len(sizes) > 5  # of all kinds, not just of none


# ---- pages ----------------------------------------------------------------------------------------------------------


def test_the_newest_mail_comes_first(client: Any) -> None:
    """By receivedAt, or, where that is not known, by the time at which the mail was logged."""
    ids = {n: log(client, receivedAt=at(n))["id"] for n in (3, 1, 5, 2)}
    future, unknown = log(client, receivedAt="2999-01-01T00:00:00Z")["id"], log(client)["id"]
    assert found(client) == [future, unknown, ids[5], ids[3], ids[2], ids[1]]


def test_a_page_holds_25_mails_unless_asked_otherwise(client: Any) -> None:
    """From 1 to 100; the last page has no link to a next one, also where it is full."""
    ids = [log(client, receivedAt=at(n))["id"] for n in range(101)][::-1]
    assert [[one["id"] for one in page] for page in pages(client, EMAILS)] == [
        ids[n : n + 25] for n in (0, 25, 50, 75, 100)
    ]
    assert [len(page) for page in pages(client, f"{EMAILS}?limit=100")] == [100, 1]
    client.delete(f"{EMAILS}/{ids[0]}")
    assert [len(page) for page in pages(client, f"{EMAILS}?limit=100")] == [100]
    assert [len(page) for page in pages(client, f"{EMAILS}?limit=1&syncThreadId=none")] == [0]
    assert found(client, limit=1) == [ids[1]]


def test_a_limit_out_of_bounds_is_refused(client: Any) -> None:
    """422 names it; no page is unbounded."""
    for limit in ("0", "-1", "101", "1" + "0" * 30, "9" * 5000, "1.5", "1e1", "", "abc", "NaN", "%00", "0x10"):
        error = assert_error(client.get(f"{EMAILS}?limit={limit}"), 422)
        assert error["errors"]["query"].keys() == {"limit"}


def test_pages_lose_and_repeat_nothing_while_mail_is_logged(client: Any) -> None:
    """New mail, older and newer, and mail of the very time at which a page ended, moves no page's border."""
    before = {log(client, receivedAt=at(60))["id"] for _ in range(10)} | {
        log(client, receivedAt=at(n))["id"] for n in range(9)
    }
    seen: list[str] = []
    for n, page in enumerate(pages(client, f"{EMAILS}?limit=4&receivedAfter={at(0)}")):
        seen += [record["id"] for record in page]
        if n < 4:
            log(client, receivedAt=at(100 + n))
            log(client, receivedAt=at(60))
            log(client, receivedAt=page[-1]["receivedAt"])
            client.delete(f"{EMAILS}/{page[-1]['id']}")
    assert len(seen) == len(set(seen))
    assert before <= set(seen)


def test_the_next_link_keeps_every_parameter(client: Any) -> None:
    """Whatever characters they hold; it leads to a path on the same server (RFC 8288)."""
    thread = "a+b &=#?/%<ü>\"' 100%;"
    ids = [log(client, syncThreadId=thread, subject="Straße", receivedAt=at(n))["id"] for n in range(3)][::-1]
    query = {"syncThreadId": thread, "q": '"Straße"', "receivedAfter": at(0), "limit": "1", "unknown": "ü+ü"}
    answer = client.get(EMAILS, query_string=query)
    link = re.fullmatch(r'<(/[!-;=?-~]*)>; rel="next"', answer.headers["Link"])
    assert link is not None
    asked = parse_qs(urlsplit(link[1]).query)
    assert {name: [value] for name, value in query.items()} == {k: v for k, v in asked.items() if k != "cursor"}
    encoded = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
    assert [[one["id"] for one in page] for page in pages(client, f"{EMAILS}?{encoded}")] == [[one] for one in ids]


def encoded(value: Any) -> str:
    """A cursor as a client might forge it."""
    return urlsafe_b64encode(value if isinstance(value, bytes) else json.dumps(value).encode()).decode()


FORGED = [[], [1], [1, 2], [at(1)], [at(1), None], [at(1), 1.5], [at(1), True], [at(1), []], [at(1), ""], [None, "1"]]
FORGED += [["", "1"], ["2026", "1"], [at(1), "1", "2"], {}, {"a": 1, "b": 2}, "ab", 5, None, True, [[at(1)], ["1"]]]
FORGED += [[{}, {}], [at(1), "a/b"], [at(1), "x" * 256], [at(1), "lookup"], b"", b"\xff\xfe", b"[" * 10_000, b"NaN"]
FORGED += [b"[1e400, 1]", b"9" * 5000, b'["2026-01-31T00:00:00Z", ' + b"9" * 5000 + b"]"]
NO_CURSORS = [
    *map(encoded, FORGED),
    "",
    "abc",
    "%",
    "%00",
    "%ff",
    "ä",
    "*",
    "a" * 100_000,
    "=",
    "WzEsMl0",
    "null",
    "0",
    " ",
]


def test_what_is_no_cursor_is_refused(client: Any) -> None:
    """422 for anything that was not given as a link: a cursor of another kind, cut off, or made up."""
    log(client, receivedAt=at(0))
    for cursor in NO_CURSORS:
        error = assert_error(client.get(EMAILS, query_string={"cursor": cursor}), 422)
        assert error["errors"]["query"].keys() == {"cursor"}, cursor


def test_a_made_up_place_is_a_place_or_refused(client: Any) -> None:
    """A cursor with an id that no record has is never an error of the server's, on no list."""
    client.put("/api/v1/contacts/1", json={"emailAddresses": ["jane@a.example"]})
    client.put("/api/v1/companies/1", json={"domains": ["a.example"]})
    log(client, receivedAt=at(0), fromAddress="jane@a.example")
    for record_id in (0, -5, 10**18, 2**63 - 1, 10**30, "007", "٣", "abc", "\x00", "\ud800", "'; --"):
        for path in (EMAILS, "/api/v1/contacts/1/emails", "/api/v1/contacts", "/api/v1/companies"):
            answer = client.get(path, query_string={"cursor": encoded([at(1), record_id])})
            if answer.status_code == 200:
                assert isinstance(answer.json, list)
            else:
                assert_error(answer, 422)


def test_a_cursor_works_in_any_alphabet_of_base64_and_escaping(client: Any) -> None:
    """The link's query may be decoded and encoded again on its way."""
    ids = [log(client, receivedAt=at(n))["id"] for n in range(3)]
    link = client.get(f"{EMAILS}?limit=2").headers["Link"]
    cursor = parse_qs(urlsplit(link[1 : link.index(">")]).query)["cursor"][0]
    assert json.loads(urlsafe_b64decode(cursor))
    for written in (cursor, quote(cursor, safe=""), "".join(f"%{ord(one):02x}" for one in cursor)):
        assert found(client, f"limit=2&cursor={written}") == [ids[0]]


# ---- full text ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("subject", "Re: the Quarterly-Report"),
        ("textBody", "first line\r\nquarterly\r\nlast"),
        ("htmlBody", "<table><tr><td><b>Quarterly</b></td><td>x</td></tr></table>"),
        ("fromName", "Quarterly, Jane"),
        ("fromAddress", "Jane <jane@quarterly.example>"),
        ("toAddresses", ["x@a.example", "quarterly@a.example"]),
        ("ccAddresses", ['"Quarterly" <x@a.example>']),
        ("bccAddresses", ["quarterly"]),
    ],
)
def test_a_word_is_found_wherever_a_reader_would_see_it(client: Any, field: str, value: Any) -> None:
    """In subject, bodies, names and addresses, in any case, as a whole word."""
    log(client, subject="monthly")
    record = log(client, **{field: value})
    for q in ("quarterly", "QUARTERLY", "Quarterly", " quarterly ", "quart*", '"quarterly"', "quarterly -monthly"):
        assert found(client, q=q) == [record["id"]], q
    for q in ("quarter", "uarterly", "quarterly monthly", "-monthly quarter", '"quart"'):
        assert found(client, q=q) == [], q


def test_what_a_reader_does_not_see_is_not_found(client: Any) -> None:
    """The names of tags and attributes, links, styles, scripts and comments; a word is not glued to the next cell's."""
    html = (
        "<html><head><title>hidden1</title><style>.hidden2 {}</style></head><body class='hidden3'>"
        "<a href='http://hidden4.example'>shown1</a><script>hidden5()</script><!-- hidden6 -->"
        "<ul><li>shown2<li>shown3</ul>&eacute;shown4</body></html>"
    )
    unseen: dict[str, Any] = {"attachments": [{"name": "hidden7"}], "relatedTo": {"type": "hidden8", "id": "hidden9"}}
    record = log(client, htmlBody=html, **unseen)
    for n in range(1, 10):
        assert found(client, q=f"hidden{n}") == [], n
    for q in ("shown1", "shown2", "shown3", "shown2 shown1", "*shown*"):
        assert found(client, q=q) == [record["id"]], q
    for q in ("td", "href", "class", "eacute"):
        assert found(client, q=q) == [], q


def test_words_phrases_beginnings_and_exclusions(client: Any) -> None:
    """All words must be found, in any order; a phrase in its order; none of what is excluded."""
    one = log(client, subject="offer", textBody="the net price is low")["id"]
    two = log(client, subject="offer", textBody="price, net: high", htmlBody="<p>draft</p>")["id"]
    assert found(client, q="offer price") == found(client, q="price offer") == [two, one]
    assert found(client, q='"net price"') == found(client, q='offer "net price"') == [one]
    assert found(client, q='offer -"net price"') == found(client, q="offer -low") == [two]
    assert found(client, q="off* -draft") == [one]
    assert found(client, q="offer -low -high") == []
    assert found(client, q="net-price") == [one]


OPERATORS = [
    "offer AND nothing",
    "offer OR price",
    "NOT offer",
    "offer NEAR price",
    "NEAR(offer price, 5)",
    "^offer",
    "{subject}: x",
]
OPERATORS += [
    "subject:offer",
    "subject : offer",
    "offer + price",
    "offer^2",
    "(offer)",
    "(offer",
    "offer)",
    "a:b:c",
    "text_body:x",
]
OPERATORS += [
    "offer;",
    "offer' OR '1'='1",
    "'; DROP TABLE email; --",
    "offer\\",
    "%",
    "offer%",
    "_",
    "a_b",
    "*offer",
    "off*er",
]
OPERATORS += [
    "offer**",
    "- offer",
    "--offer",
    "-",
    "+",
    "offer -",
    '"offer" *',
    'a"b"c',
    '"a""b"',
    '""',
    '"" offer',
    '" "',
    '-""',
]
OPERATORS += [
    "\x00",
    "of\x00fer",
    "\ufffd",
    "\u200b",
    "é",
    "e\u0301",
    "日本語",
    "😀",
    "offer 😀",
    "²",
    "\U0001e900",
    "a" * 100_000,
]
OPERATORS += [
    "a.b" * 3000,
    '"' + "a " * 10_000 + '"',
    "\n",
    "offer\nprice",
    "offer\u3000price",
    "rank",
    "email_search",
    "\ud7ff",
]


def test_operators_of_a_database_are_no_operators_here(client: Any) -> None:
    """Whatever is asked, the answer is what was found or 422, and never more than the words say."""
    record = log(client, subject="offer", textBody="price")["id"]
    for q in OPERATORS:
        answer = client.get(EMAILS, query_string={"q": q})
        if answer.status_code == 200:
            assert [one["id"] for one in answer.json] in ([], [record]), q
        else:
            assert assert_error(answer, 422)["errors"]["query"].keys() == {"q"}
    for q in ("offer OR price", "subject:offer", "NEAR(offer price, 5)", "offer AND price"):
        assert found(client, q=q) == [], q
    for q in ("^offer", "(offer)", "offer + price", "offer;", "offer -", "offer 😀", "*offer"):
        assert found(client, q=q) == [record], q


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(q=st.text(st.sampled_from("ab \"*-+^():{}\\'%_.,ANDORT\x00é\u0301😀²日"), max_size=30) | st.text(max_size=30))
def test_any_text_may_be_asked_for(client: Any, q: str) -> None:
    """200 or 422, alone and beside other filters."""
    for filters in (
        {"q": q},
        {"q": q, "syncThreadId": "t"},
        {"q": q, "address": "a@a.example", "receivedAfter": at(0)},
    ):
        answer = client.get(EMAILS, query_string=filters)
        assert answer.status_code == 200 or assert_error(answer, 422)["errors"]["query"].keys() == {"q"}


NO_QUERIES = [
    '"',
    'offer "price',
    '"a" "',
    "...",
    "-",
    "*",
    "😀",
    '""',
    '"-"',
    "-offer",
    '-"a b"',
    "- -x",
    "word " * 1000,
]


def test_a_query_that_can_not_be_searched_for_says_why(client: Any) -> None:
    """An open quotation mark, no word, exclusions alone and too many words are 422 with a sentence."""
    for q in NO_QUERIES:
        error = assert_error(client.get(EMAILS, query_string={"q": q}), 422)
        [[reason]] = error["errors"]["query"].values()
        assert re.fullmatch(r"[A-Z].*\.", reason)
        assert not re.search("fts|sql|syntax", reason, re.IGNORECASE)


# What stands in a mail, and what is asked for.
SAME_WORD = [
    ("東京都に行く", "東京"),
    ("東京都に行く", "京都"),
    ("東京都に行く", "く"),
    ("ｶﾞｸ", "ガク"),
    ("한국어", "국어"),
    ("สวัสดีครับ", "ครับ"),
    ("Danke🙂", "danke"),
    ("5000₽", "5000"),
    ("٥٠٠٠ ريال", "5000"),
    ("IŞIK", "ışık"),
    ("ışık", "ISIK"),
    ("İŞIK", "işık"),
    ("ｆｕｌｌ　ｗｉｄｔｈ", '"full width"'),
    ("ﬁnance", "finance"),
    ("Straße", "STRASSE"),
    ("ΟΔΟΣ", "οδός"),
    ("مُحَمَّد", "محمد"),
    ("می\u200cخواهم", "میخواهم"),
    ("שָׁלוֹם", "שלום"),
    ("co\u00adope\u200brate", "cooperate"),
    ("a" * 600, "a" * 600),
]


def test_a_word_is_found_in_every_script(client: Any) -> None:
    """As a reader sees it: in any case and width, with or without accents, points, and characters that nobody sees."""
    for text, q in SAME_WORD:
        record = log(client, textBody=f"({text})")["id"]
        assert found(client, q=q) == [record], (text, q)
        client.delete(f"{EMAILS}/{record}")


# Words of some scripts, and what may stand between two of them. Of those without spaces, any pieces.
VOCABULARY = [
    "offer",
    "Offers",
    "OFFER",
    "naïve",
    "Café",
    "Straße",
    "İstanbul",
    "IŞIK",
    "ışık",
    "łódź",
    "ﬁnance",
    "ｗｉｄｔｈ",
    "5000",
    "٥٠٠٠",
    "Ελλάδα",
    "ΟΔΟΣ",
    "Привет",
    "ёлка",
    "мир",
    "العربية",
    "مُحَمَّد",
    "שָׁלוֹם",
    "שלום",
    "हिन्दी",
    "नमस्ते",
    "தமிழ்",
    "o'neill",
    "a_b",
    "x@y.example",
    "co\xadop",
    "می\u200cخواهم",
    "½",
    "km²",
    "№5",
    "Ⅻ",
]
UNSPACED = "東京都に行くカード決済ｶﾞｸ人々한국어สวัสดีครับភាសាខ្មែរမြန်မာ𠀀字"
BETWEEN = [" ", " ", " ", "\n", ", ", "-", "🙂", "₽", "\u3000", "。", "/", ""]


def words_of(random: Random, most: int) -> str:
    """A text of some words."""
    text = ""
    for _ in range(random.randint(1, most)):
        start = random.randrange(len(UNSPACED))
        pieces = [random.choice(VOCABULARY), UNSPACED[start : start + random.randint(1, 6)]]
        text += random.choice(pieces) + random.choice(BETWEEN)
    return text


def test_both_databases_find_what_the_words_say(client: Any) -> None:
    """Made-up searches in made-up texts, anew in each run: the index, what waits for it, and the plain comparison."""
    random = new_random()
    texts = [(words_of(random, 4), words_of(random, 30)) for _ in range(40)]
    ids = [log(client, subject=subject, textBody=text)["id"] for subject, text in texts]
    for _ in range(150):
        asked = []
        for _ in range(random.randint(1, 3)):
            text = random.choice(random.choice(texts))
            start = random.randrange(len(text))
            piece = text[start : start + random.randint(1, 8)].replace('"', "")
            asked.append(random.choice(["{}", "{}", "{}*", '"{}"', "-{}", '-"{}"']).format(piece))
        q = " ".join(asked)
        answer = client.get(EMAILS, query_string={"q": q, "limit": 100})
        try:
            search = read_search(q)
        except ValueError:
            assert answer.status_code == 422, q
        else:
            expected = {one for one, text in zip(ids, texts, strict=True) if matches(search, joined(text))}
            assert {record["id"] for record in answer.json} == expected, q


def test_the_search_keeps_step_with_the_mail(client: Any) -> None:
    """PATCH, PUT, what a copy adds, and DELETE: words that came are found, words that went are not."""
    record = log(client, rfc822MsgId="m", subject="alpha", htmlBody="<p>beta</p>")["id"]
    path = f"{EMAILS}/{record}"

    def step(present: str, absent: str) -> None:
        for word in present.split():
            assert found(client, q=word) == [record], word
        for word in absent.split():
            assert found(client, q=word) == [], word

    step("alpha beta", "gamma delta zeta")
    client.patch(path, json={"subject": "gamma"})
    step("gamma beta", "alpha delta")
    client.patch(path, json={"htmlBody": None, "textBody": "delta"})
    step("gamma delta", "alpha beta")
    log(client, rfc822MsgId="m", toAddresses=["zeta@a.example"], subject="unused")
    step("gamma delta zeta", "unused")
    client.patch(path, json={"syncThreadId": "t"})
    step("gamma delta zeta", "alpha")
    client.put(path, json={"fromName": "Eta"})
    step("eta", "gamma delta zeta")
    client.delete(path)
    step("", "alpha beta gamma delta zeta eta")


def test_a_search_has_pages_too(client: Any) -> None:
    """Newest first, with the same links as any list."""
    ids = [log(client, subject="offer", receivedAt=at(n % 4), msgId=str(n))["id"] for n in range(10)]
    log(client, subject="contract", receivedAt=at(2))
    shown = [[one["id"] for one in page] for page in pages(client, f"{EMAILS}?q=offer&limit=3")]
    assert [len(page) for page in shown] == [3, 3, 3, 1]
    assert [one for page in shown for one in page] == sorted(
        ids, key=lambda one: (ids.index(one) % 4, int(one)), reverse=True
    )
    assert found(client, q="offer", receivedBefore=at(1), limit=2) == [ids[8], ids[4]]


def test_a_word_that_most_emails_have_is_found_like_any_other(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another plan serves it, for each combination of filters; each page is the same."""
    random = new_random()
    for n in range(40):
        words = "offer" if random.random() < (0.7 if n > 15 else 0.1) else "contract"
        people = {"fromAddress": random.choice(["a@a.example", "b@b.example"]), "syncThreadId": random.choice("tu")}
        log(client, subject=words, msgId=str(n), receivedAt=at(random.randrange(40)), **people)
    withheld = log(client, subject="offer", msgId="withheld", receivedAt=at(30))["id"]
    client.delete(f"{EMAILS}/{withheld}")
    log(client, subject="offer", msgId="withheld", receivedAt=at(30))
    client.put("/api/v1/contacts/b", json={"emailAddresses": ["b@b.example"]})
    times = [{"receivedAfter": at(9)}, {"receivedAfter": at(33)}, {"receivedBefore": at(30)}, {"receivedBefore": at(2)}]
    filters = [
        {},
        {"address": "a@a.example"},
        {"contactId": "b"},
        {"syncThreadId": "t"},
        {"domain": "b.example"},
        *times,
    ]
    asked = [{"q": q, "limit": 4, **more} for q in ("offer", "contract") for more in filters]

    def shown() -> list[list[list[str]]]:
        paths = [f"{EMAILS}?{urlencode(one)}" for one in asked]
        return [[[one["id"] for one in page] for page in pages(client, path)] for path in paths]

    sorted_pages = shown()
    monkeypatch.setattr(store.search, "_MANY", 3)
    monkeypatch.setattr(store.emails, "_WINDOWS", (5, 15))
    assert shown() == sorted_pages


def test_a_token_is_needed(anonymous: Any) -> None:
    """Without one nothing is shown."""
    assert_error(anonymous.get(EMAILS), 401)
