"""Companies, which are the CRM's accounts, found by their domains."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from records import Cursor, NotFound, Page, Record

from crm.matching import normalize_domain, parent_domains
from crm.merging import union
from database import writing

from .people import PEOPLE
from .rows import age, behind, first_page, gaps, insert, mark_deleted, only, tuples, utcnow, wire_time, write
from .tables import Accounts, ConnectorDomains


def lookup_companies(domain: str) -> list[Record]:
    """The companies of a domain, by age: those that have it, else those that have its nearest parent."""
    candidates = parent_domains(normalize_domain(domain) or "")
    found = _find(candidates)
    return next((found[key] for key in candidates if key in found), [])


def get_company(company_id: str) -> Record:
    """The company with this id. Raises NotFound."""
    return only(_companies(Accounts.id == company_id, ~Accounts.deleted))


def list_companies(updated_since: str | None = None, after: Cursor | None = None, limit: int = 25) -> Page:
    """A page of the companies that were changed at or after a time, the longest unchanged first."""
    conditions = behind(Accounts.date_modified, Accounts.id, updated_since, after)
    return first_page(_companies(~Accounts.deleted, *conditions, limit=limit + 1), limit)


def add_company(company: Mapping[str, Any]) -> tuple[Record, bool]:
    """Find or create a company by its id, if it has one, else by its domains; only gaps are filled."""
    with writing():
        old = _find_same(company)
        if old is None:
            return _save(company.get("id", str(uuid4())), None, company), True
        domains = union(old["domains"], company["domains"], lambda text: normalize_domain(text) or text)
        return _save(old["id"], old, {**gaps(old, company), "domains": domains}), False


def put_company(company_id: str, company: Mapping[str, Any]) -> tuple[Record, bool]:
    """Store a company under the CRM's own id; gives the record and whether it is new. Never merges."""
    with writing():
        try:
            old = get_company(company_id)
        except NotFound:
            return _save(company_id, None, company), True
        return _save(company_id, old, company), False


def change_company(company_id: str, changes: Mapping[str, Any]) -> Record:
    """Give the named fields new values. Raises NotFound."""
    with writing():
        return _save(company_id, get_company(company_id), changes)


def delete_company(company_id: str) -> None:
    """Mark a company as deleted; its people stay, without companyId. Raises NotFound."""
    with writing():
        mark_deleted(Accounts, company_id)
        for table in PEOPLE.values():
            table.update(account=None, date_modified=utcnow()).where(table.account == company_id).execute()


def _companies(*conditions: Any, limit: int | None = None) -> list[Record]:
    """The companies that meet the conditions, the longest unchanged first."""
    query: Any = Accounts.select().where(*conditions).order_by(Accounts.date_modified, Accounts.id).limit(limit)
    rows = list(query)
    domains: defaultdict[str, list[str]] = defaultdict(list)
    entries = ConnectorDomains.select(ConnectorDomains.account, ConnectorDomains.text)
    theirs = entries.where(ConnectorDomains.account.in_([row.id for row in rows]))
    for account_id, text in tuples(theirs.order_by(ConnectorDomains.position)):
        domains[account_id].append(text)
    return [
        {
            "id": row.id,
            "name": row.name,
            "domains": domains[row.id],
            "createdAt": wire_time(row.date_entered),
            "updatedAt": wire_time(row.date_modified),
        }
        for row in rows
    ]


def _find(keys: Sequence[str]) -> dict[str, list[Record]]:
    """For each folded domain that is known, its companies, by age, then id."""
    domains = ConnectorDomains.select(ConnectorDomains.folded, ConnectorDomains.account)
    having = tuples(domains.where(ConnectorDomains.folded.in_(keys)))
    companies = _companies(Accounts.id.in_([account_id for _, account_id in having]), ~Accounts.deleted)
    found: defaultdict[str, list[Record]] = defaultdict(list)
    for company in sorted(companies, key=age):
        for key in {key for key, account_id in having if account_id == company["id"]}:
            found[key].append(company)
    return found


def _find_same(company: Mapping[str, Any]) -> Record | None:
    try:
        return get_company(company["id"])
    except (KeyError, NotFound):
        found = _find([key for key in map(normalize_domain, company["domains"]) if key])
        return min((one for companies in found.values() for one in companies), key=age, default=None)


def _save(company_id: str, old: Record | None, values: Mapping[str, Any]) -> Record:
    """Write a company and its domains, of which the first is its website; nothing where nothing has changed."""
    new = {**(old or {}), **values, "id": company_id}
    if new == old:
        return new
    columns = {"name": new["name"]}
    if old is None or new["domains"] != old["domains"]:
        columns["website"] = new["domains"][0] if new["domains"] else None
    write(Accounts, company_id, columns, is_new=old is None)
    ConnectorDomains.delete().where(ConnectorDomains.account == company_id).execute()
    domains = [
        {"account": company_id, "position": position, "text": text, "folded": normalize_domain(text)}
        for position, text in enumerate(new["domains"])
    ]
    insert(ConnectorDomains, domains)
    return get_company(company_id)
