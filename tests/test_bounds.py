"""Contacts and companies have bounds that no real record meets, so that no list of them grows without end."""

from typing import Any

import pytest

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
    ],
)
def test_one_more_is_refused(client: Any, method: str, kind: str, most: dict[str, Any]) -> None:
    path = f"/api/v1/{kind}" + ("" if method == "POST" else "/1")
    assert client.put(f"/api/v1/{kind}/1", json=most).status_code in (200, 201)
    ((name, value),) = most.items()
    if isinstance(value, list):
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
