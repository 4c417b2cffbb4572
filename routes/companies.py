"""Companies: found by the domain of an address."""

from typing import Any

from flask import current_app

import crm
from schemas import (
    Company,
    CompanyIn,
    CompanyNew,
    CompanyPatch,
    CompanyQuery,
    ListedCompany,
    PageQuery,
    TimelineEntry,
    UpdatedQuery,
)
from web.wire import ETAG, LOCATION, NEXT, Blueprint, created_or_ok, if_match, page_response, record_response

companies = Blueprint("companies", __name__, url_prefix="/api/v1/companies", description=__doc__)


@companies.get("/lookup", scope="sync")
@companies.arguments(CompanyQuery(), location="query")
@companies.response(200, Company(many=True))
def lookup_companies(query: dict[str, Any]) -> Any:
    """Look companies up by domain or name

    Those that have the domain, else those that have its nearest parent: `eu.mail.acme.example` finds `acme.example`.
    A public suffix (`co.uk`, `github.io`) is nobody's parent, and a domain of free mail (`gmail.com`) finds nothing.
    """
    return crm.lookup_companies(**query, free_mail=current_app.config["FREE_MAIL_COMPANIES"] == "on")


@companies.get("", scope="sync")
@companies.arguments(UpdatedQuery(), location="query")
@companies.response(200, ListedCompany(many=True), headers=NEXT)
def list_companies(query: dict[str, Any]) -> Any:
    """List companies

    The longest unchanged first; a reader that keeps the last `updatedAt` goes on with `updatedSince`. With
    `includeDeleted=true` those that were deleted are among them, as `{"id", "updatedAt", "deleted": true}`.
    """
    return page_response(crm.list_companies(**query))


@companies.post("", scope="sync")
@companies.arguments(CompanyNew())
@companies.response(201, Company(), headers=LOCATION, description="Created")
@companies.alt_response(200, schema=Company(), headers=ETAG, description="Found; gaps in it were filled", success=True)
def add_company(company: dict[str, Any]) -> Any:
    """Find or create a company

    Found is the company with this id, and never another; without an id, the oldest that has one of the domains. Only
    its gaps are filled.
    """
    return created_or_ok(crm.add_company(company))


@companies.get("/{id}", scope="sync")
@companies.response(200, Company(), headers=ETAG)
def get_company(record_id: str) -> Any:
    """Get a company"""
    return record_response(crm.get_company(record_id))


@companies.put("/{id}", scope="sync")
@companies.arguments(CompanyIn())
@companies.response(200, Company(), headers=ETAG, description="Replaced")
@companies.alt_response(201, schema=Company(), headers=LOCATION, description="Created", success=True)
def put_company(company: dict[str, Any], record_id: str) -> Any:
    """Create or replace a company

    Under the CRM's own id. Never merges with another company.
    """
    return created_or_ok(crm.put_company(record_id, company, if_match()))


@companies.patch("/{id}", scope="sync")
@companies.arguments(CompanyPatch())
@companies.response(200, Company(), headers=ETAG)
def change_company(changes: dict[str, Any], record_id: str) -> Any:
    """Change fields of a company

    Only the named fields change; the list is replaced whole.
    """
    return record_response(crm.change_company(record_id, changes, if_match()))


@companies.delete("/{id}", scope="sync")
@companies.response(204)
def delete_company(record_id: str) -> None:
    """Remove a company

    Its contacts stay, without `companyId`.
    """
    crm.delete_company(record_id, if_match())


@companies.get("/{id}/emails", scope="admin")
@companies.arguments(PageQuery(), location="query")
@companies.response(200, TimelineEntry(many=True), headers=NEXT)
def company_timeline(query: dict[str, Any], record_id: str) -> Any:
    """List a company's emails

    Like a contact's: of its contacts, of any address at one of its domains or below, and of links of type Company or
    Account to it, and of type Contact to its contacts. A domain of free mail or a public suffix is nobody's.
    """
    return page_response(crm.company_timeline(record_id, **query))
