"""ETag, If-Match and If-None-Match: who changes a record can say which version of it they know."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

import database
from tests.samples import ACME, EMAILS, JANE, assert_error

CONTACTS, COMPANIES = "/api/v1/contacts", "/api/v1/companies"
NOUNS = [(EMAILS, {"subject": "Hello"}), (CONTACTS, JANE), (COMPANIES, ACME)]
CHANGES = {EMAILS: {"subject": "Bye"}, CONTACTS: {"lastName": "Roe"}, COMPANIES: {"name": "Roe Ltd"}}


@pytest.fixture(params=NOUNS, ids=lambda noun: noun[0].rpartition("/")[2])
def record(request: pytest.FixtureRequest, client: Any) -> Any:
    """A new record of each noun: the answer that made it, where it is, and how it may be changed."""
    path, body = request.param
    made = client.post(path, json=body)
    return made, f"{path}/{made.json['id']}", CHANGES[path]


def test_every_answer_with_a_record_has_its_etag(client: Any, record: Any) -> None:
    """A strong one, the same by whatever call; another after each change, and the same where nothing changes."""
    made, path, change = record
    tag = made.headers["ETag"]
    assert tag.startswith('"')
    assert client.get(path).headers["ETag"] == tag
    changed = client.patch(path, json=change)
    assert changed.headers["ETag"] not in (tag, None)
    assert client.patch(path, json=change).headers["ETag"] == changed.headers["ETag"]
    put = client.put(path, json={})
    assert put.headers["ETag"] not in (tag, changed.headers["ETag"])
    assert client.get(path).headers["ETag"] == put.headers["ETag"]


@pytest.mark.parametrize("method", ["PATCH", "PUT", "DELETE"])
def test_a_version_that_is_not_the_records_changes_nothing(client: Any, record: Any, method: str) -> None:
    """412; weak tags and words that are no tags match nothing, nor does a tag of before."""
    made, path, change = record
    old = made.headers["ETag"]
    now = client.patch(path, json=change)
    feed = client.get("/api/v1/changes").json
    for wrong in (old, f"W/{now.headers['ETag']}", '"x"', "", "x", f'{old}, "y"', f"W/{old}, W/{now.headers['ETag']}"):
        answer = client.open(path, method=method, json={}, headers={"If-Match": wrong})
        assert_error(answer, 412)
        assert client.open(path, method=method, json=change, headers={"If-Match": wrong}).status_code == 412
    assert client.get(path).json == now.json
    assert client.get("/api/v1/changes").json == feed


@pytest.mark.parametrize("method", ["PATCH", "PUT", "DELETE"])
@pytest.mark.parametrize("shape", ["{}", '"x", {}', '{},"y"', "*"])
def test_the_version_of_the_record_lets_the_call_pass(client: Any, record: Any, method: str, shape: str) -> None:
    """Alone, among others, or as any."""
    made, path, change = record
    headers = {"If-Match": shape.format(made.headers["ETag"])}
    assert client.open(path, method=method, json=change, headers=headers).status_code in (200, 204)


def test_what_is_not_there_has_no_version(client: Any) -> None:
    """404 as ever; where PUT would make a record, 412."""
    for path, _ in NOUNS:
        for method in ("PATCH", "DELETE", *["PUT"] * (path == EMAILS)):
            assert_error(client.open(f"{path}/9", method=method, json={}, headers={"If-Match": "*"}), 404)
    for path in (CONTACTS, COMPANIES):
        for tag in ("*", '"x"'):
            assert_error(client.put(f"{path}/9", json={}, headers={"If-Match": tag}), 412)
        assert_error(client.get(f"{path}/9"), 404)


def test_a_record_that_is_known_is_not_sent_again(client: Any, record: Any) -> None:
    """304 without a body, also for a weak tag; the record, once it has changed."""
    made, path, change = record
    tag = made.headers["ETag"]
    for known in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        answer = client.get(path, headers={"If-None-Match": known})
        assert (answer.status_code, answer.data, answer.headers["ETag"]) == (304, b"", tag)
    changed = client.patch(path, json=change, headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert client.get(path, headers={"If-None-Match": tag}).json == changed.json


def test_sixty_pairs_who_link_one_email_at_once_lose_no_link(client: Any) -> None:
    """Each gets the email and adds a link, with If-Match, until it is not 412: both are there at the end."""
    emails = [client.post(EMAILS, json={"rfc822MsgId": str(n)}).json["id"] for n in range(60)]
    together = Barrier(2)

    def link(person: str) -> None:
        mine = client.application.test_client()
        mine.token = client.token
        for email in emails:
            together.wait(60)
            while True:
                known = mine.get(f"{EMAILS}/{email}")
                links = [*known.json["relatedTo"], {"type": "Contact", "id": person}]
                headers = {"If-Match": known.headers["ETag"]}
                answer = mine.patch(f"{EMAILS}/{email}", json={"relatedTo": links}, headers=headers)
                if answer.status_code == 200:
                    break
                assert_error(answer, 412)
        database.stop()

    with ThreadPoolExecutor(2) as people:
        list(people.map(link, ["1", "2"]))
    for email in emails:
        links = client.get(f"{EMAILS}/{email}").json["relatedTo"]
        assert sorted(one["id"] for one in links) == ["1", "2"]
