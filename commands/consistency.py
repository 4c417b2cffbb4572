"""Whether the tables agree with one another: what `flask doctor`, `flask restore` and the fault tests ask.

Rows are read one by one or a page at a time, as all of them may not fit into memory, in one snapshot: others go on
writing.
"""

from collections.abc import Callable, Iterator
from typing import Any

from peewee import SQL, Value, __exception_wrapper__, fn  # type: ignore[attr-defined]

import models
import store
from crm.drafts import derive
from crm.matching import normalize_address, normalize_domain, normalize_message_id
from database import Damaged, db, rows, snapshot
from database.query import Prepared, on_sqlite, param
from models import Change, Company, CompanyDomain, Contact, ContactAddress, Email, Link, Recipient, User
from store import emails, search  # the seam's: to import store.emails would put ours in the place of another's

_MOST_NAMED = 10  # ids in one sentence
_AT_A_TIME = 500  # ids in memory; emails come one by one


def problems() -> list[str]:
    """What is wrong in the database, in sentences that name ids and nothing else; none if all is well.

    Looks at all there is: the pages of the file, the references, what is derived from a record, the search index, the
    change feed. It sees one snapshot, and takes no lock. Raises OperationalError where it can't read. What PostgreSQL
    looks after itself, pages and references, is left to it.
    """
    found: dict[str, list[str]] = {}
    try:
        with __exception_wrapper__, snapshot():  # a row may be on a page that can't be read
            damage = rows(f"PRAGMA integrity_check({_MOST_NAMED})") if on_sqlite() else [("ok",)]
            if damage != [("ok",)]:  # then it is pointless to look at rows
                return [f"The file is damaged: {text}." for (text,) in damage]
            for what, record_id in _disagreements():
                found.setdefault(what, []).append(record_id)
    except Damaged as error:
        return [f"The file is damaged: {error}."]
    return [f"There are {what}: {_listing(list(dict.fromkeys(ids)))}." for what, ids in found.items()]


def _listing(ids: list[str]) -> str:
    more = len(ids) - _MOST_NAMED
    return ", ".join(ids[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _disagreements() -> Iterator[tuple[str, str]]:
    """Each kind of disagreement, and the id of a record that has it."""
    if on_sqlite():
        for table, row_id, parent, _ in rows("PRAGMA foreign_key_check"):
            yield f"rows of {table} that name a missing {parent}", str(row_id or "?")
    if not db.table_exists("email"):  # the records are in somebody else's tables
        return
    for model in models.tables():
        here = {index.name for index in db.get_indexes(model._meta.table_name)}
        for index in model._meta.fields_to_index() if here else []:
            if index._name not in here:
                yield "indexes that are not there", index._name
    elsewhere = _elsewhere()
    for what, query in _FEED.items():
        for kind, record_id in query():
            if kind not in elsewhere:
                yield what, f"{kind} {record_id}"
    for what, normalize, entries in _KEYS:
        for record_id in _wrong_keys(normalize, entries):
            yield what, record_id
    for row_id in search.strays():
        yield "emails of which the search index knows, and that are not here", str(row_id)
    for row_id in _email_ids():
        for what in _disagreements_of(row_id):
            yield what, str(row_id)


# ---- the change feed ------------------------------------------------------------------------------------------------


def _here() -> Any:
    """Type and id of all records; as texts, as the feed has them."""
    return (
        Email.select(SQL("'email'"), Email.id.cast("text"))
        .union_all(Contact.select(SQL("'contact'"), Contact.id))
        .union_all(Company.select(SQL("'company'"), Company.id))
    )


def _elsewhere() -> set[str]:
    """The types of record that somebody's own tables hold: these are not here, whatever the feed tells of them."""
    parts = {"contact": store.contacts, "company": store.companies}
    return {kind for kind, part in parts.items() if type(part).__module__ != "store.directory"}


def _told() -> Any:
    """Type and id of the records that are here by the feed."""
    later = Change.alias("later")
    last = later.select(fn.MAX(later.seq)).group_by(later.type, later.record_id)
    return Change.select(Change.type, Change.record_id).where(Change.seq.in_(last), Change.action != "deleted")


def _but(some: Any, others: Any) -> Any:
    some, others = some.alias("some"), others.alias("others")
    return Change.select(SQL("*")).from_(some).except_(Change.select(SQL("*")).from_(others))


_FEED = {
    "records of which the change feed does not tell": Prepared(lambda: _but(_here(), _told())),
    "records that the change feed tells of and that are not here": Prepared(lambda: _but(_told(), _here())),
}

# ---- keys -----------------------------------------------------------------------------------------------------------


def _entries(model: Any, owner: Any) -> Prepared:
    columns = owner, model.position, model.text, model.normalized
    return Prepared(lambda: model.select(*columns).order_by(owner, model.position))


# Of each kind of record: what is made by normalizing what was written, in the order of records and positions.
_KEYS: list[tuple[str, Callable[[str], str | None], Prepared]] = [
    (
        "contacts that have lost an address, or can't be found by one",
        normalize_address,
        _entries(ContactAddress, ContactAddress.contact),
    ),
    (
        "companies that have lost a domain, or can't be found by one",
        normalize_domain,
        _entries(CompanyDomain, CompanyDomain.company),
    ),
    (
        "users who can't be found by their address",
        normalize_address,
        Prepared(lambda: User.select(User.id, Value(0), User.email, User.normalized)),
    ),
]


def _wrong_keys(normalize: Callable[[str], str | None], entries: Prepared) -> Iterator[str]:
    before, expected = None, 0
    for owner, position, text, key in entries.each():
        expected = expected + 1 if owner == before else 0
        before = owner
        if position != expected or (text is not None and key != normalize(text)):
            yield owner


# ---- emails ---------------------------------------------------------------------------------------------------------

_IDS = Prepared(lambda: Email.select(Email.id).where(Email.id > param("after")).order_by(Email.id).limit(_AT_A_TIME))
_DERIVED = ("at", "message_key", "thread_key", "has_attachments", "snippet", "html_text")
_STORED = Prepared(lambda: Email.select(*(getattr(Email, n) for n in _DERIVED)).where(Email.id == param("id")))
_RECIPIENT = (Recipient.role, Recipient.position, Recipient.text, Recipient.normalized, Recipient.at)
_RECIPIENTS = Prepared(lambda: Recipient.select(*_RECIPIENT).where(Recipient.email == param("id")))
_LINKS = Prepared(lambda: Link.select(Link.type, Link.record_id, Link.at).where(Link.email == param("id")))
_UNREADABLE = (ValueError, LookupError, TypeError, AttributeError)


def _email_ids() -> Iterator[int]:
    after = -1
    while page := _IDS(after=after):
        for (after,) in page:
            yield after


def _disagreements_of(row_id: int) -> Iterator[str]:
    """An email against what is derived from it."""
    try:
        [record] = emails.scan_one(str(row_id))
        anew = derive({name: value for name, value in record.items() if name not in ("copies", "htmlText")})
    except _UNREADABLE:
        yield "emails that can't be read"
        return
    [stored] = _STORED(id=row_id)
    pairs = {name: (value, getattr(anew, name, None)) for name, value in zip(_DERIVED, stored, strict=True)}
    # The words of an HTML body may have been read by an older version; but there are some, or none.
    pairs["html_text"] = (record["htmlText"] is None, anew.record["htmlText"] is None)
    pairs["recipients"] = set(_RECIPIENTS(id=row_id)), {(*recipient, anew.at) for recipient in anew.recipients}
    pairs["links"] = set(_LINKS(id=row_id)), {(*link, anew.at) for link in anew.links}
    for name, (here, derived) in pairs.items():
        if here != derived:
            yield f"emails whose {name} and other fields disagree"
    key = normalize_message_id(record["msgId"])
    if key and key not in map(normalize_message_id, record["copies"]):
        yield "emails that can't be found by their msgId"
    if not search.has_words(row_id, search.texts_of(record)):
        yield "emails whose words can't be found"
