"""GET /api/v1/contacts/lookup: who in the CRM has one of these addresses."""

from typing import Any
from urllib.parse import quote

import pytest

from tests.samples import JANE, assert_error

LOOKUP = "/api/v1/contacts/lookup"


def put(client: Any, contact_id: str, *addresses: str) -> None:
    """A contact with these addresses."""
    assert client.put(f"/api/v1/contacts/{contact_id}", json={"emailAddresses": addresses}).status_code == 201


def ids(client: Any, query: str) -> list[str]:
    """The ids of the contacts that a look-up finds, in its order."""
    response = client.get(f"{LOOKUP}?{query}")
    assert response.status_code == 200, response.text
    return [contact["id"] for contact in response.json]


def test_a_known_address_finds_the_whole_contact(sync: Any) -> None:
    """The same record as by its id."""
    made = sync.post("/api/v1/contacts", json=JANE).json
    response = sync.get(LOOKUP, query_string={"emails": "jane@acme.example"})
    assert response.status_code == 200
    assert response.json == [made]
    assert made.keys() == {"id", "firstName", "lastName", "emailAddresses", "companyId", "createdAt", "updatedAt"}


@pytest.mark.parametrize("address", ["nobody@acme.example", "acme.example", "jane", "@", "<>", "jane@acme.example.org"])
def test_an_unknown_address_finds_nobody(client: Any, address: str) -> None:
    """An empty array, also for what is no address at all: never an error."""
    put(client, "jane", "jane@acme.example")
    assert ids(client, f"emails={quote(address)}") == []


def test_any_address_of_a_contact_finds_it(client: Any) -> None:
    """Not only the primary one."""
    put(client, "jane", "jane@acme.example", "jane@home.example", "j@old.example")
    for address in ("jane@acme.example", "jane@home.example", "j@old.example"):
        assert ids(client, f"emails={address}") == ["jane"]


def test_an_address_shared_by_two_contacts_finds_both_the_older_first(client: Any) -> None:
    """A family's or an office's address belongs to several people."""
    put(client, "b", "office@acme.example")
    put(client, "a", "office@acme.example")
    assert ids(client, "emails=office@acme.example") == ["b", "a"]


def test_contacts_of_the_same_age_come_by_id(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An import stores thousands within one tick of the clock; the answer is the same each time."""
    monkeypatch.setattr("crm.directory.change_time", lambda: "2026-01-31T09:30:00.000000Z")
    for contact_id in ("c", "a", "b"):
        put(client, contact_id, "office@acme.example")
    assert ids(client, "emails=office@acme.example") == ["a", "b", "c"]


def test_contacts_come_in_the_order_of_the_addresses_asked_for(client: Any) -> None:
    """Whichever of them is older, and each only once, at its first place."""
    put(client, "jane", "jane@acme.example", "jane@home.example")
    put(client, "john", "john@acme.example")
    put(client, "carol", "carol@acme.example")
    query = "emails=carol@acme.example,nobody@acme.example,jane@home.example,john@acme.example,jane@acme.example"
    assert ids(client, query) == ["carol", "jane", "john"]


@pytest.mark.parametrize(
    "query",
    [
        "emails=a@acme.example,b@acme.example,c@acme.example",
        "emails=a@acme.example&emails=b@acme.example&emails=c@acme.example",
        "emails[]=a@acme.example&emails[]=b@acme.example&emails[]=c@acme.example",
        "emails%5B%5D=a%40acme.example&emails=b%40acme.example%2Cc%40acme.example",
        "emails=a@acme.example&emails[]=b@acme.example,c@acme.example",
        "emails=,a@acme.example,,%20b@acme.example%20,&emails=&emails[]=c@acme.example",
        "emails=A%20%3Ca@acme.example%3E,%22B,%20of%20Acme%22%20%3Cb@acme.example%3E,c@acme.example",
        "page=1&emails=a@acme.example,b@acme.example&fields=id&emails=c@acme.example",
    ],
)
def test_several_addresses_come_in_any_form(client: Any, query: str) -> None:
    """Commas, repeated parameters, PHP's brackets, or any mix; other parameters are ignored."""
    for name in "abc":
        put(client, name, f"{name}@acme.example")
    assert ids(client, query) == ["a", "b", "c"]


def test_a_comma_inside_double_quotes_does_not_split(client: Any) -> None:
    """A quoted local part may hold one (RFC 5321, 4.1.2)."""
    put(client, "odd", '"a,b"@acme.example')
    put(client, "b", "b@acme.example")
    assert ids(client, "emails=%22a,b%22@acme.example,b@acme.example") == ["odd", "b"]


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        ("Jane@Acme.Example", "jane@acme.example"),
        ("jane@acme.example", " JANE@ACME.EXAMPLE. "),
        ("Jane Doe <jane@acme.example>", "jane@acme.example"),
        ("jane@acme.example", '"Doe, Jane" <Jane@acme.example>'),
        ("JOSÉ@acme.example", "jose\u0301@acme.example"),
        ("jane@MÜNCHEN.example", "jane@xn--mnchen-3ya.example"),
        ("jane@xn--mnchen-3ya.example", "jane@münchen.example"),
    ],
)
def test_addresses_are_compared_normalized_and_returned_as_written(client: Any, stored: str, asked: str) -> None:
    """Letter case, Unicode form, IDNA form, a display name and a final dot make no difference."""
    put(client, "jane", stored)
    response = client.get(LOOKUP, query_string={"emails": asked})
    assert [contact["emailAddresses"] for contact in response.json] == [[stored]]


@pytest.mark.parametrize("asked", ["janedoe@acme.example", "jane.doe+crm@acme.example", "jane@acme.example"])
def test_dots_and_tags_tell_addresses_apart(client: Any, asked: str) -> None:
    """Whether they mean the same mailbox only its own server knows."""
    put(client, "jane", "jane.doe@acme.example")
    assert ids(client, f"emails={quote(asked)}") == []


def test_a_plus_that_arrives_as_a_space_is_found(client: Any) -> None:
    """Clients leave it unencoded in query strings."""
    put(client, "jane", "jane+crm+x@acme.example")
    put(client, "john", "+john@acme.example")
    assert ids(client, "emails=jane+crm+x@acme.example,+john@acme.example") == ["jane", "john"]
    assert ids(client, "emails=jane%2Bcrm%2Bx@acme.example") == ["jane"]


def test_an_exact_match_wins_over_a_plus_that_arrived_as_a_space(client: Any) -> None:
    """What was asked for comes before what may have been meant."""
    put(client, "plus", "jane+crm@acme.example")
    put(client, "space", "jane crm@acme.example")
    assert ids(client, "emails=jane%20crm@acme.example") == ["space"]
    assert ids(client, "emails=jane%2Bcrm@acme.example") == ["plus"]


def test_two_hundred_distinct_addresses_are_taken(client: Any) -> None:
    """However often each of them comes, and in whatever spelling."""
    put(client, "last", "a199@acme.example")
    addresses = [f"a{n}@acme.example" for n in range(200)]
    query = ",".join([*addresses, *(address.upper() for address in addresses)])
    assert ids(client, f"emails={query}") == ["last"]


def test_more_than_two_hundred_distinct_addresses_are_refused(client: Any) -> None:
    """With the limit in the message."""
    query = ",".join(f"a{n}@acme.example" for n in range(201))
    error = assert_error(client.get(f"{LOOKUP}?emails={query}"), 422)
    assert "200" in str(error["errors"]["query"]["emails"])


@pytest.mark.parametrize(
    "query", ["", "emails=", "emails[]=", "emails=,%20,", "emails=&emails=", "email=a@acme.example"]
)
def test_a_missing_or_empty_list_is_refused(client: Any, query: str) -> None:
    """It would otherwise look as if nobody were known."""
    error = assert_error(client.get(f"{LOOKUP}?{query}"), 422)
    assert error["errors"]["query"].keys() == {"emails"}


def test_what_a_contact_is_changed_to_is_what_finds_it(client: Any) -> None:
    """Neither an address that it lost nor one of a contact that was removed does."""
    put(client, "jane", "jane@acme.example", "jane@home.example")
    put(client, "john", "john@acme.example")
    client.patch("/api/v1/contacts/jane", json={"emailAddresses": ["jane@home.example", "jane@new.example"]})
    client.delete("/api/v1/contacts/john")
    assert ids(client, "emails=jane@acme.example,john@acme.example") == []
    assert ids(client, "emails=jane@new.example") == ["jane"]
