"""E-mail addresses: each is stored once, and linked to all who have it, be it a contact, a lead or a user."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import uuid4

from peewee import chunked

from .rows import insert
from .tables import EmailAddresses, EmailAddressLinks

Links = EmailAddressLinks
_KEY = EmailAddresses.address_lower


def owners(module: str, keys: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of a normalized address and the id of a record of the module that has it."""
    links = Links.select(_KEY, Links.bean_id).join(EmailAddresses)
    return list(links.where(_KEY.in_(keys), Links.bean_module == module, ~Links.deleted).tuples())


def addresses_of(module: str, bean_ids: Sequence[str]) -> defaultdict[str, list[str]]:
    """The addresses of each record as it writes them, the primary one first."""
    links = Links.select(Links.bean_id, Links.connector_text, EmailAddresses.address).join(EmailAddresses)
    links = links.where(Links.bean_module == module, Links.bean_id.in_(bean_ids), ~Links.deleted)
    places = Links.primary_address.desc(), Links.connector_position.asc(nulls="LAST"), Links.id
    found: defaultdict[str, list[str]] = defaultdict(list)
    for bean_id, text, address in links.order_by(*places).tuples():
        found[bean_id].append(address if text is None else text)
    return found


def link_addresses(module: str, bean_id: str, texts: Sequence[str], keys: Sequence[str | None]) -> None:
    """Link a record to these addresses, the first as the primary one, and to no other."""
    unlink_addresses(module, bean_id)
    own = [key or text for key, text in zip(keys, texts, strict=True)]
    ids = address_ids(own)
    rows: list[dict[str, Any]] = [
        {"id": str(uuid4()), "email_address": ids[key], "bean_module": module, "bean_id": bean_id}
        | {"primary_address": place == 0, "connector_text": text, "connector_position": place}
        for place, (key, text) in enumerate(zip(own, texts, strict=True))
    ]
    insert(Links, rows)


def unlink_addresses(module: str, bean_id: str) -> None:
    """Mark a record's links to addresses as deleted."""
    links = Links.update(deleted=True).where(Links.bean_id == bean_id, Links.bean_module == module, ~Links.deleted)
    links.execute()


def address_ids(keys: Iterable[str]) -> dict[str, str]:
    """For each key the id of its row in `email_addresses`, which is made where there is none.

    The CRM compares addresses by `address_lower`. For ASCII that is our normalized address; where it is not, as for
    info@bücher.example, the rows that the CRM wrote have to be normalized once.
    """
    wanted = list(dict.fromkeys(keys))
    ids: dict[str, str] = {}
    for part in chunked(wanted, 500):
        known = EmailAddresses.select(_KEY, EmailAddresses.id).where(_KEY.in_(part), ~EmailAddresses.deleted)
        ids |= dict(known.tuples())
    new = {key: str(uuid4()) for key in wanted if key not in ids}
    insert(EmailAddresses, [{"id": row_id, "address": key, "address_lower": key} for key, row_id in new.items()])
    return ids | new
