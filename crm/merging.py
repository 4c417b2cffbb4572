"""What a copy adds to a mail that is here, and what makes two recipients or two links the same.  Pure functions."""

from collections.abc import Callable, Mapping
from json import dumps
from typing import Any

from crm.matching import normalize_addresses
from crm.records import Record

LISTS = {"to": "toAddresses", "cc": "ccAddresses", "bcc": "bccAddresses"}
NO_EMAIL: Record = {
    "msgId": None,
    "syncThreadId": None,
    "inReplyTo": None,
    "receivedAt": None,
    "rfc822MsgId": None,
    "subject": None,
    "fromAddress": None,
    "fromName": None,
    "toAddresses": [],
    "ccAddresses": [],
    "bccAddresses": [],
    "textBody": None,
    "htmlBody": None,
    "attachments": [],
    "relatedTo": [],
}


def merged(record: Record, copy: Mapping[str, Any]) -> Record:
    """The record and what a copy adds: recipients and relatedTo entries that it lacks, fields that were empty."""
    result = {**record, **{name: copy[name] for name in NO_EMAIL if not record[name] and copy.get(name)}}
    for name in LISTS.values():
        result[name] = union(result[name], copy.get(name) or [], address_key)
    related = entries(result["relatedTo"])
    whole = union(related, entries(copy.get("relatedTo") or []), _same_entry)
    if len(whole) > len(related):  # one object stays one object until something is added
        result["relatedTo"] = whole
    return result


def union(here: list[Any], others: list[Any], key: Callable[[Any], object]) -> list[Any]:
    """A list, and behind it the entries of another that it lacks, each once."""
    known = set(map(key, here))
    lacked: dict[object, Any] = {}
    for entry in others:
        if key(entry) not in known:
            lacked.setdefault(key(entry), entry)
    return [*here, *lacked.values()]


def address_key(text: str) -> tuple[str, ...]:
    """The normalized addresses, or the text itself where there is none in it."""
    return tuple(normalize_addresses(text)) or (text,)


def entries(related: Any) -> list[Any]:
    """relatedTo, which may be one object, as a list."""
    return related if isinstance(related, list) else [related]


def relation(entry: Mapping[str, Any]) -> tuple[str, str] | None:
    """What makes two relatedTo entries the same: type (in any case) and id; None where one is missing, or no id."""
    kind, record_id = entry.get("type"), entry.get("id")
    if isinstance(kind, str) and isinstance(record_id, str | int) and not isinstance(record_id, bool):
        key = kind.casefold(), str(record_id)
        return key if max(map(len, key)) <= 255 else None  # it is an index key
    return None


def _same_entry(entry: Mapping[str, Any]) -> object:
    return relation(entry) or dumps(entry, sort_keys=True)
