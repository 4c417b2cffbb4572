"""`flask companies import`: as with contacts, for companies and their domains."""

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def run(app: Any, tmp_path: Path) -> Any:
    """`flask companies import` of a file with this content."""

    def run(content: str, *options: str) -> Any:
        path = tmp_path / "companies.csv"
        path.write_text(content, encoding="utf-8", newline="")
        return app.test_cli_runner().invoke(args=["companies", "import", str(path), *options])

    return run


@pytest.mark.parametrize("column", ["domains", "Domain", "WEB-SITE", "website"])
def test_a_company_is_stored_under_its_id_and_found_by_domain(run: Any, client: Any, column: str) -> None:
    """Whatever the column of domains is called, and also where it holds the address of a website."""
    result = run(f"ID;Name;{column}\n7;Acme Ltd;https://www.acme.example/about\n")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "1 created, 0 changed, 0 unchanged, 0 bad.\n"
    (company,) = client.get("/api/v1/companies/lookup?domain=mail.acme.example").json
    assert (company["id"], company["name"]) == ("7", "Acme Ltd")
    assert company["domains"] == ["https://www.acme.example/about"]


def test_several_domains_stand_in_one_cell_or_in_several(run: Any, client: Any) -> None:
    """In the order of the file."""
    run('name,domains,website\nAcme,"acme.example; acme.test",www.acme.example\n')
    assert client.get("/api/v1/companies").json[0]["domains"] == ["acme.example", "acme.test", "www.acme.example"]


def test_a_second_import_changes_nothing(run: Any, client: Any) -> None:
    """Neither rows with an id nor those without."""
    table = "id,name,domains\n7,Acme,acme.example\n,Other,other.example\n"
    assert run(table).stdout == "2 created, 0 changed, 0 unchanged, 0 bad.\n"
    before = client.get("/api/v1/companies").json
    assert run(table).stdout == "0 created, 0 changed, 2 unchanged, 0 bad.\n"
    assert client.get("/api/v1/companies").json == before


def test_a_column_that_the_file_does_not_have_stays_as_it_is(run: Any, client: Any) -> None:
    """An empty cell means none."""
    run("id,name,domains\n7,Acme,acme.example\n")
    assert run("id,name\n7,Acme Ltd\n").stdout == "0 created, 1 changed, 0 unchanged, 0 bad.\n"
    assert client.get("/api/v1/companies/7").json["domains"] == ["acme.example"]
    run("id,domains\n7,\n")
    company = client.get("/api/v1/companies/7").json
    assert (company["name"], company["domains"]) == ("Acme Ltd", [])


def test_a_row_without_an_id_is_found_by_its_domain(run: Any, client: Any) -> None:
    """As POST does: gaps are filled, and what is there stays."""
    run("id,domain\n7,acme.example\n")
    run("name,domain\nAcme,www.ACME.example\n")
    (company,) = client.get("/api/v1/companies").json
    assert (company["id"], company["name"], company["domains"]) == ("7", "Acme", ["acme.example"])


def test_a_bad_row_keeps_all_from_being_stored(run: Any, client: Any) -> None:
    """Unless bad rows are skipped; a dry run stores nothing at all."""
    table = "id,name\n7,Acme\na/b,Other\n"
    result = run(table)
    assert result.exit_code == 1
    assert result.stderr.startswith("line 3: id: ")
    assert client.get("/api/v1/companies").json == []
    assert run(table, "--dry-run", "--skip-bad-rows").exit_code == 1
    assert client.get("/api/v1/companies").json == []
    assert run(table, "--skip-bad-rows").stdout == "1 created, 0 changed, 0 unchanged, 1 bad.\n"
    assert [company["id"] for company in client.get("/api/v1/companies").json] == ["7"]


def test_companies_first_then_their_contacts(run: Any, app: Any, client: Any, tmp_path: Path) -> None:
    """A contact may name a company that was imported before."""
    run("id,name\n7,Acme\n")
    (tmp_path / "people.csv").write_text("id,company_id\n42,7\n")
    result = app.test_cli_runner().invoke(args=["contacts", "import", str(tmp_path / "people.csv")])
    assert result.exit_code == 0, result.stderr
    assert client.get("/api/v1/contacts/42").json["companyId"] == "7"
