"""Failed logins: ten a minute from one address are answered 401, more 429; no valid token is ever concerned."""

import http.client
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from playhouse.test_utils import assert_query_count

import crm
import database
from app import create_app
from clock import stamp
from tests.samples import EMAILS, WITHIN, assert_error, serving
from web import tokens

ME = "/api/v1/users/me"
WRONG = {"Authorization": "Bearer bsc_wrong"}


def fail(client: Any, times: int = 1, remote: str = "192.0.2.1", forwarded: str | None = None) -> list[int]:
    """The statuses of so many failed logins."""
    headers = WRONG if forwarded is None else WRONG | {"X-Forwarded-For": forwarded}
    origin = {"REMOTE_ADDR": remote}
    return [client.get(ME, headers=headers, environ_base=origin).status_code for _ in range(times)]


def kept() -> Counter[tuple[str, int]]:
    """How many refusals are in the table, by address and status."""
    return Counter((row["address"], row["status"]) for row in tokens.list_refusals(limit=1_000_000))


def make_older(seconds: float) -> None:
    """All refusals that are in the table happened earlier."""
    with database.writing():
        for row in tokens.list_refusals(limit=1_000_000):
            at = stamp(datetime.fromisoformat(row["at"]) - timedelta(seconds=seconds))
            database.execute("UPDATE refusal SET at = ? WHERE seq = ?", [at, row["seq"]])


def test_the_eleventh_failure_of_a_minute_is_429(anonymous: Any) -> None:
    """In the one shape, with the seconds to wait (RFC 6585, 4)."""
    assert fail(anonymous, 10) == [401] * 10
    answer = anonymous.get(ME, headers=WRONG, environ_base={"REMOTE_ADDR": "192.0.2.1"})
    assert_error(answer, 429)
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert "WWW-Authenticate" not in answer.headers


def test_after_the_time_that_was_said_it_is_401_again(anonymous: Any) -> None:
    """Then as many as have left the minute, and no more."""
    fail(anonymous, 4)
    make_older(40)
    assert fail(anonymous, 7) == [401] * 6 + [429]
    answer = anonymous.get(ME, headers=WRONG, environ_base={"REMOTE_ADDR": "192.0.2.1"})
    seconds = int(answer.headers["Retry-After"])
    assert 1 <= seconds <= 20
    make_older(seconds)
    assert fail(anonymous, 6) == [401] * 4 + [429] * 2


@pytest.mark.parametrize("scope", ["sync", "admin"])
def test_a_valid_token_always_passes(app: Flask, anonymous: Any, scope: str) -> None:
    """BrightSync calls for all users from one address: one whose token was revoked does not stop the others."""
    headers = {"Authorization": f"Bearer {tokens.create('u1', scope)}"}
    origin = {"REMOTE_ADDR": "192.0.2.1"}
    assert fail(anonymous, 12)[-1] == 429
    assert anonymous.get(ME, headers=headers, environ_base=origin).status_code == 200
    assert anonymous.post(EMAILS, json={}, headers=headers, environ_base=origin).status_code == 201
    answer = anonymous.delete(f"{EMAILS}/1", headers=headers, environ_base=origin)
    assert answer.status_code == (403 if scope == "sync" else 204)
    assert fail(anonymous) == [429]


def test_a_valid_token_costs_nothing_more(client: Any, anonymous: Any) -> None:
    """The statement that finds out who calls, and no other."""
    fail(anonymous, 12)
    with assert_query_count(2):
        assert client.get(ME).status_code == 200


def test_a_call_without_a_token_is_no_failed_login(anonymous: Any) -> None:
    """Many clients show what they have only when they were asked for it, each time anew: they must be asked."""
    fail(anonymous, 12)
    before = kept()
    for _ in range(20):
        answer = anonymous.get(ME, environ_base={"REMOTE_ADDR": "192.0.2.1"})
        assert_error(answer, 401)
        assert "WWW-Authenticate" in answer.headers
    assert kept() == before


def test_every_kind_of_wrong_token_counts(app: Flask, anonymous: Any) -> None:
    """Malformed, unknown, revoked; as Bearer and by Basic; on any path."""
    token = tokens.create("u1")
    tokens.revoke(1)
    for authorization in ("x", "", "Basic !!!", "Basic eDp5", "Bearer", f"Bearer {token}"):
        for path in (ME, "/api/v1/nowhere"):
            anonymous.get(path, headers={"Authorization": authorization}, environ_base={"REMOTE_ADDR": "192.0.2.1"})
    assert fail(anonymous) == [429]


def test_outside_the_api_nothing_fails(anonymous: Any) -> None:
    """Whatever is shown to the health calls."""
    for _ in range(12):
        assert anonymous.get("/health/live", headers=WRONG).status_code == 200
    assert kept() == {}


# ---- who is one caller ----------------------------------------------------------------------------------------------


def test_addresses_are_counted_apart(anonymous: Any) -> None:
    """One that is refused does not stop another."""
    assert fail(anonymous, 11, "192.0.2.1")[-1] == 429
    assert fail(anonymous, 10, "192.0.2.2") == [401] * 10


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff"),
        ("2001:DB8:0:0::1", "2001:db8::2"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("", "unknown"),
    ],
)
def test_these_are_one_caller(anonymous: Any, one: str, same: str) -> None:
    """A /64 is what one customer gets of IPv6; and there is one bucket for what is no address."""
    assert fail(anonymous, 10, one) == [401] * 10
    assert fail(anonymous, 1, same) == [429]


def test_another_64_is_another_caller(anonymous: Any) -> None:
    """The next one is somebody else's."""
    fail(anonymous, 10, "2001:db8::1")
    assert fail(anonymous, 1, "2001:db8:0:1::1") == [401]


def test_x_forwarded_for_is_ignored_without_a_proxy(anonymous: Any) -> None:
    """Anybody could write another address there for each call."""
    for n in range(10):
        fail(anonymous, forwarded=f"198.51.100.{n}")
    assert kept() == {("192.0.2.1", 401): 10}


@pytest.mark.parametrize(
    ("proxies", "forwarded", "counted"),
    [
        (1, "198.51.100.7", "198.51.100.7"),
        (1, "203.0.113.1, 198.51.100.7", "198.51.100.7"),
        (2, "203.0.113.1, 198.51.100.7, 10.0.0.1", "198.51.100.7"),
        (1, "nonsense\x7f", "-"),
        (1, None, "192.0.2.1"),
        (2, "198.51.100.7", "192.0.2.1"),
    ],
)
def test_behind_proxies_the_caller_is_whom_they_name(
    url: str, proxies: int, forwarded: str | None, counted: str
) -> None:
    """The address that the farthest trusted proxy saw; what the caller wrote in front of it is not believed."""
    app = create_app({"DATABASE_URL": url, "TRUSTED_PROXIES": proxies})
    fail(app.test_client(), forwarded=forwarded)
    assert kept() == {(counted, 401): 1}
    database.stop()


# ---- what is written ------------------------------------------------------------------------------------------------


def test_an_attack_writes_eleven_rows_a_minute(anonymous: Any) -> None:
    """Ten failures, and that the address was told to wait; and it begins with what it costs to read them."""
    fail(anonymous, 50)
    assert kept() == {("192.0.2.1", 401): 10, ("192.0.2.1", 429): 1}
    with assert_query_count(2):
        assert fail(anonymous) == [429]


def test_what_others_count_meanwhile_counts(anonymous: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten more have failed between the moment a worker looked and its turn to write: its own is the eleventh."""
    write = database.writing

    @contextmanager
    def late(timeout: float) -> Iterator[None]:
        monkeypatch.setattr(tokens, "writing", write)
        fail(anonymous, 10)
        with write(timeout):
            yield

    monkeypatch.setattr(tokens, "writing", late)
    assert fail(anonymous) == [429]
    assert kept() == {("192.0.2.1", 401): 10, ("192.0.2.1", 429): 1}


def test_an_attack_from_everywhere_writes_no_more_than_a_hundred(anonymous: Any) -> None:
    """A minute; what comes then is refused without a row. A scope that is missing is kept all the same."""
    assert {status for n in range(30) for status in fail(anonymous, 5, f"192.0.2.{n}")} == {401}
    assert kept().total() == 100
    headers = {"Authorization": f"Bearer {tokens.create('u1', 'sync')}"}
    anonymous.delete(f"{EMAILS}/1", headers=headers)
    assert kept()["127.0.0.1", 403] == 1
    make_older(60)
    fail(anonymous, 11)
    assert kept().total() == 112


def test_a_token_s_missing_scope_is_kept_ten_times_a_minute(app: Flask, anonymous: Any) -> None:
    """Each token's by itself, and answered 403 every time."""
    for _ in range(2):
        headers = {"Authorization": f"Bearer {tokens.create('u1', 'sync')}"}
        assert {anonymous.delete(f"{EMAILS}/1", headers=headers).status_code for _ in range(15)} == {403}
    assert Counter(row["tokenId"] for row in tokens.list_refusals(limit=100)) == {1: 10, 2: 10}


def test_refusals_are_kept_for_their_days_and_no_more_than_their_number(
    anonymous: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest go as others come."""
    fail(anonymous, 3)
    make_older(tokens.KEPT_DAYS * 86_400)
    fail(anonymous, 4)
    assert [row["seq"] for row in tokens.list_refusals()] == [4, 5, 6, 7]
    monkeypatch.setattr(tokens, "KEPT", 3)
    fail(anonymous)
    assert [row["seq"] for row in tokens.list_refusals()] == [6, 7, 8]


def test_a_clock_that_was_put_back_locks_nobody_out(anonymous: Any) -> None:
    """What happens in the future does not count."""
    fail(anonymous, 11)
    make_older(-3600)
    assert fail(anonymous) == [401]


# ---- when the database can't ----------------------------------------------------------------------------------------


@pytest.mark.sqlite("its locks")
@pytest.mark.parametrize("holder", ["a writer of ours", "another program", "a reader of its own"])
def test_a_failed_login_waits_for_nobody(anonymous: Any, url: str, holder: str) -> None:
    """Who holds the lock of the writers does not make a thread wait for an attacker's call."""
    path = url.removeprefix("sqlite:///")
    handle = os.open(f"{path}-lock", os.O_RDWR)
    other = sqlite3.connect(path, isolation_level=None)
    if holder == "a writer of ours":
        flock(handle, LOCK_EX)
    elif holder == "another program":
        other.execute("BEGIN IMMEDIATE")
    else:
        other.execute("BEGIN EXCLUSIVE")
    try:
        begun = time.monotonic()
        assert fail(anonymous, 3) == [401] * 3
        assert time.monotonic() - begun < database.LOCK_TIMEOUT  # which is what one of them would have waited
    finally:
        other.close()
        os.close(handle)
    assert kept() == {}
    assert fail(anonymous, 11)[-1] == 429


@pytest.mark.sqlite("query_only")
def test_a_failed_login_is_401_where_nothing_can_be_written(
    anonymous: Any, sync: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor is a missing scope anything else than 403; the log says that they were not kept."""
    database.execute("PRAGMA query_only = 1")
    assert fail(anonymous, 12) == [401] * 12
    assert sync.delete(f"{EMAILS}/1").status_code == 403
    database.execute("PRAGMA query_only = 0")
    assert "could not be kept" in caplog.text
    assert kept() == {}


# ---- as it is served ------------------------------------------------------------------------------------------------


def test_all_workers_count_together_and_a_new_start_does_not_forget(tmp_path: Path) -> None:
    """Forty at once on three workers: ten are 401. Meanwhile and after a new start, a valid token passes."""
    database.start(f"sqlite:///{tmp_path}/connector.db")
    crm.add_user({"id": "u1", "orgId": "o", "name": None, "email": "j@crm.example", "timezone": "UTC"})
    valid = f"Bearer {tokens.create('u1')}"

    def status(port: int, authorization: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WITHIN)
        try:
            connection.request("GET", ME, headers={"Authorization": authorization})
            return connection.getresponse().status
        finally:
            connection.close()

    with serving(tmp_path, WORKERS=3, THREADS=2) as server, ThreadPoolExecutor(8) as pool:
        shown = [valid if n % 4 == 0 else f"Bearer wrong{n}" for n in range(56)]
        answers = list(pool.map(lambda authorization: status(server.port, authorization), shown))
        assert [answer for answer, what in zip(answers, shown, strict=True) if what == valid] == [200] * 14
        unkept = server.output.read_text().count("could not be kept")  # in a tenth of a second, on a slow disk
        assert Counter(answers) == {200: 14, 401: 10 + unkept, 429: 32 - unkept}
    assert kept() == {("127.0.0.1", 401): 10, ("127.0.0.1", 429): 1}
    with serving(tmp_path, WORKERS=3) as server:
        assert [status(server.port, "Bearer wrong") for _ in range(6)] == [429] * 6
        assert status(server.port, valid) == 200
    database.stop()
