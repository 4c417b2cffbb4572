"""Times move on: no change has the time of one before, whatever the clocks say, so `updatedSince` misses nothing."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from threading import Thread, local
from typing import Any

import pytest

import clock
import database
from tests.samples import ACME, JANE

V1 = "/api/v1"


@pytest.fixture
def tell(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], datetime]], None]:
    """Puts another clock in the place of the computer's."""

    def put(moment: Callable[[], datetime]) -> None:
        monkeypatch.setattr(clock, "now", lambda: clock.stamp(moment()))

    return put


def changes(client: Any) -> Iterator[list[str]]:
    """The times that each kind of change gives: as the record has them, then as the feed does."""

    def ask(method: str, path: str, body: Any = None) -> Any:
        answer = client.open(f"{V1}{path}", method=method, json=body)
        assert answer.status_code < 300, answer.text
        return answer.get_json(silent=True)

    company = ask("POST", "/companies", ACME)
    contact = ask("POST", "/contacts", JANE | {"companyId": company["id"]})
    email = ask("POST", "/emails", {"rfc822MsgId": "1"})
    yield [company["createdAt"], contact["createdAt"], email["createdAt"]]
    yield [ask("PATCH", f"/contacts/{contact['id']}", {"lastName": "Roe"})["updatedAt"]]
    yield [ask("PATCH", f"/emails/{email['id']}", {"subject": "Hello"})["updatedAt"]]
    yield [ask("POST", "/emails", {"rfc822MsgId": "1", "textBody": "Hello"})["updatedAt"]]
    yield [ask("PUT", f"/companies/{company['id']}", {"name": "Roe"})["updatedAt"]]
    ask("DELETE", f"/companies/{company['id']}")
    contact = ask("GET", f"/contacts/{contact['id']}")
    yield [contact["updatedAt"], *[one["at"] for one in ask("GET", "/changes?limit=100")][-1:]]
    ask("DELETE", f"/contacts/{contact['id']}")
    ask("DELETE", f"/emails/{email['id']}")
    yield [one["at"] for one in ask("GET", "/changes?limit=100")][-2:]


@pytest.mark.parametrize("backwards", [0, 1, 3600])
def test_no_change_has_the_time_of_one_before(client: Any, tell: Any, backwards: int) -> None:
    """Where the clock stands still, and where it is set back before each change."""
    moments = iter(range(1000))
    start = datetime.now(UTC)
    tell(lambda: start - timedelta(seconds=backwards * next(moments)))
    seen = [moment for part in changes(client) for moment in part]
    assert all(one < another for one, another in pairwise(seen))
    assert [one["at"] for one in client.get(f"{V1}/changes?limit=100").json] == seen


def test_who_keeps_the_last_time_misses_nothing_of_two_servers(client: Any, tell: Any) -> None:
    """The clocks of two that write to one database differ by 20 ms; a reader asks on from the last updatedAt."""
    mine = local()
    tell(lambda: datetime.now(UTC) + timedelta(milliseconds=getattr(mine, "skew", 0)))

    def write(skew: int) -> None:
        mine.skew = skew
        for n in range(30):
            assert (
                client.application.test_client()
                .put(f"{V1}/contacts/{skew}-{n}", json=JANE, headers={"Authorization": f"Bearer {client.token}"})
                .status_code
                == 201
            )
        database.stop()

    writers = [Thread(target=write, args=(skew,)) for skew in (0, 20)]
    for writer in writers:
        writer.start()
    seen, since, left = set(), "", 2
    while left:
        left = left if any(writer.is_alive() for writer in writers) else left - 1  # once more after their end
        page = client.get(f"{V1}/contacts?limit=100" + (f"&updatedSince={since}" if since else "")).json
        seen |= {one["id"] for one in page}
        since = page[-1]["updatedAt"] if page else since
    assert len(seen) == 60
