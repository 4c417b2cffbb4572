"""What `crm` brings to a store of emails: an email that is to be written, and what a page is to have."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from store.words import Search

Record = dict[str, Any]

DOMAIN = "Domain"  # the type of a link to a domain of sender or recipients; those of relatedTo are in lower case
MOST_RECIPIENTS = 2_000  # of an email, by which it can be found: to store more would hold the write lock for long


@dataclass
class Draft:
    """An email as it is to be stored, and what follows from its fields."""

    record: Record  # the fields on the wire, and `htmlText` (the words of the HTML body), `withheld` and `removed`
    message_key: str | None
    copy_key: str | None  # msgId, normalized
    thread_key: str | None
    parent_key: str | None  # inReplyTo, normalized
    recipients: list[tuple[str, int, str | None, str | None]]  # role, position, text, normalized address: models.py
    more_recipients: list[tuple[str, str]]  # role and text of those behind them: kept to the letter, and not looked up
    links: list[tuple[str, str]]  # type and id of the CRM's records; as Domain each domain of `recipients` and above
    snippet: str
    has_attachments: bool
    words: Any = field(default=None)  # by `prepare`, where they are needed

    @property
    def at(self) -> str:
        """The email's place in every list."""
        at: str = self.record["receivedAt"] or self.record["createdAt"]
        return at


class CopyKeys(NamedTuple):
    """What a copy is known by."""

    digest: str  # of all that was sent
    copy_key: str | None  # msgId, normalized
    contents: list[str | None]  # hashes of what tells emails apart


class Logged(NamedTuple):
    """What is known of an email by its copies, the oldest first."""

    email_id: str
    message_key: str | None
    copies: list[CopyKeys]


class Conditions(NamedTuple):
    """What the emails of a page have in common; None for what does not matter."""

    message_key: str | None = None
    thread_key: str | None = None
    copy_key: str | None = None
    address_key: str | None = None
    domain_key: str | None = None  # with an address at it, or below it, among sender and recipients
    contact_id: str | None = None  # linked to it, or with one of contact_keys among sender and recipients
    contact_keys: tuple[str, ...] = ()
    received_after: str | None = None  # at this time or later
    received_before: str | None = None
    has_attachments: bool | None = None
    search: Search | None = None
