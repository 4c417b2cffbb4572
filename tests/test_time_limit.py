"""A search that takes too long is broken off, and nothing else on its connection is."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
from flask import Flask

import database
import store.emails
from database import TookTooLong, time_limit
from tests.samples import assert_error

ENDLESS = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
LONG = ENDLESS.replace("FROM n)", "FROM n WHERE x < 100000)")


def test_an_endless_query_ends(app: Flask) -> None:
    with pytest.raises(TookTooLong), time_limit(0.05):
        database.rows(ENDLESS)
    assert database.rows(LONG) == [(100_000,)]


def test_nothing_is_limited_afterwards(app: Flask) -> None:
    with time_limit(0.001):
        database.rows("SELECT 1")
    assert database.rows(LONG) == [(100_000,)]


def test_another_error_stays_what_it_is(app: Flask) -> None:
    with pytest.raises(ZeroDivisionError), time_limit(1):
        raise ZeroDivisionError
    with pytest.raises(database.Unavailable), time_limit(1):
        raise database.Unavailable[0]("database is locked")


@pytest.mark.parametrize("prefixes", [1, 30])
def test_a_search_of_many_words_is_broken_off(client: Any, monkeypatch: pytest.MonkeyPatch, prefixes: int) -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    for number in range(20):
        body = " ".join(f"{letter}{number * 37 + n}" for letter in letters for n in range(100))
        assert client.post("/api/v1/emails", json={"textBody": body}).status_code == 201
    query = "%20".join(f"{letter}*" for letter in letters[:prefixes])
    assert len(client.get(f"/api/v1/emails?q={query}").json) == 20
    monkeypatch.setattr(store.emails, "SEARCH_TIMEOUT", 0.001)
    monkeypatch.setattr("database.sqlite._LOOKED_AT", 1)
    assert client.get(f"/api/v1/emails?q={query}").status_code in (200, 422)
    monkeypatch.undo()
    assert len(client.get(f"/api/v1/emails?q={query}").json) == 20


def test_a_search_is_limited_and_nothing_else(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def broken_off(seconds: float) -> Iterator[None]:
        with time_limit(0.05):
            database.rows(ENDLESS)
            yield

    monkeypatch.setattr(store.emails, "time_limit", broken_off)
    answer = client.get("/api/v1/emails?q=offer")
    assert_error(answer, 422)
    assert "too long" in answer.json["message"]
    assert client.get("/api/v1/emails?address=jane@acme.example").json == []


@pytest.mark.parametrize("path", ["emails?q=offer", "emails?address=jane@acme.example&contactId=1"])
def test_some_searches_at_a_time(client: Any, path: str) -> None:
    """The others are told to come back, and no other call waits for one."""
    while store.emails._SEARCHES.acquire(blocking=False):
        pass
    try:
        answer = client.get(f"/api/v1/{path}")
        assert_error(answer, 503)
        assert answer.headers["Retry-After"]
        assert client.get("/api/v1/emails?address=jane@acme.example").status_code == 200
    finally:
        store.emails._SEARCHES.release(2)
    assert client.get(f"/api/v1/{path}").status_code == 200


@pytest.mark.sqlite("its search index")
def test_emails_that_wait_for_the_index_are_looked_through_within_the_limit(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where many wait, a search is broken off; the next one goes on where it ended."""
    monkeypatch.setattr(store.emails, "catch_up", lambda new: None)
    for number in range(20):
        client.post("/api/v1/emails", json={"subject": f"offer {number}"})
    monkeypatch.setattr(store.emails, "SEARCH_TIMEOUT", 0)
    monkeypatch.setattr(store.emails, "time_limit", lambda seconds: nullcontext())
    answers = [client.get("/api/v1/emails?q=offer&limit=100") for _ in range(20)]
    assert_error(answers[0], 422)
    monkeypatch.undo()
    assert len(client.get("/api/v1/emails?q=offer&limit=100").json) == 20
