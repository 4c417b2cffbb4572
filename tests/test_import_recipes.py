"""What other programs export is imported as it is: with names, every address and the company, and found again."""

import csv
import io
from pathlib import Path
from typing import Any

import pytest

import crm
import database
import store
from tests import memory
from tests.test_seam import Lacking

GOOGLE = (
    "First Name,Middle Name,Last Name,Phonetic First Name,Phonetic Middle Name,Phonetic Last Name,Name Prefix,"
    "Name Suffix,Nickname,File As,Organization Name,Organization Title,Organization Department,Birthday,Notes,Photo,"
    "Labels,E-mail 1 - Label,E-mail 1 - Value,E-mail 2 - Label,E-mail 2 - Value,Phone 1 - Label,Phone 1 - Value"
)
GOOGLE_BEFORE = (
    "Name,Given Name,Additional Name,Family Name,Yomi Name,Given Name Yomi,Additional Name Yomi,Family Name Yomi,"
    "Name Prefix,Name Suffix,Initials,Nickname,Short Name,Maiden Name,Birthday,Gender,Location,Billing Information,"
    "Directory Server,Mileage,Occupation,Hobby,Sensitivity,Priority,Subject,Notes,Language,Photo,Group Membership,"
    "E-mail 1 - Type,E-mail 1 - Value,E-mail 2 - Type,E-mail 2 - Value,Phone 1 - Type,Phone 1 - Value,"
    "Organization 1 - Type,Organization 1 - Name,Organization 1 - Yomi Name,Organization 1 - Title"
)
OUTLOOK = (
    "Title,First Name,Middle Name,Last Name,Suffix,Company,Department,Job Title,Business Street,Business Phone,"
    "Assistant's Name,E-mail Address,E-mail Type,E-mail Display Name,E-mail 2 Address,E-mail 2 Type,"
    "E-mail 2 Display Name,E-mail 3 Address,E-mail 3 Type,E-mail 3 Display Name,Manager's Name,Notes,Web Page"
)
OUTLOOK_GERMAN = (
    "Anrede,Vorname,Weitere Vornamen,Nachname,Suffix,Firma,Abteilung,Position,Straße geschäftlich,Telefon Firma,"
    "E-Mail-Adresse,E-Mail-Typ,E-Mail: Angezeigter Name,E-Mail 2: Adresse,E-Mail 2: Typ,E-Mail 2: Angezeigter Name,"
    "E-Mail 3: Adresse,E-Mail 3: Typ,E-Mail 3: Angezeigter Name,Name Assistent,Name des/der Vorgesetzten,Webseite"
)
HUBSPOT = (
    "Record ID,First Name,Last Name,Email,Additional email addresses,Email Domain,Phone Number,Contact owner,"
    "Lead Status,Create Date,Email hard bounce reason,Emails Delivered,Associated Company,Associated Company IDs"
)
HUBSPOT_COMPANIES = "Record ID,Company name,Company owner,Create Date,Phone Number,City,Company Domain Name,Industry"

# Of each layout the names of what is filled in, in the order of JANE.
NAMES = {
    "Google Contacts": (
        GOOGLE,
        ["First Name", "Last Name", "E-mail 1 - Value", "E-mail 2 - Value", "Organization Name", "E-mail 1 - Label"],
    ),
    "Google Contacts before": (
        GOOGLE_BEFORE,
        ["Given Name", "Family Name", "E-mail 1 - Value", "E-mail 2 - Value", "Organization 1 - Name", "Name"],
    ),
    "Outlook": (
        OUTLOOK,
        ["First Name", "Last Name", "E-mail Address", "E-mail 2 Address", "Company", "E-mail Display Name"],
    ),
    "Outlook, German": (
        OUTLOOK_GERMAN,
        ["Vorname", "Nachname", "E-Mail-Adresse", "E-Mail 2: Adresse", "Firma", "E-Mail: Angezeigter Name"],
    ),
    "HubSpot": (
        HUBSPOT,
        ["First Name", "Last Name", "Email", "Additional email addresses", "Associated Company", "Emails Delivered"],
    ),
}
JANE = ["Jané", "Doe", "jane@acme.example", "jd@gmail.com", "Acme Ltd", "12"]
JOE = ["Joe", "Roe", "", "", "Acme Ltd", ""]  # without an address
LAYOUTS = pytest.mark.parametrize("layout", NAMES)

CARDS = (
    "BEGIN:VCARD\r\nVERSION:3.0\r\nPRODID:-//Apple Inc.//macOS 14.5//EN\r\nN:Doe;Jané;;;\r\nFN:Jané Doe\r\n"
    "ORG:Acme Ltd;Sales\r\nEMAIL;type=INTERNET;type=HOME:jd@gmail.com\r\n"
    "item1.EMAIL;type=INTERNET;type=WORK;type=pref:jane@ac\r\n me.example\r\nitem1.X-ABLabel:_$!<Work>!$_\r\n"
    "PHOTO;ENCODING=b;TYPE=JPEG:/9j/4AAQSkZJRgABAQ\r\n EMAIL:no@x.example\r\nEND:VCARD\r\n"
    "BEGIN:VCARD\r\nVERSION:3.0\r\nN:Roe;Joe;;;\r\nFN:Joe Roe\r\nORG:Acme Ltd;\r\n"
    "X-ABUID:8291364B-FCBF-4577\\:ABPerson\r\nEND:VCARD\r\n"
)


def table(header: str, *rows: dict[str, str], delimiter: str = ",") -> str:
    """A CSV file in which all columns but those that are named are empty."""
    out = io.StringIO()
    writer = csv.DictWriter(out, next(csv.reader([header])), restval="", delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def people(layout: str, *persons: list[str], **more: str) -> str:
    """Such a table in one of the layouts."""
    header, names = NAMES[layout]
    return table(header, *(dict(zip(names, person, strict=True)) | more for person in persons))


@pytest.fixture
def run(app: Any, tmp_path: Path) -> Any:
    """`flask contacts import`, or companies, of a file with this content."""

    def run(content: str | bytes, *options: str, command: str = "contacts", name: str = "table.csv") -> Any:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return app.test_cli_runner().invoke(args=[command, "import", str(path), *options])

    return run


def counts(created: int = 0, changed: int = 0, unchanged: int = 0, bad: int = 0) -> str:
    """What the command says."""
    return f"{created} created, {changed} changed, {unchanged} unchanged, {bad} bad.\n"


def shown(client: Any) -> dict[str, tuple[str | None, list[str], str | None]]:
    """Of each contact by first name the last name, the addresses and the company's name."""
    companies = {one["id"]: one["name"] for one in client.get("/api/v1/companies?limit=100").json}
    contacts = client.get("/api/v1/contacts?limit=100").json
    found = {
        one["firstName"]: (one["lastName"], one["emailAddresses"], companies.get(one["companyId"])) for one in contacts
    }
    assert len(found) == len(contacts)
    return found


BOTH = {
    "Jané": ("Doe", ["jane@acme.example", "jd@gmail.com"], "Acme Ltd"),
    "Joe": ("Roe", [], "Acme Ltd"),
}


# ---- each layout ----------------------------------------------------------------------------------------------------


@LAYOUTS
def test_an_export_arrives_whole_and_is_found_again(run: Any, client: Any, layout: str) -> None:
    """Names, every address, the company that nobody knew; no doublets, also of who has no address."""
    content = people(layout, JANE, JOE)
    foreseen = run(content, "--dry-run")
    assert foreseen.stdout == f"Dry run, nothing was stored: {counts(2)}"
    result = run(content)
    assert (result.exit_code, result.stdout) == (0, counts(2))
    assert shown(client) == BOTH
    assert "Warning" not in result.stderr
    assert "line" not in result.stderr
    assert len(client.get("/api/v1/companies").json) == 1
    before = client.get("/api/v1/changes?limit=1000").json
    assert run(content).stdout == counts(unchanged=2)
    assert client.get("/api/v1/changes?limit=1000").json == before


def test_cards_arrive_whole_and_are_found_again(run: Any, client: Any) -> None:
    """The preferred address is the first one; folded lines are one, and a photo is none of them."""
    result = run(CARDS, name="people.vcf")
    assert (result.exit_code, result.stdout, result.stderr) == (0, counts(2), "")
    assert shown(client) == BOTH
    assert run(CARDS, "--dry-run").stdout == f"Dry run, nothing was stored: {counts(unchanged=2)}"
    assert run(CARDS).stdout == counts(unchanged=2)


def test_companies_of_hubspot_arrive_and_are_found_again(run: Any, client: Any) -> None:
    """By their domain; without one, by the id that they have there; else by name."""
    acme = {"Record ID": "101", "Company name": "Acme Ltd", "Company Domain Name": "acme.example"}
    content = table(HUBSPOT_COMPANIES, acme, {"Record ID": "102", "Company name": "Other"})
    assert run(content, command="companies").stdout == counts(2)
    (company,) = client.get("/api/v1/companies/lookup?domain=acme.example").json
    assert (company["name"], company["domains"]) == ("Acme Ltd", ["acme.example"])
    assert run(content, command="companies").stdout == counts(unchanged=2)
    assert run("name\nother\n", command="companies").stdout == counts(unchanged=1)
    assert run("name,domain\nOTHER,other.example\n", command="companies").stdout == counts(changed=1)
    assert run("name,domain\nOther,other.test\n", command="companies").stdout == counts(1)  # another one of the name


# ---- the company ----------------------------------------------------------------------------------------------------


def hubspot(name: str, ids: str, email: str = "jane@acme.example") -> str:
    """A contact of HubSpot with these companies."""
    row = {"Record ID": "7", "First Name": "Jane", "Email": email}
    return table(HUBSPOT, row | {"Associated Company": name, "Associated Company IDs": ids})


def company_of_jane(client: Any) -> str | None:
    """The name of her company."""
    return shown(client)["Jane"][2]


@pytest.mark.parametrize("ids", ["101", "101;102", "101, 102"])
def test_a_company_is_found_by_its_id_before_its_name(run: Any, client: Any, ids: str) -> None:
    """Its name may have changed since; of several the first."""
    content = table(
        HUBSPOT_COMPANIES, {"Record ID": "101", "Company name": "Acme"}, {"Record ID": "102", "Company name": "B"}
    )
    run(content, command="companies")
    assert run(hubspot("B", ids)).stdout == counts(1)
    assert company_of_jane(client) == "Acme"


def test_a_company_that_contacts_named_gets_its_domain_later(run: Any, client: Any) -> None:
    """Whichever file comes first, there is one company."""
    run(hubspot("Acme;Other", "101;102"))
    acme = {"Record ID": "101", "Company name": "Acme Ltd", "Company Domain Name": "acme.example"}
    assert run(table(HUBSPOT_COMPANIES, acme), command="companies").stdout == counts(changed=1)
    (company,) = client.get("/api/v1/companies").json
    assert (company["name"], company["domains"]) == ("Acme", ["acme.example"])
    assert company_of_jane(client) == "Acme"


def test_of_companies_of_one_name_the_one_of_the_domain_is_meant(run: Any, client: Any) -> None:
    """Else the oldest."""
    for n, domains in enumerate([[], ["acme.example"], ["acme.test"]]):
        crm.put_company(str(n), {"name": "Acme", "domains": domains})
    run("first name,email,company\nJane,jane@mail.acme.test,ACME\nJoe,joe@home.example,acme\n")
    found = {one["firstName"]: one["companyId"] for one in client.get("/api/v1/contacts").json}
    assert found == {"Jane": "2", "Joe": "0"}


def test_a_company_is_found_by_the_domain_of_an_address(run: Any, client: Any) -> None:
    """Where no name says better, or under another name; never by a domain of free mail."""
    crm.put_company("1", {"name": "Acme", "domains": ["acme.example"]})
    crm.put_company("2", {"name": "Mail", "domains": ["gmail.com"]})
    run(
        "first name,email,company\nJane,j@gmail.com;jane@eu.acme.example,\n"
        "Joe,joe@acme.example,Acme Ltd.\nAnn,a@gmail.com,\n"
    )
    found = {one["firstName"]: one["companyId"] for one in client.get("/api/v1/contacts").json}
    assert found == {"Jane": "1", "Joe": "1", "Ann": None}
    assert len(client.get("/api/v1/companies").json) == 2


def test_a_contact_keeps_the_company_that_it_has(run: Any, client: Any) -> None:
    """And none is created for nothing."""
    crm.put_company("1", {"name": "Acme", "domains": []})
    run("first name,email,companyId\nJane,jane@acme.example,1\n")
    assert run("first name,email,company\nJane,jane@acme.example,Other\n").stdout == counts(unchanged=1)
    assert len(client.get("/api/v1/companies").json) == 1


def test_a_row_with_our_id_may_name_its_company(run: Any, client: Any) -> None:
    """As the column says it: none where its cell is empty, and never by guess."""
    crm.put_company("1", {"name": "Acme", "domains": ["acme.example"]})
    row = "id,first name,email,company\n42,Jane,jane@acme.example,"
    assert run(f"{row}Other\n").stdout == counts(1)
    assert company_of_jane(client) == "Acme"  # known by another name
    assert run(f"{row}Acme\n").stdout == counts(unchanged=1)
    assert run(f"{row}\n").stdout == counts(changed=1)
    assert company_of_jane(client) is None
    crm.change_contact("42", {"companyId": "1"})
    assert run("id,record id,first name,email\n42,7,Jane,jane@acme.example\n").stdout == counts(unchanged=1)


def test_a_dry_run_knows_the_companies_that_it_would_make(run: Any, client: Any) -> None:
    """Also a second time in one file; and a companyId that is nobody's stays a fault."""
    content = "first name,email,company\nJane,jane@x.example,New\nJoe,joe@x.example,NEW\n"
    assert run(content, "--dry-run").stdout == f"Dry run, nothing was stored: {counts(2)}"
    assert client.get("/api/v1/companies").json == []
    assert run(content).stdout == counts(2)
    assert len(client.get("/api/v1/companies").json) == 1


@pytest.mark.parametrize("storage", ["memory"], indirect=True)
@pytest.mark.parametrize("lacks", ["read", "find", "insert", "named"])
def test_a_store_that_knows_less_of_companies_takes_contacts(
    run: Any, client: Any, lacks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the company as far as it can be found."""
    crm.put_company("1", {"name": "Acme", "domains": ["acme.example"]})
    monkeypatch.setattr(store, "companies", Lacking(memory.companies, lacks))
    content = (
        "first name,email,company,record id\nJane,jane@acme.example,New,7\nJoe,joe@x.example,Other,8\nAnn,,Acme,9\n"
    )
    assert run(content, "--dry-run").stdout == f"Dry run, nothing was stored: {counts(3)}"
    assert run(content).stdout == counts(3)
    assert run(content).stdout == counts(unchanged=3)
    assert {one["firstName"]: bool(one["companyId"]) for one in memory.RECORDS["contact"].values()} == {
        "Jane": lacks != "read",
        "Joe": lacks == "find",
        "Ann": lacks not in ("read", "named"),
    }


# ---- who has no address ---------------------------------------------------------------------------------------------


def test_who_has_no_address_is_told_apart_by_names_and_company(run: Any, client: Any) -> None:
    """In any letter case; an address that comes later is theirs, but not a second person's."""
    content = "first name,last name,company,email\nJohn,Smith,Acme,\nJOHN,smith ,acme,\nJohn,Smith,Other,\n"
    assert run(content).stdout == counts(2, unchanged=1)
    head = "first name,last name,company,email\nJohn,Smith,Acme,"
    assert run(f"{head}john@acme.example\n").stdout == counts(changed=1)
    assert run(f"{head}js@acme.example\n").stdout == counts(1)
    assert run(f"{head}\n").stdout == counts(unchanged=1)
    addresses = sorted(one["emailAddresses"] for one in client.get("/api/v1/contacts").json)
    assert addresses == [[], ["john@acme.example"], ["js@acme.example"]]


def test_who_has_an_id_there_is_found_by_it(run: Any, client: Any) -> None:
    """Also where the address has changed; two of one name are two."""
    assert run(hubspot("", "", "")).stdout == counts(1)
    assert run(hubspot("", "", "jane@acme.example")).stdout == counts(changed=1)
    assert run(hubspot("", "", "jd@acme.example")).stdout == counts(changed=1)
    assert shown(client)["Jane"][1] == ["jane@acme.example", "jd@acme.example"]
    row = {"First Name": "John", "Last Name": "Smith"}
    assert run(table(HUBSPOT, row | {"Record ID": "8"}, row | {"Record ID": "9"})).stdout == counts(2)


def test_an_address_that_a_stranger_has_already_wins(run: Any, client: Any) -> None:
    """Whom BrightSync has created is found, and not doubled under an id of elsewhere."""
    contact, _ = crm.add_contact(
        {"firstName": None, "lastName": None, "emailAddresses": ["jane@acme.example"], "companyId": None}
    )
    assert run(hubspot("Acme", "101")).stdout == counts(changed=1)
    (found,) = client.get("/api/v1/contacts").json
    assert (found["id"], found["firstName"]) == (contact["id"], "Jane")
    assert company_of_jane(client) == "Acme"


def test_a_row_that_names_nobody_is_left_out(run: Any, client: Any) -> None:
    """That is said, and is no fault."""
    result = run("first name,email,phone,company\n,,1234,Acme\nJane,,1,\n")
    assert (result.exit_code, result.stdout) == (0, counts(1))
    assert result.stderr.splitlines()[1:] == ["line 2: nothing by which anybody could be found; it is left out."]
    assert client.get("/api/v1/companies").json == []


def test_an_id_that_is_made_up_says_nothing_of_the_person(run: Any, client: Any) -> None:
    """It stays in the feed when the person is erased: nobody is to try whose it was without the database's key."""

    def made() -> str:
        run("first name,last name\nJane,Doe\n")
        (contact,) = client.get("/api/v1/contacts").json
        client.delete(f"/api/v1/contacts/{contact['id']}")
        return str(contact["id"])

    first, again = made(), made()
    database.execute("DELETE FROM secret")
    assert first == again != made()


# ---- what is odd ----------------------------------------------------------------------------------------------------


def test_what_is_no_address_is_named_by_its_line(run: Any, client: Any) -> None:
    """It is kept as it is, as in a call, and is not shown: what stands there may be anything."""
    result = run(people("Outlook", ["Jane", "Doe", "/o=ExchangeLabs/cn=secret", "jane@acme.example", "", ""], JOE))
    assert result.exit_code == 0
    assert "line 2: not an email address; it is kept as it is." in result.stderr
    assert "secret" not in result.stderr + result.stdout
    assert shown(client)["Jane"][1] == ["/o=ExchangeLabs/cn=secret", "jane@acme.example"]


@pytest.mark.parametrize(
    ("header", "named"),
    [
        ("Full Name,Email", "Full Name"),
        ("Name,E-mail", "Name"),
        ("Prénom,Nom,Email", "Prénom, Nom"),
        ("First Name,Name of family,Email", "Name of family"),
        ("Voornaam,Achternaam,Email", "Voornaam, Achternaam"),
    ],
)
def test_an_ignored_column_that_looks_like_a_name_is_warned_of(run: Any, header: str, named: str) -> None:
    """With what to call it; where no name is missing, there is nothing to warn of."""
    cells = ",".join("x@x.example" for _ in header.split(","))
    lines = run(f"{header}\n{cells}\n").stderr.splitlines()
    (warning,) = [line for line in lines if line.startswith("Warning: ")]
    assert warning.startswith(f"Warning: {named} may be a name, and is ignored. To have it, call it ")
    assert warning.endswith("lastName.")
    result = run(f"{header}\n{cells}\n", "--skip-bad-rows", command="contacts")
    assert "Warning" in result.stderr
    assert "Warning" not in run("firstName,lastName,Full Name,email\nJane,Doe,Jane Doe,x@x.example\n").stderr


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("told", ["sep=;", '"sep=;"', "SEP=;"])
def test_excels_first_line_says_what_separates(run: Any, client: Any, told: str, end: str) -> None:
    """Also against what the header looks like; lines are counted as an editor does."""
    result = run(
        f"\ufeff{told}{end}id;a,b,c;email;companyId{end}1;x;jane@acme.example;{end}2;;;nowhere{end}", "--skip-bad-rows"
    )
    assert result.stderr.splitlines() == ["Ignored columns: a,b,c.", "line 4: companyId: There is no such company."]
    assert client.get("/api/v1/contacts/1").json["emailAddresses"] == ["jane@acme.example"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("layout", ["Outlook, German", "cards"])
def test_a_file_is_read_however_it_is_written(run: Any, client: Any, layout: str, encoding: str) -> None:
    """Where it is not what it should be, that is said."""
    content = CARDS if layout == "cards" else people(layout, JANE, JOE)
    result = run(content.encode(encoding))
    assert (result.exit_code, result.stdout) == (0, counts(2))
    assert shown(client) == BOTH
    said = (
        "The file is not UTF-8, so it is read as Windows-1252. If letters come out wrong, save the file as CSV UTF-8."
    )
    assert (said in result.stderr) == (encoding == "cp1252")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"id,firstName\n1,J\xe9\n2,Zo\xc3\xab\n", "line 2: it is not UTF-8: save the file as CSV UTF-8"),
        (b"id,firstName\n1,J\x81\n", "line 2: it is not UTF-8: save the file as CSV UTF-8"),
        ("id,firstName\n1,Zo\ud800\n".encode("utf-16", "surrogatepass"), "line 2: it is not UTF-8: "),
        ("id,firstName\n1,Zoë\n".encode("utf-16") + b"\0", "line 3: it is no text; what follows was not read"),
        (CARDS.encode("utf-16") + b"\0", "the file is no text"),
    ],
)
def test_what_is_no_text_is_named(run: Any, client: Any, content: bytes, reason: str) -> None:
    """By its line, with what to do; nothing is stored."""
    result = run(content)
    assert (result.exit_code, client.get("/api/v1/contacts").json) == (1, [])
    assert reason in result.stderr


@pytest.mark.parametrize(
    ("card", "reason"),
    [
        ("VERSION:2.1\nN:Doe;Jane\nEND:VCARD\n", "it is a vCard of version 2.1, which is not read: export it as 3.0"),
        ("VERSION:3.0\nN:Doe;Jane\n", "the card has no end"),
        ("N:Doe;J\0\nEND:VCARD\n", "it holds a NUL character"),
        (f"N:Doe;{'x' * 1001}\nEND:VCARD\n", "firstName: Longer than maximum length 1000."),
    ],
)
def test_a_card_that_cannot_be_taken_is_named_by_its_line(run: Any, client: Any, card: str, reason: str) -> None:
    """And the others are, if asked so."""
    content = "BEGIN:VCARD\nN:Roe;Joe\nEND:VCARD\n\nBEGIN:VCARD\n" + card
    result = run(content, "--skip-bad-rows")
    assert (result.exit_code, result.stdout) == (1, counts(1, bad=1))
    assert result.stderr.startswith(f"line 5: {reason}")
    assert set(shown(client)) == {"Joe"}


def test_cards_are_read_in_all_their_ways(run: Any, client: Any) -> None:
    """Escaped signs, quoted parameters, groups of people, a card of version 4 with no more than a full name."""
    result = run(
        'begin:vcard\nN:O\\;Doe\\, Jr.;Jane\\nAnn;;;\nORG:Acme\\, Ltd\nEMAIL;X="a:b;c":jane@acme.example\nend:vcard\n'
        "BEGIN:VCARD\nVERSION:4.0\nFN:Joe Roe\nEMAIL:joe@acme.example\nEND:VCARD\n"
        "BEGIN:VCARD\nN:;;;;\nFN:Acme\nORG:Acme\nEMAIL:info@acme.example\nEND:VCARD\n"
        "BEGIN:VCARD\nN:Friends\nX-ADDRESSBOOKSERVER-KIND:group\nEND:VCARD\n"
    )
    assert (result.exit_code, result.stdout) == (0, counts(3))
    assert result.stderr == "line 17: it is a group, which is left out.\n"
    assert shown(client) == {
        "Jane Ann": ("O;Doe, Jr.", ["jane@acme.example"], "Acme, Ltd"),
        "Joe Roe": (None, ["joe@acme.example"], None),
        None: (None, ["info@acme.example"], "Acme"),
    }
    result = run(CARDS, command="companies")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "contacts import" in result.stderr


def test_a_cell_holds_several_values(run: Any, client: Any) -> None:
    """Between three colons; others put commas between addresses, which may also stand in a name."""
    run(people("Google Contacts", ["Jane", "Doe", "jane@acme.example ::: jd@home.example", "", "Acme ::: Other", ""]))
    assert shown(client) == {"Jane": ("Doe", ["jane@acme.example", "jd@home.example"], "Acme")}
    run('firstName,lastName,email\nJoe,Roe,"joe@x.example, jr@x.example"\nAnn,Lee,"Lee, Ann <ann@x.example>"\n')
    assert shown(client)["Joe"][1] == ["joe@x.example", "jr@x.example"]
    assert shown(client)["Ann"][1] == ["Lee, Ann <ann@x.example>"]
