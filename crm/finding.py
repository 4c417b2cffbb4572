"""How emails are found: a page by filters, and who takes part in one."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from crm.drafts import people_of
from crm.matching import candidate_keys, normalize_address, normalize_domain, normalize_message_id
from crm.records import Cursor, Invalid, Page, Record
from crm.seam import optional, store
from store.values import Conditions
from store.words import read_search


def find_emails(filters: Mapping[str, Any], after: Cursor | None = None, limit: int = 25, whole: bool = True) -> Page:
    """A page of the emails that pass every filter, newest first (by receivedAt, else by createdAt).

    Those that are not `whole` have no bodies and files, but a snippet and hasAttachments.

    Filters: rfc822MsgId, msgId, syncThreadId, address, domain (at it or below), contactId, receivedAfter (at or after),
    receivedBefore, hasAttachments (a bool), and q, words and "phrases" to be found in subject, bodies, names and
    addresses. One with an empty value matches nothing.
    Raises Invalid for a q that can't be searched for.
    """
    try:
        conditions = _conditions(filters)
    except _NoMatch:
        return Page([], None)
    return page_where(conditions, after, limit, whole)


def page_where(conditions: Conditions, after: Cursor | None, limit: int, whole: bool) -> Page:
    """A page of the emails that meet conditions."""
    return page_of(*store.emails.page(conditions, after, limit, whole))


def participants(email: Record) -> list[Record]:
    """Sender and recipients of an email, each address once: role, text (as written), address (normalized), the contacts
    who have it, and the users. What is no address, and what is behind the first 200, has none of these."""
    keys: dict[str, None] = {}
    people: list[Record] = []
    for role, _, text in people_of(email):
        address = normalize_address(text) if len(people) < 200 else None
        if address is None or address not in keys:
            people.append({"role": role, "text": text, "address": address})
        if address is not None:
            keys[address] = None
    for kind, part in (("contacts", store.contacts), ("users", store.users)):
        found = (optional(part, "find")(list(keys)) or []) if keys else []
        for person in people:
            person[kind] = [record for key, record in found if key == person["address"]]
    return people


def page_of(found: Sequence[tuple[str, Record]], more: bool) -> Page:
    """A page of emails that a store gives with their places in time."""
    return Page([record for _, record in found], (found[-1][0], found[-1][1]["id"]) if more else None)


class _NoMatch(Exception):
    """No email can pass these filters."""


def _conditions(filters: Mapping[str, Any]) -> Conditions:
    """What the filters ask for. Raises Invalid and _NoMatch."""
    if "" in filters.values():
        raise _NoMatch
    asked: dict[str, Any] = {}
    for name, (condition, kind, normalize) in _KEYS.items():
        if name in filters:
            asked[condition] = _known_key(filters[name], kind, normalize)
    for name, condition in _AS_IT_IS.items():
        if name in filters:
            asked[condition] = filters[name]
    if "domain" in filters:
        asked["domain_key"] = normalize_domain(filters["domain"])
        if asked["domain_key"] is None:
            raise _NoMatch
    if "contactId" in filters:
        contacts = store.contacts.read([filters["contactId"]])  # none: a link may name a contact that is not here
        asked["contact_id"] = filters["contactId"]
        asked["contact_keys"] = keys_of(contacts[0]) if contacts else ()
    if "q" in filters:
        try:
            asked["search"] = read_search(filters["q"])
        except ValueError as error:
            raise Invalid(q=str(error)) from None
    return Conditions(**asked)


_KEYS: dict[str, tuple[str, str, Callable[[str], str | None]]] = {
    "rfc822MsgId": ("message_key", "message", normalize_message_id),
    "syncThreadId": ("thread_key", "thread", normalize_message_id),
    "msgId": ("copy_key", "copy", normalize_message_id),
    "address": ("address_key", "address", normalize_address),
}
_AS_IT_IS = {
    "receivedAfter": "received_after",
    "receivedBefore": "received_before",
    "hasAttachments": "has_attachments",
}


def _known_key(value: str, kind: str, normalize: Callable[[str], str | None]) -> str:
    """The key that a filter's value means: the first of its candidate_keys that an email has, else as it came."""
    keys = candidate_keys(value, normalize)
    if not keys:
        raise _NoMatch
    if len(keys) > 1:  # only a value with spaces in it costs a question
        known = store.emails.known(kind, keys)
        return next((key for key in keys if key in known), keys[0])
    return keys[0]


def keys_of(contact: Record) -> tuple[str, ...]:
    """The normalized addresses of a contact, each once."""
    return tuple(dict.fromkeys(filter(None, map(normalize_address, contact["emailAddresses"]))))
