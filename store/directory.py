"""Contacts and companies: records that are found by normalized keys, their addresses and domains."""

from collections.abc import Mapping, Sequence
from json import loads
from re import sub
from typing import Any

from peewee import SQL, Field, Tuple, fn

from database.query import Prepared, Row, is_any, json_group, json_list, param
from models import Change, Company, CompanyDomain, Contact, ContactAddress

Record = dict[str, Any]


class _Directory:
    """One kind of record: a table, and a table of the entries by which a record is found."""

    def __init__(self, kind: str, table: Any, entry: Any, owner: Field, fields: Mapping[str, Field], listed: str):
        """`kind`: in the change feed; `owner`: the entry's foreign key; `fields`: wire name → column; `listed`: the
        wire name of the entries."""
        self._fields = dict(fields)
        self._listed = listed
        entries = entry.select().where(owner == table.id).order_by(entry.position)
        values = {field: param(name) for name, field in fields.items()}

        def records(*more: Any) -> Any:
            return table.select(*fields.values(), json_list(entries, entry.text), *more)

        def found_by_key() -> Any:
            key = entry.alias("key")
            owned = getattr(key, owner.name) == table.id
            found = records(json_group(key.normalized)).join(key, on=owned)
            return found.where(is_any(key.normalized, "keys")).group_by(table.id)

        def page() -> Any:
            place = Tuple(table.updated_at, table.id)
            behind = place > Tuple(param("updated_at"), param("after_id"))
            return records().where(behind).order_by(table.updated_at, table.id).limit(param("limit"))

        def by_name() -> Any:
            named = table.alias("named")  # all names may be looked through: in the index, without the rows
            behind = Tuple(named.name_key, named.id) > Tuple(param("after_key"), param("after_id"))
            found = named.select(named.id).where(named.name_key.ilike(param("pattern")), behind)
            found = found.order_by(named.name_key, named.id).limit(param("limit")).alias("found")
            return records(table.name_key).join(found, on=table.id == found.c.id).order_by(table.name_key, table.id)

        self._by_name = Prepared(by_name)
        self._named = Prepared(lambda: records().where(table.name_key == param("key")))
        self._read = Prepared(lambda: records().where(is_any(table.id, "ids")))
        self._find = Prepared(found_by_key)

        def gone() -> Any:
            at = Change.at.alias("updated_at")
            of_kind = (Change.type == kind) & (Change.action == SQL("'deleted'"))  # as the index has it
            behind = Tuple(Change.at, Change.record_id) > Tuple(param("updated_at"), param("after_id"))
            again = table.select(SQL("1")).where(table.id == Change.record_id)
            found = Change.select(Change.record_id, at).where(of_kind, behind, ~fn.EXISTS(again))
            return found.order_by(Change.at, Change.record_id).limit(param("limit"))

        self._page = Prepared(page)
        self._gone = Prepared(gone)
        self._insert = Prepared(lambda: table.insert(values))
        self._update = Prepared(lambda: table.update(values).where(table.id == param("id")))
        self._delete = Prepared(lambda: table.delete().where(table.id == param("id")))
        self._insert_entry = Prepared(
            lambda: entry.insert(
                {
                    owner: param("id"),
                    entry.position: param("position"),
                    entry.text: param("text"),
                    entry.normalized: param("key"),
                }
            )
        )
        self._delete_entries = Prepared(lambda: entry.delete().where(owner == param("id")))

    def read(self, ids: Sequence[str]) -> list[Record]:
        """The records with these ids, in any order."""
        return [self._record(row) for row in self._read(ids=list(ids))]

    def find(self, keys: Sequence[str]) -> list[tuple[str, Record]]:
        """Each record that has one of the keys, with the key; in any order."""
        found = [(loads(row[-1]), self._record(row)) for row in self._find(keys=list(keys))] if keys else []
        return [(key, record) for matched, record in found for key in matched]

    def page(self, since: str, after_id: str, limit: int) -> list[Record]:
        """Records in the order of (updatedAt, id), from behind such a pair."""
        return [self._record(row) for row in self._page(updated_at=since, after_id=after_id, limit=limit)]

    def deleted(self, since: str, after_id: str, limit: int) -> list[Record]:
        """What was deleted and not made again: id, deleted, and updatedAt, which is when; in the same order."""
        gone = self._gone(updated_at=since, after_id=after_id, limit=limit)
        return [{"id": record_id, "updatedAt": at, "deleted": True} for record_id, at in gone]

    def search(self, text: str, after_key: str, after_id: str, limit: int) -> list[tuple[str, Record]]:
        """Records whose normalized name holds a normalized text, with that name; in the order of (name, id), from
        behind such a pair."""
        plain = sub(r"[%_\\]", "_", text)  # what means something to LIKE stands for any character
        found = self._by_name(pattern=f"%{plain}%", after_key=after_key, after_id=after_id, limit=limit)
        return [(row[-1], self._record(row)) for row in found]

    def insert(self, record: Record, keys: Sequence[str | None]) -> None:
        """Store a new record; `keys` has the normalized form of each of its entries, None for what has none."""
        self._insert.run(**{name: record[name] for name in self._fields})
        self._insert_entries(record, keys)

    def update(self, old: Record, new: Record, keys: Sequence[str | None]) -> None:
        """Store a record in the place of an old one."""
        self._update.run(**{name: new[name] for name in self._fields})
        if new[self._listed] != old[self._listed]:
            self._delete_entries.run(id=new["id"])
            self._insert_entries(new, keys)

    def delete(self, record_id: str) -> bool:
        """Remove a record; whether there was one."""
        return bool(self._delete.run(id=record_id).rowcount)

    def _insert_entries(self, record: Record, keys: Sequence[str | None]) -> None:
        pairs = enumerate(zip(record[self._listed], keys, strict=True))
        self._insert_entry.many([{"id": record["id"], "position": n, "text": t, "key": key} for n, (t, key) in pairs])

    def _record(self, row: Row) -> Record:
        record = dict(zip(self._fields, row, strict=False))
        record[self._listed] = loads(row[len(self._fields)] or "[]")
        return record


class _Contacts(_Directory):
    """Contacts, which belong to companies."""

    _of_company = Prepared(
        lambda: (
            Contact.select(Contact.id)
            .where(Contact.company == param("company_id"))
            .order_by(Contact.created_at, Contact.id)
            .limit(param("limit"))
        )
    )

    def of_company(self, company_id: str, limit: int) -> list[str]:
        """The ids of the oldest contacts of a company."""
        return [contact_id for (contact_id,) in self._of_company(company_id=company_id, limit=limit)]


class _Companies(_Directory):
    """Companies, which have names."""

    def named(self, key: str) -> list[Record]:
        """The companies with this normalized name, in any order."""
        return [self._record(row) for row in self._named(key=key)]


contacts = _Contacts(
    "contact",
    Contact,
    ContactAddress,
    ContactAddress.contact,
    {
        "id": Contact.id,
        "firstName": Contact.first_name,
        "lastName": Contact.last_name,
        "nameKey": Contact.name_key,
        "companyId": Contact.company,
        "createdAt": Contact.created_at,
        "updatedAt": Contact.updated_at,
    },
    "emailAddresses",
)
companies = _Companies(
    "company",
    Company,
    CompanyDomain,
    CompanyDomain.company,
    {
        "id": Company.id,
        "name": Company.name,
        "nameKey": Company.name_key,
        "createdAt": Company.created_at,
        "updatedAt": Company.updated_at,
    },
    "domains",
)
