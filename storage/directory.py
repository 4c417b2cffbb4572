"""Contacts and companies: records that are looked up by folded keys, their addresses and domains."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from json import loads
from typing import Any, NamedTuple
from uuid import uuid4

from clock import now
from database import execute, insert, marks, rows, writing
from folding import fold_address, fold_domain, parent_domains, readings
from merging import union
from records import MOST_ENTRIES, Cursor, Invalid, NotFound, Page, Record
from storage.changes import record_change


class _Kind(NamedTuple):
    """Records that are known by folded keys: contacts by their addresses, companies by their domains."""

    name: str  # the table, and the type in the change feed
    columns: dict[str, str]  # field: column
    entries: str  # the field that lists the keys as written
    table: str  # the table of the entries, as written and folded
    fold: Callable[[str], str | None]


_CONTACT = _Kind(
    "contact",
    {"firstName": "first_name", "lastName": "last_name", "companyId": "company_id"},
    "emailAddresses",
    "contact_address",
    fold_address,
)
_COMPANY = _Kind("company", {"name": "name"}, "domains", "company_domain", fold_domain)


def lookup_contacts(addresses: Sequence[str]) -> list[Record]:
    """The contacts that have any of the addresses, each once, in the order of the addresses, then by age and id."""
    return in_order(addresses, fold_address, lambda keys: _find(_CONTACT, keys))


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
    """Remove a contact; its mail stays. Raises NotFound."""
    _delete(_CONTACT, contact_id)


def lookup_companies(domain: str) -> list[Record]:
    """The companies of a domain, by age: those that have it, else those that have its nearest parent."""
    candidates = parent_domains(fold_domain(domain) or "")
    found = _find(_COMPANY, candidates)
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
    """Remove a company; its contacts stay, without companyId. Raises NotFound."""
    with writing():
        for (contact_id,) in rows("SELECT id FROM contact WHERE company_id = ? ORDER BY created_at, id", [company_id]):
            _change(_CONTACT, contact_id, {"companyId": None})
        _delete(_COMPANY, company_id)


def _select(kind: _Kind, *more: str) -> str:
    """The columns of a record, its entries as a JSON list, and more columns; from `_record`'s own table, named c."""
    entries = f"""(SELECT json_group_array(text) FROM
        (SELECT text FROM {kind.table} WHERE {kind.name}_id = c.id ORDER BY position) AS found)"""
    columns = [f"c.{column}" for column in ("id", *kind.columns.values(), "created_at", "updated_at")]
    return f"{', '.join([*columns, entries, *more])} FROM {kind.name} c"


def _records(kind: _Kind, found: Sequence[Sequence[Any]]) -> Iterator[Record]:
    names = "id", *kind.columns, "createdAt", "updatedAt", kind.entries
    for row in found:
        record = dict(zip(names, row, strict=False))  # there may be more columns
        record[kind.entries] = loads(record[kind.entries] or "[]")
        yield record


def _get(kind: _Kind, record_id: str) -> Record:
    for record in _records(kind, rows(f"SELECT {_select(kind)} WHERE c.id = ?", [record_id])):
        return record
    raise NotFound


def _find(kind: _Kind, keys: Sequence[str]) -> dict[str, list[Record]]:
    """For each of the keys that is known, its records by age, then id; in one statement."""
    by_key: dict[str, dict[str, Record]] = {}  # once, though an address may stand twice in a contact
    if keys:
        owners = f"JOIN {kind.table} k ON k.{kind.name}_id = c.id WHERE k.folded IN ({marks(keys)})"
        found = rows(f"SELECT {_select(kind, 'k.folded')} {owners}", keys)
        for row, record in zip(found, _records(kind, found), strict=True):
            by_key.setdefault(row[-1], {})[row[0]] = record
    return {key: sorted(records.values(), key=_age) for key, records in by_key.items()}


def _age(record: Record) -> tuple[str, str]:
    return record["createdAt"], record["id"]


def in_order(
    asked: Sequence[str], fold: Callable[[str], str | None], find: Callable[[Sequence[str]], dict[str, list[Record]]]
) -> list[Record]:
    """The records found for each address asked for, by the first of its readings that is known; each record once."""
    wanted = [readings(text, fold) for text in asked]
    found = find(list({key for keys in wanted for key in keys}))
    first_known = [next((found[key] for key in keys if key in found), []) for keys in wanted]
    return list({record["id"]: record for records in first_known for record in records}.values())


def _list(kind: _Kind, since: str | None, after: Cursor | None, limit: int) -> Page:
    if since == "":
        return Page([], None)
    bound = after or (since or "", "")
    condition = "(c.updated_at, c.id) > (?, ?)"
    found = rows(f"SELECT {_select(kind)} WHERE {condition} ORDER BY c.updated_at, c.id LIMIT ?", [*bound, limit + 1])
    records = list(_records(kind, found[:limit]))
    more = len(found) > limit
    return Page(records, (records[-1]["updatedAt"], records[-1]["id"]) if more else None)


def _add(kind: _Kind, values: Mapping[str, Any]) -> tuple[Record, bool]:
    with writing():
        old = _find_same(kind, values)
        if old is None:
            return _save(kind, None, {"id": uuid4().hex, **values}), True
        whole = union(old[kind.entries], values[kind.entries], lambda text: kind.fold(text) or text)
        if len(whole) > max(MOST_ENTRIES, len(old[kind.entries])):
            raise Invalid(**{kind.entries: f"The record that is found would have more than {MOST_ENTRIES}."})
        filled = {name: values[name] for name in kind.columns if values[name] and not old[name]}
        return _save(kind, old, {**old, **filled, kind.entries: whole}), False


def _find_same(kind: _Kind, values: Mapping[str, Any]) -> Record | None:
    if "id" in values:
        for record in _records(kind, rows(f"SELECT {_select(kind)} WHERE c.id = ?", [values["id"]])):
            return record
    found = _find(kind, [key for key in map(kind.fold, values[kind.entries]) if key])
    candidates = [record for records in found.values() for record in records]
    return min(candidates, key=_age, default=None)


def _put(kind: _Kind, record_id: str, values: Mapping[str, Any]) -> tuple[Record, bool]:
    with writing():
        try:
            old = _get(kind, record_id)
        except NotFound:
            return _save(kind, None, {**values, "id": record_id}), True
        return _save(kind, old, {**old, **values, "id": record_id}), False


def _change(kind: _Kind, record_id: str, changes: Mapping[str, Any]) -> Record:
    with writing():
        old = _get(kind, record_id)
        return _save(kind, old, {**old, **changes})


def _save(kind: _Kind, old: Record | None, new: Record) -> Record:
    """Store a record and its entries; nothing is written where nothing has changed."""
    if new == old:
        return new
    company_id = new.get("companyId")
    if company_id is not None and not rows("SELECT 1 FROM company WHERE id = ?", [company_id]):
        raise Invalid(companyId="There is no such company.")
    moment = now()
    new = {**new, "createdAt": old["createdAt"] if old else moment, "updatedAt": moment}
    columns = {column: new[field] for field, column in kind.columns.items()}
    columns |= {"created_at": new["createdAt"], "updated_at": moment, "id": new["id"]}
    if old is None:
        execute(f"INSERT INTO {kind.name} ({', '.join(columns)}) VALUES ({marks(columns)})", list(columns.values()))
    else:
        assignments = ", ".join(f"{column} = ?" for column in columns)
        execute(f"UPDATE {kind.name} SET {assignments} WHERE id = ?", [*columns.values(), new["id"]])
    if old is None or new[kind.entries] != old[kind.entries]:
        _save_entries(kind, new)
    record_change(kind.name, new["id"], "changed" if old else "created")
    return new


def _save_entries(kind: _Kind, record: Record) -> None:
    entries = [(record["id"], n, text, kind.fold(text)) for n, text in enumerate(record[kind.entries])]
    execute(f"DELETE FROM {kind.table} WHERE {kind.name}_id = ?", [record["id"]])
    insert(f"INTO {kind.table} ({kind.name}_id, position, text, folded)", "(?, ?, ?, ?)", entries)


def _delete(kind: _Kind, record_id: str) -> None:
    with writing():
        if not execute(f"DELETE FROM {kind.name} WHERE id = ?", [record_id]).rowcount:
            raise NotFound
        record_change(kind.name, record_id, "deleted")
