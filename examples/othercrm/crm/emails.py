"""Emails: written so that the CRM's own screens show them, and kept beside as they were sent."""

import logging
from collections.abc import Callable, Mapping, Sequence
from json import dumps, loads
from typing import Any
from uuid import uuid4

from peewee import JOIN, Tuple, fn
from records import Conflict, Cursor, Invalid, NotFound, Page, Record

from crm.matching import candidate_keys, normalize_address, normalize_message_id, split_addresses
from crm.merging import LISTS, NO_EMAIL, address_key, entries, merged, relation
from crm.preview import find_file, has_files, snippet, text_of
from database import writing

from .addresses import address_ids, with_keys
from .people import bean, get_contact
from .rows import age, crm_time, insert, mark_deleted, only, tuples, utcnow, wire_time, write
from .tables import (
    ConnectorEmails,
    ConnectorSightings,
    EmailAddresses,
    EmailAddressLinks,
    EmailBeans,
    EmailRecipients,
    Emails,
    EmailsText,
    Notes,
)

log = logging.getLogger(__name__)

_MODULES = {"contact": "Contacts", "lead": "Leads", "account": "Accounts", "company": "Accounts"}
_HELD_BY_CRM = {"subject", "receivedAt", "textBody", "htmlBody"}  # to the letter, in `emails` and `emails_text`
_AT = fn.COALESCE(Emails.date_sent, Emails.date_entered)  # a mail's place in time; index it where there are many


def log_email(email: Mapping[str, Any]) -> tuple[Record, bool]:
    """Log a mail; gives the record and whether it is new. A copy of one that is here adds what that one lacks."""
    with writing():
        here = _find_copy(email)
        if here is None:
            record = _save(None, {**NO_EMAIL, **email})
            _see(record["id"], record["msgId"])
            return record, True
        for name in ("subject", "textBody", "htmlBody"):
            if here[name] and email.get(name) and here[name] != email[name]:
                log.warning("email %s: the %s of a copy differs; the first stays", here["id"], name)
        _see(here["id"], email.get("msgId"))
        return _save(here, merged(here, email)), False


def get_email(email_id: str) -> Record:
    """The email with this id. Raises NotFound."""
    return only(emails(Emails.id == email_id, ~Emails.deleted))


def get_attachment(email_id: str, attachment_id: str) -> Record:
    """A file of an email: name, mimeType and content, decoded to bytes. Raises NotFound."""
    file = find_file(get_email(email_id)["attachments"], attachment_id)
    if file is None:
        raise NotFound
    return file


def change_email(email_id: str, changes: Mapping[str, Any]) -> Record:
    """Give the named fields of an email new values. Raises NotFound, and Conflict for another email's rfc822MsgId."""
    with writing():
        old = get_email(email_id)
        new = {**old, **changes}
        message_id = _message_id(new["rfc822MsgId"])
        if message_id and emails(Emails.message_id == message_id, Emails.id != email_id, ~Emails.deleted):
            raise Conflict("Another email has this rfc822MsgId.")
        if new["msgId"] != old["msgId"]:
            was = ConnectorSightings.msg_key == normalize_message_id(old["msgId"])
            ConnectorSightings.delete().where(was, ConnectorSightings.email == email_id).execute()
            _see(email_id, new["msgId"])
        return _save(old, new)


def delete_email(email_id: str) -> None:
    """Mark an email as deleted. Raises NotFound."""
    with writing():
        mark_deleted(Emails, email_id)


def find_emails(filters: Mapping[str, str], after: Cursor | None = None, limit: int = 25) -> Page:
    """A page of the emails that pass every filter, newest first. One with an empty value matches nothing."""
    if not all(filters.values()):
        return Page([], None)
    return _page([_condition(name, value) for name, value in filters.items()], after, limit)


def timeline(contact_id: str, after: Cursor | None = None, limit: int = 25) -> Page:
    """A page of a person's mail, newest first, with snippet, hasAttachments and roles. Raises NotFound."""
    keys = {normalize_address(text) for text in get_contact(contact_id)["emailAddresses"]} - {None}
    page = _page([_of_contact(contact_id)], after, limit)
    linked = {email_id for (email_id,) in tuples(_linked(contact_id))}

    def listed(record: Record) -> Record:
        lists = {"from": [record["fromAddress"] or ""], **{role: record[name] for role, name in LISTS.items()}}
        roles = [role for role, texts in lists.items() if not keys.isdisjoint(map(normalize_address, texts))]
        return {
            **record,
            "snippet": snippet(record["textBody"] or text_of(record["htmlBody"] or "")),
            "hasAttachments": has_files(record["attachments"]),
            "roles": roles + ["relatedTo"] * (record["id"] in linked),
        }

    return Page([listed(record) for record in page.records], page.next)


def emails(*conditions: Any, limit: int | None = None) -> list[Record]:
    """The emails that meet the conditions, newest first."""
    rows: Any = (
        Emails.select(Emails, EmailsText, ConnectorEmails.sent)
        .join(EmailsText, JOIN.LEFT_OUTER)
        .switch(Emails)
        .join(ConnectorEmails, JOIN.LEFT_OUTER)
        .where(*conditions)
        .order_by(_AT.desc(), Emails.id.desc())
        .limit(limit)
        .objects()
    )
    return [_email(row) for row in rows]


def with_addresses(addresses: Any) -> Any:
    """The condition that an email has one of the addresses, given as a query for their ids."""
    recipients = EmailRecipients.select(EmailRecipients.email).where(~EmailRecipients.deleted)
    return Emails.id.in_(recipients.where(EmailRecipients.email_address.in_(addresses)))


def clear(email_id: str) -> None:
    """Remove what hangs on an email; the msgIds under which it was seen stay."""
    tables: list[Any] = [EmailsText, EmailRecipients, EmailBeans, ConnectorEmails]
    for table in tables:
        table.delete().where(table.email == email_id).execute()
    Notes.delete().where(Notes.parent_type == "Emails", Notes.parent_id == email_id).execute()


def _condition(name: str, value: str) -> Any:
    """What a filter demands of an email."""
    match name:
        case "rfc822MsgId":
            return Emails.message_id.in_(_known(Emails.message_id, value, _message_id))
        case "msgId":
            return _seen_as(_known(ConnectorSightings.msg_key, value, normalize_message_id))
        case "syncThreadId":
            return ConnectorEmails.thread_key.in_(_known(ConnectorEmails.thread_key, value, normalize_message_id))
        case "address":
            return with_addresses(with_keys(_known(EmailAddresses.address_lower, value, normalize_address)))
        case "contactId":
            return _of_contact(value)
        case "receivedAfter":
            return Emails.date_sent >= crm_time(value)
        case "receivedBefore":
            return Emails.date_sent < crm_time(value)
    raise Invalid(**{name: "This CRM has no such search."})  # q: it has no full-text index


def _known(column: Any, value: str, fold: Callable[[str], str | None]) -> list[str]:
    """The first reading of a filter's value that the column holds, if there is one.

    A list, because `column.in_([])` matches nothing, where `column == None` would match all rows without a value.
    """
    keys = candidate_keys(value, fold)
    held = {key for (key,) in tuples(column.model.select(column).where(column.in_(keys)).distinct())}
    return [key for key in keys if key in held][:1]


def _seen_as(keys: Sequence[str]) -> Any:
    sightings = ConnectorSightings.select(ConnectorSightings.email)
    return Emails.id.in_(sightings.where(ConnectorSightings.msg_key.in_(keys)))


def _of_contact(contact_id: str) -> Any:
    """By an address or by a link. Joins, not copies: an address that was added today finds the mail of last year."""
    module, bean_id = bean(contact_id)
    addresses = EmailAddressLinks.select(EmailAddressLinks.email_address).where(
        EmailAddressLinks.bean_module == module, EmailAddressLinks.bean_id == bean_id, ~EmailAddressLinks.deleted
    )
    return with_addresses(addresses) | Emails.id.in_(_linked(contact_id))


def _linked(contact_id: str) -> Any:
    module, bean_id = bean(contact_id)
    links = EmailBeans.select(EmailBeans.email).where(EmailBeans.bean_module == module, EmailBeans.bean_id == bean_id)
    return links.where(~EmailBeans.deleted)


def _page(conditions: Sequence[Any], after: Cursor | None, limit: int) -> Page:
    behind = [Tuple(_AT, Emails.id) < Tuple(crm_time(after[0]), after[1])] if after else []
    found = emails(~Emails.deleted, *conditions, *behind, limit=limit + 1)
    last = found[limit - 1] if len(found) > limit else None
    return Page(found[:limit], (last["receivedAt"] or last["createdAt"], last["id"]) if last else None)


def _email(row: Any) -> Record:
    """An email as it was sent; of one that came into the CRM past the connector, what the CRM's own tables hold."""
    by_crm = {
        "rfc822MsgId": row.message_id,
        "fromAddress": row.from_addr,
        "toAddresses": [text.strip() for text in split_addresses([row.to_addrs or ""])],
        "ccAddresses": [text.strip() for text in split_addresses([row.cc_addrs or ""])],
        "bccAddresses": [text.strip() for text in split_addresses([row.bcc_addrs or ""])],
    }
    return {
        **NO_EMAIL,
        **(loads(row.sent) if row.sent else by_crm),
        "id": row.id,
        "receivedAt": wire_time(row.date_sent),
        "subject": row.name,
        "textBody": row.description,
        "htmlBody": row.description_html,
        "createdAt": wire_time(row.date_entered),
        "updatedAt": wire_time(row.date_modified),
    }


def _find_copy(email: Mapping[str, Any]) -> Record | None:
    """The record of the mail of which this is a copy."""
    message_id, msg_key = _message_id(email.get("rfc822MsgId")), normalize_message_id(email.get("msgId"))
    same = Emails.message_id == message_id if message_id else _seen_as([msg_key] if msg_key else [])
    return min(emails(same, ~Emails.deleted), key=age, default=None)


def _message_id(text: str | None) -> str | None:
    """A Message-ID as the CRM has it: in one pair of angle brackets."""
    key = normalize_message_id(text)
    return f"<{key}>" if key else None


def _save(old: Record | None, new: Record) -> Record:
    """Write an email and all that hangs on it; nothing where nothing has changed."""
    if old and dumps(new, sort_keys=True) == dumps(old, sort_keys=True):  # to Python, true is 1
        return old
    email_id = old["id"] if old else str(uuid4())
    columns = {
        "name": new["subject"],
        "message_id": _message_id(new["rfc822MsgId"]),
        "date_sent": crm_time(new["receivedAt"]),
    }
    write(Emails, email_id, columns, is_new=old is None)
    clear(email_id)
    EmailsText.insert(
        email=email_id,
        from_addr=new["fromAddress"],
        to_addrs=", ".join(new["toAddresses"]),
        cc_addrs=", ".join(new["ccAddresses"]),
        bcc_addrs=", ".join(new["bccAddresses"]),
        description=new["textBody"],
        description_html=new["htmlBody"],
    ).execute()
    sent = dumps({name: new[name] for name in NO_EMAIL if name not in _HELD_BY_CRM}, ensure_ascii=False)
    ConnectorEmails.insert(email=email_id, thread_key=normalize_message_id(new["syncThreadId"]), sent=sent).execute()
    _insert_recipients(email_id, new)
    _insert_links(email_id, new)
    _insert_notes(email_id, new)
    return get_email(email_id)


def _insert_recipients(email_id: str, email: Record) -> None:
    """Link an email to the addresses that can be read in it, once in each role."""
    lists = {"from": [email["fromAddress"] or ""], **{role: email[name] for role, name in LISTS.items()}}
    readable = {(role, text) for role, texts in lists.items() for text in texts if normalize_address(text)}
    ids = address_ids(text for _, text in readable)
    recipients = {(role, ids[address_key(text)]) for role, text in readable}
    rows = [
        {"id": str(uuid4()), "email": email_id, "email_address": address_id, "address_type": role}
        for role, address_id in recipients
    ]
    insert(EmailRecipients, rows)


def _insert_links(email_id: str, email: Record) -> None:
    """Link an email to the CRM's records that relatedTo names; types that the CRM does not have stay in the JSON."""
    linked = set()
    for kind, record_id in filter(None, map(relation, entries(email["relatedTo"]))):
        if kind in _MODULES:
            linked.add(bean(record_id) if kind == "contact" else (_MODULES[kind], record_id.removeprefix(f"{kind}:")))
    rows = [
        {"id": str(uuid4()), "email": email_id, "bean_module": module, "bean_id": bean_id} for module, bean_id in linked
    ]
    insert(EmailBeans, rows)


def _insert_notes(email_id: str, email: Record) -> None:
    """Show the files in the CRM. Their content is in the JSON; where the CRM has a folder for files, put it there."""
    moment = utcnow()
    rows = [
        {
            "id": str(uuid4()),
            "filename": entry.get("name"),
            "file_mime_type": entry.get("mimeType"),
            "parent_type": "Emails",
            "parent_id": email_id,
            "date_entered": moment,
            "date_modified": moment,
        }
        for entry in email["attachments"]
    ]
    insert(Notes, rows)


def _see(email_id: str, msg_id: str | None) -> None:
    """Remember the msgId under which a mail was seen in a mailbox."""
    key = normalize_message_id(msg_id)
    if key:
        ConnectorSightings.insert(msg_key=key, email=email_id).on_conflict_ignore().execute()
