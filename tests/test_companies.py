"""Companies: found or created by domain, kept by the CRM under its own ids.

What they share with contacts (pages, parameters, ids) is tested there and here in brief: the code is the same.
"""

from typing import Any
from urllib.parse import quote

import pytest

from tests.samples import ACME, JANE, assert_error

COMPANIES = "/api/v1/companies"
NONE: dict[str, Any] = {"name": None, "domains": []}


def put(client: Any, company_id: str, **fields: Any) -> Any:
    """A company under this id; gives the record."""
    response = client.put(f"{COMPANIES}/{company_id}", json=fields)
    assert response.status_code in (200, 201), response.text
    return response.json


def own(company: Any) -> Any:
    """What a client may write, of a company that was returned."""
    return {name: company[name] for name in NONE}


def test_an_unknown_company_is_created(sync: Any) -> None:
    """201, with the place of the new record and all its fields."""
    response = sync.post(COMPANIES, json=ACME)
    assert response.status_code == 201
    assert own(response.json) == ACME
    assert response.headers["Location"] == f"{COMPANIES}/{response.json['id']}"
    assert sync.get(response.headers["Location"]).json == response.json


def test_a_known_domain_finds_its_company_and_fills_gaps(client: Any) -> None:
    """200: an empty name and domains that it lacked; what is there stays."""
    put(client, "7", domains=["acme.example"])
    response = client.post(COMPANIES, json={"name": "Acme", "domains": ["https://www.ACME.example", "acme.test"]})
    assert (response.status_code, response.json["id"]) == (200, "7")
    assert own(response.json) == {"name": "Acme", "domains": ["acme.example", "acme.test"]}
    again = client.post(COMPANIES, json={"name": "Other", "domains": ["acme.test"]})
    assert (again.status_code, again.json) == (200, response.json)
    assert client.get(f"{COMPANIES}/7").json == response.json


def test_a_domain_below_creates_a_company_of_its_own(sync: Any) -> None:
    """What finds or creates is the domain itself, not its parents: eu.acme.example may be a subsidiary."""
    sync.post(COMPANIES, json=ACME)
    assert sync.post(COMPANIES, json={"domains": ["eu.acme.example"]}).status_code == 201


def test_the_oldest_of_several_companies_is_found(client: Any) -> None:
    """Whichever of the domains is its own."""
    put(client, "old", domains=["old.example"])
    put(client, "young", domains=["young.example"])
    response = client.post(COMPANIES, json={"domains": ["young.example", "old.example"]})
    assert (response.status_code, response.json["id"]) == (200, "old")


@pytest.mark.parametrize("sent", [{}, {"name": "Acme"}, {"name": "Acme", "domains": ["", "@", "a b"]}])
def test_without_a_domain_every_post_creates(sync: Any, sent: dict[str, Any]) -> None:
    """A name does not make two companies the same."""
    assert [sync.post(COMPANIES, json=sent).status_code for _ in range(2)] == [201, 201]


@pytest.mark.parametrize("sent", [{}, NONE, {"name": None, "domains": None}, {"id": None}])
def test_null_missing_and_empty_all_mean_none(sync: Any, sent: dict[str, Any]) -> None:
    """Returned: null for a scalar, an empty list for a list."""
    response = sync.post(COMPANIES, json=sent)
    assert response.status_code == 201, response.text
    assert own(response.json) == NONE


def test_an_own_id_is_never_another_company(client: Any) -> None:
    """Though they share a domain."""
    put(client, "7", domains=["acme.example"])
    made = client.post(COMPANIES, json={"id": 42, "domains": ["acme.example"]})
    assert (made.status_code, made.json["id"]) == (201, "42")


def test_an_own_id_is_kept_and_found_again(client: Any) -> None:
    """Also one that is an integer."""
    first, second = (client.post(COMPANIES, json={"id": company_id}) for company_id in (7, "7"))
    assert [(first.status_code, first.json["id"]), (second.status_code, second.json["id"])] == [(201, "7"), (200, "7")]


@pytest.mark.parametrize(
    ("field", "value"), [("name", 5), ("name", []), ("domains", {}), ("domains", [5]), ("id", "a/b"), ("id", 1.5)]
)
def test_a_wrong_type_is_refused_by_the_name_of_its_field(sync: Any, field: str, value: Any) -> None:
    """422, with the reason under the field."""
    error = assert_error(sync.post(COMPANIES, json={field: value}), 422)
    assert error["errors"]["json"].keys() == {field}


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_an_unknown_id_is_not_found(client: Any, method: str) -> None:
    """404 in the shape of all errors."""
    assert_error(client.open(f"{COMPANIES}/nobody", method=method, json=None if method == "GET" else {}), 404)


def test_put_creates_or_replaces_and_never_merges(client: Any) -> None:
    """Under the CRM's own id; what is not named is empty from then on."""
    created = client.put(f"{COMPANIES}/7", json=ACME)
    assert (created.status_code, created.headers["Location"], created.json["id"]) == (201, f"{COMPANIES}/7", "7")
    assert client.put(f"{COMPANIES}/8", json=ACME).status_code == 201
    replaced = client.put(f"{COMPANIES}/7", json={"name": "Acme", "id": "9"})
    assert (replaced.status_code, replaced.json["id"]) == (200, "7")
    assert own(replaced.json) == {"name": "Acme", "domains": []}
    assert replaced.json["createdAt"] == created.json["createdAt"]
    assert replaced.json["updatedAt"] > created.json["updatedAt"]
    assert client.get(f"{COMPANIES}/7").json == replaced.json


def test_patch_changes_the_fields_that_it_names(client: Any) -> None:
    """The list is replaced whole; null empties."""
    put(client, "7", **ACME)
    changed = client.patch(f"{COMPANIES}/7", json={"domains": ["acme.test"]})
    assert (changed.status_code, own(changed.json)) == (200, {"name": "Acme Ltd", "domains": ["acme.test"]})
    assert own(client.patch(f"{COMPANIES}/7", json={"name": None, "domains": None}).json) == NONE


def test_what_changes_nothing_leaves_no_trace(client: Any) -> None:
    """Neither in the record's own time nor in the change feed."""
    before = put(client, "7", **ACME)
    changes = client.get("/api/v1/changes").json
    assert put(client, "7", **ACME) == client.post(COMPANIES, json=ACME).json == before
    assert client.patch(f"{COMPANIES}/7", json={}).json == before
    assert client.get("/api/v1/changes").json == changes


def test_delete_removes_the_company_and_keeps_its_contacts(client: Any) -> None:
    """They are without a company from then on, and changed, so that a reader of the list sees it."""
    put(client, "7", **ACME)
    before = client.post("/api/v1/contacts", json={**JANE, "companyId": "7"}).json
    response = client.delete(f"{COMPANIES}/7")
    assert (response.status_code, response.data) == (204, b"")
    assert_error(client.get(f"{COMPANIES}/7"), 404)
    assert_error(client.delete(f"{COMPANIES}/7"), 404)
    after = client.get(f"/api/v1/contacts/{before['id']}").json
    assert after == {**before, "companyId": None, "updatedAt": after["updatedAt"]}
    assert after["updatedAt"] > before["updatedAt"]


@pytest.mark.parametrize("company_id", ["urn:crm:7", "a b", "50%", "ä€𝄞"])
def test_an_id_may_be_any_text(client: Any, company_id: str) -> None:
    """Location leads to the record whatever has to be escaped; contacts can point to it."""
    response = client.put(f"{COMPANIES}/{quote(company_id)}", json=ACME)
    assert client.get(response.headers["Location"]).json["id"] == company_id
    assert client.post("/api/v1/contacts", json={"companyId": company_id}).json["companyId"] == company_id


def test_the_list_comes_in_pages_the_longest_unchanged_first(client: Any) -> None:
    """Each company once; updatedSince gives what changed at or after a time."""
    since = [put(client, name, name=name)["updatedAt"] for name in "dbca"][2]
    path, pages = f"{COMPANIES}?limit=3", []
    while path:
        response = client.get(path)
        pages.append([company["id"] for company in response.json])
        path = response.headers.get("Link", "").removeprefix("<").removesuffix('>; rel="next"')
    assert pages == [["d", "b", "c"], ["a"]]
    assert [company["id"] for company in client.get(f"{COMPANIES}?updatedSince={since}").json] == ["c", "a"]
    assert client.get(f"{COMPANIES}?updatedSince=").json == []


def test_what_was_deleted_since_is_told_where_it_is_asked_for(client: Any) -> None:
    """By id and time alone; a contact of the same id is another matter."""
    since = put(client, "a")["updatedAt"]
    put(client, "b")
    client.put("/api/v1/contacts/b", json={})
    client.delete(f"{COMPANIES}/a")
    client.delete("/api/v1/contacts/b")
    found = client.get(f"{COMPANIES}?updatedSince={since}&includeDeleted=true").json
    assert [(company["id"], company.get("deleted")) for company in found] == [("b", None), ("a", True)]
    assert found[1].keys() == {"id", "updatedAt", "deleted"}


@pytest.mark.parametrize(("name", "value"), [("limit", "0"), ("cursor", "x"), ("updatedSince", "2026-01-31")])
def test_a_wrong_parameter_is_refused_by_its_name(client: Any, name: str, value: str) -> None:
    """422, with the reason under the parameter."""
    error = assert_error(client.get(COMPANIES, query_string={name: value}), 422)
    assert error["errors"]["query"].keys() == {name}
