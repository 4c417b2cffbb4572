"""Contacts and companies: found by name, address or domain, with all mail; changed where the CRM offers it."""

from typing import Any

from flask import redirect, request, url_for

import crm
from crm.matching import normalize_address
from crm.names import guess_names
from pages.site import cursor, if_offered, name_cursor, pages, show
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
    record, _ = crm.add_contact_of_domain(ContactNew().load(_contact_fields()))
    return redirect(url_for("pages.contact", record_id=record["id"]), 303)


@pages.get("/contacts/<record_id:record_id>")
@show("contact.html")
def contact(record_id: str) -> dict[str, Any]:
    """A contact and the mail with them."""
    record = crm.get_contact(record_id)
    companies = [if_offered(crm.get_company, record["companyId"])] if record["companyId"] else [None]
    return {"contact": record, "company": companies[0], "page": crm.timeline(record_id, cursor())}


@pages.post("/contacts/<record_id:record_id>")
def change_contact(record_id: str) -> Any:
    """Change a contact."""
    fields = {**_contact_fields(), "companyId": request.form.get("companyId", "").strip() or None}
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
    record, _ = crm.add_company(CompanyNew().load(_company_fields()))
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
    crm.change_company(record_id, CompanyPatch().load(_company_fields()), {request.form.get("version", "")})
    return redirect(url_for("pages.company", record_id=record_id), 303)


def _contact_fields() -> dict[str, Any]:
    names = {name: request.form.get(name, "").strip() or None for name in ("firstName", "lastName")}
    return {**names, "emailAddresses": _lines("emailAddresses")}


def _company_fields() -> dict[str, Any]:
    return {"name": request.form.get("name", "").strip() or None, "domains": _lines("domains")}


def _lines(name: str) -> list[str]:
    return [line.strip() for line in request.form.get(name, "").splitlines() if line.strip()]
