"""Databases of any size to measure on: `python -m bench.generate EMAILS FILE`, with a fifth as many contacts.

What is in them is a pure function of the size, but for the times at which the records are made. It is written by the
verbs of `crm` themselves, so it can't come to differ from what the API writes; only the search index is put together
at the end, in one go.
"""

import sqlite3
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any

import crm
import crm.drafts
import database
from crm.preview import text_of
from store.indexing import index_all

RARE = "zugzwang"  # stands in 20 mails, whatever the size
USERS = 50  # people whose mailboxes are watched; one of them is in every mail
BODIES = 2_000
BATCH = 10_000
_BEGIN = datetime(2021, 1, 1, tzinfo=UTC)
_SECONDS = 5 * 365 * 86_400


class Data:
    """Companies, contacts and mails, each by its number from 0."""

    def __init__(self, emails: int) -> None:
        self.emails, self.contacts, self.companies = emails, max(emails // 5, 50), max(emails // 25, 10)
        # Every so many mails belong to one contact and one thread, to have 1,000 pages of 25 where there are mails
        # enough, and half of the mails where there are not.
        self.busy_step = max(2, emails // 30_000)
        self.rare_step = max(emails // 20, 1)
        self.vocabulary, self.bodies = _texts()

    def domain(self, k: int) -> str:
        return f"company{k}.example"

    def address(self, i: int) -> str:
        return f"person{i}@{self.domain(i % self.companies)}"

    def message_id(self, j: int) -> str:
        return f"<mail-{j}@mail.example>"

    def user(self, n: int) -> dict[str, Any]:
        return {"id": f"u{n}", "orgId": "o", "name": f"User {n}", "email": f"user{n}@ours.example", "timezone": "UTC"}

    def company(self, k: int) -> dict[str, Any]:
        more = [f"company{k}.test"] if k % 4 == 0 else []
        return {"name": f"Company {k}", "domains": [self.domain(k), *more]}

    def contact(self, i: int) -> dict[str, Any]:
        addresses = [self.address(i)] + ([f"person{i}@home.example"] if i % 3 == 0 else [])
        company = f"k{i % self.companies}"
        return {"firstName": f"First{i}", "lastName": f"Last{i}", "companyId": company, "emailAddresses": addresses}

    def email(self, j: int, unique: str | None = None) -> dict[str, Any]:
        """Mail j as a client posts it; with `unique` a new one that is like it. It has 2 to 6 recipients."""
        random = Random(j)
        mine = unique or str(j)
        text, html = self.bodies[random.randrange(BODIES)]
        words = text.split(maxsplit=8)
        at = _BEGIN + timedelta(seconds=_SECONDS * j // self.emails + random.randrange(86_400))
        people = [self.address(random.randrange(self.contacts)) for _ in range(random.randint(2, 6))]
        people[-1] = f"user{random.randrange(USERS)}@ours.example"
        if j % 4 == 1:
            people.insert(0, f"stranger-{mine}@elsewhere.example")
        if j % self.busy_step == 0:
            people[random.randrange(len(people))] = self.address(0)
        sender, to = people[0], people[1:]
        thread = "busy" if j % self.busy_step == 1 else f"thread-{unique or j // 3}"
        files = [
            {"id": f"{j}-{n}", "name": f"{words[n]}.pdf", "mimeType": "application/pdf", "size": 48_213}
            for n in range(random.choice([0, 0, 0, 1, 2]))
        ]
        links = [{"type": "Contact", "id": f"c{random.randrange(self.contacts)}"}] * (j % 10 == 3)
        return {
            "msgId": f"copy-{mine}",
            "syncThreadId": thread,
            "inReplyTo": self.message_id(j - 1) if j % 3 else None,
            "receivedAt": at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "rfc822MsgId": f"<mail-{mine}@mail.example>",
            "subject": " ".join(words[:6]),
            "fromAddress": sender,
            "fromName": sender.partition("@")[0].title(),
            "toAddresses": to[:3],
            "ccAddresses": to[3:5],
            "bccAddresses": to[5:],
            "textBody": f"{text}\r\n{RARE}" if j % self.rare_step == self.rare_step // 2 and not unique else text,
            "htmlBody": html,
            "attachments": files,
            "relatedTo": links,
        }


def _texts() -> tuple[list[str], list[tuple[str, str]]]:
    """4,000 words, the n-th of which is used 1/n as often as the first; pairs of text (1.5 KB) and HTML (3 KB)."""
    random = Random(1)
    parts = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in ("a", "e", "i", "o", "u", "an", "er")]
    words = {"".join(random.choices(parts, k=random.choice([1, 2, 2, 3, 3, 4]))): None for _ in range(9_000)}
    vocabulary = list(words)[:4_000]
    frequency = list(accumulate(1 / (n + 1) for n in range(len(vocabulary))))
    pairs = []
    for _ in range(BODIES):
        lines = [
            " ".join(random.choices(vocabulary, cum_weights=frequency, k=20)) for _ in range(random.randint(6, 16))
        ]
        style = "margin:0 0 12px;font-family:Arial,Helvetica,sans-serif;font-size:14px;line-height:20px;color:#202020"
        html = "".join(f'<p style="{style}">{line}.</p>' for line in lines)
        pairs.append((".\r\n".join(lines), f"<html><head><title>Mail</title></head><body>{html}</body></html>"))
    return vocabulary, pairs


def generate(emails: int, path: Path) -> Data:
    """Make the file; raises FileExistsError where there is one."""
    if path.exists():
        raise FileExistsError(path)
    data = Data(emails)
    database.start(f"sqlite:///{path}")
    # Nothing of a half-made file is worth a journal.
    for pragma in ("journal_mode = off", "synchronous = off", "cache_size = -1000000"):
        database.execute(f"PRAGMA {pragma}")
    crm.drafts.text_of = cache(text_of)  # there are only so many bodies

    for n in range(USERS):
        crm.add_user(data.user(n))
    _write(data.companies, lambda k: crm.put_company(f"k{k}", data.company(k)))
    _write(data.contacts, lambda i: crm.put_contact(f"c{i}", data.contact(i)))
    _write(data.emails, lambda j: crm.log_email(data.email(j)))
    with database.writing():  # into one piece: the first new emails would have to merge several
        list(index_all())
        database.execute("INSERT INTO email_words (email_words) VALUES ('optimize')")
    database.execute("ANALYZE")
    database.execute(f"PRAGMA user_version = {emails}")  # for size_of
    database.execute("PRAGMA journal_mode = wal")
    database.stop()
    return data


def size_of(path: Path) -> int:
    """How many mails a file was generated with."""
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _write(number: int, write: Any) -> None:
    for lowest in range(0, number, BATCH):
        with database.writing():
            for n in range(lowest, min(lowest + BATCH, number)):
                write(n)


if __name__ == "__main__":
    began, file = time.monotonic(), Path(sys.argv[2])
    generate(int(sys.argv[1]), file)
    size, seconds = file.stat().st_size / 1e6, time.monotonic() - began
    print(f"{file}: {size:,.0f} MB in {seconds:.0f} s", file=sys.stderr)
