"""GET /emails/{id}: the email by the connector's own record id."""

from typing import Any
from urllib.parse import quote

from tests.samples import EMAILS, MAIL, NO_MAIL, assert_error, content, log


def test_a_mail_is_returned_as_it_was_logged(sync: Any) -> None:
    """BrightSync's token gets every field, equal to what POST returned."""
    record = log(sync, **MAIL)
    answer = sync.get(f"{EMAILS}/{record['id']}")
    assert (answer.status_code, answer.json) == (200, record)
    assert content(answer.json) == MAIL


def test_a_mail_of_which_nothing_is_known_has_every_field(client: Any) -> None:
    """null for a scalar, an empty list for a list, and the record's own id and times."""
    record = client.get(f"{EMAILS}/{log(client)['id']}").json
    assert content(record) == NO_MAIL
    assert record.keys() == {"id", *MAIL, "createdAt", "updatedAt"}
    assert isinstance(record["id"], str)


LOOKALIKES = ["{}0", "0{}", "00{}", "+{}", "-{}", " {}", "{} ", "{}.0", "{}e0", "0x{}", "1_{}", "٣", "１", "²", "0"]
LOOKALIKES += ["-1", "abc", "''", "%", "\x00", "\n", "lookup", "9" * 18, "9" * 19, str(2**63), str(2**64 + 1)]
LOOKALIKES += ["1" + "0" * 30, "9" * 255, "9" * 256, "9" * 5000]


def test_an_id_that_no_mail_has_is_not_found(client: Any) -> None:
    """Ids are opaque: what only looks like one, or like its number, is another id; none is ever a 500."""
    record_id = log(client)["id"]
    for spelling in LOOKALIKES:
        assert_error(client.get(f"{EMAILS}/{quote(spelling.format(record_id), safe='')}"), 404)


def test_bytes_that_are_no_text_are_not_found(client: Any) -> None:
    """A path that is not UTF-8 names nothing."""
    log(client)
    assert_error(client.get(f"{EMAILS}/%ff%fe"), 404)
    assert_error(client.get(f"{EMAILS}/%ed%a0%80"), 404)


def test_an_id_is_never_given_out_again(client: Any) -> None:
    """Who kept the id of a mail that was removed is not shown somebody else's letter."""
    gone = log(client, subject="first")["id"]
    client.delete(f"{EMAILS}/{gone}")
    assert log(client, subject="second")["id"] != gone
    assert_error(client.get(f"{EMAILS}/{gone}"), 404)


def test_a_token_is_needed(anonymous: Any, client: Any) -> None:
    """Without one, a mail that is there and one that is not look the same."""
    record = log(client, **MAIL)
    answers = [anonymous.get(f"{EMAILS}/{record_id}") for record_id in (record["id"], "999")]
    assert assert_error(answers[0], 401) == assert_error(answers[1], 401)


def test_letters_are_kept_in_no_cache(client: Any) -> None:
    """Neither a proxy nor a browser keeps the answer, nor takes it for something else than JSON."""
    answer = client.get(f"{EMAILS}/{log(client, **MAIL)['id']}")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
