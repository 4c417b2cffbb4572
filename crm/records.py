"""What every verb of `models` takes, gives and raises."""

from typing import Any, NamedTuple

Record = dict[str, Any]

# Where a page ended: the time and the id of its last record. The next page begins behind it (keyset paging).
Cursor = tuple[str, str]

LONGEST_NAME = 1_000  # characters: of a contact, company or user
MOST_ENTRIES = 500  # addresses of a contact, domains of a company
MOST_CHARACTERS = 32_000  # of all of them together: a page has 100 such records, a look-up may well find 200


class NotFound(LookupError):
    """There is no such record."""


class Conflict(Exception):
    """Another record has what only one may have; the message says what."""


class NotOffered(NotImplementedError):
    """This CRM does not implement the call: 501, which BrightSync and the conformance kit understand."""


class Invalid(ValueError):
    """A value that can't be stored or searched for: `errors` says of each field why."""

    def __init__(self, **errors: str) -> None:
        super().__init__(", ".join(errors))
        self.errors = errors


class Page(NamedTuple):
    """Some records of a longer list, and where the next page begins; None at the end."""

    records: list[Record]
    next: Cursor | None
