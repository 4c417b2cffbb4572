"""`flask contacts import`: people go in by the API's rules, all of them or none."""

import os
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

import database
from commands import imports
from crm import seam
from crm.table_import import TableImport

HEADER = "id,firstName,lastName,emailAddresses,companyId\n"
JANE = "42,Jane,Doe,jane@acme.example,\n"


@pytest.fixture
def run(app: Any, tmp_path: Path) -> Any:
    """`flask contacts import` of a file with this content."""

    def run(content: str | bytes, *options: str, **how: Any) -> Any:
        path = tmp_path / "contacts.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return app.test_cli_runner().invoke(args=["contacts", "import", str(path), *options], **how)

    return run


def _all_contacts(client: Any) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = client.get("/api/v1/contacts?limit=100").json
    return records


def _without_times(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in ("createdAt", "updatedAt")}


def test_a_row_with_an_id_is_stored_under_it(run: Any, client: Any) -> None:
    """The CRM's own ids are kept."""
    result = run(HEADER + JANE)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "1 created, 0 changed, 0 unchanged, 0 bad.\n"
    assert _without_times(client.get("/api/v1/contacts/42").json) == {
        "id": "42",
        "firstName": "Jane",
        "lastName": "Doe",
        "emailAddresses": ["jane@acme.example"],
        "companyId": None,
    }


def test_standard_input_and_pipes_are_files_like_others(app: Any, client: Any, tmp_path: Path) -> None:
    """So `sudo connector contacts import - < contacts.csv` needs no file that the service's user may read."""
    table = f"{HEADER}{JANE}".encode("utf-16")
    done = app.test_cli_runner().invoke(args=["contacts", "import", "-"], input=table)
    assert (done.exit_code, done.stdout) == (0, "1 created, 0 changed, 0 unchanged, 0 bad.\n")
    os.mkfifo(tmp_path / "pipe")
    writer = Thread(target=(tmp_path / "pipe").write_bytes, args=(table,))
    writer.start()
    done = app.test_cli_runner().invoke(args=["contacts", "import", str(tmp_path / "pipe")])
    writer.join()
    assert (done.exit_code, done.stdout) == (0, "0 created, 0 changed, 1 unchanged, 0 bad.\n")
    assert len(_all_contacts(client)) == 1


def test_a_second_import_changes_nothing(run: Any, client: Any) -> None:
    """Neither rows with an id nor those without."""
    table = HEADER + JANE + ",Joe,Bloggs,joe@acme.example,\n"
    run(table)
    before = _all_contacts(client)
    assert run(table).stdout == "0 created, 0 changed, 2 unchanged, 0 bad.\n"
    assert _all_contacts(client) == before


def test_an_id_that_is_here_is_changed_in_the_columns_of_the_file_alone(run: Any, client: Any) -> None:
    """A column that the file does not have wipes nothing; an empty cell does."""
    run(HEADER + JANE)
    assert run("id,last name\n42,\n").stdout == "0 created, 1 changed, 0 unchanged, 0 bad.\n"
    contact = client.get("/api/v1/contacts/42").json
    assert (contact["firstName"], contact["lastName"]) == ("Jane", None)
    assert contact["emailAddresses"] == ["jane@acme.example"]
    run("id;e-mail\n42;\n")
    assert client.get("/api/v1/contacts/42").json["emailAddresses"] == []


def test_a_row_without_an_id_is_found_by_its_addresses(run: Any, client: Any) -> None:
    """As POST does: gaps are filled, and what is there stays."""
    run("id,firstName,email\n42,Jane,jane@acme.example\n")
    result = run(HEADER + ",Janet,Doe,JANE@acme.example;jane@home.example,\n")
    assert result.stdout == "0 created, 1 changed, 0 unchanged, 0 bad.\n"
    (contact,) = _all_contacts(client)
    assert (contact["id"], contact["firstName"], contact["lastName"]) == ("42", "Jane", "Doe")
    assert contact["emailAddresses"] == ["jane@acme.example", "jane@home.example"]


def test_addresses_come_from_several_columns_and_several_to_a_cell(run: Any, client: Any) -> None:
    """In the order of the file: the first is the primary one."""
    run(
        'E-mail,first name,E-mail 2 - Value,Email_Work\n"a@x.example; b@x.example",Jane,"c@x.example\r\nd@x.example",\n'
    )
    assert _all_contacts(client)[0]["emailAddresses"] == ["a@x.example", "b@x.example", "c@x.example", "d@x.example"]


def test_what_address_books_put_beside_an_address_is_no_address(run: Any, client: Any) -> None:
    """Its column is ignored, and that is said."""
    result = run("E-mail 1 - Type,E-mail 1 - Value,Email Opt Out\n* Home,jane@acme.example,0\n")
    assert result.stderr == "Ignored columns: E-mail 1 - Type, Email Opt Out.\n"
    assert _all_contacts(client)[0]["emailAddresses"] == ["jane@acme.example"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("signature", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_usual_kinds_of_csv_are_understood(
    run: Any, client: Any, delimiter: str, signature: bytes, end: str
) -> None:
    """Whatever separates the cells and ends the lines, with Excel's signature or without."""
    table = [
        ["ID", "First-Name", "LAST NAME", "E-Mail"],
        ["42", "Zoë", "Łoś", "zoe@acme.example"],
        [],
        ["", "", "", " "],
    ]
    result = run(signature + "".join(delimiter.join(row) + end for row in table).encode())
    assert result.stdout == "1 created, 0 changed, 0 unchanged, 0 bad.\n"
    contact = client.get("/api/v1/contacts/42").json
    assert (contact["firstName"], contact["lastName"]) == ("Zoë", "Łoś")


def test_a_header_of_few_columns_is_understood(run: Any, client: Any) -> None:
    """One that is known and one that is not are told apart, although no delimiter makes more known columns."""
    assert run("email;phone\njane@acme.example;1234\n").stderr == "Ignored columns: phone.\n"
    assert _all_contacts(client)[0]["emailAddresses"] == ["jane@acme.example"]


def test_unknown_columns_are_named_once(run: Any, client: Any) -> None:
    """So that a misspelt one is noticed."""
    result = run("id,Phone,firstname,\n1,123,Jane,\n2,456,Joe,x\n")
    assert result.stderr == "Ignored columns: Phone, number 4.\n"
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "names no column that can be used"),
        (b"phone,title\n1,2\n", "names no column that can be used, such as id, firstName"),
        (b"id,ID\n1,2\n", "names several columns for id"),
        ("id,firstName\n1,Zoë\n".encode("utf-16-le"), "can't be read: it holds a NUL character"),
        (b'"id,firstName\n1,Jane\n', "can't be read: unexpected end of data"),
    ],
)
def test_a_file_without_a_usable_header_is_refused(run: Any, client: Any, content: bytes, reason: str) -> None:
    """In a sentence."""
    result = run(content, "--skip-bad-rows")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: The first row ")
    assert reason in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"7,Joe,Bloggs,joe@acme.example,nowhere", "companyId: There is no such company."),
        (b"a/b,Joe,Bloggs,,", "id: This can't stand in a path"),
        (b"lookup,Joe,Bloggs,,", "id: This can't stand in a path"),
        (b"7,Joe,Bloggs,," + b"9" * 256, "companyId: Not an id"),
        (b"7,Joe,Bloggs,joe@acme.example,,,", "7 cells, where the first row has 5"),
        (b"7,Joe", "2 cells, where the first row has 5"),
        (b"7,J\xf6,Z\xc3\xb6e,,", "it is not UTF-8: save the file as CSV UTF-8"),
        (b"7,J\xed\xa0\x80,Z\xc3\xb6e,,", "it is not UTF-8"),
        (b"7,J\0e,Bloggs,,", "it holds a NUL character"),
    ],
)
def test_a_bad_row_is_named_by_its_line_and_nothing_is_stored(run: Any, client: Any, row: bytes, reason: str) -> None:
    """Unless asked otherwise; what the row holds is not told."""
    table = (HEADER + JANE).encode() + row + b"\n43,Zoe,Doe,zoe@acme.example,\n"
    result = run(table)
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"line 3: {reason}")
    assert "Joe" not in line
    assert (
        result.stdout
        == "Nothing was stored, because of the bad rows; else: 2 created, 0 changed, 0 unchanged, 1 bad.\n"
    )
    assert _all_contacts(client) == []
    assert run(table, "--skip-bad-rows").stdout == "2 created, 0 changed, 0 unchanged, 1 bad.\n"
    assert {contact["id"] for contact in _all_contacts(client)} == {"42", "43"}


def test_every_bad_row_is_named_by_the_line_where_it_begins(run: Any) -> None:
    """Line breaks in quoted cells and empty lines count as an editor counts them."""
    result = run(
        'id,firstName,companyId\n\n1,"Jane\r\nJanet",nowhere\n2,Joe,\n3,"Zoe\n\nZoë",nowhere\n\n4,Ann,nowhere\n'
    )
    assert [line.partition(":")[0] for line in result.stderr.splitlines()] == ["line 3", "line 6", "line 10"]


@pytest.mark.parametrize("end", ['"Joe', '"Joe" Bloggs', '"' + "x" * 200_000 + '"'])
def test_rows_that_cannot_be_told_apart_end_the_reading(run: Any, client: Any, end: str) -> None:
    """A quote that is never closed swallows what follows; the rows before it are good."""
    table = f"id,firstName\n1,Jane\n2,{end}\n3,Zoe\n"
    result = run(table)
    assert result.exit_code == 1
    assert result.stderr.startswith("line 3: ")
    assert result.stderr.endswith("; what follows was not read\n")
    assert _all_contacts(client) == []
    assert run(table, "--skip-bad-rows").exit_code == 1
    assert [contact["id"] for contact in _all_contacts(client)] == ["1"]


def test_a_dry_run_says_what_would_happen_and_stores_nothing(run: Any, client: Any) -> None:
    """Created, changed, unchanged, bad; the change feed stays as it was, too."""
    run("id,firstName\n1,Jane\n2,Joe\n")
    before = _all_contacts(client), client.get("/api/v1/changes").json
    result = run("id,firstName,companyId\n1,Jane,\n2,Jo,\n3,Zoe,\n4,Ann,nowhere\n", "--dry-run")
    assert result.exit_code == 1
    assert result.stderr.startswith("line 5: ")
    assert result.stdout == "Dry run, nothing was stored: 1 created, 1 changed, 1 unchanged, 1 bad.\n"
    assert (_all_contacts(client), client.get("/api/v1/changes").json) == before
    assert run("id\n5\n", "--dry-run", "--skip-bad-rows").exit_code == 0
    assert (_all_contacts(client), client.get("/api/v1/changes").json) == before


def test_all_or_nothing_holds_over_many_batches(run: Any, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad row at the end takes the first batch back, unless bad rows are skipped."""
    monkeypatch.setattr(imports, "BATCH", 2)
    table = "id,companyId\n1,\n2,\n3,\n4,\n5,nowhere\n"
    assert run(table).exit_code == 1
    assert _all_contacts(client) == []
    assert run(table, "--skip-bad-rows").stdout == "4 created, 0 changed, 0 unchanged, 1 bad.\n"
    assert len(_all_contacts(client)) == 4


def test_an_unforeseen_error_is_named_by_its_kind(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its words might quote what is in the row."""

    def fail(self: Any, values: Any) -> Any:
        raise KeyError(values["firstName"])

    monkeypatch.setattr(TableImport, "store", fail)
    result = run(HEADER + JANE)
    assert (result.exit_code, result.stderr) == (1, "line 2: KeyError\n")


def test_a_database_that_cannot_be_written_is_said_in_a_sentence(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no fault of the row."""

    def fail(self: Any, values: Any) -> Any:
        raise database.Unavailable[0]("database or disk is full")

    monkeypatch.setattr(TableImport, "store", fail)
    result = run(HEADER + JANE)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: The database can't serve now: database or disk is full.")


def test_a_terminal_gets_a_bar_and_standard_output_only_the_summary(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bar goes to standard error, and a bad row is named where the bar was."""
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True)
    result = run(HEADER + JANE + "2,Jim,Doe,,nowhere\n", "--skip-bad-rows")
    assert "100%" in result.stderr
    assert "\rline 3: " in result.stderr
    assert result.stdout == "1 created, 0 changed, 0 unchanged, 1 bad.\n"


def test_an_interrupted_import_says_what_is_stored(run: Any, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle of a transaction: what that one held is not stored, what came before is."""
    monkeypatch.setattr(seam, "HELD", 0)  # a transaction for each row
    store = TableImport.store
    calls = iter([store, store, store, store])  # all rows are checked first

    def interrupt(self: TableImport, row: Any) -> str:
        if call := next(calls, None):
            return call(self, row)
        raise KeyboardInterrupt

    monkeypatch.setattr(TableImport, "store", interrupt)
    result = run(f"{HEADER}{JANE}2,Jim,Doe,jim@acme.example,\n3,Joe,Doe,joe@acme.example,\n")
    told = "Interrupted. Stored before that: 1 created. Run it again: nothing is stored twice.\n"
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", told)
    assert [contact["id"] for contact in _all_contacts(client)] == ["42"]


def test_a_file_that_is_not_there_is_a_wrong_call(app: Any, tmp_path: Path) -> None:
    """With the status of one."""
    result = app.test_cli_runner().invoke(args=["contacts", "import", str(tmp_path / "none.csv")])
    assert result.exit_code == 2
    assert "does not exist" in result.stderr
