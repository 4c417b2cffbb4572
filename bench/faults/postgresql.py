"""PostgreSQL is restarted, or ends connections, in the middle of 5,000 mails: the service goes on by itself."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from random import Random

import psycopg

from bench.faults import rig
from bench.faults.report import Outcome, verdict
from tests.postgresql import Databases, Server

CLIENTS = 16  # twice the threads of the service

SAFE = ("-c", "wal_level=replica")  # syncs, as PostgreSQL does by itself
_END_ONE = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = 'connector' ORDER BY random() LIMIT 1"""

Fault = Callable[[Server], None]


def run(quick: bool = False) -> Iterator[Outcome]:
    server = Server(SAFE)
    try:
        databases = Databases(server.url)
        faults: list[tuple[str, Fault, int]] = [
            ("PostgreSQL restarted", _restart, 1 if quick else 10),
            ("PostgreSQL broken off and started", _break_off, 10),
            ("connections to PostgreSQL ended", _end_connections, 100),
        ]
        for name, fault, tries in faults[:1] if quick else faults:
            yield _tried(name, server, databases.create(), fault, tries, 100 if quick else 5_000)
    finally:
        server.remove()


def _tried(name: str, server: Server, url: str, fault: Fault, tries: int, mails: int) -> Outcome:
    random = Random(name)
    with rig.service(url) as service:
        workers = service.workers()
        with rig.Writers(service, CLIENTS) as writers:
            for done in range(tries):
                writers.wait_for(max(mails - len(writers.acknowledged), 0) // (tries - done))
                time.sleep(random.random() / 10)  # at any moment of what they do
                fault(server)
            writers.wait_for(CLIENTS)
        wrong = rig.stuck(service, workers)
    lost, found = rig.missing(url, writers.acknowledged)
    refused = writers.refused.pop(503, 0)
    wrong += found + [f"{number} answers with {status}" for status, number in writers.refused.items()]
    wrong += [f"{number} requests on {kind} connections were dropped" for kind, number in writers.unanswered.items()]
    figures = f"no write for {writers.silence:.1f} s at most, {refused:,} answers with 503"
    return Outcome(name, tries, len(writers.acknowledged), lost, verdict(wrong, figures))


def _restart(server: Server) -> None:
    server.stop("fast")
    server.start()


def _break_off(server: Server) -> None:
    """It has to go through its log as it starts."""
    server.stop("immediate")
    server.start()


def _end_connections(server: Server) -> None:
    with closing(psycopg.connect(server.url, autocommit=True)) as other:
        for _ in range(5):
            other.execute(_END_ONE)
            time.sleep(0.01)
