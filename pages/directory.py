"""Contacts and companies: found by name, address or domain, with all mail; changed where the CRM offers it."""

from collections.abc import Callable, Collection
from typing import Any

from flask import redirect, request, url_for

import crm
from crm.matching import normalize_address, normalize_domain
from crm.names import guess_names
from pages.site import cursor, if_offered, line, name_cursor, pages, show
from schemas import CompanyNew, CompanyPatch, ContactNew, ContactPatch


@pages.get("/contacts")
@show("contacts.html")
def contacts() -> dict[str, Any]:
    """Contacts by name."""
    page = if_offered(crm.search_contacts, request.args.get("q", "").strip(), name_cursor())
    return {"page": crm.list_contacts(after=cursor()) if page is None else page, "can_search": page is not None}


@pages.get("/contacts/new")
@show("contact-new.html")
def new_contact() -> dict[str, Any]:
    """The form for a contact, filled with what emails say of somebody."""
    address = request.args.get("address", "")
    first, last = guess_names(normalize_address(address) or "")
    return {"first": first or "", "last": last or "", "address": address}


@pages.post("/contacts")
def add_contact() -> Any:
    """Find or create a contact, with the company of its domain."""
    fields = _contact_fields()
    if not fields["emailAddresses"]:
        raise crm.Invalid(emailAddresses="Give at least one, by which emails are found.")
    record, _ = crm.add_contact_of_domain(ContactNew().load(fields))
    return redirect(url_for("pages.contact", record_id=record["id"]), 303)


@pages.get("/contacts/<record_id:record_id>")
@show("contact.html")
def contact(record_id: str) -> dict[str, Any]:
    """A contact and the mail with them."""
    record = crm.get_contact(record_id)
    companies = [if_offered(crm.get_company, record["companyId"])] if record["companyId"] else [None]
    return {"contact": record, "company": companies[0], "page": if_offered(crm.timeline, record_id, cursor())}


@pages.post("/contacts/<record_id:record_id>")
def change_contact(record_id: str) -> Any:
    """Change a contact."""
    record = crm.get_contact(record_id)
    fields = _contact_fields(record)
    if "company" in request.form:
        fields["companyId"] = _company_id(request.form["company"].strip(), record["companyId"])
    crm.change_contact(record_id, ContactPatch().load(fields), {request.form.get("version", "")})
    return redirect(url_for("pages.contact", record_id=record_id), 303)


@pages.get("/companies")
@show("companies.html")
def companies() -> dict[str, Any]:
    """Companies by name."""
    page = if_offered(crm.search_companies, request.args.get("q", "").strip(), name_cursor())
    return {"page": crm.list_companies(after=cursor()) if page is None else page, "can_search": page is not None}


@pages.post("/companies")
def add_company() -> Any:
    """Find or create a company."""
    fields = _company_fields()
    same = [] if fields["domains"] else if_offered(crm.lookup_companies, name=fields["name"])  # it was sent twice
    record = same[0] if same else crm.add_company(CompanyNew().load(fields))[0]
    return redirect(url_for("pages.company", record_id=record["id"]), 303)


@pages.get("/companies/<record_id:record_id>")
@show("company.html")
def company(record_id: str) -> dict[str, Any]:
    """A company, its people and all mail with them."""
    record = crm.get_company(record_id)
    people = if_offered(crm.contacts_of_company, record_id)
    return {"company": record, "contacts": people, "page": if_offered(crm.company_timeline, record_id, cursor())}


@pages.post("/companies/<record_id:record_id>")
def change_company(record_id: str) -> Any:
    """Change a company."""
    fields = _company_fields(crm.get_company(record_id))
    crm.change_company(record_id, CompanyPatch().load(fields), {request.form.get("version", "")})
    return redirect(url_for("pages.company", record_id=record_id), 303)


def _contact_fields(record: crm.Record | None = None) -> dict[str, Any]:
    names = {name: request.form.get(name, "").strip() or None for name in ("firstName", "lastName")}
    known = record["emailAddresses"] if record else ()
    return {**names, "emailAddresses": _entries("emailAddresses", normalize_address, "an e-mail address", known)}


def _company_fields(record: crm.Record | None = None) -> dict[str, Any]:
    known = record["domains"] if record else ()
    domains = _entries("domains", normalize_domain, "a domain", known)
    name = request.form.get("name", "").strip() or None
    if not (name or domains):
        raise crm.Invalid(name="Give a name, or a domain.")
    return {"name": name, "domains": domains}


def _entries(name: str, normalize: Callable[[str], str | None], what: str, known: Collection[str]) -> list[str]:
    """The lines of a field. Raises Invalid for one that is mistyped; those that the record has already may stay."""
    lines = list(filter(None, map(str.strip, request.form.get(name, "").splitlines())))
    for one in lines:
        if one not in known and normalize(one) is None:
            raise crm.Invalid(**{name: f"{line(one)} can't be read as {what}."})
    return lines


def _company_id(text: str, present: str | None) -> str | None:
    """The id of the company that is meant by a name, a domain or an id. Raises Invalid."""
    if not text:
        return None
    found = crm.lookup_companies(name=text) or if_offered(crm.lookup_companies, domain=text, free_mail=True) or []
    ids = [one["id"] for one in found]
    if present in ids:
        return present
    if len(ids) > 1:
        raise crm.Invalid(company="Several companies have this name. Give the domain of the one you mean.")
    return ids[0] if ids else _id_of_company(text)


def _id_of_company(text: str) -> str:
    try:
        return str(crm.get_company(text)["id"])
    except crm.NotFound:
        raise crm.Invalid(company="No company has this name or domain.") from None
