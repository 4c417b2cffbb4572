"""Users: whose token this is, and who of the company has an address."""

from typing import Any
from urllib.parse import quote

import pytest

import crm
from tests.samples import assert_error
from web import tokens

USERS = "/api/v1/users"
LOOKUP = f"{USERS}/lookup"
JOHN = {
    "id": "u1",
    "orgId": "org",
    "name": "John Smith",
    "email": "john@brightsync.example",
    "timezone": "Europe/Berlin",
}


def add(email: str, user_id: str, **fields: Any) -> Any:
    """A user more than the one of every test."""
    return crm.add_user({"id": user_id, "orgId": "org", "name": None, "timezone": "UTC", "email": email, **fields})


def ids(client: Any, query: str) -> list[str]:
    """The ids of the users that a look-up finds, in its order."""
    response = client.get(f"{LOOKUP}?{query}")
    assert response.status_code == 200, response.text
    return [user["id"] for user in response.json]


@pytest.mark.parametrize("scope", ["sync", "admin"])
def test_me_is_the_user_of_the_token(anonymous: Any, scope: str) -> None:
    """id, orgId, name, email and timezone, nothing else; whatever the token's scope."""
    anonymous.token = tokens.create("u1", scope)
    response = anonymous.get("/api/v1/users/me")
    assert (response.status_code, response.json) == (200, JOHN)


def test_each_token_tells_its_own_user(anonymous: Any, sync: Any) -> None:
    """A name that is not known is null."""
    carol = add("Carol@BrightSync.example", "u2")
    anonymous.token = tokens.create("u2")
    assert anonymous.get("/api/v1/users/me").json == carol
    assert carol["name"] is None
    assert sync.get("/api/v1/users/me").json == JOHN


def test_users_come_in_the_order_of_the_addresses_asked_for(sync: Any) -> None:
    """Whole, and each once, whatever the spelling."""
    carol = add("carol@brightsync.example", "u2")
    query = {
        "emails": "no@acme.example,Carol <CAROL@brightsync.example.>,john@brightsync.example,John@brightsync.example"
    }
    response = sync.get(LOOKUP, query_string=query)
    assert (response.status_code, response.json) == (200, [carol, JOHN])


@pytest.mark.parametrize(
    "query",
    [
        "emails=john@brightsync.example,carol@brightsync.example",
        "emails=john@brightsync.example&emails=carol@brightsync.example",
        "emails[]=john@brightsync.example&emails%5B%5D=carol@brightsync.example",
        "emails=John@BrightSync.example&emails[]=,carol@brightsync.example,",
    ],
)
def test_several_addresses_come_in_any_form(sync: Any, query: str) -> None:
    """As for contacts."""
    add("carol@brightsync.example", "u2")
    assert ids(sync, query) == ["u1", "u2"]


def test_unknown_addresses_find_nobody(sync: Any) -> None:
    """An empty array, also for what is no address."""
    assert ids(sync, "emails=nobody@brightsync.example,brightsync.example,@") == []


def test_a_plus_that_arrives_as_a_space_is_found(sync: Any) -> None:
    """Clients leave it unencoded in query strings."""
    add("carol+crm@brightsync.example", "u2")
    assert ids(sync, "emails=carol+crm@brightsync.example") == ["u2"]


def test_addresses_are_looked_up_normalized_and_returned_as_written(sync: Any) -> None:
    """Also those of international domains."""
    add("Carol@MÜNCHEN.example", "u2")
    response = sync.get(f"{LOOKUP}?emails={quote('carol@xn--mnchen-3ya.example')}")
    assert [user["email"] for user in response.json] == ["Carol@MÜNCHEN.example"]


@pytest.mark.parametrize("query", ["", "emails=", "emails=,", "email=john@brightsync.example"])
def test_a_missing_or_empty_list_is_refused(sync: Any, query: str) -> None:
    """422, by the name of the parameter."""
    error = assert_error(sync.get(f"{LOOKUP}?{query}"), 422)
    assert error["errors"]["query"].keys() == {"emails"}


def test_up_to_two_hundred_distinct_addresses_are_taken(sync: Any) -> None:
    """One more is refused."""
    addresses = ["john@brightsync.example", *(f"a{n}@acme.example" for n in range(199))]
    assert ids(sync, f"emails={','.join(addresses)}") == ["u1"]
    assert_error(sync.get(f"{LOOKUP}?emails={','.join([*addresses, 'one@more.example'])}"), 422)


def test_all_users_are_listed_page_by_page(client: Any) -> None:
    """In the order of their ids, each once, as look-ups show them."""
    others = [add(f"carol{n}@brightsync.example", f"c{n}") for n in range(5)]
    assert client.get(USERS).json == [*others, JOHN]
    seen, path = [], f"{USERS}?limit=2"
    while path:
        answer = client.get(path)
        assert len(answer.json) <= 2
        seen += answer.json
        path = answer.headers.get("Link", "")[1:].partition(">")[0]
    assert seen == [*others, JOHN]


def test_a_user_is_changed_in_the_named_fields_alone(client: Any) -> None:
    """And is found by the new address, no longer by the old one; the tokens stay."""
    add("carol@brightsync.example", "u2", name="Carol")
    answer = client.patch(f"{USERS}/u2", json={"email": "Carol <CAROL.Jones@brightsync.example>"})
    changed = {"id": "u2", "orgId": "org", "name": "Carol", "timezone": "UTC"}
    assert (answer.status_code, answer.json) == (200, {**changed, "email": "Carol <CAROL.Jones@brightsync.example>"})
    assert ids(client, "emails=carol.jones@brightsync.example") == ["u2"]
    assert ids(client, "emails=carol@brightsync.example") == []
    assert client.patch(f"{USERS}/u1", json={"name": None, "timezone": "Europe/Paris"}).json == {
        **JOHN,
        "name": None,
        "timezone": "Europe/Paris",
    }
    assert client.patch(f"{USERS}/u1", json={"id": "other", "orgId": "other"}).json["id"] == "u1"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"email": "JOHN@brightsync.example"}, 409),
        ({"email": "carol"}, 422),
        ({"email": ""}, 422),
        ({"email": None}, 422),
        ({"timezone": "Mars/Olympus"}, 422),
        ({"timezone": "../UTC"}, 422),
        ({"timezone": None}, 422),
        ({"name": "x" * 1001}, 422),
        ({"email": "a@" + "x" * 1001}, 422),
    ],
)
def test_a_user_does_not_become_what_cannot_be(client: Any, change: Any, status: int) -> None:
    """Another user's address, no address, no time zone, too long a name: nothing changes."""
    carol = add("carol@brightsync.example", "u2")
    assert_error(client.patch(f"{USERS}/u2", json=change), status)
    assert client.get(USERS).json == [JOHN, carol]


def test_a_user_is_removed_with_the_tokens_and_the_mail_stays(client: Any, anonymous: Any) -> None:
    """And is known to no call any more."""
    add("carol@brightsync.example", "u2")
    anonymous.token = tokens.create("u2")
    email = anonymous.post("/api/v1/emails", json={"subject": "Offer"}).json
    assert client.delete(f"{USERS}/u2").status_code == 204
    assert_error(client.delete(f"{USERS}/u2"), 404)
    assert_error(client.patch(f"{USERS}/u2", json={}), 404)
    assert_error(anonymous.get("/api/v1/users/me"), 401)
    assert client.get(f"/api/v1/emails/{email['id']}").json == email
    assert client.get("/api/v1/users/me").json == JOHN


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("PATCH", "/u1"), ("DELETE", "/u1")])
def test_only_an_admin_lists_and_changes_users(sync: Any, method: str, path: str) -> None:
    """BrightSync needs none of it."""
    assert_error(sync.open(f"{USERS}{path}", method=method, json={}), 403)
