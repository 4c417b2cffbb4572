"""`kill -9` at any moment, while mail is logged: of a worker, of the master, of all at once."""

import time
from collections.abc import Iterator
from random import Random

from bench.faults import rig
from bench.faults.report import Outcome, verdict


def run(quick: bool = False) -> Iterator[Outcome]:
    for fault, kill, tries, mails in (
        ("kill -9 of a worker", _worker, 2 if quick else 30, 100 if quick else 5_000),
        ("kill -9 of the master", _master, 1 if quick else 15, 50 if quick else 3_000),
        ("kill -9 of all at once", _all, 2 if quick else 25, 100 if quick else 4_000),
    ):
        random, slowest = Random(fault), 0.0
        with rig.service() as service:
            with rig.Writers(service) as writers:
                for done in range(tries):
                    writers.wait_for(max(mails - len(writers.acknowledged), 0) // (tries - done))
                    time.sleep(random.random() / 10)  # at any moment of what they do
                    slowest = max(slowest, kill(service, random))
                writers.wait_for(1)
            lost, wrong = rig.missing(service.url, writers.acknowledged)
        wrong += [f"{number} answers with {status}" for status, number in writers.refused.items()]
        figures = f"served again after {slowest:.1f} s at most, {writers.unanswered.total():,} requests not answered"
        yield Outcome(fault, tries, len(writers.acknowledged), lost, verdict(wrong, figures))


def _worker(service: rig.Service, random: Random) -> float:
    victim = random.choice(service.workers())
    number = len(service.workers())
    rig.kill(victim)
    return rig.wait_until(
        lambda: victim not in service.workers() and len(service.workers()) == number, "The worker was not replaced."
    )


def _master(service: rig.Service, random: Random) -> float:
    """Its workers see that they are alone and end; a new one waits for the port until they have."""
    rig.kill(service.process.pid)
    service.process.wait()
    return service.start()


def _all(service: rig.Service, random: Random) -> float:
    rig.kill(service.process.pid, *service.workers())
    service.process.wait()
    return service.start()
