"""What somebody is called, guessed from what emails call them."""

import re
from collections import Counter

from crm.records import LONGEST_NAME
from crm.seam import optional, store

_MOST = 100  # emails that are asked
_ASIDE = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")
_TITLES = {"dr", "prof", "mr", "mrs", "ms", "herr", "frau"}


def guess_names(address: str) -> tuple[str | None, str | None]:
    """First and last name of the one with this normalized address: as most emails call them, by two names rather than
    by one. None, None where no email says a name, or the store can't tell."""
    found = Counter(filter(None, map(_name_in, optional(store.emails, "names")(address, _MOST) or [])))
    if not found:
        return None, None
    return max(found, key=lambda name: (None not in name, found[name]))


def _name_in(text: str) -> tuple[str, str | None] | None:
    """The names of `Jane Doe <jane@acme.example>`, `"Doe, Jane (Acme)"` or `Dr. Jane van Doe`."""
    text = _ASIDE.sub(" ", text[:LONGEST_NAME].partition("<")[0]).strip(" '\"\t")
    last, comma, first = text.partition(",")
    words = [word for word in (first or last).split() if word.rstrip(".").lower() not in _TITLES]
    if "@" in text or not words or not any(map(str.isalpha, text)) or any(map(str.isdigit, text)):
        return None
    if comma and first.strip() and last.strip():
        return " ".join(words), " ".join(last.split())
    # "Ludwig van Beethoven": a last name begins with its first small word.
    begin = next((n for n, word in enumerate(words) if n and word[0].islower()), len(words) - 1)
    begin = begin if begin and not text.islower() else len(words) - 1
    return (" ".join(words[:begin]), " ".join(words[begin:])) if begin else (words[0], None)
