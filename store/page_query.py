"""The query behind a page of emails: which ones, newest first, by the conditions that are given."""

from collections.abc import Iterator
from functools import reduce
from operator import or_
from typing import Any, NamedTuple

from peewee import JOIN, SQL, Join, Select, Tuple, fn

from database.query import is_any, param
from models import Copy, Email, Link, Recipient
from store import search
from store.values import DOMAIN

_FIRST = JOIN.CROSS  # to SQLite it says: begin with the table on the left (https://sqlite.org/optoverview.html, 8.2)
_E = Email.alias("e")  # within a stream; outside is the email as it is returned
MOST_STREAMS = 50  # of a contact's addresses; SQLite merges 500 at most, and nobody has as many


class _Stream(NamedTuple):
    """Emails in the order of time, as an index gives them."""

    at: Any
    id: Any
    query: Any  # selects nothing yet
    knows_email: bool = False  # whether Email is among its tables


_FEW = {"message_key", "thread_key", "copy_key"}  # these find but few emails, which the others then test
_MANY = ("address_key", "contact_id", "domain_key")
DRIVING = {*_FEW, *_MANY}


def driving_filter(given: frozenset[str]) -> str | None:
    """By which of the conditions emails are found, which the others then test; None for a walk by time, or by ids."""
    if given & _FEW:
        return None
    return next((name for name in ("search", *_MANY) if name in given), None)


def tests_many(given: frozenset[str]) -> bool:
    """Whether nearly all emails that are found by one of the conditions may fail another."""
    return len(given & {*_MANY, "has_attachments"}) > 1 or given == {"has_attachments"}


def places(given: frozenset[str], driving: str | None, keys: int | None) -> Any:
    """The places (at, id) of the emails of a page, for the conditions of these names. It merges streams, and takes each
    email once."""
    parts = [_part(stream, given - {driving}) for stream in _streams(driving, keys)]
    union = reduce(or_, [Select((part.alias("found"),), (SQL('"at"'), SQL('"id"'))) for part in parts])
    return union.order_by(SQL("1").desc(), SQL("2").desc()).limit(param("limit"))


def _streams(driving: str | None, keys: int | None) -> Iterator[_Stream]:
    """What to walk through: one stream for each address, as each has its own order of time."""
    if driving is None:
        yield _Stream(_E.at, _E.id, _E.select(), knows_email=True)
    elif driving == "search":
        found = search.found().alias("match")
        query = Select((Join(found, _E, _FIRST),)).where(_E.id == found.c.id)
        yield _Stream(_E.at, _E.id, query, knows_email=True)
    elif driving == "address_key":
        yield _recipients(Recipient.normalized == param("address_key"))
    elif driving == "domain_key":
        yield _Stream(Link.at, Link.email, Link.select().where(*_is_at_domain()))
    else:
        yield _Stream(Link.at, Link.email, Link.select().where(*_is_linked()))
        if keys is None:
            yield _recipients(is_any(Recipient.normalized, "contact_keys"))
        for n in range(keys or 0):
            yield _recipients(Recipient.normalized == param(f"key{n}"))


def _recipients(condition: Any) -> _Stream:
    return _Stream(Recipient.at, Recipient.email, Recipient.select().where(condition))


def _is_linked() -> tuple[Any, Any]:
    return Link.type == "contact", Link.record_id == param("contact_id")


def _is_at_domain() -> tuple[Any, Any]:
    return Link.type == DOMAIN, Link.record_id == param("domain_key")


def _part(stream: _Stream, given: frozenset[str | None]) -> Any:
    """The newest emails of a stream that meet the conditions."""
    conditions = list(_conditions(stream, given))
    query = stream.query
    if conditions and not stream.knows_email:
        query = query.join(_E, _FIRST).where(_E.id == stream.id)
    behind = Tuple(stream.at, stream.id) < Tuple(param("at"), param("id"))
    query = query.columns(stream.at.alias("at"), stream.id.alias("id")).distinct().where(behind, *conditions)
    return query.order_by(stream.at.desc(), stream.id.desc()).limit(param("limit"))


def _conditions(stream: _Stream, given: frozenset[str | None]) -> Iterator[Any]:
    """What each email of a stream has to meet. Who asks by an id finds what is withheld as well."""
    if stream.knows_email and not given & {"message_key", "copy_key"}:  # it has neither addresses nor links
        yield _E.withheld.is_null()
    if "message_key" in given:
        yield _E.message_key == param("message_key")
    if "thread_key" in given:
        yield _E.thread == param("thread")  # by its index
        yield _E.thread_key == param("thread_key")
    if "copy_key" in given:
        yield _E.id.in_(Copy.select(Copy.email).where(Copy.copy_key == param("copy_key")))
    if "received_after" in given:
        yield stream.at >= param("received_after")
    if "window" in given:
        yield Tuple(stream.at, stream.id) >= Tuple(param("oldest_at"), param("oldest_id"))
    if given & {"received_after", "received_before"}:
        yield _E.received_at.is_null(False)
    own = Recipient.alias("own")
    recipients = own.select(SQL("1")).where(own.email == _E.id)
    key = own.normalized.concat("")  # so that the recipients of the email are tested, not all emails of the address
    if "address_key" in given:
        yield fn.EXISTS(recipients.where(key == param("address_key")))
    if "domain_key" in given:
        yield fn.EXISTS(Link.select(SQL("1")).where(Link.email == _E.id, *_is_at_domain()))
    if "has_attachments" in given:
        yield _E.has_attachments == param("has_attachments")
    if "contact_id" in given:
        links = Link.select(SQL("1")).where(Link.email == _E.id, *_is_linked())
        yield fn.EXISTS(recipients.where(is_any(key, "contact_keys"))) | fn.EXISTS(links)
    if "search" in given:
        yield search.is_found(_E.id)
