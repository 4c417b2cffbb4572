"""How long ordinary emails wait while somebody attacks: `python -m bench.attack [FOLDER]`.

For each attack a server is started on a new database, as it is served, with two workers: of this project, or of the
one in FOLDER, which may be an older commit. Two attackers send hostile calls, one behind the other, while 20 ordinary
emails a second are logged; an email's time runs from the moment at which it was due. Prints Markdown.
"""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from itertools import cycle
from multiprocessing import get_context
from pathlib import Path
from signal import SIGKILL
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from urllib.parse import quote

V1 = "/api/v1"
EMAILS = f"{V1}/emails"
A_SECOND = 20  # ordinary emails
SECONDS = 10  # of each attack
CLIENT_TIMEOUT = 30  # seconds that a client waits for an answer
LARGEST = 36 * 2**20 - 100  # bytes

Call = tuple[str, str, bytes]


def post(**email: Any) -> Call:
    return "POST", EMAILS, json.dumps(email, ensure_ascii=False).encode()


def filled(field: str, written: str) -> Call:
    """An email of 36 MiB, one field of which is this again and again, as it is written in JSON."""
    text = written.encode()
    return "POST", EMAILS, b'{"%s":"%s"}' % (field.encode(), text * (LARGEST // len(text)))


def patches() -> list[Call]:
    """Links for emails with much HTML that is hard to read, which are logged first."""
    hard = [post(htmlBody=piece * (45_000 // len(piece))) for piece in (" ", '"', "<a b=c ", "&#x41;")]
    links = [
        ("PATCH", f"{EMAILS}/{n}", b'{"relatedTo":[{"type":"Deal","id":%d}]}' % k)
        for k in range(9)
        for n in range(1, 9)
    ]
    return [*hard, *links]


MARKS = "\u0301\u0323"
ATTACKS: dict[str, Callable[[], list[Call]]] = {
    "none": list,
    "HTML, 200 kB: spaces, quotes": lambda: [post(htmlBody=one * 200_000) for one in (" ", '"', "'")],
    "HTML, 1 MB: nested tags, attributes, entities": lambda: [
        post(htmlBody=one * (1_000_000 // len(one)))
        for one in ("<div>", "<a b=c ", "&#x41;", "<b><i>", "<!--", '="', "<p ")
    ],
    "addresses, 160 kB of combining marks": lambda: [
        post(toAddresses=[MARKS * 80_000 + "@a.example", "a@" + MARKS * 80_000], fromAddress=MARKS * 80_000)
    ],
    "20,000 addresses, 300 characters each": lambda: [post(toAddresses=["a@" + "é" * 300] * 19_000)],
    "36 MiB: text": lambda: [filled("textBody", one) for one in ("a ", "\\u00e9", "\\ud800", "한", '\\",')],
    "36 MiB: HTML": lambda: [filled("htmlBody", one) for one in (" ", "<b>", "<", "&amp;", "<a b=c ")],
    "PATCH of 45 kB of HTML": patches,
    "searches, 32 prefixes": lambda: [
        ("GET", f"{EMAILS}?q=" + quote(" ".join(f"{c}*" for c in "abcdefghijklmnopqrstuvwxyz")), b"")
    ],
}


class Server(NamedTuple):
    port: int
    token: str

    def ask(self, call: Call) -> int:
        """The status of the answer; 0 for none."""
        method, path, body = call
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=CLIENT_TIMEOUT)) as connection:
            try:
                connection.request(method, path, body or None, headers)
                answer = connection.getresponse()
                answer.read()
                return answer.status
            except (OSError, HTTPException):
                return 0


@contextmanager
def serving(project: Path) -> Iterator[Server]:
    """The connector of a folder on a new database."""
    with TemporaryDirectory() as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
        probe.close()
        output = Path(folder, "output")
        environment = {"PORT": str(port), "WORKERS": "2", "DATABASE_URL": f"sqlite:///{folder}/connector.db"}
        module = "commands" if (project / "commands").is_dir() else "cli"
        process = subprocess.Popen(
            [sys.executable, "-m", module, "serve"],
            cwd=project,
            env=os.environ | environment,
            stdout=subprocess.DEVNULL,
            stderr=output.open("wb"),
            start_new_session=True,
        )
        try:
            until = time.monotonic() + CLIENT_TIMEOUT
            while (
                not (token := re.search(r"bsc_\w+", output.read_text()))
                or Server(port, token[0]).ask(("GET", "/health/ready", b"")) != 200
            ):
                if time.monotonic() > until or process.poll() is not None:
                    raise SystemExit(f"The server does not start: {output.read_text()}")
                time.sleep(0.1)
            yield Server(port, token[0])
        finally:
            os.killpg(process.pid, SIGKILL)  # it may be in no state to end by itself
            process.wait()


def attack(server: Server, calls: list[Call], until: float) -> None:
    for call in cycle(calls):
        if time.monotonic() > until:
            break
        server.ask(call)


def measure(server: Server, calls: list[Call]) -> tuple[list[float], int]:
    """The seconds that each ordinary email took, and how many were not logged."""
    begun = time.monotonic() + 0.5
    until = begun + SECONDS
    fork = get_context("fork")
    attackers = [
        fork.Process(target=attack, args=(server, calls, until), daemon=True) for _ in range(2 if calls else 0)
    ]
    for attacker in attackers:
        attacker.start()

    def log(n: int) -> tuple[float, bool]:
        due = begun + n / A_SECOND
        time.sleep(max(0.0, due - time.monotonic()))
        email = post(
            rfc822MsgId=f"<{n}@ordinary.example>",
            subject=f"Offer {n}",
            fromAddress="Jane Doe <jane@acme.example>",
            toAddresses=["john@brightsync.example"],
            textBody="Dear John, see the offer. " * 40,
            htmlBody="<p>Dear <b>John</b>, see the offer.</p>" * 40,
        )
        logged = server.ask(email) == 201
        return time.monotonic() - due, logged

    with ThreadPoolExecutor(A_SECOND * SECONDS) as clients:
        found = list(clients.map(log, range(A_SECOND * SECONDS)))
    for attacker in attackers:
        attacker.kill()
        attacker.join()
    return sorted(taken for taken, _ in found), sum(not logged for _, logged in found)


def main() -> None:
    project = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent).resolve()
    print("| attack | median ms | p99 ms | slowest ms | not logged |\n|---|---|---|---|---|", flush=True)
    for name, make in ATTACKS.items():
        with serving(project) as server:
            times, lost = measure(server, make())
            middle, late, last = (times[min(len(times) - 1, len(times) * part // 100)] * 1000 for part in (50, 99, 100))
            print(f"| {name} | {middle:,.0f} | {late:,.0f} | {last:,.0f} | {lost} of {len(times)} |", flush=True)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
