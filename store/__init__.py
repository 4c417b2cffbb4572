"""The seam: reads and writes records, and decides nothing. Put your own tables here: docs/own-tables.md leads the way.

`crm` asks these functions and no others. They take and return plain values: a record is a dict with the fields of its
schema on the wire, times are RFC 3339 texts in UTC, ids are texts; a key is a normalized address, domain or Message-ID.
Nothing is normalized, parsed or decided here: `crm` brings all of that along. What changes something is called within
`transaction()`, which only one caller at a time has, over all processes; what only reads is called outside as well.

    contacts, companies   read, find, insert, update, delete, page, deleted, search;
                          contacts.of_company, companies.named
    users                 read, find, insert, update, delete, page
    emails                read, version, find, logged, known, prepare, insert, update, delete, record_copy,
                          catch_up, page, page_of_copies, scan, scan_one, scan_copies, older, strip_copies, names
    timelines             page, threads, thread
    changes               append, page, last, newest, delete
    withheld              key, find, insert, rename, delete, page
    never_log             find, save, delete, listed
    retention             read, write
    transaction, check, purge

A function that is not supplied makes the calls that need it 501, and nothing else. `prepare`, `catch_up` and `names`
need not be there, nor `never_log.find` (then nothing meets a rule), nor `new_id` of contacts and companies, which makes
an id where the usual 32 characters are none for the tables.
"""

from database import check_writable as check
from database import purge_deleted as purge
from database import writing as transaction
from store import changes, emails, never_log, retention, timelines, users, withheld
from store.directory import companies, contacts

__all__ = [
    "changes",
    "check",
    "companies",
    "contacts",
    "emails",
    "never_log",
    "purge",
    "retention",
    "timelines",
    "transaction",
    "users",
    "withheld",
]
