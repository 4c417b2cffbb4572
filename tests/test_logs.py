"""What is logged: a line of JSON a request, and sentences that name the request which they are about."""

import json
import logging
import re
from datetime import date, datetime
from typing import Any

import pytest

import crm
from tests.samples import EMAILS, MAIL, ask, assert_error, serving, until

ID, SECRET = "X-Request-ID", "hushhush"


# ---- lines of JSON --------------------------------------------------------------------------------------------------


def test_a_request_is_a_line_of_json_on_standard_output(tmp_path: Any) -> None:
    """Time, id, method, route, status, milliseconds and the token's label, and nothing else is printed there."""
    with serving(tmp_path) as server:
        ids = []
        for method, path, token in [
            ("GET", "/api/v1/contacts/jane@acme.example?x=y", server.token),
            ("GET", f"{EMAILS}?address=jane@acme.example", "x"),
            ("DELETE", "/jane@acme.example", ""),
            ("JANE", "/health/live", ""),
            ("GET", "/docs/jane", ""),
        ]:
            _, headers, _ = ask(server, method, path, Authorization=f"Bearer {token}")
            ids.append(headers[ID])
        until(lambda: len(server.requests.read_text().splitlines()) == 5)
    by_id = {line["requestId"]: line for line in map(json.loads, server.requests.read_text().splitlines())}
    logged = [by_id[one] for one in ids]  # two that are answered side by side are written in any order
    assert [list(line) for line in logged] == [["time", "requestId", "method", "route", "status", "ms", "token"]] * 5
    assert [(line["method"], line["route"], line["status"], line["token"]) for line in logged] == [
        ("GET", "/api/v1/contacts/{id}", 404, "made at the first start"),
        ("GET", EMAILS, 401, None),
        ("DELETE", "-", 404, None),
        ("-", "-", 405, None),
        ("GET", "/docs/{name}", 404, None),
    ]
    for line in logged:
        assert 0 < line["ms"] < 60_000
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line["time"])


# ---- request ids ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", ["a", "3f2a-b_c.D", "x" * 64])
def test_the_caller_s_own_id_is_kept(anonymous: Any, sent: str) -> None:
    """So that a call can be followed through the proxy and the client's own logs."""
    assert anonymous.get("/health/live", headers={ID: sent}).headers[ID] == sent


@pytest.mark.parametrize("sent", ["", " ", "a b", "x" * 65, "jane@acme.example", "a,b", "<b>", "é", "a/b", '"'])
def test_an_id_that_may_be_anything_is_replaced(anonymous: Any, sent: str) -> None:
    """It ends up in logs, which other programs read."""
    assert re.fullmatch("[0-9a-f]{16}", anonymous.get("/health/live", headers={ID: sent}).headers[ID])


def test_every_answer_has_an_id_of_its_own(client: Any, anonymous: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors as well, of the application and of gunicorn."""
    monkeypatch.setattr(crm, "get_contact", None)
    answers = [
        anonymous.get("/health/live"),
        anonymous.get("/docs"),
        anonymous.get("/nowhere"),
        anonymous.get(EMAILS),
        anonymous.post("/health/live"),
        client.get("/api/v1/contacts/1"),
        client.post(EMAILS, json={"subject": 1}),
        client.post(EMAILS, data=b"x"),
        client.post(EMAILS, json={}),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 404, 401, 405, 500, 422, 415, 201]
    assert len({answer.headers[ID] for answer in answers}) == len(answers)


# ---- sentences ------------------------------------------------------------------------------------------------------


def test_a_fault_is_logged_with_its_place_and_without_what_was_sent(
    client: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The messages of exceptions often quote a value; their types and the traceback are what a repair needs."""

    def fails(record_id: str, values: Any, versions: Any) -> None:
        try:
            raise ValueError(SECRET)
        except ValueError as error:
            error.add_note(SECRET)
            raise KeyError(record_id, values, SECRET) from error

    monkeypatch.setattr(crm, "change_contact", fails)
    body = {"firstName": SECRET, "emailAddresses": [f"{SECRET}@acme.example"]}
    answer = client.patch(f"/api/v1/contacts/{SECRET}?{SECRET}={SECRET}", json=body, headers={ID: "call-1"})
    assert_error(answer, 500)
    assert answer.headers[ID] == "call-1"
    log = capsys.readouterr().err
    assert re.match(r"\S+Z ERROR A call failed, .* \(request call-1\)\n", log)
    for wanted in ("KeyError", "ValueError", "in change_contact", "test_logs.py", "in fails"):
        assert wanted in log
    assert SECRET not in f"{log}{answer.text}{answer.headers}"


RECORD = {"id": SECRET, "firstName": None, "lastName": SECRET, "emailAddresses": [SECRET], "companyId": None}


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (
            {"id": SECRET, "lastName": SECRET, "updatedAt": "x"},
            "without firstName, emailAddresses, companyId, createdAt",
        ),
        (
            {**RECORD, "createdAt": date(2026, 1, 31), "updatedAt": "x"},
            "with a date, where a text, number, list or None",
        ),
    ],
)
def test_what_is_wrong_with_a_record_of_a_store_is_named(
    client: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, record: Any, said: str
) -> None:
    """Whoever writes functions of a store reads how it differs from the description, and nothing of the record."""
    monkeypatch.setattr(crm, "get_contact", lambda record_id: record)
    assert_error(client.get("/api/v1/contacts/1"), 500)
    log = capsys.readouterr().err
    assert f"crm.records.BadRecord: {said}" in log
    assert SECRET not in log


def test_a_warning_names_the_request(client: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Also one of a room that knows of no requests."""
    client.post(EMAILS, json=MAIL)
    client.post(EMAILS, json=MAIL | {"subject": SECRET}, headers={ID: "call-2"})
    [line] = capsys.readouterr().err.splitlines()
    time, level, message = line.split(" ", 2)
    assert datetime.fromisoformat(time).tzinfo is not None
    assert (level, message) == ("WARNING", "email 1: the subject of a copy differs; the first stays (request call-2)")


def test_a_warning_of_a_command_names_none(app: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """There is none."""
    logging.getLogger("storage").warning("The %s is low.", "disk")
    assert re.fullmatch(r"\S+Z WARNING The disk is low\.\n", capsys.readouterr().err)


def test_a_log_that_is_no_terminal_has_no_colours(app: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Flask's own server writes some, wherever its log goes."""
    logging.getLogger("werkzeug").warning("\033[31m\033[1mGET %s\033[0m", "/nowhere")
    assert re.fullmatch(r"\S+Z WARNING GET /nowhere\n", capsys.readouterr().err)


def test_the_start_is_told_on_standard_error(tmp_path: Any) -> None:
    """The token is for a person; a program that reads the requests never sees it."""
    with serving(tmp_path) as server:
        assert ask(server, "GET", "/health/live")[0] == 200
        assert until(lambda: "health" in server.requests.read_text())
    assert server.token in server.output.read_text()
    assert server.token not in server.requests.read_text()
    told = [line for line in server.output.read_text().splitlines() if re.search("gunicorn|Listening|Shutting", line)]
    assert len(told) == 3
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z INFO ", line) for line in told)
