"""The primary is killed in the middle of writing, and its standby promoted: the service finds it by itself.

With a synchronous standby nothing that was acknowledged is lost, also where the standby had fallen behind. The same
with an asynchronous one has to lose mail, or the test would prove nothing.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg

from bench.faults import rig
from bench.faults.postgresql import CLIENTS, SAFE
from bench.faults.report import Outcome, verdict
from tests.postgresql import Server

# What is shared among its processes is in its folder, as a kill would leave it in memory for ever. The standby does not
# wait five seconds before it looks once more for a primary, or for the order to be one.
_OPTIONS = (
    *SAFE,
    *("-c", "listen_addresses=127.0.0.1"),
    *("-c", "dynamic_shared_memory_type=mmap"),
    *("-c", "wal_retrieve_retry_interval=100ms"),
)


def run(quick: bool = False) -> Iterator[Outcome]:
    tries, mails = (1, 100) if quick else (3, 300)
    for name, synchronous, behind in (
        ("primary killed, synchronous standby", True, False),
        ("the same, the standby behind", True, True),
        ("the same, the standby asynchronous", False, True),
    ):
        pairs = [_Pair(synchronous, behind, mails) for _ in range(tries)]
        acknowledged, lost = sum(len(one.writers.acknowledged) for one in pairs), sum(one.lost for one in pairs)
        refused = sum(one.writers.refused.pop(503, 0) for one in pairs)
        silence, found = max(one.writers.silence for one in pairs), max(one.found for one in pairs)
        figures = f"no write for {silence:.1f} s at most, {found:.1f} s of them after the promotion"
        figures += f"; {refused:,} answers with 503"
        wrong = [sentence for one in pairs for sentence in one.wrong]
        if synchronous:
            yield Outcome(name, tries, acknowledged, lost, verdict(wrong, figures))
        else:
            said = f"ok: {lost:,} mails lost, as it must be; {figures}" if lost else "nothing lost: the test is blind"
            yield Outcome(name, tries, acknowledged, 0, said)


class _Pair:
    """A primary and its standby, of which the primary is killed after so many mails.

    `lost` and `wrong` are what `rig.missing` found on the other one, `found` the seconds from the promotion to the
    first mail that was acknowledged.
    """

    def __init__(self, synchronous: bool, behind: bool, mails: int) -> None:
        with ExitStack() as stack:
            ports = rig.port(), rig.port()
            urls = [f"postgresql://postgres@127.0.0.1:{port}/postgres" for port in ports]
            self.primary = Server((*_OPTIONS, "-c", f"port={ports[0]}"))
            stack.callback(self.primary.remove)
            self.standby = Server((*_OPTIONS, "-c", f"port={ports[1]}"), primary=f"{urls[0]}?application_name=standby")
            stack.callback(self.standby.remove)
            self.operator = stack.enter_context(psycopg.connect(urls[0], autocommit=True))
            if synchronous:
                self.operator.execute("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
                self.operator.execute("SELECT pg_reload_conf()")
            wanted = "sync" if synchronous else "async"
            rig.wait_until(lambda: self._replication("sync_state") == wanted, "The standby does not follow.")

            both = f"postgresql://postgres@127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}/postgres"
            url = f"{both}?target_session_attrs=read-write"
            service = stack.enter_context(rig.service(url))
            workers = service.workers()
            with rig.Writers(service, CLIENTS) as self.writers:
                self.writers.wait_for(mails)
                if behind:
                    self._fall_behind(synchronous)
                self.primary.kill()
                self.standby.run("pg_ctl", "promote", "-w", "-t", "60", "-s")
                promoted = time.monotonic()
                self.writers.wait_for(1)
                self.found = time.monotonic() - promoted
                self.writers.wait_for(mails)
            self.wrong = rig.stuck(service, workers)
            service.stop()
            self.lost, wrong = rig.missing(url, self.writers.acknowledged)
        refused, dropped = self.writers.refused, self.writers.unanswered
        self.wrong += wrong + [f"{number} answers with {status}" for status, number in refused.items() if status != 503]
        self.wrong += [f"{number} requests on {kind} connections were dropped" for kind, number in dropped.items()]

    def _replication(self, column: str) -> object:
        found = self.operator.execute(f"SELECT {column} FROM pg_stat_replication").fetchone()
        return found[0] if found else None

    def _fall_behind(self, synchronous: bool) -> None:
        """The primary sends nothing any more: it acknowledges without the standby, or not at all."""
        os.kill(int(str(self._replication("pid"))), signal.SIGSTOP)
        if synchronous:
            waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
            rig.wait_until(lambda: bool(self.operator.execute(waiting).fetchall()), "Nobody waits for the standby.")
            time.sleep(1)  # in which nobody must be told that anything is kept
        else:
            self.writers.wait_for(100)
