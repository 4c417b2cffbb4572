"""What several tests need: a server as it is served, sample records, and the one shape of errors."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPMessage
from pathlib import Path
from random import Random, SystemRandom
from typing import Any, NamedTuple

PROJECT = Path(__file__).parent.parent
WITHIN = 30  # seconds, after which a process of a test counts as stuck

JANE = {"firstName": "Jane", "lastName": "Doe", "emailAddresses": ["jane@acme.example"]}
ACME = {"name": "Acme Ltd", "domains": ["acme.example"]}


class Server(NamedTuple):
    """A server that answers: where, with which admin token, and what it has printed so far.

    `output` is its standard error, `requests` its standard output.
    """

    port: int
    token: str
    output: Path
    requests: Path
    process: "subprocess.Popen[bytes]"


def assert_error(response: Any, status: int) -> dict[str, Any]:
    """The answer is an error of this status in the one shape; gives its body."""
    assert response.status_code == status, response.text
    assert response.content_type == "application/json"
    body: dict[str, Any] = response.json
    assert body.keys() == {"code", "status", "message", "errors"}
    assert body["code"] == status
    assert response.status == f"{status} {body['status'].upper()}"
    assert isinstance(body["message"], str)
    assert isinstance(body["errors"], dict)
    return body


def new_random() -> Random:
    """Random numbers that differ in each run; what fails shows the seed, and `SEED=…` gives the same ones again."""
    seed = int(os.environ.get("SEED", SystemRandom().getrandbits(32)))
    print(f"SEED={seed}")  # noqa: T201
    return Random(seed)


def free_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(folder: Path, **settings: object) -> dict[str, str]:
    """The environment of a process of its own, on a database in the folder."""
    chosen: dict[str, object] = {"DATABASE_URL": f"sqlite:///{folder}/connector.db", "WORKERS": 1, **settings}
    return os.environ | {name: str(value) for name, value in chosen.items()}


def run_command(folder: Path, *words: str, **settings: object) -> "subprocess.CompletedProcess[str]":
    """A command that ran to its end, in a process of its own, on a database in the folder."""
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=PROJECT,
        env=environment(folder, **settings),
        capture_output=True,
        text=True,
        timeout=WITHIN,
        check=False,
    )


@contextmanager
def serving(folder: Path, *command: str, **settings: object) -> Iterator[Server]:
    """A command (`commands serve`, if none is given) on a database in the folder, from its first answer to the end of
    the block."""
    port = free_port()
    output, requests = folder / f"output-{port}", folder / f"requests-{port}"
    with output.open("wb") as errors, requests.open("wb") as lines:
        process = subprocess.Popen(
            [sys.executable, "-m", *(command or ("commands", "serve"))],
            cwd=PROJECT,
            env=environment(folder, **{"PORT": port, **settings}),
            stdout=lines,
            stderr=errors,
        )
        try:
            host = str(settings.get("HOST", "127.0.0.1"))
            wait_until_it_listens(host, port, process, output)
            if not command or command[0] == "commands":
                until(lambda: "Booting worker" in output.read_text())  # by then it has shown its token
            shown = re.search(r"bsc_\w+", output.read_text())
            yield Server(port, shown[0] if shown else "", output, requests, process)
        finally:
            process.terminate()
            try:
                process.wait(WITHIN)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(WITHIN)


def ask(
    server: Server, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, HTTPMessage, bytes]:
    """Status, headers and body of the answer to a call with the admin token; `_` in a header's name is a hyphen."""
    named = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=WITHIN)) as connection:
        connection.request(method, path, body, named)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()


def until(condition: Callable[[], Any]) -> Any:
    """What the condition gives, as soon as it is true."""
    deadline = time.monotonic() + WITHIN
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def wait_until_it_listens(host: str, port: int, process: "subprocess.Popen[bytes]", output: Path) -> None:
    deadline = time.monotonic() + WITHIN
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection((host, port), timeout=WITHIN).close()
            return
        except OSError:
            time.sleep(0.02)
    raise AssertionError(f"The server does not answer. {output.read_text()}")


# ---- mail -----------------------------------------------------------------------------------------------------------

MAIL: dict[str, Any] = {
    "msgId": "18c2f0a9d1e4",
    "syncThreadId": "18c2f0a9d1e0",
    "inReplyTo": "<first@acme.example>",
    "receivedAt": "2026-01-31T09:30:00.000000Z",
    "rfc822MsgId": "<hello@acme.example>",
    "subject": "Offer 4711",
    "fromAddress": "jane@acme.example",
    "fromName": "Jane Doe",
    "toAddresses": ["John <john@brightsync.example>", "carol@brightsync.example"],
    "ccAddresses": ["dave@acme.example"],
    "bccAddresses": ["erin@acme.example"],
    "textBody": "Dear John,\r\nsee the offer attached.\r\n",
    "htmlBody": "<p>Dear John,</p><p>see the offer attached.</p>",
    "attachments": [{"id": "1", "name": "offer.pdf", "mimeType": "application/pdf", "size": 8, "inline": False}],
    "relatedTo": [{"type": "Contact", "id": "42"}],
}

# What is returned of a mail of which nothing is known.
NO_MAIL: dict[str, Any] = {name: [] if isinstance(value, list) else None for name, value in MAIL.items()}

EMAILS = "/api/v1/emails"


def log(client: Any, **fields: Any) -> dict[str, Any]:
    """Log a mail; gives the record."""
    answer = client.post(EMAILS, json=fields)
    assert answer.status_code in (200, 201), answer.text
    record: dict[str, Any] = answer.json
    return record


def content(record: dict[str, Any]) -> dict[str, Any]:
    """A mail's record without what the connector itself has put there."""
    return {name: value for name, value in record.items() if name not in ("id", "createdAt", "updatedAt")}


def pages(client: Any, path: str) -> Iterator[list[dict[str, Any]]]:
    """The pages of a list, from the first, by the links that lead from each to the next."""
    following: str | None = path
    while following:
        answer = client.get(following)
        assert answer.status_code == 200, answer.text
        yield answer.json
        link = re.fullmatch(r'<(\S+)>; rel="next"', answer.headers.get("Link", ""))
        following = link[1] if link else None
