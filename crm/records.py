"""What every verb of `crm` takes, gives and raises."""

from collections.abc import Container
from typing import Any, NamedTuple

Record = dict[str, Any]

# Where a page ended: the time and the id of its last record. The next page begins behind it (keyset paging).
Cursor = tuple[str, str]

# Of a record, as `updatedAt` has it: those that a caller who wants to change it knows. None: whatever it is by now.
Versions = Container[str] | None

LONGEST_NAME = 1_000  # characters: of a contact, company or user
MOST_ENTRIES = 500  # addresses of a contact, domains of a company
MOST_CHARACTERS = 32_000  # of all of them together: a page has 100 such records, a look-up may well find 200


class NotFound(LookupError):
    """There is no such record."""


class Conflict(Exception):
    """Another record has what only one may have; the message says what."""


class Changed(Exception):
    """The record is no longer as the caller knows it."""


class BadRecord(Exception):
    """A store's record is not as its description says. The log shows the message, which says how and quotes nothing."""


class NotOffered(NotImplementedError):
    """This CRM does not implement the call: 501, which BrightSync and the conformance kit understand."""


class Invalid(ValueError):
    """A value that can't be stored or searched for: `errors` says of each field why."""

    def __init__(self, **errors: str) -> None:
        super().__init__(", ".join(errors))
        self.errors = errors


def check_version(record: Record | None, versions: Versions) -> None:
    """Raises Changed where a record has none of these versions, or is not there."""
    if versions is not None and (record is None or record["updatedAt"] not in versions):
        raise Changed


class Page(NamedTuple):
    """Some records of a longer list, and where the next page begins; None at the end."""

    records: list[Record]
    next: Cursor | None
