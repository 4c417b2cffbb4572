"""A PostgreSQL whose synchronous standby is gone: nothing is acknowledged that only the primary has.

bench/faults/failover.py shows what that is good for.
"""

from collections.abc import Iterator
from threading import Event, Thread
from typing import Any

import psycopg
import pytest

import crm
import database
from app import create_app
from bench.faults.rig import wait_until
from tests.conftest import USER, Client
from tests.postgresql import Server
from tests.samples import EMAILS, MAIL, content
from web import tokens

_CANCEL = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One of its own, as it is told to wait for a standby."""
    server = Server()
    yield server
    server.remove()


@pytest.fixture
def client(server: Server) -> Iterator[Any]:
    """A client of the application on this server."""
    app = create_app({"DATABASE_URL": server.url})
    app.test_client_class = Client
    crm.add_user(USER)
    client: Any = app.test_client()
    client.token = tokens.create(USER["id"], "admin")
    yield client
    database.stop()


@pytest.fixture
def operator(server: Server) -> Iterator[psycopg.Connection]:
    """Who cancels whatever waits for the standby, as the server itself does after a time."""
    ended = Event()

    def cancel() -> None:
        with psycopg.connect(server.url, autocommit=True) as connection:
            while not ended.wait(0.02):
                connection.execute(_CANCEL)

    thread = Thread(target=cancel)
    thread.start()
    with psycopg.connect(server.url, autocommit=True) as connection:
        yield connection
    ended.set()
    thread.join()


def test_what_no_standby_has_is_not_acknowledged(client: Any, operator: psycopg.Connection) -> None:
    """Nor what was logged before and is only found here; as soon as nobody is waited for, it is."""
    operator.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    operator.execute("SELECT pg_reload_conf()")
    wait_until(lambda: client.post(EMAILS, json={}).status_code == 503, "It does not wait for the standby.")
    for _ in range(2):
        answer = client.post(EMAILS, json=MAIL)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert client.get("/health/ready").status_code == 503
    operator.execute("ALTER SYSTEM RESET synchronous_standby_names")
    operator.execute("SELECT pg_reload_conf()")
    wait_until(lambda: client.post(EMAILS, json=MAIL).status_code == 200, "It waits for the standby for ever.")
    assert [content(mail) for mail in client.get(EMAILS, query_string={"q": "offer"}).json] == [MAIL]
