"""The conformance kit: both storages keep every rule, a sound server of other choices Aurinko's, no fault gets by."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any, ClassVar, NamedTuple
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import pytest
from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

import crm
import database
from app import create_app
from commands.cli import FIRST_USER
from conformance import RULES, run
from conformance.__main__ import main
from conformance.run import check
from conformance.session import Session
from tests import memory
from tests.faults import FAULTS
from tests.postgresql import Databases
from tests.samples import PROJECT, environment, serving
from web import tokens

ADDRESS = "jane@connector.example"
USER = {"id": "u1", "orgId": "org", "name": "Jane Doe", "email": ADDRESS, "timezone": "Europe/Berlin"}


class Live(NamedTuple):
    """A server that answers, with BrightSync's token and the CRM's own."""

    base_url: str
    token: str
    admin_token: str


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the database is, whose tokens are good on both servers."""
    return tmp_path_factory.mktemp("connector")


@pytest.fixture(scope="module")
def app(folder: Path) -> Iterator[Flask]:
    """The application on a database with one user. Each of its calls closes its connection, as its thread ends."""
    application = create_app({"DATABASE_URL": f"sqlite:///{folder}/connector.db"})
    application.teardown_appcontext(lambda _: database.stop())
    crm.add_user(USER)
    yield application
    database.stop()


@pytest.fixture(scope="module")
def both_tokens(app: Flask) -> list[str]:
    """The user's tokens."""
    return [tokens.create(USER["id"], scope) for scope in ("sync", "admin")]


@pytest.fixture(scope="module")
def ours(folder: Path, both_tokens: list[str]) -> Iterator[Live]:
    """Our server, as it is served."""
    with serving(folder, WORKERS=2) as server:
        yield Live(f"http://127.0.0.1:{server.port}", *both_tokens)


@pytest.fixture(scope="module")
def in_memory(app: Flask, both_tokens: list[str]) -> Iterator[Live]:
    """The same application on the store of tests/memory.py, served by this process."""
    with pytest.MonkeyPatch.context() as patch, _served(app) as base_url:
        memory.stand_in(patch)
        patch.setattr(tokens, "FAILURES", 1_000_000)  # so that each rule sees its own 401
        crm.add_user(USER)
        yield Live(base_url, *both_tokens)


@pytest.fixture(scope="module")
def on_postgresql(tmp_path_factory: pytest.TempPathFactory, postgres: Databases) -> Iterator[Live]:
    """Our server on PostgreSQL, as it is served."""
    folder = tmp_path_factory.mktemp("postgresql")
    with postgres.fresh() as url, serving(folder, WORKERS=2, DATABASE_URL=url) as server:
        command = [sys.executable, "-m", "commands", "token", "create", FIRST_USER]
        made = subprocess.run(command, cwd=PROJECT, env=environment(folder, DATABASE_URL=url), capture_output=True)
        token = re.search(r"bsc_\w+", made.stdout.decode())
        assert token
        yield Live(f"http://127.0.0.1:{server.port}", token[0], server.token)


class Quiet(WSGIRequestHandler):
    """A handler that says nothing of each request."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


@contextmanager
def _served(application: Flask) -> Iterator[str]:
    """The address of an application that a thread of this process serves, with a thread for each request."""
    with make_server("127.0.0.1", 0, application, threaded=True, request_handler=Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module", params=["ours", "on_postgresql", "in_memory"])
def session(request: pytest.FixtureRequest) -> Iterator[Session]:
    """A session with each of the three."""
    opened = Session(*request.getfixturevalue(request.param))
    yield opened
    assert opened.clean_up() == []


@pytest.mark.parametrize("rule_id", RULES)
def test_our_server_keeps(rule_id: str, session: Session) -> None:
    """Our server offers everything and keeps every rule, on our tables in both databases and on the store in memory."""
    result = check(RULES[rule_id], session)
    assert result.status == "passed", f"{result.expected}\n{result.got}\n{result.curl}"


@pytest.mark.parametrize("name", FAULTS)
def test_the_fault_is_found(name: str, app: Flask, in_memory: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each fault that was planted is found by each of the rules that are about it."""
    rules, plant = FAULTS[name]
    plant(monkeypatch, app)
    report = run(*in_memory, only=rules.split())
    assert {result.rule.id: result.status for result in report.results} == dict.fromkeys(rules.split(), "failed")


def test_every_rule_can_fail() -> None:
    """A rule that no fault breaks might as well check nothing: who adds one adds a fault."""
    assert {rule for rules, _ in FAULTS.values() for rule in rules.split()} == RULES.keys()


class OtherCRM(BaseHTTPRequestHandler):
    """A sound connector of other choices: integer ids, 200 for a new record, 409 for one that is here, 400 with a
    plain text for what it refuses, PUT but no PATCH, comma lists only, no deletion, times with an offset."""

    token: ClassVar[str] = "other-token"
    loses: ClassVar[str] = ""
    ids: ClassVar[Iterator[int]] = count(1)
    emails: ClassVar[dict[int, dict[str, Any]]] = {}
    contacts: ClassVar[dict[int, dict[str, Any]]] = {}
    companies: ClassVar[dict[int, dict[str, Any]]] = {}
    lock: ClassVar[threading.RLock] = threading.RLock()

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        with self.lock:
            self._answer(*self._route(self.command, urlsplit(self.path)))

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def _answer(self, status: int, answer: object) -> None:
        body = json.dumps(answer).encode() if not isinstance(answer, str) else answer.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _route(self, method: str, url: Any) -> tuple[int, object]:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers["Authorization"] != f"Bearer {self.token}":
            return 401, "no"
        noun, *rest = url.path.removeprefix("/api/v1/").split("/")
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        user = {"id": 1, "orgId": None, "name": "Jane", "email": ADDRESS, "timezone": None}
        if noun == "users":
            return 200, user if rest == ["me"] else [user] if query.get("emails") == ADDRESS else []
        records = getattr(self, noun, None)
        if records is None:
            return 404, "no"
        if method == "GET" and rest == ["lookup"]:
            wanted, field = {"contacts": ("emails", "emailAddresses"), "companies": ("domain", "domains")}[noun]
            if "name" in query:
                return 200, [record for record in records.values() if record["name"] == query["name"]]
            values = query.get(wanted, "").split(",")
            return 200, [record for record in records.values() if set(values) & set(record[field])]
        if method == "GET" and not rest:
            return 200, [
                mail for mail in records.values() if mail.get("rfc822MsgId") == _plain(query.get("rfc822MsgId"))
            ]
        if method == "GET":
            return (200, records[int(rest[0])]) if rest[0].isdigit() and int(rest[0]) in records else (404, "no")
        if method not in ("POST", "PUT") or (method == "PUT" and noun != "emails"):
            return 405, "no"
        try:
            fields = json.loads(body)
            if method == "POST":
                return self._create(noun, records, fields)
            records[int(rest[0])] = self._mail(fields, int(rest[0]))
            return 200, records[int(rest[0])]
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
            return 400, "no"

    def _create(self, noun: str, records: dict[int, dict[str, Any]], fields: dict[str, Any]) -> tuple[int, object]:
        new = next(self.ids)
        if noun != "emails":
            records[new] = fields | {"id": new, "owner": "Jane"}
            return 200, {"id": new}
        message_id = _plain(fields.get("rfc822MsgId"))
        if message_id and any(mail["rfc822MsgId"] == message_id for mail in records.values()):
            return 409, "here already"
        records[new] = self._mail(fields, new)
        return 200, {"id": new}

    def _mail(self, fields: dict[str, Any], email_id: int) -> dict[str, Any]:
        related = fields.get("relatedTo") or []
        received = fields.get("receivedAt")
        when = datetime.fromisoformat(received).astimezone(UTC).isoformat(timespec="seconds") if received else None
        mail = fields | {"id": email_id, "rfc822MsgId": _plain(fields.get("rfc822MsgId")), "receivedAt": when}
        mail["relatedTo"] = related if isinstance(related, list) else [related]
        mail.pop(self.loses, None)
        return mail


def _plain(message_id: str | None) -> str:
    return (message_id or "").strip("<>")


@pytest.fixture(scope="module")
def other_server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), OtherCRM) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_other_choices_raise_no_false_alarm(other_server: str) -> None:
    """A sound server that settled things differently keeps all that Aurinko demands, and offers it."""
    aurinko = [rule.id for rule in RULES.values() if rule.demand == "aurinko"]
    report = run(other_server, OtherCRM.token, only=aurinko)
    assert [
        (result.rule.id, result.expected, result.got) for result in report.results if result.status != "passed"
    ] == []
    assert "emails of this run stay on the server: DELETE /emails/{id} answered 405" in report.left_behind[0]


def test_what_is_lost_is_found(other_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that drops the blind copies fails the demand, and the failure says how to see it."""
    monkeypatch.setattr(OtherCRM, "loses", "bccAddresses")
    (result,) = run(other_server, OtherCRM.token, only=["email-bcc"]).results
    assert result.status == "failed"
    assert result.expected == 'bccAddresses ["bea@x.example", "ben@x.example"]'
    assert result.got == "null"
    assert [line.split(" -H ")[0] for line in result.curl.splitlines()] == ["curl -i -g -X POST", "curl -i -g"]


@pytest.mark.skipif(shutil.which("curl") is None or shutil.which("bash") is None, reason="curl is not installed")
@pytest.mark.parametrize("rule_id", ["email-bcc", "hostile-nesting", "email-long-text", "body-chunked"])
def test_the_curl_lines_can_be_pasted(rule_id: str, other_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The curl lines of a failure do what the kit did, the token coming from $TOKEN."""
    monkeypatch.setattr(
        OtherCRM, "loses", {"email-bcc": "bccAddresses", "email-long-text": "textBody"}.get(rule_id, "")
    )
    (result,) = run(other_server, OtherCRM.token, only=[rule_id]).results
    assert result.status == "failed"
    assert OtherCRM.token not in result.curl
    shell = ["bash", "-ec", result.curl]
    done = subprocess.run(shell, env=os.environ | {"TOKEN": OtherCRM.token}, capture_output=True, text=True, check=True)
    assert "HTTP/1.0 401" not in done.stdout
    assert done.stdout.startswith("HTTP/1.0 ")


def test_the_report_is_written(
    other_server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit status tells Aurinko's demands from ours; both files name each rule; no token is shown."""
    files = {"--json": tmp_path / "report.json", "--junit": tmp_path / "report.xml"}
    options = ["--base-url", other_server, "--token", OtherCRM.token, "--only", "email-bcc", "--only", "email-delete"]
    options += ["--only", "lookup-repeated", *(str(word) for option in files.items() for word in option)]
    assert main(options) == 0
    assert main([*options, "--strict"]) == 1
    monkeypatch.setattr(OtherCRM, "loses", "bccAddresses")
    assert main(options) == 1

    rules = {rule["id"]: rule for rule in json.loads(files["--json"].read_text(encoding="utf-8"))["rules"]}
    assert {rule_id: (rule["demand"], rule["status"]) for rule_id, rule in rules.items()} == {
        "lookup-repeated": ("ours", "failed"),
        "email-bcc": ("aurinko", "failed"),
        "email-delete": ("ours", "not offered"),
    }
    assert set(rules["email-bcc"]) >= {"id", "demand", "status", "contract", "curl", "expected", "got"}
    suite = ElementTree.fromstring(files["--junit"].read_text(encoding="utf-8"))
    assert [suite.get(name) for name in ("tests", "failures", "skipped")] == ["3", "2", "1"]
    shown = capsys.readouterr().out + "".join(file.read_text(encoding="utf-8") for file in files.values())
    assert "✗ email-bcc (aurinko)" in shown
    assert OtherCRM.token not in shown


@pytest.mark.parametrize(
    "arguments",
    [
        ["--token", "x"],
        ["--base-url", "connector", "--token", "x"],
        ["--base-url", "http://127.0.0.1:1", "--token", "x"],
        ["--base-url", "http://127.0.0.1:1", "--token", "x", "--only", "no-such-rule"],
    ],
)
def test_what_can_not_be_asked_is_2(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong option, an unknown rule, a server that can't be reached: exit status 2."""
    monkeypatch.delenv("TOKEN", raising=False)
    assert main(arguments) == 2


def test_a_refused_token_is_2(other_server: str) -> None:
    """A token that the server refuses makes no list of failures."""
    assert main(["--base-url", other_server, "--token", "wrong"]) == 2


def test_it_lists_its_rules(capsys: pytest.CaptureFixture[str]) -> None:
    """--list names each rule and whose demand it is."""
    assert main(["--list"]) == 0
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [
        [r.id, r.demand] for r in RULES.values()
    ]
