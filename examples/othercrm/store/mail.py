"""Emails: written so that the CRM's own screens show them, and what its tables can't hold to the letter beside them."""

from collections.abc import Callable, Iterator, Sequence
from json import dumps, loads
from typing import Any
from uuid import uuid4

from peewee import JOIN, Tuple, fn

from crm.matching import split_addresses
from crm.merging import LISTS, NO_EMAIL
from crm.preview import snippet, text_of
from store.drafts import Conditions, Draft
from store.search import texts_of
from store.words import joined, matches

from . import tables
from .people import bean
from .rows import Record, address_ids, insert_rows, mark_deleted, save, with_ids

t: Any = tables
_MODULES = {"lead": "Leads", "account": "Accounts", "company": "Accounts"}
_BY_CRM = {  # what the CRM holds to the letter
    "id": t.Emails.id,
    "subject": t.Emails.name,
    "receivedAt": t.Emails.date_sent,
    "textBody": t.EmailsText.description,
    "htmlBody": t.EmailsText.description_html,
    "createdAt": t.Emails.date_entered,
    "updatedAt": t.Emails.date_modified,
}
_KEYS: dict[str, Any] = {
    "message": t.Emails.message_id,
    "thread": t.ConnectorEmails.thread_key,
    "copy": t.ConnectorCopies.msg_key,
    "address": t.EmailAddresses.address_lower,
}
_AT = fn.COALESCE(t.Emails.date_sent, t.Emails.date_entered)  # an email's place in time; index it where there are many
_PARTS = [t.EmailsText, t.EmailRecipients, t.EmailBeans, t.ConnectorEmails]


def read(ids: Sequence[str]) -> list[Record]:
    """The emails with these ids, whole."""
    return list(map(_record, _select(t.Emails.id.in_(ids))))


def version(email_id: str) -> str | None:
    """The updatedAt of an email."""
    return next((email["updatedAt"] for email in _select(t.Emails.id == email_id)), None)


def with_message_key(key: str) -> list[str]:
    """The ids of the emails with this Message-ID, which the CRM has in angle brackets."""
    return _ids(t.Emails.message_id == f"<{key}>")


def with_copy_key(key: str) -> list[str]:
    """The ids of the emails of which a copy with this msgId was seen, the oldest first."""
    return _ids(_has_copy(key))


def known(kind: str, keys: Sequence[str]) -> set[str]:
    """Those of the keys that any email has."""
    column, form = _KEYS[kind], "<{}>" if kind == "message" else "{}"
    held = {value for (value,) in column.model.select(column).where(column.in_(list(map(form.format, keys)))).tuples()}
    return {key for key in keys if form.format(key) in held}


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
    mark_deleted(t.Emails, old.record["id"])


def record_copy(email_id: str, key: str) -> None:
    """Note the msgId under which a mailbox has the email."""
    t.ConnectorCopies.insert(msg_key=key, email=email_id).on_conflict_ignore().execute()


def forget_copy(email_id: str, key: str) -> None:
    """The email is no longer found by this msgId."""
    t.ConnectorCopies.delete().where(t.ConnectorCopies.msg_key == key, t.ConnectorCopies.email == email_id).execute()


def scan(after: str, limit: int) -> Iterator[Record]:
    """Emails in the order of their ids, from behind one, with the keys of their copies."""
    return _with_copies(_select(t.Emails.id > after).order_by(t.Emails.id).limit(limit))


def scan_one(email_id: str) -> Iterator[Record]:
    """The email with this id, as `scan` gives it."""
    return _with_copies(_select(t.Emails.id == email_id))


def _with_copies(query: Any) -> Iterator[Record]:
    for row in list(query):
        copies = t.ConnectorCopies.select(t.ConnectorCopies.msg_key).where(t.ConnectorCopies.email == row["id"])
        yield {**_record(row), "copies": [key for (key,) in copies.tuples()]}


def page(
    conditions: Conditions, after: tuple[str, str] | None, limit: int, whole: bool
) -> tuple[list[tuple[str, Record]], bool]:
    """Emails with their place in time, newest first, from behind a place, and whether there are more."""
    query = _select(*_conditions(conditions)).order_by(_AT.desc(), t.Emails.id.desc())
    if after:
        query = query.where(Tuple(_AT, t.Emails.id) < Tuple(t.Emails.date_sent.db_value(after[0]), after[1]))
    if conditions.search is None:
        query = query.limit(limit + 1)
    found: list[tuple[str, Record]] = []
    for email in map(_record, query.iterator()):
        if conditions.search and not matches(conditions.search, joined(texts_of(email))):
            continue  # good for some ten thousand emails; then keep a full-text index
        if len(found) == limit:
            return found, True
        found.append((email["receivedAt"] or email["createdAt"], email))
    return found, False


def _conditions(asked: Conditions) -> Iterator[Any]:
    for name, condition in _CONDITIONS.items():
        if (value := getattr(asked, name)) is not None:
            yield condition(value)
    if asked.contact_id is not None:
        module, bean_id = bean(asked.contact_id)
        links = t.EmailBeans.select(t.EmailBeans.email).where(~t.EmailBeans.deleted)
        linked = t.Emails.id.in_(links.where(t.EmailBeans.bean_module == module, t.EmailBeans.bean_id == bean_id))
        yield _has_address(asked.contact_keys) | linked


def _has_address(keys: Sequence[str]) -> Any:
    recipients = t.EmailRecipients.select(t.EmailRecipients.email).join(t.EmailAddresses)
    living = recipients.where(t.EmailAddresses.address_lower.in_(keys), ~t.EmailRecipients.deleted)
    return t.Emails.id.in_(living)


def _has_copy(key: str) -> Any:
    return t.Emails.id.in_(t.ConnectorCopies.select(t.ConnectorCopies.email).where(t.ConnectorCopies.msg_key == key))


_CONDITIONS: dict[str, Callable[[str], Any]] = {
    "message_key": lambda key: t.Emails.message_id == f"<{key}>",
    "thread_key": lambda key: t.ConnectorEmails.thread_key == key,
    "copy_key": _has_copy,
    "address_key": lambda key: _has_address([key]),
    "received_after": lambda moment: t.Emails.date_sent >= moment,
    "received_before": lambda moment: t.Emails.date_sent < moment,
}


def _ids(condition: Any) -> list[str]:
    query = t.Emails.select(t.Emails.id).where(condition, ~t.Emails.deleted)
    return [email_id for (email_id,) in query.order_by(t.Emails.date_entered, t.Emails.id).tuples()]


def _select(*conditions: Any) -> Any:
    columns = [column.alias(name) for name, column in _BY_CRM.items()]
    query = t.Emails.select(*columns, t.Emails.message_id, t.EmailsText, t.ConnectorEmails.sent)
    query = query.join(t.EmailsText, JOIN.LEFT_OUTER).switch(t.Emails).join(t.ConnectorEmails, JOIN.LEFT_OUTER)
    return query.where(*conditions, ~t.Emails.deleted).dicts()


def _record(row: dict[str, Any]) -> Record:
    """An email as it was sent; of one that came into the CRM past the connector, what the CRM's own tables hold."""
    by_crm = {name: row[name] for name in _BY_CRM}
    if row["sent"]:
        return {**loads(row["sent"]), **by_crm}
    lists = {name: split_addresses([row[f"{role}_addrs"] or ""]) for role, name in LISTS.items()}
    html_text = text_of(row["htmlBody"]) if row["htmlBody"] else None
    sent = {"rfc822MsgId": row["message_id"], "fromAddress": row["from_addr"], "htmlText": html_text}
    more = {"snippet": snippet(row["textBody"] or html_text or ""), "hasAttachments": False}
    return {**NO_EMAIL, **sent, **more, **{name: [one.strip() for one in lists[name]] for name in lists}, **by_crm}


def _save(email_id: str, draft: Draft) -> None:
    """Write an email and all that hangs on it; the msgIds of its copies stay."""
    record = draft.record
    message_id = f"<{draft.message_key}>" if draft.message_key else None
    save(t.Emails, email_id, record, name=record["subject"], message_id=message_id, date_sent=record["receivedAt"])
    for part in _PARTS:
        part.delete().where(part.email == email_id).execute()
    t.Notes.delete().where(t.Notes.parent_type == "Emails", t.Notes.parent_id == email_id).execute()
    texts = {f"{role}_addrs": ", ".join(record[name]) for role, name in LISTS.items()}
    texts |= {"description": record["textBody"], "description_html": record["htmlBody"]}
    t.EmailsText.insert(email=email_id, from_addr=record["fromAddress"], **texts).execute()
    beside = {name: value for name, value in record.items() if name not in _BY_CRM}
    beside |= {"snippet": draft.snippet, "hasAttachments": draft.has_attachments}
    sent = dumps(beside, ensure_ascii=False)
    t.ConnectorEmails.insert(email=email_id, thread_key=draft.thread_key, sent=sent).execute()

    ids = address_ids(key for *_, key in draft.recipients if key)
    recipients = {(ids[key], role) for role, _, _, key in draft.recipients if key}
    links = {
        bean(one) if kind == "contact" else (_MODULES[kind], one.removeprefix(f"{kind}:"))
        for kind, one in draft.links
        if kind == "contact" or kind in _MODULES
    }
    insert_rows(t.EmailRecipients, with_ids(("email_address", "address_type"), recipients, email=email_id))
    insert_rows(t.EmailBeans, with_ids(("bean_module", "bean_id"), links, email=email_id))
    names = ("filename", "file_mime_type", "date_entered", "date_modified")
    moments = (record["createdAt"], record["updatedAt"])
    files = [(file.get("name"), file.get("mimeType"), *moments) for file in record["attachments"]]
    insert_rows(t.Notes, with_ids(names, files, parent_type="Emails", parent_id=email_id))
