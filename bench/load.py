"""The connector under load, beside a bare Flask route: `python -m bench.load [--db FILE] [--rounds N]`.

The connector is served as it always is, the bare route by gunicorn as it comes, both by two processes. wrk loads one of
them at a time, for two seconds, with 16 connections that stay open; they take turns, so that the machine's other work
falls on both alike. Prints Markdown.
"""

import argparse
import json
import os
import resource
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

from playhouse.test_utils import count_queries

import crm
import database
from bench.generate import Data, generate, size_of
from schemas import EmailIn
from web import tokens

PROJECT = Path(__file__).parent.parent
CONNECTIONS = 16
SECONDS = 2
REQUESTS = 1_000  # different ones of each call
V1 = "/api/v1"


def calls(data: Data) -> dict[str, list[tuple[str, str, Any]]]:
    """Requests of each call: method, path, body; in a body, UNIQUE stands for what no other request has."""
    random = Random(11)

    def gets(path: str, value: Any) -> list[tuple[str, str, Any]]:
        return [("GET", V1 + path + quote(value(), safe=","), None) for _ in range(REQUESTS)]

    def posts(value: Any) -> list[tuple[str, str, Any]]:
        return [("POST", f"{V1}/emails", value(random.randrange(data.emails))) for _ in range(REQUESTS)]

    def addresses(number: int) -> str:
        return ",".join(data.address(i) for i in random.sample(range(data.contacts), number))

    return {
        **{
            f"contact lookup, {number}": gets("/contacts/lookup?emails=", lambda number=number: addresses(number))
            for number in (1, 20, 200)
        },
        "contact by id": gets("/contacts/", lambda: f"c{random.randrange(data.contacts)}"),
        "company lookup": gets("/companies/lookup?domain=", lambda: data.domain(random.randrange(data.companies))),
        "email by id": gets("/emails/", lambda: str(random.randrange(data.emails) + 1)),
        "email by Message-ID": gets("/emails?rfc822MsgId=", lambda: data.message_id(random.randrange(data.emails))),
        "POST email, new": posts(lambda j: data.email(j, "UNIQUE")),
        "POST email, a retry": posts(data.email),
        "POST email, another copy": posts(lambda j: data.email(j) | {"msgId": "UNIQUE"}),
    }


def write_requests(requests: dict[str, list[tuple[str, str, Any]]], folder: Path) -> dict[str, Path]:
    """Write them as wrk.lua reads them, into a file for each call."""
    files = {name: folder / f"{name}.txt" for name in requests}
    for name, lines in requests.items():
        texts = ("\t".join([method, path, json.dumps(body) if body else ""]) for method, path, body in lines)
        files[name].write_text("".join(f"{text}\n" for text in texts))
    return files


# ---- servers --------------------------------------------------------------------------------------------------------


class Server:
    """gunicorn: in this folder it reads gunicorn.conf.py and serves the connector."""

    def __init__(self, probe: str, *arguments: str, folder: Path = PROJECT, **environment: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [sys.executable, "-m", "gunicorn", *arguments]
        began = time.perf_counter()
        # The access log is written as it would be, to where it costs a write and nothing else.
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | environment | {"PORT": str(self.port)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while True:
            try:
                self.ask("GET", probe)
                break
            except OSError:
                if self.process.poll() is not None or time.perf_counter() - began > 30:
                    raise SystemExit(f"{' '.join(command)} does not start.") from None
                time.sleep(0.005)
        self.start = time.perf_counter() - began
        time.sleep(1)  # until the other workers are there too

    def ask(self, method: str, path: str, body: Any = None, token: str = "") -> Any:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse().read()
        connection.close()
        return json.loads(answer) if answer else None

    def processes(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [self.process.pid, *map(int, children.split())]

    def cpu(self) -> float:
        """Seconds used so far."""
        ticks = 0
        for process in self.processes():
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory(self) -> float:
        """MB; what processes share is counted once (PSS)."""
        lines = [Path(f"/proc/{process}/smaps_rollup").read_text() for process in self.processes()]
        return sum(int(text.partition("\nPss:")[2].split()[0]) for text in lines) / 1024

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


@dataclass
class Slice:
    """What two seconds of load gave: milliseconds, and microseconds of the server's CPUs."""

    requests: int
    rate: float
    p50: float
    p99: float
    cpu: float
    others: float  # the part of the machine's CPUs that went to neither server nor wrk


def load(server: Server, requests: Path, token: str, seconds: float = SECONDS) -> Slice:
    wrk = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(PROJECT / "bench/wrk.lua")]
    before, whole = server.cpu() + _children(), _machine()
    own = server.cpu()
    target = [f"http://127.0.0.1:{server.port}", "--", str(requests), token, f"u{time.time_ns()}"]
    output = subprocess.run(wrk + target, capture_output=True, text=True)
    if "RESULT" not in output.stdout:
        raise SystemExit(f"wrk: {output.stdout}{output.stderr}")
    result = json.loads(output.stdout.partition("RESULT")[2])
    if result["failed"]:
        raise SystemExit(f"{requests.stem}: {result['failed']} of {result['requests']} requests failed.")
    busy, total = (after - first for after, first in zip(_machine(), whole, strict=True))
    others = max(0.0, busy - (server.cpu() + _children() - before)) / total
    cpu = (server.cpu() - own) / result["requests"] * 1e6
    rate = result["requests"] / result["seconds"]
    return Slice(result["requests"], rate, result["p50"], result["p99"], cpu, others)


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _machine() -> tuple[float, float]:
    """CPU seconds of the whole machine: busy, and all."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    seconds = [int(field) / os.sysconf("SC_CLK_TCK") for field in fields]
    return sum(seconds) - seconds[3] - seconds[4], sum(seconds)


# ---- the machine's own limits ---------------------------------------------------------------------------------------


def limits(source: Path, folder: Path, data: Data) -> Iterator[tuple[str, list[float]]]:
    """What the machine can do without a server: for each thing, the seconds that each of its turns took."""
    yield "4 KB written and fdatasync", list(_syncs(folder))
    posts = list(_posts(source, folder, data))
    yield "the statements of a POST, by sqlite3 alone", _replay(source, folder, posts, "full")
    yield "… without the search index", _replay(source, folder, posts, "full", search=False)
    yield "… without waiting for the disk", _replay(source, folder, posts, "off")


def _syncs(folder: Path) -> Iterator[float]:
    handle = os.open(folder / "sync", os.O_CREAT | os.O_RDWR)
    os.write(handle, bytes(1 << 22))
    os.fsync(handle)
    for n in range(500):
        began = time.perf_counter()
        os.pwrite(handle, bytes([n % 256]) * 4096, n * 4096 % (1 << 22))
        os.fdatasync(handle)
        yield time.perf_counter() - began
    os.close(handle)


def _posts(source: Path, folder: Path, data: Data) -> Iterator[list[tuple[str, Any]]]:
    """The statements, with their parameters, by which the connector logs new emails."""
    schema = EmailIn()
    with copied(source, folder / "recorded.db") as copy:
        database.start(f"sqlite:///{copy}")
        for n in range(REQUESTS):
            email = schema.load(data.email(n, f"limit-{n}"))
            with count_queries() as counted:
                crm.log_email(email)
            statements = [record.msg for record in counted.get_queries()]
            yield [one for one in statements if not one[0].startswith(("BEGIN", "COMMIT"))]
        database.stop()


def _replay(source: Path, folder: Path, posts: Any, synchronous: str, search: bool = True) -> list[float]:
    times = []
    with copied(source, folder / "replayed.db") as copy, closing(sqlite3.connect(copy, isolation_level=None)) as db:
        db.execute("PRAGMA foreign_keys = on")
        db.execute(f"PRAGMA synchronous = {synchronous}")
        for statements in posts:
            began = time.perf_counter()
            db.execute("BEGIN IMMEDIATE")
            for sql, parameters in statements:
                if parameters and isinstance(parameters[0], list):
                    db.executemany(sql, parameters)
                elif search or "email_words" not in sql:
                    db.execute(sql, parameters or ()).fetchall()
            db.execute("COMMIT")
            times.append(time.perf_counter() - began)
    return times


@contextmanager
def copied(source: Path, target: Path) -> Iterator[Path]:
    shutil.copy(source, target)
    yield target
    for file in target.parent.glob(f"{target.name}*"):
        file.unlink()


# ---- the report -----------------------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--db", type=Path, help="made by bench.generate, and not written to; 5,000 mails if not given")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if not shutil.which("wrk"):
        raise SystemExit("This needs wrk, the load generator: apt-get install wrk.")
    with TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        source = options.db or folder / "generated.db"
        if not options.db:
            generate(5_000, source)
        report(source, folder, Data(size_of(source)), options.rounds)


def report(source: Path, folder: Path, data: Data, rounds: int) -> None:
    with copied(source, folder / "served.db") as served:
        url = f"sqlite:///{served}"
        database.start(url)
        token = tokens.create("u0", "admin", "bench")
        database.stop()
        requests = calls(data)
        files = write_requests(requests, folder)
        ours = Server("/health/live", DATABASE_URL=url)
        rest = ours.memory()
        answers = folder / "answers.json"
        answers.write_text(json.dumps({name: ours.ask(*one[0], token) for name, one in requests.items()}))
        bare = Server(
            f"{V1}/contacts/1",
            *("bare:app", "--workers", "2", "--limit-request-line", "8190"),
            folder=PROJECT / "bench",
            BENCH_ANSWERS=str(answers),
        )
        found: dict[str, list[tuple[Slice, Slice]]] = {name: [] for name in requests}
        logged = 0
        try:
            for name in requests:  # warm
                load(ours, files[name], token, 1)
            time.sleep(1)  # until what wrk left behind has been answered
            before = _number_of_mails(served)
            for turn in range(rounds):
                for name, pairs in found.items():
                    slices = {
                        server: load(server, files[name], token) for server in [ours, bare][:: -1 if turn % 2 else 1]
                    }
                    pairs.append((slices[ours], slices[bare]))
                    logged += name == "POST email, new" and slices[ours].requests
            lost = logged - (_number_of_mails(served) - before)
            memory = ours.memory()
        finally:
            ours.stop()
            bare.stop()

    print("| call | requests/s | p50 ms | p99 ms | CPU µs | bare Flask: requests/s | CPU µs | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    for name, pairs in found.items():

        def figure(side: int, field: str, pairs: Any = pairs) -> float:
            return median(getattr(pair[side], field) for pair in pairs)

        ratio = median(one.rate / other.rate for one, other in pairs)
        print(
            f"| {name} | {figure(0, 'rate'):,.0f} | {figure(0, 'p50'):.1f} | {figure(0, 'p99'):.1f} "
            f"| {figure(0, 'cpu'):.0f} | {figure(1, 'rate'):,.0f} | {figure(1, 'cpu'):.0f} | {ratio:.2f} |"
        )
    others = median(one.others for pairs in found.values() for pair in pairs for one in pair)
    print(
        f"\nMemory of all processes: {rest:.0f} MB at rest, {memory:.0f} MB after. From start to the first answer: "
        f"{ours.start:.2f} s (bare Flask: {bare.start:.2f} s). Mails acknowledged and not there: {max(lost, 0)}. "
        f"Other work took {others:.0%} of the machine's CPUs meanwhile.\n"
    )
    print("| without a server, one after the other | a second | median ms | p99 ms |\n|---|---|---|---|")
    for name, times in limits(source, folder, data):
        ordered = sorted(times)
        middle, late = (ordered[len(ordered) * part // 100] * 1000 for part in (50, 99))
        print(f"| {name} | {len(times) / sum(times):,.0f} | {middle:.2f} | {late:.2f} |")


def _number_of_mails(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM email").fetchone()[0])


if __name__ == "__main__":
    main()
