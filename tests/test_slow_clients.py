"""Clients that drip: what a service on the internet meets first, and what the proxy of docs/deploy.md is for."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any

import pytest

from tests.proxy import NAME, Proxy, needs_nginx, proxied
from tests.samples import EMAILS, WITHIN, Server, serving

LARGE = 16 * 1024 * 1024  # more than the sockets' buffers hold


class Dripping:
    """A client that takes all the time there is, and comes back when it is thrown out."""

    def __init__(self, port: int, tls: ssl.SSLContext | None, said: str, reads: bool = False) -> None:
        self.address, self.tls, self.said, self.reads = ("127.0.0.1", port), tls, said.encode(), reads
        self.connect()

    def connect(self) -> None:
        self.connection: Any = socket.socket()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.connection.settimeout(WITHIN)
        self.connection.connect(self.address)
        if self.tls:
            self.connection = self.tls.wrap_socket(self.connection, server_hostname=NAME)
        self.connection.sendall(self.said)

    def go_on(self) -> None:
        """One byte."""
        try:
            if not (self.connection.recv(1) if self.reads else self.connection.send(b"1")):
                raise ConnectionResetError
        except OSError:
            self.connection.close()
            with suppress(OSError):
                self.connect()


def heads(token: str, path: str) -> dict[str, str]:
    """What a client says at once; the rest of it drips."""
    post = f"POST {EMAILS} HTTP/1.1\r\nHost: {NAME}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json"
    return {
        "nothing": "",
        "header": f"GET {EMAILS} HTTP/1.1\r\nHost: {NAME}\r\nX-Drip: ",
        "body": f"{post}\r\nContent-Length: 1000000\r\n\r\n",
        "chunked": f"{post}\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n",
        "answer": f"GET {path} HTTP/1.1\r\nHost: {NAME}\r\nAuthorization: Bearer {token}\r\n\r\n",
    }


@contextmanager
def dripping(clients: list[Dripping]) -> Iterator[None]:
    """All of them at once, until the end of the block."""
    done = threading.Event()

    def drip() -> None:
        while not done.wait(0.1):
            for client in clients:
                client.go_on()

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(WITHIN)
        for client in clients:
            client.connection.close()


def probe(connection: HTTPConnection, token: str) -> tuple[int, float]:
    """Status of a small call, and the seconds that it took."""
    began = time.monotonic()
    connection.request("GET", "/api/v1/users/me", headers={"Authorization": f"Bearer {token}", "Host": NAME})
    answer = connection.getresponse()
    answer.read()
    return answer.status, time.monotonic() - began


def log_large(connection: HTTPConnection, token: str) -> str:
    """The path of a mail that is larger than what a connection holds by itself."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Host": NAME}
    connection.request("POST", EMAILS, b'{"textBody": "%s"}' % (b"x" * LARGE), headers)
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 201
    return answer.headers["Location"]


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """nginx and a connector with fewer threads than most."""
    with proxied(tmp_path_factory.mktemp("slow"), WORKERS=1, THREADS=2) as running:
        yield running


@needs_nginx
def test_two_hundred_slow_clients_stop_nobody_behind_the_proxy(proxy: Proxy) -> None:
    """They drip headers, bodies and chunks, read drop by drop or say nothing: a call takes less than a second."""
    tls, token = proxy.tls, proxy.server.token
    with closing(HTTPSConnection(NAME, proxy.port, timeout=WITHIN, context=tls)) as connection:
        connection._create_connection = lambda *_: socket.create_connection(("127.0.0.1", proxy.port))  # type: ignore[attr-defined]
        said = heads(token, log_large(connection, token))
        many = {"nothing": 26, "header": 64, "body": 64, "chunked": 40, "answer": 6}
        assert sum(many.values()) == 200
        clients = [Dripping(proxy.port, tls, said[kind], kind == "answer") for kind in many for _ in range(many[kind])]
        with dripping(clients):
            answers = []
            for n in range(400):
                if n % 10 == 0:
                    connection.close()  # and connects anew
                answers.append(probe(connection, token))
    assert {status for status, _ in answers} == {200}
    assert sorted(seconds for _, seconds in answers)[int(len(answers) * 0.99)] < 1


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Server]:
    """gunicorn without a proxy, with two threads in all."""
    with serving(tmp_path, WORKERS=1, THREADS=2) as running:
        yield running


@pytest.mark.parametrize("kind", ["header", "body", "chunked", "answer"])
def test_without_a_proxy_as_many_slow_clients_as_threads_stop_it(bare: Server, kind: str) -> None:
    """One fewer don't, and it goes on when they are gone: so a proxy belongs in front of a public address."""

    def answered(within: float) -> bool:
        try:
            with closing(HTTPConnection("127.0.0.1", bare.port, timeout=within)) as connection:
                return probe(connection, bare.token)[0] == 200
        except TimeoutError:
            return False

    with closing(HTTPConnection("127.0.0.1", bare.port, timeout=WITHIN)) as connection:
        said = heads(bare.token, log_large(connection, bare.token))[kind]
    slow = [Dripping(bare.port, None, said, kind == "answer")]
    with dripping(slow):
        assert answered(WITHIN)
        slow.append(Dripping(bare.port, None, said, kind == "answer"))
        deadline = time.monotonic() + WITHIN
        while answered(0.5):  # until both are served, as it were
            assert time.monotonic() < deadline
    assert answered(WITHIN)
