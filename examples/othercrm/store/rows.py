"""What the CRM's tables have in common: ids, times in seconds, shared addresses, soft deletion."""

import secrets
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from peewee import chunked

from clock import stamp
from crm.records import Conflict
from database import purge_deleted

from . import tables
from .crm import transaction

EmailAddress: Any = tables.EmailAddress
Link: Any = tables.EntityEmailAddress
Record = dict[str, Any]


def new_id() -> str:
    """An id as the CRM has them: 17 characters."""
    return secrets.token_hex(9)[1:]


def to_text(moment: datetime | None) -> str:
    """The CRM's time, which is UTC without saying so."""
    return stamp((moment or datetime.fromisoformat("1970-01-01")).replace(tzinfo=UTC))


def to_moment(text: str) -> datetime:
    """A time as the CRM keeps it: in seconds. The microseconds are in the connector's own tables."""
    return datetime.fromisoformat(text).replace(microsecond=0, tzinfo=None)


def save(table: Any, row_id: str, created: str, **values: Any) -> None:
    """Insert a row, or change the one that is there, also one that is marked as deleted. Raises Conflict."""
    same = [found for (found,) in table.select(table.id).where(table.id == row_id).tuples()]
    if row_id in same:
        table.update(**values, deleted=False).where(table.id == row_id).execute()
    elif same:
        raise Conflict("To the CRM this id is another's, as it does not tell upper from lower case.")
    else:
        table.insert(id=row_id, created_at=to_moment(created), **values).execute()


def insert_rows(table: Any, rows: Iterable[Record]) -> None:
    """Insert any number of rows."""
    for part in chunked(rows, 500):
        table.insert_many(part).execute()


def address_ids(keys: Iterable[str | None]) -> dict[str, str]:
    """The ids of these normalized addresses, in their order; those that the CRM does not have yet are made.

    Its collation takes `é` for `e`: so what it finds is compared once more. What is too long for it is left out.
    """
    wanted = list(dict.fromkeys(key for key in keys if key and len(key) <= EmailAddress.lower.max_length))
    ids: dict[str, str] = {}
    for part in chunked(wanted, 500):
        rows = EmailAddress.select(EmailAddress.lower, EmailAddress.id)
        rows = rows.where(EmailAddress.lower.in_(part), ~EmailAddress.deleted)
        ids |= dict(rows.order_by(EmailAddress.id).tuples())
    new = {key: new_id() for key in wanted if key not in ids}
    insert_rows(EmailAddress, [{"id": row_id, "name": key, "lower": key} for key, row_id in new.items()])
    ids |= new
    return {key: ids[key] for key in wanted}


def link_addresses(entity: str, row_id: str, keys: Sequence[str | None]) -> None:
    """Give a record these addresses and no others, the first one as the primary one."""
    row = {"entity_type": entity, "entity_id": row_id}
    Link.delete().where(Link.entity_type == entity, Link.entity_id == row_id).execute()
    places = enumerate(address_ids(keys).values())
    insert_rows(Link, [{**row, "email_address_id": one, "primary": place == 0} for place, one in places])


def addresses_of(entity: str, row_ids: Sequence[str]) -> defaultdict[str, list[str]]:
    """The addresses of records as the CRM has them, the primary one first."""
    found = defaultdict(list)
    query = Link.select(Link.entity_id, EmailAddress.name).join(
        EmailAddress, on=(Link.email_address_id == EmailAddress.id) & ~EmailAddress.deleted
    )
    query = query.where(Link.entity_type == entity, Link.entity_id.in_(row_ids), ~Link.deleted)
    for row_id, name in query.order_by(Link.primary.desc(), Link.id).tuples():
        found[row_id].append(name)
    return found


def owners(entity: str, keys: Sequence[str]) -> list[tuple[str, str]]:
    """Each of these normalized addresses that a record has, with the record's id."""
    query = EmailAddress.select(EmailAddress.lower, Link.entity_id).join(
        Link, on=(Link.email_address_id == EmailAddress.id) & ~Link.deleted
    )
    query = query.where(EmailAddress.lower.in_(list(keys)), ~EmailAddress.deleted, Link.entity_type == entity)
    wanted = set(keys)
    return [(lower, row_id) for lower, row_id in query.tuples() if lower in wanted]


def mark_deleted(table: Any, row_id: str) -> bool:
    """Mark a row as deleted, as the CRM does; whether there was one."""
    return bool(table.update(deleted=True).where(table.id == row_id, ~table.deleted).execute())


def purge() -> bool:
    """Remove for good what is marked as deleted, as the CRM's own clean-up does, and what only that had."""
    mail, addressed = tables.Email, tables.EmailEmailAddress
    with transaction():
        for table in tables.CRM:
            table.delete().where(table.deleted).execute()
        for table in (tables.Contact, tables.Lead, tables.User):
            of_nobody = Link.entity_id.not_in(table.select(table.id))
            Link.delete().where(Link.entity_type == table.__name__, of_nobody).execute()
        addressed.delete().where(addressed.email_id.not_in(mail.select(mail.id))).execute()
        accounts, contact = tables.AccountContact, tables.Contact
        accounts.delete().where(accounts.contact_id.not_in(contact.select(contact.id))).execute()
        used = (Link.email_address_id, addressed.email_address_id, mail.from_email_address_id)
        nobody = [EmailAddress.id.not_in(one.model.select(one).where(one.is_null(False))) for one in used]
        EmailAddress.delete().where(*nobody).execute()
    return purge_deleted()
