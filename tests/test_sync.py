"""GET /sync, `flask sync`: what came with each user's token, counted without a call that waits for it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask

import database
from clock import stamp
from tests.conftest import USER
from tests.samples import EMAILS, MAIL
from web import activity, tokens
from web.activity import Activity

SYNC = "/api/v1/sync"
DAY = timedelta(days=1)


def state(client: Any) -> Any:
    """What the call says of the one user."""
    answer = client.get(SYNC)
    assert answer.status_code == 200
    [found] = answer.json
    return found


def write(days: int, call: str = activity.LOGGED, status: int = 201, user: str = USER["id"]) -> str:
    """Put down a call of so many days ago."""
    at = stamp(datetime.now(UTC) - days * DAY)
    with database.writing():
        values = {"day": at[:10], "user_id": user, "status": status, "call": call, "times": 1, "last_at": at}
        activity._ADD.run(**values)
    return at


def test_a_user_is_there_before_the_first_call(client: Any, sync: Any) -> None:
    """With nothing: it is what a monitor has to see."""
    found = state(client)
    assert found == {
        **{"userId": "u1", "email": USER["email"], "lastCall": None, "lastEmail": None, "refusals": []},
        **{"emailsToday": 0, "emails7Days": 0, "emails30Days": 0},
    }


def test_emails_and_calls_are_counted(client: Any, sync: Any) -> None:
    """A copy of an email that is here is one that was logged; another call is a call and no email."""
    sync.post(EMAILS, json=MAIL)
    logged = state(client)
    assert logged["lastEmail"] == logged["lastCall"]
    sync.post(EMAILS, json=MAIL)
    sync.get("/api/v1/users/me")
    found = state(client)
    assert (found["emailsToday"], found["emails7Days"], found["emails30Days"]) == (2, 2, 2)
    assert logged["lastEmail"] < found["lastEmail"] < found["lastCall"]


def test_refusals_are_told_by_reason(client: Any, sync: Any) -> None:
    """By the call's route, which names nobody."""
    for record in ("a", "b"):
        assert sync.get(f"/api/v1/contacts/{record}").status_code == 404
    sync.post(EMAILS, json={**MAIL, "toAddresses": 1})
    sync.post(EMAILS, data="{", content_type="application/json")
    sync.get(SYNC)
    sync.get("/api/v1/jane@acme.example")
    found = [(one["status"], one["call"], one["count"]) for one in state(client)["refusals"]]
    assert found == [
        (400, "POST /api/v1/emails", 1),
        (403, "GET /api/v1/sync", 1),
        (404, "GET -", 1),
        (404, "GET /api/v1/contacts/{id}", 2),
        (422, "POST /api/v1/emails", 1),
    ]
    assert state(client)["emailsToday"] == 0


def test_the_crms_own_calls_are_not_counted(client: Any, sync: Any, anonymous: Any) -> None:
    """Nor those without a valid token, which are in `flask audit`."""
    client.post(EMAILS, json=MAIL)
    client.get("/api/v1/contacts/none")
    anonymous.get(EMAILS, headers={"Authorization": "Bearer bsc_wrong"})
    assert state(client)["lastCall"] is None


def test_days_are_added_up(client: Any, sync: Any) -> None:
    """Today, in seven days with today, in thirty; what is older still says when the last one was."""
    oldest = write(200)
    assert (state(client)["lastEmail"], state(client)["emails30Days"]) == (oldest, 0)
    for days in (29, 7, 6, 0):
        write(days)
    write(0, call="")
    write(40, call="GET -", status=404)
    found = state(client)
    assert (found["emailsToday"], found["emails7Days"], found["emails30Days"]) == (1, 2, 4)
    assert found["refusals"] == []


def test_only_users_with_a_valid_sync_token_are_there(app: Flask, client: Any) -> None:
    """Others can't log what is missed."""
    write(0)
    assert client.get(SYNC).json == []
    tokens.create("u1", days=0)
    tokens.create("gone")
    assert client.get(SYNC).json == []
    tokens.create("u1")
    tokens.revoke(tokens.listed()[-1]["id"])
    assert client.get(SYNC).json == []


def test_a_call_counts_once_whatever_processes_count(client: Any, sync: Any) -> None:
    """Each adds to what others have written."""
    for _ in range(2):
        process = Activity(None)
        process.count("u1", 201, activity.LOGGED)
        process.count("u1", 200, activity.LOGGED)
        process.flush()
        process.flush()
    assert state(client)["emailsToday"] == 4


def test_what_can_not_be_written_is_kept(app: Flask, client: Any, sync: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No call fails for it, and the next one that writes has it all."""

    def locked(*_: Any) -> Any:
        raise database.Unavailable[0]

    with monkeypatch.context() as patch:
        patch.setattr(activity, "writing", locked)
        assert sync.get("/api/v1/users/me").status_code == 200
        assert state(client)["lastCall"] is None
        assert sync.get("/api/v1/users/me").status_code == 200
    sync.post(EMAILS, json=MAIL)
    assert state(client)["lastCall"]
    rows = activity._DAYS(user_id="u1")
    assert sorted(row[4] for row in rows) == [1, 2]


def test_a_thread_writes_after_some_seconds(client: Any, sync: Any, app: Flask) -> None:
    """Without a further call."""
    own = Activity(0.01)
    own.count("u1", 201, activity.LOGGED)
    while not activity._DAYS(user_id="u1"):
        database.release()
    own.count("u1", 201, activity.LOGGED)
    while activity._DAYS(user_id="u1")[0][4] != 2:
        database.release()


def test_what_is_old_goes(client: Any, sync: Any) -> None:
    """With the next that is written."""
    write(activity.KEPT_DAYS + 1)
    sync.get("/api/v1/users/me")
    state(client)
    assert len(activity._DAYS(user_id="u1")) == 1


def silent(app: Flask, hours: str = "24h") -> Any:
    """What the monitor sees: the exit status and what was said."""
    result = app.test_cli_runner().invoke(args=["sync", "--silent-for", hours])
    return result.exit_code, result.stdout


def test_the_command_shows_it(app: Flask, client: Any, sync: Any) -> None:
    """A line a user, and one for each reason."""
    sync.post(EMAILS, json=MAIL)
    sync.post(EMAILS, json=[])
    state(client)
    result = app.test_cli_runner().invoke(args=["sync"])
    head, user, refused = result.stdout.splitlines()
    assert head.split() == ["user", "last", "call", "last", "email", "today", "7", "days", "30", "days"]
    assert user.split()[0] == USER["email"]
    assert "refused: 422 POST /api/v1/emails, 1 times" in refused


def test_a_monitor_is_told_who_is_silent(app: Flask, client: Any, sync: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the last email; but not of a token that was made since."""
    assert silent(app) == (0, "")
    with monkeypatch.context() as patch:
        patch.setattr(tokens, "now", lambda: stamp(datetime.now(UTC) - 3 * DAY))
        tokens.create("u1")
    tokens.revoke(2)  # the one of `sync`
    assert silent(app) == (1, f"No email for so long: {USER['email']}\n")
    assert silent(app, "4d") == (0, "")
    write(2)
    assert [silent(app, one)[0] for one in ("24h", "1d", "49h", "3d")] == [1, 1, 0, 0]
    write(0, status=422)
    assert silent(app)[0] == 1
    write(0, status=200)
    assert silent(app) == (0, "")


@pytest.mark.parametrize("wrong", ["", "24", "h", "0h", "1w", "-1h", "1.5h", "999999d"])
def test_a_time_that_can_not_be_read_gets_a_sentence(app: Flask, wrong: str) -> None:
    """With what it should be like."""
    result = app.test_cli_runner().invoke(args=["sync", "--silent-for", wrong])
    assert result.exit_code == 2
    assert "90m, 24h or 3d" in result.output


def test_counts_go_with_an_erased_user(app: Flask, client: Any, sync: Any) -> None:
    """Also of one whose id is the address."""
    write(0)
    write(0, user="jane@acme.example")
    held = app.test_cli_runner().invoke(args=["person", "export", "jane@acme.example"]).stdout
    assert '"activity": [' in held
    assert '"userId": "jane@acme.example"' in held
    app.test_cli_runner().invoke(args=["person", "erase", "jane@acme.example"])
    assert not activity._DAYS(user_id="jane@acme.example")
    app.test_cli_runner().invoke(args=["person", "erase", USER["email"]])
    assert not activity._DAYS(user_id="u1")
