"""Whether the tables agree with one another: what `flask doctor`, `flask restore` and the fault tests ask."""

from collections.abc import Iterator
from functools import cache
from json import loads

from peewee import SqliteDatabase, __exception_wrapper__  # type: ignore[attr-defined]
from playhouse.migrations import Runner

from crm.matching import normalize_address, normalize_domain, normalize_message_id
from crm.merging import entries, relation
from crm.records import Record
from database import MIGRATIONS, Damaged, db, execute, rows, writing

WHOLE = derived = email_from = indexed = None

_MOST_NAMED = 10  # ids in one sentence
_SCHEMA = "SELECT type, name FROM sqlite_schema"

# What must not be, and the ids of the records of which it is true all the same.
_RULES = {
    "emails that have lost a recipient": """SELECT DISTINCT email_id FROM recipient
        GROUP BY email_id, role HAVING max(position) + 1 != count(*) OR role NOT IN ('from', 'to', 'cc', 'bcc')""",
    "emails whose recipients have another time": """SELECT DISTINCT e.id FROM email e
        JOIN recipient r ON r.email_id = e.id WHERE r.at != e.at""",
    "emails whose links have another time": """SELECT DISTINCT e.id FROM email e
        JOIN relation r ON r.email_id = e.id WHERE r.at != e.at""",
    "contacts that have lost an address": """SELECT contact_id FROM contact_address
        GROUP BY contact_id HAVING max(position) + 1 != count(*)""",
    "companies that have lost a domain": """SELECT company_id FROM company_domain
        GROUP BY company_id HAVING max(position) + 1 != count(*)""",
    # What a reader of the feed relies on.
    "records whose changes are out of order": """SELECT DISTINCT type || ' ' || record_id FROM
        (SELECT *, lag(action, 1, 'deleted') OVER (PARTITION BY type, record_id ORDER BY seq) AS before FROM change) c
        WHERE (action = 'created') != (before = 'deleted')""",
    "records of which the change feed does not tell": """WITH {here}, {told}
        SELECT type || ' ' || id FROM (SELECT * FROM here EXCEPT SELECT * FROM told) AS lacking""",
    "records that the change feed tells of and that are not here": """WITH {here}, {told}
        SELECT type || ' ' || id FROM (SELECT * FROM told EXCEPT SELECT * FROM here) AS lacking""",
}
_FEED = {
    "here": """here (type, id) AS (SELECT 'email', CAST(id AS TEXT) FROM email
        UNION ALL SELECT 'contact', id FROM contact UNION ALL SELECT 'company', id FROM company)""",
    "told": """told (type, id) AS (SELECT type, record_id FROM change
        WHERE seq IN (SELECT max(seq) FROM change GROUP BY type, record_id) AND action != 'deleted')""",
}

# The keys that are made by folding: rows of (id of the record, text, key).
_FOLDED = {
    "emails with a recipient that can't be found": (
        normalize_address,
        "SELECT email_id, text, folded FROM recipient",
    ),
    "contacts with an address that can't be found": (
        normalize_address,
        "SELECT contact_id, text, folded FROM contact_address",
    ),
    "companies with a domain that can't be found": (
        normalize_domain,
        "SELECT company_id, text, folded FROM company_domain",
    ),
    "users with an address that can't be found": (normalize_address, "SELECT id, email, folded FROM crm_user"),
}

_DERIVED = ("at", "rfc822_key", "thread_key", "has_attachments", "snippet", "people")


def problems() -> list[str]:
    """What is wrong in the database, in sentences that name ids and nothing else; none if all is well.

    Looks at all there is: the pages of the file, the references, what is derived from a record, the search index, the
    change feed. It sees one snapshot, and on SQLite stops nobody from writing. Raises OperationalError where it can't
    read. What PostgreSQL looks after itself, pages and references, is left to it.
    """
    if not isinstance(db.obj, SqliteDatabase):
        with writing():
            return _sentences(_disagreements())
    try:
        with __exception_wrapper__, db.transaction("DEFERRED"):  # a row may be on a page that can't be read
            if found := _damage():
                return found
            found = _sentences(_disagreements())
            return found if _search_agrees() else [*found, "The search index does not agree with the emails."]
    except Damaged as error:
        return [f"The file is damaged: {error}."]


def _damage() -> list[str]:
    """What makes it pointless to look at rows."""
    said = [text for (text,) in rows(f"PRAGMA integrity_check({_MOST_NAMED})")]
    if said != ["ok"]:
        return [f"The file is damaged: {text}." for text in said]
    lacking = _schema_of_migrations() - set(rows(_SCHEMA))
    return [f"The {kind} {name} is not there." for kind, name in sorted(lacking)]


@cache
def _schema_of_migrations() -> set[tuple[str, str]]:
    fresh = SqliteDatabase(":memory:")
    try:
        Runner(fresh, str(MIGRATIONS)).up()
        return set(fresh.execute_sql(_SCHEMA).fetchall())
    finally:
        fresh.close()


def _disagreements() -> dict[str, list[str]]:
    """For each kind of disagreement the ids of the records that have it."""
    found: dict[str, list[str]] = {}
    if isinstance(db.obj, SqliteDatabase):
        for table, row_id, parent, _ in rows("PRAGMA foreign_key_check"):
            what = f"rows of {table} that name a missing {parent}"
            found.setdefault(what, []).append(str(row_id) if row_id else "?")
    if not db.table_exists("email"):  # the records are in somebody else's tables
        return found
    for what, query in _RULES.items():
        for (record_id,) in execute(query.format(**_FEED)):
            found.setdefault(what, []).append(str(record_id))
    for what, (fold, query) in _FOLDED.items():
        for record_id, text, key in execute(query):
            if fold(text) != key:
                found.setdefault(what, []).append(str(record_id))
    for record_id, what in _disagreeing_emails():
        found.setdefault(what, []).append(str(record_id))
    return found


def _disagreeing_emails() -> Iterator[tuple[int, str]]:
    """Each email against what is derived from it; one by one, as all of them may not fit into memory."""
    columns = ", ".join(f"e.{name}" for name in _DERIVED)
    query = f"""SELECT e.id, {columns}, e.html_text,
        (SELECT json_group_array(json_array(type, record_id)) FROM relation WHERE email_id = e.id),
        (SELECT json_group_array(msg_key) FROM sighting WHERE email_id = e.id), {WHOLE} FROM email e"""
    for row in execute(query):
        (row_id, *stored), (html_text, links, seen), whole = row[:7], row[7:10], row[10:]
        try:
            record: Record = email_from(whole)
            anew = derived(record, html_text)
            wanted = set(filter(None, map(relation, entries(record["relatedTo"]))))
        except (ValueError, LookupError, TypeError, AttributeError):
            yield row_id, "emails that can't be read"
            continue
        for name, value in zip(_DERIVED, stored, strict=True):
            if value != anew[name]:
                yield row_id, f"emails whose {name} does not follow from their fields"
        if (html_text is None) != (not record["htmlBody"]):
            yield row_id, "emails whose html_text does not follow from their fields"
        for name, words in indexed([record["subject"], anew["people"], record["textBody"], html_text]).items():
            if not rows(f"SELECT 1 FROM email WHERE id = ? AND {name} = CAST(? AS tsvector)", [row_id, words]):
                yield row_id, "emails whose words can't be found"
        if wanted != set(map(tuple, loads(links or "[]"))):
            yield row_id, "emails whose links are not those of their relatedTo"
        if record["msgId"] and (key := normalize_message_id(record["msgId"])) and key not in loads(seen or "[]"):
            yield row_id, "emails that can't be found by their msgId"


def _search_agrees() -> bool:
    """Whether the search index says what the emails say.

    SQLite's check is a command that takes the lock of writers, and keeps it for a minute at a million mails. So it is
    given a second index to check, of temporary tables: the content is the emails themselves, the rest a copy.
    """
    made = rows("SELECT sql FROM sqlite_schema WHERE name = 'email_search'")
    if not made:
        return True
    with db.savepoint() as before:
        indexed = "SELECT max(id) FROM main.email_search_docsize"  # later ones wait, which is no disagreement
        execute(f"CREATE TEMP VIEW email AS SELECT * FROM main.email WHERE id <= ({indexed})")
        execute(made[0][0].replace("TABLE email_search", "TABLE temp.email_search"))
        for part in ("data", "idx", "docsize", "config"):
            execute(f"DELETE FROM temp.email_search_{part}")
            execute(f"INSERT INTO temp.email_search_{part} SELECT * FROM main.email_search_{part}")
        try:
            execute("INSERT INTO temp.email_search (email_search, rank) VALUES ('integrity-check', 1)")
        except Damaged:
            return False
        finally:
            before.rollback(begin=False)
    return True


def _sentences(disagreements: dict[str, list[str]]) -> list[str]:
    return [f"There are {what}: {_listing(ids)}." for what, ids in disagreements.items()]


def _listing(ids: list[str]) -> str:
    more = len(ids) - _MOST_NAMED
    return ", ".join(ids[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
