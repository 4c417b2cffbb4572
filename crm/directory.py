"""Contacts and companies: found by address and domain, created where they are not."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple
from uuid import uuid4

from crm.changes import change_time, record_change
from crm.matching import (
    candidate_keys,
    is_free_mail,
    normalize_address,
    normalize_domain,
    normalize_name,
    parent_domains,
)
from crm.merging import union
from crm.records import (
    MOST_CHARACTERS,
    MOST_ENTRIES,
    Cursor,
    Invalid,
    NotFound,
    NotOffered,
    Page,
    Record,
    Versions,
    check_version,
)
from crm.seam import Stale, let_others_write, optional, retried, store

_BATCH = 20  # contacts that lose their company in one transaction

Find = Callable[[Sequence[str]], list[tuple[str, Record]]]


class Kind(NamedTuple):
    """What contacts and companies do not have in common."""

    name: str  # in the change feed
    names: tuple[str, ...]  # the fields of its name
    entries: str  # the field that lists what a record is found by
    normalize: Callable[[str], str | None]
    store: Any
    companies: Any  # the store in which a companyId is looked for

    def keys(self, record: Mapping[str, Any]) -> list[str | None]:
        """The normalized form of each entry, None for what has none."""
        return [self.normalize(text) for text in record[self.entries]]

    def named(self, record: Record) -> Record:
        """The record as it is stored: with its normalized name, which is not on the wire."""
        parts = (record[name] or "" for name in self.names)
        return {**record, "nameKey": normalize_name(" ".join(parts)) or ""}


CONTACT = Kind(
    "contact", ("firstName", "lastName"), "emailAddresses", normalize_address, store.contacts, store.companies
)
COMPANY = Kind("company", ("name",), "domains", normalize_domain, store.companies, store.companies)


# ---- contacts -------------------------------------------------------------------------------------------------------


# Of the present call: the addresses, normalized, for which a look-up has found no contact.
unmatched: ContextVar[Sequence[str]] = ContextVar("unmatched", default=())


def lookup_contacts(addresses: Sequence[str]) -> list[Record]:
    """The contacts that have any of the addresses, each once, in the order of the addresses, then by age and id."""
    missed: list[str] = []
    found = in_order(addresses, normalize_address, store.contacts.find, missed)
    unmatched.set(missed)
    return found


def get_contact(contact_id: str) -> Record:
    """The contact with this id. Raises NotFound."""
    return _get(CONTACT, contact_id)


def list_contacts(
    updated_since: str | None = None, after: Cursor | None = None, limit: int = 25, deleted: bool = False
) -> Page:
    """A page of the contacts that were changed at or after a time, the longest unchanged first.

    With `deleted`, those that were deleted since are among them: id, deleted, and updatedAt, which is when.
    """
    return _list(CONTACT, updated_since, deleted, after, limit)


def search_contacts(text: str, after: Cursor | None = None, limit: int = 25) -> Page:
    """A page of the contacts whose name holds a text, in the order of names; or of those with an address. "" is all."""
    if "@" in text:
        return Page(lookup_contacts([text]), None)
    return _search(CONTACT, text, after, limit)


def contacts_of_company(company_id: str, limit: int = 100) -> list[Record]:
    """The oldest contacts of a company."""
    return sorted(store.contacts.read(store.contacts.of_company(company_id, limit)), key=by_age)


def add_contact(contact: Mapping[str, Any]) -> tuple[Record, bool]:
    """Find or create a contact; gives the record and whether it is new.

    Found is the contact with its id, if it has one, and never another; without an id, the oldest with one of its
    addresses. Only gaps are filled: empty fields, and addresses that it lacked. Raises Invalid for a companyId that
    does not exist.
    """
    return _add(CONTACT, contact)


def add_contact_of_domain(contact: Mapping[str, Any]) -> tuple[Record, bool]:
    """Find or create a contact without an id; a new one belongs to the oldest company of its addresses' domains."""
    for address in contact["emailAddresses"]:
        try:
            for company in lookup_companies(address.rpartition("@")[2]):
                return add_contact({**contact, "companyId": company["id"]})
        except NotOffered:
            break
    return add_contact(contact)


def put_contact(contact_id: str, contact: Mapping[str, Any], versions: Versions = None) -> tuple[Record, bool]:
    """Store a contact under the CRM's own id; gives the record and whether it is new. Never merges.

    Raises Invalid and Changed.
    """
    return _put(CONTACT, contact_id, contact, versions)


def change_contact(contact_id: str, changes: Mapping[str, Any], versions: Versions = None) -> Record:
    """Give the named fields of a contact new values. Raises NotFound, Invalid and Changed."""
    return _change(CONTACT, contact_id, changes, versions)


def delete_contact(contact_id: str, versions: Versions = None) -> None:
    """Remove a contact; their emails stay. Raises NotFound and Changed."""
    with store.transaction():
        _delete(CONTACT, contact_id, versions)


# ---- companies ------------------------------------------------------------------------------------------------------


def lookup_companies(domain: str | None = None, name: str | None = None, free_mail: bool = False) -> list[Record]:
    """The companies of a domain, by age: those that have it, else those that have its nearest parent. Or of a name, or
    of both.

    A public suffix is nobody's parent; a domain of free mail finds none, unless `free_mail`. Raises Invalid where
    neither is given.
    """
    key = normalize_name(name) if name else None
    if domain is None and name is None:
        raise Invalid(domain="A domain or a name is needed.")
    if domain is None:
        return sorted(store.companies.named(key), key=by_age) if key else []
    candidates = parent_domains(normalize_domain(domain) or "")
    if not free_mail and is_free_mail(candidates):
        return []
    companies = nearest(candidates, store.companies.find)
    return companies if name is None else [one for one in companies if normalize_name(one["name"] or "") == key]


def nearest(domains: Sequence[str], find: Find) -> list[Record]:
    """The companies that have the first of some normalized domains that any has, by age."""
    found = _by_key(find(domains))
    return next((found[one] for one in domains if one in found), [])


def get_company(company_id: str) -> Record:
    """The company with this id. Raises NotFound."""
    return _get(COMPANY, company_id)


def list_companies(
    updated_since: str | None = None, after: Cursor | None = None, limit: int = 25, deleted: bool = False
) -> Page:
    """A page of the companies that were changed at or after a time, like `list_contacts`."""
    return _list(COMPANY, updated_since, deleted, after, limit)


def search_companies(text: str, after: Cursor | None = None, limit: int = 25) -> Page:
    """A page of the companies whose name holds a text, in the order of names; or of those with a domain. "" is all."""
    with_domain = lookup_companies(domain=text, free_mail=True) if "." in text and after is None else []
    return Page(with_domain, None) if with_domain else _search(COMPANY, text, after, limit)


def add_company(company: Mapping[str, Any]) -> tuple[Record, bool]:
    """Find or create a company by its id, if it has one, else by its domains, like `add_contact`."""
    return _add(COMPANY, company)


def put_company(company_id: str, company: Mapping[str, Any], versions: Versions = None) -> tuple[Record, bool]:
    """Store a company under the CRM's own id; gives the record and whether it is new. Never merges.

    Raises Changed.
    """
    return _put(COMPANY, company_id, company, versions)


def change_company(company_id: str, changes: Mapping[str, Any], versions: Versions = None) -> Record:
    """Give the named fields of a company new values. Raises NotFound and Changed."""
    return _change(COMPANY, company_id, changes, versions)


def delete_company(company_id: str, versions: Versions = None) -> None:
    """Remove a company; its contacts stay, without companyId. Raises NotFound and Changed.

    Some contacts at a time lose it, so that others may write in between; no contact ever names a company that
    is not there.
    """
    check_version(_get(COMPANY, company_id), versions)
    while True:
        contacts = sorted(store.contacts.read(store.contacts.of_company(company_id, _BATCH)), key=by_age)
        keys = [CONTACT.keys(contact) for contact in contacts]
        with store.transaction():
            if versions is not None:
                check_version(_get(COMPANY, company_id), versions)
            there = {one["id"]: one for one in store.contacts.read(store.contacts.of_company(company_id, _BATCH))}
            for contact, normalized in zip(contacts, keys, strict=True):
                if there.get(contact["id"]) == contact:  # nobody has changed it meanwhile
                    store_record(CONTACT, contact, {**contact, "companyId": None}, normalized)
                    del there[contact["id"]]
            if not there and len(contacts) < _BATCH:
                _delete(COMPANY, company_id, None)
                return
        let_others_write()


# ---- both -----------------------------------------------------------------------------------------------------------


def in_order(
    asked: Sequence[str], normalize: Callable[[str], str | None], find: Find, missed: list[str] | None = None
) -> list[Record]:
    """The records found for each address asked for, by the first of its keys that is known; each record once.

    To `missed` goes the first key of each address for which none is.
    """
    wanted = [candidate_keys(text, normalize) for text in asked]
    found = _by_key(find(list({key for keys in wanted for key in keys})))
    first_known = [next((found[key] for key in keys if key in found), []) for keys in wanted]
    if missed is not None:
        missed += [keys[0] for keys, records in zip(wanted, first_known, strict=True) if keys and not records]
    return list({record["id"]: record for records in first_known for record in records}.values())


def _by_key(found: Iterable[tuple[str, Record]]) -> dict[str, list[Record]]:
    """For each key its records, each once, by age, then id."""
    by_key: defaultdict[str, dict[str, Record]] = defaultdict(dict)
    for key, record in found:
        by_key[key][record["id"]] = record
    return {key: sorted(records.values(), key=by_age) for key, records in by_key.items()}


def by_age(record: Record) -> tuple[str, str]:
    return record.get("createdAt", ""), record["id"]


def _get(kind: Kind, record_id: str) -> Record:
    for record in kind.store.read([record_id]):
        found: Record = record
        return found
    raise NotFound


def _list(kind: Kind, since: str | None, deleted: bool, after: Cursor | None, limit: int) -> Page:
    if since == "":
        return Page([], None)
    # Of two lists, each read at a moment of its own, one may lack what is older than what the other has already. What
    # is no newer than the last change before them lacks nothing; the rest is for who asks on.
    newest = store.changes.newest() if deleted else None
    place = *(after or (since or "", "")), limit + 1
    found = kind.store.page(*place)
    if newest is not None:
        found = sorted(found + kind.store.deleted(*place), key=_place)[: limit + 1]
        found = [record for record in found if record["updatedAt"] <= newest]
    records = found[:limit]
    return Page(records, _place(records[-1]) if len(found) > limit else None)


def _search(kind: Kind, text: str, after: Cursor | None, limit: int) -> Page:
    found = kind.store.search(normalize_name(text) or "", *(after or ("", "")), limit + 1)
    records = [record for _, record in found[:limit]]
    return Page(records, (found[limit - 1][0], records[-1]["id"]) if len(found) > limit else None)


def _place(record: Record) -> Cursor:
    return record["updatedAt"], record["id"]


def _add(kind: Kind, values: Mapping[str, Any]) -> tuple[Record, bool]:
    keys = kind.keys(values)
    return _save(kind, lambda: find_same(kind, values, keys), lambda old: fill_gaps(kind, old, values))


def find_same(kind: Kind, values: Mapping[str, Any], keys: Sequence[str | None]) -> Record | None:
    """The record with the same id where one is given, and no other; else the oldest with one of the keys."""
    if "id" in values:
        return next(iter(kind.store.read([values["id"]])), None)
    return min((record for _, record in kind.store.find(list(filter(None, keys)))), key=by_age, default=None)


def fill_gaps(kind: Kind, old: Record | None, values: Mapping[str, Any]) -> Record:
    """What becomes of a record by another description of it. Raises Invalid."""
    if old is None:
        return {"id": optional(kind.store, "new_id")() or uuid4().hex, **values}
    filled = {name: value for name, value in values.items() if value and not old[name]}
    whole = union(old[kind.entries], values[kind.entries], lambda text: kind.normalize(text) or text)
    here = old[kind.entries]
    if len(whole) > max(MOST_ENTRIES, len(here)):
        raise Invalid(**{kind.entries: f"The record that is found would have more than {MOST_ENTRIES}."})
    if sum(map(len, whole)) > max(MOST_CHARACTERS, sum(map(len, here))):
        reason = f"The record that is found would have more than {MOST_CHARACTERS} characters."
        raise Invalid(**{kind.entries: reason})
    return {**old, **filled, kind.entries: whole}


def _put(kind: Kind, record_id: str, values: Mapping[str, Any], versions: Versions) -> tuple[Record, bool]:
    def find() -> Record | None:
        return next(iter(kind.store.read([record_id])), None)

    return _save(kind, find, lambda old: {**(old or {}), **values, "id": record_id}, versions)


def _change(kind: Kind, record_id: str, changes: Mapping[str, Any], versions: Versions) -> Record:
    return _save(kind, lambda: _get(kind, record_id), lambda old: {**(old or {}), **changes}, versions)[0]


@retried
def _save(
    kind: Kind,
    find: Callable[[], Record | None],
    change: Callable[[Record | None], Record],
    versions: Versions = None,
) -> tuple[Record, bool]:
    """Store what becomes of the record that is found, if one is; nothing is written where nothing changes."""
    old = find()
    check_version(old, versions)  # under the write lock it is still the same, or this is stale
    new = change(old)
    if new == old:
        with store.transaction():  # the commit that made what was found may not be on the disk yet
            return new, False
    new, keys = kind.named(new), kind.keys(new)
    with store.transaction():
        if find() != old:
            raise Stale
        return store_record(kind, old, new, keys), old is None


def store_record(
    kind: Kind,
    old: Record | None,
    new: Record,
    keys: Sequence[str | None],
    record: Callable[..., None] = record_change,
) -> Record:
    company_id = new.get("companyId")
    # One that a record has already is left to it: a CRM that hides what was deleted may still name its company.
    is_new = company_id is not None and (old is None or company_id != old["companyId"])
    if is_new and not kind.companies.read([company_id]):
        raise Invalid(companyId="There is no such company.")
    moment = change_time()
    new = {**new, "createdAt": old["createdAt"] if old else moment, "updatedAt": moment}
    if old is None:
        kind.store.insert(new, keys)
    else:
        kind.store.update(old, new, keys)
    record(kind.name, new["id"], "changed" if old else "created", moment)
    return new


def _delete(kind: Kind, record_id: str, versions: Versions) -> None:
    if versions is not None:
        check_version(_get(kind, record_id), versions)
    if not kind.store.delete(record_id):
        raise NotFound
    record_change(kind.name, record_id, "deleted")
