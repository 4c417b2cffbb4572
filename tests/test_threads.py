"""GET /threads: conversations; GET /threads/{id}: the emails of one."""

from itertools import permutations
from typing import Any

import pytest

from tests.samples import EMAILS, assert_error, log, pages

THREADS = "/api/v1/threads"


def day(number: int) -> dict[str, str]:
    return {"receivedAt": f"2026-01-{number:02}T00:00:00.000000Z"}


def shown(client: Any, query: str = "") -> list[list[str]]:
    """The ids of the emails of each thread, in the order of the list."""
    answer = client.get(THREADS + query)
    assert answer.status_code == 200, answer.text
    found = [[one["id"] for one in client.get(f"{THREADS}/{thread['id']}").json] for thread in answer.json]
    assert [thread["count"] for thread in answer.json] == [len(ids) for ids in found]
    return found


def test_a_thread_says_what_it_is_about_and_who_takes_part(client: Any) -> None:
    """The subject of its first mail, the addresses of its newest ones, how many there are, and from when to when."""
    answer = log(client, syncThreadId="t", subject="Re: Offer", fromAddress="John <JOHN@b.example>", **day(2))
    first = log(client, syncThreadId="t", subject="Offer", toAddresses=["john@b.example", "jane@a.example"], **day(1))
    [thread] = client.get(THREADS).json
    times = {"firstAt": day(1)["receivedAt"], "lastAt": day(2)["receivedAt"]}
    people = {"participants": ["jane@a.example", "john@b.example"]}
    assert thread == {"id": first["id"], "subject": "Offer", **people, "count": 2, **times}
    entries = client.get(f"{THREADS}/{answer['id']}").json  # by any of its mails
    assert [entry["subject"] for entry in entries] == ["Offer", "Re: Offer"]
    assert {"snippet", "hasAttachments"} <= entries[0].keys()
    assert not {"textBody", "roles"} & entries[0].keys()


CHAIN: list[dict[str, Any]] = [
    {"rfc822MsgId": "<1@a>"},
    {"rfc822MsgId": "<2@a>", "inReplyTo": "<1@a>"},
    {"rfc822MsgId": "<3@a>", "inReplyTo": "2@a"},
]


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("root", [{}, {"syncThreadId": "t"}, {"inReplyTo": "<0@a>"}])
def test_answers_belong_to_what_they_answer_whichever_comes_first(
    client: Any, order: tuple[int, ...], root: dict[str, str]
) -> None:
    """Where they have no syncThreadId of their own, as has what was imported."""
    mails = [CHAIN[0] | root, *CHAIN[1:]]
    ids = {n: log(client, **mails[n], **day(n + 1))["id"] for n in order}
    log(client, inReplyTo="<4@a>")
    log(client, rfc822MsgId="<5@a>", inReplyTo="<1@a>", syncThreadId="other")
    assert [ids[n] for n in range(3)] in shown(client)
    assert len(shown(client)) == 3


def test_threads_follow_changes(client: Any) -> None:
    """A mail that is given a thread, another parent, or that goes; one that is withheld is in none."""
    one, two = log(client, rfc822MsgId="<1@a>", **day(1)), log(client, inReplyTo="<1@a>", **day(2))
    three = log(client, syncThreadId="t", **day(3))
    assert shown(client) == [[three["id"]], [one["id"], two["id"]]]
    client.patch(f"{EMAILS}/{one['id']}", json={"syncThreadId": "t"})
    assert shown(client) == [[one["id"], two["id"], three["id"]]]
    client.patch(f"{EMAILS}/{two['id']}", json={"inReplyTo": None, "receivedAt": "2026-02-01T00:00:00Z"})
    assert shown(client) == [[two["id"]], [one["id"], three["id"]]]
    client.delete(f"{EMAILS}/{one['id']}")
    again = client.post(EMAILS, json={"rfc822MsgId": "<1@a>"}).json
    assert shown(client) == [[two["id"]], [three["id"]]]
    assert_error(client.get(f"{THREADS}/{again['id']}"), 404)
    assert [mail["id"] for mail in client.get(f"{EMAILS}?syncThreadId=t").json] == [three["id"]]


def test_the_threads_of_a_contact_and_of_a_company(client: Any) -> None:
    """By address, domain and link; each once, in the order of their own last mail in it."""
    client.put("/api/v1/companies/acme", json={"domains": ["a.example"]})
    client.put("/api/v1/contacts/jane", json={"emailAddresses": ["jane@home.example"], "companyId": "acme"})
    one = [log(client, syncThreadId="1", fromAddress="jane@home.example", **day(n))["id"] for n in (1, 2)]
    two = [log(client, syncThreadId="2", toAddresses=["joe@a.example"], **day(3))["id"]]
    three = [log(client, syncThreadId="3", relatedTo={"type": "Contact", "id": "jane"}, **day(n))["id"] for n in (4, 5)]
    log(client, syncThreadId="4", fromAddress="x@b.example", **day(6))
    one.append(log(client, syncThreadId="1", fromAddress="x@b.example", **day(7))["id"])
    assert shown(client, "?contactId=jane") == [three, one]
    assert shown(client, "?companyId=acme") == [three, two, one]
    assert [len(page) for page in pages(client, f"{THREADS}?companyId=acme&limit=1")] == [1, 1, 1]
    for query in ("?contactId=nobody", "?companyId=nobody", "?contactId=", "?companyId="):
        assert shown(client, query) == []
    assert_error(client.get(f"{THREADS}?companyId=acme&contactId=jane"), 422)


def test_pages_lose_and_repeat_nothing(client: Any) -> None:
    """Newest last mail first, while mail is being logged; and the mails of a thread, oldest first."""
    ids: dict[str, list[str]] = {}
    for n in range(40):
        ids.setdefault(f"t{n % 9}", []).append(log(client, syncThreadId=f"t{n % 9}", **day(n // 4 + 1))["id"])
    expected = [mails[0] for mails in sorted(ids.values(), key=lambda mails: int(mails[-1]), reverse=True)]
    seen = []
    for page in pages(client, f"{THREADS}?limit=2"):
        seen += [thread["id"] for thread in page]
        log(client, syncThreadId="new", receivedAt="2027-01-01T00:00:00Z")
    assert seen == expected
    mails = [mail["id"] for page in pages(client, f"{THREADS}/{ids['t1'][2]}?limit=2") for mail in page]
    assert mails == ids["t1"]


def test_threads_are_the_crms_own(sync: Any, anonymous: Any, client: Any) -> None:
    """BrightSync's token does not read people's mail; without a token nobody does. What is not there is not found."""
    email = log(client)["id"]
    for path in (THREADS, f"{THREADS}/{email}"):
        assert_error(sync.get(path), 403)
        assert_error(anonymous.get(path), 401)
    for other in ("0", "x", "999999"):
        assert_error(client.get(f"{THREADS}/{other}"), 404)
    assert_error(client.get(f"{THREADS}?cursor=x"), 422)
