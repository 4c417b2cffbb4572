"""What can go wrong with the file while the service runs: no room, a disk that fails, locks of others, gone, damaged.

While it lasts, twenty write and twenty read at once: nobody is told that a mail was taken which was not, nobody waits
long, nobody gets a 500, and reads go on. When it is over, all of them are served again, without a restart.
"""

import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.faults import rig
from bench.faults.report import Outcome, verdict

AT_ONCE = 20
LONGEST = 12  # seconds that an answer may take: five for the lock, and as long in the queue before it
SIZE, BALLAST = 32, 10  # MiB of the disk that gets full, and of what is removed from it then
PAGE, NONSENSE = 4096, 100  # bytes of a page, and of what is damaged at its beginning


Fault = Callable[[rig.Service], AbstractContextManager[None]]


def run(quick: bool = False) -> Iterator[Outcome]:
    yield full(quick)
    yield failing(quick)
    yield locked(quick)
    yield held(quick)
    yield gone(quick)
    yield damaged(quick)


class _Trial:
    """A service that is filled, brought into trouble, and out of it."""

    def __init__(self, service: rig.Service, readable: bool = True) -> None:
        self.service, self.readable = service, readable
        self.acknowledged: dict[str, str] = {}
        self.calls, self.slowest, self.wrong = 0, 0.0, list[str]()
        self.statuses: Counter[int] = Counter()  # of the writes in trouble
        self._names = iter(range(1_000_000))

    def fill(self, mails: int) -> None:
        """Log so many mails."""
        with rig.Writers(self.service, number=4) as writers:
            writers.wait_for(mails)
        self.acknowledged |= writers.acknowledged

    def rush(self) -> Counter[int]:
        """Twenty write and twenty read at once; gives the statuses of the writes. Reads have to be answered with 200.

        Or with 503 while what they need can't be read.
        """
        with ThreadPoolExecutor(2 * AT_ONCE) as threads:
            written = [threads.submit(self._write) for _ in range(AT_ONCE)]
            read = [threads.submit(self._ask, "GET", f"{rig.V1}/emails?limit=5") for _ in range(AT_ONCE)]
            unread = Counter(one.result() for one in read if one.result() not in (200, 200 if self.readable else 503))
            statuses = Counter(one.result() for one in written)
        self.wrong += [f"{number} reads answered with {status}" for status, number in unread.items()]
        return statuses

    def _write(self) -> int:
        name = f"rush-{next(self._names)}"
        return self._ask("POST", f"{rig.V1}/emails", name)

    def _ask(self, method: str, path: str, name: str | None = None) -> int:
        connection, began = rig.Connection(self.service), time.monotonic()
        try:
            status, body = connection.ask(method, path, rig.mail(name) if name else None)
            if name and status in (200, 201):
                self.acknowledged[name] = json.loads(body)["id"]
        except rig.Unanswered:
            status = 0
        finally:
            connection.close()
            self.calls += 1
            self.slowest = max(self.slowest, time.monotonic() - began)
        return status

    def in_trouble(self, refusal: int, seconds: float = 0) -> None:
        """Rush for so long, and at least once: what can't be written has to be refused with this status."""
        end = time.monotonic() + seconds
        while True:
            self.statuses += self.rush()
            if time.monotonic() >= end:
                break
        unexpected = self.statuses.keys() - {refusal, 200, 201}
        self.wrong += [f"{self.statuses[status]} writes answered with {status}" for status in unexpected]
        if not self.statuses[refusal]:
            self.wrong.append(f"no write was refused with {refusal}")

    def recover(self) -> None:
        """It serves again by itself: all that come at once."""
        self._again = rig.wait_until(lambda: self._ask("GET", "/health/ready") == 200, "It never serves again.")
        after = self.rush()
        if set(after) - {200, 201}:
            self.wrong.append(f"afterwards writes are answered with {dict(after)}")

    def outcome(self, fault: str) -> Outcome:
        self.service.stop()
        lost, wrong = rig.missing(self.service.url, self.acknowledged)
        wrong = self.wrong + wrong
        if self.slowest > LONGEST:
            wrong.append(f"an answer took {self.slowest:.1f} s")
        said = ", ".join(f"{number} x {status}" for status, number in sorted(self.statuses.items()))
        figures = f"writes meanwhile {said}; slowest answer {self.slowest:.1f} s; ready {self._again:.1f} s after"
        return Outcome(fault, self.calls, len(self.acknowledged), lost, verdict(wrong, figures))


def _tried(fault: str, quick: bool, trouble: Fault, seconds: float, readable: bool = True) -> Outcome:
    with rig.service() as service:
        trial = _Trial(service, readable)
        trial.fill(20 if quick else 200)
        with trouble(service):
            trial.in_trouble(503, 0 if quick else seconds)
        trial.readable = True
        trial.recover()
        return trial.outcome(fault)


# ---- no room --------------------------------------------------------------------------------------------------------


def full(quick: bool = False) -> Outcome:
    """A small disk of its own, in memory, which the system lets everybody mount who keeps it to himself."""
    with TemporaryDirectory(prefix="faults-") as folder:
        Path(folder, "disk").mkdir()
        mount = f'mount -t tmpfs -o size={SIZE}m none "$0" && exec "$@"'
        command = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, f"{folder}/disk"]
        command += [sys.executable, "-m", "bench.faults.disk", folder]
        done = subprocess.run(command, cwd=rig.PROJECT, capture_output=True, text=True)
    if done.returncode:
        return Outcome("disk full", 0, 0, 0, f"not tried: {done.stderr.strip()[-300:] or 'it ended'}")
    return Outcome(**json.loads(done.stdout.splitlines()[-1]))


def _fill_up(folder: Path) -> Outcome:
    """On a disk that is mounted already, as `disk` in the folder."""
    service = rig.Service(folder / "disk")
    service.log = folder / "log"
    ballast = folder / "disk" / "ballast"
    ballast.write_bytes(bytes(BALLAST << 20))
    service.start()
    try:
        trial = _Trial(service)
        with rig.Writers(service, number=4) as writers:
            rig.wait_until(lambda: writers.refused.total() > 50, "The disk is never full.")
        trial.acknowledged |= writers.acknowledged
        trial.statuses += writers.refused
        trial.in_trouble(503)
        ballast.unlink()
        trial.recover()
        return trial.outcome("disk full")
    finally:
        service.stop()


# ---- a disk that fails ----------------------------------------------------------------------------------------------


@contextmanager
def _failing(service: rig.Service) -> Iterator[None]:
    """Every write of the workers to a file fails, which is what a limit of its size does."""
    for worker in service.workers():
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    yield
    for worker in service.workers():
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def failing(quick: bool = False) -> Outcome:
    return _tried("I/O errors", quick, _failing, 5)


# ---- locks of others ------------------------------------------------------------------------------------------------

_HOLD = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('BEGIN EXCLUSIVE'); print(flush=True); input()"


@contextmanager
def _locked(service: rig.Service) -> Iterator[None]:
    """As somebody's sqlite3 shell may leave it over lunch."""
    command = [sys.executable, "-c", _HOLD, str(service.file)]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert other.stdout
        other.stdout.readline()
        yield
    finally:
        other.communicate(b"\n")


def locked(quick: bool = False) -> Outcome:
    return _tried("locked by another program for 30 s", quick, _locked, 30)


_STOP = """import fcntl, signal, sys
file = open(sys.argv[1])
fcntl.flock(file, fcntl.LOCK_EX)
signal.raise_signal(signal.SIGSTOP)"""


@contextmanager
def _held(service: rig.Service) -> Iterator[None]:
    """By a process that was stopped while it was writing."""
    other = subprocess.Popen([sys.executable, "-c", _STOP, f"{service.file}-lock"])
    try:
        os.waitpid(other.pid, os.WUNTRACED)
        yield
    finally:
        other.send_signal(signal.SIGCONT)
        other.wait()


def held(quick: bool = False) -> Outcome:
    return _tried("write lock held by a stopped process for 30 s", quick, _held, 30)


# ---- the file -------------------------------------------------------------------------------------------------------


@contextmanager
def _gone(service: rig.Service) -> Iterator[None]:
    aside = service.file.with_name("aside")
    service.file.rename(aside)
    yield
    aside.rename(service.file)


def gone(quick: bool = False) -> Outcome:
    # Who has it open reads on; a thread that has not, because nobody called it before, can't.
    return _tried("database file moved away", quick, _gone, 5, readable=False)


@contextmanager
def _damaged(service: rig.Service) -> Iterator[None]:
    """Nonsense on each page behind the tokens, until the right bytes are there again."""
    with closing(sqlite3.connect(service.file)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        first = database.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'email'").fetchone()[0]
    places = range(first * PAGE, service.file.stat().st_size - PAGE, PAGE)
    with service.file.open("r+b", buffering=0) as file:
        good = [os.pread(file.fileno(), NONSENSE, at) for at in places]
        for at in places:
            os.pwrite(file.fileno(), b"\xa5" * NONSENSE, at)
        yield
        for at, data in zip(places, good, strict=True):
            os.pwrite(file.fileno(), data, at)


def damaged(quick: bool = False) -> Outcome:
    return _tried("database file damaged", quick, _damaged, 5, readable=False)


if __name__ == "__main__":
    print(json.dumps(asdict(_fill_up(Path(sys.argv[1])))))
