"""Contacts, and leads as well: BrightSync knows no difference, so a lead is a contact whose id begins with `lead:`."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from peewee import JOIN
from records import Cursor, Invalid, NotFound, Page, Record
from storage.directory import in_order

from crm.matching import normalize_address
from crm.merging import address_key, union
from database import writing

from .addresses import addresses_of, link_addresses, owners, unlink_addresses
from .rows import age, behind, first_page, gaps, mark_deleted, only, wire_time, write
from .tables import Accounts, Contacts, Leads

PEOPLE: dict[str, Any] = {"Contacts": Contacts, "Leads": Leads}

_LEAD = "lead:"  # nothing says that no contact has the id of a lead


def lookup_contacts(addresses: Sequence[str]) -> list[Record]:
    """The contacts and leads that have any of the addresses, each once, in the order of these, then by age and id."""
    return in_order(addresses, normalize_address, _find)


def get_contact(contact_id: str) -> Record:
    """The contact or lead with this id. Raises NotFound."""
    module, bean_id = bean(contact_id)
    return only(people(module, PEOPLE[module].id == bean_id, ~PEOPLE[module].deleted))


def list_contacts(updated_since: str | None = None, after: Cursor | None = None, limit: int = 25) -> Page:
    """A page of the contacts and leads that were changed at or after a time, the longest unchanged first."""
    found = []
    for module, table in PEOPLE.items():
        conditions = behind(table.date_modified, _wire_id(module), updated_since, after)
        found += people(module, ~table.deleted, *conditions, limit=limit + 1)
    return first_page(found, limit)


def add_contact(contact: Mapping[str, Any]) -> tuple[Record, bool]:
    """Find or create: a person with this id, else the oldest with one of the addresses, be it a contact or a lead.

    Only gaps of one that is found are filled; one that is new becomes a contact. Raises Invalid for a companyId that
    does not exist.
    """
    with writing():
        old = _find_same(contact)
        if old is None:
            return _save(contact.get("id", str(uuid4())), None, contact), True
        texts = union(old["emailAddresses"], contact["emailAddresses"], address_key)
        return _save(old["id"], old, {**gaps(old, contact), "emailAddresses": texts}), False


def put_contact(contact_id: str, contact: Mapping[str, Any]) -> tuple[Record, bool]:
    """Store a contact (or a lead) under the CRM's own id; gives the record and whether it is new. Raises Invalid."""
    with writing():
        try:
            old = get_contact(contact_id)
        except NotFound:
            return _save(contact_id, None, contact), True
        return _save(contact_id, old, contact), False


def change_contact(contact_id: str, changes: Mapping[str, Any]) -> Record:
    """Give the named fields new values. Raises NotFound and Invalid."""
    with writing():
        return _save(contact_id, get_contact(contact_id), changes)


def delete_contact(contact_id: str) -> None:
    """Mark a contact or lead, and its links to addresses, as deleted; its mail stays. Raises NotFound."""
    module, bean_id = bean(contact_id)
    with writing():
        mark_deleted(PEOPLE[module], bean_id)
        unlink_addresses(module, bean_id)


def bean(contact_id: str) -> tuple[str, str]:
    """The module, and the id in it, that a contact's id on the wire means."""
    return ("Leads", contact_id.removeprefix(_LEAD)) if contact_id.startswith(_LEAD) else ("Contacts", contact_id)


def people(module: str, *conditions: Any, limit: int | None = None) -> list[Record]:
    """The records of a module that meet the conditions, the longest unchanged first."""
    table, wire_id = PEOPLE[module], _wire_id(module)
    living = (table.account == Accounts.id) & ~Accounts.deleted  # people outlive their company
    rows = list(
        table.select(table, wire_id.alias("wire_id"), Accounts.id.alias("company_id"))
        .join(Accounts, JOIN.LEFT_OUTER, on=living)
        .where(*conditions)
        .order_by(table.date_modified, wire_id)
        .limit(limit)
        .objects()
    )
    addresses = addresses_of(module, [row.id for row in rows])
    return [
        {
            "id": row.wire_id,
            "firstName": row.first_name,
            "lastName": row.last_name,
            "emailAddresses": addresses[row.id],
            "companyId": row.company_id,
            "createdAt": wire_time(row.date_entered),
            "updatedAt": wire_time(row.date_modified),
        }
        for row in rows
    ]


def _wire_id(module: str) -> Any:
    return _LEAD + Leads.id if module == "Leads" else Contacts.id


def _find(keys: Sequence[str]) -> dict[str, list[Record]]:
    """For each folded address that is known, the people who have it, by age, then id."""
    found: defaultdict[str, list[Record]] = defaultdict(list)
    for module, table in PEOPLE.items():
        having = owners(module, keys)
        records = people(module, table.id.in_([bean_id for _, bean_id in having]), ~table.deleted)
        by_bean = {bean(record["id"]): record for record in records}
        for key, bean_id in having:
            if (module, bean_id) in by_bean:
                found[key].append(by_bean[module, bean_id])
    return {key: sorted(records, key=age) for key, records in found.items()}


def _find_same(contact: Mapping[str, Any]) -> Record | None:
    try:
        return get_contact(contact["id"])
    except (KeyError, NotFound):
        found = _find([key for key in map(normalize_address, contact["emailAddresses"]) if key])
        return min((record for records in found.values() for record in records), key=age, default=None)


def _save(contact_id: str, old: Record | None, values: Mapping[str, Any]) -> Record:
    """Write a person and the addresses; nothing where nothing has changed."""
    new = {**(old or {}), **values, "id": contact_id}
    if new == old:
        return new
    company_id = new["companyId"]
    if company_id is not None and not Accounts.select().where(Accounts.id == company_id, ~Accounts.deleted).exists():
        raise Invalid(companyId="There is no such company.")
    module, bean_id = bean(contact_id)
    columns = {"first_name": new["firstName"], "last_name": new["lastName"], "account": company_id}
    write(PEOPLE[module], bean_id, columns, is_new=old is None)
    if old is None or new["emailAddresses"] != old["emailAddresses"]:
        link_addresses(module, bean_id, new["emailAddresses"])
    return get_contact(contact_id)
