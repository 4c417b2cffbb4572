"""Who may call: every route of the application, with every kind of token."""

import base64
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from flask import Flask

from tests.samples import assert_error
from web import tokens

# What the first table of the contract has, and what is the CRM's own use. A route that is in none of the three lists
# fails the first test: a new route is decided on here too, and so is a sync token that may do more.
SYNC = {
    "POST /api/v1/emails",
    "GET /api/v1/emails",
    "GET /api/v1/emails/ID",
    "PATCH /api/v1/emails/ID",
    "PUT /api/v1/emails/ID",
    "GET /api/v1/contacts/lookup",
    "POST /api/v1/contacts",
    "GET /api/v1/contacts/ID",
    "GET /api/v1/companies/lookup",
    "POST /api/v1/companies",
    "GET /api/v1/companies/ID",
    "GET /api/v1/contacts",
    "PUT /api/v1/contacts/ID",
    "PATCH /api/v1/contacts/ID",
    "DELETE /api/v1/contacts/ID",
    "GET /api/v1/companies",
    "PUT /api/v1/companies/ID",
    "PATCH /api/v1/companies/ID",
    "DELETE /api/v1/companies/ID",
    "GET /api/v1/users/me",
    "GET /api/v1/users/lookup",
}
ADMIN = {
    "DELETE /api/v1/emails/ID",
    "GET /api/v1/emails/ID/attachments/ID",
    "GET /api/v1/emails/ID/copies",
    "GET /api/v1/contacts/ID/emails",
    "GET /api/v1/changes",
    "GET /api/v1/companies/ID/emails",
    "GET /api/v1/threads",
    "GET /api/v1/threads/ID",
    "GET /api/v1/never-log",
    "POST /api/v1/never-log",
    "DELETE /api/v1/never-log/ID",
    "GET /api/v1/sync",
    "GET /api/v1/unmatched",
    "POST /api/v1/unmatched/ID/contact",
    "POST /api/v1/unmatched/ID/ignore",
    "GET /api/v1/users",
    "PATCH /api/v1/users/ID",
    "DELETE /api/v1/users/ID",
}
PUBLIC = {
    "GET /health/live",
    "GET /health/ready",
    "GET /openapi.json",
    "GET /docs",
    "GET /docs/start.js",
    "GET /docs/swagger-ui.css",
}


def calls(app: Flask) -> set[str]:
    """Method and path of each route, an ID in the place of every parameter; without HEAD and OPTIONS, and the pages
    (tests/test_pages.py), which no token opens."""
    found = set()
    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith("pages."):
            continue
        path = re.sub(r"<[^>]*>", "ID", rule.rule.replace("<name>", "swagger-ui.css"))
        found |= {f"{method} {path}" for method in rule.methods or () if method not in ("HEAD", "OPTIONS")}
    return found


def basic(user: str, password: str) -> str:
    """An Authorization header of HTTP's Basic scheme (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def call(client: Any, name: str, authorization: str | None) -> Any:
    """The answer to a call with a body that is good enough for any of them."""
    method, path = name.split()
    headers = {} if authorization is None else {"Authorization": authorization}
    return client.open(path, method=method, headers=headers, json={} if method in ("POST", "PUT", "PATCH") else None)


def assert_challenged(response: Any) -> None:
    """401, with the ways to do better."""
    assert_error(response, 401)
    challenges = response.headers.getlist("WWW-Authenticate")
    assert [challenge.split()[0].casefold() for challenge in challenges] == ["bearer", "basic"]


def made_a_day_ago(monkeypatch: pytest.MonkeyPatch, days: int) -> str:
    """A token that ends so many days after it was made, which was a day and a second ago."""
    with monkeypatch.context() as patch:
        ended = datetime.now(UTC) - timedelta(days=1, seconds=1)
        patch.setattr(tokens, "datetime", type("Past", (), {"now": lambda zone: ended}))
        return tokens.create("u1", "admin", days=days)


def revoked() -> str:
    """A token that was ended by command."""
    token = tokens.create("u1", "admin")
    assert tokens.revoke(max(row["id"] for row in tokens.listed()))
    return token


def deleted() -> str:
    """A token whose user was erased."""
    token = tokens.create("u2", "admin")
    tokens.delete(["u2"])
    return token


def mistyped() -> str:
    """A token with one letter changed."""
    token = tokens.create("u1", "admin")
    return token[:10] + ("a" if token[10] != "a" else "b") + token[11:]


def never_was() -> str:
    """A token as they look, that nobody made."""
    return tokens.PREFIX + "0" * 30


@pytest.fixture(autouse=True)
def _no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many logins may fail as these tests need; tests/test_throttle.py is about their number."""
    monkeypatch.setattr(tokens, "FAILURES", 1_000_000)


def test_every_route_has_a_rule(app: Flask) -> None:
    """What is not in the lists above is neither protected by accident nor open by one."""
    assert calls(app) == SYNC | ADMIN | PUBLIC
    assert len(calls(app)) == len(SYNC) + len(ADMIN) + len(PUBLIC)


@pytest.mark.parametrize(
    ("kind", "allowed"),
    [
        ("none", PUBLIC),
        ("malformed", PUBLIC),
        ("mistyped", PUBLIC),
        ("never was", PUBLIC),
        ("revoked", PUBLIC),
        ("expired", PUBLIC),
        ("deleted", PUBLIC),
        ("sync", PUBLIC | SYNC),
        ("admin", PUBLIC | SYNC | ADMIN),
        ("not yet expired", PUBLIC | SYNC | ADMIN),
    ],
)
def test_a_token_opens_what_it_may_and_nothing_else(
    app: Flask, anonymous: Any, monkeypatch: pytest.MonkeyPatch, kind: str, allowed: set[str]
) -> None:
    """Every route that the application has, with this kind of token: as Bearer, and both ways of Basic."""
    made: dict[str, Callable[[], str]] = {
        "malformed": lambda: "x",
        "mistyped": mistyped,
        "never was": never_was,
        "revoked": revoked,
        "expired": lambda: made_a_day_ago(monkeypatch, days=1),
        "deleted": deleted,
        "sync": lambda: tokens.create("u1", "sync"),
        "admin": lambda: tokens.create("u1", "admin"),
        "not yet expired": lambda: made_a_day_ago(monkeypatch, days=2),
    }
    ways: list[str | None] = [None]
    if kind in made:
        token = made[kind]()
        ways = [f"Bearer {token}", basic("any", token), basic(token, "")]
    for name, authorization in product(sorted(calls(app)), ways):
        with call(anonymous, name, authorization) as response:
            if name in allowed:
                assert response.status_code in (200, 201, 204, 404, 422), (name, response.text)
            elif kind == "sync":
                assert_error(response, 403)
            else:
                assert_challenged(response)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_health_and_the_description_need_no_token(anonymous: Any, name: str) -> None:
    """Nor does a wrong one matter."""
    for authorization in (None, "Bearer x", "nonsense"):
        with call(anonymous, name, authorization) as response:
            assert response.status_code == 200


@pytest.mark.parametrize(
    "authorization",
    [
        lambda token: f"Bearer {token}",
        lambda token: f"bearer {token}",
        lambda token: f"BEARER  {token} ",
        lambda token: basic("", token),
        lambda token: basic("anybody", token),
        lambda token: basic("jane@acme.example", token),
        lambda token: basic(token, ""),
        lambda token: basic(token, token),
        lambda token: basic(token, "").replace("Basic", "basic"),
    ],
)
def test_a_token_comes_as_bearer_or_by_basic(anonymous: Any, authorization: Callable[[str], str]) -> None:
    """By Basic as the password of any user, or as the user name with an empty password."""
    response = call(anonymous, "GET /api/v1/users/me", authorization(tokens.create("u1")))
    assert response.status_code == 200


@pytest.mark.parametrize(
    "authorization",
    [
        lambda token: token,
        lambda token: "",
        lambda token: "Bearer",
        lambda token: "Bearer ",
        lambda token: f"Bearer {token} {token}",
        lambda token: f"Bearer x{token}",
        lambda token: f"Bearer {token}x",
        lambda token: f"Bearer {token.lower() if token.lower() != token else token.upper()}",
        lambda token: f"Bearer token={token}",
        lambda token: f"Bearer \xe9{token}",
        lambda token: f"Token {token}",
        lambda token: f"Digest username={token}",
        lambda token: "Basic",
        lambda token: "Basic !!!",
        lambda token: f"Basic {token}",
        lambda token: "Basic " + base64.b64encode(b"\xff:\xfe").decode(),
        lambda token: "Basic " + base64.b64encode(b":").decode(),
        lambda token: basic("", ""),
        lambda token: basic(token, "wrong"),
        lambda token: basic("any", f"{token}:"),
    ],
)
def test_a_malformed_authorization_is_no_token(anonymous: Any, authorization: Callable[[str], str]) -> None:
    """Never an error of the server, and no second guess at what was meant."""
    assert_challenged(call(anonymous, "GET /api/v1/users/me", authorization(tokens.create("u1"))))


def test_a_token_in_the_query_opens_nothing(anonymous: Any) -> None:
    """Addresses end up in logs."""
    token = tokens.create("u1")
    assert_challenged(anonymous.get(f"/api/v1/users/me?access_token={token}&token={token}"))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1", 404),
        ("GET", "/api/v1/", 404),
        ("GET", "/api/v1/nowhere", 404),
        ("GET", "/api/v1/emails/1/", 404),
        ("GET", "/api/v1/contacts/nobody", 404),
        ("POST", "/api/v1/users/me", 405),
        ("BREW", "/api/v1/emails", 405),
        ("POST", "/api/v1/emails", 415),
        ("GET", "/api/v1/contacts/lookup", 422),
    ],
)
def test_who_may_not_call_is_told_nothing_else(
    anonymous: Any, client: Any, method: str, path: str, status: int
) -> None:
    """401 comes before whatever else is wrong."""
    assert_challenged(anonymous.open(path, method=method, data="x"))
    assert_error(client.open(path, method=method, data="x"), status)


@pytest.mark.parametrize(
    ("data", "kind"), [(b"x", "text/plain"), (b"{", "application/json"), (b"[]", "application/json")]
)
def test_a_scope_that_is_missing_comes_before_a_bad_body(sync: Any, data: bytes, kind: str) -> None:
    """403, not 415, 400 or 422."""
    assert_error(sync.delete("/api/v1/emails/42", data=data, content_type=kind), 403)


def test_a_method_that_is_not_there_names_those_that_are(client: Any) -> None:
    """405 with Allow (RFC 9110, 15.5.6)."""
    response = client.put("/api/v1/emails", json={})
    assert_error(response, 405)
    assert {"GET", "POST"} <= set(response.headers["Allow"].split(", "))


def test_head_is_guarded_like_get(sync: Any, anonymous: Any) -> None:
    """The same status, without a body."""
    for path in (name.split()[1] for name in SYNC | ADMIN if name.startswith("GET ")):
        assert sync.head(path).status_code == sync.get(path).status_code
        assert sync.head(path).data == b""
        assert anonymous.head(path).status_code == 401


def test_options_needs_a_token_and_changes_nothing(sync: Any, anonymous: Any) -> None:
    """It tells the methods of a path, to any token."""
    for method, path in map(str.split, SYNC | ADMIN):
        assert_challenged(anonymous.options(path))
        response = sync.options(path)
        assert response.status_code == 200
        assert method in response.headers["Allow"].split(", ")


@pytest.mark.parametrize(
    "path",
    [
        "//api/v1/users/me",
        "/api//v1/users/me",
        "/api/v1//users/me",
        "/./api/v1/users/me",
        "/health/../api/v1/users/me",
        "/%61pi/v1/users/me",
        "/api%2Fv1/users/me",
        "/API/V1/users/me",
        "/api/v1/users/me/",
        "/docs/../api/v1/users/me",
        "/docs/%2e%2e/api/v1/users/me",
        "/docs/..%2f..%2fapp.py",
        "/docs/index.html",
    ],
)
def test_no_other_spelling_of_a_path_gets_around_the_token(anonymous: Any, path: str) -> None:
    """Whatever the server makes of it, it is not an answer."""
    assert anonymous.get(path).status_code in (301, 308, 401, 404)


def test_answers_are_kept_in_no_cache_and_taken_for_nothing_else(client: Any, anonymous: Any) -> None:
    """They hold people's emails."""
    for response in (client.get("/api/v1/users/me"), client.get("/api/v1/emails/1"), anonymous.get("/api/v1/emails")):
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
