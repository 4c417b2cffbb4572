"""`flask retention`: how long emails are kept."""

import json
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

import crm
from crm.retention import cutoff
from tests.samples import EMAILS, MAIL, log

OLD, NEW = "2001-01-01T00:00:00Z", "2999-01-01T00:00:00Z"


def run(app: Flask, *words: str) -> Any:
    """What a command does."""
    return app.test_cli_runner().invoke(args=["retention", *words])


def receipt(app: Flask, *words: str) -> Any:
    """What a run says that it has removed."""
    return json.loads(run(app, "run", *words).stdout)


@pytest.fixture
def ids(client: Any) -> dict[str, str]:
    """Emails of several times."""
    mails: dict[str, dict[str, Any]] = {
        "old": MAIL | {"receivedAt": OLD, "relatedTo": []},
        "linked": {"receivedAt": OLD, "relatedTo": {"type": "Deal", "id": 1}},
        "new": {"receivedAt": NEW},
        "without a time": {"subject": "now"},
    }
    return {name: log(client, **mail)["id"] for name, mail in mails.items()}


def test_what_is_past_its_time_goes_as_by_delete(app: Flask, client: Any, ids: dict[str, str]) -> None:
    """A receipt names it, the feed tells of it, and a copy of it stays away."""
    assert run(app, "set", "--after", "3y").output == "`retention run` removes emails after 3y.\n"
    dry = receipt(app, "--dry-run")
    assert (dry["after"], dry["keepLinked"], dry["dryRun"]) == ("3y", False, True)
    assert dry["before"] == cutoff("3y", dry["at"])
    assert client.get(f"{EMAILS}/{ids['old']}").status_code == 200
    done = receipt(app)
    assert (done["dryRun"], done["emails"]) == (False, [ids["old"], ids["linked"]])
    assert done["emails"] == dry["emails"]
    assert [email["id"] for email in client.get(EMAILS).json] == [ids["new"], ids["without a time"]]
    feed = [one["id"] for one in client.get("/api/v1/changes").json if one["action"] == "deleted"]
    assert feed == done["emails"]
    assert [(one["id"], one["reason"]) for one in crm.list_withheld()] == [(ids["old"], "retention")]
    assert log(client, **MAIL | {"receivedAt": OLD})["subject"] is None
    assert len(receipt(app)["emails"]) == 1  # that record
    assert receipt(app)["emails"] == []


def test_what_is_linked_may_stay(app: Flask, client: Any, ids: dict[str, str]) -> None:
    """What has a relatedTo."""
    assert "but for those with a relatedTo" in run(app, "set", "--after", "1200m", "--keep-linked").output
    assert receipt(app)["emails"] == []
    run(app, "set", "--after", "20y", "--keep-linked")
    assert receipt(app, "--dry-run")["emails"] == receipt(app)["emails"] == [ids["old"]]
    assert client.get(f"{EMAILS}/{ids['linked']}").status_code == 200


def test_all_are_kept_where_nothing_is_set(app: Flask, client: Any, ids: dict[str, str]) -> None:
    """A timer may run all the same."""
    assert run(app, "show").output == "All emails are kept.\n"
    assert receipt(app)["emails"] == []
    run(app, "set", "--after", "1d")
    assert run(app, "off").output == run(app, "show").output == "All emails are kept.\n"
    done = receipt(app)
    assert (done["after"], done["before"], done["emails"]) == (None, None, [])
    assert len(client.get(EMAILS).json) == 4


@pytest.mark.parametrize("after", ["", "3", "0d", "-1d", "3w", "3 y", "1.5y", "101y", "1201m", "36501d", "٣y", "3y\n"])
def test_what_is_no_time_gets_a_sentence(app: Flask, after: str) -> None:
    """And what was set stays."""
    crm.set_retention("3y", True)
    assert run(app, "set", "--after", after).exit_code == 1
    assert crm.get_retention() == ("3y", True)


@pytest.mark.parametrize(
    ("after", "before"),
    [
        ("1d", "2024-02-28"),
        ("1y", "2023-02-28"),
        ("4y", "2020-02-29"),
        ("12m", "2023-02-28"),
        ("2m", "2023-12-29"),
        ("100y", "1924-02-29"),
    ],
)
def test_months_and_years_are_those_of_the_calendar(after: str, before: str) -> None:
    """Of a month that is shorter, its last day."""
    assert cutoff(after, "2024-02-29T12:00:00.000001Z") == f"{before}T12:00:00.000001Z"


def test_many_go_in_several_transactions_and_others_write_in_between(
    app: Flask, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has some of them; what is changed meanwhile is not overlooked by the next run."""
    ids = [log(client, subject=f"{n}", receivedAt=OLD)["id"] for n in range(150)]
    pauses: list[int] = []

    def others_write() -> None:
        pauses.append(log(client, subject="meanwhile")["id"])
        client.patch(f"{EMAILS}/{ids[-1]}", json={"receivedAt": NEW})

    monkeypatch.setattr("crm.seam.let_others_write", others_write)
    crm.set_retention("3y")
    assert crm.run_retention()["emails"] == ids[:-1]
    assert len(pauses) >= 5
    assert client.get(f"{EMAILS}/{ids[-1]}").status_code == 200


@pytest.mark.sqlite("it reads the file")
def test_nothing_is_left_in_the_file(app: Flask, client: Any, tmp_path: Path) -> None:
    """Nor in the search index."""
    for number in range(60):
        log(client, receivedAt=OLD if number % 2 else NEW, subject="hushhush" if number % 2 else "here")
    crm.set_retention("3y")
    assert len(crm.run_retention()["emails"]) == 30
    assert [file.name for file in tmp_path.glob("connector.db*") if b"hushhush" in file.read_bytes()] == []
    assert client.get(f"{EMAILS}?q=hushhush").json == []
