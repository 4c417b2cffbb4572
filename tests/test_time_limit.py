"""A search that takes too long is broken off, and nothing else on its connection is."""

from collections.abc import Iterator
from contextlib import contextmanager
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
