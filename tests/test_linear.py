"""What a client or a sender supplies takes time in proportion to its length, whatever it is."""

import os
import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from marshmallow import ValidationError

import database
from commands import mailfile
from commands.mailfile import as_email
from crm.matching import bare_address, normalize_address, normalize_domain, normalize_message_id, split_addresses
from crm.merging import NO_EMAIL, merged
from crm.preview import has_files, snippet, text_of
from database import postgresql
from schemas import EmailIn, Position
from web.wire import BadRequestBody, parse_json

SHORTEST, LONGEST = 100_000, 36 * 2**20  # characters
MOST = 2.5  # times the time for twice the length
FLOOR = 0.05  # seconds of this process, under which nothing counts
ENOUGH = 0.12  # seconds after which no longer input is tried
SEED = random.randrange(2**32)
BUDGET = float(os.environ.get("LINEAR_SECONDS", "1.2"))  # for each reader; 60 is enough to try all

# One or more of each class of characters that a pattern or a parser looks at.
LETTERS = ["a", "1", "é", "e\u0301", "\u0301\u0323", "\u0323", "İ", "ß", "Σ", "한", "😀", "\u200d", "_", "\0"]
SPACES = [" ", "\n", "\r\n", "\t", "\u00a0", "\n\n", "\n "]
MARKS = list("<>\"'=/\\&;,.:@()[]{}?!#*+-%`|~^$")
OF_HTML = ["<div>", "<b>", "</b>", "</x>", "<a ", "<a b=c ", "<!--", "-->", "<svg>", "<p>", "<textarea>", "<script>"]
OF_HTML += ["</script", "<![CDATA[", "<template>", "&#", "&amp;", "&#x41", '="', "='", "<table>", "<a b=c1><p>"]
OF_MAIL = [
    "=?utf-8?q?",
    "=?utf-8?q?a?=",
    "?=",
    '"\\"',
    "(\\(",
    "<a@b>",
    "a@b,",
    "From ",
    ">",
    ";a=b",
    ";a*0=b",
    "\n--b\n",
]
OF_JSON = ["[", '{"a":', '"', "\\u0000", "\\ud800", "\\\\", "[],", '"a",', '{"a":"b"},', "1e", "0."]
ATOMS = [*LETTERS, *SPACES, *MARKS, *OF_HTML, *OF_MAIL, *OF_JSON]


def quietly(function: Callable[[Any], Any]) -> Callable[[Any], None]:
    """A refusal is an answer."""

    def run(value: Any) -> None:
        with suppress(ValueError, BadRequestBody, ValidationError):
            function(value)

    return run


def mail(template: bytes) -> Callable[[str], Any]:
    return lambda text: as_email(template % text.encode("utf-8", "replace"))


def body(template: str) -> Callable[[str], Any]:
    return lambda text: parse_json((template % text).encode("utf-8", "replace"))


NESTED = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(300))
READERS: dict[str, Callable[[str], Any]] = {
    "text_of": text_of,
    "snippet": snippet,
    "has_files": lambda text: has_files([{"inline": True, "name": text}, {"inline": True, "mimeType": text}]),
    "bare_address": bare_address,
    "normalize_address": normalize_address,
    "normalize_address, local": lambda text: normalize_address(text + "@x.example"),
    "normalize_address, domain": lambda text: normalize_address("a@" + text),
    "normalize_address, brackets": lambda text: normalize_address(f"<{text}>"),
    "normalize_domain": normalize_domain,
    "normalize_domain, URL": lambda text: normalize_domain("https://" + text),
    "normalize_message_id": normalize_message_id,
    "split_addresses": lambda text: split_addresses([text]),
    "split_addresses, quoted": lambda text: split_addresses(['"' + text]),
    "merged": lambda text: merged({**NO_EMAIL, "toAddresses": [text]}, {"toAddresses": [text + "b"]}),
    "json": body("%s"),
    "json, text": body('{"a":"%s"}'),
    "json, list": body('{"a":[%s]}'),
    "json, number": body('{"a":1%s}'),
    "receivedAt": lambda text: EmailIn().load({"receivedAt": f"2026-01-31T09:30:00.{text}"}),
    "cursor": lambda text: Position().deserialize(text),
    "words": lambda text: postgresql.indexed([text]),
    "header": mail(b"Subject: %s\n\n"),
    "addresses": mail(b"From: a\nTo: %s\n\n"),
    "sender": mail(b"From: %s\n\n"),
    "date": mail(b"From: a\nDate: %s\nReceived: ;%s\nReferences: a\n\n".replace(b"Received: ;%s\n", b"")),
    "references": mail(b"From: a\nReferences: %s\n\n"),
    "content type": mail(b"From: a\nContent-Type: %s\n\n"),
    "boundary": mail(b'From: a\nContent-Type: multipart/mixed; boundary="%s"\n\n--b\n'),
    "charset": mail(b"From: a\nContent-Type: text/plain; charset=%s\n\nx"),
    "headers": mail(b"From: a\n%s\n\n"),
    "multipart": mail(b"From: a\nContent-Type: multipart/mixed; boundary=b\n\n--b\n%s"),
    "nested": mail(b"From: a\n" + NESTED + b"%s"),
    "quoted-printable": mail(b"From: a\nContent-Transfer-Encoding: quoted-printable\n\n%s"),
    "base64": mail(b"From: a\nContent-Transfer-Encoding: base64\n\n%s"),
    "uuencode": mail(b"From: a\nContent-Transfer-Encoding: x-uuencode\n\n%s"),
    "mbox quoting": lambda text: mailfile._unquoted(bytearray(text.encode("utf-8", "replace"))),
    "full_text": lambda text: database._parsed_query(text),
}


def seconds(function: Callable[[str], Any], text: str) -> float:
    """What a call takes of this process's time."""
    begun = time.process_time()
    quietly(function)(text)
    return time.process_time() - begun


def doublings(function: Callable[[str], Any], make: Callable[[int], str]) -> tuple[int, float, float] | None:
    """The first doubling that costs too much: length, seconds, seconds for half of it; None where none does."""
    length = SHORTEST
    before = seconds(function, make(length))
    while before < ENOUGH and length * 2 <= LONGEST:
        if before < FLOOR / 40:  # a call that costs next to nothing: on with larger steps, as even its square is small
            length, before = length * 4, seconds(function, make(length * 4)) if length * 4 <= LONGEST else ENOUGH
            continue
        length *= 2
        now = seconds(function, make(length))
        for _ in range(3):  # others use the machine as well, and may have disturbed one of the two
            if now < FLOOR or now <= MOST * before:
                break
            now = min(now, seconds(function, make(length)))
            before = max(before, seconds(function, make(length // 2)))
        else:
            if now >= FLOOR and now > MOST * before:
                return length, now, before
        before = now
    return None


def shapes(atom: str, other: str) -> dict[str, Callable[[int], str]]:
    """Texts of a length that are made of these."""
    pair = atom + other
    return {
        "run": lambda n: atom * (n // len(atom)),
        "alternation": lambda n: pair * (n // len(pair)),
        "halves": lambda n: atom * (n // 2 // len(atom)) + other * (n // 2 // len(other)),
    }


@pytest.mark.parametrize("name", READERS)
def test_no_doubling_costs_more_than_twice_and_a_half(name: str) -> None:
    """Runs of atoms and some pairs, in another order at each run: as many as the budget allows."""
    chance = random.Random(f"{SEED} {name}")
    tried = [(atom, "x", "run") for atom in ATOMS]
    tried += [
        (chance.choice(ATOMS), chance.choice(ATOMS), shape) for shape in ("alternation", "halves") for _ in range(4)
    ]
    chance.shuffle(tried)
    end = time.process_time() + BUDGET
    for atom, other, shape in tried:
        if time.process_time() > end:
            break
        if not screened(READERS[name], shapes(atom, other)[shape]):
            continue
        found = doublings(READERS[name], shapes(atom, other)[shape])
        assert found is None, (f"seed {SEED}", name, shape, atom, other, found)


def screened(function: Callable[[str], Any], make: Callable[[int], str]) -> bool:
    """Whether 100 kB take so long that the square of it would be felt."""
    return seconds(function, make(SHORTEST)) > FLOOR / 10


@pytest.mark.parametrize("name", ["text_of", "normalize_address", "nested"])
@pytest.mark.parametrize("atom", [" ", '"', "\u0301\u0323", "\n"])
def test_what_has_stopped_the_service(atom: str, name: str) -> None:
    """Up to the largest body."""
    found = doublings(READERS[name], shapes(atom, "x")["run"])
    assert found is None, (name, atom, found)
