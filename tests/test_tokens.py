"""Tokens: how they look, what is stored of them, when they end."""

import re
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from flask import Flask

import crm
import database
from clock import stamp
from tests.conftest import USER
from tests.test_lock_held import lock_held_elsewhere
from web import tokens


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets the time by which tokens end: days from now."""

    def set_to(days: float) -> None:
        monkeypatch.setattr(tokens, "now", lambda: stamp(datetime.now(UTC) + timedelta(days=days)))

    return set_to


def test_a_token_has_a_prefix_and_178_random_bits(app: Flask) -> None:
    """bsc_ makes a leaked one easy to find; letters and digits can be selected with a double click."""
    made = [tokens.create("u1") for _ in range(50)]
    assert all(re.fullmatch(r"bsc_[0-9A-Za-z]{30}", token) for token in made)
    assert len({token[4:10] for token in made}) == 50


def test_a_token_tells_its_user_and_scope(app: Flask) -> None:
    """An admin may do what sync may."""
    sync, admin = (tokens.authenticate(tokens.create("u1", scope)) for scope in ("sync", "admin"))
    assert sync is not None
    assert admin is not None
    assert (sync.user_id, sync.scopes) == ("u1", {"sync"})
    assert (admin.user_id, admin.scopes) == ("u1", {"sync", "admin"})


def test_a_mistyped_token_is_refused(app: Flask) -> None:
    """One with a wrong letter, with two that changed places, with one too few or too many."""
    token = tokens.create("u1")
    other = {place: "x" if token[place] != "x" else "y" for place in range(len(token))}
    wrong = [token[:place] + other[place] + token[place + 1 :] for place in range(len(token))]
    swapped = [token[:n] + token[n + 1] + token[n] + token[n + 2 :] for n in range(4, 33) if token[n] != token[n + 1]]
    for text in [
        *wrong,
        *swapped,
        token[:-1],
        token + "x",
        token[1:],
        token[4:],
        token.swapcase(),
        "bsc_",
        "bsc_é",
        "",
    ]:
        assert tokens.authenticate(text) is None


def test_a_token_that_was_made_up_is_refused(app: Flask) -> None:
    """It looks like one of ours, and is not in the database."""
    assert tokens.authenticate(tokens.PREFIX + "0" * 30) is None


@pytest.mark.sqlite("it reads the file")
def test_only_the_sha256_of_a_token_is_stored(app: Flask, tmp_path: Path) -> None:
    """Who reads the database, or a backup of it, can't call with it."""
    token = tokens.create("u1", "admin", "for the CRM")
    assert database.rows("SELECT sha256 FROM token") == [(sha256(token.encode()).hexdigest(),)]
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"for the CRM" in stored
    assert token[4:24].encode() not in stored


def test_a_token_ends_after_its_days(app: Flask, clock: Any) -> None:
    """Not before."""
    token = tokens.create("u1", days=30)
    clock(29.99)
    assert tokens.authenticate(token) is not None
    clock(30.01)
    assert tokens.authenticate(token) is None


def test_a_token_without_days_never_ends(app: Flask, clock: Any) -> None:
    """A connection that stops one night, years from now, is nobody's wish."""
    token = tokens.create("u1")
    clock(36_500)
    assert tokens.authenticate(token) is not None


def test_a_revoked_token_ends_at_once_and_no_other(app: Flask) -> None:
    """Once; revoking again, or what is not there, changes nothing."""
    first, second = tokens.create("u1"), tokens.create("u1")
    assert tokens.revoke(1)
    assert tokens.authenticate(first) is None
    assert tokens.authenticate(second) is not None
    ended = tokens.listed()
    assert not tokens.revoke(1)
    assert not tokens.revoke(3)
    assert tokens.listed() == ended


def test_a_running_server_notices_a_token_that_was_revoked(sync: Any) -> None:
    """There is no cache in which it lives on."""
    assert sync.get("/api/v1/users/me").status_code == 200
    tokens.revoke(1)
    assert sync.get("/api/v1/users/me").status_code == 401


def test_a_token_ends_with_its_user(app: Flask, sync: Any) -> None:
    """At once; one of a user who was never there opens nothing either."""
    assert tokens.authenticate(tokens.create("never there")) is None
    other = tokens.create(crm.add_user({**USER, "id": "u2", "email": "carol@brightsync.example"})["id"])
    crm.remove_user("u1")
    assert sync.get("/api/v1/users/me").status_code == 401
    crm.add_user(USER)
    assert sync.get("/api/v1/users/me").status_code == 401  # also where a user comes back
    assert tokens.authenticate(other) is not None


def test_the_list_shows_all_but_the_tokens_themselves(app: Flask) -> None:
    """Whose, what for, from when to when."""
    token = tokens.create("u1", "admin", "for the CRM", 30)
    tokens.create("u2")
    tokens.revoke(2)
    first, second = tokens.listed()
    assert first.keys() == {"id", "userId", "scope", "label", "createdAt", "expiresAt", "revokedAt", "lastUsedAt"}
    assert (first["id"], first["userId"], first["scope"], first["label"]) == (1, "u1", "admin", "for the CRM")
    days = datetime.fromisoformat(first["expiresAt"]) - datetime.fromisoformat(first["createdAt"])
    assert round(days / timedelta(days=1), 3) == 30
    assert first["revokedAt"] is None
    assert (second["scope"], second["label"], second["expiresAt"]) == ("sync", None, None)
    assert second["revokedAt"] >= second["createdAt"]
    assert token[4:] not in str(tokens.listed())


def test_a_call_leaves_when_its_token_was_used(
    app: Flask, client: Any, sync: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once an hour, with what was counted; a call that is refused is no use."""

    def last_used() -> list[str | None]:
        app.extensions["activity"].flush()
        return [token["lastUsedAt"] for token in tokens.listed()]

    assert last_used() == [None, None]
    sync.get("/api/v1/users/me")
    admin, first = last_used()
    assert admin is None
    assert first is not None
    sync.get("/api/v1/users/me")
    assert last_used() == [None, first]
    moment = monotonic() + 3600
    monkeypatch.setattr("web.activity.monotonic", lambda: moment)
    sync.get("/api/v1/users/me")
    assert (last_used()[1] or "") > first
    client.get("/api/v1/nowhere")
    assert last_used()[0] is not None
    client.token = tokens.create("nobody")
    client.get("/api/v1/users/me")
    assert last_used()[2] is None


def test_nobody_waits_to_keep_when_a_token_was_used(app: Flask, sync: Any, url: str) -> None:
    """While others write it is left for later."""
    assert sync.get("/api/v1/users/me").status_code == 200
    with lock_held_elsewhere(url):
        app.extensions["activity"].flush()
        assert tokens.listed()[0]["lastUsedAt"] is None
    app.extensions["activity"].flush()
    assert tokens.listed()[0]["lastUsedAt"] is not None
