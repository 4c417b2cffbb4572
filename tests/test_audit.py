"""Who did what: the token of each change, the calls that were refused, and the command that shows both."""

import http.client
import json
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

import crm
import database
import models
from database import common
from tests.samples import EMAILS, MAIL, WITHIN, log, serving
from web import tokens

CONTACTS = "/api/v1/contacts"


@pytest.fixture
def audit(app: Flask) -> Any:
    """Runs `flask audit`; gives the lines that it prints."""

    def run(*options: str) -> list[str]:
        result = app.test_cli_runner().invoke(args=["audit", *options])
        assert result.exit_code == 0, result.output
        return result.stdout.splitlines()

    return run


@pytest.fixture
def told(audit: Any) -> Any:
    """Runs `flask audit --json`; gives the objects that it prints."""
    return lambda *options: [json.loads(line) for line in audit("--json", *options)]


def authors() -> list[int | None]:
    """The tokens of all changes, in order."""
    return [change["tokenId"] for change in crm.list_changes(limit=1000)]


# ---- changes --------------------------------------------------------------------------------------------------------


def test_each_change_names_the_token_that_made_it(sync: Any, client: Any, told: Any) -> None:
    """Whatever the call: BrightSync's logs the mail, the CRM's changes and removes it."""
    mail = log(sync, **MAIL)["id"]
    client.patch(f"{EMAILS}/{mail}", json={"subject": "new"})
    client.put(f"{CONTACTS}/7", json={"lastName": "Doe"})
    sync.post(EMAILS, json={**MAIL, "fromName": "J", "ccAddresses": ["new@acme.example"]})
    client.delete(f"{EMAILS}/{mail}")
    lines = told()
    assert [(line["tokenId"], line["action"], line["type"], line["id"]) for line in lines] == [
        (1, "created", "email", mail),
        (2, "changed", "email", mail),
        (2, "created", "contact", "7"),
        (1, "changed", "email", mail),
        (2, "deleted", "email", mail),
    ]
    assert [line["at"] for line in lines] == sorted(line["at"] for line in lines)


def test_what_one_call_does_to_other_records_is_its_token_s_too(client: Any) -> None:
    """The contacts that lose a company when it is removed."""
    client.put("/api/v1/companies/7", json={})
    client.put(f"{CONTACTS}/1", json={"companyId": "7"})
    client.delete("/api/v1/companies/7")
    assert authors() == [1, 1, 1, 1]


def test_a_command_has_no_token(client: Any) -> None:
    """Nor has what the same thread does after a call."""
    crm.add_contact({"firstName": None, "lastName": None, "emailAddresses": [], "companyId": None})
    log(client, **MAIL)
    crm.add_company({"name": None, "domains": []})
    assert authors() == [None, 1, None]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", EMAILS, 200), ("POST", EMAILS, 415), ("GET", f"{EMAILS}/7", 404), ("GET", "/api/v1/nowhere", 404)],
)
def test_a_call_leaves_nothing_behind_in_its_thread(client: Any, method: str, path: str, status: int) -> None:
    """However it ends."""
    assert client.open(path, method=method).status_code == status
    assert crm.calling_token.get() is None


def test_a_call_that_breaks_leaves_nothing_behind(app: Flask, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A 500 is an end as well."""
    seen = []

    def broken(_: str) -> None:
        seen.append(crm.calling_token.get())
        raise ZeroDivisionError

    monkeypatch.setattr(crm, "get_user", broken)
    app.testing = False
    assert client.get("/api/v1/users/me").status_code == 500
    assert seen == [1]
    assert crm.calling_token.get() is None


def test_a_thread_that_serves_several_keeps_them_apart(tmp_path: Path) -> None:
    """One worker with one thread, on one connection two tokens by turns, and a wrong one between them."""
    database.start(f"sqlite:///{tmp_path}/connector.db")
    crm.add_user({"id": "u1", "orgId": "o", "name": None, "email": "j@crm.example", "timezone": "UTC"})
    both = [tokens.create("u1", "admin"), tokens.create("u1", "sync")]
    with serving(tmp_path, WORKERS=1, THREADS=1) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=WITHIN)
        for n in range(10):
            for authorization, status in ((f"Bearer {both[n % 2]}", 201), ("Bearer x", 401)):
                headers = {"Content-Type": "application/json", "Authorization": authorization}
                connection.request("POST", EMAILS, json.dumps({"subject": str(n)}), headers)
                answer = connection.getresponse()
                assert (answer.status, bool(answer.read())) == (status, True)
        connection.close()
    assert authors() == [1, 2] * 5
    database.stop()


# ---- the command ----------------------------------------------------------------------------------------------------


def test_it_prints_a_table_with_the_newest_last(sync: Any, client: Any, audit: Any) -> None:
    """Time, token and what it is for, what was done, to what."""
    mail = log(sync, **MAIL)["id"]
    tokens.create("u1", label="for the CRM")
    client.token = tokens.create("u1", "admin", "made\u202eby hand")
    client.put(f"{CONTACTS}/7", json={})
    head, first, second = audit()
    assert head.split() == ["at", "token", "action", "type", "id"]
    assert first[27:] == f"  token 1                   created  email    {mail}"
    assert second[27:] == "  token 4 made\ufffdby hand      created  contact  7"
    assert first[:27] < second[:27]
    assert [line[: line.index("email")] for line in audit("--type", "email")[1:]] == [first[: first.index("email")]]


def test_an_empty_trail_is_a_head_alone(audit: Any, told: Any) -> None:
    """And nothing at all for a program."""
    assert len(audit()) == len(audit("--refused")) == 1
    assert told() == told("--refused") == []


def test_a_token_that_is_gone_keeps_its_number(client: Any, told: Any, audit: Any) -> None:
    """Revoked it keeps its label as well; deleted with its user, what it did is still known."""
    client.token = tokens.create("u1", "admin", "BrightSync")
    log(client, **MAIL)
    tokens.revoke(2)
    assert [line["token"] for line in told()] == ["token 2 BrightSync"]
    tokens.delete(["u1"])
    assert [(line["token"], line["tokenId"]) for line in told()] == [("token 2 (deleted)", 2)]
    assert "token 2 (deleted)" in audit()[-1]
    tokens.create("u1")
    assert told()[0]["token"] == "token 2 (deleted)"


def test_it_shows_what_it_is_asked_for(sync: Any, client: Any, told: Any) -> None:
    """By token, type, record and time, in any combination."""
    client.put(f"{CONTACTS}/1", json={})
    log(sync, **MAIL)
    client.patch(f"{CONTACTS}/1", json={"lastName": "Doe"})
    sync.post(CONTACTS, json={"lastName": "Roe"})

    def seqs(*options: str) -> list[int]:
        return [line["seq"] for line in told(*options)]

    times = {line["seq"]: line["at"] for line in told()}
    assert seqs() == [1, 2, 3, 4]
    assert seqs("--token", "1") == [2, 4]
    assert seqs("--type", "contact") == [1, 3, 4]
    assert seqs("--record", "1") == [1, 2, 3]
    assert seqs("--record", "1", "--type", "contact") == [1, 3]
    assert seqs("--type", "contact", "--token", "1") == [4]
    assert seqs("--since", times[3]) == [3, 4]
    assert seqs("--since", times[3], "--token", "2") == [3]
    assert seqs("--since", "2020-01-01") == [1, 2, 3, 4]
    assert seqs("--since", "2020-01-01T00:00:00+14:00", "--record", "9") == []
    assert seqs("--since", "9999-12-31") == []


@pytest.mark.parametrize(
    "options",
    [
        ["--since", "yesterday"],
        ["--since", "0001-01-01T00:00:00+14:00"],
        ["--token", "0"],
        ["--token", "BrightSync"],
        ["--refused", "--type", "email"],
        ["--refused", "--record", "1"],
    ],
)
def test_it_says_what_it_can_t_show(app: Flask, options: list[str]) -> None:
    """In a sentence."""
    result = app.test_cli_runner().invoke(args=["audit", *options])
    assert result.exit_code == 2
    assert "Error: " in result.stderr
    assert result.stdout == ""


def test_a_long_trail_comes_whole(client: Any, told: Any) -> None:
    """Each change once and in order, over the pages in which it is read."""
    with database.writing():
        for n in range(2500):
            crm.put_company(str(n), {"name": None, "domains": []})
    log(client, **MAIL)
    assert [line["seq"] for line in told()] == list(range(1, 2502))
    assert [line["seq"] for line in told("--token", "1")] == [2501]


def test_an_id_does_not_write_on_the_terminal(client: Any, audit: Any) -> None:
    """It is any text, a new line and an escape sequence as well."""
    client.put(f"{CONTACTS}/a%0Ab%1B%5B2J%C2%9B", json={})
    assert len(audit()) == 2
    assert all(line.isprintable() for line in [*audit(), *audit("--json")])


def test_a_crm_that_tells_of_no_changes_has_no_trail(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """The refused calls are ours all the same."""

    def not_offered(after: int, limit: int) -> None:
        raise crm.NotOffered

    monkeypatch.setattr(crm, "list_changes", not_offered)
    result = app.test_cli_runner().invoke(args=["audit"])
    assert result.exit_code == 1
    assert "Error: " in result.stderr
    assert app.test_cli_runner().invoke(args=["audit", "--refused"]).exit_code == 0


def test_changes_without_a_token_s_number_are_shown(app: Flask, audit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of a CRM that does not know who made them."""
    at = "2026-01-31T09:30:00.000000Z"
    change = {"seq": 1, "at": at, "type": "contact", "id": "7", "action": "changed"}
    monkeypatch.setattr(crm, "list_changes", lambda after, limit: [] if after else [change])
    assert audit()[1].split() == [at, "-", "changed", "contact", "7"]


# ---- refused calls --------------------------------------------------------------------------------------------------


def test_a_refused_call_is_kept_without_what_it_said(app: Flask, anonymous: Any, sync: Any, told: Any) -> None:
    """When, from where, by which token, method, route and status: no path, query, body, nor the token."""
    marker = "jane.marker@acme.example"
    unknown = "bsc_marker"
    headers = {"Authorization": f"Bearer {unknown}"}
    anonymous.patch(f"{EMAILS}/{marker}?x={marker}", json={"subject": marker}, headers=headers)
    other = {"REMOTE_ADDR": "127.0.0.2"}
    anonymous.open(f"/api/v1/{marker}", method="MARKER", headers=headers, environ_base=other)
    sync.delete(f"{EMAILS}/{marker}?x={marker}", json={"lastName": marker})
    lines = told("--refused")
    assert [{name: line[name] for name in line.keys() - {"seq", "at"}} for line in lines] == [
        {**place, "status": status, "address": address, "tokenId": number, "token": token, "times": 1}
        for place, status, address, number, token in [
            ({"method": "PATCH", "route": "/api/v1/emails/{id}"}, 401, "127.0.0.1", None, "-"),
            ({"method": "-", "route": "-"}, 401, "127.0.0.2", None, "-"),
            ({"method": "DELETE", "route": "/api/v1/emails/{id}"}, 403, "127.0.0.1", 1, "token 1"),
        ]
    ]
    assert "marker" not in str(database.rows("SELECT * FROM refusal")).casefold()


def test_the_table_of_refused_calls(sync: Any, audit: Any) -> None:
    """The same times and tokens, and what was called from where."""
    sync.delete(f"{EMAILS}/1")
    head, line = audit("--refused")
    assert head.split() == ["at", "token", "status", "times", "address", "method", "route"]
    assert (
        line[27:] == "  token 1                   403     1       127.0.0.1              DELETE   /api/v1/emails/{id}"
    )


def test_a_token_that_has_ended_is_named(anonymous: Any, told: Any) -> None:
    """Who still uses what was revoked is what an administrator looks for."""
    token = tokens.create("u1", "admin", "old laptop")
    tokens.revoke(1)
    anonymous.get(EMAILS, headers={"Authorization": f"Bearer {token}"})
    assert [line["token"] for line in told("--refused", "--token", "1")] == ["token 1 old laptop"]
    assert told("--refused", "--token", "2") == []


def test_what_is_wrong_with_a_call_is_no_refusal(client: Any, told: Any) -> None:
    """Nobody was kept out by a 404, 409, 415 or 422."""
    log(client, rfc822MsgId="a")
    other = log(client, rfc822MsgId="b")["id"]
    assert client.get(f"{EMAILS}/9").status_code == 404
    assert client.patch(f"{EMAILS}/{other}", json={"rfc822MsgId": "a"}).status_code == 409
    assert client.post(EMAILS, data="x").status_code == 415
    assert client.post(EMAILS, json={"receivedAt": "x"}).status_code == 422
    assert told("--refused") == []


@pytest.mark.sqlite("which tables there are is the same")
def test_where_the_records_are_somebody_else_s_refusals_are_kept(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a database with the connector's own tables alone."""
    monkeypatch.setattr(common, "_declared", lambda: models.OWN)
    database.start(url)
    assert not database.db.table_exists("email")
    assert tokens.Brake().refuse(401, "x", "192.0.2.1", "GET", "/api/v1/emails") == 0
    assert [row["address"] for row in tokens.list_refusals()] == ["192.0.2.1"]
    database.stop()
