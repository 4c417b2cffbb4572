"""The conformance kit: both storages keep every rule, a sound server of other choices Aurinko's, no fault gets by."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, NoReturn
from xml.etree import ElementTree

import pytest
from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

import crm
import database
from app import create_app
from commands.serve import FIRST_USER
from conformance import RULES, run
from conformance.__main__ import main
from conformance.client import NotOffered
from conformance.run import check
from conformance.session import Known, Named, Session, at
from crm.records import NotFound
from tests import memory, plain_server
from tests.faults import FAULTS, REAL
from tests.plain_server import ADDRESS, TOKEN, PlainServer
from tests.postgresql import Databases
from tests.samples import PROJECT, environment, serving
from web import tokens
from web.activity import Activity

USER = {"id": "u1", "orgId": "org", "name": "Jane Doe", "email": ADDRESS, "timezone": "Europe/Berlin"}


class Live(NamedTuple):
    """A server that answers, with BrightSync's token and the CRM's own."""

    base_url: str
    token: str
    admin_token: str
    left_token: str  # of a user who is not there any more


def _named(live: Live) -> Known:
    """Records that are there before the kit comes: two contacts and a company; one of each that is deleted again."""
    crm = Session(*live[:3])
    contacts = [Named("there-1", "Known.Jane@there.example"), Named("there-2", "joe@there.example")]
    company, deleted = Named("there-3", "there.example"), Named("there-4", "gone@there.example")
    for contact in [*contacts, deleted]:
        crm.put(at("contacts", contact.id), {"emailAddresses": ["other@elsewhere.example", contact.key]}).ok()
    crm.put(at("companies", company.id), {"domains": [company.key]}).ok()
    crm.delete(at("contacts", deleted.id)).ok()
    closed = Named("there-5", "gone.example")
    crm.put(at("companies", closed.id), {"domains": [closed.key]}).ok()
    crm.delete(at("companies", closed.id)).ok()
    return Known(contacts, [company], [deleted, closed], [crm.get("/users/me").record["email"]], live.left_token)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the database is, whose tokens are good on both servers."""
    return tmp_path_factory.mktemp("connector")


@pytest.fixture(scope="module")
def app(folder: Path) -> Iterator[Flask]:
    """The application on a database with one user. Each of its calls closes its connection, as its thread ends."""
    application = create_app({"DATABASE_URL": f"sqlite:///{folder}/connector.db"})
    application.teardown_appcontext(lambda _: database.stop())
    application.extensions["activity"] = Activity(0.1)  # it is served: what was counted is written by itself
    crm.add_user(USER)
    yield application
    database.stop()


@pytest.fixture(scope="module")
def both_tokens(app: Flask) -> list[str]:
    """The user's tokens, and one of a user who is not there."""
    return [tokens.create(USER["id"], "sync"), tokens.create(USER["id"], "admin"), tokens.create("u2", "admin")]


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

        def run_command(*words: str) -> str:
            command = [sys.executable, "-m", "commands", *words]
            done = subprocess.run(command, cwd=PROJECT, env=environment(folder, DATABASE_URL=url), capture_output=True)
            assert done.returncode == 0, done.stderr
            return done.stdout.decode()

        token = run_command("token", "create", FIRST_USER).strip()
        run_command("user", "add", "left@connector.example")
        left = run_command("token", "create", "left@connector.example").strip()
        run_command("user", "remove", "left@connector.example")
        yield Live(f"http://127.0.0.1:{server.port}", token, server.token, left)


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
    live: Live = request.getfixturevalue(request.param)
    opened = Session(*live[:3], _named(live))
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
    named = _named(in_memory)
    plant(monkeypatch, app)
    report = run(*in_memory[:3], only=rules.split(), named=named)
    assert {result.rule.id: result.status for result in report.results} == dict.fromkeys(rules.split(), "failed")


def test_every_rule_can_fail() -> None:
    """A rule that no fault breaks might as well check nothing: who adds one adds a fault."""
    assert {rule for rules, _ in FAULTS.values() for rule in rules.split()} == RULES.keys()


@pytest.fixture(scope="module")
def other_server() -> Iterator[str]:
    with plain_server.serve() as url:
        yield url


def _named_there(url: str) -> Known:
    """Records that are in the server of other choices before the kit comes."""
    crm = Session(url, TOKEN)
    contacts = [Named(crm.contact(address), address) for address in ("known.jane@there.example", "joe@there.example")]
    company, deleted = Named(crm.company("there.example"), "there.example"), crm.contact("gone@there.example")
    PlainServer.deleted[int(deleted)] = PlainServer.contacts.pop(int(deleted))
    return Known(contacts, [company], [Named(deleted, "gone@there.example")], [], "a token that has ended")


def test_other_choices_raise_no_false_alarm(other_server: str) -> None:
    """A sound server that settled things differently keeps all that Aurinko's page names, offers it, and is safe."""
    demanded = [rule.id for rule in RULES.values() if rule.demand != "ours"]
    report = run(other_server, TOKEN, only=demanded, named=_named_there(other_server))
    others = {result.rule.id: result for result in report.results if result.status != "passed"}
    assert {rule_id: result.status for rule_id, result in others.items()} == {
        "users-lookup": "not offered",
        "your-user-lookup": "not offered",
        "your-user-me": "not offered",
    }
    assert "emails of this run stay on the server: DELETE /emails/{id} answered 405" in report.left_behind[0]


@pytest.mark.parametrize("name", plain_server.FAULTS)
def test_the_fault_of_a_server_of_other_choices_is_found(
    name: str, other_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a client would feel is found by rules that decide the exit status, whatever the server's own choices."""
    rules, plant = plain_server.FAULTS[name]
    named = _named_there(other_server)
    plant(monkeypatch)
    report = run(other_server, TOKEN, only=rules.split(), named=named)
    assert {result.rule.id: result.status for result in report.results} == dict.fromkeys(rules.split(), "failed")
    assert any(result.rule.demand != "ours" for result in report.results)


def test_what_is_lost_is_found(other_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that drops the blind copies fails the demand, and the failure says how to see it."""
    plain_server.loses("bccAddresses")(monkeypatch)
    (result,) = run(other_server, TOKEN, only=["email-bcc"]).results
    assert result.status == "failed"
    assert result.expected == 'bccAddresses ["bea@x.example", "ben@x.example"]'
    assert result.got == "null"
    assert [line.split(" -H ")[0] for line in result.curl.splitlines()] == ["curl -i -g -X POST", "curl -i -g"]


@pytest.mark.skipif(shutil.which("curl") is None or shutil.which("bash") is None, reason="curl is not installed")
@pytest.mark.parametrize("rule_id", ["email-bcc", "hostile-nesting", "email-long-text", "body-chunked"])
def test_the_curl_lines_can_be_pasted(rule_id: str, other_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The curl lines of a failure do what the kit did, the token coming from $TOKEN."""
    fault = {"email-bcc": "bccAddresses is not kept", "email-long-text": "textBody is not kept"}.get(rule_id)
    plain_server.FAULTS[fault or "what is not foreseen is a server error"][1](monkeypatch)
    (result,) = run(other_server, TOKEN, only=[rule_id]).results
    assert result.status == "failed"
    assert TOKEN not in result.curl
    shell = ["bash", "-ec", result.curl]
    done = subprocess.run(shell, env=os.environ | {"TOKEN": TOKEN}, capture_output=True, text=True, check=True)
    assert "HTTP/1.0 401" not in done.stdout
    assert done.stdout.startswith("HTTP/1.0 ")


def test_the_report_is_written(
    other_server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit status tells Aurinko's demands from ours; both files name each rule; no token is shown."""
    files = {"--json": tmp_path / "report.json", "--junit": tmp_path / "report.xml"}
    options = ["--base-url", other_server, "--token", TOKEN, "--only", "email-bcc", "--only", "email-delete"]
    options += ["--only", "lookup-repeated", *(str(word) for option in files.items() for word in option)]
    assert main(options) == 0
    assert main([*options, "--strict"]) == 1
    plain_server.loses("bccAddresses")(monkeypatch)
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
    assert TOKEN not in shown


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


def test_a_run_that_saw_no_contact_is_no_pass(
    other_server: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where contacts can't be made and none is named, the report says first that it has verified nothing about them."""
    monkeypatch.setattr(Session, "_create", _makes_none)
    command = ["--base-url", other_server, "--token", TOKEN]
    assert main(command) == 1
    _, _, summary = capsys.readouterr().out.rpartition("\n  safety")
    first = summary.partition("\n\n")[2]
    assert first.startswith("This run has verified nothing about contacts, and is no pass")


def test_a_contact_that_is_not_found_is_told_and_asked_for_no_more(
    other_server: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one was named and is not found, the report does not ask for names; nor where no such rule was chosen."""
    contact = _named_there(other_server).contacts[0]
    monkeypatch.setattr(Session, "_create", _makes_none)
    plain_server.FAULTS["no contact is found"][1](monkeypatch)
    command = ["--base-url", other_server, "--token", TOKEN, "--contact", f"{contact.id}={contact.key}"]
    assert main([*command, "--only", "your-*", "--only", "lookup-*"]) == 1
    main([*command, "--only", "email-logged", "--only", "contact-kept"])
    shown = capsys.readouterr().out
    assert "verified nothing" not in shown
    assert f"got:      all but {contact.id}: 200 []" in shown


def test_a_server_error_says_where_to_look(in_memory: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the id that the server's log has, where the answer names one."""
    monkeypatch.setattr(crm, "lookup_contacts", lambda addresses: 1 / 0)
    (result,) = run(*in_memory[:2], only=["lookup-stranger"]).results
    assert re.search(r'^500 .*"Internal Server Error".* \(X-Request-ID: \w+\)$', result.got)


def _makes_none(self: Session, path: str, record: Any) -> str:
    raise NotOffered(f"POST {path} answered 405")


def test_failures_with_one_cause_are_told_once(
    other_server: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rules that fail by the same answer stand under the first of them; ours are named, and told with --strict."""
    monkeypatch.setattr(PlainServer, "create", lambda *_: (503, "the same sorrow"))
    command = ["--base-url", other_server, "--token", TOKEN]
    assert main(command) == 1
    shown = capsys.readouterr().out
    assert shown.count("got:      503 the same sorrow") == 1
    assert "more failed with the same answer: " in shown
    assert "Of what we settled, these failed (--strict tells why): " in shown


def test_a_hostile_value_is_named(
    other_server: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the curl line can only show a body packed, the report says how long it is and what it holds."""
    plain_server.FAULTS["what is not foreseen is a server error"][1](monkeypatch)
    main(["--base-url", other_server, "--token", TOKEN, "--strict", "--only", "hostile-nesting"])
    shown = capsys.readouterr().out
    assert re.search(r"    sent:     [\d,]+ bytes, beginning with .*\[\[\[", shown)
    assert "| base64 -d | gunzip |" in shown


def test_a_database_in_use_is_warned_of(other_server: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Before it writes to a server that has emails, the kit says so."""
    Session(other_server, TOKEN).log()
    main(["--base-url", other_server, "--token", TOKEN, "--only", "users-me"])
    assert capsys.readouterr().out.splitlines()[1].startswith("The server has emails already. This run makes some")


def _deleted_too(addresses: list[str]) -> list[dict[str, Any]]:
    """Contacts, those that were deleted among them."""
    gone = {**next(iter(memory.RECORDS["contact"].values())), "id": "there-4"}
    return [*REAL.lookup_contacts(addresses), *([gone] if "gone@there.example" in addresses else [])]


def _closed_too(domain: str) -> list[dict[str, Any]]:
    """Companies, one that was deleted among them."""
    gone = {**REAL.get_company("there-3"), "id": "there-5", "domains": ["gone.example"]}
    return [gone] if domain == "gone.example" else REAL.lookup_companies(domain=domain)


def _as_written(kind: str, field: str) -> Callable[[Any], list[dict[str, Any]]]:
    """A look-up for which letter case counts."""

    def look_up(asked: Any) -> list[dict[str, Any]]:
        texts = set([asked] if isinstance(asked, str) else asked)
        records = memory.RECORDS[kind].values()
        return [one for one in records if texts & set([one[field]] if isinstance(one[field], str) else one[field])]

    return look_up


def _not_found(*_: Any) -> NoReturn:
    raise NotFound


_READING: dict[str, dict[str, Callable[..., Any]]] = {
    "lookup_contacts": {
        "empty list": lambda addresses: [],
        "wrong record": lambda addresses: [*memory.RECORDS["contact"].values()][-1:],
        "deleted record": _deleted_too,
        "letter case": _as_written("contact", "emailAddresses"),
        "NotFound": _not_found,
    },
    "get_contact": {
        "wrong record": lambda contact_id: [*memory.RECORDS["contact"].values()][-1],
        "deleted record": lambda contact_id: {**next(iter(memory.RECORDS["contact"].values())), "id": contact_id},
        "NotFound": _not_found,
    },
    "lookup_companies": {
        "empty list": lambda domain, name=None: [],
        "wrong record": lambda domain, name=None: [{**REAL.get_company("there-3"), "id": "other", "domains": ["x.y"]}],
        "deleted record": lambda domain, name=None: _closed_too(domain),
        "letter case": lambda domain, name=None: _as_written("company", "domains")(domain),
        "part of a domain": lambda domain, name=None: [
            one for one in memory.RECORDS["company"].values() if any(domain in own for own in one["domains"])
        ],
        "NotFound": _not_found,
    },
    "get_company": {
        "wrong record": lambda company_id: {**REAL.get_company(company_id), "domains": ["x.y"]},
        "deleted record": lambda company_id: {**REAL.get_company("there-3"), "id": company_id},
        "NotFound": _not_found,
    },
    "lookup_users": {
        "empty list": lambda addresses: [],
        "wrong record": lambda addresses: [{**REAL.get_user("u1"), "email": "other@connector.example"}],
        "another beside the right one": lambda addresses: [
            *REAL.lookup_users(addresses),
            {**REAL.get_user("u1"), "id": "u3", "email": "other@connector.example"},
        ],
        "letter case": _as_written("user", "email"),
        "NotFound": _not_found,
    },
    "get_user": {
        "wrong record": lambda user_id: {**REAL.get_user(user_id), "id": "u3", "email": "other@connector.example"},
        "NotFound": _not_found,
    },
}


@pytest.mark.parametrize(("verb", "fault"), [(verb, fault) for verb, faults in _READING.items() for fault in faults])
def test_what_a_developer_has_written_is_checked_without_writing(
    verb: str, fault: str, in_memory: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each verb that reads, broken in each way that it can be: found where the server makes no contact or company, on
    records that were named, by rules that decide the exit status."""
    failed = _fail_without_writing(in_memory, monkeypatch)
    assert failed() == []
    monkeypatch.setattr(crm, verb, _READING[verb][fault])
    assert failed() != []


def _fail_without_writing(in_memory: Live, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    named = _named(in_memory)
    for writes in ("add_contact", "put_contact", "add_company", "put_company"):
        monkeypatch.setattr(crm, writes, _not_offered)
    only = [rule.id for rule in RULES.values() if rule.group in ("yours", "access", "lookups")]
    return lambda: [
        one.rule.id for one in run(*in_memory[:3], only=only, named=named).of("failed") if one.rule.demand != "ours"
    ]


def _not_offered(*_: Any) -> NoReturn:
    raise crm.NotOffered
