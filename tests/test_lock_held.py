"""Who holds the write lock: no command holds it while it reads, checks or normalizes, nor for more than a little."""

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from peewee import OperationalError

import crm
import database
import store
from commands import consistency, doctor
from crm import directory, drafts, matching, preview, seam
from tests.samples import WITHIN
from web import checkup

CONTEXT = multiprocessing.get_context("spawn")
HEADER = "id,firstName,emailAddresses,companyId\n"


def _hold(url: str, connection: Any) -> None:
    database.start(url)
    with database.writing():
        connection.send("held")
        connection.recv()


@contextmanager
def lock_held_elsewhere(url: str) -> Iterator[None]:
    """Another process holds the write lock meanwhile."""
    ours, theirs = CONTEXT.Pipe()
    process = CONTEXT.Process(target=_hold, args=(url, theirs))
    process.start()
    try:
        assert ours.poll(WITHIN)
        assert ours.recv() == "held"
        yield
    finally:
        ours.send("enough")
        process.join(WITHIN)
    assert process.exitcode == 0


class Writing:
    """Counts transactions, and knows whether one is open."""

    def __init__(self) -> None:
        self.depth = self.transactions = 0
        self.between: list[Any] = []  # what to do after each transaction

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        writing = database.writing

        @contextmanager
        def watched(*patience: float) -> Iterator[None]:
            with writing(*patience):
                self.depth += 1
                self.transactions += self.depth == 1
                try:
                    yield
                finally:
                    self.depth -= 1

        monkeypatch.setattr(database, "writing", watched)
        monkeypatch.setattr(store, "transaction", watched)


@pytest.fixture
def writing(monkeypatch: pytest.MonkeyPatch, app: Any) -> Writing:
    """All transactions of the test."""
    found = Writing()
    found.watch(monkeypatch)
    return found


@pytest.fixture
def run(app: Any, tmp_path: Path) -> Any:
    """`flask contacts import` of a file with this content."""

    def run(content: str, *options: str, command: str = "contacts") -> Any:
        path = tmp_path / "table.csv"
        path.write_text(content)
        return app.test_cli_runner().invoke(args=[command, "import", str(path), *options])

    return run


def _ids(client: Any) -> list[str]:
    return sorted(contact["id"] for contact in client.get("/api/v1/contacts?limit=100").json)


def test_a_dry_run_takes_no_lock(run: Any, url: str, writing: Writing) -> None:
    """It ends while another process holds the lock."""
    crm.put_company("7", {"name": "Acme", "domains": []})
    writing.transactions = 0
    with lock_held_elsewhere(url):
        result = run(HEADER + "1,Jane,jane@a.example,7\n2,Joe,,nowhere\n", "--dry-run")
        assert result.stdout == "Dry run, nothing was stored: 1 created, 0 changed, 0 unchanged, 1 bad.\n"
        result = run("name,domains\nOther,other.example\n", "--dry-run", command="companies")
        assert result.stdout == "Dry run, nothing was stored: 1 created, 0 changed, 0 unchanged, 0 bad.\n"
    assert writing.transactions == 0


def test_a_file_with_a_bad_row_takes_no_lock(run: Any, url: str, client: Any, writing: Writing) -> None:
    """Whatever would have been stored: it is checked whole before that."""
    with lock_held_elsewhere(url):
        result = run(HEADER + "1,Jane,jane@a.example,\n2,Joe,,nowhere\n")
        assert result.stdout.startswith("Nothing was stored, because of the bad rows; else: 1 created, ")
    assert writing.transactions == 0
    assert _ids(client) == []


TABLES = {
    "by address": ",Jane,a@a.example,\n,Janet,A@a.example,\n",
    "addresses of a chain": ",Jane,a@a.example,\n,,a@a.example;b@a.example,\n,X,b@a.example,\n",
    "an id, then its address": "1,Jane,a@a.example,\n,,a@a.example;c@a.example,\n",
    "an address that a row takes away": "1,Jane,a@a.example,\n1,Jane,,\n,New,a@a.example,\n",
    "one id twice": "1,Jane,a@a.example,\n1,Jane,a@a.example,\n1,Joe,a@a.example,\n",
    "the older of two": "1,,a@x.example,\n2,,b@x.example,\n,A,b@x.example;a@x.example,\n1,A,a@x.example;b@x.example,\n",
    "known before": ",Filled,old@a.example,\nold2,,,\n,,old2@a.example,\n",
    "a company": ",Jane,a@a.example,7\n,,a@a.example,nowhere\n,,b@a.example,nowhere\n",
    "no address": ",Jane,nonsense,\n,Jane,nonsense,\n,,,\n",
    "a plus": ",Jane,a+b@a.example,\n,Joe,a b@a.example,\n",
    "another spelling": ",Jane,J\u00fcrg <j@m\u00fcnchen.example>,\n,Jane,j@xn--mnchen-3ya.example,\n",
}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_a_dry_run_says_what_happens_then(run: Any, table: str) -> None:
    """Also of rows that meet others of the same file."""
    crm.put_company("7", {"name": "Acme", "domains": []})
    for n in ("old", "old2"):
        crm.put_contact(
            n, {"firstName": None, "lastName": "L", "emailAddresses": [f"{n}@a.example"], "companyId": None}
        )
    foreseen = run(HEADER + table, "--dry-run")
    done = run(HEADER + table, "--skip-bad-rows")
    assert foreseen.stdout == f"Dry run, nothing was stored: {done.stdout}"
    assert foreseen.stderr == done.stderr


NAMED = "firstName,emailAddresses,companyName,recordId\n"
NAMED_TABLES = {
    "a company twice": "Jane,j@x.example,Acme,\nJoe,k@x.example,ACME ,\n",
    "no address": "Jane,,Acme,\nJane,,acme,\nJane,,,\nJane,,,\n",
    "an address later": "Jane,,Acme,\nJane,j@x.example,Acme,\nJane,k@x.example,Acme,\n",
    "by domain": "Jane,j@old.example,,\nJoe,k@mail.old.example,Other,\n",
    "ids of elsewhere": "Jane,,,1\nJane,j@x.example,,1\nJane,,,2\nJoe,j@x.example,,3\n,nonsense,,\n,nonsense,,\n",
}


@pytest.mark.parametrize("table", NAMED_TABLES.values(), ids=NAMED_TABLES)
def test_a_dry_run_of_rows_that_name_companies_says_what_happens_then(run: Any, client: Any, table: str) -> None:
    """Also of companies that earlier rows would have made. Nothing of it is changed by a second import."""
    crm.put_company("old", {"name": None, "domains": ["old.example"]})
    foreseen = run(NAMED + table, "--dry-run")
    done = run(NAMED + table)
    assert foreseen.stdout == f"Dry run, nothing was stored: {done.stdout}"
    before = client.get("/api/v1/changes?limit=1000").json
    assert " 0 bad" in done.stdout
    assert run(NAMED + table).stdout.startswith("0 created, 0 changed, ")
    assert client.get("/api/v1/changes?limit=1000").json == before


COMPANY_TABLES = [
    "id,name,domains\n,A,sub.old.example\n,B,old.example\n,,www.old.example;new.example\n,C,new.example\n",
    "id,domains\n1,a.example\n1,\n,a.example\n,https://A.example/x\n",
]


@pytest.mark.parametrize("table", COMPANY_TABLES)
def test_a_dry_run_of_companies_says_what_happens_then(run: Any, table: str) -> None:
    """The company of a parent domain is another one."""
    crm.put_company("old", {"name": None, "domains": ["old.example"]})
    foreseen = run(table, "--dry-run", command="companies")
    done = run(table, "--skip-bad-rows", command="companies")
    assert foreseen.stdout == f"Dry run, nothing was stored: {done.stdout}"


def test_an_import_stores_in_many_transactions(run: Any, monkeypatch: pytest.MonkeyPatch, writing: Writing) -> None:
    """One goes on for HELD seconds; here that is over after each row."""
    monkeypatch.setattr(seam, "HELD", 1e-9)
    table = HEADER + "".join(f"{n},Jane,p{n}@a.example,\n" for n in range(20))
    assert run(table).stdout == "20 created, 0 changed, 0 unchanged, 0 bad.\n"
    assert writing.transactions == 20


def test_others_write_between_the_transactions(run: Any, monkeypatch: pytest.MonkeyPatch, writing: Writing) -> None:
    """Even one that makes a later row impossible: that is named, and the others are stored."""
    crm.put_company("7", {"name": "Acme", "domains": []})
    pauses = []

    def other_writer() -> None:
        assert writing.depth == 0
        pauses.append(1)
        if len(pauses) == 1:
            crm.delete_company("7")

    monkeypatch.setattr(seam, "HELD", 1e-9)
    monkeypatch.setattr(seam, "let_others_write", other_writer)
    result = run(HEADER + "1,Jane,,7\n2,Joe,,7\n3,Zoe,,\n")
    assert result.stderr == "line 3: companyId: There is no such company.\n"
    assert (result.exit_code, result.stdout) == (1, "2 created, 0 changed, 0 unchanged, 1 bad.\n")
    assert len(pauses) == 3
    assert run(HEADER + "1,Jane,,\n2,Joe,,\n").exit_code == 0  # run again


def test_an_import_normalizes_nothing_under_the_lock(
    run: Any, client: Any, monkeypatch: pytest.MonkeyPatch, writing: Writing
) -> None:
    """Neither what is new nor what is there already, with an id or without."""
    table = HEADER + "".join(f"{n if n % 2 else ''},Jane,J\u00f6 <j{n}@m\u00fcnchen{n}.example>,\n" for n in range(20))

    def outside(text: str) -> str:
        assert writing.depth == 0
        return real(text)

    real = matching._normalize_host
    monkeypatch.setattr(matching, "_normalize_host", outside)
    assert run(table).stdout == "20 created, 0 changed, 0 unchanged, 0 bad.\n"
    assert run(table.replace("Jane", "Joe")).stdout == "0 created, 10 changed, 10 unchanged, 0 bad.\n"
    named = "".join(f"Ann,a{n}@m\u00fcnchen{n}.example,Acme {n}\n" for n in range(20))
    assert run(f"firstName,email,company\n{named}").stdout == "20 created, 0 changed, 0 unchanged, 0 bad.\n"


def test_calls_normalize_nothing_under_the_lock(client: Any, monkeypatch: pytest.MonkeyPatch, writing: Writing) -> None:
    """POST, PUT and PATCH of contacts and companies."""
    seen = []

    def outside(text: str) -> str:
        assert writing.depth == 0
        seen.append(text)
        return real(text)

    real = matching._normalize_host
    monkeypatch.setattr(matching, "_normalize_host", outside)
    for n, (kind, field, text) in enumerate(
        [
            ("contacts", "emailAddresses", "J <j{}@m\u00fcnchen.example>"),
            ("companies", "domains", "m\u00fcnchen{}.example"),
        ]
    ):
        texts = [text.format(f"{n}{m}") for m in range(3)]
        client.post(f"/api/v1/{kind}", json={field: texts[:1]})
        client.post(f"/api/v1/{kind}", json={field: texts[1:] + texts[:1]})
        client.put(f"/api/v1/{kind}/1", json={field: texts})
        client.patch(f"/api/v1/{kind}/1", json={field: texts[:2]})
    assert len(seen) >= 6


def test_mail_is_parsed_while_others_may_write(
    app: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writing: Writing
) -> None:
    """Some emails have one transaction, and their bodies are read before that."""
    for n in range(3):
        text = f"Message-ID: <{n}@a.example>\r\nContent-Type: text/html\r\n\r\n<p>Hello</p>\r\n"
        (tmp_path / f"{n}.eml").write_bytes(text.encode())

    def outside(html: str) -> Any:
        assert writing.depth == 0
        return preview.text_of(html)

    monkeypatch.setattr(drafts, "text_of", outside)
    result = app.test_cli_runner().invoke(args=["mail", "import", *(str(tmp_path / f"{n}.eml") for n in range(3))])
    assert result.stdout == "3 new, 0 here already, 0 unreadable.\n"
    assert writing.transactions == 1


def test_a_company_loses_its_contacts_some_at_a_time(
    client: Any, monkeypatch: pytest.MonkeyPatch, writing: Writing
) -> None:
    """Nobody sees a contact whose company is gone; the feed tells of each; one that is added meanwhile counts."""
    monkeypatch.setattr(directory, "_BATCH", 2)
    crm.put_company("7", {"name": "Acme", "domains": []})
    person: dict[str, Any] = {"firstName": None, "lastName": None, "emailAddresses": [], "companyId": "7"}
    for n in range(5):
        crm.put_contact(f"c{n}", person)
    last = crm.list_changes(limit=100)[-1]["seq"]
    pauses = []

    def other_writer() -> None:
        assert writing.depth == 0
        company = client.get("/api/v1/companies/7")
        attached = [contact["companyId"] for contact in client.get("/api/v1/contacts").json]
        assert company.status_code == 200
        pauses.append(sum(one is not None for one in attached))
        if len(pauses) == 1:
            crm.put_contact("late", person)

    monkeypatch.setattr(directory, "let_others_write", other_writer)
    assert client.delete("/api/v1/companies/7").status_code == 204
    assert pauses[:2] == [3, 2]
    assert [contact["companyId"] for contact in client.get("/api/v1/contacts").json] == [None] * 6
    told = [(change["type"], change["id"], change["action"]) for change in crm.list_changes(last, 100)]
    detached = [("contact", f"c{n}", "changed") for n in range(5)]
    assert [one for one in told if one[1] != "late"] == [*detached, ("company", "7", "deleted")]
    assert ("contact", "late", "changed") in told
    assert client.delete("/api/v1/companies/7").status_code == 404


def test_doctor_compares_all_records_without_the_lock(client: Any, url: str) -> None:
    """It ends while another process holds the lock."""
    client.post("/api/v1/emails", json={"subject": "Offer", "fromAddress": "jane@a.example"})
    with lock_held_elsewhere(url):
        assert consistency.problems() == []


def test_doctor_waits_but_a_moment_for_the_lock(client: Any, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says that it could not have it."""
    monkeypatch.setattr(doctor, "_LOCK_TIMEOUT", 0.01)
    with lock_held_elsewhere(url):
        found = list(doctor.examine({"DATABASE_URL": url, "HOST": "127.0.0.1", "PORT": 1}))
    (problem,) = [finding.text for finding in found if finding.level == checkup.PROBLEM]
    assert problem.startswith("Writing can't be looked at. ")
    assert "locked" in problem


def test_who_reads_a_snapshot_can_write_nothing(app: Any, storage: str) -> None:
    """And the connection serves again afterwards."""
    if storage == "postgresql":
        with pytest.raises(Exception, match="read-only"), database.snapshot():
            database.execute("DELETE FROM contact")
    with database.snapshot():
        assert database.rows("SELECT count(*) FROM contact") == [(0,)]
    with database.writing():
        database.execute("DELETE FROM contact")


def test_the_lock_is_held_elsewhere_indeed(app: Any, url: str) -> None:
    """Else the tests above would prove nothing."""
    with lock_held_elsewhere(url), pytest.raises(OperationalError), database.writing(0):
        pass
