"""Every answer is what /openapi.json says: status, headers, media type, and each key with its type, and no key more."""

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import jsonschema_rs
import pytest
from flask import Flask
from peewee import OperationalError

import crm
import database
from tests.conftest import USER
from tests.samples import ACME, EMAILS, JANE, MAIL

CONTACTS = "/api/v1/contacts"
COMPANIES = "/api/v1/companies"
USERS = "/api/v1/users"
HEADERS = {"Location", "Link", "WWW-Authenticate", "Retry-After", "Content-Disposition", "Allow"}  # to be described

ODD_MAIL: dict[str, Any] = {
    "subject": "",
    "fromAddress": "undisclosed-recipients:;",
    "toAddresses": ["", "x", "x", {"name": "Jane", "address": "jane@acme.example"}],
    "attachments": [{}, {"id": [1], "content": "AAAA", "new": {"key": None}}, {"id": "1", "content": "SGVsbG8="}],
    "relatedTo": {"type": "Contact", "id": 1, "extra": [True]},
}


class Witness:
    """A client that holds each answer against the description, and remembers which it has seen."""

    def __init__(self, app: Flask, client: Any, spec: Any) -> None:
        self._urls = app.url_map.bind("")
        self._client = client
        self._spec = spec
        self._components = closed(spec["components"])
        self.seen: set[tuple[str, str, str]] = set()

    def call(self, method: str, path: str, client: Any = None, **options: Any) -> Any:
        """Make a call; gives the answer, which is as described."""
        answer = (client or self._client).open(path, method=method, **options)
        operation = self._urls.match(path.partition("?")[0], method, return_rule=True)[0].rule
        operation = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", operation)
        self._check(answer, f"{method} {operation}", self._spec["paths"][operation][method.lower()])
        self.seen.add((method, operation, str(answer.status_code)))
        return answer

    def _check(self, answer: Any, operation: str, described: Any) -> None:
        where = f"{operation}: {answer.status_code}"
        assert str(answer.status_code) in described["responses"], where
        response = described["responses"][str(answer.status_code)]
        if "$ref" in response:
            response = self._components["responses"][response["$ref"].rpartition("/")[2]]
        headers = response.get("headers", {})
        assert HEADERS.intersection(answer.headers.keys()) <= headers.keys(), where
        assert {name for name, header in headers.items() if header.get("required")} <= set(answer.headers.keys()), where
        for name in headers.keys() & set(answer.headers.keys()):
            self._validate(
                int(answer.headers[name]) if name == "Retry-After" else answer.headers[name], headers[name], where
            )
        content = response.get("content", {})
        if not content:
            assert answer.data == b"", where
        elif "application/json" in content:
            assert answer.content_type == "application/json", where
            self._validate(json.loads(answer.data), closed(content["application/json"]), where)

    def _validate(self, value: Any, described: Any, where: str) -> None:
        schema = {**described["schema"], "components": self._components}
        validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
        assert [f"{where}: {error.message}" for error in validator.iter_errors(value)] == []


def closed(schema: Any) -> Any:
    """The description, with no key allowed that it does not name where it names any."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: closed(one) for name, one in deepcopy(schema).items()}
    return inner | {"additionalProperties": False} if isinstance(inner.get("properties"), dict) else inner


@pytest.fixture
def spec(anonymous: Any) -> Any:
    """The description, as anybody gets it."""
    return anonymous.get("/openapi.json").json


@pytest.fixture
def witness(app: Flask, client: Any, spec: Any) -> Witness:
    """A client that may do all and checks every answer."""
    return Witness(app, client, spec)


def operations(spec: Any) -> Iterator[tuple[str, str, Any]]:
    """The method, path and description of each."""
    for path, methods in spec["paths"].items():
        for method in methods.keys() & {"get", "post", "put", "patch", "delete"}:
            yield method.upper(), path, methods[method]


def test_every_answer_is_as_it_is_described(app: Flask, witness: Witness, sync: Any, spec: Any) -> None:
    """Rich records and empty ones, on every route and with every status of success that the description has."""
    call = witness.call
    call("PUT", f"{COMPANIES}/7", json=ACME)
    call("PUT", f"{COMPANIES}/7", json={})
    call("PUT", f"{COMPANIES}/7", json=ACME)
    call("POST", COMPANIES, json={"domains": ["www.acme.example", "new.example"]})
    call("POST", COMPANIES, json={})
    call("PATCH", f"{COMPANIES}/7", json={"name": None})
    call("GET", f"{COMPANIES}/7")
    for query in ("domain=acme.example", "domain=none.example", "domain="):
        call("GET", f"{COMPANIES}/lookup?{query}")
    for query in ("", "?limit=1", "?updatedSince=2020-01-01T00:00:00Z", "?updatedSince="):
        call("GET", f"{COMPANIES}{query}")

    call("PUT", f"{CONTACTS}/1", json=JANE | {"companyId": 7})
    call("PUT", f"{CONTACTS}/1", json={})
    call("PATCH", f"{CONTACTS}/1", json=JANE | {"emailAddresses": ["jane@acme.example", "junk", ""]})
    call("POST", CONTACTS, json=JANE | {"companyId": "7"})
    call("POST", CONTACTS, json={})
    call("GET", f"{CONTACTS}/1")
    for query in ("emails=jane@acme.example,x", "emails=none@acme.example"):
        call("GET", f"{CONTACTS}/lookup?{query}")
    for query in ("", "?limit=1", "?updatedSince=2020-01-01T00:00:00Z"):
        call("GET", f"{CONTACTS}{query}")

    paths = [
        call("POST", EMAILS, json=mail).headers["Location"]
        for mail in (MAIL, ODD_MAIL, {}, MAIL | {"rfc822MsgId": "2"})
    ]
    call("POST", EMAILS, json=MAIL | {"ccAddresses": ["new@acme.example"]})
    for path in paths:
        call("GET", path)
    call("GET", f"{paths[1]}/attachments/1")
    call("GET", f"{paths[1]}/copies")
    for query in ("", "?limit=1", "?q=offer", "?address=jane@acme.example", "?contactId=1", "?msgId=none", "?msgId="):
        call("GET", f"{EMAILS}{query}")
    for query in ("", "?limit=1"):
        call("GET", f"{CONTACTS}/1/emails{query}")
        call("GET", f"{COMPANIES}/7/emails{query}")
        call("GET", f"/api/v1/threads{query}")
    call("GET", f"/api/v1/threads/{paths[0].rpartition('/')[2]}")
    for body in ({"relatedTo": {"type": "Contact", "id": 1}}, {"attachments": None}, {}):
        call("PATCH", paths[0], json=body)
    for body in (MAIL, ODD_MAIL, {}):
        call("PUT", paths[0], json=body)

    call("GET", f"{CONTACTS}/lookup?emails=new@acme.example", sync)
    sync.get(f"{CONTACTS}/none")
    call("GET", "/api/v1/sync")
    app.extensions["activity"].flush()
    call("GET", "/api/v1/unmatched")
    for what in ("contact", "contact", "ignore"):
        call("POST", f"/api/v1/unmatched/new@acme.example/{what}")
    for path in (
        "/api/v1/users/me",
        "/api/v1/users/lookup?emails=john@brightsync.example",
        "/health/live",
        "/health/ready",
    ):
        call("GET", path)
    call("GET", "/api/v1/users/lookup?emails=none@acme.example")
    crm.add_user(USER | {"id": "u2", "email": "carol@brightsync.example", "name": None})
    for query in ("", "?limit=1"):
        call("GET", f"{USERS}{query}")
    call("PATCH", f"{USERS}/u2", json={"timezone": "UTC"})
    call("DELETE", f"{USERS}/u2")
    rules = ({"kind": "domain", "value": "private.example", "reason": "x"}, {"kind": "internal"})
    ids = [call("POST", "/api/v1/never-log", json=rule).json["id"] for rule in rules]
    call("GET", "/api/v1/never-log")
    call("DELETE", f"/api/v1/never-log/{ids[0]}")
    for path in (paths[0], f"{CONTACTS}/1", f"{COMPANIES}/7"):
        call("DELETE", path)
    for query in ("", "?after=5&limit=1"):
        call("GET", f"/api/v1/changes{query}")

    described = {
        (method, path, status)
        for method, path, operation in operations(spec)
        for status in operation["responses"]
        if status.startswith("2")
    }
    assert witness.seen == described


def test_every_refusal_is_as_it_is_described(app: Flask, witness: Witness, sync: Any, anonymous: Any) -> None:
    """Each kind of error on every route on which it can come: described there, in the one shape."""
    call = witness.call
    app.config["BODY_LIMIT"] = 2000
    log = call("POST", EMAILS, json=MAIL).headers["Location"]
    other = call("POST", EMAILS, json={}).headers["Location"]
    routes = [("POST", EMAILS), ("PATCH", log), ("PUT", log)]
    routes += [("POST", path) for path in (CONTACTS, COMPANIES)] + [("PATCH", f"{USERS}/u1")]
    routes += [(method, f"{path}/1") for method in ("PUT", "PATCH") for path in (CONTACTS, COMPANIES)]
    bodies: list[tuple[int, dict[str, Any]]] = [
        (400, {"data": "{", "content_type": "application/json"}),
        (415, {"data": "{}", "content_type": "text/plain"}),
        (413, {"json": {"unknown": "x" * 2000}}),
        (422, {"json": []}),
    ]
    for method, path in routes:
        for status, body in bodies:
            assert call(method, path, **body).status_code == status
    for method in ("PATCH", "PUT"):
        assert call(method, other, json={"rfc822MsgId": MAIL["rfc822MsgId"]}).status_code == 409
    for method, path in [("POST", CONTACTS), ("PUT", f"{CONTACTS}/1")]:
        assert call(method, path, json={"companyId": "none"}).status_code == 422
    for path in (f"{EMAILS}/999", f"{CONTACTS}/999", f"{COMPANIES}/999"):
        for method in ("GET", "PATCH", "DELETE"):
            assert call(method, path, json={} if method == "PATCH" else None).status_code == 404
    crm.add_user(USER | {"id": "u2", "email": "carol@brightsync.example"})
    assert call("PATCH", f"{USERS}/u1", json={"email": "carol@brightsync.example"}).status_code == 409
    assert call("PATCH", f"{USERS}/u9", json={}).status_code == 404
    assert call("DELETE", f"{USERS}/u9").status_code == 404
    for path in (f"{CONTACTS}/999/emails", f"{log}/attachments/1", f"{log}/attachments/9"):
        assert call("GET", path).status_code == 404
    queries = [
        f"{EMAILS}?limit=0",
        f"{EMAILS}?q=-",
        f"{EMAILS}?receivedAfter=x",
        f"{CONTACTS}?cursor=x",
        f"{COMPANIES}?limit=x",
    ]
    queries += [
        f"{CONTACTS}/lookup",
        f"{CONTACTS}/lookup?emails=",
        f"{COMPANIES}/lookup",
        f"{USERS}/lookup?emails=,",
        f"{USERS}?limit=0",
    ]
    queries += ["/api/v1/changes?after=-1", f"{CONTACTS}/1/emails?limit=101", "/api/v1/unmatched?limit=0"]
    for path in queries:
        assert call("GET", path).status_code == 422, path

    everything = [(method, path) for method, path in routes] + [
        ("DELETE", path) for path in (log, f"{CONTACTS}/1", f"{COMPANIES}/1")
    ]
    everything += [("GET", path.partition("?")[0]) for path in [*queries, log, "/api/v1/users/me"]]
    for method, path in everything:
        assert call(method, path, anonymous).status_code == 401
    refused = {(method, path) for method, path in everything if call(method, path, sync).status_code == 403}
    assert refused == {
        ("GET", f"{CONTACTS}/1/emails"),
        ("GET", "/api/v1/changes"),
        ("GET", "/api/v1/unmatched"),
        ("DELETE", log),
        ("GET", USERS),
        ("PATCH", f"{USERS}/u1"),
    }


def test_a_database_that_can_not_serve_is_as_it_is_described(witness: Witness, spec: Any, monkeypatch: Any) -> None:
    """503 with Retry-After on every route that asks it anything; why is said to the one who asks for that."""

    def refuse(*_: Any) -> None:
        raise OperationalError("database or disk is full")

    monkeypatch.setattr(database.db.obj, "execute_sql", refuse)
    for method, path, operation in operations(spec):
        if path != "/health/live":
            answer = witness.call(method, re.sub(r"{\w+}", "1", path), json={})
            assert answer.status_code == 503, operation["summary"]
            assert ("disk is full" in answer.text) == (path == "/health/ready")


def test_no_key_gets_out_that_is_not_described(witness: Witness, monkeypatch: Any) -> None:
    """Whatever somebody's own tables hold beside the fields of a record, in a mapping or an object."""
    record = dict.fromkeys(("id", "createdAt", "updatedAt"), "2026-01-31T09:30:00.000000Z")
    contact = {**JANE, **record, "companyId": None, "passwordHash": "secret"}
    monkeypatch.setattr(crm, "get_contact", lambda _: contact)
    monkeypatch.setattr(crm, "lookup_contacts", lambda _: [SimpleNamespace(**contact)])
    monkeypatch.setattr(crm, "list_contacts", lambda **_: crm.Page([contact], None))
    monkeypatch.setattr(crm, "add_contact", lambda _: (contact, False))
    monkeypatch.setattr(crm, "get_email", lambda *_: {**MAIL, **record, "passwordHash": "secret"})
    paths = [f"{CONTACTS}/1", f"{CONTACTS}/lookup?emails=a@b.example", CONTACTS, f"{EMAILS}/1"]
    for answer in [*(witness.call("GET", path) for path in paths), witness.call("POST", CONTACTS, json={})]:
        assert "secret" not in answer.text
        assert "2026" in answer.text


def test_every_example_is_one(spec: Any) -> None:
    """What the description shows of a field is a value that the field may have."""
    shown = 0
    for name, component in spec["components"]["schemas"].items():
        for field, described in component["properties"].items():
            validator = jsonschema_rs.Draft202012Validator(
                {**described, "components": spec["components"]}, validate_formats=True
            )
            for example in described.get("examples", []):
                assert validator.is_valid(example), (name, field, example)
                shown += 1
    assert shown > 100
