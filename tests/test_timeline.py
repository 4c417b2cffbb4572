"""GET /contacts/{id}/emails: a contact's mail, newest first, without bodies, and why each of it is here."""

import re
from typing import Any
from urllib.parse import quote

import pytest

from tests.samples import EMAILS, MAIL, NO_MAIL, assert_error, log, pages

CONTACTS = "/api/v1/contacts"


def put(client: Any, contact_id: str, *addresses: str) -> str:
    """A contact with these addresses; gives the path of the timeline."""
    path = f"{CONTACTS}/{quote(contact_id, safe='')}"
    answer = client.put(path, json={"emailAddresses": addresses})
    assert answer.status_code in (200, 201), answer.text
    return f"{path}/emails"


def shown(client: Any, path: str) -> list[tuple[str, list[str]]]:
    """The id and roles of each entry of a timeline."""
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return [(entry["id"], entry["roles"]) for entry in answer.json]


def test_an_entry_is_the_mail_without_bodies(client: Any) -> None:
    """Every field but the bodies and the files, and in their place a snippet and whether there are files."""
    record = log(client, **MAIL)
    [entry] = client.get(put(client, "42")).json
    left_out = {"textBody", "htmlBody", "attachments"}
    added = {"snippet": "Dear John, see the offer attached.", "hasAttachments": True, "roles": ["relatedTo"]}
    assert entry == {name: value for name, value in record.items() if name not in left_out} | added


def test_a_mail_of_which_nothing_is_known_has_every_field(client: Any) -> None:
    """null, empty lists, an empty snippet."""
    log(client, relatedTo={"type": "Contact", "id": "1"})
    [entry] = client.get(put(client, "1")).json
    expected = NO_MAIL | {"relatedTo": {"type": "Contact", "id": "1"}, "snippet": "", "hasAttachments": False}
    assert {name: entry[name] for name in entry if name in expected} == {
        name: value for name, value in expected.items() if name not in ("textBody", "htmlBody", "attachments")
    }


@pytest.mark.parametrize(
    ("mail", "roles"),
    [
        ({"fromAddress": "jane@a.example"}, ["from"]),
        ({"fromAddress": "Jane <JANE@A.example.>"}, ["from"]),
        ({"fromAddress": {"name": "Jane", "address": "jane@a.example"}}, ["from"]),
        ({"toAddresses": ["x@a.example", "Jane <jane@A.EXAMPLE>"]}, ["to"]),
        ({"ccAddresses": ["jane@a.example", "jane@a.example"]}, ["cc"]),
        ({"bccAddresses": ["j.doe@b.example"]}, ["bcc"]),
        ({"relatedTo": {"type": "Contact", "id": "1"}}, ["relatedTo"]),
        ({"relatedTo": [{"type": "Deal", "id": "9"}, {"type": "CONTACT", "id": 1, "x": []}]}, ["relatedTo"]),
        ({"fromAddress": "jane@a.example", "toAddresses": ["j.doe@b.example"]}, ["from", "to"]),
        ({"toAddresses": ["jane@a.example"], "bccAddresses": ["jane@a.example"]}, ["to", "bcc"]),
        ({"ccAddresses": ["jane@a.example"], "relatedTo": [{"type": "contact", "id": "1"}] * 2}, ["cc", "relatedTo"]),
        ({"fromAddress": "xjane@a.example", "toAddresses": ["jane+tag@a.example", "jane", ""]}, None),
        ({"fromName": "jane@a.example", "textBody": "jane@a.example", "subject": "jane@a.example"}, None),
        ({"relatedTo": [{"type": "Deal", "id": "1"}, {"id": "1"}, {"type": "Contact", "id": "01"}, {}]}, None),
        ({"relatedTo": [{"type": "Contact", "id": True}, {"type": ["Contact"], "id": "1"}]}, None),
    ],
)
def test_roles_say_why_a_mail_is_here(client: Any, mail: dict[str, Any], roles: list[str] | None) -> None:
    """All four roles of any of the contact's addresses, and links of type Contact; each mail is here once."""
    path = put(client, "1", "Jane <jane@a.example>", "j.doe@b.example", "no address")
    record = log(client, **mail)
    assert shown(client, path) == ([(record["id"], roles)] if roles else [])


def test_a_contact_added_today_shows_the_mail_of_last_year(client: Any) -> None:
    """And so does an address added today; one that is taken away takes its mail along."""
    old = log(client, receivedAt="2025-01-31T00:00:00Z", toAddresses=["Jane <JANE@a.example>"])["id"]
    other = log(client, receivedAt="2025-01-30T00:00:00Z", fromAddress="jane@new.example")["id"]
    path = put(client, "1", "jane@a.example")
    assert shown(client, path) == [(old, ["to"])]
    client.patch(f"{CONTACTS}/1", json={"emailAddresses": ["jane@a.example", "jane@new.example"]})
    assert shown(client, path) == [(old, ["to"]), (other, ["from"])]
    client.patch(f"{CONTACTS}/1", json={"emailAddresses": ["jane@new.example"]})
    assert shown(client, path) == [(other, ["from"])]


def test_contacts_that_share_an_address_share_its_mail(client: Any) -> None:
    """Each shows it, as it does what is linked to that one alone."""
    shared = log(client, fromAddress="office@a.example", receivedAt="2026-01-02T00:00:00Z")["id"]
    linked = log(client, relatedTo={"type": "Contact", "id": "2"}, receivedAt="2026-01-01T00:00:00Z")["id"]
    one, two = put(client, "1", "office@a.example"), put(client, "2", "OFFICE@a.example")
    assert shown(client, one) == [(shared, ["from"])]
    assert shown(client, two) == [(shared, ["from"]), (linked, ["relatedTo"])]


def test_a_changed_mail_moves(client: Any) -> None:
    """A mail whose time, addresses or links change stands at its new place, or no longer here."""
    path = put(client, "1", "jane@a.example")
    one, two, three = (
        log(client, fromAddress="jane@a.example", receivedAt=f"2026-01-0{n}T00:00:00Z")["id"] for n in (1, 2, 3)
    )
    assert [record_id for record_id, _ in shown(client, path)] == [three, two, one]
    client.patch(
        f"{EMAILS}/{one}", json={"receivedAt": "2026-01-04T00:00:00Z", "relatedTo": {"type": "Contact", "id": 1}}
    )
    client.patch(f"{EMAILS}/{three}", json={"fromAddress": "new@a.example"})
    assert shown(client, path) == [(one, ["from", "relatedTo"]), (two, ["from"])]
    client.patch(f"{EMAILS}/{one}", json={"fromAddress": None})
    client.delete(f"{EMAILS}/{two}")
    assert shown(client, path) == [(one, ["relatedTo"])]


def test_pages_lose_and_repeat_nothing(client: Any) -> None:
    """Newest first across addresses and links, each mail once, while mail is being logged."""
    path = put(client, "1", "jane@a.example", "jane@b.example", "jane@c.example")
    expected: list[str] = []
    for n in range(23):
        mail: dict[str, Any] = {"receivedAt": f"2026-01-01T00:00:{n // 4:02}Z"}
        mail |= {"fromAddress": f"jane@{'abc'[n % 3]}.example", "toAddresses": ["jane@a.example", "jane@c.example"]}
        mail |= {"relatedTo": {"type": "Contact", "id": "1"}} if n % 2 else {}
        expected.insert(0, log(client, **mail)["id"])
        log(client, receivedAt=mail["receivedAt"], fromAddress="other@a.example")
    seen = []
    for n, page in enumerate(pages(client, f"{path}?limit=5")):
        seen += [entry["id"] for entry in page]
        log(client, fromAddress="jane@a.example", receivedAt=f"2027-01-01T00:00:{n:02}Z")
    assert seen == expected
    assert len(client.get(path).json) == 25
    assert [len(page) for page in pages(client, path)] == [25, 3]


@pytest.mark.parametrize(
    "contact_id", ["a b", "ü/"[0], "x?y=1&z#", "50%", "+", "<b>", '"quoted"', "x" * 255, "٣", "a;b,c"]
)
def test_any_contact_id_has_a_timeline(client: Any, contact_id: str) -> None:
    """The CRM's own ids may hold what they like; the link to the next page leads there."""
    path = put(client, contact_id, "jane@a.example")
    ids = [
        log(client, fromAddress="jane@a.example", relatedTo={"type": "Contact", "id": contact_id})["id"] for _ in "12"
    ]
    got = [[(entry["id"], entry["roles"]) for entry in page] for page in pages(client, f"{path}?limit=1")]
    assert got == [[(record_id, ["from", "relatedTo"])] for record_id in reversed(ids)]


def test_a_contact_may_have_hundreds_of_addresses(client: Any) -> None:
    """The address list of a whole office, some of it unreadable, is no error; its mail is found by any of them."""
    path = put(client, "1", *(f"person{n}@a.example" if n % 3 else f"junk {n}" for n in range(500)))
    record = log(client, fromAddress="person1@a.example", toAddresses=["person499@a.example", "junk 0"])
    assert shown(client, path) == [(record["id"], ["from", "to"])]
    answer = client.get(EMAILS, query_string={"contactId": "1"})
    assert [one["id"] for one in answer.json] == [record["id"]]


def test_a_snippet_is_the_beginning_of_what_a_reader_sees(client: Any) -> None:
    """Of the text, or where there is none, of the HTML; it follows a change of the mail."""
    link = {"type": "Contact", "id": "1"}
    path = put(client, "1")
    record = log(client, relatedTo=link, htmlBody="<style>x</style><p>One&nbsp;<b>two</b></p><script>y()</script>&lt;3")
    assert client.get(path).json[0]["snippet"] == "One two <3"
    client.patch(f"{EMAILS}/{record['id']}", json={"textBody": "\r\n  three\t\tfour\n"})
    assert client.get(path).json[0]["snippet"] == "three four"
    client.patch(f"{EMAILS}/{record['id']}", json={"textBody": "word " * 1000})
    assert re.fullmatch(r"(word ){20,}.{0,4}…", client.get(path).json[0]["snippet"])


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ([], False),
        ([{"name": "offer.pdf", "mimeType": "application/pdf"}], True),
        ([{"name": "logo.png", "mimeType": "image/png", "inline": True}], False),
        ([{"name": "photo.png", "mimeType": "image/png", "inline": False}], True),
        ([{"name": "offer.pdf", "mimeType": "application/pdf", "inline": True}], True),
        ([{"mimeType": "image/png", "inline": True}, {"name": "offer.pdf", "inline": True}], True),
    ],
)
def test_pictures_in_the_text_are_no_attachments(client: Any, files: list[Any], expected: bool) -> None:
    """But `inline` on a real file does not hide it."""
    log(client, attachments=files, relatedTo={"type": "Contact", "id": "1"})
    assert [entry["hasAttachments"] for entry in client.get(put(client, "1")).json] == [expected]


def test_an_unknown_contact_is_not_found(client: Any) -> None:
    """404, also where mail is linked to the id; and after the contact was removed, whose mail stays."""
    record = log(client, fromAddress="jane@a.example", relatedTo={"type": "Contact", "id": "1"})
    assert_error(client.get(f"{CONTACTS}/1/emails"), 404)
    path = put(client, "1", "jane@a.example")
    assert shown(client, path) == [(record["id"], ["from", "relatedTo"])]
    client.delete(f"{CONTACTS}/1")
    assert_error(client.get(path), 404)
    assert client.get(f"{EMAILS}/{record['id']}").json == record


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "cursor=x", "cursor=", "cursor=WzEsMl0="])
def test_a_wrong_page_is_refused(client: Any, query: str) -> None:
    """422 names the parameter."""
    error = assert_error(client.get(f"{put(client, '1')}?{query}"), 422)
    assert error["errors"]["query"].keys() == {query.partition("=")[0]}


def test_the_timeline_is_the_crms_own(sync: Any, anonymous: Any, client: Any) -> None:
    """BrightSync's token does not read people's mail; without a token nobody does."""
    path = put(client, "1")
    assert_error(sync.get(path), 403)
    assert_error(anonymous.get(path), 401)
