"""What a call costs at 5,000 and at 1,000,000 emails: `python -m bench.pages SMALL LARGE [--rounds N]`.

Either may be a file, or the URL of a PostgreSQL database that `flask database copy` has filled. Each database has a
process of its own, which answers calls through the WSGI application, without a network. The two take turns, so that the
machine's other work falls on both alike. Prints Markdown; some mails are written into LARGE, and into a copy of SMALL.
"""

import argparse
import multiprocessing
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from itertools import count
from json import dumps
from random import Random
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

from flask import Flask
from werkzeug.test import EnvironBuilder

import database
from app import create_app
from bench.generate import RARE, Data
from web import tokens

TURN = 10  # calls of one kind before the other database has its turn
DEEP = 1_000  # the page that is compared with the first


@dataclass
class Call:
    """A call to be measured: its nth request, as method, path and body."""

    request: Callable[[int], tuple[str, str, Any]]
    note: str = ""


def gets(path: Callable[[int], str] | str) -> Call:
    return Call(lambda n: ("GET", path if isinstance(path, str) else path(n), None))


class Side:
    """The application on one of the databases."""

    def __init__(self, place: str) -> None:
        self.app: Flask = create_app({"DATABASE_URL": place if "://" in place else f"sqlite:///{place}"})
        self.data = Data(5 * database.rows("SELECT count(*) FROM contact")[0][0])
        self.token = tokens.create("u0", "admin", "bench")
        self.calls = dict(self._calls())

    def environ(self, method: str, path: str, body: Any) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.token}"}
        json = {} if body is None else {"data": dumps(body), "content_type": "application/json"}
        return EnvironBuilder(path=path, method=method, headers=headers, **json).get_environ()

    def ask(self, method: str, path: str, body: Any = None) -> tuple[float, dict[str, str]]:
        """Seconds that the application took, and the headers of its answer."""
        environ = self.environ(method, path, body)
        answer: dict[str, Any] = {}

        def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
            answer.update(status=status, headers=dict(headers))

        began = time.perf_counter()
        parts = self.app.wsgi_app(environ, start_response)
        BytesIO().writelines(parts)
        seconds = time.perf_counter() - began
        if answer["status"][:2] != "20":
            raise SystemExit(f"{method} {path}: {answer['status']}")
        return seconds, answer["headers"]

    def following(self, path: str) -> tuple[str, int]:
        """The path of the page DEEP, or of the last full one where there are fewer, and its number."""
        pages = [path]
        while len(pages) < DEEP:
            found = re.search("<(.*)>", self.ask("GET", pages[-1])[1].get("Link", ""))
            if not found:
                return pages[-2], len(pages) - 1
            pages.append(found[1])
        return pages[-1], DEEP

    def _calls(self) -> Iterator[tuple[str, Call]]:
        data, random, v1, unique = self.data, Random(5), "/api/v1", count(time.time_ns())

        def some(number: int) -> int:
            return random.randrange(number)

        def addresses(number: int) -> str:
            return ",".join(data.address(some(data.contacts)) for _ in range(number))

        for number in (1, 20, 200):
            yield (
                f"contact lookup, {number}",
                gets(lambda n, number=number: f"{v1}/contacts/lookup?emails={addresses(number)}"),
            )
        yield "contact by id", gets(lambda n: f"{v1}/contacts/c{some(data.contacts)}")
        domain = f"{v1}/companies/lookup?domain="
        yield "company lookup", gets(lambda n: f"{domain}{data.domain(some(data.companies))}")
        yield "email by id", gets(lambda n: f"{v1}/emails/{some(data.emails) + 1}")
        by_id = f"{v1}/emails?rfc822MsgId="
        yield "email by Message-ID", gets(lambda n: by_id + quote(data.message_id(some(data.emails))))
        yield "POST email, new", Call(lambda n: ("POST", f"{v1}/emails", data.email(n, str(next(unique)))))
        yield "POST email, a retry", Call(lambda n: ("POST", f"{v1}/emails", data.email(some(data.emails))))
        yield (
            "POST email, another copy",
            Call(
                lambda n: ("POST", f"{v1}/emails", data.email(some(data.emails)) | {"msgId": f"again-{next(unique)}"})
            ),
        )

        yield "timeline, any contact", gets(lambda n: f"{v1}/contacts/c{some(data.contacts)}/emails")
        yield "emails of a usual thread", gets(lambda n: f"{v1}/emails?syncThreadId=thread-{some(data.emails // 3)}")
        yield "emails by `q`, a rare word", gets(f"{v1}/emails?q={RARE}")
        yield "emails by `q`, two words", gets(f"{v1}/emails?q={data.vocabulary[900]}+{data.vocabulary[1000]}")
        usual = data.vocabulary[2]  # nearly all emails have it
        yield "emails by `q`, a usual word", gets(f"{v1}/emails?q={usual}")
        yield "… of a busy address", gets(f"{v1}/emails?q={usual}&address={data.address(0)}")
        yield "… of any address", gets(lambda n: f"{v1}/emails?q={usual}&address={data.address(some(data.contacts))}")
        between = "receivedAfter=2021-02-01T00:00:00Z&receivedBefore=2025-11-01T00:00:00Z"
        lists = {
            "timeline, busy contact": f"{v1}/contacts/c0/emails",
            "emails": f"{v1}/emails",
            "emails by thread": f"{v1}/emails?syncThreadId=busy",
            "emails by address": f"{v1}/emails?address={data.address(0)}",
            "emails by contact": f"{v1}/emails?contactId=c0",
            "emails by date range": f"{v1}/emails?{between}",
            "contacts": f"{v1}/contacts",
            "companies": f"{v1}/companies",
        }
        for name, path in lists.items():
            yield f"{name}, first page", gets(path)
            deep, number = self.following(path)
            yield f"{name}, page {DEEP:,}", Call(lambda n, deep=deep: ("GET", deep, None), f"page {number:,}")
        last = database.rows("SELECT max(seq) FROM change")[0][0]
        page = min(DEEP, last // 25)
        yield "changes, first page", gets(f"{v1}/changes")
        yield (
            f"changes, page {DEEP:,}",
            Call(lambda n: ("GET", f"{v1}/changes?after={(page - 1) * 25}", None), f"page {page:,}"),
        )

    def times(self, name: str, turn: int) -> list[float]:
        """Seconds of each of a turn's calls."""
        request = self.calls[name].request
        return [self.ask(*request(turn * TURN + n))[0] for n in range(TURN)]

    def plan(self, name: str) -> list[str]:
        """How SQLite reads the tables for a call, with and without the statistics that ANALYZE makes."""
        request = self.calls[name].request(0)
        connection = database.db.connection()
        seen: list[str] = []
        connection.set_trace_callback(seen.append)
        self.ask(*request)
        connection.set_trace_callback(None)
        # Not the token's and its user's, nor what the search index asks in its own tables.
        own = re.compile('FROM ("token"|"crm_user"|\'main\')')
        seen = [sql for sql in seen if re.match("SELECT|WITH", sql) and not own.search(sql)]

        def explained() -> str:
            return ", ".join(dict.fromkeys(step for sql in seen for step in _steps(connection, sql)))

        with_statistics = explained()
        connection.execute("BEGIN")
        connection.execute("DELETE FROM sqlite_stat1")
        connection.execute("ANALYZE sqlite_schema")  # read the statistics again
        without = explained()
        connection.execute("ROLLBACK")
        connection.execute("ANALYZE sqlite_schema")
        return [with_statistics, without]


def _steps(connection: Any, sql: str) -> Iterator[str]:
    """Each step of a query's plan in a word: an index, a table read by its key, read whole, or sorted."""
    for *_, detail in connection.execute(f"EXPLAIN QUERY PLAN {sql}"):
        found = re.match(r"(SEARCH|SCAN) (\w+)(?: USING .*(?:INDEX (\w+)|PRIMARY KEY))?(?: \((.*)\))?", detail)
        if detail.startswith("SCAN each"):  # a list among the values
            continue
        if "VIRTUAL TABLE" in detail:
            yield "`email_words`"
        elif found and found[3]:
            bounds = " and ".join(re.findall(r"(\w+|\([\w,]+\))[<>=]", found[4] or "")) or "in order"
            yield f"`{found[3]}` ({bounds})"
        elif found and found[1] == "SEARCH":
            yield f"{found[2]} by key"
        elif found and found[2] not in (
            "page",
            "found",
            "place",
            "entry",
            "match",
        ):  # the rows of the answer, or the parts of one
            yield f"**all of {found[2]}**"


def serve(place: str, pipe: Any) -> None:
    if "://" not in place:
        with open(place, "rb", buffering=0) as file:  # into the system's cache: a cold file measures the disk
            while file.read(1 << 24):
                pass
    side = Side(place)
    pipe.send((f"{side.data.emails:,} emails", {name: call.note for name, call in side.calls.items()}))
    while question := pipe.recv():
        pipe.send(getattr(side, question[0])(*question[1:]))


class Process:
    """A Side in a process of its own."""

    def __init__(self, place: str) -> None:
        self.is_file = "://" not in place
        self.pipe, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=serve, args=(place, theirs), daemon=True)
        self.process.start()
        size, self.notes = self.pipe.recv()
        self.name: str = size if self.is_file else f"{size}, PostgreSQL"

    def __call__(self, *question: Any) -> Any:
        self.pipe.send(question)
        return self.pipe.recv()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("small")
    parser.add_argument("large")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    with TemporaryDirectory(prefix="bench-") as folder:
        small = options.small if "://" in options.small else shutil.copy(options.small, folder)
        report(small, options.large, options.rounds)


def report(small_path: str, large_path: str, rounds: int) -> None:
    sides = small, large = Process(small_path), Process(large_path)
    medians: dict[str, list[tuple[float, float]]] = {name: [] for name in small.notes}
    for turn in range(rounds):
        for name, pairs in medians.items():
            found = {side: median(side("times", name, turn)) for side in sides[:: -1 if turn % 2 else 1]}
            pairs.append((found[small], found[large]))
    print(f"| call, ms | {small.name} | {large.name} | ratio |\n|---|---|---|---|")
    for name, pairs in medians.items():
        note = f" ({small.notes[name]})" if small.notes[name] != large.notes[name] else ""
        figures = [median(pair[n] for pair in pairs) * 1000 for n in (0, 1)]
        ratio = median(large / small for small, large in pairs)
        print(f"| {name} | {figures[0]:.2f}{note} | {figures[1]:.2f} | {ratio:.2f} |")
    if large.is_file:
        plans(large, list(medians))
    for side in sides:
        side.pipe.send(None)
        side.process.join()


def plans(large: Process, names: list[str]) -> None:
    print(f"\n| call | what is read, at {large.name} |\n|---|---|")
    for name in names:
        usual, without = large("plan", name)
        print(f"| {name} | {usual}{'' if usual == without else f'; without statistics: {without}'} |")


if __name__ == "__main__":
    main()
