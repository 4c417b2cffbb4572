"""Emails: written so that the CRM's own screens show them, and what its tables can't hold to the letter beside them."""

from collections.abc import Callable, Iterator, Sequence
from json import dumps, loads
from typing import Any
from uuid import uuid4

from peewee import JOIN, Tuple, fn

from crm.matching import normalize_message_id, split_addresses
from crm.merging import LISTS, NO_EMAIL
from crm.preview import snippet, text_of
from store.drafts import Conditions, CopyKeys, Draft, Logged
from store.search import texts_of
from store.words import joined, matches

from . import tables
from .people import bean
from .rows import Record, address_ids, insert_rows, mark_deleted, save, with_ids

t: Any = tables
Copies = t.ConnectorCopies
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
    "copy": Copies.msg_key,
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


def find(message_key: str | None, copy_key: str | None) -> list[Logged]:
    """The emails with this Message-ID, which the CRM has in angle brackets, or of which a copy has this msgId."""
    condition = _has_copy(copy_key or "") | (t.Emails.message_id == f"<{message_key}>")
    query = t.Emails.select(t.Emails.id).where(condition, ~t.Emails.deleted)
    return [logged(row_id) for (row_id,) in list(query.order_by(t.Emails.date_entered, t.Emails.id).tuples())]


def logged(email_id: str) -> Logged:
    """What is known of an email by its copies."""
    copies = Copies.select(Copies.digest, Copies.msg_key, Copies.contents).where(Copies.email == email_id)
    copies = copies.order_by(Copies.logged_at.asc(nulls="LAST"), Copies.digest).tuples()
    message_id = t.Emails.select(t.Emails.message_id).where(t.Emails.id == email_id).scalar()
    keys = [CopyKeys(digest, key, loads(contents)) for digest, key, contents in copies]
    return Logged(email_id, normalize_message_id(message_id), keys)


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


def record_copy(email_id: str, keys: CopyKeys, copy: Record) -> None:
    """Keep a copy of an email, but for one with the digest of another."""
    row = {"email": email_id, "digest": keys.digest, "msg_key": keys.copy_key, "contents": dumps(keys.contents)}
    row |= {"msg_id": copy["msgId"], "user_id": copy["userId"], "logged_at": copy["loggedAt"]}
    Copies.insert(**row, differs=copy["differs"] and dumps(copy["differs"])).on_conflict_ignore().execute()


def page_of_copies(
    email_id: str, after: tuple[str, str] | None, limit: int
) -> tuple[list[tuple[tuple[str, str], Record]], bool]:
    """The copies of an email with their places, the oldest first, from behind a place, and whether there are more."""
    place = Tuple(Copies.logged_at, Copies.digest)
    query = Copies.select(Copies.logged_at, Copies.digest, Copies.msg_id, Copies.user_id, Copies.differs)
    query = query.where(Copies.email == email_id, place > Tuple(*(after or ("", ""))))
    rows = list(query.order_by(Copies.logged_at, Copies.digest).limit(limit + 1).tuples())
    found = [
        ((at, digest), {"msgId": msg_id, "userId": user, "loggedAt": at, "differs": differs and loads(differs)})
        for at, digest, msg_id, user, differs in rows
    ]
    return found[:limit], len(found) > limit


def scan(after: str, limit: int) -> Iterator[Record]:
    """Emails in the order of their ids, from behind one, with the msgIds of their copies."""
    return _with_copies(_select(t.Emails.id > after).order_by(t.Emails.id).limit(limit))


def scan_one(email_id: str) -> Iterator[Record]:
    """The email with this id, as `scan` gives it."""
    return _with_copies(_select(t.Emails.id == email_id))


def scan_copies(after: tuple[str, str], limit: int) -> Iterator[tuple[tuple[str, str], Record]]:
    """The copies of all emails that say something otherwise, with their places, from behind one."""
    query = Copies.select(Copies.email, Copies.digest, Copies.msg_id, Copies.logged_at, Copies.differs)
    query = query.where(Copies.differs.is_null(False), Tuple(Copies.email, Copies.digest) > Tuple(*after))
    for email_id, digest, msg_id, at, differs in query.order_by(Copies.email, Copies.digest).limit(limit).tuples():
        yield (email_id, digest), {"id": email_id, "msgId": msg_id, "loggedAt": at, "differs": loads(differs)}


def _with_copies(query: Any) -> Iterator[Record]:
    for row in list(query):
        copies = Copies.select(Copies.msg_id).where(Copies.email == row["id"], Copies.msg_id.is_null(False))
        yield {**_record(row), "copies": [msg_id for (msg_id,) in copies.tuples()]}


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
    if asked.message_key is None and asked.copy_key is None:  # who asks by an id finds what is withheld as well
        yield t.ConnectorEmails.withheld.is_null() | ~t.ConnectorEmails.withheld
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
    return t.Emails.id.in_(Copies.select(Copies.email).where(Copies.msg_key == key))


_CONDITIONS: dict[str, Callable[[str], Any]] = {
    "message_key": lambda key: t.Emails.message_id == f"<{key}>",
    "thread_key": lambda key: t.ConnectorEmails.thread_key == key,
    "copy_key": _has_copy,
    "address_key": lambda key: _has_address([key]),
    "received_after": lambda moment: t.Emails.date_sent >= moment,
    "received_before": lambda moment: t.Emails.date_sent < moment,
}


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
    more |= {"withheld": False, "removed": None}
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
    own = {"thread_key": draft.thread_key, "withheld": record["withheld"], "sent": sent}
    t.ConnectorEmails.insert(email=email_id, **own).execute()

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
