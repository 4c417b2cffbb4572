"""What faults have in common: a service to be killed, those who log mail meanwhile, and a look at what is left."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Any

import crm
import database
from commands.consistency import problems
from web import tokens

PROJECT = Path(__file__).parent.parent.parent
WITHIN = 60  # seconds, after which something counts as stuck
V1 = "/api/v1"
USER = {"id": "u1", "orgId": "o", "name": "John Smith", "email": "john@crm.example", "timezone": "UTC"}


def mail(name: str) -> dict[str, Any]:
    """A mail made up from its name, as it is sent and as it has to come back."""
    random = Random(name)
    large = 200 if random.random() < 0.02 else 1  # some take a while to arrive
    text = " ".join(random.choices(["offer", "price", "delivery", "thanks", "tomorrow", name], k=150))
    people = [f"Person {n} <person{n}@company{n % 20}.example>" for n in random.sample(range(1000), 6)]
    return {
        "msgId": f"copy-{name}",
        "syncThreadId": f"thread-{random.randrange(500)}",
        "inReplyTo": None,
        "receivedAt": f"2026-01-{random.randint(1, 28):02}T09:30:00.000000Z",
        "rfc822MsgId": f"<{name}@mail.example>",
        "subject": f"Offer {name}",
        "fromAddress": people[0],
        "fromName": "Jane Doe",
        "toAddresses": people[1:4],
        "ccAddresses": people[4:],
        "bccAddresses": [USER["email"]],
        "textBody": text,
        "htmlBody": "".join(f"<p>{text}</p>" for _ in range(3)),
        "attachments": [{"id": "1", "name": "a.bin", "content": b64encode(random.randbytes(1500 * large)).decode()}],
        "relatedTo": [{"type": "Contact", "id": str(random.randrange(100))}, {"type": "Deal", "id": name}],
    }


# ---- the service ----------------------------------------------------------------------------------------------------


class Service:
    """`python -m commands serve` on one database and one port, for as many lives as it takes.

    The database is a file in the folder, or that of the URL.
    """

    def __init__(self, folder: Path, url: str | None = None) -> None:
        self.file = folder / "connector.db"
        self.url = url or f"sqlite:///{self.file}"
        self.port = port()
        self.log = folder / "log"
        self.environment = os.environ | {"DATABASE_URL": self.url, "PORT": str(self.port)}
        database.start(self.url)
        if not crm.lookup_users([USER["email"]]):  # another service may have been here first
            crm.add_user(USER)
        self.token = tokens.create(USER["id"], "admin")
        database.stop()

    def start(self) -> float:
        """Start it, and wait until it answers; gives the seconds that it took."""
        began = time.monotonic()
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "commands", "serve"]
            self.process = subprocess.Popen(command, cwd=PROJECT, env=self.environment, stdout=log, stderr=log)
        wait_until(self._answers, "It does not start.")
        return time.monotonic() - began

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            raise SystemExit(f"It does not start: {self.log.read_text()[-2000:]}")
        try:  # only a master that has the port has workers; without them, what answers is left from an earlier life
            with closing(Connection(self)) as connection:
                return bool(self.workers()) and connection.ask("GET", "/health/ready")[0] == 200
        except Unanswered:
            return False

    def workers(self) -> list[int]:
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def stop(self) -> None:
        """End it as a service manager does."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(WITHIN)


@contextmanager
def service(url: str | None = None) -> Iterator[Service]:
    """A service on a new database, or that of the URL, from its first answer to the end of the block."""
    with TemporaryDirectory(prefix="faults-") as folder:
        new = Service(Path(folder), url)
        new.start()
        try:
            yield new
        finally:
            new.stop()


def port() -> int:
    """A free one, of those that the system gives to nobody else while the service is down."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        number = Random().randrange(lowest - 10_000, lowest)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", number)):
                return number


def is_running(pid: int) -> bool:
    """Whether there is such a process, which has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def kill(*pids: int) -> None:
    """`kill -9`; those that are gone already are no matter."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def wait_until(condition: Callable[[], bool], complaint: str) -> float:
    """Gives the seconds until the condition held. Raises TimeoutError with the complaint after WITHIN."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > WITHIN:
            raise TimeoutError(complaint)
        time.sleep(0.01)
    return time.monotonic() - began


# ---- those who call -------------------------------------------------------------------------------------------------


class Unanswered(Exception):
    """No whole answer came. How far it got is the argument.

    "refused": nobody listened. "new": the request was on its way on a connection that had just been taken.
    "kept": it was, on one that had served before, and the server may have closed it before it came.
    """


class Connection:
    """A connection that is kept for as long as the server keeps it, and opened again."""

    def __init__(self, service: Service) -> None:
        self._http = HTTPConnection("127.0.0.1", service.port, timeout=WITHIN)
        self._headers = {"Authorization": f"Bearer {service.token}", "Content-Type": "application/json"}

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, bytes]:
        """Status and body of the answer. Raises Unanswered."""
        got = "kept"
        try:
            if self._http.sock is None:
                got = "refused"
                self._http.connect()
                got = "new"
            text = body if isinstance(body, bytes | None) else json.dumps(body).encode()
            self._http.request(method, path, text, self._headers | headers)
            answer = self._http.getresponse()
            return answer.status, answer.read()
        except (OSError, HTTPException) as error:
            self._http.close()
            raise Unanswered(got) from error

    def close(self) -> None:
        self._http.close()


class Writers:
    """Threads, each of which logs one mail after the other as BrightSync does, for the time of a `with` block.

    Mail that was not answered, or with 503, is sent again, but for every third, of which nobody will ever know.
    """

    def __init__(self, service: Service, number: int = 8, pause: float = 0.0) -> None:
        self.acknowledged: dict[str, str] = {}  # the mail's name: the record's id
        self.refused: Counter[int] = Counter()  # answers other than 200 and 201, by status
        self.unanswered: Counter[str] = Counter()  # by what Unanswered says
        self.silence = 0.0  # the longest time, in seconds, in which nothing was acknowledged
        self._service, self._pause, self._stop = service, pause, Event()
        self._threads = [Thread(target=self._write, args=(n,)) for n in range(number)]

    def __enter__(self) -> "Writers":
        self._latest = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, number: int) -> None:
        """Until so many more were acknowledged."""
        enough = len(self.acknowledged) + number
        try:
            wait_until(lambda: len(self.acknowledged) >= enough, "The writers get no answers")
        except TimeoutError as error:
            raise TimeoutError(f"{error}: {self.refused}, {self.unanswered}.") from None

    def _write(self, writer: int) -> None:
        connection, number = Connection(self._service), 0
        while not self._stop.wait(self._pause):
            number += 1
            self._log(connection, f"{writer}-{number}", give_up=number % 3 == 0)
        connection.close()

    def _log(self, connection: Connection, name: str, give_up: bool) -> None:
        sent = mail(name)
        while True:
            try:
                status, body = connection.ask("POST", f"{V1}/emails", sent)
            except Unanswered as error:
                self.unanswered[str(error)] += 1
                if self._stop.is_set() or (give_up and str(error) != "refused"):
                    return
                time.sleep(0.02)
                continue
            if status in (200, 201):
                self.acknowledged[name] = json.loads(body)["id"]
                before, self._latest = self._latest, time.monotonic()
                self.silence = max(self.silence, self._latest - before)
                return
            self.refused[status] += 1
            if status != 503 or give_up or self._stop.wait(0.02):
                return


def stuck(service: Service, workers: list[int]) -> list[str]:
    """Sentences, unless the workers are still there, and twenty who write at once all answered: more than threads."""

    def write(number: int) -> str:
        with closing(Connection(service)) as connection:
            try:
                status = connection.ask("POST", f"{V1}/emails", mail(f"afterwards-{number}"))[0]
            except Unanswered as error:
                return f"afterwards a write on a {error} connection is not answered"
        return "" if status == 201 else f"afterwards a write is answered with {status}"

    with ThreadPoolExecutor(20) as threads:
        found = [sentence for sentence in threads.map(write, range(20)) if sentence]
    return found if set(workers) <= set(service.workers()) else [*found, "a worker was replaced"]


# ---- what is left ---------------------------------------------------------------------------------------------------


def missing(url: str, acknowledged: dict[str, str]) -> tuple[int, list[str]]:
    """How many of the acknowledged mails are not in the database under their ids, and what else is wrong with it.

    Each mail in it has to be as it was sent, also those of which nobody had an answer.
    """
    database.start(url)
    try:
        wrong = problems()
        kept = {}
        for row_id, message_id in database.rows("SELECT id, rfc822_msg_id FROM email"):
            name, record = message_id[1:].partition("@")[0], crm.get_email(str(row_id))
            kept[name] = record["id"]
            if {**record, **mail(name)} != record:
                wrong.append(f"mail {row_id} is not as it was sent")
    finally:
        database.stop()
    lost = sum(kept.get(name) != record_id for name, record_id in acknowledged.items())
    return lost, wrong
