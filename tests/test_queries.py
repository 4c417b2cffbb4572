"""What calls cost the database: how many statements, by which index, and that it does not grow with what is there."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playhouse.test_utils import assert_query_count, count_queries

import crm
import database
import store.emails
import store.search
from database.query import on_sqlite
from store.indexing import index_all
from tests.samples import EMAILS, MAIL, NO_MAIL

CONTACTS = "/api/v1/contacts"
COMPANIES = "/api/v1/companies"
TOKEN = 2  # statements that find out who calls, and that this user is still there


def at(second: int) -> str:
    """A time, the later the higher the number."""
    return f"2026-01-{second // 86_400 + 1:02}T{second // 3600 % 24:02}:{second // 60 % 60:02}:{second % 60:02}.000000Z"


def fill(first: int, last: int) -> None:
    """Mails by number, all of one thread, with one address and of one contact; three hold a rare word."""
    with database.writing():
        for n in range(first, last):
            mail = {"rfc822MsgId": f"<m{n}@a.example>", "msgId": f"g{n}", "syncThreadId": "t", "receivedAt": at(n)}
            people = {
                "fromAddress": f"p{n}@a.example",
                "toAddresses": ["all@a.example", "all@a.example", "x@a.example"],
            }
            texts = {"subject": "offer rare" if n in (10, 20, 30) else "offer", "textBody": "net price"}
            links = {"relatedTo": [{"type": "Contact", "id": "1"}, {"type": "Deal", "id": str(n)}]}
            crm.log_email(NO_MAIL | mail | people | texts | links)
        if on_sqlite():
            list(index_all())  # so that none waits for the search index


def fill_directory(first: int, last: int) -> None:
    """Companies and contacts by number, each contact with an address of its own and one that all share with few."""
    with database.writing():
        for n in range(first, last):
            crm.put_company(f"c{n}", {"name": "Acme", "domains": [f"acme{n}.example", f"acme{n}.test"]})
            addresses = [f"p{n}@a.example", f"shared{n // 3}@a.example"]
            person = {"firstName": "Jane", "lastName": "Doe", "emailAddresses": addresses, "companyId": f"c{n}"}
            crm.put_contact(f"p{n}", person)
        crm.put_company("all", {"name": "All", "domains": ["a.example"]})


@pytest.fixture
def filled(client: Any) -> Any:
    """A client of a database in which something is."""
    crm.put_contact(
        "1",
        {"firstName": None, "lastName": None, "emailAddresses": ["ALL@a.example", "x@a.example"], "companyId": None},
    )
    fill_directory(0, 60)
    fill(0, 60)
    return client


def lookup(count: int) -> str:
    """A look-up of so many addresses."""
    return f"{CONTACTS}/lookup?emails=" + ",".join(f"p{n}@a.example" for n in range(count))


# ---- how many statements --------------------------------------------------------------------------------------------

READS = [
    (lookup(1), 1, 1),
    (lookup(50), 1, 50),
    (f"{CONTACTS}/lookup?emails=shared1@a.example,SHARED1@A.example,nobody@a.example", 1, 3),
    (f"{CONTACTS}/p7", 1, None),
    (f"{EMAILS}/7", 1, None),
    (f"{EMAILS}?rfc822MsgId=<m7@a.example>", 1, 1),
    (f"{EMAILS}?rfc822MsgId=none", 1, 0),
    (f"{EMAILS}?msgId=g7", 1, 1),
    (f"{COMPANIES}/lookup?domain=acme7.example", 1, 1),
    (f"{COMPANIES}/lookup?domain=a.b.c.acme7.example", 1, 1),
    (f"{COMPANIES}/lookup?domain=acme7.test", 1, 1),
    (f"{COMPANIES}/c7", 1, None),
    ("/api/v1/users/me", 1, None),
    ("/api/v1/users/lookup?emails=john@brightsync.example,x@a.example", 1, 1),
    (EMAILS, 1, 25),
    (f"{EMAILS}?limit=50", 1, 50),
    (f"{EMAILS}?syncThreadId=t", 1, 25),
    (f"{EMAILS}?q=offer&receivedAfter={at(3)}", 1, 25),
    (f"{EMAILS}?address=all@a.example", 1, 25),
    (f"{EMAILS}?contactId=1", 2, 25),
    (f"{CONTACTS}/1/emails", 2, 25),
    (f"{CONTACTS}/1/emails?limit=50", 2, 50),
    (CONTACTS, 1, 25),
    (COMPANIES, 1, 25),
    ("/api/v1/changes", 1, 25),
]


def asks_what_waits(path: str) -> int:
    """On SQLite a search asks first which is the last email that is indexed, and which ones wait; on PostgreSQL
    it sets its time limit, and takes it back. On both it asks whether most emails have the words."""
    return 3 * ("q=" in path)


def test_reads_take_few_statements_however_much_they_return(filled: Any) -> None:
    """One for who calls, and one for most of what is asked, with all recipients, addresses and domains in it."""
    for path, statements, rows in READS:
        with assert_query_count(TOKEN + statements + asks_what_waits(path)):
            answer = filled.get(path)
        assert answer.status_code == 200, path
        assert rows is None or len(answer.json) == rows, path


def test_the_statements_of_a_read_do_not_grow_with_the_rows(filled: Any) -> None:
    """The same calls on a database of three times the rows, with more of them in each answer."""
    fill(60, 180)
    fill_directory(60, 180)
    for path, statements, _ in READS:
        with assert_query_count(TOKEN + statements + asks_what_waits(path)):
            assert filled.get(path).status_code == 200, path
    for path, statements in [(lookup(180), 1), (f"{EMAILS}?limit=100", 1), (f"{CONTACTS}/1/emails?limit=100", 2)]:
        with assert_query_count(TOKEN + statements):
            assert len(filled.get(path).json) >= 100, path


@pytest.mark.parametrize("count", [6, 60, 600])
def test_a_mail_is_logged_in_as_many_statements_whatever_its_recipients(client: Any, count: int) -> None:
    """The key of the hashes; which rules of never log it meets; is it here, before the write lock and under it, and was
    it deleted before; the time of the last change; the email, its recipients, links and copy, each in bulk; the change.
    Then its words, or on SQLite whether enough emails wait for the search index."""
    store.withheld.key()  # made with the first email
    mail = MAIL | {
        name: [f"{name}{n}@a.example" for n in range(count // 3)] for name in MAIL if name.endswith("Addresses")
    }
    with assert_query_count(TOKEN + 12):
        assert client.post(EMAILS, json=mail).status_code == 201
    with assert_query_count(TOKEN + 12):  # its domains stand among the links
        assert client.post(EMAILS, json=mail | {"rfc822MsgId": "2", "msgId": "2", "relatedTo": []}).status_code == 201


def test_a_copy_that_adds_nothing_writes_no_record(client: Any) -> None:
    """The key of the hashes; is it here, with this very copy, and what is in it: the daily retry of an email that is
    logged writes nothing. Another mailbox's copy: has the email changed since, and the copy."""
    client.post(EMAILS, json=MAIL)
    with count_queries() as retry:
        assert client.post(EMAILS, json=MAIL).status_code == 200
    with count_queries() as copy:
        assert client.post(EMAILS, json=MAIL | {"msgId": "another"}).status_code == 200
    assert [counted.count for counted in (retry, copy)] == [TOKEN + 4, TOKEN + 6]
    assert [writes(counted) for counted in (retry, copy)] == [[], ["copy"]]


def test_a_change_writes_what_changes(client: Any) -> None:
    """The email as it is, and whether it still is; the key of the hashes; the time of the last change; the row, its
    words, the change. Not its recipients and links."""
    client.post(EMAILS, json=MAIL)
    with count_queries() as counted:
        assert client.patch(f"{EMAILS}/1", json={"subject": "another"}).status_code == 200
    assert counted.count == TOKEN + 7 + on_sqlite()  # whether enough emails wait for the search index
    assert writes(counted) == ["email", *(["email_words"] * (not on_sqlite())), "change"]
    with assert_query_count(TOKEN + 9 + on_sqlite()):  # where it is asked whether the words are in the index yet
        assert client.delete(f"{EMAILS}/1").status_code == 204


def writes(counted: Any) -> list[str]:
    """The tables to which something was written."""
    written = re.compile(r'(?:INSERT|UPDATE|DELETE)\b[^"]*"(\w+)"')
    return [found[1] for record in counted.get_queries() if (found := written.match(record.msg[0]))]


def test_finding_or_creating_takes_few_statements(filled: Any) -> None:
    """A contact and a company that are here, in one; new ones, with all of their keys, in a handful."""
    with assert_query_count(TOKEN + 1):
        assert filled.post(CONTACTS, json={"emailAddresses": ["p7@a.example"]}).status_code == 200
    with assert_query_count(TOKEN + 1):
        assert filled.post(COMPANIES, json={"domains": ["acme7.example"]}).status_code == 200
    for count in (2, 50):
        with count_queries() as counted:
            body = {"emailAddresses": [f"new{n}@count{count}.example" for n in range(count)], "companyId": "c7"}
            assert filled.post(CONTACTS, json=body).status_code == 201
        assert counted.count <= TOKEN + 7
        with count_queries() as counted:
            assert (
                filled.post(
                    COMPANIES, json={"domains": [f"n{n}.count{count}.example" for n in range(count)]}
                ).status_code
                == 201
            )
        assert counted.count <= TOKEN + 7


# ---- by which index -------------------------------------------------------------------------------------------------


def plans(client: Any, path: str) -> list[list[tuple[int, str]]]:
    """For each statement of a call the steps of its plan: the number of the step they belong to, and what they do."""
    with count_queries() as counted:
        answer = client.get(path)
    assert answer.status_code == 200, answer.text
    statements = [record.msg for record in counted.get_queries()]
    return [
        [(row[1], row[3]) for row in database.rows(f"EXPLAIN QUERY PLAN {sql}", values)] for sql, values in statements
    ]


def following(client: Any, path: str) -> str:
    """The path of the next page."""
    link = re.fullmatch(r'<(\S+)>; rel="next"', client.get(path).headers["Link"])
    assert link is not None
    return link[1]


# What inner queries have found, and the list that json_each reads from a parameter: no tables.
FOUND = r"SCAN (found|place|entry|match)\b"
GIVEN = r"SCAN each VIRTUAL TABLE INDEX 1:$|SCAN \w+ VIRTUAL TABLE INDEX \d+:=?M"  # and what a full-text index finds


def scans(plan: list[tuple[int, str]]) -> Iterator[str]:
    """Steps that read a whole table of records: not those that read what an inner query found, or a full-text index."""
    for _, step in plan:
        if step.startswith("SCAN ") and not re.match(f"{FOUND}|{GIVEN}", step):
            yield step


def sorts(plan: list[tuple[int, str]]) -> Iterator[str]:
    """Steps that sort records: not those that sort the few that an inner query's LIMIT has let through."""
    for parent, step in plan:
        beside = [other for place, other in plan if place == parent]
        if step.startswith("USE TEMP B-TREE") and not any(re.match(FOUND, other) for other in beside):
            yield step


LOOKUPS = [path for path, _, _ in READS if "lookup" in path or "MsgId" in path or re.search(r"/(p7|7|c7|me)$", path)]
PAGES = {
    "by thread": f"{EMAILS}?syncThreadId=t",
    "by address": f"{EMAILS}?address=all@a.example",
    "by domain": f"{EMAILS}?domain=a.example",
    "by domain and address": f"{EMAILS}?domain=a.example&address=all@a.example",
    "since": f"{EMAILS}?receivedAfter={at(5)}",
    "until": f"{EMAILS}?receivedBefore={at(50)}",
    "between": f"{EMAILS}?receivedAfter={at(5)}&receivedBefore={at(50)}",
    "by address, since": f"{EMAILS}?address=all@a.example&receivedAfter={at(5)}",
    "by thread and address": f"{EMAILS}?syncThreadId=t&address=all@a.example",
    "by contact": f"{EMAILS}?contactId=1",
    "timeline": f"{CONTACTS}/1/emails",
    "company": f"{COMPANIES}/all/emails",
    "emails of a thread": "/api/v1/threads/7",
    "contacts": CONTACTS,
    "contacts since": f"{CONTACTS}?updatedSince=2020-01-01T00:00:00Z",
    "companies": COMPANIES,
}


@pytest.mark.sqlite("its words for a query's plan")
@pytest.mark.parametrize("path", LOOKUPS, ids=lambda path: path[len("/api/v1/") :][:40])
def test_a_look_up_reads_no_whole_table(filled: Any, path: str) -> None:
    """Every statement of it searches by an index, the one that finds out who calls included."""
    for plan in plans(filled, path):
        assert list(scans(plan)) == []


@pytest.mark.sqlite("its words for a query's plan")
@pytest.mark.parametrize("name", PAGES)
def test_a_page_comes_from_an_index_in_its_order(filled: Any, name: str) -> None:
    """The first page and the next: no table is read whole, and nothing is sorted but the page itself."""
    path = f"{PAGES[name]}{'&' if '?' in PAGES[name] else '?'}limit=10"
    for page in (path, following(filled, path)):
        all_plans = plans(filled, page)
        assert [step for plan in all_plans for step in scans(plan)] == []
        assert list(sorts(all_plans[-1])) == []


@pytest.mark.sqlite("its words for a query's plan")
def test_the_page_of_all_mail_comes_from_an_index_in_its_order(filled: Any) -> None:
    """Without a filter the index of times is read from its end, as far as the page goes; then it is searched."""
    first, following_page = plans(filled, EMAILS)[-1], plans(filled, following(filled, EMAILS))[-1]
    assert all("USING COVERING INDEX email_at_id" in step for step in scans(first))
    assert list(scans(following_page)) == list(sorts(first)) == list(sorts(following_page)) == []


@pytest.mark.sqlite("its words for a query's plan")
def test_a_search_comes_from_the_index_of_words(filled: Any) -> None:
    """Alone and beside other filters; what it finds is joined by the mail's row."""
    for more in (
        "",
        "&address=all@a.example",
        "&contactId=1",
        f"&receivedAfter={at(5)}",
        "&syncThreadId=t",
        "&msgId=g10",
    ):
        plan = plans(filled, f"{EMAILS}?q=rare{more}")[-1]
        assert list(scans(plan)) == []
        assert any("VIRTUAL TABLE INDEX" in step for _, step in plan)


@pytest.mark.sqlite("its words for a query's plan")
def test_the_feed_goes_on_where_it_was(filled: Any) -> None:
    """A search by the last seq."""
    for path in ("/api/v1/changes", "/api/v1/changes?after=30"):
        plan = plans(filled, path)[-1]
        assert list(scans(plan)) == list(sorts(plan)) == []


@pytest.mark.sqlite("its words for a query's plan")
@pytest.mark.parametrize(("method", "path"), [("POST", EMAILS), ("PATCH", f"{EMAILS}/7"), ("DELETE", f"{EMAILS}/7")])
def test_a_write_reads_no_whole_table(filled: Any, method: str, path: str) -> None:
    """Neither to find the mail nor for what hangs on it."""
    with count_queries() as counted:
        assert filled.open(path, method=method, json=MAIL).status_code < 300
    for record in counted.get_queries():
        sql, values = record.msg
        # An INSERT of values that are given reads nothing, and the key of the hashes is a table of one row.
        if not sql.startswith("INSERT") and '"secret"' not in sql:
            plan = [(row[1], row[3]) for row in database.rows(f"EXPLAIN QUERY PLAN {sql}", values)]
            assert list(scans(plan)) == [], sql


# ---- how much work --------------------------------------------------------------------------------------------------


def work(client: Any, path: str) -> int:
    """The instructions of SQLite's machine that a call takes: exact, and the same on every computer."""
    instructions = 0

    def count() -> int:
        nonlocal instructions
        instructions += 1
        return 0

    connection = database.db.connection()
    connection.set_progress_handler(count, 1)
    try:
        assert client.get(path).status_code == 200
    finally:
        connection.set_progress_handler(None, 0)
    return instructions


def merge_index() -> None:
    """Into one piece. Else there are some dozens at most, however many mails, but fewer where mails are few."""
    with database.writing():
        database.execute("INSERT INTO email_words (email_words) VALUES ('optimize')")


@pytest.mark.sqlite("its words for a query's plan")
def test_the_work_of_a_call_does_not_grow_with_the_mail(filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each page, the first and one far behind, and each look-up, costs at 3,000 mails what it costs at 120; so do
    searches for a word that few emails have, and for one that all have."""
    monkeypatch.setattr(store.search, "_MANY", 40)
    monkeypatch.setattr(store.emails, "_WINDOWS", (60,))
    fill(60, 120)
    merge_index()
    lists = [*(path for name, path in PAGES.items() if "until" not in name and "between" not in name), EMAILS]
    others = [f"{EMAILS}?q=rare", f"{EMAILS}?q=offer", "/api/v1/changes?after=20"]
    here = {path: work(filled, path) for path in [*LOOKUPS, *lists, *others]}
    fill(120, 3000)
    fill_directory(60, 1000)
    for path in lists:
        far = f"{path}{'&' if '?' in path else '?'}limit=100"
        for _ in range(8):
            far = following(filled, far)
        here[far.replace("limit=100", "limit=25")] = here[path]
    here["/api/v1/changes?after=2500"] = here["/api/v1/changes?after=20"]
    merge_index()
    grown = {path: round(work(filled, path) / before, 2) for path, before in here.items()}
    assert {path: ratio for path, ratio in grown.items() if ratio > 1.5} == {}


@pytest.mark.sqlite("its words for a query's plan")
def test_the_work_of_a_list_of_threads_does_not_grow_with_the_mail(client: Any) -> None:
    """The first page and one far behind, of all, of a contact and of a company; threads have three mails each."""

    def log(first: int, last: int) -> None:
        with database.writing():
            for n in range(first, last):
                mail = {"syncThreadId": f"t{n // 3}", "receivedAt": at(n), "fromAddress": "x@a.example"}
                crm.log_email(NO_MAIL | mail)

    crm.put_company("c", {"name": None, "domains": ["a.example"]})
    crm.put_contact("p", {"firstName": None, "lastName": None, "emailAddresses": ["x@a.example"], "companyId": None})
    paths = [f"/api/v1/threads?limit=10{more}" for more in ("", "&contactId=p", "&companyId=c")]
    log(0, 300)
    here = {path: work(client, path) for path in paths}
    log(300, 1500)
    for path in paths:
        far = path
        for _ in range(20):
            far = following(client, far)
        assert work(client, path) < 1.5 * here[path]
        assert work(client, far) < 1.5 * here[path]
