"""Contacts and companies out of a table that need not know our ids: found, and found again by the next import."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import nullcontext, suppress
from functools import cache, cached_property
from hashlib import blake2b
from json import dumps
from typing import Any

from crm.changes import record_change
from crm.directory import COMPANY, CONTACT, Kind, by_age, fill_gaps, find_same, nearest, store_record
from crm.matching import is_free_mail, normalize_name, parent_domains
from crm.records import Invalid, NotOffered, Record
from crm.seam import offers, store

# What a row may say beside the record's own fields: the id that it has in the program that wrote the table, and of a
# contact's company the id there and the name.
HINTS = ("sourceId", "companySourceId", "companyName")


class TableImport:
    """Stores the rows of a table one after the other, each a contact or company.

    A row with an id creates or changes that record; what the table has no column for stays as it is.

    A row without an id is found and its gaps filled, or created. It is found by its addresses or domains, as POST does
    it; else by its `sourceId`; else, a company by its name and a contact by its names and its company's, unless both
    the row and the record have addresses or domains, and so are two. For that a new record is given an id that is made
    of what it is found by.

    The company of a contact that has none is the one of `companySourceId`; else of `companyName`; else of the domain of
    an address, which is no domain of free mail. One that is named and not here is created. For a row with an id the
    domain counts only where a company is named.

    A dry run only reads: what the rows so far would have made or changed is kept in memory, and later rows meet it
    there as they would in the database.

        rows.prepare(batch)  # outside a transaction
        with database.writing():
            for row in batch: rows.store(row)
    """

    def __init__(self, name: str, columns: Iterable[str], dry_run: bool = False) -> None:
        """`name`: contact or company; `columns`: the fields that the table gives, HINTS among them."""
        companies, contacts = COMPANY.store, CONTACT.store
        if dry_run:
            companies, contacts = _Overlay(companies), _Overlay(contacts)
        self._company = COMPANY._replace(store=companies, companies=companies)
        contact = CONTACT._replace(store=contacts, companies=companies)
        self._kind = contact if name == "contact" else self._company
        self._normalize = self._kind.normalize
        self._of_host = cache(self._companies_of)  # what this import creates has no domain
        self._columns, self._dry_run = set(columns), dry_run

    def prepare(self, rows: Iterable[Record]) -> None:
        """Read and normalize what these rows will need. What was normalized is remembered until the next call, so that
        under the write lock only what others change in this moment has to be."""
        self._kind = self._kind._replace(normalize=cache(self._normalize))
        self._of_host = cache(self._companies_of)
        for row in rows:
            with suppress(Invalid, NotOffered):
                new = self._plan(row)[1]
                self._kind.keys(self._kind.named(new))

    def store(self, row: Record) -> str:
        """Store a row; gives "created", "changed" or "unchanged". Raises Invalid."""
        old, new, company = self._plan(row)
        if new == old:
            return "unchanged"
        with nullcontext() if self._dry_run else store.transaction():
            if company:
                self._write(self._company, None, company)
            self._write(self._kind, old, new)
        return "changed" if old else "created"

    def _write(self, kind: Kind, old: Record | None, new: Record) -> None:
        new = kind.named(new)
        store_record(kind, old, new, kind.keys(new), _record_nothing if self._dry_run else record_change)

    def _plan(self, row: Record) -> tuple[Record | None, Record, Record | None]:
        """The record that a row means, as it is and as it will be, and the company that has to be created for it."""
        values = {name: value for name, value in row.items() if name not in HINTS and (name, value) != ("id", None)}
        keys = list(filter(None, self._kind.keys(values)))
        own = "id" in values
        if own:
            old = self._read(values["id"])
            values = values if old is None else {name: one for name, one in values.items() if name in self._columns}
            lacks_company = not self._columns.isdisjoint(HINTS[1:])
        else:
            old, made_id = self._find(row, values, keys)
            values |= {"id": made_id} if made_id else {}
            lacks_company = not (old and old.get("companyId"))
        company = None
        if self._kind.name == "contact" and lacks_company and not values.get("companyId"):
            company_id, company = self._find_company(row, keys if not own or row.get("companyName") else [])
            values["companyId"] = company_id
        return old, {**(old or {}), **values} if own else fill_gaps(self._kind, old, values), company

    def _find(self, row: Record, values: Record, keys: Sequence[str]) -> tuple[Record | None, str | None]:
        """The record that a row without an id means; where it is not here, the id that it is to have, if not any."""
        kind = self._kind
        source_id = self._made_id(kind, row.get("sourceId"))
        old = find_same(kind, values, keys) or self._read(source_id)
        if old or (source_id and kind.name == "contact"):  # two of one name who have ids there are two
            return old, None if old else source_id
        if kind.name == "company":
            same = self._named(values["name"])
        else:
            names = [normalize_name(text or "") for text in (values["firstName"], values["lastName"])]
            nonsense = [] if keys else values["emailAddresses"]
            said = [*names, normalize_name(row.get("companyName") or ""), nonsense]
            source_id = self._made_id(kind, *said) if any(names) or nonsense else None
            same = list(filter(None, [self._read(source_id)]))
        old = next((one for one in same if not keys or not one[kind.entries]), None)
        return old, None if old or (keys and kind.name == "contact") else source_id

    def _find_company(self, row: Record, addresses: Sequence[str]) -> tuple[str | None, Record | None]:
        """The id of a contact's company, if it is known; and the company, where it has to be created."""
        source_id = self._made_id(self._company, row.get("companySourceId"))
        if not _offered("read"):  # nor can a companyId be told from nonsense
            return None, None
        if source_id and self._company.store.read([source_id]):
            return source_id, None
        named, of_domain = self._named(row.get("companyName")), self._of_domain(addresses)
        ids = [one["id"] for one in of_domain]
        for found in [one["id"] for one in named if one["id"] in ids] + [one["id"] for one in named] + ids:
            return found, None
        # Where companies can't be found by name, each import would create another one.
        if not row.get("companyName") or not _offered("named", "insert"):
            return None, None
        new = {"name": row["companyName"], "domains": []} | ({"id": source_id} if source_id else {})
        company = fill_gaps(self._company, None, new)
        return company["id"], company

    def _of_domain(self, addresses: Sequence[str]) -> list[Record]:
        found = (self._of_host(address.rpartition("@")[2]) for address in addresses)
        return next(filter(None, found), [])

    def _companies_of(self, host: str) -> list[Record]:
        domains = parent_domains(host)
        known = _offered("find") and not is_free_mail(domains)
        return nearest(domains, self._company.store.find) if known else []

    def _named(self, name: str | None) -> list[Record]:
        key = normalize_name(name or "")
        return sorted(self._company.store.named(key), key=by_age) if key and _offered("named") else []

    def _read(self, record_id: str | None) -> Record | None:
        return next(iter(self._kind.store.read([record_id])), None) if record_id else None

    def _made_id(self, kind: Kind, *said: Any) -> str | None:
        """An id made of what a row says; None where it says nothing, or the store makes its own. It is a hash with a
        key, so that nobody can try whose it was who finds it in the feed after the record is erased."""
        if not any(said) or offers({"contact": CONTACT, "company": COMPANY}[kind.name].store, "new_id"):
            return None
        return blake2b(dumps([kind.name, *said]).encode(), key=self._key, digest_size=16).hexdigest()

    @cached_property
    def _key(self) -> bytes:
        return bytes.fromhex(store.withheld.key(make=not self._dry_run))


def _offered(*names: str) -> bool:
    """Whether companies have these functions: contacts are imported without them as well."""
    return all(offers(COMPANY.store, name) for name in names)


def _record_nothing(kind: str, record_id: str, action: str, at: str) -> None:
    """Nothing has changed."""


class _Overlay:
    """Contacts or companies as they would be: what is written is kept here, and nothing reaches the database."""

    def __init__(self, under: Any) -> None:
        self._under = under
        self._records: dict[str, Record] = {}
        self._keys: dict[str, set[str]] = {}  # of each record here
        self._ids: defaultdict[str, set[str]] = defaultdict(set)  # of the records here that have or had a key

    def read(self, ids: Sequence[str]) -> list[Record]:
        here = [self._records[one] for one in ids if one in self._records]
        others = [one for one in ids if one not in self._records]
        return [*here, *(self._under.read(others) if others else [])]

    def find(self, keys: Sequence[str]) -> list[tuple[str, Record]]:
        under = [(key, record) for key, record in self._under.find(keys) if record["id"] not in self._records]
        here = [(key, self._records[one]) for key in keys for one in self._ids.get(key, ()) if key in self._keys[one]]
        return under + here

    def named(self, key: str) -> list[Record]:
        under = [record for record in self._under.named(key) if record["id"] not in self._records]
        return under + [record for record in self._records.values() if record["nameKey"] == key]

    def insert(self, record: Record, keys: Sequence[str | None]) -> None:
        self._records[record["id"]] = record
        self._keys[record["id"]] = set(filter(None, keys))
        for key in self._keys[record["id"]]:
            self._ids[key].add(record["id"])

    def update(self, old: Record, new: Record, keys: Sequence[str | None]) -> None:
        self.insert(new, keys)
