"""Whether the tables agree with one another: what `flask doctor`, `flask restore` and the fault tests ask.

Rows are read a page at a time, as all of them may not fit into memory, in one snapshot: others go on writing.
"""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from peewee import SQL, Cast, Model, SqliteDatabase, Value, __exception_wrapper__, fn  # type: ignore[attr-defined]

import models
from crm.emails import derive
from crm.matching import normalize_address, normalize_domain, normalize_message_id
from crm.records import Record
from database import Damaged, db, rows, snapshot
from database.query import Prepared, Row, on_sqlite, param
from models import Change, Company, CompanyDomain, Contact, ContactAddress, Email, Link, Recipient, User
from store import emails, search  # the seam's: to import store.emails would put ours in the place of another's
from store.words import split_texts

_MOST_NAMED = 10  # ids in one sentence
_AT_A_TIME = 500  # rows in memory; emails come one by one
_ROLES = ["from", "to", "cc", "bcc"]
_SCHEMA = "SELECT type, name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'"


def problems() -> list[str]:
    """What is wrong in the database, in sentences that name ids and nothing else; none if all is well.

    Looks at all there is: the pages of the file, the references, what is derived from a record, the search index, the
    change feed. It sees one snapshot, and takes no lock. Raises OperationalError where it can't read. What PostgreSQL
    looks after itself, pages and references, is left to it.
    """
    if not on_sqlite():
        with snapshot():
            return _sentences(_disagreements())
    try:
        with __exception_wrapper__, snapshot():  # a row may be on a page that can't be read
            return _damage() or _sentences(_disagreements())
    except Damaged as error:
        return [f"The file is damaged: {error}."]


def _damage() -> list[str]:
    """What makes it pointless to look at rows."""
    said = [text for (text,) in rows(f"PRAGMA integrity_check({_MOST_NAMED})")]
    if said != ["ok"]:
        return [f"The file is damaged: {text}." for text in said]
    if not db.table_exists("email"):  # the records are in somebody else's tables
        return []
    lacking = _declared_schema() - set(rows(_SCHEMA))
    return [f"The {kind} {name} is not there." for kind, name in sorted(lacking)]


@cache
def _declared_schema() -> set[tuple[str, str]]:
    """The tables and indexes that a new file has."""
    fresh = SqliteDatabase(":memory:")
    tables: list[type[Model]] = [*models.RECORDS, models.EmailWords, *models.OWN]
    try:
        with fresh.bind_ctx(tables, bind_refs=False, bind_backrefs=False):
            fresh.create_tables(tables)
        return set(fresh.execute_sql(_SCHEMA).fetchall())
    finally:
        fresh.close()


def _disagreements() -> dict[str, list[str]]:
    """For each kind of disagreement the ids of the records that have it."""
    found: dict[str, list[str]] = {}
    if on_sqlite():
        for table, row_id, parent, _ in rows("PRAGMA foreign_key_check"):
            what = f"rows of {table} that name a missing {parent}"
            found.setdefault(what, []).append(str(row_id) if row_id else "?")
    if not db.table_exists("email"):
        return found
    for what, query in _RULES.items():
        for (record_id,) in query():
            found.setdefault(what, []).append(str(record_id))
    for what, query in _FEED.items():
        for kind, record_id in query():
            found.setdefault(what, []).append(f"{kind} {record_id}")
    for what, (normalize, query) in _NORMALIZED.items():
        for *place, text, key in _pages(query):
            if text is not None and normalize(text) != key:
                found.setdefault(what, []).append(str(place[0]))
    for row_id, what in _disagreeing_emails():
        found.setdefault(what, []).append(str(row_id))
    return {what: list(dict.fromkeys(ids)) for what, ids in found.items()}


# ---- rules that a query can tell ------------------------------------------------------------------------------------


def _lost(entry: Any, owner: Any, *group: Any) -> Any:
    """The records whose entries are not at the positions 0, 1, 2 …"""
    return entry.select(owner).group_by(owner, *group).having(fn.MAX(entry.position) + 1 != fn.COUNT(entry.position))


def _at_other_times(entry: Any) -> Any:
    return Email.select(Email.id).join(entry, on=entry.email == Email.id).where(entry.at != Email.at).distinct()


# What must not be, and the ids of the records of which it is true all the same.
_RULES = {
    "emails that have lost a recipient": Prepared(lambda: _lost(Recipient, Recipient.email, Recipient.role)),
    "emails that can't be read": Prepared(
        lambda: Recipient.select(Recipient.email).where(Recipient.role.not_in(_ROLES)).distinct()
    ),
    "emails whose recipients have another time": Prepared(lambda: _at_other_times(Recipient)),
    "emails whose links have another time": Prepared(lambda: _at_other_times(Link)),
    "contacts that have lost an address": Prepared(lambda: _lost(ContactAddress, ContactAddress.contact)),
    "companies that have lost a domain": Prepared(lambda: _lost(CompanyDomain, CompanyDomain.company)),
    "emails of which the search index knows, and that are not here": Prepared(
        lambda: (
            search._INDEXED.select(search._INDEXED.c.id).where(search._INDEXED.c.id.not_in(Email.select(Email.id)))
            if on_sqlite()
            else Email.select(Email.id).where(Value(1) == 0)
        )  # there a foreign key sees to it
    ),
}


def _out_of_order() -> Any:
    before = fn.LAG(Change.action, 1, "deleted").over(
        partition_by=[Change.type, Change.record_id], order_by=[Change.seq]
    )
    told = Change.select(Change.type, Change.record_id, Change.action, before.alias("before")).alias("told")
    return (
        Change.select(told.c.type, told.c.record_id)
        .from_(told)
        .where((told.c.action == "created") != (told.c.before == "deleted"))
        .distinct()
    )


def _here() -> Any:
    """Type and id of all records; as texts, as the feed has them."""
    return (
        Email.select(SQL("'email'"), Email.id.cast("text"))
        .union_all(Contact.select(SQL("'contact'"), Contact.id))
        .union_all(Company.select(SQL("'company'"), Company.id))
    )


def _told() -> Any:
    """Type and id of the records that are here by the feed."""
    later = Change.alias("later")
    last = later.select(fn.MAX(later.seq)).group_by(later.type, later.record_id)
    return Change.select(Change.type, Change.record_id).where(Change.seq.in_(last), Change.action != "deleted")


# What a reader of the feed relies on: types and ids.
_FEED = {
    "records whose changes are out of order": Prepared(_out_of_order),
    "records of which the change feed does not tell": Prepared(lambda: _here_without(_here(), _told())),
    "records that the change feed tells of and that are not here": Prepared(lambda: _here_without(_told(), _here())),
}


def _here_without(some: Any, others: Any) -> Any:
    some, others = some.alias("some"), others.alias("others")
    return Change.select(SQL("*")).from_(some).except_(Change.select(SQL("*")).from_(others))


# ---- rules that Python has to tell ----------------------------------------------------------------------------------


# The keys that are made by normalizing.
_NORMALIZED: dict[str, tuple[Callable[[str], str | None], Any]] = {
    "emails with a recipient that can't be found": (
        normalize_address,
        (Recipient, Recipient.text, (Recipient.email, Recipient.role, Recipient.position), (-1, "", -1)),
    ),
    "contacts with an address that can't be found": (
        normalize_address,
        (ContactAddress, ContactAddress.text, (ContactAddress.contact, ContactAddress.position), ("", -1)),
    ),
    "companies with a domain that can't be found": (
        normalize_domain,
        (CompanyDomain, CompanyDomain.text, (CompanyDomain.company, CompanyDomain.position), ("", -1)),
    ),
    "users with an address that can't be found": (normalize_address, (User, User.email, (User.id,), ("",))),
}


def _pages(about: tuple[Any, Any, tuple[Any, ...], tuple[Any, ...]]) -> Iterator[Row]:
    table, text, place, after = about
    query = Prepared(
        lambda: table.select(*place, text, table.normalized).where(_after(place)).order_by(*place).limit(_AT_A_TIME)
    )
    while page := query(**{f"p{n}": value for n, value in enumerate(after)}):
        yield from page
        after = page[-1][: len(place)]


def _after(place: tuple[Any, ...]) -> Any:
    """Whether a row comes behind the values p0, p1 …"""
    *before, last = enumerate(place)
    condition = last[1] > param(f"p{last[0]}")
    for n, column in reversed(before):
        condition = (column > param(f"p{n}")) | ((column == param(f"p{n}")) & condition)
    return condition


_IDS = Prepared(lambda: Email.select(Email.id).where(Email.id > param("after")).order_by(Email.id).limit(_AT_A_TIME))
_DERIVED = ("at", "message_key", "thread_key", "has_attachments", "snippet", "html_text")
_STORED = Prepared(lambda: Email.select(*(getattr(Email, n) for n in _DERIVED)).where(Email.id == param("id")))
_LINKS = Prepared(lambda: Link.select(Link.type, Link.record_id).where(Link.email == param("id")))
_UNREADABLE = (ValueError, LookupError, TypeError, AttributeError)


def _disagreeing_emails() -> Iterator[tuple[int, str]]:
    """Each email against what is derived from it."""
    after = -1
    while page := _IDS(after=after):
        for (row_id,) in page:
            for what in _disagreements_of(row_id):
                yield row_id, what
        after = page[-1][0]


def _disagreements_of(row_id: int) -> Iterator[str]:
    try:
        [record] = emails.scan_one(str(row_id))
        anew = derive({name: value for name, value in record.items() if name not in ("copies", "htmlText")})
    except _UNREADABLE:
        yield "emails that can't be read"
        return
    [stored] = _STORED(id=row_id)
    derived = {name: getattr(anew, name, anew.record["htmlText"]) for name in _DERIVED}
    for name, value in zip(_DERIVED, stored, strict=True):
        # The words of an HTML body may have been read by an older version; but there are some, or none.
        same = (value is None) == (derived[name] is None) if name == "html_text" else value == derived[name]
        if not same:
            yield f"emails whose {name} does not follow from their fields"
    if set(_LINKS(id=row_id)) != set(anew.links):
        yield "emails whose links are not those of their relatedTo"
    key = normalize_message_id(record["msgId"])
    if key and key not in map(normalize_message_id, record["copies"]):
        yield "emails that can't be found by their msgId"
    if not _words_agree(row_id, record):
        yield "emails whose words can't be found"


# ---- the search index -----------------------------------------------------------------------------------------------

_EMAIL_WORDS = Prepared(
    lambda: models.EmailVector.select(models.EmailVector.email).where(
        models.EmailVector.email == param("id"), models.EmailVector.words == Cast(param("words"), "tsvector")
    )
)
# FTS5's own lengths of the four texts, in words, as variable-length integers (https://sqlite.org/fts5.html, 2.3.4).
_LENGTHS = Prepared(lambda: search._INDEXED.select(search._INDEXED.c.sz).where(search._INDEXED.c.id == param("id")))
_FOUND = Prepared(
    lambda: models.EmailWords.select(models.EmailWords.rowid).where(
        models.EmailWords.match(param("match")), models.EmailWords.rowid == param("id")
    )
)
_WORDS_IN_ONE_MATCH = 100


def _words_agree(row_id: int, record: Record) -> bool:
    """Whether an email that is indexed is found by each of its words, and has as many as the index says."""
    texts = split_texts(search.texts_of(record))
    if not on_sqlite():
        return bool(_EMAIL_WORDS(id=row_id, words=search._vector(texts)))
    indexed = _LENGTHS.first(id=row_id)
    if indexed is None:  # it waits, and a search looks through it
        return row_id > search.last_indexed()
    if _integers(indexed[0]) != [len(words) for words in texts]:
        return False
    for name, words in zip(search._NAMES, texts, strict=True):
        different = list(dict.fromkeys(words))
        for n in range(0, len(different), _WORDS_IN_ONE_MATCH):
            quoted = " AND ".join(f'"{word}"' for word in different[n : n + _WORDS_IN_ONE_MATCH])
            if not _FOUND(match=f"{name} : ({quoted})", id=row_id):
                return False
    return True


def _integers(block: bytes) -> list[int]:
    """SQLite's variable-length integers (https://sqlite.org/fileformat2.html#varint), each below 2 ** 56."""
    found, value = [], 0
    for byte in block:
        value = value << 7 | byte & 127
        if byte < 128:
            found.append(value)
            value = 0
    return found


def _sentences(disagreements: dict[str, list[str]]) -> list[str]:
    return [f"There are {what}: {_listing(ids)}." for what, ids in disagreements.items()]


def _listing(ids: list[str]) -> str:
    more = len(ids) - _MOST_NAMED
    return ", ".join(ids[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
