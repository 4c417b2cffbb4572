"""The emails of many addresses and links at once, newest first; and conversations."""

from bisect import insort
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from json import loads
from typing import Any

from peewee import Tuple, fn

from database.query import Prepared, each, is_any, json_list, param
from models import Email, Link, Recipient
from store.email_rows import BEGIN, END, Record, row_of
from store.emails import listed

_Place = tuple[str, int]  # of an email: its time and row
_Stream = tuple[str | None, str]  # the emails of a link (type, id) or of an address (None, address), newest first


def page(
    links: Sequence[tuple[str, str]], addresses: Sequence[str], after: tuple[str, str] | None, limit: int
) -> tuple[list[tuple[str, Record]], bool]:
    """The emails with any of some links (type in lower case, id) or normalized addresses, with their place in time,
    newest first, from behind a place (time, id), and whether there are more: `limit`, or fewer where they are large.

    Each once; without bodies, but with snippet and hasAttachments. It costs a look into an index for each link and
    address, and some for each email of the page, however many emails there are.
    """
    place = (after[0], row_of(after[1]) or 0) if after else END
    return listed(_walk([*links, *((None, address) for address in addresses)], place), limit)


_MOST_LOOKED_AT = 2_000  # emails for a page of conversations, of which one may have thousands
_AT_A_TIME = 50  # emails
_MOST_PARTICIPANTS = 50  # of a conversation's newest emails
_NEWEST = 20


def threads(
    links: Sequence[tuple[str, str]] | None, addresses: Sequence[str], after: tuple[str, str] | None, limit: int
) -> tuple[list[Record], tuple[str, str] | None]:
    """Conversations, from behind a place (time, id), and where to go on, None at the end: `limit`, or fewer, or none,
    where one has thousands of emails.

    id (of its first email), subject (of that), participants (normalized addresses of its newest emails), count,
    firstAt, lastAt. Of all emails, or only conversations with any of some links or addresses. They come in the order of
    their last email; where links and addresses are given, of the last one with any of these.
    """
    place = (after[0], row_of(after[1]) or 0) if after else END
    walk = _walk_all(place) if links is None else _walk([*links, *((None, one) for one in addresses)], place)
    wanted = set(links or ()), set(addresses)
    seen: set[str] = set()
    found: dict[str, _Place] = {}
    looked_at = 0
    while places := list(islice(walk, _AT_A_TIME)):
        threads_of: dict[int, str | None] = dict(_THREADS_OF(ids=[row_id for _, row_id in places]))
        for place in places:
            looked_at += 1
            thread = threads_of.get(place[1])
            if thread is not None and thread not in seen:
                seen.add(thread)
                if not _goes_on(thread, place, None if links is None else wanted):
                    found[thread] = place
            if len(found) > limit or looked_at == _MOST_LOOKED_AT:
                shown = list(found)[:limit]
                at, row_id = found[shown[-1]] if len(found) > limit else place
                return _summaries(shown), (at, str(row_id))
    return _summaries(list(found)), None


def thread(email_id: str, after: tuple[str, str] | None, limit: int) -> tuple[list[tuple[str, Record]], bool] | None:
    """The emails of the conversation that an email belongs to, as `page` gives them, but the oldest first; None where
    there is no such email."""
    row_id = row_of(email_id)
    found = _THREADS_OF(ids=[] if row_id is None else [row_id])
    if not found or found[0][1] is None:
        return None
    at, behind = (after[0], row_of(after[1]) or 0) if after else BEGIN
    return listed(_OF_THREAD(thread=found[0][1], at=at, id=behind, limit=limit + 1), limit)


def _walk_all(behind: _Place) -> Iterator[_Place]:
    """The places of all emails, newest first."""
    while places := _ALL(at=behind[0], id=behind[1], limit=_AT_A_TIME):
        yield from places
        behind = places[-1]


def _goes_on(thread: str, place: _Place, wanted: tuple[set[tuple[str, str]], set[str]] | None) -> bool:
    """Whether a conversation has an email behind a place in time, with any of the links or addresses that are wanted:
    then it stands there in the list."""
    values = {"thread": thread, "at": place[0], "id": place[1]}
    if wanted is None:
        return bool(_LATER(**values))
    links, addresses = wanted
    return any(key in addresses for (key,) in _LATER_ADDRESSES(**values)) or any(
        link in links for link in _LATER_LINKS(**values)
    )


def _summaries(threads: list[str]) -> list[Record]:
    found = {row[0]: row[1:] for row in _SUMMARIES(keys=threads)} if threads else {}
    heads = {row[0]: row[1:] for row in _HEADS(ids=[row[0] for row in found.values() if row[0] is not None])}
    return [
        {
            "id": str(first),
            "subject": heads[first][0],
            "participants": loads(people or "[]"),
            "count": count,
            "firstAt": heads[first][1],
            "lastAt": last,
        }
        for first, count, last, people in (found[one] for one in threads if one in found)
        if first in heads
    ]


def _walk(streams: Iterable[_Stream], behind: _Place) -> Iterator[_Place]:
    """The places of the emails in any of these streams, newest first, each once."""
    heads: defaultdict[_Place, list[_Stream]] = defaultdict(list)  # the streams that go on at a place
    places: list[_Place] = []  # of these, in order

    def advance(streams: Iterable[_Stream], behind: _Place) -> None:
        keys: defaultdict[str | None, list[str]] = defaultdict(list)
        for kind, key in streams:
            keys[kind].append(key)
        for kind in keys:
            heads_of = _OF_ADDRESSES if kind is None else _OF_LINKS
            for key, head in heads_of(type=kind, keys=keys[kind], at=behind[0], id=behind[1]):
                if head is not None:
                    at, _, row_id = head.partition(" ")
                    place = at, int(row_id)
                    if place not in heads:
                        insort(places, place)
                    heads[place].append((kind, key))

    advance(streams, behind)
    while places:
        place = places.pop()
        yield place
        advance(heads.pop(place), place)


def _heads(table: Any, key: Any, *conditions: Any) -> Any:
    """For each of a list of keys the newest email behind a place, as time and row; NULL for none."""
    values, value = each("keys")
    behind = Tuple(table.at, table.email) < Tuple(param("at"), param("id"))
    head = table.select(table.at.concat(" ").concat(table.email)).where(*conditions, key == value, behind)
    return table.select(value, head.order_by(table.at.desc(), table.email.desc()).limit(1)).from_(values)


_OF_LINKS = Prepared(lambda: _heads(Link, Link.record_id, Link.type == param("type")))
_OF_ADDRESSES = Prepared(lambda: _heads(Recipient, Recipient.normalized))


def _later(*columns: Any) -> Any:
    behind = Tuple(Email.at, Email.id) > Tuple(param("at"), param("id"))
    return Email.select(*columns).where(Email.thread == param("thread"), behind)


def _summary() -> Any:
    values, value = each("keys")
    own = Email.select().where(Email.thread == value)
    newest = own.select(Email.id).order_by(Email.at.desc(), Email.id.desc()).limit(_NEWEST).alias("newest")
    people = Recipient.select(Recipient.normalized).join(newest, on=Recipient.email == newest.c.id)
    people = people.where(Recipient.normalized.is_null(False)).distinct()
    people = people.order_by(Recipient.normalized).limit(_MOST_PARTICIPANTS)
    first = own.select(Email.id).order_by(Email.at, Email.id).limit(1)
    last = own.select(fn.MAX(Email.at))
    people = json_list(people, Recipient.normalized)
    return Email.select(value, first, own.select(fn.COUNT(Email.id)), last, people).from_(values)


_PLACE = Tuple(Email.at, Email.id)
_BEHIND = Tuple(param("at"), param("id"))
_ALL = Prepared(
    lambda: (
        Email.select(Email.at, Email.id)
        .where(_PLACE < _BEHIND, Email.withheld.is_null())
        .order_by(Email.at.desc(), Email.id.desc())
        .limit(param("limit"))
    )
)
_OF_THREAD = Prepared(lambda: _later(Email.at, Email.id).order_by(Email.at, Email.id).limit(param("limit")))
_THREADS_OF = Prepared(lambda: Email.select(Email.id, Email.thread).where(is_any(Email.id, "ids")))
_LATER = Prepared(lambda: _later(Email.id).limit(1))
_LATER_ADDRESSES = Prepared(lambda: _later(Recipient.normalized).join(Recipient, on=Recipient.email == Email.id))
_LATER_LINKS = Prepared(lambda: _later(Link.type, Link.record_id).join(Link, on=Link.email == Email.id))
_SUMMARIES = Prepared(_summary)
_HEADS = Prepared(lambda: Email.select(Email.id, Email.subject, Email.at).where(is_any(Email.id, "ids")))
