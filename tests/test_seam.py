"""The seam: `crm` asks the functions that store/__init__.py lists and no others, whose ever they are.

Which package imports which is checked by import-linter (pyproject.toml); it does not look at the modules at the top.
"""

import ast
import inspect
import re
from collections.abc import Callable
from json import dumps
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
from flask import Flask

import crm
import database
import models
import store
from tests import memory
from tests.samples import assert_error
from web import tokens

PROJECT = Path(__file__).parent.parent
VERBS = [name for name in crm.__all__ if inspect.isfunction(getattr(crm, name))]


def listed() -> list[str]:
    """The functions that the docstring of `store` lists: emails.read …, and those of `store` itself."""
    lines = re.findall(r"^ {4}(\S.*(?:\n {8,}\S.*)*)", store.__doc__ or "", re.MULTILINE)
    functions: list[str] = []
    for line in lines:
        named, _, names = line.partition("  ")
        if not names:
            functions += named.split(", ")
        for name in re.findall(r"[\w.]+", names):
            functions += [name] if "." in name else [f"{part}.{name}" for part in named.split(", ")]
    if "contacts" in functions:
        raise AssertionError(functions)
    return functions


FUNCTIONS = listed()


def function(place: Any, path: str) -> Callable[..., Any]:
    """The function `emails.read` of a store, or `transaction`."""
    for name in path.split("."):
        place = getattr(place, name)
    found: Callable[..., Any] = place
    return found


# ---- what is listed -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", FUNCTIONS)
def test_both_stores_have_every_function(path: str) -> None:
    """With the same parameters, in the same order, with the same defaults; ours says what it does."""
    ours, other = (inspect.signature(function(place, path)).parameters.values() for place in (store, memory))
    if path != "transaction":  # `crm` gives it nothing; ours takes how long to wait
        assert [(p.name, p.kind, p.default) for p in other] == [(p.name, p.kind, p.default) for p in ours]
    assert function(store, path).__doc__


def test_the_list_names_all_and_no_more() -> None:
    """What is listed is all that has to be supplied."""
    assert {path.partition(".")[0] for path in FUNCTIONS} == set(store.__all__)
    assert store.__all__ == sorted(store.__all__)
    beside = {"emails": {"listed"}}  # for store.timelines
    parts = {"changes", "companies", "contacts", "emails", "never_log", "retention", "timelines", "users", "withheld"}
    for part in parts:
        ours = getattr(store, part)
        own = {name for name in dir(ours) if name[0] != "_" and _is_own(getattr(ours, name), type(ours), ours)}
        named = {path.partition(".")[2] for path in FUNCTIONS if path.startswith(f"{part}.")}
        assert own - beside.get(part, set()) == named


def _is_own(value: Any, kind: type, part: Any) -> bool:
    return inspect.ismethod(value) or (inspect.isfunction(value) and value.__module__ == getattr(part, "__name__", ""))


def test_every_verb_is_named_and_used() -> None:
    """`crm.__all__` is sorted, and each of its verbs is called by a route, page or command and says what it does."""
    files = [path for room in ("routes", "pages", "commands", "web") for path in (PROJECT / room).glob("*.py")]
    used = set(re.findall(r"\bcrm\.(\w+)", "".join(path.read_text() for path in [*files, PROJECT / "app.py"])))
    assert crm.__all__ == sorted(crm.__all__)
    assert set(VERBS) <= used
    assert [name for name in VERBS if not getattr(crm, name).__doc__] == []


@pytest.mark.parametrize(
    ("module", "may"),
    [
        ("models", {"database"}),
        ("schemas", {"crm.matching", "crm.records", "web.fields"}),
        ("web/fields", {"clock", "crm.records"}),
        ("settings", {"terminal"}),
        ("clock", set()),
    ],
)
def test_modules_at_the_top_know_little(module: str, may: set[str]) -> None:
    """The tables know the database, the wire format and its fields what is pure, settings and times nothing of ours."""
    nodes = list(ast.walk(ast.parse((PROJECT / f"{module}.py").read_text(encoding="utf-8"))))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    ours = {path.stem for path in PROJECT.glob("*.py")} | {path.parent.name for path in PROJECT.glob("*/*.py")}
    assert {name for name in names if name.partition(".")[0] in ours} <= may


def test_exceptions_become_statuses_in_one_place() -> None:
    """A view neither catches what a verb raises nor asks whether it gave something: app.py does."""
    files = [
        *PROJECT.glob("*.py"),
        *(path for room in ("crm", "pages", "routes", "web") for path in (PROJECT / room).glob("*")),
    ]
    texts = {path.relative_to(PROJECT).as_posix(): path.read_text() for path in files if path.suffix == ".py"}
    assert {name for name, text in texts.items() if ".errorhandler(" in text} == {"app.py"}
    branches = {name for name, text in texts.items() if re.search(r"^ +(try:|if )", text, re.MULTILINE)}
    assert {name for name in branches if name.startswith("routes/")} <= {"routes/docs.py"}  # it calls no verb


# ---- a store without a function -------------------------------------------------------------------------------------

CALLS: list[tuple[str, str, Any]] = [
    ("POST", "contacts", {"emailAddresses": ["new@x.example"]}),
    ("PUT", "contacts/c1", {"emailAddresses": ["other@x.example"]}),
    ("PATCH", "contacts/c1", {"firstName": "C"}),
    ("GET", "contacts", None),
    ("GET", "contacts?updatedSince=2020-01-01T00:00:00Z&includeDeleted=true", None),
    ("GET", "contacts/c1", None),
    ("GET", "contacts/c1/emails", None),
    ("GET", "contacts/lookup?emails=a@x.example", None),
    ("POST", "companies", {"domains": ["new.example"]}),
    ("PUT", "companies/f1", {"domains": ["other.example"]}),
    ("PATCH", "companies/f1", {"name": "F"}),
    ("GET", "companies", None),
    ("GET", "companies?updatedSince=2020-01-01T00:00:00Z&includeDeleted=true", None),
    ("GET", "companies/lookup?name=F", None),
    ("GET", "companies/f1", None),
    ("GET", "companies/f1/emails", None),
    ("GET", "companies/lookup?domain=x.example", None),
    ("GET", "users/me", None),
    ("GET", "users/lookup?emails=a@x.example", None),
    ("GET", "users", None),
    ("PATCH", "users/u2", {"name": "U"}),
    ("DELETE", "users/u2", None),
    ("POST", "emails", {"subject": "new", "msgId": "m2", "rfc822MsgId": "<r2>"}),
    ("POST", "emails", {"subject": "copy", "msgId": "m3", "rfc822MsgId": "<r1>"}),
    ("POST", "emails", {"subject": "without a Message-ID", "msgId": "m5"}),
    ("GET", "emails?msgId=a%20b", None),
    ("GET", "emails/{email}", None),
    ("GET", "emails/{email}/copies", None),
    ("GET", "threads", None),
    ("GET", "threads/{email}", None),
    ("PATCH", "emails/{email}", {"msgId": "m4", "rfc822MsgId": "<r4>"}),
    ("POST", "never-log", {"kind": "domain", "value": "private.example"}),
    ("GET", "never-log", None),
    ("POST", "emails", {"subject": "new", "rfc822MsgId": "<r7>", "fromAddress": "a@private.example"}),
    ("PATCH", "emails/{email}", {"fromAddress": "a@private.example"}),
    ("DELETE", "never-log/{rule}", None),
    ("GET", "changes", None),
    ("DELETE", "emails/{email}", None),
    ("DELETE", "contacts/c1", None),
    ("DELETE", "companies/f1", None),
]
# What no call needs: a command does, a page, or the health call.
OF_COMMANDS = {"changes.delete", "changes.last", "check", "emails.scan", "emails.scan_one", "purge", "transaction"}
OF_COMMANDS |= {"users.insert", "contacts.search", "companies.search"}
OF_COMMANDS |= {"emails.scan_copies", "withheld.delete", "withheld.page"}
OF_COMMANDS |= {"withheld.rename"}  # the call that removes an email for the second time does
OF_COMMANDS |= {"emails.older", "retention.read", "retention.write"}
OPTIONAL = {"emails.prepare", "emails.catch_up", "emails.names"}  # one without these does as well


@pytest.mark.parametrize("storage", ["memory"], indirect=True)
@pytest.mark.parametrize("path", [path for path in FUNCTIONS if path != "transaction"])
def test_what_is_not_supplied_is_501(path: str, app: Flask, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The calls that need the function, and no others; no call fails in another way."""

    def statuses() -> list[int]:
        memory.stand_in(monkeypatch)
        for own in ("u1", "u2"):
            user = {"id": own, "orgId": "o", "name": None, "email": f"{own}@x.example", "timezone": "UTC"}
            memory.users.insert(user, f"{own}@x.example", "")
        crm.put_company("f1", {"name": None, "domains": ["x.example"]})
        crm.put_contact("c1", {"firstName": None, "lastName": None, "emailAddresses": [], "companyId": "f1"})
        email, _ = crm.log_email({"msgId": "m1", "rfc822MsgId": "<r1>"})
        rule = crm.add_rule(
            {"kind": "address", "value": "a@x.example", "domains": [], "unlessKnown": True, "reason": None}
        )
        with pytest.MonkeyPatch.context() as patch:
            if path in lacking:
                remove(patch)
            made = [
                client.open(f"/api/v1/{where.format(email=email['id'], rule=rule['id'])}", method=method, json=body)
                for method, where, body in CALLS
            ]
        for answer in made:
            if answer.status_code == 501:
                assert_error(answer, 501)
        return [answer.status_code for answer in made]

    def remove(patch: pytest.MonkeyPatch) -> None:
        part, _, name = path.rpartition(".")
        lacks = Lacking(getattr(memory, part), name) if part else None
        if part:
            patch.setattr(store, part, lacks)
        else:
            patch.delattr(store, name)

    lacking: set[str] = set()
    whole = statuses()
    assert {status // 100 for status in whole} == {2}
    lacking.add(path)
    without = statuses()
    assert {now for now, before in zip(without, whole, strict=True) if now != before} == (
        set() if path in OF_COMMANDS | OPTIONAL else {501}
    )


class Lacking:
    """A part of a store without one of its functions."""

    def __init__(self, part: Any, name: str) -> None:
        self._part, self._name = part, name

    def __getattr__(self, name: str) -> Any:
        if name == self._name:
            raise AttributeError(name)
        return getattr(self._part, name)


# ---- with another store ---------------------------------------------------------------------------------------------


def test_tokens_live_on_when_the_store_is_replaced(app: Flask, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """They name their user by the id alone, so that users may be in anybody's tables."""
    me = client.get("/api/v1/users/me").json
    memory.stand_in(monkeypatch)
    assert_error(client.get("/api/v1/users/me"), 401)  # nobody there has this id
    crm.add_user({**me, "name": "John in another CRM"})
    assert client.get("/api/v1/users/me").json["name"] == "John in another CRM"
    assert [token["scope"] for token in tokens.listed()] == ["admin"]


@pytest.mark.parametrize("storage", ["sqlite", "memory"], indirect=True)
def test_a_person_is_disclosed_and_erased(app: Flask) -> None:
    """By address: contacts, and the emails that they sent, received or are mentioned in; nobody else's."""
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
    receipt = {
        "users": [],
        "contacts": [contact["id"]],
        "companies": [],
        "emails": logged[:3],
        "changes": [],
        "rules": [],
    }
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


# ---- two stores, one behaviour ---------------------------------------------------------------------------------------

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
        ("delete_email", [email, None, one([True, False])]),
        ("get_email", [email]),
        ("list_copies", [email, None, one([1, 100])]),
        ("list_withheld", [0, one([1, 100])]),
        ("forget_withheld", [email]),
        *[("find_emails", [part(filters), None, one([2, 100])])] * 3,
        ("timeline", [own, None, one([2, 100])]),
        ("company_timeline", [own, None, one([2, 100])]),
        *[(f"add_{kind}", [record | one([{}, {"id": own}])])] * 2,
        *[(f"put_{kind}", [own, record])] * 2,
        (f"change_{kind}", [own, part(record)]),
        (f"delete_{kind}", [own]),
        (f"get_{kind}", [own]),
        (f"list_{kinds}", [None, None, one([2, 100]), one([False, True])]),
        ("lookup_contacts", [several(ADDRESSES)]),
        ("lookup_companies", [one(DOMAINS), one([None, "n", "N ", ""])]),
        ("lookup_companies", [None, one(["n", "N ", ""])]),
        ("lookup_users", [several(ADDRESSES)]),
        ("add_user", [user]),
        ("list_changes", [0, 1000]),
    ]
    return one(calls)


class Answers:
    """What `crm` answers on one of the two stores, and the names by which its ids are known in both."""

    def __init__(self) -> None:
        self.emails: list[str] = []
        self.names: dict[str, str] = {}

    def outcome(self, verb: str, arguments: list[Any]) -> Any:
        """What a call gives, or the exception that it raises."""
        try:
            given = getattr(crm, verb)(*map(self._meant, arguments))
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
            moments = ("createdAt", "updatedAt", "loggedAt", "at", "seq")
            return {name: self._plain(one) for name, one in value.items() if name not in moments}
        if isinstance(value, list | tuple):
            return [self._plain(one) for one in value]
        return self.names.get(value, value) if isinstance(value, str) else value


@pytest.mark.parametrize("storage", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.parametrize("seed", range(25))
def test_both_stores_answer_alike(seed: int, app: Flask) -> None:
    """Whatever is called, in whatever order; to the letter, in which true is not 1."""
    with database.writing():
        models.Secret.insert(key=memory.withheld.key()).execute()  # so that hashes are the same
    ours, other = Answers(), Answers()
    parts = {name: getattr(store, name) for name in store.__all__}
    random = Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        memory.stand_in(patch)
        crm.add_user(
            {"id": "u1", "orgId": "org", "name": "John", "email": "john@brightsync.example", "timezone": "UTC"}
        )
        for number in range(150):
            verb, arguments = some_call(random)
            same = dumps(other.outcome(verb, arguments), sort_keys=True)
            with pytest.MonkeyPatch.context() as back:
                for name, part in parts.items():
                    back.setattr(store, name, part)
                one = dumps(ours.outcome(verb, arguments), sort_keys=True)
            assert one == same, f"call {number}: {verb}{arguments}"
