"""Restarts while mail is logged: what was accepted is answered, and what was acknowledged is there."""

import signal
import time
from collections.abc import Iterator
from random import Random

from bench.faults import rig
from bench.faults.report import Outcome, verdict


def run(quick: bool = False) -> Iterator[Outcome]:
    for fault, restart, tries in (
        ("SIGHUP", _reload, 1 if quick else 15),
        ("SIGTERM, then a start", _stop_and_start, 1 if quick else 10),
        ("SIGTERM and a start at once", _replace, 1 if quick else 10),
    ):
        random = Random(fault)
        with rig.service() as service:
            with rig.Writers(service, pause=0.01) as writers:  # which leaves connections without a request
                for _ in range(tries):
                    writers.wait_for(20 if quick else 100)
                    time.sleep(random.random() / 10)
                    restart(service)
                writers.wait_for(20)
            lost, wrong = rig.missing(service.url, writers.acknowledged)
        refused, dropped = writers.unanswered.pop("refused", 0), writers.unanswered
        wrong += [f"{number} requests on {kind} connections were dropped" for kind, number in dropped.items()]
        wrong += [f"{number} answers with {status}" for status, number in writers.refused.items()]
        figures = f"no request dropped, {refused:,} connections refused"
        yield Outcome(fault, tries, len(writers.acknowledged), lost, verdict(wrong, figures))


def _reload(service: rig.Service) -> None:
    before = set(service.workers())
    service.process.send_signal(signal.SIGHUP)
    rig.wait_until(lambda: not before & set(service.workers()), "The old workers stay.")


def _stop_and_start(service: rig.Service) -> None:
    service.stop()
    service.start()


def _replace(service: rig.Service) -> None:
    """The new one waits until the old one has left the port."""
    old = service.process
    old.terminate()
    service.start()
    old.wait(rig.WITHIN)
