"""An email as a row, and as the record that it stands for."""

from collections.abc import Iterator, Mapping
from json import loads
from typing import Any

from database.query import Row, json_list
from models import Email, Recipient

Record = dict[str, Any]

# The ends of all lists: times and rows before and behind those of every email.
BEGIN = "", 0
END = "9999-12-31T23:59:59.999999Z", 2**63 - 1

_LARGEST_PAGE = 8 * 1024 * 1024  # characters

# Of a record, what every list shows; then what else the fields on the wire need. `htmlText` is not on the wire.
HEAD = {
    "id": Email.id,
    "msgId": Email.msg_id,
    "syncThreadId": Email.sync_thread_id,
    "inReplyTo": Email.in_reply_to,
    "receivedAt": Email.received_at,
    "rfc822MsgId": Email.rfc822_msg_id,
    "subject": Email.subject,
    "fromName": Email.from_name,
    "relatedTo": Email.related_to,
    "createdAt": Email.created_at,
    "updatedAt": Email.updated_at,
}
TEXTS = {"textBody": Email.text_body, "htmlText": Email.html_text}
_OWN = {"withheld": Email.withheld, "removed": Email.removed}  # not on the wire either
WHOLE = {**HEAD, **TEXTS, "htmlBody": Email.html_body, "attachments": Email.attachments, **_OWN}
LISTED = {**HEAD, "snippet": Email.snippet, "hasAttachments": Email.has_attachments}
_LISTS = {"to": "toAddresses", "cc": "ccAddresses", "bcc": "bccAddresses"}


def select(fields: Mapping[str, Any]) -> Any:
    recipients = Recipient.select().where(Recipient.email == Email.id).order_by(Recipient.role, Recipient.position)
    return Email.select(*fields.values(), Email.more_recipients, json_list(recipients, Recipient.role, Recipient.text))


def record_of(fields: Mapping[str, Any], row: Row) -> Record:
    *values, more, recipients = row
    record = dict(zip(fields, values, strict=True))
    record["id"] = str(record["id"])
    for name in ("relatedTo", "attachments"):
        if name in record:
            record[name] = loads(record[name]) if record[name] else []
    if "hasAttachments" in record:
        record["hasAttachments"] = bool(record["hasAttachments"])
    if "removed" in record:
        record["removed"] = record["removed"] and loads(record["removed"])
    lists: dict[str, list[str]] = {"from": [], "to": [], "cc": [], "bcc": []}
    for role, text in loads(recipients or "[]") + loads(more or "[]"):
        if text is not None:  # a further address of an entry
            lists[role].append(text)
    record["fromAddress"] = lists["from"][0] if lists["from"] else None
    for role, name in _LISTS.items():
        record[name] = lists[role]
    return record


def row_of(text: str) -> int | None:
    """The row of an email's id; None for what can't be one."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 and str(int(text)) == text else None


def filling(rows: Iterator[Row]) -> Iterator[Row]:
    """The rows, up to where their texts fill a page: a hundred large emails are gigabytes."""
    room = _LARGEST_PAGE
    while room >= 0 and (row := next(rows, None)):
        yield row
        room -= sum(len(value) for value in row if isinstance(value, str))
