"""Contacts and companies: found by address and domain, created where they are not."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import uuid4

from clock import now
from crm.changes import record_change
from crm.matching import candidate_keys, normalize_address, normalize_domain, parent_domains
from crm.merging import union
from crm.records import MOST_CHARACTERS, MOST_ENTRIES, Cursor, Invalid, NotFound, Page, Record
from crm.seam import attempts, store

_BATCH = 200  # contacts that lose their company in one transaction

Find = Callable[[Sequence[str]], list[tuple[str, Record]]]


class _Kind(NamedTuple):
    """What contacts and companies do not have in common."""

    name: str  # in the change feed
    entries: str  # the field that lists what a record is found by
    normalize: Callable[[str], str | None]
    store: Any

    def keys(self, record: Mapping[str, Any]) -> list[str | None]:
        """The normalized form of each entry, None for what has none."""
        return [self.normalize(text) for text in record[self.entries]]


_CONTACT = _Kind("contact", "emailAddresses", normalize_address, store.contacts)
_COMPANY = _Kind("company", "domains", normalize_domain, store.companies)


# ---- contacts -------------------------------------------------------------------------------------------------------


def lookup_contacts(addresses: Sequence[str]) -> list[Record]:
    """The contacts that have any of the addresses, each once, in the order of the addresses, then by age and id."""
    return in_order(addresses, normalize_address, store.contacts.find)


def get_contact(contact_id: str) -> Record:
    """The contact with this id. Raises NotFound."""
    return _get(_CONTACT, contact_id)


def list_contacts(updated_since: str | None = None, after: Cursor | None = None, limit: int = 25) -> Page:
    """A page of the contacts that were changed at or after a time, the longest unchanged first."""
    return _list(_CONTACT, updated_since, after, limit)


def add_contact(contact: Mapping[str, Any]) -> tuple[Record, bool]:
    """Find or create a contact; gives the record and whether it is new.

    Found is the contact with its id, if it has one, else the oldest with one of its addresses; only gaps are filled:
    empty fields, and addresses that it lacked. Raises Invalid for a companyId that does not exist.
    """
    return _add(_CONTACT, contact)


def put_contact(contact_id: str, contact: Mapping[str, Any]) -> tuple[Record, bool]:
    """Store a contact under the CRM's own id; gives the record and whether it is new. Never merges. Raises Invalid."""
    return _put(_CONTACT, contact_id, contact)


def change_contact(contact_id: str, changes: Mapping[str, Any]) -> Record:
    """Give the named fields of a contact new values. Raises NotFound and Invalid."""
    return _change(_CONTACT, contact_id, changes)


def delete_contact(contact_id: str) -> None:
    """Remove a contact; their emails stay. Raises NotFound."""
    with store.transaction():
        _delete(_CONTACT, contact_id)


# ---- companies ------------------------------------------------------------------------------------------------------


def lookup_companies(domain: str) -> list[Record]:
    """The companies of a domain, by age: those that have it, else those that have its nearest parent."""
    candidates = parent_domains(normalize_domain(domain) or "")
    found = _by_key(store.companies.find(candidates))
    return next((found[key] for key in candidates if key in found), [])


def get_company(company_id: str) -> Record:
    """The company with this id. Raises NotFound."""
    return _get(_COMPANY, company_id)


def list_companies(updated_since: str | None = None, after: Cursor | None = None, limit: int = 25) -> Page:
    """A page of the companies that were changed at or after a time, the longest unchanged first."""
    return _list(_COMPANY, updated_since, after, limit)


def add_company(company: Mapping[str, Any]) -> tuple[Record, bool]:
    """Find or create a company by its id, if it has one, else by its domains, like `add_contact`."""
    return _add(_COMPANY, company)


def put_company(company_id: str, company: Mapping[str, Any]) -> tuple[Record, bool]:
    """Store a company under the CRM's own id; gives the record and whether it is new. Never merges."""
    return _put(_COMPANY, company_id, company)


def change_company(company_id: str, changes: Mapping[str, Any]) -> Record:
    """Give the named fields of a company new values. Raises NotFound."""
    return _change(_COMPANY, company_id, changes)


def delete_company(company_id: str) -> None:
    """Remove a company; its contacts stay, without companyId. Raises NotFound.

    Some hundred contacts at a time lose it, so that others may write in between; no contact ever names a company that
    is not there.
    """
    _get(_COMPANY, company_id)
    while True:
        with store.transaction():
            contacts = store.contacts.of_company(company_id, _BATCH)
            for contact in store.contacts.read(contacts):
                _store(_CONTACT, contact, {**contact, "companyId": None}, _CONTACT.keys(contact))
            if len(contacts) < _BATCH:
                _delete(_COMPANY, company_id)
                return


# ---- both -----------------------------------------------------------------------------------------------------------


def in_order(asked: Sequence[str], normalize: Callable[[str], str | None], find: Find) -> list[Record]:
    """The records found for each address asked for, by the first of its keys that is known; each record once."""
    wanted = [candidate_keys(text, normalize) for text in asked]
    found = _by_key(find(list({key for keys in wanted for key in keys})))
    first_known = [next((found[key] for key in keys if key in found), []) for keys in wanted]
    return list({record["id"]: record for records in first_known for record in records}.values())


def _by_key(found: Iterable[tuple[str, Record]]) -> dict[str, list[Record]]:
    """For each key its records, each once, by age, then id."""
    by_key: defaultdict[str, dict[str, Record]] = defaultdict(dict)
    for key, record in found:
        by_key[key][record["id"]] = record
    return {key: sorted(records.values(), key=_age) for key, records in by_key.items()}


def _age(record: Record) -> tuple[str, str]:
    return record.get("createdAt", ""), record["id"]


def _get(kind: _Kind, record_id: str) -> Record:
    for record in kind.store.read([record_id]):
        found: Record = record
        return found
    raise NotFound


def _list(kind: _Kind, since: str | None, after: Cursor | None, limit: int) -> Page:
    if since == "":
        return Page([], None)
    found = kind.store.page(*(after or (since or "", "")), limit + 1)
    records = found[:limit]
    more = len(found) > limit
    return Page(records, (records[-1]["updatedAt"], records[-1]["id"]) if more else None)


def _add(kind: _Kind, values: Mapping[str, Any]) -> tuple[Record, bool]:
    keys = kind.keys(values)

    def find() -> Record | None:
        same = kind.store.read([values["id"]]) if "id" in values else []
        return min(same or [record for _, record in kind.store.find(list(filter(None, keys)))], key=_age, default=None)

    def fill_gaps(old: Record | None) -> Record:
        if old is None:
            return {"id": uuid4().hex, **values}
        filled = {name: value for name, value in values.items() if value and not old[name]}
        whole = union(old[kind.entries], values[kind.entries], lambda text: kind.normalize(text) or text)
        here = old[kind.entries]
        if len(whole) > max(MOST_ENTRIES, len(here)):
            raise Invalid(**{kind.entries: f"The record that is found would have more than {MOST_ENTRIES}."})
        if sum(map(len, whole)) > max(MOST_CHARACTERS, sum(map(len, here))):
            raise Invalid(
                **{kind.entries: f"The record that is found would have more than {MOST_CHARACTERS} characters."}
            )
        return {**old, **filled, kind.entries: whole}

    return _save(kind, find, fill_gaps)


def _put(kind: _Kind, record_id: str, values: Mapping[str, Any]) -> tuple[Record, bool]:
    def find() -> Record | None:
        return next(iter(kind.store.read([record_id])), None)

    return _save(kind, find, lambda old: {**(old or {}), **values, "id": record_id})


def _change(kind: _Kind, record_id: str, changes: Mapping[str, Any]) -> Record:
    return _save(kind, lambda: _get(kind, record_id), lambda old: {**(old or {}), **changes})[0]


def _save(
    kind: _Kind, find: Callable[[], Record | None], change: Callable[[Record | None], Record]
) -> tuple[Record, bool]:
    """Store what becomes of the record that is found, if one is; nothing is written where nothing changes."""
    for attempt in attempts():
        with attempt:
            old = find()
            new = change(old)
            if new == old:
                return new, False
            keys = kind.keys(new)
            with store.transaction():
                if find() == old:
                    return _store(kind, old, new, keys), old is None
    raise AssertionError


def _store(kind: _Kind, old: Record | None, new: Record, keys: list[str | None]) -> Record:
    company_id = new.get("companyId")
    if company_id is not None and not store.companies.read([company_id]):
        raise Invalid(companyId="There is no such company.")
    moment = now()
    new = {**new, "createdAt": old["createdAt"] if old else moment, "updatedAt": moment}
    if old is None:
        kind.store.insert(new, keys)
    else:
        kind.store.update(old, new, keys)
    record_change(kind.name, new["id"], "changed" if old else "created")
    return new


def _delete(kind: _Kind, record_id: str) -> None:
    if not kind.store.delete(record_id):
        raise NotFound
    record_change(kind.name, record_id, "deleted")
