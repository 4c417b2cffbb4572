"""Records that the server has already, as the caller of the kit has named them. Nothing is written."""

import re
from typing import TypeVar
from urllib.parse import quote

from conformance.client import Answer, Failed, Json, NotOffered
from conformance.rule import AURINKO, OURS, rule, same, true
from conformance.session import Named, Session, at

T = TypeVar("T")

CONTACT = "`GET /api/v1/contacts/{id}` | one contact"
LOOKUP = "`GET /api/v1/contacts/lookup?emails=…` | list of contacts matching one or more addresses"
COMPANIES = "`GET /api/v1/companies/lookup?domain=…` | company/account by domain, for auto-creation"
COMPANY = "`GET`/`PUT`/`PATCH`/`DELETE /api/v1/companies/{id}` | the same for companies"
ME = "*getMe*: `id`, `orgId`, `name`, `email`, `timezone` of the token's user"
USERS = "*getUsersByEmail*: list of users"
SHAPE = "`id`, `firstName`, `lastName`, `emailAddresses` (first = primary; returned as written), `companyId`"
DELETED = "An unknown id is 404"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def _named(records: list[T], option: str) -> list[T]:
    if not records:
        raise NotOffered(f"no record was named with {option}")
    return records


def _lookup(crm: Session, *addresses: str) -> Answer:
    return crm.get("/contacts/lookup?emails=" + ",".join(quote(one, safe="@") for one in addresses)).expect(200)


def _has(record: Json, field: str, text: str) -> bool:
    """Whether a list of the record has the text, in any letter case, alone or as `Jane <jane@acme.example>`."""
    return any(text.casefold() in str(entry).casefold() for entry in record.get(field) or [])


def _only(answer: Answer, record_id: str, field: str, text: str) -> None:
    """Demand that the record is among those found, and that each of them has what was asked for."""
    true(f"the record {record_id} among those found", record_id in answer.ids, answer.summary())
    for record in answer.records:
        true(f"only records whose {field} have {text}", _has(record, field, text), record)


@rule("your-contact-by-id", AURINKO, CONTACT)
def contact_by_id(crm: Session) -> None:
    """Each contact that was named is read by its id, and has its address."""
    for contact in _named(crm.named.contacts, "--contact ID=ADDRESS"):
        record = crm.get(at("contacts", contact.id)).expect(200).record
        same("id", contact.id, str(record.get("id")))
        true(f"emailAddresses with {contact.key}", _has(record, "emailAddresses", contact.key), record)


@rule("your-contact-lookup", AURINKO, LOOKUP)
def contact_lookup(crm: Session) -> None:
    """Each contact that was named is found by its address, and nobody who does not have it."""
    for contact in _named(crm.named.contacts, "--contact ID=ADDRESS"):
        _only(_lookup(crm, contact.key), contact.id, "emailAddresses", contact.key)


@rule("your-contact-letter-case", AURINKO, LOOKUP)
def contact_letter_case(crm: Session) -> None:
    """Each contact that was named is found whatever the letter case of the address: mail programs change it."""
    for contact in _named(crm.named.contacts, "--contact ID=ADDRESS"):
        for address in (contact.key.upper(), contact.key.lower()):
            _only(_lookup(crm, address), contact.id, "emailAddresses", contact.key)


@rule("your-contacts-together", AURINKO, LOOKUP)
def contacts_together(crm: Session) -> None:
    """All contacts that were named are found in one call, with a stranger among the addresses."""
    contacts = _named(crm.named.contacts, "--contact ID=ADDRESS")[:50]
    answer = _lookup(crm, crm.address("stranger"), *(contact.key for contact in contacts))
    missing = sorted({contact.id for contact in contacts} - set(answer.ids))
    true("all contacts that were named", not missing, f"all but {', '.join(missing)}: {answer.summary()}")


@rule("your-contact-stranger", AURINKO, LOOKUP)
def contact_stranger(crm: Session) -> None:
    """An address that is not quite that of a contact finds nobody: it is no part of another, and no pattern."""
    for contact in _named(crm.named.contacts, "--contact ID=ADDRESS"):
        local, _, domain = contact.key.rpartition("@")
        parts = [contact.key[1:]] if len(local) > 1 else []
        for other in (
            *parts,
            f"x{contact.key}",
            f"{contact.key}.{crm.run}",
            f"{local}.{crm.run}@{domain}",
            f"%@{domain}",
        ):
            answer = crm.get("/contacts/lookup?emails=" + quote(other, safe="@"))
            found = [] if answer.status in (204, 404) else answer.expect(200).ids
            true(f"nobody for {other}", contact.id not in found, answer.summary())


@rule("your-company-lookup", AURINKO, COMPANIES)
def company_lookup(crm: Session) -> None:
    """Each company that was named is found by its domain, in any letter case, and none that does not have it."""
    for company in _named(crm.named.companies, "--company ID=DOMAIN"):
        for domain in (company.key, company.key.upper()):
            answer = crm.get("/companies/lookup", domain=domain).expect(200)
            _only(answer, company.id, "domains", company.key)


@rule("your-company-by-id", AURINKO, COMPANY)
def company_by_id(crm: Session) -> None:
    """Each company that was named is read by its id, and has its domain."""
    for company in _named(crm.named.companies, "--company ID=DOMAIN"):
        answer = crm.get(at("companies", company.id))
        record = (answer if answer.status == 404 else answer.offered()).expect(200).record  # it is there: 404 is wrong
        same("id", company.id, str(record.get("id")))
        true(f"domains with {company.key}", _has(record, "domains", company.key), record)


@rule("your-company-stranger", AURINKO, COMPANIES)
def company_stranger(crm: Session) -> None:
    """A domain that is not quite that of a company finds nobody: it is no part of another, and no pattern."""
    for company in _named(crm.named.companies, "--company ID=DOMAIN"):
        key = company.key
        for other in (f"not{crm.run}{key}", key[1:], f"{key}.{crm.run}", key.partition(".")[0], f"%{key[1:]}"):
            answer = crm.get("/companies/lookup", domain=other)
            found = answer.ids if answer.unfailing().status == 200 else []
            true(f"no company for {other}", company.id not in found, answer.summary())


@rule("your-user-lookup", AURINKO, USERS)
def user_lookup(crm: Session) -> None:
    """Each user who was named is found by the address, in any letter case."""
    if not crm.named.users:
        raise NotOffered("no user was named with --user ADDRESS")
    for address in crm.named.users:
        for spelling in (address, address.upper()):
            answer = crm.get("/users/lookup", emails=spelling).expect(200)  # who names one says that it is offered
            found = {str(record.get("email", "")).casefold() for record in answer.records}
            true(f"the user {address} alone", found == {address.casefold()}, answer.summary())


@rule("your-user-me", AURINKO, ME)
def user_me(crm: Session) -> None:
    """The token's user is one of those who were named."""
    if not crm.named.users:
        raise NotOffered("no user was named with --user ADDRESS")
    me = crm.get("/users/me").expect(200).record
    known = {address.casefold() for address in crm.named.users}
    true("the user of --token, who is to be named with --user", str(me.get("email")).casefold() in known, me)


@rule("your-records-whole", OURS, SHAPE)
def records_whole(crm: Session) -> None:
    """Contacts and companies that were named have every field: ids are texts, and times such as ours."""
    contacts = [(at("contacts", one.id), ("firstName", "lastName", "companyId")) for one in crm.named.contacts]
    companies = [(at("companies", one.id), ("name",)) for one in crm.named.companies]
    for path, names in _named(contacts + companies, "--contact ID=ADDRESS or --company ID=DOMAIN"):
        record = crm.get(path).offered().expect(200).record
        true("an id that is a text", isinstance(record.get("id"), str), record)
        for name in names:
            true(f"{name}, a text or null", isinstance(record.get(name, 0), str | None), record)
        for name in ("createdAt", "updatedAt"):
            true(f"{name}, such as 2025-01-03T08:00:00Z", bool(TIME.fullmatch(str(record.get(name)))), record)


@rule("your-deleted", AURINKO, DELETED)
def deleted(crm: Session) -> None:
    """Who was deleted or has left is not shown: no contact or company by its id or key, no user by the address."""
    for contact in _named(crm.named.deleted, "--deleted ID=ADDRESS"):
        if contact.key and "@" not in contact.key:
            _no_company(crm, contact)
            continue
        for address in filter(lambda text: "@" in (text or ""), (contact.id, contact.key)):
            users = crm.get("/users/lookup", emails=address)
            true("no user who has left", users.status != 200 or users.ids == [], users.summary())
        answer = crm.get(at("contacts", contact.id))
        if answer.status not in (404, 410):
            raise Failed("404 for the id of a contact that was deleted", answer.summary(), answer)
        if contact.key:
            found = _lookup(crm, contact.key)
            true("no contact that was deleted", contact.id not in found.ids, found.summary())


def _no_company(crm: Session, company: Named) -> None:
    answer = crm.get(at("companies", company.id))
    if answer.status not in (404, 405, 410, 501):  # the last: there is no such call
        raise Failed("404 for the id of a company that was deleted", answer.summary(), answer)
    found = crm.get("/companies/lookup", domain=company.key)
    ids = found.ids if found.unfailing().status == 200 else []
    true("no company that was deleted", company.id not in ids, found.summary())
