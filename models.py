"""The seam: the verbs that the routes and commands call, whoever keeps the records.

`__all__` is the contract. To set the connector on your own tables, put your own functions here in place of the imports,
one after the other: your contacts may be yours and the emails still ours. Verbs take and return plain values, named as
on the wire: a record is a dict with the fields of its schema, times are RFC 3339 texts in UTC, ids are texts. They
raise NotFound, Conflict, Invalid or NotOffered; what these mean in HTTP is app.py's business. A database that you open
yourself must be closed when a verb ends: the server forks. docs/own-tables.md leads the way.
"""

from records import Conflict, Cursor, Invalid, NotFound, NotOffered, Page, Record
from storage.changes import list_changes
from storage.directory import (
    add_company,
    add_contact,
    change_company,
    change_contact,
    delete_company,
    delete_contact,
    get_company,
    get_contact,
    list_companies,
    list_contacts,
    lookup_companies,
    lookup_contacts,
    put_company,
    put_contact,
)
from storage.emails import change_email, delete_email, find_emails, get_attachment, get_email, log_email, timeline
from storage.people import erase_person, export_person
from storage.users import add_user, get_user, lookup_users

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
