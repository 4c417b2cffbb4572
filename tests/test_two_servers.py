"""Two app servers, each with processes and threads of its own, on one PostgreSQL: they are as one.

Both serve all the tests; so each uses names of its own.
"""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Barrier
from typing import Any

import pytest

from bench.faults import rig

CLIENTS = 20
EMAILS, CHANGES = f"{rig.V1}/emails", f"{rig.V1}/changes"

Call = tuple[str, str, Any]  # method, path, body
Answer = tuple[int, Any]  # status, body


@pytest.fixture(scope="module")
def servers(postgres: Any) -> Iterator[list[rig.Service]]:
    """Two that serve."""
    with postgres.fresh() as url, rig.service(url) as one, rig.service(url) as other:
        yield [one, other]


class Client:
    """Asks the two servers in turn, or the one."""

    def __init__(self, *servers: rig.Service) -> None:
        self.connections = [rig.Connection(server) for server in servers]

    def ask(self, method: str, path: str, body: Any = None) -> Answer:
        self.connections.append(self.connections.pop(0))
        status, answer = self.connections[0].ask(method, path, body)
        return status, json.loads(answer) if answer else None

    def close(self) -> None:
        for connection in self.connections:
            connection.close()


def at_once(servers: Sequence[rig.Service], work: Sequence[Sequence[Call]]) -> list[list[Answer]]:
    """Let so many clients, half of them at each server, begin at one moment; each makes its calls in their order."""
    together = Barrier(len(work))

    def make(n: int) -> list[Answer]:
        with closing(Client(servers[n % 2])) as client:
            client.ask("GET", "/health/live")  # it is connected
            together.wait(rig.WITHIN)
            return [client.ask(*call) for call in work[n]]

    with ThreadPoolExecutor(len(work)) as threads:
        return list(threads.map(make, range(len(work))))


@pytest.mark.parametrize(
    ("path", "key", "field"),
    [("emails", "rfc822MsgId", "bccAddresses"), ("contacts", "emailAddresses", ""), ("companies", "domains", "")],
)
def test_what_twenty_bring_at_once_is_one_record(servers: Any, path: str, key: str, field: str) -> None:
    """A mail, a contact, a company: one is answered 201, the others 200 with its id; it has what each has added."""
    added = [f"person{n}@one.example" for n in range(CLIENTS)]
    bodies: list[Any] = [{"emailAddresses": ["one@one.example", person]} for person in added]
    if path == "emails":
        bodies = [{key: "<one@one.example>", field: [person]} for person in added]
    elif path == "companies":
        added = [f"other{n}.example" for n in range(CLIENTS)]
        bodies = [{key: ["one.example", domain]} for domain in added]
    answers = at_once(servers, [[("POST", f"{rig.V1}/{path}", body)] for body in bodies])
    assert sorted(status for [(status, _)] in answers) == [200] * (CLIENTS - 1) + [201]
    [record_id] = {body["id"] for [(_, body)] in answers}
    for server in servers:
        with closing(Client(server)) as client:
            status, record = client.ask("GET", f"{rig.V1}/{path}/{record_id}")
        assert status == 200
        assert set(added) <= set(record[field or key])


def test_a_reader_of_the_feed_sees_each_change_in_its_order(servers: Any) -> None:
    """It polls both servers in turn while twenty write to both: no number comes after a greater one, none is missed."""
    changes = 20
    work = [
        [("PUT", f"{rig.V1}/contacts/p{n}", {"firstName": str(turn)}) for turn in range(changes)]
        for n in range(CLIENTS)
    ]
    with closing(Client(*servers)) as reader, ThreadPoolExecutor(1) as threads:
        before = reader.ask("GET", f"{CHANGES}?limit=1000")[1]
        seen = before[-1:]
        first = len(seen)

        def drain_unread_body() -> bool:
            status, page = reader.ask("GET", f"{CHANGES}?limit=1000&after={seen[-1]['seq'] if seen else 0}")
            assert status == 200
            seen.extend(page)
            return bool(page)

        writing = threads.submit(at_once, servers, work)
        looks = 0
        while not writing.done():
            looks += 1
            drain_unread_body()
        while drain_unread_body():
            pass
        assert {status for made in writing.result() for status, _ in made} == {200, 201}
        after = seen[0]["seq"] if first else 0
        everything = reader.ask("GET", f"{CHANGES}?limit=1000&after={after}")[1]
    told = seen[first:]
    assert looks > 10
    assert told == everything
    numbers = [change["seq"] for change in told]
    assert numbers == sorted(set(numbers))
    assert len(told) == CLIENTS * changes
    for n in range(CLIENTS):
        own = [change["action"] for change in told if change["id"] == f"p{n}"]
        assert own == ["created"] + ["changed"] * (changes - 1)
