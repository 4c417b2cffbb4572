"""GET /unmatched and what can be done about it: addresses that BrightSync looked up, and that nobody knows."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask

import crm
import database
from clock import stamp
from tests.conftest import USER
from tests.samples import EMAILS
from web import unmatched
from web.activity import Activity

UNMATCHED = "/api/v1/unmatched"
CONTACTS = "/api/v1/contacts"


@pytest.fixture
def listed(app: Flask, client: Any) -> Any:
    """The addresses on the list, with what was counted until now."""

    def read(**query: int) -> list[dict[str, Any]]:
        app.extensions["activity"].flush()
        answer = client.get(UNMATCHED, query_string=query)
        assert answer.status_code == 200
        records: list[dict[str, Any]] = answer.json
        return records

    return read


def lookup(client: Any, *addresses: str) -> None:
    """Ask for some addresses."""
    assert client.get(f"{CONTACTS}/lookup", query_string={"emails": ",".join(addresses)}).status_code == 200


def addresses(records: list[dict[str, Any]]) -> list[str]:
    """Of the list, in its order."""
    return [one["address"] for one in records]


def keep(count: int, ago: int = 0, times: int = 1) -> None:
    """Put down so many addresses that were asked for so many days ago."""
    at = stamp(datetime.now(UTC) - timedelta(days=ago))
    with database.writing():
        unmatched.keep({f"p{n}-{ago}@x.example": (times, at, {"u1"}) for n in range(count)}, True)


# ---- the list -------------------------------------------------------------------------------------------------------


def test_what_was_asked_for_most_comes_first(sync: Any, client: Any, listed: Any) -> None:
    """However it was written, and whatever else was asked for in the same call."""
    client.post(CONTACTS, json={"emailAddresses": ["known@acme.example"]})
    lookup(sync, "once@acme.example", "known@acme.example", "Jane <JANE@gmail.com>")
    lookup(sync, "jane@gmail.com", "nobody")
    found = listed()
    assert found == [
        {"address": "jane@gmail.com", "count": 2, "lastAsked": found[0]["lastAsked"], "users": 1, "freeMail": True},
        {"address": "once@acme.example", "count": 1, "lastAsked": found[1]["lastAsked"], "users": 1, "freeMail": False},
    ]
    assert found[1]["lastAsked"] < found[0]["lastAsked"]
    assert listed(limit=1) == found[:1]


def test_users_are_counted_once(app: Flask, listed: Any) -> None:
    """In one process or several, and no more than MOST_USERS."""
    for names in (["u1", "u2"], ["u2", "u3"]):
        process = Activity(None)
        for name in names:
            process.count(name, 200, "GET -", ["jane@acme.example"])
        process.flush()
    assert [(one["count"], one["users"]) for one in listed()] == [(4, 3)]
    for n in range(unmatched.MOST_USERS):
        app.extensions["activity"].count(f"n{n}", 200, "GET -", ["jane@acme.example"])
    assert [(one["count"], one["users"]) for one in listed()] == [(104, 100)]


def test_only_what_brightsync_asks_for_is_on_it(sync: Any, client: Any, listed: Any) -> None:
    """Not what the CRM's own look-up misses, nor what another call does, nor a colleague."""
    lookup(client, "jane@acme.example")
    sync.get("/api/v1/users/lookup?emails=jane@acme.example")
    lookup(sync, USER["email"])
    assert listed() == []


def test_who_becomes_a_contact_leaves_the_list(sync: Any, client: Any, listed: Any) -> None:
    """And is back, when the contact goes."""
    lookup(sync, "jane@acme.example", "joe@acme.example")
    contact = client.post(CONTACTS, json={"emailAddresses": ["Jane@ACME.example"]}).json["id"]
    assert addresses(listed()) == ["joe@acme.example"]
    client.delete(f"{CONTACTS}/{contact}")
    assert addresses(listed()) == ["jane@acme.example", "joe@acme.example"]


def test_an_ignored_address_stays_away(sync: Any, client: Any, listed: Any) -> None:
    """Also when it is asked for again."""
    lookup(sync, "jane@acme.example", "joe@acme.example")
    listed()
    assert client.post(f"{UNMATCHED}/jane@acme.example/ignore").status_code == 204
    lookup(sync, "jane@acme.example")
    assert addresses(listed()) == ["joe@acme.example"]


def test_it_can_be_switched_off(app: Flask, listed: Any) -> None:
    """What was there goes with the next call that is counted; calls are counted as ever."""
    keep(1)
    off = Activity(None, keeps_unmatched=False)
    off.count("u1", 200, "GET -", ["jane@acme.example"])
    off.flush()
    assert listed() == []


def test_the_list_is_bounded(app: Flask, listed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """By time and by number: what was asked for last stays."""
    keep(2, ago=unmatched.KEPT_DAYS + 1)
    keep(1)
    assert addresses(listed()) == ["p0-0@x.example"]
    monkeypatch.setattr(unmatched, "KEPT", 3)
    keep(2, ago=2, times=9)
    keep(2, ago=1)
    assert addresses(listed()) == ["p0-0@x.example", "p0-1@x.example", "p1-1@x.example"]


def test_a_page_is_filled_where_many_are_known_by_now(app: Flask, listed: Any) -> None:
    """However many."""
    keep(450)
    with database.writing():
        for n in range(440):
            crm.put_contact(f"c{n}", {**NOBODY, "emailAddresses": [f"p{n}-0@x.example"]})
    assert len(listed(limit=5)) == 5
    assert len(listed()) == 10


NOBODY: dict[str, Any] = {"firstName": None, "lastName": None, "emailAddresses": [], "companyId": None}


# ---- a contact of it ------------------------------------------------------------------------------------------------


def test_a_contact_is_made_with_company_and_names(sync: Any, client: Any, listed: Any) -> None:
    """As most emails call them."""
    company = client.post("/api/v1/companies", json={"name": "Acme", "domains": ["acme.example"]}).json["id"]
    for name in ("J. D.", "Doe, Jane", "Doe, Jane"):
        sync.post(EMAILS, json={"toAddresses": [f'"{name}" <jane@acme.example>']})
    lookup(sync, "Jane@acme.example")
    listed()
    made = client.post(f"{UNMATCHED}/jane@acme.example/contact")
    assert made.status_code == 201
    assert made.headers["Location"] == f"{CONTACTS}/{made.json['id']}"
    assert client.get(made.headers["Location"]).json == made.json
    assert (made.json["firstName"], made.json["lastName"]) == ("Jane", "Doe")
    assert (made.json["companyId"], made.json["emailAddresses"]) == (company, ["jane@acme.example"])
    again = client.post(f"{UNMATCHED}/jane@acme.example/contact")
    assert (again.status_code, again.json) == (200, made.json)
    assert listed() == []


def test_free_mail_is_no_company(sync: Any, client: Any, listed: Any) -> None:
    """Even where one has its domain."""
    client.post("/api/v1/companies", json={"name": "G", "domains": ["gmail.com"]})
    lookup(sync, "jane@gmail.com", "a/b@acme.example")
    listed()
    assert client.post(f"{UNMATCHED}/jane@gmail.com/contact").json["companyId"] is None
    assert client.post(f"{UNMATCHED}/a%2Fb@acme.example/contact").status_code == 201


@pytest.mark.parametrize("what", ["contact", "ignore"])
def test_what_is_not_on_the_list_is_not_found(client: Any, sync: Any, what: str) -> None:
    """And makes nothing; nor may BrightSync's token."""
    assert client.post(f"{UNMATCHED}/jane@acme.example/{what}").status_code == 404
    assert client.post(f"{UNMATCHED}/%00%FF/{what}").status_code == 404
    assert sync.post(f"{UNMATCHED}/jane@acme.example/{what}").status_code == 403
    assert client.get(CONTACTS).json == []


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ("Jane Doe <{}>", ("Jane", "Doe")),
        ('"Doe, Jane" <{}>', ("Jane", "Doe")),
        ("Dr. Jane Doe (Acme) <{}>", ("Jane", "Doe")),
        ("Ludwig van Beethoven <{}>", ("Ludwig", "van Beethoven")),
        ("Jane Mary Doe <{}>", ("Jane Mary", "Doe")),
        ("jane doe <{}>", ("jane", "doe")),
        ("van Doe <{}>", ("van", "Doe")),
        ("Jane <{}>", ("Jane", None)),
        ("Doe, <{}>", ("Doe", None)),
        ("'{}' <{}>", (None, None)),
        ("Room 101 <{}>", (None, None)),
        ("-- <{}>", (None, None)),
        ("Dr. <{}>", (None, None)),
        ("<{}>", (None, None)),
        ("{}", (None, None)),
    ],
)
def test_names_are_read_from_what_emails_say(sync: Any, client: Any, listed: Any, written: str, names: Any) -> None:
    """In the ways in which mail programs write them."""
    sync.post(EMAILS, json={"ccAddresses": [written.replace("{}", "j@acme.example")], "fromAddress": "x@x.example"})
    lookup(sync, "j@acme.example")
    listed()
    made = client.post(f"{UNMATCHED}/j@acme.example/contact").json
    assert (made["firstName"], made["lastName"]) == names


def test_the_name_of_a_sender_is_the_emails_own(sync: Any, client: Any, listed: Any) -> None:
    """fromName, where there is one; and two names are better than one, however often it is said."""
    for name in ("Jane Doe", "Jane", "Jane"):
        sync.post(EMAILS, json={"fromAddress": "j@acme.example", "fromName": name})
    lookup(sync, "j@acme.example")
    listed()
    made = client.post(f"{UNMATCHED}/j@acme.example/contact").json
    assert (made["firstName"], made["lastName"]) == ("Jane", "Doe")


def test_without_what_emails_say_the_names_are_empty(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store need not be able to tell; nor to know companies or users."""
    keep(1)
    for part in ("emails.names", "companies.find", "users.find"):
        monkeypatch.delattr(f"store.{part}" if part != "companies.find" else "store.companies", raising=False)
    assert addresses(unmatched.list_unmatched()) == ["p0-0@x.example"]
    made, _ = unmatched.add_unmatched_contact("p0-0@x.example")
    assert (made["firstName"], made["lastName"], made["companyId"]) == (None, None, None)


# ---- the command, and privacy ---------------------------------------------------------------------------------------


def test_the_command_lists_them(app: Flask, sync: Any, listed: Any) -> None:
    """A line each."""
    lookup(sync, "jane@gmail.com")
    last = listed()[0]["lastAsked"]
    result = app.test_cli_runner().invoke(args=["unmatched", "list"])
    assert [line.split() for line in result.stdout.splitlines()[1:]] == [["1", "1", last, "yes", "jane@gmail.com"]]


def test_an_address_is_exported_and_erased(app: Flask, sync: Any, listed: Any) -> None:
    """And others stay."""
    lookup(sync, "jane@acme.example", "mjane@acme.example")
    found = listed()
    run = app.test_cli_runner().invoke
    assert json.loads(run(args=["person", "export", "JANE@acme.example"]).stdout)["unmatched"] == found[:1]
    dry = json.loads(run(args=["person", "erase", "jane@acme.example", "--dry-run"]).stdout)
    assert (dry["unmatched"], listed()) == (["jane@acme.example"], found)
    assert json.loads(run(args=["person", "erase", "jane@acme.example"]).stdout)["unmatched"] == ["jane@acme.example"]
    assert listed() == found[1:]
