"""Contacts, which are the CRM's contacts and leads, and companies, which are its accounts: as its tables have them."""

import re
from collections.abc import Sequence
from typing import Any

from peewee import JOIN

from crm.matching import normalize_name
from crm.records import Invalid

from . import tables
from .rows import Record, addresses_of, link_addresses, mark_deleted, owners, save, to_moment, to_text

Account: Any = tables.Account
AccountContact: Any = tables.AccountContact
Contact: Any = tables.Contact
Lead: Any = tables.Lead

_OWN_ID = re.compile(r"[0-9A-Za-z_-]{1,17}")


def _check_id(record_id: str) -> None:
    if not _OWN_ID.fullmatch(record_id):
        raise Invalid(id="To this CRM an id is 17 letters and digits at the most.")


class People:
    """The contacts, or the leads: their ids begin with a prefix, which tells one from the other."""

    def __init__(self, table: Any, entity: str, prefix: str, account: Any) -> None:
        self._table, self._entity, self._prefix, self._account = table, entity, prefix, account

    def read(self, ids: Sequence[str]) -> list[Record]:
        """Those with these ids, in any order."""
        table, names = self._table, ("first_name", "last_name", "created_at", "modified_at")
        query = table.select(table.id, *(getattr(table, name) for name in names), Account.id.alias("account"))
        query = query.join(Account, JOIN.LEFT_OUTER, on=(self._account == Account.id) & ~Account.deleted)
        rows = list(query.where(table.id.in_(self._own(ids)), ~table.deleted).dicts())
        addresses = addresses_of(self._entity, [row["id"] for row in rows])
        return [
            {
                "id": self._prefix + row["id"],
                "firstName": row["first_name"] or None,
                "lastName": row["last_name"] or None,
                "nameKey": normalize_name(f"{row['first_name'] or ''} {row['last_name'] or ''}") or "",
                "emailAddresses": addresses[row["id"]],
                "companyId": row["account"],
                "createdAt": to_text(row["created_at"]),
                "updatedAt": to_text(row["modified_at"]),
            }
            for row in rows
        ]

    def owners(self, keys: Sequence[str]) -> list[tuple[str, str]]:
        """Each of these normalized addresses that somebody has, with the id."""
        return [(key, self._prefix + row_id) for key, row_id in owners(self._entity, keys)]

    def write(self, record: Record, keys: Sequence[str | None]) -> None:
        """Store a record, as far as the tables can hold it. Raises Invalid and Conflict."""
        row_id = record["id"].removeprefix(self._prefix)
        _check_id(row_id)
        length = self._table.first_name.max_length
        names = {"first_name": record["firstName"], "last_name": record["lastName"]}
        values = {column: value and value[:length] for column, value in names.items()}
        values |= {self._account.name: record["companyId"], "modified_at": to_moment(record["updatedAt"])}
        save(self._table, row_id, record["createdAt"], **values)
        link_addresses(self._entity, row_id, keys)
        if self._table is Contact:  # from here the CRM knows the contacts of an account
            accounts = AccountContact.contact_id == row_id
            AccountContact.update(deleted=True).where(accounts).execute()
            if company_id := record["companyId"]:
                found = AccountContact.update(deleted=False).where(accounts, AccountContact.account_id == company_id)
                if not found.execute():
                    AccountContact.insert(contact_id=row_id, account_id=company_id).execute()

    def delete(self, record_id: str) -> bool:
        """Mark one as deleted; whether there was one."""
        return mark_deleted(self._table, record_id.removeprefix(self._prefix))

    def ids(self, of_company: str | None = None, limit: int | None = None) -> list[str]:
        """All ids, or some of a company, the oldest first."""
        own = self._account == of_company if of_company is not None else ~self._table.deleted
        query = self._table.select(self._table.id).where(own, ~self._table.deleted).order_by(self._table.created_at)
        return [self._prefix + row_id for (row_id,) in query.limit(limit).tuples()]

    def _own(self, ids: Sequence[str]) -> list[str]:
        return [one.removeprefix(self._prefix) for one in ids if one.startswith(self._prefix)]


class Companies:
    """The accounts. What the CRM has of domains is a website, as somebody typed it."""

    def read(self, ids: Sequence[str]) -> list[Record]:
        """Those with these ids, in any order."""
        return [
            {
                "id": row.id,
                "name": row.name or None,
                "nameKey": normalize_name(row.name or "") or "",
                "domains": [row.website] if row.website else [],
                "createdAt": to_text(row.created_at),
                "updatedAt": to_text(row.modified_at),
            }
            for row in Account.select().where(Account.id.in_(ids), ~Account.deleted)
        ]

    def owners(self, keys: Sequence[str]) -> list[tuple[str, str]]:
        """None: a website is found by its domain where `sync` has normalized it."""
        return []

    def write(self, record: Record, keys: Sequence[str | None]) -> None:
        """Store a record, as far as the table can hold it. Raises Invalid and Conflict."""
        _check_id(record["id"])
        website = record["domains"][0][: Account.website.max_length] if record["domains"] else None
        name = record["name"] and record["name"][: Account.name.max_length]
        moment = to_moment(record["updatedAt"])
        save(Account, record["id"], record["createdAt"], name=name, website=website, modified_at=moment)

    def delete(self, record_id: str) -> bool:
        """Mark one as deleted; whether there was one."""
        return mark_deleted(Account, record_id)

    def ids(self) -> list[str]:
        """All ids."""
        return [row_id for (row_id,) in Account.select(Account.id).where(~Account.deleted).tuples()]


contacts = People(Contact, "Contact", "", Contact.account_id)
leads = People(Lead, "Lead", "lead:", Lead.created_account_id)
accounts = Companies()
