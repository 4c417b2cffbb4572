"""GET /companies/{id}/emails: a company's mail, by its domains, its contacts and links, newest first."""

from typing import Any

import pytest

import store
from tests.samples import EMAILS, assert_error, log, pages

API = "/api/v1"
PATH = f"{API}/companies/acme/emails"


def put(client: Any, *domains: str, **contacts: list[str]) -> None:
    """The company acme with these domains, and contacts with their addresses."""
    assert client.put(f"{API}/companies/acme", json={"domains": domains}).status_code in (200, 201)
    for contact_id, addresses in contacts.items():
        body = {"emailAddresses": addresses, "companyId": "acme"}
        assert client.put(f"{API}/contacts/{contact_id}", json=body).status_code in (200, 201)


def shown(client: Any) -> list[tuple[str, list[str]]]:
    """The id and roles of each entry of the timeline."""
    answer = client.get(PATH)
    assert answer.status_code == 200, answer.text
    return [(entry["id"], entry["roles"]) for entry in answer.json]


@pytest.mark.parametrize(
    ("mail", "roles"),
    [
        ({"fromAddress": "Anybody <any@ACME.example>"}, ["from"]),
        ({"toAddresses": ["x@other.example", "y@eu.mail.acme.example"]}, ["to"]),
        ({"toAddresses": ["Team: a@x.example, b@acme.test;"]}, ["to"]),
        ({"ccAddresses": ["jane@home.example"], "bccAddresses": ["jane@acme.example"]}, ["cc", "bcc"]),
        ({"fromAddress": "joe@gmail.com"}, ["from"]),
        ({"relatedTo": {"type": "Company", "id": "acme"}}, ["relatedTo"]),
        ({"relatedTo": [{"type": "account", "id": "acme"}, {"type": "Contact", "id": "jane"}]}, ["relatedTo"]),
        ({"relatedTo": [{"type": "Contact", "id": "joe"}], "fromAddress": "a@acme.example"}, ["from", "relatedTo"]),
        ({"fromAddress": "a@notacme.example", "toAddresses": ["a@example", "acme.example", "a@acme"]}, None),
        ({"fromAddress": "jim@gmail.com", "toAddresses": ["a@sub.gmail.com", "a@foo.co.uk", "a@co.uk"]}, None),
        ({"relatedTo": [{"type": "Contact", "id": "acme"}, {"type": "Company", "id": "jane"}]}, None),
        ({"relatedTo": [{"type": "Domain", "id": "acme.example"}, {"type": "domain", "id": "acme.example"}]}, None),
    ],
)
def test_a_mail_is_here_by_a_domain_a_contact_or_a_link(
    client: Any, mail: dict[str, Any], roles: list[str] | None
) -> None:
    """Once, with all reasons; domains count with what is below them, but not where they are everybody's."""
    put(
        client, "www.acme.example", "acme.test", "gmail.com", "co.uk", jane=["jane@home.example"], joe=["joe@gmail.com"]
    )
    record = log(client, **mail)
    assert shown(client) == ([(record["id"], roles)] if roles else [])


def test_the_timeline_follows_the_company_its_contacts_and_the_mail(client: Any) -> None:
    """Links by domain and address are joins: of what is added today the mail of last year is here."""
    first, second = (
        log(client, fromAddress=one, receivedAt="2025-01-01T00:00:00Z") for one in ("a@b.test", "c@d.test")
    )
    put(client)
    assert shown(client) == []
    put(client, "b.test", joe=["c@d.test"])
    assert shown(client) == [(second["id"], ["from"]), (first["id"], ["from"])]
    client.patch(f"{API}/contacts/joe", json={"companyId": None})
    assert shown(client) == [(first["id"], ["from"])]
    client.patch(f"{EMAILS}/{second['id']}", json={"ccAddresses": ["x@b.test"]})
    client.patch(f"{EMAILS}/{first['id']}", json={"receivedAt": "2026-01-01T00:00:00Z"})
    assert shown(client) == [(first["id"], ["from"]), (second["id"], ["cc"])]
    client.patch(f"{EMAILS}/{first['id']}", json={"fromAddress": None})
    client.delete(f"{EMAILS}/{second['id']}")
    assert shown(client) == []


def test_pages_lose_and_repeat_nothing(client: Any) -> None:
    """Newest first over domains, contacts and links, while mail is being logged; also where many have one time."""
    put(client, "acme.example", **{f"c{n}": [f"c{n}@home.example"] for n in range(60)})
    everybody = [f"c{n}@home.example" for n in range(60)]
    expected: list[str] = []
    for n in range(23):
        mail: dict[str, Any] = {"receivedAt": f"2026-01-01T00:00:{n // 4:02}Z", "relatedTo": []}
        mail |= {"toAddresses": [["x@acme.example", "y@eu.acme.example"], everybody, [f"c{n}@home.example"]][n % 3]}
        mail |= {"relatedTo": [{"type": "Contact", "id": f"c{n}"}, {"type": "Company", "id": "acme"}]} if n % 2 else {}
        expected.insert(0, log(client, **mail)["id"])
        log(client, receivedAt=mail["receivedAt"], fromAddress="other@a.example")
    seen = []
    for n, page in enumerate(pages(client, f"{PATH}?limit=5")):
        seen += [entry["id"] for entry in page]
        log(client, fromAddress="jane@acme.example", receivedAt=f"2027-01-01T00:00:{n:02}Z")
    assert seen == expected
    assert [len(page) for page in pages(client, f"{PATH}?limit=28")] == [28]


def test_an_unknown_company_is_not_found(client: Any) -> None:
    """404, also where mail is linked to the id."""
    log(client, relatedTo={"type": "Company", "id": "acme"})
    assert_error(client.get(PATH), 404)
    put(client)
    assert [roles for _, roles in shown(client)] == [["relatedTo"]]
    assert_error(client.get(f"{PATH}?cursor=x"), 422)


def test_the_timeline_is_the_crms_own(sync: Any, anonymous: Any, client: Any) -> None:
    """BrightSync's token does not read people's mail; without a token nobody does."""
    put(client)
    assert_error(sync.get(PATH), 403)
    assert_error(anonymous.get(PATH), 401)


def test_a_store_without_timelines_does_not_offer_it(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """501, which BrightSync and the kit understand."""
    put(client)
    monkeypatch.delattr(store, "timelines")
    assert_error(client.get(PATH), 501)
