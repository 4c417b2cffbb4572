"""The emails of many addresses and links at once, newest first."""

from bisect import insort
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from peewee import Tuple

from database.query import Prepared, each, param
from models import Link, Recipient
from store.emails import Record, listed, row_of

_Place = tuple[str, int]  # of an email: its time and row
_Stream = tuple[str | None, str]  # the emails of a link (type, id) or of an address (None, address), newest first
_END = "9999-12-31T23:59:59.999999Z", 2**63 - 1


def page(
    links: Sequence[tuple[str, str]], addresses: Sequence[str], after: tuple[str, str] | None, limit: int
) -> tuple[list[tuple[str, Record]], bool]:
    """The emails with any of some links (type in lower case, id) or normalized addresses, with their place in time,
    newest first, from behind a place (time, id), and whether there are more: `limit`, or fewer where they are large.

    Each once; without bodies, but with snippet and hasAttachments. It costs a look into an index for each link and
    address, and some for each email of the page, however many emails there are.
    """
    place = (after[0], row_of(after[1]) or 0) if after else _END
    return listed(_walk([*links, *((None, address) for address in addresses)], place), limit)


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
