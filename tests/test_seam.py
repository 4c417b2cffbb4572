"""The seam: whoever replaces the verbs in models.py replaces the records, and nothing else knows of them."""

import ast
import inspect
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

import models
import tokens
from tests import memory
from tests.samples import assert_error

PROJECT = Path(__file__).parent.parent
ROOMS = {
    path.relative_to(PROJECT).as_posix()
    for pattern in ("*.py", "routes/*.py", "storage/*.py", "migrations/*.py")
    for path in PROJECT.glob(pattern)
}
STORAGE = {room for room in ROOMS if room.startswith("storage/")}
ROUTES = {room for room in ROOMS if room.startswith("routes/")}
WIRE = ROUTES | {"schemas.py", "wire.py"}
VERBS = [name for name in models.__all__ if inspect.isfunction(getattr(models, name))]

A_STATEMENT = re.compile(r"\b(SELECT|INSERT INTO|UPDATE \w+ SET|DELETE FROM|PRAGMA)\b")


@cache
def tree(room: str) -> list[ast.AST]:
    """All that a file says."""
    return list(ast.walk(ast.parse((PROJECT / room).read_text(encoding="utf-8"))))


def imports(room: str) -> set[str]:
    """The packages and modules, each by its first name, that a file imports."""
    names = [alias.name for node in tree(room) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in tree(room) if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names}


def importing(*modules: str) -> set[str]:
    """The files that import one of the modules."""
    return {room for room in ROOMS if not imports(room).isdisjoint(modules)}


def used_of_models(room: str) -> set[str]:
    """What a file takes of `models`."""
    nodes = tree(room)
    taken = [alias.name for n in nodes if isinstance(n, ast.ImportFrom) and n.module == "models" for alias in n.names]
    owned = [n for n in nodes if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name)]
    return {*taken, *(n.attr for n in owned if isinstance(n.value, ast.Name) and n.value.id == "models")}


# ---- who knows what -------------------------------------------------------------------------------------------------


def test_peewee_is_known_to_the_storage_rooms_alone() -> None:
    """One place opens connections; what else speaks SQL says so through it."""
    migrations = {room for room in ROOMS if room.startswith("migrations/")}
    assert importing("peewee", "playhouse", "sqlite3") <= {"database.py", "tokens.py"} | STORAGE | migrations


def test_the_records_are_reached_through_models_alone() -> None:
    """So that nothing still asks our tables when the verbs are somebody else's."""
    assert importing("storage") == {"models.py"} | {room for room in STORAGE if "storage" in imports(room)}


def test_routes_and_wire_format_know_no_database() -> None:
    """Except the call that tells whether it can be written."""
    assert importing("database", "storage", "tokens") & WIRE == {"routes/health.py"}


@pytest.mark.parametrize("room", sorted(WIRE | {"app.py", "cli.py", "imports.py", "models.py"}))
def test_outside_the_storage_rooms_there_is_no_sql(room: str) -> None:
    """Not even in a text."""
    texts = [node.value for node in tree(room) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    assert [text for text in texts if A_STATEMENT.search(text)] == []


def test_the_wire_format_does_not_know_the_verbs() -> None:
    """A schema says what is on the wire; what it comes from is not its business."""
    assert "models" not in imports("schemas.py")


def test_storage_does_not_know_http() -> None:
    """No request goes into a verb, and no status comes out."""
    behind = STORAGE | {"models.py", "records.py", "database.py", "tokens.py", "folding.py", "preview.py", "clock.py"}
    assert importing("flask", "flask_smorest", "werkzeug", "marshmallow", "schemas", "wire", "routes") & behind == set()


def test_exceptions_become_statuses_in_one_place() -> None:
    """A view neither catches what a verb raises nor asks whether it gave something."""
    handles = {room for room in ROOMS for node in tree(room) if getattr(node, "attr", "") == "errorhandler"}
    catches = {room for room in ROUTES for node in tree(room) if isinstance(node, ast.Try | ast.If)}
    assert handles == {"app.py"}
    assert catches <= {"routes/docs.py"}  # which serves files and calls no verb


# ---- the contract ---------------------------------------------------------------------------------------------------


def test_all_names_what_is_used_and_no_verb_more() -> None:
    """Whoever supplies each name of `__all__` has supplied everything, and nothing in vain."""
    used = set().union(*map(used_of_models, ROOMS - {"models.py"}))
    assert used <= set(models.__all__)
    assert set(VERBS) <= used
    assert sorted(models.__all__) == models.__all__


@pytest.mark.parametrize("verb", VERBS)
def test_the_verb_in_memory_is_called_in_the_same_way(verb: str) -> None:
    """The same parameters, in the same order, with the same defaults."""
    ours, other = (inspect.signature(getattr(module, verb)).parameters.values() for module in (models, memory))
    assert [(p.name, p.kind, p.default) for p in other] == [(p.name, p.kind, p.default) for p in ours]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_says_what_it_does(verb: str) -> None:
    """For whoever has to write it anew."""
    assert getattr(models, verb).__doc__


# ---- with other verbs -----------------------------------------------------------------------------------------------


def test_tokens_live_on_when_the_verbs_are_replaced(app: Flask, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """They name their user by his id alone, so that he may be in anybody's tables."""
    me = client.get("/api/v1/users/me").json
    memory.stand_in(monkeypatch)
    assert_error(client.get("/api/v1/users/me"), 404)
    models.add_user({**me, "name": "John in another CRM"})
    assert client.get("/api/v1/users/me").json["name"] == "John in another CRM"
    assert [token["scope"] for token in tokens.listed()] == ["admin"]


@pytest.mark.parametrize("storage", ["sqlite", "memory"], indirect=True)
def test_a_person_is_disclosed_and_erased(app: Flask) -> None:
    """By address: his contacts and the mail that he sent, received or is mentioned in; nobody else's."""
    contact, _ = models.add_contact(
        {"firstName": "Jane", "lastName": None, "emailAddresses": ["Jane@Acme.example"], "companyId": None}
    )
    mails: list[dict[str, Any]] = [
        {"fromAddress": "J <jane@acme.example>"},
        {"bccAddresses": ["JANE@acme.example"]},
        {"textBody": "ask\r\njane@acme.example, please"},
        {"textBody": "ask mary.jane@acme.example or jane@acme.example.org"},
    ]
    logged = [models.log_email(mail)[0]["id"] for mail in mails]
    held = [("contact", contact["id"]), *(("email", email_id) for email_id in logged[:3])]
    assert [(kind, record["id"]) for kind, record in models.export_person("jane@acme.example")] == held
    receipt = {"users": [], "contacts": [contact["id"]], "emails": logged[:3]}
    assert models.erase_person("jane@acme.example", dry_run=True) == receipt
    assert models.erase_person("jane@acme.example") == receipt
    assert list(models.export_person("jane@acme.example")) == []
    assert [mail["id"] for mail in models.find_emails({}).records] == logged[3:]


@pytest.mark.parametrize("storage", ["sqlite", "memory"], indirect=True)
def test_what_is_no_address_is_nobody_s(app: Flask) -> None:
    """Neither disclosed nor erased, and no user."""
    with pytest.raises(models.Invalid):
        list(models.export_person("everybody"))
    with pytest.raises(models.Invalid):
        models.erase_person("everybody")
    with pytest.raises(models.Invalid):
        models.add_user({"email": "everybody", "name": None, "timezone": "UTC", "orgId": "org"})


# ---- two storages, one behaviour ------------------------------------------------------------------------------------

# Few values, so that records meet: the same key in other spellings, keys that are none, gaps.
ADDRESSES = ["a@x.example", "Ann <A@X.example>", "b+t@x.example", "b t@x.example", "c@münchen.example"]
ADDRESSES += ["c@xn--mnchen-3ya.example", "undisclosed-recipients:;", ""]
DOMAINS = ["x.example", "www.x.example", "eu.x.example", "notx.example", "https://y.example/a", "", "."]
MESSAGE_IDS = [None, "", "<m1>", " m1 ", "M1", "<<m1>>", "<m+2>", "m 2", "<>"]
TIMES = [None, "2025-06-01T00:00:00.000000Z", "2026-01-01T00:00:00.000000Z", "2026-01-01T00:00:00.000001Z"]
RELATED: list[Any] = [[], {"type": "Contact", "id": "c1"}, [{"type": "contact", "id": "c1"}, {"type": "Lead", "id": 1}]]
RELATED += [[{"id": "c1"}, {}], [{"type": "LEAD", "id": "1"}, {"type": "lead", "id": "1", "x": 1}]]
FILES: list[Any] = [[], [{"name": "a.pdf", "size": 1}], [{"name": "a.png", "inline": True}], [{"name": "a", "size": True}]]
TEXTS = [None, "", "hello world", "Hello, Jörg b+t@x.example", "x\r\ny  foo_bar"]
SEARCHES = ["hello", '"hello world"', "hel*", "-world hello", "jorg", "b+t@x.example", "foo_bar", '"', "-hello", "."]


def some(random: Random, choices: Sequence[Any]) -> list[Any]:
    """A few of the choices, also the same one twice."""
    return [random.choice(choices) for _ in range(random.choice([0, 1, 1, 2, 3]))]


def mail(random: Random) -> dict[str, Any]:
    """All fields of a mail."""
    one = random.choice
    ids = {name: one(MESSAGE_IDS) for name in ("rfc822MsgId", "msgId", "syncThreadId", "inReplyTo")}
    lists = {name: some(random, ADDRESSES) for name in ("toAddresses", "ccAddresses", "bccAddresses")}
    people = {"fromAddress": one([None, *ADDRESSES]), "fromName": one([None, "Ann"]), **lists}
    texts = {"subject": one(TEXTS), "textBody": one(TEXTS), "htmlBody": one([None, "", "<p>hello <b>there</b></p>"])}
    return {**ids, **people, **texts, "receivedAt": one(TIMES), "attachments": one(FILES), "relatedTo": one(RELATED)}


def some_call(random: Random, email: int) -> tuple[str, list[Any]]:
    """A verb and its arguments; `email` stands for the id of an email."""
    one = random.choice
    contact = {"firstName": one([None, "", "F"]), "lastName": one([None, "L"]), "companyId": one([None, "k1", "k2", "k9"])}
    contact["emailAddresses"] = some(random, ADDRESSES)
    company = {"name": one([None, "", "N"]), "domains": some(random, DOMAINS)}
    own, kind, of_kind = one(["1", "2", "3"]), *one([("contact", contact), ("company", company)])
    own_id = {"id": f"{kind[0].replace('c', 'c' if kind == 'contact' else 'k')}{own}"}["id"]
    filters = {name: one(MESSAGE_IDS[1:]) for name in ("rfc822MsgId", "msgId", "syncThreadId")}
    filters |= {"address": one(ADDRESSES), "contactId": one(["c1", "c2", "c9"]), "q": one(SEARCHES)}
    filters |= {"receivedAfter": one(TIMES[1:]), "receivedBefore": one(TIMES[1:])}
    calls: list[tuple[str, list[Any]]] = [
        *[("log_email", [mail(random)])] * 4,
    ]
    return one(calls)
