"""The OpenAPI description as its reader meets it: names, texts, and examples that work when they are pasted."""

import json
import re
from typing import Any

import pytest

import crm
from tests.conftest import USER

# As somebody would try them on an empty database; what the others need is made first, and removed last.
ORDER = [
    *["add_company", "add_contact", "log_email", "add_rule", "list_rules", "remove_rule"],
    *["get_company", "get_contact", "get_email", "get_attachment"],
    *["put_company", "put_contact", "replace_email"],
    *["change_company", "change_contact", "change_email"],
    *["list_companies", "list_contacts", "list_changes", "find_emails", "list_copies", "timeline", "company_timeline"],
    *["list_threads", "get_thread"],
    *["lookup_companies", "lookup_contacts", "lookup_users", "get_me", "list_users", "live", "ready"],
    *["list_sync", "list_unmatched", "add_unmatched_contact", "ignore_unmatched"],
    *["change_user", "delete_user", "delete_email", "delete_contact", "delete_company"],
]


@pytest.fixture
def description(anonymous: Any) -> dict[str, Any]:
    """The description, as everybody may read it."""
    answer: dict[str, Any] = anonymous.get("/openapi.json").json
    return answer


@pytest.fixture
def operations(description: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The operations by their id, with their method, path and parameters."""
    return {
        operation["operationId"]: {
            **operation,
            "method": method,
            "path": path,
            "parameters": [*item.get("parameters", []), *operation.get("parameters", [])],
        }
        for path, item in description["paths"].items()
        for method, operation in item.items()
        if method != "parameters"
    }


def test_every_operation_has_a_name_and_a_summary_of_its_own(
    description: dict[str, Any], operations: dict[str, Any]
) -> None:
    """Clients are generated from the names."""
    assert len(operations) == sum(len(item.keys() - {"parameters"}) for item in description["paths"].values())
    assert len({operation["summary"] for operation in operations.values()}) == len(operations)
    tags = {tag["name"] for tag in description["tags"] if tag["description"]}
    assert {tag for operation in operations.values() for tag in operation["tags"]} == tags


def test_every_field_and_parameter_is_described(description: dict[str, Any], operations: dict[str, Any]) -> None:
    """What a name does not say stands beside it."""
    parameters = [parameter for operation in operations.values() for parameter in operation["parameters"]]
    fields = [
        field for schema in description["components"]["schemas"].values() for field in schema["properties"].values()
    ]
    assert [one for one in [*parameters, *fields] if not one.get("description")] == []


def test_what_a_call_needs_is_filled_in_on_the_page(operations: dict[str, Any]) -> None:
    """Swagger UI begins with `example`, and with no other keyword."""
    for operation in operations.values():
        for one in operation["parameters"]:
            if one.get("required"):
                assert one.get("example", one["schema"].get("example")) == one["schema"]["examples"][0], operation


def test_every_component_is_used(description: dict[str, Any]) -> None:
    """Nothing of the libraries' own."""
    used = set(re.findall(r'"#/components/(\w+/\w+)"', json.dumps(description)))
    components = description["components"]
    assert used == {f"{kind}/{name}" for kind in components.keys() - {"securitySchemes"} for name in components[kind]}


def test_every_refusal_is_an_error_with_its_header(description: dict[str, Any], operations: dict[str, Any]) -> None:
    """401 says how to show a token, 429 and 503 when to come back."""
    headers = {"401": ["WWW-Authenticate"], **dict.fromkeys(("429", "503"), ["Retry-After"])}
    responses = description["components"]["responses"]
    for operation in operations.values():
        for status, response in operation["responses"].items():
            if status >= "400":
                whole = responses[response["$ref"].rpartition("/")[2]]
                assert whole["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Error"}
                assert list(whole.get("headers", [])) == headers.get(status, [])
                if status != "422":  # which the schema itself shows
                    example = whole["content"]["application/json"]["example"]
                    assert (example["code"], example["status"]) == (int(status), whole["description"])
                    assert example["errors"] == {}


def test_only_the_health_calls_need_no_token(operations: dict[str, Any]) -> None:
    """Each of the others names the scope that the token must have."""
    scopes = {name: operation["security"] for name, operation in operations.items()}
    assert {name for name, security in scopes.items() if not security} == {"live", "ready"}
    assert scopes["log_email"] == [{"bearer": ["sync"]}, {"basic": ["sync"]}]
    assert scopes["delete_email"] == [{"bearer": ["admin"]}, {"basic": ["admin"]}]


def test_every_example_works(
    app: Any, client: Any, sync: Any, description: dict[str, Any], operations: dict[str, Any]
) -> None:
    """One after the other on an empty database, each is answered as described."""
    assert set(operations) == set(ORDER)
    sync.get("/api/v1/contacts/lookup?emails=new@acme.example")  # else it is not unmatched
    app.extensions["activity"].flush()
    crm.add_user({**USER, "id": "1", "email": "jim@brightsync.example"})  # which no call does
    for name in ORDER:
        operation = operations[name]
        for query in queries(operation):
            response = call(client, description, operation, query)
            assert str(response.status_code) in operation["responses"], name
            assert response.status_code < 300, (name, query, response.text)


def test_the_examples_are_one_story(client: Any, description: dict[str, Any], operations: dict[str, Any]) -> None:
    """What they look for is what they have made: no filter and no look-up comes back with empty hands."""
    for name in ("add_company", "add_contact", "log_email"):
        assert call(client, description, operations[name], {}).status_code == 201
    for name in ("find_emails", "lookup_companies", "lookup_contacts", "lookup_users", "timeline", "list_changes"):
        for query in queries(operations[name]):
            assert call(client, description, operations[name], query).json, (name, query)


def queries(operation: dict[str, Any]) -> list[dict[str, Any]]:
    """The parameters of the query that are required (of companies a domain or a name); with each of the others; with
    all of them."""
    examples = {
        parameter["name"]: (parameter["schema"]["examples"][0], parameter.get("required"))
        for parameter in operation["parameters"]
        if parameter["in"] == "query" and "examples" in parameter["schema"]
    }
    required = {name: value for name, (value, needed) in examples.items() if needed}
    with_one = [{**required, name: value} for name, (value, _) in examples.items()]
    with_all = {name: value for name, (value, _) in examples.items()}
    found = [*([required] if operation["operationId"] != "lookup_companies" else []), *with_one, with_all]
    return [query for place, query in enumerate(found) if query not in found[:place]]


def call(client: Any, description: dict[str, Any], operation: dict[str, Any], query: dict[str, Any]) -> Any:
    """The answer to an operation's own examples."""
    places = {one["name"]: one["schema"]["examples"][0] for one in operation["parameters"] if one["in"] == "path"}
    body = None
    if "requestBody" in operation:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        fields = description["components"]["schemas"][schema]["properties"]
        body = {name: field["examples"][0] for name, field in fields.items()}
    return client.open(operation["path"].format(**places), method=operation["method"], query_string=query, json=body)
