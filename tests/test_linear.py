"""What a client or a sender supplies takes time in proportion to its length, whatever it is.

By default each reader gets runs, nestings and openers of some of each class of characters that it looks at: about a
minute of CPU. `LINEAR=0.3` tries all of them, in more shapes, up to the largest body or to where a call takes 0.3 s: an
hour or two.
"""

import gc
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import BufferedReader, BytesIO
from math import log2
from random import Random
from typing import Any

import click
import pytest
from flask import Request
from marshmallow import ValidationError

from commands import mailfile, table_files
from crm import drafts, matching, preview, quoting
from crm.identity import contents_of, hash_with
from crm.matching import normalize_address, normalize_domain, normalize_message_id
from crm.mentions import Mentions
from crm.merging import NO_EMAIL, entries, merged, relation, removed_by
from schemas import (
    AddressQuery,
    CompanyNew,
    CompanyQuery,
    ContactNew,
    EmailIn,
    EmailPatch,
    EmailQuery,
    UpdatedQuery,
)
from store import search, words
from web import logs
from web.fields import Position
from web.wire import BadRequestBody, Parser, parse_json

ALL = "LINEAR" in os.environ
ENOUGH = float(os.environ.get("LINEAR", 0.012))  # seconds of a call, after which no longer input is tried
LONGEST = 36 * 2**20 // (1 if ALL else 8)  # bytes: of a body
SHORTEST = 36 * 2**20 // 2**9
MOST = 2.5  # times the time for twice the length
FLOOR = 5e-9  # seconds a byte that are no matter: what memory takes that is not at hand

# Of every class of characters that a pattern or a parser looks at, some; and what means something together.
SOME = ["a", "é", "\u0301\u0323", "한", " ", "\n", *'"<&,@(\\=;.']
MORE = ["1", "e\u0301", "\u0323", "İ", "ß", "ﷺ", "😀", "\u200d", "_", "\0", "\x1f", "\r\n", "\t", "\u00a0", "\n "]
MORE += list(">'/:)[]{}?!#*+-%|~^$")
OF = {
    "html": ["<div>", "<a b=c>", "<a ", "<!--", "-->", "</b>", "&#", "&amp;", "&#x41;", '="', "</script", "<template>"],
    "text": ["@a.b", "a@b.c ", "xn--a.", "www.", "://", "(at)", "%40", "=3D", "\\u0040", "ab ", "東京", "a*", "-a"],
    "json": ["[", '{"a":', '"a",', "\\u0000", "\\ud800", "\\\\", "[],", "1e", "0.", "00", "&a[]=1", "%00", "+"],
    "mail": ["=?utf-8?q?", "=?utf-8?q?a?=", "=?b?b?YQ==?= ", '"\\"', "(\\(", "<a@b>", "a@b,", "From ", ";a=b", ";a*0=b"]
    + ["\n--b\n", "\n\n", "\nFrom \na:b\n", "=\n", "\nM", "a: b\n", "a;b", '"",', ";"],
}
# What opens something, and what closes it.
PAIRS = {
    "html": [
        "<div> </div>",
        "<!-- -->",
        "< >",
        '<a=" ">',
        "<script> </script>",
        "<svg> </svg>",
        "<template> </template>",
    ],
    "text": ["( )", "< >", '" "', "[ ]", "<a@ >"],
    "json": ["[ ]", '{"a": }', '" "'],
    "mail": ['" "', "( )", "< >", "[ ]", "=?a?q? ?=", "a: ;", "\n--b\n \n--b--\n"],
}


def mail(template: bytes) -> Callable[[str], Any]:
    return lambda text: mailfile.as_email(template % text.encode("utf-8", "replace"))


def parts(header: bytes) -> Callable[[str], Any]:
    """A mail of parts, each with up to 4 kB of a header."""
    opening = b"From: a\nContent-Type: multipart/mixed; boundary=b\n\n"

    def read(text: str) -> Any:
        whole = text.encode("utf-8", "replace").replace(b"\n", b"")
        pieces = (whole[n : n + 4_000] for n in range(0, len(whole), 4_000))
        return mailfile.as_email(opening + b"".join(b"--b\n" + header % piece + b"\n\nx\n" for piece in pieces))

    return read


def multiparts(text: str) -> Any:
    """A mail of multiparts in one another, the more the longer it is."""
    depth = range(len(text) // 500)
    opening = (b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in depth)
    return mailfile.as_email(b"From: a\n" + b"".join(opening) + text.encode("utf-8", "replace"))


def body(template: str) -> Callable[[str], Any]:
    return lambda text: parse_json((template % text).encode("utf-8", "replace"))


def query(schema: Any, name: str) -> Callable[[str], Any]:
    return lambda text: schema.load({name: text})


def table(template: str) -> Callable[[str], Any]:
    """The rows of a file of contacts."""
    return lambda text: list(
        table_files.rows_of(iter((template % text).splitlines(keepends=True)), table_files.CONTACTS, lambda _: None)[1]
    )


def draft(text: str) -> Any:
    """What is made of an email before it is written."""
    halves = {
        "htmlBody": text[::2],
        "textBody": text[1::2],
        "subject": text[:1000],
        "toAddresses": text.split(",", 20_000),
    }
    return drafts.derive({**NO_EMAIL, **halves})


def merge(text: str) -> Any:
    some = text.split(",", 10_000)
    links = [{"type": one, "id": one} for one in text.split(";", 10_000)]
    files = [{"id": one, "name": one, "content": one} for one in text.split(" ", 10_000)]
    record = {**NO_EMAIL, "toAddresses": some[::2], "relatedTo": links[::2], "attachments": files[::2], "removed": None}
    hashed = hash_with("00" * 32)
    copy = {**NO_EMAIL, "toAddresses": some, "relatedTo": links, "attachments": files, "textBody": text}
    removed = removed_by({**copy, "removed": None}, record, hashed)
    return merged({**record, "removed": removed}, copy, hashed), contents_of(copy, hashed)


def query_string(text: str) -> Any:
    raw = text.encode("utf-8", "replace").decode("latin-1")
    return Parser().load_querystring(Request({"QUERY_STRING": raw}), EmailQuery())


def file(content: str) -> dict[str, str]:
    return {"id": "1", "name": content, "mimeType": content, "content": content}


JANE = Mentions("jane@x.example")
FIELDS = [
    b"From: a\nSubject: %s\n\n",
    b"From: a\nTo: %s\n\n",
    b"From: %s\n\n",
    b"From: a\nDate: %s\n\n",
    b"From: a\nReferences: %s\n\n",
    b"From: a\nContent-Type: %s\n\n",
    b"From: a\nContent-Type: text/plain; charset=%s\n\nx",
]
BOUNDARY = b'From: a\nContent-Type: multipart/mixed; boundary="%s"\n\n--b\n'
READERS: dict[str, dict[str, Callable[[str], Any]]] = {
    "html": {
        "text_of": preview.text_of,
        "lines_of": preview.lines_of,
        "new_text": lambda text: quoting.new_text(preview.lines_of(text)),
        "draft": draft,
        "in_html": JANE.in_html,
        "in_value": lambda text: JANE.in_value([{"content": text, "a": text}]),
    },
    "text": {
        "snippet": preview.snippet,
        "new_text": quoting.new_text,
        "new_text, headers": lambda text: [
            quoting.new_text(template.replace("%s", text[:1000]) * (len(text) // 1000))
            for template in ("On %s wrote:\n", "Am %s schrieb %s:\n> a\n", "%s <a@b> a:\n> ", "From: %s\nTo: %s\n\n")
        ],
        "has_files": lambda text: preview.has_files([{**file(text), "inline": True}, {"inline": True, "name": text}]),
        "find_file": lambda text: preview.find_file([file(text)], "1"),
        "bare_address": matching.bare_address,
        "normalize_address": normalize_address,
        "normalize_address, local": lambda text: normalize_address(text + "@x.example"),
        "normalize_address, domain": lambda text: normalize_address("a@" + text),
        "normalize_address, many": lambda text: [
            normalize_address(text[n : n + 300]) for n in range(0, len(text), 300)
        ],
        "normalize_domain": normalize_domain,
        "normalize_domain, URL": lambda text: normalize_domain("https://" + text),
        "normalize_message_id": normalize_message_id,
        "parent_domains": lambda text: matching.parent_domains(normalize_domain(text) or ""),
        "candidate_keys": lambda text: matching.candidate_keys(text, normalize_address),
        "split_addresses": lambda text: matching.split_addresses([text, '"' + text]),
        "merged": merge,
        "relation": lambda text: [relation(one) for one in entries([{"type": text, "id": text}])],
        "split": words.split,
        "split_texts": lambda text: words.split_texts([text, text]),
        "read_search": words.read_search,
        "matches": lambda text: words.matches(words.read_search("a b"), words.joined([text])),
        "vector": lambda text: search.vector(words.split_texts([text])),
        "in_text": JANE.in_text,
    },
    "json": {
        "json": body("%s"),
        "json, text": body('{"a":"%s"}'),
        "json, list": body('{"a":[%s]}'),
        "json, number": body('{"a":1%s}'),
        "query string": query_string,
        "request id": logs.request_id,
        "cursor": lambda text: Position().deserialize(text),
        "AddressQuery": lambda text: AddressQuery().load({"emails": [text]}),
        "CompanyQuery": query(CompanyQuery(), "domain"),
        "EmailQuery": query(EmailQuery(), "limit"),
        "UpdatedQuery": query(UpdatedQuery(), "updatedSince"),
        "EmailIn": lambda text: EmailIn().load({"toAddresses": text.split(",", 20_000), "fromAddress": {"name": text}}),
        "EmailPatch": lambda text: EmailPatch().load({"receivedAt": f"2026-01-31T09:30:00.{text}"}),
        "ContactNew": lambda text: ContactNew().load({"id": text, "firstName": text, "emailAddresses": [text]}),
        "CompanyNew": lambda text: CompanyNew().load({"id": text, "name": text, "domains": [text]}),
    },
    "mail": {
        "fields": lambda text: [mail(field)(text) for field in FIELDS],
        "boundary": mail(BOUNDARY),
        "charset": mail(b"From: a\nContent-Type: text/plain; charset=%s\n\nx"),
        "other fields": mail(b"From: a\n%s\n\n"),
        "parts": mail(b"From: a\nContent-Type: multipart/mixed; boundary=b\n\n--b\n%s"),
        "parameters of parts": parts(b"Content-Type: text/plain%s"),
        "names of parts": parts(b"Content-Disposition: attachment; filename=%s"),
        "nested": multiparts,
        "quoted-printable": mail(b"From: a\nContent-Transfer-Encoding: quoted-printable\n\n%s"),
        "base64": mail(b"From: a\nContent-Transfer-Encoding: base64\n\n%s"),
        "uuencode": mail(b"From: a\nContent-Transfer-Encoding: x-uuencode\n\nbegin 644 a\n%s"),
        "mbox": lambda text: list(mailfile._mbox(BufferedReader(BytesIO(text.encode("utf-8", "replace"))))),
        "CSV, header": table("email,%s\nx,y\n"),
        "CSV, cells": table("email,id\n%s\n"),
        "CSV, companies": table("company,associated company ids\n%s\n"),
        "vCard, properties": table("BEGIN:VCARD\n%s\nEND:VCARD\n"),
        "vCard, names": table("BEGIN:VCARD\nN;%s\nEND:VCARD\n"),
    },
}


def seconds(read: Callable[[str], Any], text: str, runs: int = 1) -> float:
    """What a call takes of this process's time: the smallest of some runs. A refusal is an answer."""
    taken = []
    gc.disable()  # it comes when it comes, and takes longer the more is there
    for _ in range(runs):
        begun = time.process_time()
        with suppress(ValueError, BadRequestBody, ValidationError, click.ClickException):
            read(text)
        taken.append(time.process_time() - begun)
        gc.collect()
    gc.enable()
    return min(taken)


def slow_doubling(read: Callable[[str], Any], make: Callable[[int], str]) -> tuple[int, float, int, float] | None:
    """What costs too much: a length and its seconds, a longer one and its; None where nothing does."""
    length, now = SHORTEST, seconds(read, make(SHORTEST))
    while length < LONGEST and (now < ENOUGH or length == SHORTEST):
        shorter, before = length, now
        length = min(LONGEST, length * (2 if before > ENOUGH / 8 else 8))  # quickly through what takes next to no time
        most = MOST ** log2(length / shorter)
        now = seconds(read, make(length))
        if now > FLOOR * length + most * before:
            runs = 5 if now < 2 else 1
            for _ in range(3):  # others use the machine as well: what is slow is slow again
                # Half of it as well: a bound that is passed, and from which on more is done, is one step.
                now, half, before = (seconds(read, make(n), runs) for n in (length, length // 2, shorter))
                if now <= FLOOR * length + max(most * before, MOST * half):
                    break
            else:
                return shorter, before, length, now
    return None


def run(atom: str) -> Callable[[int], str]:
    return lambda size: atom * (size // len(atom.encode()))


def nested(opening: str, closing: str) -> Callable[[int], str]:
    return lambda size: run(opening)(size // 2) + run(closing)(size // 2)


def opened(opening: str, filler: str) -> Callable[[int], str]:
    return lambda size: opening + run(filler)(size)


def cases(kind: str) -> Iterator[tuple[str, Callable[[int], str]]]:
    """Texts of any length, by name."""
    atoms = [*SOME, *OF[kind], *(MORE if ALL else ())]
    for atom in atoms:
        yield f"{atom!r}", run(atom)
    for pair in PAIRS[kind]:
        opening, closing = pair.split(" ")
        yield f"{pair!r} nested", nested(opening, closing)
        yield f"{opening!r} not closed", opened(opening, "a ")
        if ALL:
            yield f"{pair!r} one after the other", run(f"{opening}a{closing}")
            yield f"{opening!r} many, not closed", run(opening + "a")
    if ALL:
        others = Random(1).sample(atoms, len(atoms))
        for atom, other in zip(atoms, others, strict=True):
            yield f"{atom!r} and {other!r} in turn", run(atom + other)
            yield f"{atom!r} on lines", run(f"{atom}x{atom}\n")
            yield f"{atom!r} before {other!r}", opened(atom, other)
            yield f"{atom!r}, as many {other!r}", nested(atom, other)


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, readers in READERS.items() for name in readers])
def test_no_doubling_costs_more_than_twice_and_a_half(kind: str, name: str) -> None:
    """From 100 kB up to the largest body, or to where a call takes long."""
    slow = {case: found for case, make in cases(kind) if (found := slow_doubling(READERS[kind][name], make))}
    assert not slow
