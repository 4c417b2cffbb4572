"""What the connector does, independent of how records are kept: the verbs that routes and commands call.

Here is decided what makes two emails one, what is found or created, what conflicts, what a page shows. How records are
kept is the business of `store`, of which nothing here knows more than store/__init__.py says. Verbs take and return
plain values, named as on the wire; they raise NotFound, Conflict, Changed, Invalid or NotOffered, which app.py turns
into HTTP.
"""

from crm.changes import calling_token, calling_user, list_changes, newest_changes
from crm.directory import (
    add_company,
    add_contact,
    add_contact_of_domain,
    change_company,
    change_contact,
    contacts_of_company,
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
    search_companies,
    search_contacts,
    unmatched,
)
from crm.emails import (
    change_email,
    delete_email,
    get_attachment,
    get_email,
    list_copies,
    log_email,
    log_emails,
)
from crm.finding import find_emails, participants
from crm.never_log import add_rule, list_rules, remove_rule
from crm.privacy import erase_person, export_person, mentions
from crm.records import BadRecord, Changed, Conflict, Cursor, Invalid, NotFound, NotOffered, Page, Record, Versions
from crm.retention import apply_rule, get_retention, rule_for, run_retention, set_retention
from crm.seam import check
from crm.timelines import company_timeline, get_thread, list_threads, timeline
from crm.users import add_user, change_user, get_user, list_users, lookup_users, remove_user
from crm.withheld import forget_withheld, list_withheld

__all__ = [
    "BadRecord",
    "Changed",
    "Conflict",
    "Cursor",
    "Invalid",
    "NotFound",
    "NotOffered",
    "Page",
    "Record",
    "Versions",
    "add_company",
    "add_contact",
    "add_contact_of_domain",
    "add_rule",
    "add_user",
    "apply_rule",
    "calling_token",
    "calling_user",
    "change_company",
    "change_contact",
    "change_email",
    "change_user",
    "check",
    "company_timeline",
    "contacts_of_company",
    "delete_company",
    "delete_contact",
    "delete_email",
    "erase_person",
    "export_person",
    "find_emails",
    "forget_withheld",
    "get_attachment",
    "get_company",
    "get_contact",
    "get_email",
    "get_retention",
    "get_thread",
    "get_user",
    "list_changes",
    "list_companies",
    "list_contacts",
    "list_copies",
    "list_rules",
    "list_threads",
    "list_users",
    "list_withheld",
    "log_email",
    "log_emails",
    "lookup_companies",
    "lookup_contacts",
    "lookup_users",
    "mentions",
    "newest_changes",
    "participants",
    "put_company",
    "put_contact",
    "remove_rule",
    "remove_user",
    "rule_for",
    "run_retention",
    "search_companies",
    "search_contacts",
    "set_retention",
    "timeline",
    "unmatched",
]
