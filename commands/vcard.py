"""Cards of an address book: vCard 3.0 (RFC 2426) as Apple's Contacts exports it, and 4.0. Only what a contact has."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

# [group.]NAME[;parameters]:value; in parameters a colon may stand in quotes.
_PROPERTY = re.compile(r'(?:[\w-]++\.)?([\w-]++)((?:;(?:[^":;]|"[^"]*+")*+)*+):(.*)', re.DOTALL)
_PART = re.compile(r"((?:[^;\\]|\\.?)*+)(?:;|\Z)", re.DOTALL)
_PREFERRED = re.compile(r"\bpref\b", re.IGNORECASE)
_USED = {"VERSION", "N", "FN", "ORG", "EMAIL", "UID", "X-ABUID", "KIND", "X-ADDRESSBOOKSERVER-KIND", "END"}


def is_card(line: str) -> bool:
    """Whether a file that begins with this line has cards."""
    return line.strip().upper() == "BEGIN:VCARD"


def cards(lines: Iterable[str]) -> Iterator[tuple[int, dict[str, list[tuple[str, str]]]]]:
    """Each card with the number of its first line: by its properties' names their parameters and values as written.

    One that never ends lacks END.
    """
    begin, card = 0, None
    for number, line in _unfolded(lines):
        if is_card(line):
            if card is not None:
                yield begin, card
            begin, card = number, dict[str, list[tuple[str, str]]]()
        found = _PROPERTY.match(line)
        if card is None or found is None or found[1].upper() not in _USED:
            continue
        card.setdefault(found[1].upper(), []).append((found[2], found[3].strip()))
        if "END" in card:
            yield begin, card
            card = None
    if card is not None:
        yield begin, card


def as_row(card: dict[str, list[tuple[str, str]]]) -> dict[str, Any]:
    """What a contact's schema takes. Raises ValueError for a card that can't be read."""

    def parts(name: str) -> list[str]:
        value = card.get(name, [("", "")])[0][1]
        return [_unescaped(part) for part in _PART.findall(value)] + ["", ""]

    if "END" not in card:
        raise ValueError("the card has no end")
    if parts("VERSION")[0] == "2.1":
        raise ValueError("it is a vCard of version 2.1, which is not read: export it as 3.0")
    last, first = parts("N")[:2]
    company = parts("ORG")[0]
    if not first and not last and parts("FN")[0] != company:
        first = parts("FN")[0]
    emails = sorted(card.get("EMAIL", []), key=lambda email: not _PREFERRED.search(email[0]))  # the primary one first
    return {
        "firstName": first or None,
        "lastName": last or None,
        "emailAddresses": [_unescaped(value) for _, value in emails if value],
        "companyName": company or None,
        "sourceId": (parts("UID")[0] or parts("X-ABUID")[0]) or None,
    }


def is_group(card: dict[str, list[tuple[str, str]]]) -> bool:
    """Whether it is a list of people, and not a person's card."""
    return any(value.lower() == "group" for name in card if name.endswith("KIND") for _, value in card[name])


def _unfolded(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """The lines with those that go on (RFC 2426, 2.6), each with the number of its first."""
    begin, pieces = 0, list[str]()
    for number, line in enumerate(lines, 1):
        text = line.rstrip("\r\n")
        if text[:1] in (" ", "\t") and pieces:
            pieces.append(text[1:])
            continue
        if pieces:
            yield begin, "".join(pieces)
        begin, pieces = number, [text]
    if pieces:
        yield begin, "".join(pieces)


def _unescaped(text: str) -> str:
    return " ".join(re.sub(r"\\(.?)", lambda found: " " if found[1] in ("n", "N") else found[1], text).split())
