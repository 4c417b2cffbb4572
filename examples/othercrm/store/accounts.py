"""Companies, which are the CRM's accounts, found by their domains."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from peewee import fn

from . import tables
from .rows import Record, behind, deleted_rows, insert_rows, mark_deleted, save, with_keys

Accounts: Any = tables.Accounts
ConnectorDomains: Any = tables.ConnectorDomains


def read(ids: Sequence[str]) -> list[Record]:
    """The companies with these ids."""
    return _companies(Accounts.id.in_(ids))


def find(keys: Sequence[str]) -> list[tuple[str, Record]]:
    """Each company that has one of the domains, with the domain."""
    domains = ConnectorDomains.select(ConnectorDomains.normalized, ConnectorDomains.account)
    return with_keys(list(domains.where(ConnectorDomains.normalized.in_(keys)).tuples()), read)


def page(since: str, after_id: str, limit: int) -> list[Record]:
    """Companies in the order of (updatedAt, id), from behind such a pair."""
    return _companies(behind(Accounts.date_modified, Accounts.id, (since, after_id)), limit)


def named(key: str) -> list[Record]:
    """The companies with this name."""
    return _companies(fn.LOWER(Accounts.name) == key)


def deleted(since: str, after_id: str, limit: int) -> list[Record]:
    """What was marked as deleted, in the order of `page`."""
    return deleted_rows(Accounts, (since, after_id), limit)


def insert(record: Record, keys: Sequence[str | None]) -> None:
    """Store a new company, of whose domains the first is its website."""
    update({"domains": None}, record, keys)


def update(old: Record, new: Record, keys: Sequence[str | None]) -> None:
    """Store a company in the place of an old one."""
    if new["domains"] == old["domains"]:  # the website stays as somebody typed it
        save(Accounts, new["id"], new, name=new["name"])
        return
    save(Accounts, new["id"], new, name=new["name"], website=next(iter(new["domains"]), None))
    ConnectorDomains.delete().where(ConnectorDomains.account == new["id"]).execute()
    entries = enumerate(zip(new["domains"], keys, strict=True))
    rows = [{"account": new["id"], "position": n, "text": text, "normalized": key} for n, (text, key) in entries]
    insert_rows(ConnectorDomains, rows)


def delete(record_id: str) -> bool:
    """Mark a company as deleted; whether there was one."""
    return mark_deleted(Accounts, record_id)


def _companies(condition: Any, limit: int | None = None) -> list[Record]:
    """The companies that meet a condition, the longest unchanged first."""
    columns = {"id": Accounts.id, "name": Accounts.name}
    columns |= {"createdAt": Accounts.date_entered, "updatedAt": Accounts.date_modified}
    query = Accounts.select(*(column.alias(name) for name, column in columns.items())).where(condition)
    query = query.where(~Accounts.deleted).order_by(Accounts.date_modified, Accounts.id).limit(limit)
    records = list(query.dicts())
    domains: defaultdict[str, list[str]] = defaultdict(list)
    entries = ConnectorDomains.select(ConnectorDomains.account, ConnectorDomains.text)
    entries = entries.where(ConnectorDomains.account.in_([record["id"] for record in records]))
    for account_id, text in entries.order_by(ConnectorDomains.position).tuples():
        domains[account_id].append(text)
    return [{**record, "domains": domains[record["id"]]} for record in records]
