"""What a copy adds to a mail that is here, what it says otherwise, and what people took away.  Pure functions.

Of each field of a copy that says something: it is added to the record; or it stands there already; or it is said
otherwise, and kept with the copy; or people took it away from the record, and it is dropped.
"""

from collections.abc import Callable, Mapping
from json import dumps
from typing import Any

from crm.matching import normalize_addresses, normalize_message_id
from crm.records import Record

Hash = Callable[[str, str], str]  # of a text, and of what it is

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


def merged(record: Record, copy: Record, hashed: Hash, is_stranger: bool = False) -> tuple[Record, Record]:
    """The record and what a copy adds, and what the copy says otherwise, by the names of the fields.

    It adds recipients, relatedTo entries and files that the record lacks, the content of a file that had none, and
    fields that were empty or white space; that of a stranger, with another sender, adds nothing. What people took away
    (`removed`) is neither added nor kept. All else that does not stand in the record to the letter is said otherwise.
    """
    result, differs = dict(record), dict[str, Any]()
    removed = {name: set(hashes) for name, hashes in (record["removed"] or {}).items()}
    for name, nothing in NO_EMAIL.items():
        value, gone = copy[name], removed.get(name, set())
        if is_blank(value):
            continue
        if gone and isinstance(nothing, list):
            value = [entry for entry in entries(value) if not _was_removed(name, entry, gone, hashed)]
        elif gone and _hashes(name, value, hashed) <= gone:
            continue
        if not is_stranger:
            result[name] = _added(name, record[name], value, frozen=bool(gone))
        if (other := _lacking(name, result[name], value)) and name != "msgId":
            differs[name] = other
    return result, differs


def _added(name: str, here: Any, value: Any, frozen: bool) -> Any:
    """What becomes of a field by the value of a copy; a `frozen` one was emptied by people."""
    if not isinstance(NO_EMAIL[name], list):
        return value if is_blank(here) and not frozen else here
    if not here:
        return value or here
    if name == "attachments":
        return add_files(here, value)
    if name == "relatedTo":
        whole = union(entries(here), entries(value), _same_entry)
        return whole if len(whole) > len(entries(here)) else here  # one object stays one until something is added
    return union(here, value, address_key)


def _lacking(name: str, here: Any, value: Any) -> Any:
    """What of a copy's value does not stand in the record to the letter; nothing for none."""
    if name == "rfc822MsgId":
        return value if normalize_message_id(here) != normalize_message_id(value) else None
    if not isinstance(NO_EMAIL[name], list):
        return value if here != value else None
    if name == "attachments":
        return _lacking_files(here, value)
    letters = set(map(_letters, entries(here)))
    return [entry for entry in entries(value) if _letters(entry) not in letters]


def is_blank(value: Any) -> bool:
    """Whether a field says nothing: null, a list without entries, white space."""
    return not value or (isinstance(value, str) and value.isspace())


# ---- what people took away ------------------------------------------------------------------------------------------


def removed_by(old: Record, new: Record, hashed: Hash) -> dict[str, list[str]] | None:
    """What people have taken away from an email, as hashes, when they have made `new` of `old`.

    What is set again is no longer removed.
    """
    removed = {name: set(hashes) for name, hashes in (old["removed"] or {}).items()}
    for name in NO_EMAIL:
        if old[name] != new[name]:
            here = _hashes(name, new[name], hashed)
            removed[name] = (removed.get(name, set()) | _hashes(name, old[name], hashed)) - here
    return {name: sorted(hashes) for name, hashes in removed.items() if hashes} or None


def _hashes(name: str, value: Any, hashed: Hash) -> set[str]:
    """The hashes of a field's value, or of the entries of a list."""
    if is_blank(value):
        return set()
    return {hashed(name, key) for entry in entries(value) for key in _keys(name, entry)}


def _keys(name: str, entry: Any) -> list[str]:
    if name == "attachments":
        return [dumps(_file_key(entry)), dumps(_file_key(entry)[:-1])]
    if name == "relatedTo":
        return [str(_same_entry(entry))]
    return [address_key(entry)] if name in LISTS.values() else [entry]


def _was_removed(name: str, entry: Any, removed: set[str], hashed: Hash) -> bool:
    """Whether people took an entry of a list away. A file is the same one where it, or the other, has no content."""
    keys = _keys(name, entry)
    if name == "attachments":
        *shape, content = _file_key(entry)
        keys = [keys[0], dumps([*shape, None])] if content else keys
    return any(hashed(name, key) in removed for key in keys)


# ---- files ----------------------------------------------------------------------------------------------------------


def _file_key(file: Mapping[str, Any]) -> list[str | None]:
    """What a file is known by, beside its id: name, size and content; where it has no name, its id."""
    name, size, content = (_plain(file.get(part)) for part in ("name", "size", "content"))
    return [name or f"id {_plain(file.get('id'))}", size, content or None]


def _plain(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else dumps(value, sort_keys=True)


def add_files(here: list[Any], others: list[Any]) -> list[Any]:
    """Files, and behind them those of a copy that they lack; a file that had no content gets that of the copy.

    Two are the same where their id is, or name, size and content; content only where both have one.
    """
    files = list(here)
    by_id: dict[str, int] = {}
    by_key: dict[tuple[str | None, ...], int] = {}

    def note(place: int) -> None:
        file = files[place]
        name, size, content = _file_key(file)
        if (file_id := _plain(file.get("id"))) is not None:
            by_id.setdefault(file_id, place)
        by_key.setdefault((name, size, content), place)
        by_key.setdefault((name, size), place)

    for place in range(len(files)):
        note(place)
    for other in others:
        name, size, content = _file_key(other)
        place = by_id.get(_plain(other.get("id")) or "", -1)
        if place < 0:
            keys = [(name, size, content), (name, size, None) if content else (name, size)]
            place = next((by_key[key] for key in keys if key in by_key), -1)
        if place < 0:
            files.append(other)
            note(len(files) - 1)
        elif content and _file_key(files[place]) == [name, size, None]:
            files[place] = {**files[place], "content": other["content"]}
            del by_key[name, size, None]
            note(place)
    return files


def _lacking_files(here: list[Any], others: list[Any]) -> list[Any]:
    """The files of a copy that are not here to the letter; without their content where that is here."""

    def parts(file: Mapping[str, Any]) -> tuple[str, str | None]:
        return _letters({name: value for name, value in file.items() if name != "content"}), _plain(file.get("content"))

    letters = set(map(parts, here))
    contents = {content for _, content in letters}
    lacking = [other for other in others if parts(other) not in letters]
    return [
        {name: value for name, value in other.items() if name != "content" or _plain(value) not in contents}
        for other in lacking
    ]


# ---- lists ----------------------------------------------------------------------------------------------------------


def union(here: list[Any], others: list[Any], key: Callable[[Any], object]) -> list[Any]:
    """A list, and behind it the entries of another that it lacks, each once."""
    known = set(map(key, here))
    lacked: dict[object, Any] = {}
    for entry in others:
        if key(entry) not in known:
            lacked.setdefault(key(entry), entry)
    return [*here, *lacked.values()]


def address_key(text: str) -> str:
    """The normalized addresses, or the text itself where there is none in it."""
    return " ".join(normalize_addresses(text)) or text


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
    return relation(entry) or _letters(entry)


def _letters(entry: Any) -> str:
    return dumps(entry, sort_keys=True)  # to Python, true is 1
