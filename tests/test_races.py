"""Real processes on one database: copies that come at once, writers that wait, readers that do not."""

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from flask import Flask

import crm
import database
from app import create_app
from tests.conftest import Client
from tests.samples import EMAILS, MAIL, NO_MAIL, WITHIN, content, log

PROCESSES = 20
CONTEXT = multiprocessing.get_context("forkserver")  # each starts clean, with nothing open, as gunicorn's workers do
CONTEXT.set_forkserver_preload(["tests.conftest"])

CHANGES = "/api/v1/changes"
CONTACTS = "/api/v1/contacts"
COMPANIES = "/api/v1/companies"

Call = tuple[str, str, Any]  # method, path, body
Answer = tuple[int, Any]  # status, body

# What a process of the crowd has.
_together: Any
_client: Any = None


def _enter(together: Any) -> None:
    global _together
    _together = together


def _start(url: str, token: str) -> None:
    """Be a server of one's own on this database, all at the same moment."""
    global _client
    _together.wait(WITHIN)
    if _client is None:
        app = create_app({"DATABASE_URL": url})
        app.test_client_class = Client
        _client = app.test_client()
    else:  # a server since an earlier test
        database.start(url)
    _client.token = token


def _make(call: Call) -> Answer:
    method, path, body = call
    answer = _client.open(path, method=method, json=body)
    return answer.status_code, answer.json if answer.data else None


def _make_together(call: Call) -> Answer:
    _together.wait(WITHIN)
    return _make(call)


def _make_all(calls: Sequence[Call]) -> list[Answer]:
    _together.wait(WITHIN)
    return [_make(call) for call in calls]


class Crowd:
    """Twenty processes, each with the application of its own on one database."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def start(self, url: str, token: str) -> None:
        """Start the application in all of them at once."""
        for started in [self._pool.submit(_start, url, token) for _ in range(PROCESSES)]:
            started.result(WITHIN)

    def at_once(self, calls: Sequence[Call]) -> list[Answer]:
        """Let each process make one call, at the same moment; gives the answers in the order of the calls."""
        assert len(calls) == PROCESSES
        return [made.result(WITHIN) for made in [self._pool.submit(_make_together, call) for call in calls]]

    def each(self, work: Sequence[Sequence[Call]]) -> list["Future[list[Answer]]"]:
        """Let each process make calls, one after the other; gives at once what will hold the answers."""
        assert len(work) == PROCESSES
        return [self._pool.submit(_make_all, calls) for calls in work]

    def one(self, *call: Any) -> "Future[Answer]":
        """Let one process make a call; gives at once what will hold the answer."""
        return self._pool.submit(_make, call)


@pytest.fixture(scope="module")
def pool() -> Iterator[Crowd]:
    """Twenty processes that have not begun."""
    with ProcessPoolExecutor(PROCESSES, CONTEXT, _enter, (CONTEXT.Barrier(PROCESSES),)) as processes:
        yield Crowd(processes)


@pytest.fixture
def crowd(pool: Crowd, url: str, client: Any) -> Crowd:
    """Twenty processes on the database of the test."""
    pool.start(url, client.token)
    return pool


def test_twenty_servers_start_at_once_where_there_is_no_database(pool: Crowd, url: str) -> None:
    """One of them makes the tables, and all of them serve."""
    pool.start(url, "")
    assert pool.at_once([("GET", "/health/ready", None)] * PROCESSES) == [(200, {"status": "ready"})] * PROCESSES


def test_twenty_copies_at_once_are_one_mail(crowd: Crowd, client: Any) -> None:
    """One is answered 201, the others 200, all with one id; the record holds what each of the copies adds."""
    people = [f"person{n}@a.example" for n in range(PROCESSES)]
    copies = [MAIL | {"msgId": f"copy-{n}", "bccAddresses": [person]} for n, person in enumerate(people)]
    answers = crowd.at_once([("POST", EMAILS, copy) for copy in copies])
    assert sorted(status for status, _ in answers) == [200] * (PROCESSES - 1) + [201]
    [record] = client.get(EMAILS).json
    assert {body["id"] for _, body in answers} == {record["id"]}
    assert sorted(record["bccAddresses"]) == sorted(people)
    assert content(record) == MAIL | {"msgId": record["msgId"], "bccAddresses": record["bccAddresses"]}
    for n, person in enumerate(people):
        for query in ({"msgId": f"copy-{n}"}, {"address": person}, {"q": f"offer {person}"}):
            assert client.get(EMAILS, query_string=query).json == [record]


def test_twenty_copies_without_message_id_are_one_mail(crowd: Crowd, client: Any) -> None:
    """The same where only msgId says which mail it is; nothing changes after the first."""
    answers = crowd.at_once([("POST", EMAILS, {"msgId": "g1", "subject": "same"})] * PROCESSES)
    assert sorted(status for status, _ in answers) == [200] * (PROCESSES - 1) + [201]
    [record] = client.get(EMAILS).json
    assert all(body == record for _, body in answers)
    assert [change["action"] for change in client.get(CHANGES).json] == ["created"]


@pytest.mark.parametrize("first", [0, 1])
def test_a_mail_whose_copies_come_with_and_without_message_id_is_one(crowd: Crowd, client: Any, first: int) -> None:
    """At once and in either order: one record, which has the Message-ID and all that each of them brought."""
    people = [f"person{n}@a.example" for n in range(PROCESSES)]
    kinds: list[dict[str, Any]] = [{"rfc822MsgId": None}, {}]
    copies = [MAIL | kinds[(n + first) % 2] | {"ccAddresses": [person]} for n, person in enumerate(people)]
    for n in range(5):
        mails = [
            copy | {"msgId": f"g{n}"} | ({"rfc822MsgId": f"m{n}"} if copy["rfc822MsgId"] else {}) for copy in copies
        ]
        answers = crowd.at_once([("POST", EMAILS, mail) for mail in mails])
        assert sorted(status for status, _ in answers) == [200] * (PROCESSES - 1) + [201]
        [record] = client.get(EMAILS, query_string={"msgId": f"g{n}"}).json
        assert {body["id"] for _, body in answers} == {record["id"]}
        assert record["rfc822MsgId"] == f"m{n}"
        assert sorted(record["ccAddresses"]) == sorted(people)
        assert client.get(EMAILS, query_string={"rfc822MsgId": f"m{n}"}).json == [record]
        assert len(client.get(f"{EMAILS}/{record['id']}/copies?limit=100").json) == PROCESSES


def test_the_same_copy_twenty_times_at_once_is_one_row(crowd: Crowd, client: Any) -> None:
    """Also where it only says something otherwise, and changes nothing in the record."""
    record = log(client, **MAIL)
    answers = crowd.at_once([("POST", EMAILS, MAIL | {"msgId": "copy", "subject": "Otherwise"})] * PROCESSES)
    assert answers == [(200, record)] * PROCESSES
    assert len(client.get(f"{EMAILS}/{record['id']}/copies").json) == 2


@pytest.mark.parametrize(
    ("path", "key", "entries"),
    [
        (CONTACTS, "emailAddresses", ["Jane@a.example", "JANE@A.example.", "jane@a.example"]),
        (COMPANIES, "domains", ["a.example", "www.A.example", "https://a.example/"]),
    ],
)
def test_a_stranger_whom_twenty_meet_at_once_is_one_record(
    crowd: Crowd, client: Any, path: str, key: str, entries: list[str]
) -> None:
    """A contact by its address, a company by its domain; what each of the twenty knew besides is kept."""
    added = [f"other{n}@b.example" if key == "emailAddresses" else f"other{n}.example" for n in range(PROCESSES)]
    answers = crowd.at_once([("POST", path, {key: [entries[n % 3], added[n]]}) for n in range(PROCESSES)])
    assert sorted(status for status, _ in answers) == [200] * (PROCESSES - 1) + [201]
    [record] = client.get(path).json
    assert {body["id"] for _, body in answers} == {record["id"]}
    assert sorted(record[key][1:] if record[key][0] in entries else record[key]) == sorted(added)


@pytest.mark.parametrize("path", [CONTACTS, COMPANIES])
def test_an_id_that_twenty_put_at_once_is_one_record(crowd: Crowd, client: Any, path: str) -> None:
    """One creates it, the others replace it, and what stays is one of theirs, whole."""
    key, name = ("emailAddresses", "firstName") if path == CONTACTS else ("domains", "name")
    bodies = [{name: f"n{n}", key: [f"a@n{n}.example", f"b@n{n}.example"]} for n in range(PROCESSES)]
    answers = crowd.at_once([("PUT", f"{path}/7", body) for body in bodies])
    assert sorted(status for status, _ in answers) == [200] * (PROCESSES - 1) + [201]
    [record] = client.get(path).json
    assert {field: record[field] for field in (name, key)} in bodies


def test_changes_of_twenty_at_once_are_all_kept(crowd: Crowd, client: Any) -> None:
    """Each PATCH names another field of one mail, and none undoes another's; readers are answered in between."""
    record = log(client)
    path = f"{EMAILS}/{record['id']}"
    calls = [("PATCH", path, {name: value}) for name, value in MAIL.items()]
    readers = [("GET", path, None)] * (PROCESSES - len(calls))
    answers = crowd.at_once([*calls, *readers])
    assert {status for status, _ in answers} == {200}
    assert content(client.get(path).json) == MAIL
    for _, body in answers:
        assert all(value in (MAIL[name], NO_MAIL[name]) for name, value in content(body).items())


def test_logging_and_removing_at_once_leaves_no_half_of_a_mail(crowd: Crowd, client: Any) -> None:
    """Each call is answered as if it had come alone, and what is left is found by all of its keys or by none."""
    path = f"{EMAILS}/{log(client, **MAIL)['id']}"
    calls: list[Call] = [
        ("POST", EMAILS, MAIL),
        ("DELETE", f"{path}?remember=false", None),
        ("PATCH", path, {"fromName": "x"}),
        ("GET", path, None),
    ]
    answers = crowd.at_once(calls * (PROCESSES // len(calls)))
    allowed = {"POST": {200, 201}, "DELETE": {204, 404}, "PATCH": {200, 404}, "GET": {200, 404}}
    for n, (status, _) in enumerate(answers):
        assert status in allowed[calls[n % len(calls)][0]]
    assert [status for status, _ in answers].count(204) == 1
    left = client.get(EMAILS).json
    assert len(left) <= 1
    keys = {"rfc822MsgId": MAIL["rfc822MsgId"], "msgId": MAIL["msgId"], "syncThreadId": MAIL["syncThreadId"]}
    for name, value in {**keys, "address": MAIL["fromAddress"], "contactId": "42", "q": "4711"}.items():
        assert client.get(EMAILS, query_string={name: value}).json == left, name


def test_a_reader_of_the_feed_sees_each_change_exactly_once(crowd: Crowd, client: Any) -> None:
    """It polls with its last seq while twenty write: nothing is missed, doubled, or out of a writer's order."""

    def life(n: int) -> list[Call]:
        contact = f"{CONTACTS}/p{n}"
        return [
            ("PUT", contact, {"firstName": "a"}),
            ("POST", EMAILS, {"msgId": f"own-{n}", "subject": "s"}),
            ("PATCH", contact, {"firstName": "b"}),
            ("POST", EMAILS, {"rfc822MsgId": "shared", "toAddresses": [f"p{n}@a.example"]}),
            ("DELETE", contact, None),
            ("PUT", f"{COMPANIES}/p{n}", {"name": "c"}),
        ]

    seen: list[dict[str, Any]] = []

    def drain_unread_body() -> bool:
        page = client.get(CHANGES, query_string={"after": seen[-1]["seq"] if seen else 0, "limit": 7}).json
        seen.extend(page)
        return bool(page)

    writers = crowd.each([life(n) for n in range(PROCESSES)])
    while not all(writer.done() for writer in writers):
        drain_unread_body()
    while drain_unread_body():
        pass

    answers = [writer.result() for writer in writers]
    assert {status for made in answers for status, _ in made} <= {200, 201, 204}
    numbers = [change["seq"] for change in seen]
    assert numbers == sorted(set(numbers))
    assert seen == client.get(CHANGES, query_string={"limit": 1000}).json
    assert len(seen) == PROCESSES * 6
    for n, made in enumerate(answers):
        own = [made[1][1]["id"], f"p{n}"]
        told = [(change["type"], change["action"]) for change in seen if change["id"] in own]
        life_of_contact = [("contact", "created"), ("email", "created"), ("contact", "changed"), ("contact", "deleted")]
        assert told == [*life_of_contact, ("company", "created")]


def test_a_reader_does_not_wait_for_a_writer(crowd: Crowd, client: Any) -> None:
    """While a transaction is open, every read is answered, with what was there before it."""
    client.put(f"{CONTACTS}/42", json={"emailAddresses": ["jane@acme.example"]})
    record = log(client, **MAIL)
    reads = [
        f"{EMAILS}/{record['id']}",
        EMAILS,
        f"{EMAILS}?q=offer",
        f"{CONTACTS}/42",
        f"{CONTACTS}/42/emails",
        CHANGES,
    ]
    reads += [f"{CONTACTS}/lookup?emails=jane@acme.example", "/api/v1/users/me", "/health/live"]
    before = [client.get(path).json for path in reads]
    with database.writing():
        crm.change_email(record["id"], {"subject": "not yet"})
        crm.delete_contact("42")
        during = [crowd.one("GET", path, None).result(WITHIN) for path in reads]
    assert during == [(200, body) for body in before]
    assert client.get(f"{EMAILS}/{record['id']}").json["subject"] == "not yet"


def test_a_writer_waits_for_a_writer(crowd: Crowd, client: Any) -> None:
    """It is answered after the other has ended, on the ground of what that one has written."""
    with database.writing():
        logged, _ = crm.log_email(NO_MAIL | {"rfc822MsgId": "m"})
        waiting = [crowd.one("POST", EMAILS, {"rfc822MsgId": "m", "msgId": f"copy-{n}"}) for n in range(5)]
        assert crowd.one("GET", EMAILS, None).result(WITHIN) == (200, [])
    answers = [made.result(WITHIN) for made in waiting]
    assert [(status, body["id"]) for status, body in answers] == [(200, logged["id"])] * 5


def _die_while_writing(url: str, ready: Any) -> None:
    create_app({"DATABASE_URL": url})
    with database.writing():
        crm.log_email(NO_MAIL | {"rfc822MsgId": "half"})
        ready.set()
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_writer_that_is_killed_holds_nobody_up(url: str, client: Any) -> None:
    """Its lock is gone with it, and so is what it had not yet committed."""
    ready = CONTEXT.Event()
    victim = CONTEXT.Process(target=_die_while_writing, args=(url, ready))
    victim.start()
    victim.join(WITHIN)
    assert ready.is_set()
    assert victim.exitcode == -signal.SIGKILL
    assert client.get(EMAILS).json == []
    assert client.post(EMAILS, json=MAIL).status_code == 201
    assert [change["action"] for change in client.get(CHANGES).json] == ["created"]


def test_threads_of_one_process_take_turns_too(app: Flask, client: Any) -> None:
    """gunicorn answers several calls side by side in one process: the same rules hold."""
    together = Barrier(PROCESSES)

    def post(n: int) -> Answer:
        own: Any = app.test_client()
        own.token = client.token
        together.wait(WITHIN)
        try:
            answer = own.post(EMAILS, json={"rfc822MsgId": "m", "toAddresses": [f"p{n}@a.example"]})
            return answer.status_code, answer.json
        finally:
            database.stop()

    with ThreadPoolExecutor(PROCESSES) as threads:
        answers = list(threads.map(post, range(PROCESSES)))
    assert sorted(status for status, _ in answers) == [200] * (PROCESSES - 1) + [201]
    [record] = client.get(EMAILS).json
    assert {body["id"] for _, body in answers} == {record["id"]}
    assert len(record["toAddresses"]) == PROCESSES
