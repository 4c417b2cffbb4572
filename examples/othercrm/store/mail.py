"""Emails: written so that the CRM's own screens show them, and what its tables can't hold to the letter beside them."""

from collections.abc import Iterator, Sequence
from json import dumps, loads
from typing import Any
from uuid import uuid4

from peewee import JOIN, Tuple, fn

from crm.matching import split_addresses
from crm.preview import snippet, text_of
from store.emails import Conditions, Draft
from store.search import texts_of
from store.words import matches, split_texts

from .addresses import address_ids
from .people import bean
from .rows import insert as insert_rows
from .rows import mark_deleted, save
from .tables import (
    ConnectorCopies,
    ConnectorEmails,
    EmailAddresses,
    EmailBeans,
    EmailRecipients,
    Emails,
    EmailsText,
    Notes,
)

Record = dict[str, Any]

_MODULES = {"lead": "Leads", "account": "Accounts", "company": "Accounts"}
_BY_CRM = {  # what the CRM holds to the letter
    "id": Emails.id,
    "subject": Emails.name,
    "receivedAt": Emails.date_sent,
    "textBody": EmailsText.description,
    "htmlBody": EmailsText.description_html,
    "createdAt": Emails.date_entered,
    "updatedAt": Emails.date_modified,
}
_KEYS: dict[str, Any] = {
    "message": Emails.message_id,
    "thread": ConnectorEmails.thread_key,
    "copy": ConnectorCopies.msg_key,
    "address": EmailAddresses.address_lower,
}
_AT = fn.COALESCE(Emails.date_sent, Emails.date_entered)  # an email's place in time; index it where there are many
_PARTS: list[Any] = [EmailsText, EmailRecipients, EmailBeans, ConnectorEmails]


# ---- one by one -----------------------------------------------------------------------------------------------------


def read(ids: Sequence[str]) -> list[Record]:
    """The emails with these ids, whole."""
    return list(map(_record, _select(Emails.id.in_(ids))))


def version(email_id: str) -> str | None:
    """The updatedAt of an email."""
    return next((email["updatedAt"] for email in _select(Emails.id == email_id)), None)


def with_message_key(key: str) -> list[str]:
    """The ids of the emails with this Message-ID, which the CRM has in angle brackets."""
    return _ids(Emails.message_id == f"<{key}>")


def with_copy_key(key: str) -> list[str]:
    """The ids of the emails of which a copy with this msgId was seen, the oldest first."""
    return _ids(_has_copy(key))


def known(kind: str, keys: Sequence[str]) -> set[str]:
    """Those of the keys that any email has."""
    column, form = _KEYS[kind], "<{}>" if kind == "message" else "{}"
    held = {value for (value,) in column.model.select(column).where(column.in_(list(map(form.format, keys)))).tuples()}
    return {key for key in keys if form.format(key) in held}


def prepare(old: Draft | None, new: Draft | None) -> None:
    """There is no search index."""


def catch_up(new: Draft) -> None:
    """There is nothing that was put off."""


def insert(new: Draft) -> str:
    """Store a new email; gives its id."""
    email_id = str(uuid4())
    _save(email_id, new)
    return email_id


def update(old: Draft, new: Draft) -> None:
    """Store an email in the place of an old one."""
    _save(new.record["id"], new)


def delete(old: Draft) -> None:
    """Mark an email as deleted."""
    mark_deleted(Emails, old.record["id"])


def record_copy(email_id: str, key: str) -> None:
    """Note the msgId under which a mailbox has the email."""
    ConnectorCopies.insert(msg_key=key, email=email_id).on_conflict_ignore().execute()


def forget_copy(email_id: str, key: str) -> None:
    """The email is no longer found by this msgId."""
    ConnectorCopies.delete().where(ConnectorCopies.msg_key == key, ConnectorCopies.email == email_id).execute()


# ---- many -----------------------------------------------------------------------------------------------------------


def scan(after: str, limit: int) -> Iterator[Record]:
    """Emails in the order of their ids, from behind one, with the keys of their copies."""
    for row in list(_select(Emails.id > after).order_by(Emails.id).limit(limit)):
        copies = ConnectorCopies.select(ConnectorCopies.msg_key).where(ConnectorCopies.email == row["id"])
        yield {**_record(row), "copies": [key for (key,) in copies.tuples()]}


def scan_one(email_id: str) -> Iterator[Record]:
    """The email with this id, as `scan` gives it."""
    return (email for email in scan("", 1) if email["id"] == email_id)


def page(
    conditions: Conditions, after: tuple[str, str] | None, limit: int, whole: bool
) -> tuple[list[tuple[str, Record]], bool]:
    """Emails with their place in time, newest first, from behind a place, and whether there are more."""
    query = _select(*_conditions(conditions)).order_by(_AT.desc(), Emails.id.desc())
    if after:
        query = query.where(Tuple(_AT, Emails.id) < Tuple(Emails.date_sent.db_value(after[0]), after[1]))
    if conditions.search is None:
        query = query.limit(limit + 1)
    found: list[tuple[str, Record]] = []
    for email in map(_record, query.iterator()):
        if conditions.search and not matches(conditions.search, split_texts(texts_of(email))):
            continue  # good for some ten thousand emails; then keep a full-text index
        if len(found) == limit:
            return found, True
        found.append((email["receivedAt"] or email["createdAt"], email))
    return found, False


def _conditions(asked: Conditions) -> Iterator[Any]:
    if asked.message_key is not None:
        yield Emails.message_id == f"<{asked.message_key}>"
    if asked.thread_key is not None:
        yield ConnectorEmails.thread_key == asked.thread_key
    if asked.copy_key is not None:
        yield _has_copy(asked.copy_key)
    if asked.address_key is not None:
        yield _has_address([asked.address_key])
    if asked.contact_id is not None:
        module, bean_id = bean(asked.contact_id)
        links = EmailBeans.select(EmailBeans.email).where(~EmailBeans.deleted)
        linked = Emails.id.in_(links.where(EmailBeans.bean_module == module, EmailBeans.bean_id == bean_id))
        yield _has_address(asked.contact_keys) | linked
    if asked.received_after is not None:
        yield Emails.date_sent >= asked.received_after
    if asked.received_before is not None:
        yield Emails.date_sent < asked.received_before


def _has_address(keys: Sequence[str]) -> Any:
    recipients = EmailRecipients.select(EmailRecipients.email).join(EmailAddresses).where(~EmailRecipients.deleted)
    return Emails.id.in_(recipients.where(EmailAddresses.address_lower.in_(keys)))


def _has_copy(key: str) -> Any:
    return Emails.id.in_(ConnectorCopies.select(ConnectorCopies.email).where(ConnectorCopies.msg_key == key))


def _ids(condition: Any) -> list[str]:
    query = Emails.select(Emails.id).where(condition, ~Emails.deleted)
    return [email_id for (email_id,) in query.order_by(Emails.date_entered, Emails.id).tuples()]


def _select(*conditions: Any) -> Any:
    columns = [column.alias(name) for name, column in _BY_CRM.items()]
    query = Emails.select(*columns, Emails.message_id, EmailsText, ConnectorEmails.sent)
    query = query.join(EmailsText, JOIN.LEFT_OUTER).switch(Emails).join(ConnectorEmails, JOIN.LEFT_OUTER)
    return query.where(*conditions, ~Emails.deleted).dicts()


def _record(row: dict[str, Any]) -> Record:
    """An email as it was sent; of one that came into the CRM past the connector, what the CRM's own tables hold."""
    by_crm = {name: row[name] for name in _BY_CRM}
    if row["sent"]:
        return {**loads(row["sent"]), **by_crm}
    lists = {role: [text.strip() for text in split_addresses([row[f"{role}_addrs"] or ""])] for role in _LISTS}
    html_text = text_of(row["htmlBody"]) if row["htmlBody"] else None
    return {
        **dict.fromkeys(["msgId", "syncThreadId", "inReplyTo", "fromName"]),
        **{_LISTS[role]: texts for role, texts in lists.items()},
        **by_crm,
        "rfc822MsgId": row["message_id"],
        "fromAddress": row["from_addr"],
        "htmlText": html_text,
        "attachments": [],
        "relatedTo": [],
        "snippet": snippet(row["textBody"] or html_text or ""),
        "hasAttachments": False,
    }


_LISTS = {"to": "toAddresses", "cc": "ccAddresses", "bcc": "bccAddresses"}


# ---- writing --------------------------------------------------------------------------------------------------------


def _save(email_id: str, draft: Draft) -> None:
    """Write an email and all that hangs on it; the msgIds of its copies stay."""
    record = draft.record
    message_id = f"<{draft.message_key}>" if draft.message_key else None
    save(Emails, email_id, record, name=record["subject"], message_id=message_id, date_sent=record["receivedAt"])
    for part in _PARTS:
        part.delete().where(part.email == email_id).execute()
    Notes.delete().where(Notes.parent_type == "Emails", Notes.parent_id == email_id).execute()
    texts = {f"{role}_addrs": ", ".join(record[name]) for role, name in _LISTS.items()}
    texts |= {"description": record["textBody"], "description_html": record["htmlBody"]}
    EmailsText.insert(email=email_id, from_addr=record["fromAddress"], **texts).execute()
    beside = {name: value for name, value in record.items() if name not in _BY_CRM}
    beside |= {"snippet": draft.snippet, "hasAttachments": draft.has_attachments}
    sent = dumps(beside, ensure_ascii=False)
    ConnectorEmails.insert(email=email_id, thread_key=draft.thread_key, sent=sent).execute()

    ids = address_ids(key for *_, key in draft.recipients if key)
    recipients = {(role, ids[key]) for role, _, _, key in draft.recipients if key}
    links = {
        bean(one) if kind == "contact" else (_MODULES[kind], one.removeprefix(f"{kind}:"))
        for kind, one in draft.links
        if kind == "contact" or kind in _MODULES
    }
    moments = {"date_entered": record["createdAt"], "date_modified": record["updatedAt"]}
    _insert(
        EmailRecipients, ("email_address", "address_type"), ((one, role) for role, one in recipients), email=email_id
    )
    _insert(EmailBeans, ("bean_module", "bean_id"), links, email=email_id)
    files = ((file.get("name"), file.get("mimeType")) for file in record["attachments"])
    _insert(Notes, ("filename", "file_mime_type"), files, parent_type="Emails", parent_id=email_id, **moments)


def _insert(table: Any, names: Sequence[str], rows: Any, **more: Any) -> None:
    insert_rows(table, [{"id": str(uuid4()), **dict(zip(names, row, strict=True)), **more} for row in rows])
