"""E-mail addresses: each is stored once, and linked to all who have it, be it a contact, a lead or a user."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import uuid4

from peewee import chunked

from crm.matching import bare_address
from crm.merging import address_key

from .rows import insert, tuples
from .tables import EmailAddresses, EmailAddressLinks


def owners(module: str, keys: Sequence[str]) -> list[tuple[Any, ...]]:
    """Pairs of a folded address and the id of a record of the module that has it."""
    links = EmailAddressLinks.select(EmailAddresses.address_lower, EmailAddressLinks.bean_id).join(EmailAddresses)
    living = (EmailAddressLinks.bean_module == module) & ~EmailAddressLinks.deleted
    return tuples(links.where(EmailAddresses.address_lower.in_(keys), living))


def addresses_of(module: str, bean_ids: Sequence[str]) -> defaultdict[str, list[str]]:
    """The addresses of each record as it writes them, the primary one first."""
    links: Any = (
        EmailAddressLinks.select(EmailAddressLinks, EmailAddresses.address)
        .join(EmailAddresses)
        .where(EmailAddressLinks.bean_module == module, EmailAddressLinks.bean_id.in_(bean_ids))
        .where(~EmailAddressLinks.deleted)
        .order_by(
            EmailAddressLinks.primary_address.desc(),
            EmailAddressLinks.connector_position.asc(nulls="LAST"),
            EmailAddressLinks.id,
        )
    )
    found: defaultdict[str, list[str]] = defaultdict(list)
    for link in links.objects():
        found[link.bean_id].append(link.address if link.connector_text is None else link.connector_text)
    return found


def with_keys(keys: Sequence[str]) -> Any:
    """A query for the ids of the addresses that have one of the keys."""
    return EmailAddresses.select(EmailAddresses.id).where(EmailAddresses.address_lower.in_(keys))


def link_addresses(module: str, bean_id: str, texts: Sequence[str]) -> None:
    """Link a record to these addresses, the first as the primary one, and to no other."""
    unlink_addresses(module, bean_id)
    ids = address_ids(texts)
    links = [
        {
            "id": str(uuid4()),
            "email_address": ids[address_key(text)],
            "bean_module": module,
            "bean_id": bean_id,
            "primary_address": position == 0,
            "connector_text": text,
            "connector_position": position,
        }
        for position, text in enumerate(texts)
    ]
    insert(EmailAddressLinks, links)


def unlink_addresses(module: str, bean_id: str) -> None:
    """Mark a record's links to addresses as deleted."""
    links = EmailAddressLinks.update(deleted=True).where(EmailAddressLinks.bean_id == bean_id)
    links.where(EmailAddressLinks.bean_module == module, ~EmailAddressLinks.deleted).execute()


def address_ids(texts: Iterable[str]) -> dict[str, str]:
    """For the key of each text the id of its row in `email_addresses`, which is made where there is none.

    The CRM compares addresses by `address_lower`. For ASCII that is the same as our folded address; where it is not, as
    for info@bücher.example, the rows that the CRM wrote have to be folded once (see `normalize_address`).
    """
    wanted = {address_key(text): bare_address(text) for text in texts}
    ids: dict[str, str] = {}
    for keys in chunked(wanted, 500):
        known = EmailAddresses.select(EmailAddresses.address_lower, EmailAddresses.id)
        ids |= dict(tuples(known.where(EmailAddresses.address_lower.in_(keys), ~EmailAddresses.deleted)))
    new = {key: str(uuid4()) for key in wanted if key not in ids}
    insert(EmailAddresses, [{"id": new[key], "address": wanted[key], "address_lower": key} for key in new])
    return ids | new
