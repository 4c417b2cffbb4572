"""What is held about a person, by address: to be disclosed, or to be erased without a trace.

What mentions an address is said by `mentions`. Records are read one by one and outside the write lock; what is found is
removed in short transactions, each only if nobody has changed it meanwhile. What came or changed since is looked for
again, until there is nothing.
"""

import logging
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

from crm.directory import change_company, delete_company, delete_contact
from crm.emails import delete_email
from crm.matching import normalize_address
from crm.mentions import Mentions
from crm.merging import NO_EMAIL
from crm.never_log import erase_mentions, find_mentions
from crm.records import Invalid, NotFound, Record
from crm.seam import store

log = logging.getLogger(__name__)

_AT_A_TIME = 100  # records that are read at a time
_PASSES = 20

_NAMES = ("msgId", "rfc822MsgId", "syncThreadId", "inReplyTo", "subject", "fromName", "fromAddress")
_LISTS = ("toAddresses", "ccAddresses", "bccAddresses", "copies")


def export_person(address: str) -> Iterator[tuple[str, Record]]:
    """All that is held about an address: pairs of a kind and the record, one kind after the other. Raises Invalid.

    Kinds: "user", "contact", "company", "email", "copy" (what a copy of an email says otherwise, under the email's id),
    "change", "rule" (of never log). A record is here that has the address, or mentions it in any
    place; emails come one by one, as all together may be large.
    """
    sought = mentions(address)
    records = ((kind, record) for kind, find in _FIND.items() for record in find(sought, None))
    return chain(records, find_mentions(sought))


def erase_person(address: str, dry_run: bool = False) -> dict[str, list[str]]:
    """Remove all that `export_person` gives, from the tables, the search index and the file itself; gives the ids.

    The receipt names what went (or, in a dry run, would go). Users, contacts and emails go whole. Of a company only the
    text goes: its name, or that domain; it goes whole where its id has the address. The change feed keeps that records
    were deleted, their ids and nothing else; where the id itself has the address, its entries go too. Of a rule of
    never log only the reason goes: one for the address keeps that person's emails away. Raises Invalid.
    """
    sought = mentions(address)
    gone: dict[str, dict[str, None]] = {kind: {} for kind in _FIND}
    rules = erase_mentions(sought, dry_run)
    since: int | None = None
    for _ in range(1 if dry_run else _PASSES):
        began = _last_change()
        again = False
        for kind, find in _FIND.items():
            for record in find(sought, since):
                again = True
                if dry_run or _REMOVE[kind](record, sought):
                    gone["email" if kind == "copy" else kind][str(record["seq" if kind == "change" else "id"])] = None
        since = began
        if not again:
            break
    if not dry_run and not store.purge():
        log.warning(
            "What was erased is in unused parts of the file until others stop reading; erase the address again."
        )
    return {_PLURALS[kind]: sorted(ids, key=_by_number) for kind, ids in gone.items() if kind in _PLURALS} | rules


_PLURALS = {"user": "users", "contact": "contacts", "company": "companies", "email": "emails", "change": "changes"}


def _by_number(record_id: str) -> tuple[int, str]:
    return (len(record_id) if record_id.isdecimal() else 0), record_id


def mentions(address: str) -> Mentions:
    """An address to look for. Raises Invalid."""
    try:
        return Mentions(address)
    except ValueError as error:
        raise Invalid(address=str(error)) from None


# ---- finding --------------------------------------------------------------------------------------------------------


def _find_users(sought: Mentions, since: int | None) -> Iterator[Record]:
    after = ""
    while page := store.users.page(after, _AT_A_TIME):
        after = page[-1]["id"]
        yield from (user for user in page if sought.in_value(user))


def _find_in(part: Any) -> Callable[[Mentions, int | None], Iterator[Record]]:
    def find(sought: Mentions, since: int | None) -> Iterator[Record]:
        after = ("", "")
        while page := part.page(*after, _AT_A_TIME):  # in the order of their last change: none is missed
            after = page[-1]["updatedAt"], page[-1]["id"]
            yield from (record for record in page if _has(record, sought))

    return find


def _has(record: Record, sought: Mentions) -> bool:
    return sought.in_value({name: value for name, value in record.items() if name not in ("companyId", "nameKey")})


def _find_emails(sought: Mentions, since: int | None) -> Iterator[Record]:
    pages = _all_emails() if since is None else _changed_emails(since)
    for page in pages:
        # Nothing is open in the database while a find is dealt with.
        yield from [email for email in page if _is_mentioned(sought, email)]


def _all_emails() -> Iterator[Iterator[Record]]:
    after: str | None = ""
    while after is not None:
        last: list[str] = []

        def page(after: str = after, last: list[str] = last) -> Iterator[Record]:
            for email in store.emails.scan(after, _AT_A_TIME):
                last[:] = [email["id"]]
                yield email

        yield page()
        after = last[0] if last else None


def _changed_emails(since: int) -> Iterator[Iterator[Record]]:
    while page := store.changes.page(since, _AT_A_TIME):
        since = page[-1]["seq"]
        ids = {change["id"] for change in page if change["type"] == "email" and change["action"] != "deleted"}
        for email_id in ids:
            yield store.emails.scan_one(email_id)


def _find_copies(sought: Mentions, since: int | None) -> Iterator[Record]:
    after = ("", "")
    while page := list(store.emails.scan_copies(after, _AT_A_TIME)):
        after = page[-1][0]
        for _, copy in page:
            if _is_mentioned(sought, {**NO_EMAIL, "htmlText": None, "copies": [], **copy["differs"]}):
                yield copy


def _is_mentioned(sought: Mentions, email: Record) -> bool:
    people = [text for name in _LISTS[:3] for text in email[name]] + [email["fromAddress"] or ""]
    return (
        any(normalize_address(text) == sought.key for text in people)
        or any(sought.in_text(email[name]) for name in (*_NAMES, "textBody", "htmlText"))
        or any(sought.in_text(text) for name in _LISTS for text in email[name])
        or sought.in_html(email["htmlBody"])
        or sought.in_value(email["relatedTo"])
        or sought.in_value(email["attachments"])
    )


def _find_changes(sought: Mentions, since: int | None) -> Iterator[Record]:
    after = 0
    while page := store.changes.page(after, 1000):
        after = page[-1]["seq"]
        yield from (change for change in page if sought.in_text(change["id"]))


def _last_change() -> int:
    return store.changes.last()


# ---- removing -------------------------------------------------------------------------------------------------------


def _remove_user(user: Record, sought: Mentions) -> bool:
    with store.transaction():
        store.users.delete([user["id"]])
    return True


def _remove_contact(contact: Record, sought: Mentions) -> bool:
    try:
        delete_contact(contact["id"])
    except NotFound:
        return False
    return True


def _remove_company(company: Record, sought: Mentions) -> bool:
    try:
        if sought.in_text(company["id"]):  # an id can't be changed
            delete_company(company["id"])
        else:
            name = None if sought.in_text(company["name"]) else company["name"]
            domains = [text for text in company["domains"] if not sought.in_text(text)]
            change_company(company["id"], {"name": name, "domains": domains})
    except NotFound:
        return False
    return True


def _remove_email(email: Record, sought: Mentions) -> bool:
    try:
        return delete_email(email["id"], unchanged_since=email["updatedAt"], reason="erased")
    except NotFound:
        return False


def _remove_email_of_copy(copy: Record, sought: Mentions) -> bool:
    try:
        return delete_email(copy["id"], reason="erased")
    except NotFound:
        return False


def _remove_change(change: Record, sought: Mentions) -> bool:
    with store.transaction():
        store.changes.delete(change["seq"])
    return True


# In this order: the change feed comes behind the records whose ends it tells.
_FIND: dict[str, Callable[[Mentions, int | None], Iterator[Record]]] = {
    "user": _find_users,
    "contact": _find_in(store.contacts),
    "company": _find_in(store.companies),
    "email": _find_emails,
    "copy": _find_copies,
    "change": _find_changes,
}
_REMOVE: dict[str, Callable[[Record, Mentions], bool]] = {
    "user": _remove_user,
    "contact": _remove_contact,
    "company": _remove_company,
    "email": _remove_email,
    "copy": _remove_email_of_copy,
    "change": _remove_change,
}
