"""What follows from an email's fields: its keys, recipients, links and snippet, as a store keeps them."""

from collections.abc import Mapping, Sequence
from typing import Any

from crm.matching import domains_of, normalize_addresses, normalize_message_id
from crm.merging import LISTS, NO_EMAIL, entries, relation
from crm.preview import SNIPPET_LENGTH, has_files, lines_of, snippet, text_of
from crm.quoting import new_text
from crm.records import Record
from store.values import DOMAIN, MOST_RECIPIENTS, Draft

NEW: Record = {"id": None, **NO_EMAIL, "withheld": None, "removed": None}
KEPT = ("msgId", "rfc822MsgId", "receivedAt")  # of an email that is withheld
_MOST_CHARACTERS = 1_000_000  # of recipients, of which addresses are read
_BEGINNING = 2_000  # characters, in which the words of a snippet are sought


def derive(record: Record, old: Record | None = None) -> Draft:
    """An email with all that follows from its fields; of an `old` one, what has not changed is not parsed again."""
    html = record["htmlBody"]
    if "htmlText" not in record or (old is not None and html != old["htmlBody"]):
        record = {**record, "htmlText": text_of(html) if html else None}
    else:
        record = dict(record)
    people = people_of(record)
    message_key, copy_key = message_keys(record)
    recipients = _recipients(people)
    domains = [(DOMAIN, one) for one in domains_of(key for *_, key in recipients if key)[:MOST_RECIPIENTS]]
    return Draft(
        record=record,
        message_key=message_key,
        copy_key=copy_key,
        thread_key=normalize_message_id(record["syncThreadId"]),
        parent_key=normalize_message_id(record["inReplyTo"]),
        recipients=recipients,
        more_recipients=[(role, text) for role, _, text in people[MOST_RECIPIENTS:]],
        links=[*dict.fromkeys(filter(None, map(relation, entries(record["relatedTo"])))), *domains],
        snippet=snippet(new_text(body_text(record, _BEGINNING), 2 * SNIPPET_LENGTH)),
        has_attachments=has_files(record["attachments"]),
    )


def recipients_of(email: Mapping[str, Any]) -> list[tuple[str, int, str | None, str | None]]:
    """Sender and recipients of an email, as a Draft has them."""
    return _recipients(people_of(email))


def body_text(record: Mapping[str, Any], most: int | None = None) -> str:
    """The text of an email, or of its HTML; at least as many characters from its beginning as `most` says."""
    text, html = record["textBody"], record["htmlBody"] or ""
    if text:
        return str(text) if most is None else text.lstrip()[:most]
    return lines_of(html) if most is None else lines_of(html, most)


def people_of(record: Mapping[str, Any]) -> list[tuple[str, int, str]]:
    """Sender and recipients of an email: role, position and text."""
    sender = [] if record["fromAddress"] is None else [record["fromAddress"]]
    lists = {"from": sender, **{role: record[name] for role, name in LISTS.items()}}
    return [(role, place, text) for role, texts in lists.items() for place, text in enumerate(texts)]


def _recipients(people: Sequence[tuple[str, int, str]]) -> list[tuple[str, int, str | None, str | None]]:
    """The rows of sender and recipients, as models.py has them; bounded, whatever one email has in its lists."""
    behind = {role: place + 1 for role, place, _ in people}  # where the further addresses of a role begin
    rows: list[tuple[str, int, str | None, str | None]] = []
    further: list[tuple[str, str]] = []
    characters = _MOST_CHARACTERS
    for role, place, text in people[:MOST_RECIPIENTS]:
        characters -= len(text)
        key, *more = (normalize_addresses(text) if characters >= 0 else ()) or (None,)
        rows.append((role, place, text, key))
        further += [(role, one) for one in more if one]
    for role, key in further[: MOST_RECIPIENTS - len(rows)]:
        rows.append((role, behind[role], None, key))
        behind[role] += 1
    return rows


def message_keys(email: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """An email's rfc822MsgId and msgId, normalized."""
    return normalize_message_id(email["rfc822MsgId"]), normalize_message_id(email["msgId"])


def only_ids(email: Record) -> Record:
    """An email with the ids and time of another, and nothing else."""
    return {**NEW, **{name: email[name] for name in KEPT}}


def bare(draft: Draft, why: str) -> Draft:
    """Of an email that is withheld: its ids and time, and nothing else."""
    record = {**draft.record, **only_ids(draft.record), "htmlText": None, "withheld": why}
    record |= {name: draft.record[name] for name in ("id", "createdAt", "updatedAt") if name in draft.record}
    return Draft(record, draft.message_key, draft.copy_key, None, None, [], [], [], "", False)
