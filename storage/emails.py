"""Emails: identity and merging, look-ups and pages."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from json import dumps, loads
from typing import Any, NamedTuple

import models
from clock import later, now
from database import execute, full_text, indexed, insert, iterate, marks, rows, writing
from folding import fold_address, fold_message_id, readings
from merging import LISTS, NO_EMAIL, entries, merged, relation
from preview import find_file, has_files, snippet, text_of
from records import Conflict, Cursor, Invalid, NotFound, Page, Record
from storage.changes import record_change

log = logging.getLogger(__name__)

_HEAD = """e.id, e.msg_id, e.sync_thread_id, e.in_reply_to, e.received_at, e.rfc822_msg_id, e.subject, e.from_name,
    (SELECT json_group_array(json_array(role, text)) FROM
        (SELECT role, text FROM recipient WHERE email_id = e.id ORDER BY role, position) AS found),
    e.related_to, e.created_at, e.updated_at"""
WHOLE = f"{_HEAD}, e.text_body, e.html_body, e.attachments"
_LISTED = f"{_HEAD}, e.snippet, e.has_attachments"


def log_email(email: Mapping[str, Any]) -> tuple[Record, bool]:
    """Log a mail; gives the record and whether it is new.

    A mail is its rfc822MsgId; without one, its msgId, any under which a copy was seen; without either, it is new. A
    copy of a mail that is here adds recipients and relatedTo entries that the record lacks, fills what was empty, and
    can be found by its own msgId from then on. Where its subject or a body differs, the first stays.
    """
    created = now()
    new = {"id": None, **NO_EMAIL, **email, "createdAt": created, "updatedAt": created}
    prepared = _prepare(new)  # most emails are new: what takes time is done while others may still write
    mail_key, copy_key = fold_message_id(email.get("rfc822MsgId")), fold_message_id(email.get("msgId"))
    change: _Change | None = None
    while True:
        with writing():
            found = _find_copy(mail_key, copy_key)
            if found is None:
                return _insert_email(new, prepared, copy_key), True
            if change and change.version == found:
                _see(change.version.row_id, copy_key)
                record = _update_email(change)
                break
        change = _merge(found, email)
    for name in ("subject", "textBody", "htmlBody"):
        if record[name] and email.get(name) and record[name] != email[name]:
            log.warning("email %s: the %s of a copy differs; the first stays", record["id"], name)
    return record, False


def get_email(email_id: str) -> Record:
    """The email with this id. Raises NotFound."""
    for row in rows(f"SELECT {WHOLE} FROM email e WHERE e.id = ?", [_row_id(email_id)]):
        return email_from(row)
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
    while True:
        old = get_email(email_id)
        change = _prepare_change(old, {**old, **changes})
        row_id = change.version.row_id
        key = fold_message_id(change.record["rfc822MsgId"])
        was, copy_key = fold_message_id(old["msgId"]), fold_message_id(change.record["msgId"])
        with writing():
            if rows("SELECT updated_at FROM email WHERE id = ?", [row_id]) != [(change.version.updated_at,)]:
                continue  # another was faster
            if rows("SELECT 1 FROM email WHERE rfc822_key = ? AND id != ?", [key, row_id]):
                raise Conflict("Another email has this rfc822MsgId.")
            if change.record["msgId"] != old["msgId"]:
                execute("DELETE FROM sighting WHERE msg_key = ? AND email_id = ?", [was, row_id])
                _see(row_id, copy_key)
            return _update_email(change)


def delete_email(email_id: str) -> None:
    """Remove an email and all that was derived from it. Raises NotFound."""
    with writing():
        if not execute("DELETE FROM email WHERE id = ?", [_row_id(email_id)]).rowcount:
            raise NotFound
        record_change("email", email_id, "deleted")


def find_emails(filters: Mapping[str, str], after: Cursor | None = None, limit: int = 25) -> Page:
    """A page of the emails that pass every filter, newest first (by receivedAt, else by createdAt).

    Filters: rfc822MsgId, msgId, syncThreadId, address, contactId, receivedAfter (at or after), receivedBefore, and q,
    words and "phrases" to be found in subject, bodies, names and addresses. One with an empty value matches nothing.
    Raises Invalid for a q that can't be searched for.
    """
    if not all(filters.values()):
        return Page([], None)
    streams, conditions, parameters = _plan(filters)
    return _page(WHOLE, email_from, streams, conditions, parameters, after, limit, filters.get("receivedBefore"))


def timeline(contact_id: str, after: Cursor | None = None, limit: int = 25) -> Page:
    """A page of a contact's mail, newest first: without bodies, but with snippet, hasAttachments and roles.

    `roles` says why a mail is here: from, to, cc, bcc for each list with one of the contact's addresses, relatedTo for
    a link. Links by address are joins: an address added today finds the mail of last year. Raises NotFound.
    """
    keys = _contact_keys(contact_id)

    def listed(row: Sequence[Any]) -> Record:
        *head, text, files = row
        record = _head(head)
        people = {"from": [record["fromAddress"] or ""], **{role: record[name] for role, name in LISTS.items()}}
        roles = [role for role, texts in people.items() if not keys.isdisjoint(map(fold_address, texts))]
        if ("contact", contact_id) in map(relation, entries(record["relatedTo"])):
            roles.append("relatedTo")
        return {**record, "snippet": text, "hasAttachments": bool(files), "roles": roles}

    return _page(_LISTED, listed, _streams_of_contact(contact_id, keys), [], [], after, limit)


_MOST_STREAMS = 50  # of a contact; SQLite merges 500 at most, and nobody has as many addresses


class _Stream(NamedTuple):
    """Emails in the order of time, as an index gives them: where from, its columns of time and id, which of them."""

    source: str
    at: str
    id: str
    condition: str
    parameters: list[Any]


def _stream_of(table: str, condition: str, *parameters: Any) -> _Stream:
    source = f"{table} d CROSS JOIN email e ON e.id = d.email_id"  # CROSS: never begin with all emails
    return _Stream(source, "d.at", "d.email_id", condition, list(parameters))


def _contact_keys(contact_id: str) -> set[str]:
    """The folded addresses of a contact, whoever keeps the contacts. Raises NotFound."""
    folded = map(fold_address, models.get_contact(contact_id)["emailAddresses"])
    return {key for key in folded if key}


def _streams_of_contact(contact_id: str, keys: set[str]) -> list[_Stream]:
    """One stream for each of a contact's addresses, as each has its own order of time, and one for the links to it."""
    linked = _stream_of("relation", "d.type = 'contact' AND d.record_id = ?", contact_id)
    if len(keys) > _MOST_STREAMS:
        return [linked, _stream_of("recipient", f"d.folded IN ({marks(keys)})", *keys)]
    return [linked, *(_stream_of("recipient", "d.folded = ?", key) for key in keys)]


def _plan(filters: Mapping[str, str]) -> tuple[list[_Stream], list[str], list[Any]]:
    """What to walk through, and the conditions, with their parameters, that each email has to meet."""
    streams = [_Stream("email e", "e.at", "e.id", "1 = 1", [])]
    conditions: list[str] = []
    parameters: list[Any] = []

    def require(condition: str, *values: Any) -> None:
        conditions.append(condition)
        parameters.extend(values)

    if "rfc822MsgId" in filters:
        known = "SELECT 1 FROM email WHERE rfc822_key = ?"
        require("e.rfc822_key = ?", _reading(filters["rfc822MsgId"], fold_message_id, known))
    if "syncThreadId" in filters:
        known = "SELECT 1 FROM email WHERE thread_key = ? LIMIT 1"
        require("e.thread_key = ?", _reading(filters["syncThreadId"], fold_message_id, known))
    if "msgId" in filters:
        known = "SELECT 1 FROM sighting WHERE msg_key = ? LIMIT 1"
        key = _reading(filters["msgId"], fold_message_id, known)
        require("e.id IN (SELECT email_id FROM sighting WHERE msg_key = ?)", key)
    # Which filter's emails are walked through, while every other one tests them; those so far find but few.
    walked = None if conditions else next((name for name in ("q", "address", "contactId") if name in filters), None)
    if "receivedAfter" in filters:
        require("{at} >= ? AND e.received_at IS NOT NULL", filters["receivedAfter"])
    if "receivedBefore" in filters:
        require("e.received_at IS NOT NULL")  # the time itself is where `_page` begins
    if "contactId" in filters:
        contact_id = filters["contactId"]
        try:
            keys = _contact_keys(contact_id)
        except NotFound:  # a link may name a contact that is not here
            keys = set()
        if walked == "contactId":
            streams = _streams_of_contact(contact_id, keys)
        else:  # || '': among the recipients of the mail, not among all the mails of the address
            require(
                f"""(EXISTS (SELECT 1 FROM recipient WHERE email_id = e.id AND folded || '' IN ({marks(keys)}))
                OR EXISTS (SELECT 1 FROM relation WHERE email_id = e.id AND type = 'contact' AND record_id = ?))""",
                *keys,
                contact_id,
            )
    if "address" in filters:
        key = _reading(filters["address"], fold_address, "SELECT 1 FROM recipient WHERE folded = ? LIMIT 1")
        if walked == "address":
            streams = [_stream_of("recipient", "d.folded = ?", key)]
        else:
            require("EXISTS (SELECT 1 FROM recipient WHERE email_id = e.id AND folded || '' = ?)", key)
    if "q" in filters:
        try:
            source, condition, words = full_text(filters["q"])
        except ValueError as error:
            raise Invalid(q=str(error)) from None
        if walked == "q":
            streams = [_Stream(source, "e.at", "e.id", condition, [words])]
        else:
            require(f"e.id IN (SELECT e.id FROM {source} WHERE {condition})", words)
    return streams, conditions, parameters


def _reading(value: str, fold: Callable[[str], str | None], known: str) -> str | None:
    """The key that a filter's value means: the first of its readings that the query `known` finds, else as it came."""
    keys = readings(value, fold)
    if len(keys) > 1:  # only a value with spaces in it costs a question
        return next((key for key in keys if rows(known, [key])), keys[0])
    return keys[0] if keys else None


_LARGEST_PAGE = 8 * 1024 * 1024  # characters, after which a page ends early: a hundred large mails are gigabytes


def _page(
    columns: str,
    build: Callable[[Sequence[Any]], Record],
    streams: list[_Stream],
    conditions: list[str],
    parameters: list[Any],
    after: Cursor | None,
    limit: int,
    before: str | None = None,
) -> Page:
    """Merge the streams, newest first and each email once, from behind the cursor and before a time; in one statement.

    Both are one bound: of two, an index can use only one, and would walk through all that the other leaves out.
    """
    bounds = ([(after[0], _row_id(after[1]))] if after else []) + ([(before, 0)] if before else [])
    behind = min(bounds, default=())
    heads = []
    values: list[Any] = []
    for stream in streams:
        where = [stream.condition, *conditions] + ["({at}, {id}) < (?, ?)"] * bool(behind)
        heads.append(
            f"SELECT * FROM (SELECT DISTINCT {stream.at} AS at, {stream.id} AS id FROM {stream.source} WHERE "
            f"{' AND '.join(where).format(at=stream.at, id=stream.id)} ORDER BY 1 DESC, 2 DESC LIMIT ?) AS found"
        )
        values += [*stream.parameters, *parameters, *behind, limit + 1]
    query = (
        f"WITH page AS ({' UNION '.join(heads)} ORDER BY 1 DESC, 2 DESC LIMIT ?) "
        f"SELECT page.at, {columns} FROM page JOIN email e ON e.id = page.id ORDER BY page.at DESC, page.id DESC"
    )
    found: list[Sequence[Any]] = []
    room = _LARGEST_PAGE
    more = False
    with closing(iterate(query, [*values, limit + 1])) as read:
        for row in read:
            if more := room < 0:
                break
            found.append(row)
            room -= sum(len(value) for value in row if isinstance(value, str))
    more = more or len(found) > limit
    found = found[:limit]
    return Page([build(row[1:]) for row in found], (found[-1][0], str(found[-1][1])) if more else None)


def _row_id(text: str) -> int:
    """The row of an email's id; -1, which no row has, for what can't be one."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 and str(int(text)) == text else -1


def _head(row: Sequence[Any]) -> Record:
    """The fields of an email that every list shows, from the columns of _HEAD."""
    row_id, msg_id, thread_id, reply_to, received, rfc822, subject, from_name, people, related, created, updated = row
    lists: dict[str, list[str]] = {"from": [], "to": [], "cc": [], "bcc": []}
    for role, text in loads(people or "[]"):
        lists[role].append(text)
    return {
        "id": str(row_id),
        "msgId": msg_id,
        "syncThreadId": thread_id,
        "inReplyTo": reply_to,
        "receivedAt": received,
        "rfc822MsgId": rfc822,
        "subject": subject,
        "fromAddress": lists["from"][0] if lists["from"] else None,
        "fromName": from_name,
        "toAddresses": lists["to"],
        "ccAddresses": lists["cc"],
        "bccAddresses": lists["bcc"],
        "relatedTo": loads(related) if related else [],
        "createdAt": created,
        "updatedAt": updated,
    }


def email_from(row: Sequence[Any]) -> Record:
    *head, text, html, attachments = row
    return {
        **_head(head),
        "textBody": text,
        "htmlBody": html,
        "attachments": loads(attachments) if attachments else [],
    }


class _Version(NamedTuple):
    """An email as it is between two changes: no two of its versions have the same time."""

    row_id: int
    updated_at: str


def _find_copy(mail_key: str | None, copy_key: str | None) -> _Version | None:
    """The email that has this Message-ID; where none is given, the one of which a copy had this msgId."""
    condition, key = "rfc822_key = ?", mail_key
    if not key:
        condition, key = "id = (SELECT min(email_id) FROM sighting WHERE msg_key = ?)", copy_key
    found = rows(f"SELECT id, updated_at FROM email WHERE {condition}", [key]) if key else []
    return _Version(*found[0]) if found else None


class _Prepared(NamedTuple):
    """What an email becomes in the tables, but for its id."""

    columns: dict[str, Any]  # of its row
    recipients: list[tuple[Any, ...]]  # role, position, text, folded, at
    relations: list[tuple[Any, ...]]  # type, record_id, at


def _insert_email(record: Record, prepared: _Prepared, copy_key: str | None) -> Record:
    columns = prepared.columns
    inserted = execute(
        f"INSERT INTO email ({', '.join(columns)}) VALUES ({marks(columns)}) RETURNING id", list(columns.values())
    )
    row_id = inserted.fetchone()[0]
    _insert_people(row_id, prepared)
    _see(row_id, copy_key)
    record_change("email", str(row_id), "created")
    return {**record, "id": str(row_id)}


class _Change(NamedTuple):
    """A new version of an email, prepared before the write lock is taken."""

    version: _Version  # of which it is a change
    record: Record  # as it will be
    prepared: _Prepared | None  # None where nothing changes


def _merge(found: _Version, copy: Mapping[str, Any]) -> _Change | None:
    """What a copy changes in the email that was found; None where that is gone."""
    try:
        old = get_email(str(found.row_id))
    except NotFound:
        return None
    return _prepare_change(old, merged(old, copy))


_SEARCHED = ["subject", "fromAddress", "fromName", *LISTS.values(), "textBody", "htmlBody"]


def _prepare_change(old: Record, new: Record) -> _Change:
    """All that takes time: what an email becomes in the tables, but for what follows from fields that stay."""
    version = _Version(int(old["id"]), old["updatedAt"])
    if new == old and dumps(new, sort_keys=True) == dumps(old, sort_keys=True):  # to Python, true is 1
        return _Change(version, old, None)
    new = {**new, "updatedAt": later(old["updatedAt"])}
    if new["htmlBody"] != old["htmlBody"]:
        return _Change(version, new, _prepare(new))
    stored = rows("SELECT html_text FROM email WHERE id = ?", [version.row_id])
    html_text = stored[0][0] if stored else None  # without a row, the version will not be there either
    reindex = any(new[name] != old[name] for name in _SEARCHED)
    return _Change(version, new, _prepare(new, html_text, reindex))


def _update_email(change: _Change) -> Record:
    """Store a change; nothing is written where nothing has changed. Needs the write lock, and the same version."""
    if change.prepared is None:
        return change.record
    row_id, columns = change.version.row_id, change.prepared.columns
    assignments = ", ".join(f"{column} = ?" for column in columns)
    execute(f"UPDATE email SET {assignments} WHERE id = ?", [*columns.values(), row_id])
    execute("DELETE FROM recipient WHERE email_id = ?", [row_id])
    execute("DELETE FROM relation WHERE email_id = ?", [row_id])
    _insert_people(row_id, change.prepared)
    record_change("email", str(row_id), "changed")
    return change.record


_UNREAD = "\0"  # for the words of an HTML body that are not known yet; no text that is stored holds it


def _prepare(record: Record, html_text: str | None = _UNREAD, reindex: bool = True) -> _Prepared:
    """An email's fields, and what is derived from them for look-ups, lists and the search.

    `html_text`: the words of its HTML body, where they are known. `reindex`: whether what the search reads has changed.
    """
    if html_text == _UNREAD:
        html_text = text_of(record["htmlBody"]) if record["htmlBody"] else None
    columns = derived(record, html_text)
    at = columns["at"]
    sender = [] if record["fromAddress"] is None else [record["fromAddress"]]
    lists = {"from": sender, **{role: record[name] for role, name in LISTS.items()}}
    recipients = [
        (role, position, text, fold_address(text), at)
        for role, texts in lists.items()
        for position, text in enumerate(texts)
    ]
    links = filter(None, map(relation, entries(record["relatedTo"])))
    columns |= {
        "msg_id": record["msgId"],
        "rfc822_msg_id": record["rfc822MsgId"],
        "sync_thread_id": record["syncThreadId"],
        "in_reply_to": record["inReplyTo"],
        "received_at": record["receivedAt"],
        "created_at": record["createdAt"],
        "updated_at": record["updatedAt"],
        "from_name": record["fromName"],
        "related_to": _json(record["relatedTo"]),
        "attachments": _json(record["attachments"]),
    }
    if not reindex:
        del columns["people"], columns["snippet"]  # to name a column is enough for SQLite to index anew
    else:
        columns |= {
            "subject": record["subject"],
            "text_body": record["textBody"],
            "html_text": html_text,
            "html_body": record["htmlBody"],
            **indexed([record["subject"], columns["people"], record["textBody"], html_text]),
        }
    return _Prepared(columns, recipients, [(*link, at) for link in links])


def derived(record: Record, html_text: str | None) -> dict[str, Any]:
    """The columns that follow from an email's fields and the words of its HTML body, by name."""
    lists = [record[name] for name in LISTS.values()]
    people = [record["fromName"], record["fromAddress"], *(text for texts in lists for text in texts)]
    return {
        "at": record["receivedAt"] or record["createdAt"],
        "rfc822_key": fold_message_id(record["rfc822MsgId"]),
        "thread_key": fold_message_id(record["syncThreadId"]),
        "has_attachments": has_files(record["attachments"]),
        "snippet": snippet(record["textBody"] or html_text or ""),
        "people": "\n".join(filter(None, people)),
    }


def _json(value: Any) -> str | None:
    return None if value == [] else dumps(value, ensure_ascii=False)


def _insert_people(row_id: int, prepared: _Prepared) -> None:
    """Write an email's recipients and relations, in bulk."""
    insert(
        "INTO recipient (email_id, role, position, text, folded, at)",
        "(?, ?, ?, ?, ?, ?)",
        [(row_id, *recipient) for recipient in prepared.recipients],
    )
    insert(
        "INTO relation (email_id, type, record_id, at)",
        "(?, ?, ?, ?)",
        [(row_id, *link) for link in prepared.relations],
    )


def _see(row_id: int, key: str | None) -> None:
    """Remember the msgId, normalized, under which an email was seen in a mailbox."""
    insert("INTO sighting (msg_key, email_id)", "(?, ?)", [(key, row_id)] if key else [])
