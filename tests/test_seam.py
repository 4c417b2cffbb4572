"""The seam: whoever replaces the verbs in models.py replaces the records, and nothing else knows of them."""

import ast
import inspect
import re
from collections.abc import Mapping
from functools import cache
from json import dumps
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
from flask import Flask

import crm
from tests import memory
from tests.samples import assert_error
from web import tokens

PROJECT = Path(__file__).parent.parent
ROOMS = {
    path.relative_to(PROJECT).as_posix()
    for pattern in ("*.py", "routes/*.py", "storage/*.py", "migrations/*.py", "database/*.py")
    for path in PROJECT.glob(pattern)
}
DATABASE = {room for room in ROOMS if room.startswith("database/")}
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
    """One place opens connections; what else speaks SQL says so through it. But for who looks after the file itself."""
    migrations = {room for room in ROOMS if room.startswith("migrations/")}
    assert importing("peewee", "playhouse", "psycopg") <= DATABASE | {"tokens.py"} | STORAGE | migrations
    assert importing("sqlite3") <= DATABASE | {"upkeep.py"}


def test_the_records_are_reached_through_models_alone() -> None:
    """So that nothing still asks our tables when the verbs are somebody else's. `upkeep` asks where they are filled."""
    assert importing("storage") == {"models.py", "upkeep.py"} | {room for room in STORAGE if "storage" in imports(room)}


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
    behind = STORAGE | DATABASE | {"models.py", "records.py", "tokens.py", "matching.py", "preview.py", "clock.py"}
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
    crm.add_user({**me, "name": "John in another CRM"})
    assert client.get("/api/v1/users/me").json["name"] == "John in another CRM"
    assert [token["scope"] for token in tokens.listed()] == ["admin"]


@pytest.mark.parametrize("storage", ["sqlite", "memory"], indirect=True)
def test_a_person_is_disclosed_and_erased(app: Flask) -> None:
    """By address: his contacts and the mail that he sent, received or is mentioned in; nobody else's."""
    contact, _ = crm.add_contact(
        {"firstName": "Jane", "lastName": None, "emailAddresses": ["Jane@Acme.example"], "companyId": None}
    )
    mails: list[dict[str, Any]] = [
        {"fromAddress": "J <jane@acme.example>"},
        {"bccAddresses": ["JANE@acme.example"]},
        {"textBody": "ask\r\njane@acme.example, please"},
        {"textBody": "ask mary.jane@acme.example or jane@acme.example.org"},
    ]
    logged = [crm.log_email(mail)[0]["id"] for mail in mails]
    held = [("contact", contact["id"]), *(("email", email_id) for email_id in logged[:3])]
    assert [(kind, record["id"]) for kind, record in crm.export_person("jane@acme.example")] == held
    receipt = {"users": [], "contacts": [contact["id"]], "emails": logged[:3]}
    assert crm.erase_person("jane@acme.example", dry_run=True) == receipt
    assert crm.erase_person("jane@acme.example") == receipt
    assert list(crm.export_person("jane@acme.example")) == []
    assert [mail["id"] for mail in crm.find_emails({}).records] == logged[3:]


@pytest.mark.parametrize("storage", ["sqlite", "memory"], indirect=True)
def test_what_is_no_address_is_nobody_s(app: Flask) -> None:
    """Neither disclosed nor erased, and no user."""
    with pytest.raises(crm.Invalid):
        list(crm.export_person("everybody"))
    with pytest.raises(crm.Invalid):
        crm.erase_person("everybody")
    with pytest.raises(crm.Invalid):
        crm.add_user({"email": "everybody", "name": None, "timezone": "UTC", "orgId": "org"})


# ---- two storages, one behaviour ------------------------------------------------------------------------------------

# Few values, so that records meet: the same key in other spellings, keys that are none, gaps.
ADDRESSES = ["a@x.example", "Ann <A@X.example>", "b+t@x.example", "b t@x.example", "c@münchen.example"]
ADDRESSES += ["c@xn--mnchen-3ya.example", "undisclosed-recipients:;", ""]
DOMAINS = ["x.example", "www.x.example", "eu.x.example", "notx.example", "https://y.example/a", "", "."]
MESSAGE_IDS = ["", "<m1>", " m1 ", "M1", "<<m1>>", "<m+2>", "m 2", "<>"]
TIMES = ["2025-06-01T00:00:00.000000Z", "2026-01-01T00:00:00.000000Z", "2026-01-01T00:00:00.000001Z"]
TEXTS = ["", "hello world", "Hello, Jörg b+t@x.example", "x\r\ny  foo_bar"]
SEARCHES = ["hello", '"hello world"', "hel*", "-world hello", "jorg", "b+t@x.example", "foo_bar", '"', "-hello", "."]
LINKS: list[Any] = [
    [],
    {"type": "Contact", "id": "own1"},
    [{"type": "contact", "id": "own1"}, {"type": "Lead", "id": 4711}],
]
LINKS += [[{"id": "own1"}, {}], [{"type": "LEAD", "id": "4711"}, {"type": "lead", "id": "4711", "x": 1}]]
FILES: list[Any] = [
    [],
    [{"name": "a.pdf", "size": 1}],
    [{"name": "a.png", "inline": True}],
    [{"name": "a", "size": True}],
]


class Nth(NamedTuple):
    """One of the emails that were logged, whatever its id."""

    email: int


def some_call(random: Random) -> tuple[str, list[Any]]:
    """A verb, and what it is called with."""
    one = random.choice

    def several(choices: list[str]) -> list[str]:
        return [one(choices) for _ in range(one([0, 1, 1, 2, 3]))]

    def part(record: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in record.items() if random.random() < 0.3}

    ids = {name: one([None, *MESSAGE_IDS]) for name in ("rfc822MsgId", "msgId", "syncThreadId", "inReplyTo")}
    texts = {name: one([None, *TEXTS]) for name in ("subject", "fromName", "textBody", "htmlBody")}
    lists = {name: several(ADDRESSES) for name in ("toAddresses", "ccAddresses", "bccAddresses")}
    mail = {**ids, **texts, **lists, "fromAddress": one([None, *ADDRESSES]), "receivedAt": one([None, *TIMES])}
    mail |= {"attachments": one(FILES), "relatedTo": one(LINKS)}
    filters = {name: one(MESSAGE_IDS) for name in ("rfc822MsgId", "msgId", "syncThreadId")}
    filters |= {"address": one(ADDRESSES), "contactId": one(["own1", "own2", "own9"]), "q": one(SEARCHES)}
    filters |= {"receivedAfter": one(TIMES), "receivedBefore": one(TIMES)}
    own, email = one(["own1", "own2", "own3"]), Nth(random.randrange(50))
    company_id = one([None, "own1", "own2", "own9"])
    contact: dict[str, Any] = {"firstName": one([None, "", "F"]), "lastName": one([None, "L"]), "companyId": company_id}
    contact["emailAddresses"] = several(ADDRESSES)
    company: dict[str, Any] = {"name": one([None, "", "N"]), "domains": several(DOMAINS)}
    user = {"id": own, "orgId": "org", "name": None, "email": one(ADDRESSES), "timezone": "UTC"}
    record, kind, kinds = one([(contact, "contact", "contacts"), (company, "company", "companies")])
    calls: list[tuple[str, list[Any]]] = [
        *[("log_email", [mail])] * 5,
        *[("change_email", [email, part(mail)])] * 2,
        ("change_email", [email, mail]),
        ("delete_email", [email]),
        ("get_email", [email]),
        *[("find_emails", [part(filters), None, one([2, 100])])] * 3,
        ("timeline", [own, None, one([2, 100])]),
        *[(f"add_{kind}", [record | one([{}, {"id": own}])])] * 2,
        *[(f"put_{kind}", [own, record])] * 2,
        (f"change_{kind}", [own, part(record)]),
        (f"delete_{kind}", [own]),
        (f"get_{kind}", [own]),
        (f"list_{kinds}", [None, None, one([2, 100])]),
        ("lookup_contacts", [several(ADDRESSES)]),
        ("lookup_companies", [one(DOMAINS)]),
        ("lookup_users", [several(ADDRESSES)]),
        ("add_user", [user]),
        ("list_changes", [0, 1000]),
    ]
    return one(calls)


class Storage:
    """One of the two, and the names by which its ids are known in both."""

    def __init__(self, verbs: Mapping[str, Any]) -> None:
        self.verbs = verbs
        self.emails: list[str] = []
        self.names: dict[str, str] = {}

    def outcome(self, verb: str, arguments: list[Any]) -> Any:
        """What a call gives, or the exception that it raises."""
        try:
            given = self.verbs[verb](*map(self._meant, arguments))
        except (crm.NotFound, crm.Conflict, crm.Invalid) as error:
            return type(error).__name__
        if verb == "log_email" and given[1]:
            self.emails.append(given[0]["id"])
        if verb in ("log_email", "add_contact", "add_company") and given[1] and not given[0]["id"].startswith("own"):
            self.names[given[0]["id"]] = f"new {len(self.names)}"
        return self._plain([given.records, given.next is not None] if isinstance(given, crm.Page) else given)

    def _meant(self, argument: Any) -> Any:
        if isinstance(argument, Nth):
            return self.emails[argument.email % len(self.emails)] if self.emails else "0"
        return argument

    def _plain(self, value: Any) -> Any:
        """Without the moments, and with names for ids."""
        if isinstance(value, dict):
            moments = ("createdAt", "updatedAt", "at", "seq")
            return {name: self._plain(one) for name, one in value.items() if name not in moments}
        if isinstance(value, list | tuple):
            return [self._plain(one) for one in value]
        return self.names.get(value, value) if isinstance(value, str) else value


@pytest.mark.parametrize("seed", range(25))
def test_both_storages_answer_alike(seed: int, app: Flask) -> None:
    """Whatever is called, in whatever order; to the letter, in which true is not 1."""
    ours = Storage({verb: getattr(models, verb) for verb in VERBS})
    with pytest.MonkeyPatch.context() as patch:
        memory.stand_in(patch)
    other = Storage(vars(memory))
    random = Random(seed)
    for number in range(150):
        verb, arguments = some_call(random)
        one, same = (dumps(storage.outcome(verb, arguments), sort_keys=True) for storage in (ours, other))
        assert one == same, f"call {number}: {verb}{arguments}"
