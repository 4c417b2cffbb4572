"""Contacts and companies have bounds that no real record meets, so that no list of them grows without end."""

from typing import Any

import pytest

import crm
from tests.samples import assert_error


@pytest.mark.parametrize("method", ["PUT", "PATCH", "POST"])
@pytest.mark.parametrize(
    ("kind", "most"),
    [
        ("contacts", {"firstName": "x" * 1000}),
        ("contacts", {"lastName": "x" * 1000}),
        ("contacts", {"emailAddresses": ["x" * 1000]}),
        ("contacts", {"emailAddresses": ["a@acme.example"] * 500}),
        ("companies", {"name": "x" * 1000}),
        ("companies", {"domains": ["x" * 1000]}),
        ("companies", {"domains": ["acme.example"] * 500}),
        ("contacts", {"emailAddresses": ["x" * 1000] * 31 + ["x" * 500, "x" * 499, "x"]}),
        ("companies", {"domains": ["x" * 1000] * 31 + ["x" * 500, "x" * 499, "x"]}),
    ],
)
def test_one_more_is_refused(client: Any, method: str, kind: str, most: dict[str, Any]) -> None:
    path = f"/api/v1/{kind}" + ("" if method == "POST" else "/1")
    assert client.put(f"/api/v1/{kind}/1", json=most).status_code in (200, 201)
    ((name, value),) = most.items()
    if isinstance(value, list):  # one character more, or one entry
        larger: Any = [value[0] + "x"] if len(value) == 1 else [*value, value[0]]
    else:
        larger = value + "x"
    assert_error(client.open(path, method=method, json={name: larger}), 422)


def test_a_merge_does_not_grow_a_record_beyond_it(client: Any) -> None:
    addresses = [f"a{number}@acme.example" for number in range(501)]
    assert client.post("/api/v1/contacts", json={"emailAddresses": addresses[:500]}).status_code == 201
    answer = client.post("/api/v1/contacts", json={"emailAddresses": [addresses[0], addresses[500]]})
    assert_error(answer, 422)
    assert client.post("/api/v1/contacts", json={"emailAddresses": addresses[:2]}).status_code == 200


def test_a_merge_keeps_the_sum_too(client: Any) -> None:
    long = ["x" * 999 + str(number) for number in range(9)]
    many = ["a@acme.example", *long, *[f"{text[:-1]}y{n}"[:1000] for n, text in enumerate(long * 2)]]
    assert client.post("/api/v1/contacts", json={"emailAddresses": many}).status_code == 201
    more = ["a@acme.example", *["z" * 990 + str(number) for number in range(9)]]
    assert_error(client.post("/api/v1/contacts", json={"emailAddresses": more}), 422)


@pytest.mark.parametrize("field", ["name", "email", "orgId", "timezone"])
def test_a_user_has_bounds(app: Any, field: str) -> None:
    user = {"id": "u2", "orgId": "org", "name": "Jane", "email": "jane@acme.example", "timezone": "UTC"}
    with pytest.raises(crm.Invalid):
        crm.add_user({**user, field: "x" * 1001})
    assert crm.add_user({**user, "name": "x" * 1000})["id"] == "u2"
