"""Emails: what makes two of them one, what a copy adds, and how they are found."""

import logging
from collections.abc import Callable, Mapping, Sequence
from json import dumps
from typing import Any

from clock import later, now
from crm.changes import record_change
from crm.directory import get_contact
from crm.matching import candidate_keys, normalize_address, normalize_message_id
from crm.merging import LISTS, NO_EMAIL, entries, merged, relation
from crm.preview import find_file, has_files, snippet, text_of
from crm.records import Conflict, Cursor, Invalid, NotFound, Page, Record
from crm.seam import attempts, optional, store
from store.drafts import MOST_RECIPIENTS, Conditions, Draft
from store.words import read_search

log = logging.getLogger(__name__)


def log_email(email: Mapping[str, Any]) -> tuple[Record, bool]:
    """Log an email; gives the record and whether it is new.

    An email is its rfc822MsgId; without one, its msgId, any under which a copy was seen; without either, it is new. A
    copy of an email that is here adds recipients and relatedTo entries that the record lacks, fills what was empty, and
    can be found by its own msgId from then on. Where its subject or a body differs, the first stays.
    """
    return log_emails([email])[0]


def log_emails(emails: Sequence[Mapping[str, Any]]) -> list[tuple[Record, bool]]:
    """Log several emails, the new ones in one transaction. Everything that takes time is done before it."""
    whole: list[Record] = [{"id": None, **NO_EMAIL, **email} for email in emails]
    drafts = {n: derive(email) for n, email in enumerate(whole) if _find_copy(*_keys(email)) is None}
    for draft in drafts.values():
        optional(store.emails, "prepare")(None, draft)
    logged: dict[int, Record] = {}
    if drafts:
        with store.transaction():
            for n, draft in drafts.items():
                if _find_copy(draft.message_key, draft.copy_key) is None:  # none came meanwhile
                    logged[n] = _insert(draft)
    for n in logged:
        optional(store.emails, "catch_up")(drafts[n])
    return [(logged[n], True) if n in logged else _log_copy(email) for n, email in enumerate(whole)]


def _log_copy(copy: Record) -> tuple[Record, bool]:
    """Log an email that is here already, or was until now."""
    message_key, key = _keys(copy)
    email_id = _find_copy(message_key, key)
    if email_id is None:
        return log_email(copy)

    def merge(here: Record) -> Record:
        for name in ("subject", "textBody", "htmlBody"):
            if here[name] and copy[name] and here[name] != copy[name]:
                log.warning("email %s: the %s of a copy differs; the first stays", here["id"], name)
        return merged(here, copy)

    try:
        return _change(email_id, merge, key), False
    except NotFound:  # it was deleted in this moment
        return log_email(copy)


def get_email(email_id: str) -> Record:
    """The email with this id. Raises NotFound."""
    for email in store.emails.read([email_id]):
        return email
    raise NotFound


def get_attachment(email_id: str, attachment_id: str) -> Record:
    """A file of an email: name, mimeType and content, decoded to bytes.

    Raises NotFound, also where only the file's description was logged, or a content that is no base64.
    """
    file = find_file(get_email(email_id)["attachments"], attachment_id)
    if file is None:
        raise NotFound
    return file


def change_email(email_id: str, changes: Mapping[str, Any]) -> Record:
    """Give the named fields of an email new values. Raises NotFound, and Conflict for another email's rfc822MsgId."""
    return _change(email_id, lambda old: {**old, **changes})


def delete_email(email_id: str, unchanged_since: str | None = None) -> bool:
    """Remove an email and all that was derived from it; False where it has another updatedAt than is given.

    Raises NotFound.
    """
    for attempt in attempts():
        with attempt:
            old = derive(get_email(email_id))
            if unchanged_since not in (None, old.record["updatedAt"]):
                return False
            optional(store.emails, "prepare")(old, None)
            with store.transaction():
                if store.emails.version(email_id) == old.record["updatedAt"]:
                    store.emails.delete(old)
                    record_change("email", email_id, "deleted")
                    return True
    raise AssertionError


# ---- writing --------------------------------------------------------------------------------------------------------


def _keys(email: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """An email's rfc822MsgId and msgId, normalized."""
    return normalize_message_id(email["rfc822MsgId"]), normalize_message_id(email["msgId"])


def _find_copy(message_key: str | None, copy_key: str | None) -> str | None:
    """The id of the email of which one with these keys is a copy."""
    if message_key:
        return next(iter(store.emails.with_message_key(message_key)), None)
    if copy_key:
        return next(iter(store.emails.with_copy_key(copy_key)), None)
    return None


def _insert(draft: Draft) -> Record:
    record = draft.record
    record["createdAt"] = record["updatedAt"] = now()
    record["id"] = store.emails.insert(draft)
    if draft.copy_key:
        store.emails.record_copy(record["id"], draft.copy_key)
    record_change("email", record["id"], "created")
    return record


def _change(email_id: str, change: Callable[[Record], Record], copy_key: str | None = None) -> Record:
    """Store what becomes of an email; `copy_key`: the msgId under which a copy of it was seen.

    Nothing is written where nothing changes. Raises NotFound and Conflict.
    """
    for attempt in attempts():
        with attempt:
            old = get_email(email_id)
            new = change(old)
            unchanged = _same(old, new)
            if unchanged and (copy_key is None or email_id in store.emails.with_copy_key(copy_key)):
                with store.transaction():  # also of what is only found, no answer is given before it is safe
                    return old
            before, after = derive(old), derive(new, old)
            optional(store.emails, "prepare")(before, after)
            with store.transaction():
                if store.emails.version(email_id) != old["updatedAt"]:
                    continue
                if copy_key:
                    store.emails.record_copy(email_id, copy_key)
                record = old if unchanged else _update(before, after)
            if not unchanged:
                optional(store.emails, "catch_up")(after)
            return record
    raise AssertionError


def _update(before: Draft, after: Draft) -> Record:
    old, new = before.record, after.record
    if after.message_key not in (None, before.message_key) and store.emails.with_message_key(after.message_key):
        raise Conflict("Another email has this rfc822MsgId.")
    if new["msgId"] != old["msgId"]:
        if before.copy_key:
            store.emails.forget_copy(old["id"], before.copy_key)
        if after.copy_key:
            store.emails.record_copy(old["id"], after.copy_key)
    new["updatedAt"] = later(old["updatedAt"])  # it is the version that other writers compare
    store.emails.update(before, after)
    record_change("email", new["id"], "changed")
    return new


def _same(old: Record, new: Record) -> bool:
    return new == old and dumps(new, sort_keys=True) == dumps(old, sort_keys=True)  # to Python, true is 1


def derive(record: Record, old: Record | None = None) -> Draft:
    """An email with all that follows from its fields; of an `old` one, what has not changed is not parsed again."""
    html = record["htmlBody"]
    if "htmlText" not in record or (old is not None and html != old["htmlBody"]):
        record = {**record, "htmlText": text_of(html) if html else None}
    else:
        record = dict(record)
    people = _people(record)
    message_key, copy_key = _keys(record)
    return Draft(
        record=record,
        message_key=message_key,
        copy_key=copy_key,
        thread_key=normalize_message_id(record["syncThreadId"]),
        recipients=[(*one, normalize_address(one[2])) for one in people[:MOST_RECIPIENTS]],
        more_recipients=[(role, text) for role, _, text in people[MOST_RECIPIENTS:]],
        links=list(dict.fromkeys(filter(None, map(relation, entries(record["relatedTo"]))))),
        snippet=snippet(record["textBody"] or record["htmlText"] or ""),
        has_attachments=has_files(record["attachments"]),
    )


def _people(record: Mapping[str, Any]) -> list[tuple[str, int, str]]:
    """Sender and recipients of an email: role, position and text."""
    sender = [] if record["fromAddress"] is None else [record["fromAddress"]]
    lists = {"from": sender, **{role: record[name] for role, name in LISTS.items()}}
    return [(role, place, text) for role, texts in lists.items() for place, text in enumerate(texts)]


# ---- finding --------------------------------------------------------------------------------------------------------


def find_emails(filters: Mapping[str, str], after: Cursor | None = None, limit: int = 25) -> Page:
    """A page of the emails that pass every filter, newest first (by receivedAt, else by createdAt).

    Filters: rfc822MsgId, msgId, syncThreadId, address, contactId, receivedAfter (at or after), receivedBefore, and q,
    words and "phrases" to be found in subject, bodies, names and addresses. One with an empty value matches nothing.
    Raises Invalid for a q that can't be searched for.
    """
    try:
        conditions = _conditions(filters)
    except _NoMatch:
        return Page([], None)
    return _page(conditions, after, limit, whole=True)


def timeline(contact_id: str, after: Cursor | None = None, limit: int = 25) -> Page:
    """A page of a contact's emails, newest first: without bodies, but with snippet, hasAttachments and roles.

    `roles` says why an email is here: from, to, cc, bcc for each list with one of the contact's addresses, relatedTo
    for a link. Links by address are joins: an address added today finds the emails of last year. Raises NotFound.
    """
    keys = _keys_of(get_contact(contact_id))

    def with_roles(record: Record) -> Record:
        people = _people(record)[:MOST_RECIPIENTS]
        roles = list(dict.fromkeys(role for role, _, text in people if normalize_address(text) in keys))
        if ("contact", contact_id) in map(relation, entries(record["relatedTo"])):
            roles.append("relatedTo")
        return {**record, "roles": roles}

    page = _page(Conditions(contact_id=contact_id, contact_keys=keys), after, limit, whole=False)
    return Page([with_roles(record) for record in page.records], page.next)


def _page(conditions: Conditions, after: Cursor | None, limit: int, whole: bool) -> Page:
    found, more = store.emails.page(conditions, after, limit, whole)
    return Page([record for _, record in found], (found[-1][0], found[-1][1]["id"]) if more else None)


class _NoMatch(Exception):
    """No email can pass these filters."""


def _conditions(filters: Mapping[str, str]) -> Conditions:
    """What the filters ask for. Raises Invalid and _NoMatch."""
    if not all(filters.values()):
        raise _NoMatch
    asked: dict[str, Any] = {}
    for name, (condition, kind, normalize) in _KEYS.items():
        if name in filters:
            asked[condition] = _known_key(filters[name], kind, normalize)
    for name, condition in (("receivedAfter", "received_after"), ("receivedBefore", "received_before")):
        if name in filters:
            asked[condition] = filters[name]
    if "contactId" in filters:
        contacts = store.contacts.read([filters["contactId"]])  # none: a link may name a contact that is not here
        asked["contact_id"] = filters["contactId"]
        asked["contact_keys"] = _keys_of(contacts[0]) if contacts else ()
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


def _known_key(value: str, kind: str, normalize: Callable[[str], str | None]) -> str:
    """The key that a filter's value means: the first of its candidate_keys that an email has, else as it came."""
    keys = candidate_keys(value, normalize)
    if not keys:
        raise _NoMatch
    if len(keys) > 1:  # only a value with spaces in it costs a question
        known = store.emails.known(kind, keys)
        return next((key for key in keys if key in known), keys[0])
    return keys[0]


def _keys_of(contact: Record) -> tuple[str, ...]:
    """The normalized addresses of a contact, each once."""
    return tuple(dict.fromkeys(filter(None, map(normalize_address, contact["emailAddresses"]))))
