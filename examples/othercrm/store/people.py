"""Contacts, and leads as well: BrightSync knows no difference, so a lead is a contact whose id begins with `lead:`."""

from collections.abc import Sequence
from typing import Any

from peewee import JOIN

from .rows import Record, addresses_of, behind, deleted_rows, link_addresses, mark_deleted, owners, save, with_keys
from .tables import Accounts, Contacts, Leads

_LEAD = "lead:"  # nothing says that no contact has the id of a lead
_TABLES: dict[str, Any] = {"Contacts": Contacts, "Leads": Leads}
_IDS: dict[str, Any] = {"Contacts": Contacts.id, "Leads": _LEAD + Leads.id}


def bean(contact_id: str) -> tuple[str, str]:
    """The module, and the id in it, that a contact's id means."""
    return ("Leads", contact_id.removeprefix(_LEAD)) if contact_id.startswith(_LEAD) else ("Contacts", contact_id)


def read(ids: Sequence[str]) -> list[Record]:
    """The contacts and leads with these ids."""
    return [one for module in _TABLES for one in _people(module, _IDS[module].in_(ids))]


def find(keys: Sequence[str]) -> list[tuple[str, Record]]:
    """Each contact or lead that has one of the addresses, with the address."""
    leads = [(key, _LEAD + lead_id) for key, lead_id in owners("Leads", keys)]
    return with_keys(owners("Contacts", keys) + leads, read)


def page(since: str, after_id: str, limit: int) -> list[Record]:
    """Contacts and leads in the order of (updatedAt, id), from behind such a pair."""
    found = []
    for module, table in _TABLES.items():
        found += _people(module, behind(table.date_modified, _IDS[module], (since, after_id)), limit=limit)
    return sorted(found, key=lambda one: (one["updatedAt"], one["id"]))[:limit]


def deleted(since: str, after_id: str, limit: int) -> list[Record]:
    """Contacts and leads that were marked as deleted, in the order of `page`."""
    found = []
    for module, table in _TABLES.items():
        found += deleted_rows(table, (since, after_id), limit, _IDS[module])
    return sorted(found, key=lambda one: (one["updatedAt"], one["id"]))[:limit]


def of_company(company_id: str, limit: int) -> list[str]:
    """The ids of some contacts and leads of a company."""
    return [one["id"] for module in _TABLES for one in _people(module, Accounts.id == company_id, limit=limit)][:limit]


def insert(record: Record, keys: Sequence[str | None]) -> None:
    """Store a new contact, or a lead."""
    update({"emailAddresses": None}, record, keys)


def update(old: Record, new: Record, keys: Sequence[str | None]) -> None:
    """Store a contact or lead in the place of an old one."""
    module, bean_id = bean(new["id"])
    names = {"first_name": new["firstName"], "last_name": new["lastName"]}
    save(_TABLES[module], bean_id, new, **names, account=new["companyId"])
    if new["emailAddresses"] != old["emailAddresses"]:
        link_addresses(module, bean_id, new["emailAddresses"], keys)


def delete(record_id: str) -> bool:
    """Mark a contact or lead, and its links to addresses, as deleted; whether there was one."""
    module, bean_id = bean(record_id)
    link_addresses(module, bean_id)
    return mark_deleted(_TABLES[module], bean_id)


def _people(module: str, condition: Any, limit: int | None = None) -> list[Record]:
    """The records of a module that meet a condition, the longest unchanged first."""
    table = _TABLES[module]
    columns = {"id": _IDS[module], "firstName": table.first_name, "lastName": table.last_name, "companyId": Accounts.id}
    columns |= {"createdAt": table.date_entered, "updatedAt": table.date_modified}
    query = table.select(*(column.alias(name) for name, column in columns.items()))
    query = query.join(Accounts, JOIN.LEFT_OUTER, on=(table.account == Accounts.id) & ~Accounts.deleted)
    query = query.where(condition, ~table.deleted).order_by(table.date_modified, _IDS[module]).limit(limit)
    records = list(query.dicts())
    addresses = addresses_of(module, [bean(record["id"])[1] for record in records])
    return [{**record, "emailAddresses": addresses[bean(record["id"])[1]]} for record in records]
