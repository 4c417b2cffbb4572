"""The seam, on the tables of another CRM: of the whole project this is the one file that is replaced.

It is found before the connector's own models.py because it lies in the folder in which the server is started.
"""

# mypy: disable-error-code="import-not-found"
# (It looks for `crm` beside the project's own models.py.)

from crm.companies import (
    add_company,
    change_company,
    delete_company,
    get_company,
    list_companies,
    lookup_companies,
    put_company,
)
from crm.people import (
    add_contact,
    change_contact,
    delete_contact,
    get_contact,
    list_contacts,
    lookup_contacts,
    put_contact,
)
from records import Conflict, Cursor, Invalid, NotFound, NotOffered, Page, Record

from crm.changes import list_changes
from crm.emails import change_email, delete_email, find_emails, get_attachment, get_email, log_email, timeline
from crm.privacy import erase_person, export_person
from crm.users import add_user, get_user, lookup_users

__all__ = [
    "Conflict",
    "Cursor",
    "Invalid",
    "NotFound",
    "NotOffered",
    "Page",
    "Record",
    "add_company",
    "add_contact",
    "add_user",
    "change_company",
    "change_contact",
    "change_email",
    "delete_company",
    "delete_contact",
    "delete_email",
    "erase_person",
    "export_person",
    "find_emails",
    "get_attachment",
    "get_company",
    "get_contact",
    "get_email",
    "get_user",
    "list_changes",
    "list_companies",
    "list_contacts",
    "log_email",
    "lookup_companies",
    "lookup_contacts",
    "lookup_users",
    "put_company",
    "put_contact",
    "timeline",
]
