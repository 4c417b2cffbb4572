"""The same work over and over: memory, open files, threads and the write-ahead log stay what they are."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from statistics import mean
from threading import Thread
from typing import Any, NamedTuple
from urllib.parse import quote

from bench.faults import rig
from bench.faults.report import Outcome, verdict

CLIENTS = 8

# The last quarter's mean may be that much above the second's: a part of it, and for what is small a bit more.
LIMITS = {"MB of memory": (1.05, 1.0), "open files": (1.0, 1.0), "threads": (1.0, 1.0), "MB of log": (1.1, 1.0)}


def run(quick: bool = False) -> Iterator[Outcome]:
    requests = 2_000 if quick else 100_000
    with rig.service() as service:
        callers = [_Caller(service, number, requests // CLIENTS) for number in range(CLIENTS)]
        for caller in callers:
            caller.start()
        samples = []
        while any(caller.is_alive() for caller in callers):
            samples.append(_sample(service))
            time.sleep(0.1 if quick else 0.5)
        acknowledged = {name: record_id for caller in callers for name, record_id in caller.acknowledged.items()}
        lost, wrong = rig.missing(service.url, acknowledged)
    wrong += [sentence for caller in callers for sentence in caller.wrong]
    figures, quarter = [], len(samples) // 4
    for name, (part, more) in LIMITS.items():
        values = [sample[name] for sample in samples]
        second, last = mean(values[quarter : 2 * quarter]), mean(values[-quarter:])
        figures.append(f"{second:.1f} → {last:.1f} {name}")
        if last > second * part + more and not quick:  # which is too short to tell
            wrong.append(f"more and more {name}: {second:.1f} → {last:.1f}")
    done = sum(caller.requests for caller in callers)
    yield Outcome("a long day, in short", done, len(acknowledged), lost, verdict(wrong, ", ".join(figures)))


def _sample(service: rig.Service) -> dict[str, float]:
    """What the service takes now, all processes together; memory that they share is counted once (PSS)."""
    folders = [Path(f"/proc/{pid}") for pid in [service.process.pid, *service.workers()]]
    memory = [(folder / "smaps_rollup").read_text().partition("\nPss:")[2].split()[0] for folder in folders]
    return {
        "MB of memory": sum(map(int, memory)) / 1024,
        "open files": sum(len(list((folder / "fd").iterdir())) for folder in folders),
        "threads": sum(len(list((folder / "task").iterdir())) for folder in folders),
        "MB of log": Path(f"{service.file}-wal").stat().st_size / 2**20,
    }


class _Call(NamedTuple):
    """A kind of request: how many of each hundred are of it, what they are answered with, and what they are."""

    part: int
    status: set[int]
    method: str
    path: str
    body: Callable[[], Any] = lambda: None
    headers: dict[str, str] = {}


class _Caller(Thread):
    """Makes one request after the other, and looks whether each is answered as it has to be."""

    def __init__(self, service: rig.Service, number: int, requests: int) -> None:
        super().__init__()
        self.requests = requests
        self.acknowledged: dict[str, str] = {}
        self.wrong: list[str] = []
        self._service, self._number, self._random = service, number, Random(number)

    def run(self) -> None:
        connection = rig.Connection(self._service)
        for turn in range(self.requests):
            new = f"{self._number}-{turn}"
            calls = self._calls(new, self._random.choice([*self.acknowledged][-500:] or [new]))
            call = calls[0] if turn == 0 else self._random.choices(calls, [call.part for call in calls])[0]
            try:
                status, body = connection.ask(call.method, call.path, call.body(), **call.headers)
            except rig.Unanswered as error:
                self.wrong.append(f"{call.method} {call.path} was not answered on a {error} connection")
                continue
            if status not in call.status:
                self.wrong.append(f"{call.method} {call.path} was answered with {status}")
            elif call is calls[0]:
                self.acknowledged[new] = json.loads(body)["id"]
        connection.close()

    def _calls(self, new: str, known: str) -> list[_Call]:
        """What may come next: about a mail that nobody has seen, one that is here, and people."""
        person, company = self._random.randrange(1000), self._random.randrange(20)
        people = ",".join(f"person{person + n}@company{company}.example" for n in range(5))
        emails = f"{rig.V1}/emails"
        return [
            _Call(15, {201}, "POST", emails, lambda: rig.mail(new)),
            _Call(10, {200}, "POST", emails, lambda: rig.mail(known) | {"msgId": new}),
            _Call(20, {200}, "GET", f"{rig.V1}/contacts/lookup?emails={people}"),
            _Call(5, {200}, "GET", f"{rig.V1}/companies/lookup?domain=company{company}.example"),
            _Call(15, {200}, "GET", f"{emails}/{self.acknowledged.get(known)}"),
            _Call(10, {200}, "GET", f"{emails}?rfc822MsgId={quote(f'<{known}@mail.example>')}"),
            _Call(5, {200}, "GET", f"{emails}?limit=5&q={known}"),
            _Call(5, {200, 409}, "GET", f"{rig.V1}/changes?after={person}"),
            _Call(2, {200, 201}, "POST", f"{rig.V1}/contacts", lambda: {"emailAddresses": people.split(",")}),
            _Call(4, {404}, "GET", f"{emails}/no-such-mail"),
            _Call(4, {422}, "POST", emails, lambda: {"receivedAt": "yesterday"}),
            _Call(3, {400}, "POST", emails, lambda: b"{"),
            _Call(2, {401, 429}, "GET", f"{rig.V1}/users/me", headers={"Authorization": "Bearer bsc_mistyped"}),
        ]
