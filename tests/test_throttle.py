"""Failed logins: ten a minute from one address are answered 401, more 429; no valid token is ever concerned."""

import http.client
import os
import sqlite3
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
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
from models import Refusal
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


class Clock:
    """The clock by which the throttle counts; it goes on when it is told to."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(tokens, "monotonic", found)
    return found


def test_the_eleventh_failure_of_a_minute_is_429(anonymous: Any) -> None:
    """In the one shape, with the seconds to wait (RFC 6585, 4)."""
    assert fail(anonymous, 10) == [401] * 10
    answer = anonymous.get(ME, headers=WRONG, environ_base={"REMOTE_ADDR": "192.0.2.1"})
    assert_error(answer, 429)
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert "WWW-Authenticate" not in answer.headers


def test_after_the_time_that_was_said_it_is_401_again(anonymous: Any, clock: Clock) -> None:
    """Ten more times, and no more."""
    fail(anonymous, 4)
    clock.ahead += 40
    assert fail(anonymous, 7) == [401] * 6 + [429]
    answer = anonymous.get(ME, headers=WRONG, environ_base={"REMOTE_ADDR": "192.0.2.1"})
    seconds = int(answer.headers["Retry-After"])
    assert 1 <= seconds <= 20
    clock.ahead += seconds
    assert fail(anonymous, 12) == [401] * 10 + [429] * 2


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
    """The statements that find out who calls, and no others."""
    fail(anonymous, 12)
    with assert_query_count(3):
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
    """Ten that are refused change nothing for an eleventh, and they stay refused."""
    attackers = [f"192.0.2.{n}" for n in range(1, 11)]
    for address in attackers:
        assert fail(anonymous, 11, address) == [401] * 10 + [429]
    assert fail(anonymous, 11, "192.0.2.99") == [401] * 10 + [429]
    assert {status for address in attackers for status in fail(anonymous, 1, address)} == {429}


def test_an_attack_from_everywhere_throttles_nobody_else(anonymous: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many addresses it has: what a process remembers of them is bounded, the longest silent are forgotten."""
    monkeypatch.setattr(tokens, "_MOST_KEYS", 50)
    assert {status for n in range(200) for status in fail(anonymous, 1, f"2001:db8:0:{n:x}::1")} == {401}
    brake = anonymous.application.extensions["brake"]
    assert len(brake._failed._counts) == len(brake._refused._counts) == 50
    assert fail(anonymous, 11, "192.0.2.99") == [401] * 10 + [429]


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
    assert kept() == {("192.0.2.1", 401): 2}  # the first and the tenth
    assert fail(anonymous, forwarded="198.51.100.99") == [429]


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


def test_of_many_refusals_a_sample_is_kept(anonymous: Any, clock: Clock) -> None:
    """The first of an address within an hour, the tenth, the hundredth; the others cost what it takes to read."""
    fail(anonymous, 100)
    rows = tokens.list_refusals()
    assert [(row["status"], row["times"]) for row in rows] == [(401, 1), (401, 10), (429, 100)]
    with assert_query_count(2):
        assert fail(anonymous) == [429]
    clock.ahead += 3600
    fail(anonymous, 2)
    assert [(row["status"], row["times"]) for row in tokens.list_refusals()[3:]] == [(401, 1)]


def test_an_address_of_ipv6_is_kept_as_its_64(anonymous: Any) -> None:
    """Which says as much about who it was."""
    fail(anonymous, 1, "2001:db8::1")
    assert kept() == {("2001:db8::/64", 401): 1}


def test_threads_count_together(app: Flask) -> None:
    """Of forty at once ten are 401."""
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: fail(app.test_client())[0], range(40)))
    assert Counter(statuses) == {401: 10, 429: 30}


def test_a_flood_writes_few_rows_and_does_not_make_the_audit_blind(app: Flask, anonymous: Any, clock: Clock) -> None:
    """What unknown tokens may write is bounded, at once and a day; those that are ours are kept all the same."""
    ours = tokens.create("u1", "sync")
    tokens.revoke(1)
    valid = {"Authorization": f"Bearer {tokens.create('u1', 'sync')}"}
    for n in range(300):
        fail(anonymous, 1, f"2001:db8:0:{n:x}::1")
    assert kept().total() == 20
    anonymous.get(ME, headers={"Authorization": f"Bearer {ours}"})
    anonymous.delete(f"{EMAILS}/1", headers=valid)
    assert [(row["status"], row["tokenId"]) for row in tokens.list_refusals(20)] == [(401, 1), (403, 2)]
    clock.ahead += 86_400  # the next day, hour by hour
    for n in range(24):
        clock.ahead += 3600
        for m in range(40):
            fail(anonymous, 1, f"2001:db8:{n}:{m:x}::1")
    assert tokens.A_DAY / 2 < kept().total() < 2 * tokens.A_DAY
    assert fail(anonymous, 1, "192.0.2.99") == [401]


def test_a_token_s_missing_scope_is_sampled_by_its_token(app: Flask, anonymous: Any) -> None:
    """Each token's by itself, and answered 403 every time."""
    for _ in range(2):
        headers = {"Authorization": f"Bearer {tokens.create('u1', 'sync')}"}
        assert {anonymous.delete(f"{EMAILS}/1", headers=headers).status_code for _ in range(15)} == {403}
    rows = [(row["tokenId"], row["status"], row["times"]) for row in tokens.list_refusals()]
    assert rows == [(1, 403, 1), (1, 403, 10), (2, 403, 1), (2, 403, 10)]


def keep_one() -> None:
    """A row of a refused call, as a process keeps that knows of no other."""
    tokens.Brake().refuse(401, "wrong", "192.0.2.1", "GET", "/")


def make_older(**ago: float) -> None:
    """All refusals that are in the table happened earlier."""
    with database.writing():
        for row in tokens.list_refusals(limit=1_000_000):
            at = stamp(datetime.fromisoformat(row["at"]) - timedelta(**ago))
            Refusal.update(at=at).where(Refusal.seq == row["seq"]).execute()


def test_refusals_are_kept_for_their_days_and_no_longer(app: Flask) -> None:
    """Ninety; the oldest go as others come."""
    for _ in range(3):
        keep_one()
    make_older(days=tokens.KEPT_DAYS, minutes=-1)
    keep_one()
    assert [row["seq"] for row in tokens.list_refusals()] == [1, 2, 3, 4]
    make_older(minutes=1)
    keep_one()
    assert [row["seq"] for row in tokens.list_refusals()] == [4, 5]


def test_no_flood_pushes_out_what_is_younger_than_its_days(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many rows as four processes can write in ninety days find room; the number is bounded all the same."""
    assert 4 * tokens.A_DAY * tokens.KEPT_DAYS <= tokens.KEPT
    monkeypatch.setattr(tokens, "KEPT", 3)
    for _ in range(5):
        keep_one()
    assert [row["seq"] for row in tokens.list_refusals()] == [3, 4, 5]


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
    assert fail(anonymous, 11) == [401] * 7 + [429] * 4
    assert kept() == {("192.0.2.1", 401): 1}  # the tenth


@pytest.mark.sqlite("query_only")
def test_a_failed_login_is_refused_where_nothing_can_be_written(
    anonymous: Any, sync: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor is a missing scope anything else than 403; the log says that they were not kept."""
    database.execute("PRAGMA query_only = 1")
    assert fail(anonymous, 12) == [401] * 10 + [429] * 2
    assert sync.delete(f"{EMAILS}/1").status_code == 403
    database.execute("PRAGMA query_only = 0")
    assert "could not be kept" in caplog.text
    assert kept() == {}


# ---- as it is served ------------------------------------------------------------------------------------------------


@pytest.mark.system
def test_each_worker_counts_and_a_valid_token_passes(tmp_path: Path) -> None:
    """Of forty-two at once on three workers at most ten each are 401. Meanwhile a valid token passes."""
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
    counted = Counter(answers)
    assert counted.keys() == {200, 401, 429}
    assert 10 <= counted[401] <= 30
    assert kept().total() <= 6  # the first and the tenth of each
    database.stop()
