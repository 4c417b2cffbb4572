"""Contacts: the people whom the CRM knows."""

from typing import Any

import crm
from schemas import (
    AddressQuery,
    Contact,
    ContactIn,
    ContactNew,
    ContactPatch,
    ListedContact,
    PageQuery,
    TimelineEntry,
    UpdatedQuery,
)
from web.wire import ETAG, LOCATION, NEXT, Blueprint, created_or_ok, if_match, page_response, record_response

contacts = Blueprint("contacts", __name__, url_prefix="/api/v1/contacts", description=__doc__)


@contacts.get("/lookup", scope="sync")
@contacts.arguments(AddressQuery(), location="query")
@contacts.response(200, Contact(many=True))
def lookup_contacts(query: dict[str, Any]) -> Any:
    """Look contacts up by address

    Every contact that has any of the addresses, once: in the order of the addresses, then by age. None: `[]`.
    """
    return crm.lookup_contacts(query["emails"])


@contacts.get("", scope="sync")
@contacts.arguments(UpdatedQuery(), location="query")
@contacts.response(200, ListedContact(many=True), headers=NEXT)
def list_contacts(query: dict[str, Any]) -> Any:
    """List contacts

    The longest unchanged first; a reader that keeps the last `updatedAt` goes on with `updatedSince`. With
    `includeDeleted=true` those that were deleted are among them, as `{"id", "updatedAt", "deleted": true}`.
    """
    return page_response(crm.list_contacts(**query))


@contacts.post("", scope="sync")
@contacts.arguments(ContactNew())
@contacts.response(201, Contact(), headers=LOCATION, description="Created")
@contacts.alt_response(200, schema=Contact(), headers=ETAG, description="Found; gaps in it were filled", success=True)
def add_contact(contact: dict[str, Any]) -> Any:
    """Find or create a contact

    Found is the contact with this id, and never another; without an id, the oldest that has one of the addresses. Only
    its gaps are filled.
    """
    return created_or_ok(crm.add_contact(contact))


@contacts.get("/{id}", scope="sync")
@contacts.response(200, Contact(), headers=ETAG)
def get_contact(record_id: str) -> Any:
    """Get a contact"""
    return record_response(crm.get_contact(record_id))


@contacts.put("/{id}", scope="sync")
@contacts.arguments(ContactIn())
@contacts.response(200, Contact(), headers=ETAG, description="Replaced")
@contacts.alt_response(201, schema=Contact(), headers=LOCATION, description="Created", success=True)
def put_contact(contact: dict[str, Any], record_id: str) -> Any:
    """Create or replace a contact

    Under the CRM's own id. Never merges with another contact.
    """
    return created_or_ok(crm.put_contact(record_id, contact, if_match()))


@contacts.patch("/{id}", scope="sync")
@contacts.arguments(ContactPatch())
@contacts.response(200, Contact(), headers=ETAG)
def change_contact(changes: dict[str, Any], record_id: str) -> Any:
    """Change fields of a contact

    Only the named fields change; the list is replaced whole.
    """
    return record_response(crm.change_contact(record_id, changes, if_match()))


@contacts.delete("/{id}", scope="sync")
@contacts.response(204)
def delete_contact(record_id: str) -> None:
    """Remove a contact

    The contact's emails stay.
    """
    crm.delete_contact(record_id, if_match())


@contacts.get("/{id}/emails", scope="admin")
@contacts.arguments(PageQuery(), location="query")
@contacts.response(200, TimelineEntry(many=True), headers=NEXT)
def timeline(query: dict[str, Any], record_id: str) -> Any:
    """List a contact's emails

    Newest first, without bodies. `roles` says why an email is here: by an address in one of the lists, or by a link. An
    address that the contact was given today finds the emails of last year.
    """
    return page_response(crm.timeline(record_id, **query))
