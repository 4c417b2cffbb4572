"""GET /api/v1/companies/lookup: which company a domain belongs to."""

from typing import Any

import pytest

from tests.samples import ACME, assert_error

LOOKUP = "/api/v1/companies/lookup"


def put(client: Any, company_id: str, *domains: str) -> None:
    """A company with these domains."""
    assert client.put(f"/api/v1/companies/{company_id}", json={"domains": domains}).status_code == 201


def ids(client: Any, domain: str) -> list[str]:
    """The ids of the companies that a look-up finds, in its order."""
    response = client.get(LOOKUP, query_string={"domain": domain})
    assert response.status_code == 200, response.text
    return [company["id"] for company in response.json]


def test_a_known_domain_finds_the_whole_company(sync: Any) -> None:
    """The same record as by its id."""
    made = sync.post("/api/v1/companies", json=ACME).json
    response = sync.get(f"{LOOKUP}?domain=acme.example")
    assert (response.status_code, response.json) == (200, [made])
    assert made.keys() == {"id", "name", "domains", "createdAt", "updatedAt"}


def test_any_domain_of_a_company_finds_it(client: Any) -> None:
    """Not only the first."""
    put(client, "acme", "acme.example", "acme.co.uk")
    assert ids(client, "acme.co.uk") == ["acme"]


@pytest.mark.parametrize("domain", ["mail.acme.co.uk", "eu.mail.acme.co.uk", "a.b.c.d.acme.co.uk", "x@eu.acme.co.uk"])
def test_a_domain_below_one_of_a_company_finds_it(client: Any, domain: str) -> None:
    """However many labels lie between."""
    put(client, "acme", "acme.co.uk")
    assert ids(client, domain) == ["acme"]


def test_the_nearest_parent_wins_and_the_domain_itself_before_it(client: Any) -> None:
    """A subsidiary with a domain of its own is not its mother."""
    put(client, "mother", "acme.example")
    put(client, "daughter", "eu.acme.example")
    assert ids(client, "acme.example") == ["mother"]
    assert ids(client, "eu.acme.example") == ["daughter"]
    assert ids(client, "mail.eu.acme.example") == ["daughter"]
    assert ids(client, "us.acme.example") == ["mother"]


def test_neither_a_sibling_nor_a_piece_of_a_label_finds_a_company(client: Any) -> None:
    """Nor does a domain above."""
    put(client, "acme", "acme.example", "eu.acme.test", "acme.co.uk")
    siblings = ["notacme.example", "not-acme.example", "us.acme.test", "brightsync.example", "acme.example.org"]
    pieces = ["cme.example", "acme.examples", "acme_example", "acme"]
    above = ["example", "acme.test", "co.uk", "uk"]
    assert {domain: ids(client, domain) for domain in [*siblings, *pieces, *above] if ids(client, domain)} == {}


def test_a_domain_shared_by_two_companies_finds_both_the_older_first(client: Any) -> None:
    """A group's domain may belong to several."""
    put(client, "b", "acme.example")
    put(client, "a", "acme.example")
    put(client, "parent", "example")
    assert ids(client, "mail.acme.example") == ["b", "a"]


def test_a_company_that_names_a_domain_twice_is_found_once(client: Any) -> None:
    """In two spellings of it."""
    put(client, "acme", "acme.example", "www.ACME.example")
    assert ids(client, "acme.example") == ["acme"]


@pytest.mark.parametrize(
    "domain",
    [
        "ACME.Example",
        "www.acme.example",
        "WWW.ACME.EXAMPLE.",
        "acme.example.",
        " acme.example ",
        "https://acme.example",
        "https://www.acme.example/contact?from=mail#top",
        "HTTP://user:secret@acme.example:8080/",
        "acme.example/contact",
        "acme.example:443",
        "jane@acme.example",
        "Jane Doe <jane@acme.example>",
        "mail.www.acme.example",
    ],
)
def test_spellings_of_a_domain_are_the_same(client: Any, domain: str) -> None:
    """In the CRM as in the question; the answer has it as written."""
    for stored in ("acme.example", "https://www.Acme.example./"):
        client.put("/api/v1/companies/acme", json={"domains": [stored]})
        response = client.get(LOOKUP, query_string={"domain": domain})
        assert [company["domains"] for company in response.json] == [[stored]]


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        ("münchen.example", "XN--MNCHEN-3YA.example"),
        ("xn--mnchen-3ya.example", "mail.MÜNCHEN.example"),
        ("mu\u0308nchen.example", "münchen.example"),
        ("例え.example", "例え。example"),
    ],
)
def test_international_domains_are_found_in_both_their_forms(client: Any, stored: str, asked: str) -> None:
    """The U-label and the A-label are one domain (RFC 5890, 2.3.2.1)."""
    put(client, "acme", stored)
    assert ids(client, asked) == ["acme"]


def test_what_is_no_domain_finds_nothing(client: Any) -> None:
    """An empty array: never an error, never everything."""
    put(client, "acme", "acme.example", "", "@")
    for domain in ("", " ", ".", "..", "@", "https://", "a b", "a,b", "x" * 2000, "\x00", "www."):
        assert ids(client, domain) == [], domain


@pytest.mark.parametrize(
    ("own", "below"),
    [("co.uk", "acme.co.uk"), ("github.io", "acme.github.io"), ("example", "acme.example"), ("公司.cn", "a.公司.cn")],
)
def test_a_public_suffix_finds_nobody_below_it(client: Any, own: str, below: str) -> None:
    """What is below it belongs to others; the suffix itself is a domain like any other."""
    put(client, "suffix", own)
    assert ids(client, below) == ids(client, f"eu.{below}") == []
    assert ids(client, own) == ["suffix"]
    put(client, "acme", below)
    assert ids(client, f"eu.{below}") == ["acme"]


def test_a_domain_of_free_mail_finds_nothing_unless_a_setting_says_so(client: Any, monkeypatch: Any) -> None:
    """Else everybody with such an address would belong to the first one who was kept as a company."""
    put(client, "sole trader", "gmail.com", "web.de")
    asked = ("gmail.com", "GMAIL.com.", "jane@gmail.com", "mail.web.de")
    assert [ids(client, domain) for domain in asked] == [[]] * 4
    monkeypatch.setitem(client.application.config, "FREE_MAIL_COMPANIES", "on")
    assert [ids(client, domain) for domain in asked] == [["sole trader"]] * 4


def test_a_name_finds_the_companies_of_that_name(client: Any) -> None:
    """Whatever the letter case, white space and width of its letters; the whole name, the oldest company first."""
    for n, name in enumerate(["Acme Ltd", "Straße & Söhne", "ACME  LTD", "Acme", None, ""]):
        client.put(f"/api/v1/companies/{n}", json={"name": name, "domains": [f"acme{n}.example"]})

    def named(name: str, **more: str) -> list[str]:
        response = client.get(LOOKUP, query_string={"name": name, **more})
        assert response.status_code == 200
        return [company["id"] for company in response.json]

    assert named("acme ltd") == named("\tＡｃｍｅ\u3000Ltd ") == ["0", "2"]
    assert named("STRASSE & SO\u0308HNE") == ["1"]
    assert [named(name) for name in ("Acm", "Acme L%", "", " ", "x" * 5000)] == [[]] * 5
    assert named("Acme Ltd", domain="acme2.example") == ["2"]
    assert named("Acme Ltd", domain="acme3.example") == named("Acme Ltd", domain="") == []
    client.patch("/api/v1/companies/2", json={"name": "x" * 1000})
    client.patch("/api/v1/companies/0", json={"domains": []})
    assert (named("acme ltd"), named("X" * 1000)) == (["0"], ["2"])
    client.delete("/api/v1/companies/0")
    assert named("acme ltd") == []


def test_a_missing_domain_is_refused(client: Any) -> None:
    """422, by the name of the parameter."""
    error = assert_error(client.get(LOOKUP), 422)
    assert error["errors"]["query"].keys() == {"domain"}


def test_what_a_company_is_changed_to_is_what_finds_it(client: Any) -> None:
    """Neither a domain that it lost nor one of a company that was removed does."""
    put(client, "acme", "acme.example", "old.example")
    put(client, "gone", "gone.example")
    client.patch("/api/v1/companies/acme", json={"domains": ["acme.example", "new.example"]})
    client.delete("/api/v1/companies/gone")
    assert [ids(client, domain) for domain in ("old.example", "gone.example")] == [[], []]
    assert ids(client, "new.example") == ["acme"]
