"""Contacts: found or created by BrightSync, kept by the CRM under its own ids."""

from threading import Thread
from typing import Any
from urllib.parse import quote, unquote

import pytest

import database
import store
from tests.samples import ACME, JANE, assert_error

CONTACTS = "/api/v1/contacts"
NOBODY: dict[str, Any] = {"firstName": None, "lastName": None, "emailAddresses": [], "companyId": None}


def put(client: Any, contact_id: str, **fields: Any) -> Any:
    """A contact under this id; gives the record."""
    response = client.put(f"{CONTACTS}/{quote(contact_id, safe='')}", json=fields)
    assert response.status_code in (200, 201), response.text
    return response.json


def own(contact: Any) -> Any:
    """What a client may write, of a contact that was returned."""
    return {name: contact[name] for name in NOBODY}


@pytest.fixture
def company_hidden(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Contact 42 is of company 7, which the CRM has deleted, and which its contact still names."""
    client.put("/api/v1/companies/7", json=ACME)
    put(client, "42", **JANE, companyId="7")
    monkeypatch.setattr(store.companies, "read", lambda ids: [])


@pytest.mark.usefixtures("company_hidden")
def test_a_company_that_the_crm_hides_stops_no_change_of_its_contact(client: Any) -> None:
    """It stays as it is where nothing else is said; another contact can't be given it."""
    filled = client.post(CONTACTS, json={"emailAddresses": [*JANE["emailAddresses"], "new@acme.example"]})
    assert (filled.status_code, filled.json["emailAddresses"][-1]) == (200, "new@acme.example")
    changed = client.patch(f"{CONTACTS}/42", json={"firstName": "J.", "companyId": "7"})
    assert (changed.status_code, changed.json["companyId"]) == (200, "7")
    assert_error(client.post(CONTACTS, json={"companyId": "7"}), 422)


def all_pages(client: Any, path: str) -> list[list[str]]:
    """The ids on each page of a list, from the first to that without a next link."""
    pages = []
    while path:
        response = client.get(path)
        assert response.status_code == 200, response.text
        pages.append([record["id"] for record in response.json])
        path = response.headers.get("Link", "").removeprefix("<").removesuffix('>; rel="next"')
    return pages


# POST


def test_a_stranger_is_created(sync: Any) -> None:
    """201, with the place of the new record and all its fields."""
    response = sync.post(CONTACTS, json=JANE)
    assert response.status_code == 201
    assert own(response.json) == {**NOBODY, **JANE}
    assert response.json["createdAt"] == response.json["updatedAt"]
    assert response.headers["Location"] == f"{CONTACTS}/{response.json['id']}"
    assert sync.get(response.headers["Location"]).json == response.json


def test_a_known_address_finds_its_contact(sync: Any) -> None:
    """200 with the contact unchanged, in whatever spelling the address comes."""
    made = sync.post(CONTACTS, json=JANE).json
    response = sync.post(CONTACTS, json={"firstName": "J.", "emailAddresses": ["Jane <JANE@Acme.Example>"]})
    assert (response.status_code, response.json) == (200, made)
    assert "Location" not in response.headers
    assert sync.get(f"{CONTACTS}/{made['id']}").json == made


def test_finding_fills_gaps_and_nothing_else(client: Any) -> None:
    """Empty names and companyId, and addresses that the contact lacked, behind those it has."""
    client.put("/api/v1/companies/7", json=ACME)
    put(client, "jane", firstName="", lastName="Doe", emailAddresses=["jane@acme.example"])
    sent = {
        "firstName": "Jane",
        "lastName": "Smith",
        "emailAddresses": ["jane@home.example", "JANE@acme.example", "jane@new.example"],
        "companyId": "7",
    }
    response = client.post(CONTACTS, json=sent)
    assert (response.status_code, response.json["id"]) == (200, "jane")
    assert own(response.json) == {
        "firstName": "Jane",
        "lastName": "Doe",
        "emailAddresses": ["jane@acme.example", "jane@home.example", "jane@new.example"],
        "companyId": "7",
    }
    assert client.get(f"{CONTACTS}/jane").json == response.json
    assert client.get(f"{CONTACTS}/lookup?emails=jane@new.example").json == [response.json]


def test_the_oldest_of_several_contacts_is_found(client: Any) -> None:
    """Whichever of the addresses is its own."""
    put(client, "old", emailAddresses=["jane@home.example"])
    put(client, "young", emailAddresses=["jane@acme.example"])
    response = client.post(CONTACTS, json={"emailAddresses": ["jane@acme.example", "jane@home.example"]})
    assert (response.status_code, response.json["id"]) == (200, "old")
    assert client.get(f"{CONTACTS}/young").json["emailAddresses"] == ["jane@acme.example"]


@pytest.mark.parametrize("sent", [{}, {"emailAddresses": []}, {"emailAddresses": ["undisclosed-recipients:;", ""]}])
def test_without_an_address_every_post_creates(sync: Any, sent: dict[str, Any]) -> None:
    """There is nothing by which two such contacts could be the same."""
    first, second = (sync.post(CONTACTS, json=sent) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json["id"] != second.json["id"]


def test_addresses_are_kept_as_written(sync: Any) -> None:
    """In order, with duplicates, and with what can't be read as an address."""
    addresses = [
        "Jane <JANE@Acme.Example>",
        "jane@acme.example",
        " x ",
        "",
        '"a,b"@acme.example',
        "jane@münchen.example",
    ]
    made = sync.post(CONTACTS, json={"emailAddresses": addresses}).json
    assert sync.get(f"{CONTACTS}/{made['id']}").json["emailAddresses"] == addresses


@pytest.mark.parametrize("sent", [{}, NOBODY, {**NOBODY, "emailAddresses": None}, {"id": None}])
def test_null_missing_and_empty_all_mean_none(sync: Any, sent: dict[str, Any]) -> None:
    """Returned: null for a scalar, an empty list for a list."""
    response = sync.post(CONTACTS, json=sent)
    assert response.status_code == 201, response.text
    assert own(response.json) == NOBODY


def test_an_own_id_is_never_another_contact(client: Any) -> None:
    """Two people who share an address stay two, and so do their emails."""
    put(client, "7", **JANE)
    made = client.post(CONTACTS, json={"id": "42", **JANE})
    assert (made.status_code, made.json["id"], made.headers["Location"]) == (201, "42", f"{CONTACTS}/42")
    assert client.get(f"{CONTACTS}/42").json == made.json
    found = client.get(f"{CONTACTS}/lookup?emails=jane@acme.example").json
    assert [contact["id"] for contact in found] == ["7", "42"]


def test_an_own_id_is_kept_and_found_again(client: Any) -> None:
    """The CRM's id comes before any address."""
    other = client.post(CONTACTS, json=JANE).json
    first = client.post(CONTACTS, json={"id": "42", "emailAddresses": ["new@acme.example"]})
    second = client.post(CONTACTS, json={"id": 42, **JANE})
    assert (first.status_code, first.json["id"]) == (201, "42")
    assert (second.status_code, second.json["id"]) == (200, "42")
    assert second.json["emailAddresses"] == ["new@acme.example", "jane@acme.example"]
    assert client.get(f"{CONTACTS}/{other['id']}").json == other


@pytest.mark.parametrize("company_id", ["7", 7, 7.0])
def test_the_id_of_a_company_is_a_text_or_an_integer(client: Any, company_id: str | float) -> None:
    """Returned as a text."""
    client.put("/api/v1/companies/7", json=ACME)
    response = client.post(CONTACTS, json={"companyId": company_id})
    assert (response.status_code, response.json["companyId"]) == (201, "7")


def test_a_company_that_does_not_exist_is_refused(client: Any) -> None:
    """On every way in, and nothing is stored or changed."""
    before = put(client, "jane", **JANE)
    sent = {"companyId": "nowhere", "firstName": "J.", "emailAddresses": ["new@acme.example"]}
    calls = [("POST", CONTACTS), ("PUT", f"{CONTACTS}/jane"), ("PUT", f"{CONTACTS}/new"), ("PATCH", f"{CONTACTS}/jane")]
    for method, path in calls:
        error = assert_error(client.open(path, method=method, json=sent), 422)
        assert error["errors"]["json"].keys() == {"companyId"}
    assert client.get(CONTACTS).json == [before]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("firstName", 5),
        ("firstName", ["Jane"]),
        ("lastName", {"text": "Doe"}),
        ("lastName", True),
        ("emailAddresses", {"0": "jane@acme.example"}),
        ("emailAddresses", [5]),
        ("emailAddresses", [["jane@acme.example"]]),
        ("companyId", True),
        ("companyId", 7.5),
        ("companyId", ""),
        ("companyId", "x" * 256),
        ("companyId", ["7"]),
        ("id", ""),
        ("id", "x" * 256),
        ("id", "a/b"),
        ("id", "lookup"),
        ("id", False),
    ],
)
def test_a_wrong_type_is_refused_by_the_name_of_its_field(sync: Any, field: str, value: Any) -> None:
    """422, with the reason under the field."""
    error = assert_error(sync.post(CONTACTS, json={field: value}), 422)
    assert error["errors"]["json"].keys() == {field}


def test_unknown_fields_are_ignored(sync: Any) -> None:
    """A client that learns a new field must not stop."""
    response = sync.post(CONTACTS, json={**JANE, "phone": "1", "createdAt": "x", "updatedAt": 5, "a.b": {"c": []}})
    assert response.status_code == 201
    assert own(response.json) == {**NOBODY, **JANE}
    assert response.json["createdAt"] != "x"


# GET


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_an_unknown_id_is_not_found(client: Any, method: str) -> None:
    """404 in the shape of all errors."""
    assert_error(client.open(f"{CONTACTS}/nobody", method=method, json=None if method == "GET" else {}), 404)


# PUT


def test_put_creates_under_the_own_id_of_the_crm(client: Any) -> None:
    """201 for an id never seen, and the place of the record."""
    response = client.put(f"{CONTACTS}/42", json=JANE)
    assert (response.status_code, response.headers["Location"]) == (201, f"{CONTACTS}/42")
    assert response.json["id"] == "42"
    assert own(response.json) == {**NOBODY, **JANE}


def test_put_replaces_what_is_there(client: Any) -> None:
    """200; what is not named is empty from then on; an id in the body says nothing."""
    client.put("/api/v1/companies/7", json=ACME)
    before = put(client, "42", **JANE, companyId="7")
    response = client.put(f"{CONTACTS}/42", json={"id": "43", "lastName": "Smith", "createdAt": "2000-01-01T00:00:00Z"})
    assert (response.status_code, response.json["id"]) == (200, "42")
    assert own(response.json) == {**NOBODY, "lastName": "Smith"}
    assert response.json["createdAt"] == before["createdAt"]
    assert response.json["updatedAt"] > before["updatedAt"]
    assert client.get(f"{CONTACTS}/42").json == response.json
    assert_error(client.get(f"{CONTACTS}/43"), 404)


def test_put_never_merges(client: Any) -> None:
    """It is the CRM saying what is so, also that two contacts share an address."""
    first = put(client, "1", **JANE)
    second = put(client, "2", **JANE, companyId=None)
    assert [first["id"], second["id"]] == ["1", "2"]
    assert client.get(f"{CONTACTS}/lookup?emails=jane@acme.example").json == [first, second]


@pytest.mark.parametrize(
    "contact_id", ["x" * 255, "urn:crm:7", "a b", "50%", "ä€𝄞", "a?b#c", "+", "lookups", "..x", "\\"]
)
def test_an_id_may_be_any_text(client: Any, contact_id: str) -> None:
    """Location leads to the record whatever has to be escaped."""
    response = client.put(f"{CONTACTS}/{quote(contact_id, safe='')}", json=JANE)
    assert (response.status_code, response.json["id"]) == (201, contact_id)
    assert unquote(response.headers["Location"]) == f"{CONTACTS}/{contact_id}"
    assert client.get(response.headers["Location"]).json == response.json


def test_an_id_longer_than_255_characters_is_nobody_s(client: Any) -> None:
    """No record can have it, in whatever call."""
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        assert_error(client.open(f"{CONTACTS}/{'x' * 256}", method=method, json={}), 404)


# PATCH


def test_patch_changes_the_fields_that_it_names(client: Any) -> None:
    """The list is replaced whole, null empties, the rest stays."""
    client.put("/api/v1/companies/7", json=ACME)
    before = put(client, "42", **JANE, companyId="7")
    sent = {"firstName": None, "emailAddresses": ["new@acme.example"], "id": "43", "updatedAt": "2000-01-01T00:00:00Z"}
    response = client.patch(f"{CONTACTS}/42", json=sent)
    assert response.status_code == 200
    assert response.json == {
        **before,
        "firstName": None,
        "emailAddresses": ["new@acme.example"],
        "updatedAt": response.json["updatedAt"],
    }
    assert response.json["updatedAt"] > before["updatedAt"]
    assert client.get(f"{CONTACTS}/42").json == response.json


@pytest.mark.parametrize("empty", [None, []])
def test_patch_can_take_all_addresses_away(client: Any, empty: list[str] | None) -> None:
    """A list that is null is an empty one."""
    put(client, "42", **JANE)
    assert client.patch(f"{CONTACTS}/42", json={"emailAddresses": empty}).json["emailAddresses"] == []
    assert client.get(f"{CONTACTS}/lookup?emails=jane@acme.example").json == []


def test_what_changes_nothing_leaves_no_trace(client: Any) -> None:
    """A CRM that writes all its contacts every night wakes no reader of the change feed."""
    before = put(client, "42", **JANE)
    changes = client.get("/api/v1/changes").json
    assert client.put(f"{CONTACTS}/42", json=JANE).json == before
    assert client.patch(f"{CONTACTS}/42", json={}).json == before
    assert client.patch(f"{CONTACTS}/42", json={"firstName": "Jane"}).json == before
    assert client.post(CONTACTS, json=JANE).json == before
    assert client.get("/api/v1/changes").json == changes


# DELETE


def test_delete_removes_the_contact(client: Any) -> None:
    """204 without a body, once; its id can be used again."""
    put(client, "42", **JANE)
    response = client.delete(f"{CONTACTS}/42")
    assert (response.status_code, response.data) == (204, b"")
    assert_error(client.get(f"{CONTACTS}/42"), 404)
    assert_error(client.delete(f"{CONTACTS}/42"), 404)
    assert client.get(f"{CONTACTS}/lookup?emails=jane@acme.example").json == []
    assert client.put(f"{CONTACTS}/42", json=JANE).status_code == 201


# the list


@pytest.fixture
def seven(client: Any) -> list[str]:
    """Seven contacts, the longest unchanged first."""
    names = ["g", "a", "f", "b", "e", "c", "d"]
    for name in names:
        put(client, name, firstName=name)
    return names


def test_the_list_is_all_contacts_the_longest_unchanged_first(client: Any, seven: list[str]) -> None:
    """Whole records, as by their ids."""
    response = client.get(CONTACTS)
    assert [contact["id"] for contact in response.json] == seven
    assert response.json[0] == client.get(f"{CONTACTS}/g").json
    assert "Link" not in response.headers
    client.patch(f"{CONTACTS}/a", json={"lastName": "A."})
    assert all_pages(client, CONTACTS) == [["g", "f", "b", "e", "c", "d", "a"]]


@pytest.mark.parametrize(
    ("limit", "sizes"), [(1, [1, 1, 1, 1, 1, 1, 1]), (3, [3, 3, 1]), (6, [6, 1]), (7, [7]), (100, [7])]
)
def test_pages_hold_each_contact_once(client: Any, seven: list[str], limit: int, sizes: list[int]) -> None:
    """The last page has no next link, also where it is full."""
    pages = all_pages(client, f"{CONTACTS}?limit={limit}")
    assert [len(page) for page in pages] == sizes
    assert sum(pages, []) == seven


def test_pages_of_contacts_that_changed_at_one_time_hold_each_once(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CRM whose own programs write the tables may give many one time."""
    monkeypatch.setattr("crm.directory.change_time", lambda: "2026-01-31T09:30:00.000000Z")
    for name in "cabed":
        put(client, name)
    assert all_pages(client, f"{CONTACTS}?limit=2") == [["a", "b"], ["c", "d"], ["e"]]


def test_a_page_is_25_records_unless_said_otherwise(client: Any) -> None:
    """And no total is counted."""
    for n in range(26):
        put(client, f"{n:02}")
    assert [len(page) for page in all_pages(client, CONTACTS)] == [25, 1]


def test_pages_are_not_shifted_by_what_happens_meanwhile(client: Any, seven: list[str]) -> None:
    """A reader misses nothing that stays, and meets again what was changed."""
    first = client.get(f"{CONTACTS}?limit=3")
    client.delete(f"{CONTACTS}/g")
    client.patch(f"{CONTACTS}/a", json={"lastName": "A."})
    put(client, "new")
    following = first.headers["Link"].removeprefix("<").removesuffix('>; rel="next"')
    assert all_pages(client, following) == [["b", "e", "c"], ["d", "a", "new"]]


def test_updated_since_gives_what_changed_at_or_after_a_time(client: Any, seven: list[str]) -> None:
    """So a reader goes on with the last updatedAt that it has seen, page by page."""
    since = client.get(f"{CONTACTS}/b").json["updatedAt"]
    assert all_pages(client, f"{CONTACTS}?updatedSince={since}&limit=3") == [["b", "e", "c"], ["d"]]
    assert all_pages(client, f"{CONTACTS}?updatedSince={since.removesuffix('Z')}") == [["b", "e", "c", "d"]]
    assert all_pages(client, f"{CONTACTS}?updatedSince=2000-01-01T00:00:00%2B02:00") == [seven]
    assert all_pages(client, f"{CONTACTS}?updatedSince=2999-01-01T00:00:00Z") == [[]]


def test_what_was_deleted_since_is_told_where_it_is_asked_for(client: Any, seven: list[str]) -> None:
    """In its place among the others, by id and time alone; not what was made again; elsewhere it is left out."""
    since = client.get(f"{CONTACTS}/b").json["updatedAt"]
    for name in "gacb":
        assert client.delete(f"{CONTACTS}/{name}").status_code == 204
    client.delete(f"/api/v1/companies/{client.put('/api/v1/companies/7', json={}).json['id']}")
    put(client, "c")
    query = f"updatedSince={since}&includeDeleted=true"
    assert all_pages(client, f"{CONTACTS}?limit=2&{query}") == [["e", "d"], ["g", "a"], ["b", "c"]]
    deleted = client.get(f"{CONTACTS}?{query}").json[2]
    told = {change["id"]: change["at"] for change in client.get("/api/v1/changes?limit=100").json}
    assert deleted == {"id": "g", "updatedAt": told["g"], "deleted": True}
    assert all_pages(client, f"{CONTACTS}?updatedSince={told['a']}&includeDeleted=1") == [["a", "b", "c"]]
    for without in ("", "&includeDeleted=false"):
        assert all_pages(client, f"{CONTACTS}?updatedSince={since}{without}") == [["e", "d", "c"]]
    assert all_pages(client, f"{CONTACTS}?includeDeleted=true") == [["f", "e", "d", "g", "a", "b", "c"]]


def test_who_asks_for_what_was_deleted_too_misses_nothing(client: Any) -> None:
    """A reader follows the last updatedAt, while others make, change and delete: it ends with what is there."""

    def write(name: str) -> None:
        for n in range(25):
            other = client.application.test_client()
            for method in ("PUT", "PATCH", *["DELETE"] * (n % 3 > 0), *["PUT"] * (n % 3 > 1)):
                path, headers = f"{CONTACTS}/{name}{n}", {"Authorization": f"Bearer {client.token}"}
                assert other.open(path, method=method, json={"lastName": method}, headers=headers).status_code < 300
        database.stop()

    writers = [Thread(target=write, args=(name,)) for name in "ab"]
    for writer in writers:
        writer.start()
    here: dict[str, Any] = {}
    since, left = "2000-01-01T00:00:00Z", 2
    while left:
        left = left if any(writer.is_alive() for writer in writers) else left - 1
        for one in client.get(f"{CONTACTS}?limit=100&includeDeleted=true&updatedSince={since}").json:
            since = one["updatedAt"]
            here[one["id"]] = None if one.get("deleted") else one
    assert {one for one in here if here[one]} == {f"{name}{n}" for name in "ab" for n in range(25) if n % 3 != 1}
    assert all(client.get(f"{CONTACTS}/{one}").json == here[one] for one in here if here[one])


def test_an_empty_filter_matches_nothing(client: Any, seven: list[str]) -> None:
    """Never everything."""
    assert all_pages(client, f"{CONTACTS}?updatedSince=") == [[]]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", "0"),
        ("limit", "101"),
        ("limit", "-1"),
        ("limit", "ten"),
        ("limit", "1e400"),
        ("limit", "9" * 5000),
        ("limit", ""),
        ("cursor", "x"),
        ("cursor", ""),
        ("cursor", "é"),
        ("cursor", "W10="),
        ("cursor", "W1tbW1tbW1tb"),
        ("cursor", "WyJ4IiwieSJd"),
        ("updatedSince", "2026-01-31"),
        ("updatedSince", "yesterday"),
        ("updatedSince", "2026-02-30T00:00:00Z"),
        ("updatedSince", "1769851800"),
        ("updatedSince", "0001-01-01T00:00:00+14:00"),
    ],
)
def test_a_wrong_parameter_is_refused_by_its_name(client: Any, name: str, value: str) -> None:
    """422, with the reason under the parameter."""
    error = assert_error(client.get(CONTACTS, query_string={name: value}), 422)
    assert error["errors"]["query"].keys() == {name}
