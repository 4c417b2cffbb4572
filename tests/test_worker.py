"""The process that gunicorn forks to answer (worker.py): who waits for whom, and when a connection ends."""

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from fcntl import LOCK_EX, flock
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from threading import Thread

import pytest

from commands.serve import FIRST_USER
from tests.samples import EMAILS, PROJECT, WITHIN, Server, ask, environment, serving

KEEPALIVE = 5  # seconds, in gunicorn.conf.py
THREADS = 3


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One worker, with fewer threads than these tests have connections."""
    with serving(tmp_path_factory.mktemp("worker"), THREADS=THREADS) as running:
        yield running


@pytest.fixture
def ending(tmp_path: Path) -> Iterator[Server]:
    """The same, for a test that ends it."""
    with serving(tmp_path, THREADS=THREADS) as running:
        yield running


def connected(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), WITHIN)


def request(path: str = "/health/live", more: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n".encode()


def read_answer(connection: socket.socket) -> HTTPResponse:
    answer = HTTPResponse(connection)
    answer.begin()
    answer.read()
    return answer


def test_a_call_that_waits_for_the_write_lock_keeps_nobody_waiting(server: Server) -> None:
    """Others are answered beside it, and the thread that was added for it stops: time after time."""
    lock_file = server.output.with_name("connector.db-lock")
    for n in range(20):
        with lock_file.open() as lock:
            flock(lock, LOCK_EX)
            answers: list[int] = []

            def write(answers: list[int] = answers) -> None:
                answers.append(ask(server, "POST", EMAILS, b"{}")[0])

            writers = [Thread(target=write) for _ in range(THREADS - 1)]
            for writer in writers:
                writer.start()
            time.sleep(0.01 * (n % 3))
            assert [ask(server, "GET", EMAILS)[0] for _ in range(3)] == [200] * 3
            assert answers == []
        for writer in writers:
            writer.join(WITHIN)
        assert answers == [201] * len(writers)


def test_connections_without_a_request_take_no_thread(server: Server) -> None:
    """However many: those who say nothing, those who have half a line in mind, those between two requests."""
    with ExitStack() as stack:
        silent = [stack.enter_context(connected(server)) for _ in range(5 * THREADS)]
        kept = [stack.enter_context(connected(server)) for _ in range(5 * THREADS)]
        for _ in range(3):
            for connection in kept:
                connection.sendall(request())
            assert [read_answer(connection).status for connection in kept] == [200] * len(kept)
        for connection in silent:
            connection.sendall(request())
        assert [read_answer(connection).status for connection in silent] == [200] * len(silent)


def test_requests_that_are_sent_at_once_are_answered_in_their_order(server: Server) -> None:
    """HTTP/1.1 allows it (RFC 9112, 9.3.2); what came with the one before makes no socket readable."""
    with closing(connected(server)) as connection:
        connection.settimeout(KEEPALIVE - 1)  # not only when it is looked at as one that is silent
        last = request("/jane", "Connection: close\r\n")
        connection.sendall(request() + request("/nowhere") + request("/health/ready") + last)
        answers = b"".join(iter(lambda: connection.recv(65536), b""))
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200", b"404", b"200", b"404"]


@pytest.mark.parametrize(
    "asked", [request(more="Connection: close\r\n"), b"GET /health/live HTTP/1.0\r\n\r\n", b"no HTTP\r\n\r\n"]
)
def test_a_connection_is_closed_where_http_wants_it(server: Server, asked: bytes) -> None:
    """Said in the answer, and then done."""
    with closing(connected(server)) as connection:
        connection.sendall(asked)
        assert read_answer(connection).headers["Connection"] == "close"
        assert connection.recv(1) == b""


def test_a_connection_that_is_silent_for_too_long_is_closed(server: Server) -> None:
    """From the start, or after an answer; not one that was used meanwhile."""
    with closing(connected(server)) as silent, closing(connected(server)) as once, closing(connected(server)) as used:
        for connection in (once, used):
            connection.sendall(request())
            assert read_answer(connection).status == 200
        began = time.monotonic()
        for connection in (silent, once):
            while True:
                used.sendall(request())
                assert read_answer(used).status == 200
                connection.settimeout(0.5)
                try:
                    assert connection.recv(1) == b""
                    break
                except TimeoutError:
                    assert time.monotonic() < began + WITHIN
        assert time.monotonic() - began > KEEPALIVE - 1


def test_who_is_connected_as_the_worker_ends_is_still_answered(ending: Server) -> None:
    """A request on a connection that is kept, and on a new one that had said nothing yet; both are told to close."""
    with closing(connected(ending)) as kept, closing(connected(ending)) as new:
        kept.sendall(request())
        assert read_answer(kept).headers["Connection"] == "keep-alive"
        ending.process.terminate()
        time.sleep(0.5)
        for connection in (kept, new):
            connection.sendall(request())
            answer = read_answer(connection)
            assert (answer.status, answer.headers["Connection"]) == (200, "close")
    began = time.monotonic()
    ending.process.wait(WITHIN)
    assert time.monotonic() < began + KEEPALIVE


def test_idle_connections_do_not_keep_a_worker_from_ending(ending: Server) -> None:
    """They are waited for as long as a request may be on its way."""
    with closing(connected(ending)) as kept, closing(connected(ending)):
        kept.sendall(request())
        read_answer(kept)
        began = time.monotonic()
        ending.process.terminate()
        assert kept.recv(1) == b""
        assert time.monotonic() < began + KEEPALIVE  # for the rest a busy machine may take its time
        ending.process.wait(WITHIN)


def test_one_thread_is_enough(tmp_path: Path) -> None:
    """Nobody is there to relieve it, and nobody needs to."""
    with serving(tmp_path, THREADS=1) as server, closing(HTTPConnection("127.0.0.1", server.port)) as connection:
        for _ in range(3):
            connection.request("GET", "/health/ready")
            assert connection.getresponse().read()
        assert ask(server, "POST", EMAILS, b"{}")[0] == 201


def test_what_was_counted_is_kept_when_it_ends(tmp_path: Path) -> None:
    """By each worker, though all end in one moment, and long before they would have written it down."""
    with serving(tmp_path, WORKERS=2) as running:

        def command(*words: str) -> str:
            done = subprocess.run(
                [sys.executable, "-m", "commands", *words], cwd=PROJECT, env=environment(tmp_path), capture_output=True
            )
            return done.stdout.decode()

        token = command("token", "create", FIRST_USER).strip()
        for _ in range(20):
            with closing(HTTPConnection("127.0.0.1", running.port)) as connection:
                connection.request("GET", "/api/v1/contacts/none", headers={"Authorization": f"Bearer {token}"})
                assert connection.getresponse().status == 404
    assert "refused: 404 GET /api/v1/contacts/{id}, 20 times" in command("sync")
