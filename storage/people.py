"""What is held about a person, by address: to be disclosed, or to be erased without a trace.

What mentions an address is said by `mentions`. Rows are read one by one and outside the write lock; what is found is
removed some rows a transaction, each only if nobody has changed it meanwhile. What came or changed since is looked for
again, until there is nothing.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from json import loads
from time import monotonic
from typing import Any, NamedTuple

import tokens
from database import execute, forget, iterate, rows, writing
from mentions import Mentions
from records import Cursor, Invalid, NotFound, Page, Record
from storage.directory import (
    change_company,
    delete_company,
    delete_contact,
    get_company,
    get_contact,
    list_companies,
    list_contacts,
)
from storage.emails import delete_email, get_email
from storage.users import get_user

log = logging.getLogger(__name__)

_ROWS, _CHARACTERS = 100, 8 * 1024 * 1024  # of one query, so that none takes long, nor keeps others from tidying up
_HELD = 0.03  # seconds, after which a transaction takes no further row: the lock is held for less than 100 ms
_PASSES = 20

# The columns of an email that hold what somebody wrote. `people` are its names and addresses, as text.
_SMALL = ["msg_id", "rfc822_msg_id", "sync_thread_id", "in_reply_to", "from_name", "subject", "snippet", "people"]
_EMAIL = ", ".join(["id", "updated_at", *_SMALL, "text_body", "html_text", "html_body", "related_to", "attachments"])


class _Find(NamedTuple):
    """A record that is to go, or a text in it; `version` is its `updated_at` when it was read."""

    id: Any
    version: str | None = None


_Finder = Callable[[Mentions, int | None], Iterator[_Find]]


def export_person(address: str) -> Iterator[tuple[str, Record]]:
    """All that is held about an address: pairs of a kind and the record, one kind after the other. Raises Invalid.

    Kinds: "user", "contact", "company", "email"; and "token", "change", "refusal", the connector's own. A record is
    here that has the address, or mentions it in any place; emails one by one, as all together may be large.
    """
    return _export(_mentions(address))


def _export(sought: Mentions) -> Iterator[tuple[str, Record]]:
    for kind, table in _TABLES.items():
        for found in table.find(sought, None):
            try:
                record = table.get(str(found.id))
            except NotFound:  # deleted since
                continue
            yield kind, record


def erase_person(address: str, dry_run: bool = False) -> Record:
    """Remove all that `export_person` gives, from the tables, the search index and the file itself; gives the ids.

    The receipt names what went (or, in a dry run, would go). Users, with their tokens, contacts and emails go whole.
    Of a company only the text goes: its name, or that domain; it goes whole where its id has the address. Of a token
    its label. The change feed keeps that records were deleted, their ids and nothing else; where the id itself has the
    address, its entries go too. Raises Invalid.
    """
    sought = _mentions(address)
    gone: dict[str, list[str]] = {f"{kind}s" if kind != "company" else "companies": [] for kind in _TABLES}
    names = dict(zip(_TABLES, gone, strict=True))
    since: int | None = None
    for _ in range(1 if dry_run else _PASSES):
        began = rows("SELECT coalesce(max(seq), 0) FROM change")[0][0]
        again = False
        for kind, table in _TABLES.items():
            for found in _batches(table.find(sought, since)):
                again = True
                ids = found if dry_run else _remove(table, sought, found)
                gone[names[kind]] += [str(one.id) for one in ids]
        since = began
        if not again:
            break
    if not dry_run and not forget():
        log.warning(
            "What was erased is in the write-ahead log until others stop reading; erase the same address again."
        )
    return {name: sorted(set(ids), key=_by_number) for name, ids in gone.items() if ids or name in _ALWAYS}


_ALWAYS = {"users", "contacts", "emails"}


def _by_number(record_id: str) -> tuple[int, str]:
    return (len(record_id) if record_id.isdecimal() else 0), record_id


def _mentions(address: str) -> Mentions:
    try:
        return Mentions(address)
    except ValueError as error:
        raise Invalid(address=str(error)) from None


def _batches(found: Iterator[_Find]) -> Iterator[list[_Find]]:
    """What was found, at most _ROWS at a time, or as soon as some seconds have passed."""
    some: list[_Find] = []
    began = monotonic()
    for one in found:
        some.append(one)
        if len(some) == _ROWS or monotonic() > began + 5:
            yield some
            some, began = [], monotonic()
    if some:
        yield some


def _remove(table: "_Table", sought: Mentions, found: list[_Find]) -> list[_Find]:
    """Remove what was found, in short transactions; gives what went."""
    gone: list[_Find] = []
    waiting = found[::-1]
    while waiting:
        with writing():
            began = monotonic()
            while waiting and monotonic() < began + _HELD:
                one = waiting.pop()
                try:
                    if table.remove(one, sought):
                        gone.append(one)
                except NotFound:  # somebody else has deleted it
                    continue
    return gone


def _paged(query: str, key: str, values: list[Any], find: Callable[[tuple[Any, ...]], _Find | None]) -> Iterator[_Find]:
    """What `find` finds in the rows of a query with `{after}`, by the number that is its first column.

    One row is in memory at a time, and no query is open while a find is dealt with.
    """
    last: Any = 0
    while last is not None:
        finds, room, began = [], _CHARACTERS, monotonic()
        page = f"{query.format(after=f'{key} > ?')} ORDER BY {key} LIMIT {_ROWS}"
        with closing(iterate(page, [last, *values])) as found:
            last = None
            for row in found:
                last = row[0]
                if one := find(row):
                    finds.append(one)
                room -= sum(len(value) for value in row if isinstance(value, str))
                if room < 0 or monotonic() > began + 5:
                    break
        yield from finds


# ---- emails ---------------------------------------------------------------------------------------------------------


def _find_emails(sought: Mentions, since: int | None) -> Iterator[_Find]:
    seen = set()
    for (email_id,) in rows("SELECT DISTINCT email_id FROM recipient WHERE folded = ? ORDER BY email_id", [sought.key]):
        version = rows("SELECT updated_at FROM email WHERE id = ?", [email_id])
        if version:
            seen.add(email_id)
            yield _Find(email_id, version[0][0])
    for msg_key, email_id in _sightings():
        if email_id not in seen and sought.in_text(msg_key):
            version = rows("SELECT updated_at FROM email WHERE id = ?", [email_id])
            if version:
                seen.add(email_id)
                yield _Find(email_id, version[0][0])
    changed = "id IN (SELECT CAST(record_id AS BIGINT) FROM change WHERE type = 'email' AND seq > ?)"
    condition, values = ("", []) if since is None else (f" AND {changed}", [since])

    def find(row: tuple[Any, ...]) -> _Find | None:
        wanted = row[0] not in seen and _email_mentions(row[2:], sought)
        return _Find(row[0], row[1]) if wanted else None

    yield from _paged(f"SELECT {_EMAIL} FROM email WHERE {{after}}{condition}", "id", values, find)


def _sightings() -> Iterator[tuple[str, int]]:
    last: tuple[str, int] = ("", 0)
    page = "SELECT msg_key, email_id FROM sighting WHERE (msg_key, email_id) > (?, ?) ORDER BY 1, 2 LIMIT 1000"
    while found := rows(page, last):
        yield from ((key, email_id) for key, email_id in found)
        last = found[-1][0], found[-1][1]


def _email_mentions(columns: tuple[Any, ...], sought: Mentions) -> bool:
    *texts, html, related_to, attachments = columns
    return (
        any(map(sought.in_text, texts))
        or sought.in_html(html)
        or any(value is not None and sought.in_value(loads(value)) for value in (related_to, attachments))
    )


def _remove_email(found: _Find, _: Mentions) -> bool:
    if rows("SELECT 1 FROM email WHERE id = ? AND updated_at = ?", [found.id, found.version]):
        delete_email(str(found.id))
        return True
    return False  # it has changed, so the next pass looks at it


# ---- contacts, companies, users: small, so each is read again before it goes ----------------------------------------


def _has(record: Record, sought: Mentions) -> bool:
    return sought.in_value({name: value for name, value in record.items() if name != "companyId"})


def _find_records(pages: Callable[[str | None, Cursor | None, int], Page]) -> _Finder:
    def find(sought: Mentions, since: int | None) -> Iterator[_Find]:
        after: Cursor | None = None
        while True:  # in the order of their last change, so that none that is changed meanwhile is missed
            page = pages(None, after, _ROWS)
            yield from (_Find(record["id"]) for record in page.records if _has(record, sought))
            after = page.next
            if after is None:
                return

    return find


def _find_users(sought: Mentions, since: int | None) -> Iterator[_Find]:
    for (user_id,) in rows("SELECT id FROM crm_user ORDER BY id"):  # as many as the company has people
        if _has(get_user(user_id), sought):
            yield _Find(user_id)


def _remove_contact(found: _Find, sought: Mentions) -> bool:
    if _has(get_contact(found.id), sought):
        delete_contact(found.id)
        return True
    return False


def _remove_company(found: _Find, sought: Mentions) -> bool:
    """Its texts go. Where its id has the address, it goes whole, as an id can't be changed; its contacts stay."""
    company = get_company(found.id)
    if not _has(company, sought):
        return False
    if sought.in_text(found.id):
        delete_company(found.id)
    else:
        name = None if sought.in_text(company["name"]) else company["name"]
        domains = [text for text in company["domains"] if not sought.in_text(text)]
        change_company(found.id, {"name": name, "domains": domains})
    return True


def _remove_user(found: _Find, sought: Mentions) -> bool:
    if _has(get_user(found.id), sought):
        tokens.delete([found.id])
        execute("DELETE FROM crm_user WHERE id = ?", [found.id])
        return True
    return False


# ---- the connector's own --------------------------------------------------------------------------------------------


def _find_in(table: str, key: str, *columns: str) -> _Finder:
    def find(sought: Mentions, since: int | None) -> Iterator[_Find]:
        query = f"SELECT {key}, {', '.join(columns)} FROM {table} WHERE {{after}}"
        yield from _paged(query, key, [], lambda row: _Find(row[0]) if any(map(sought.in_text, row[1:])) else None)

    return find


def _remove_token(found: _Find, sought: Mentions) -> bool:
    """A label goes, and the token of a user whose id has the address; its users may be in somebody else's tables."""
    for label, user_id in rows("SELECT label, user_id FROM token WHERE id = ?", [found.id]):
        if sought.in_text(user_id):
            execute("DELETE FROM token WHERE id = ?", [found.id])
        elif sought.in_text(label):
            execute("UPDATE token SET label = NULL WHERE id = ?", [found.id])
        return True
    return False


def _get_token(token_id: str) -> Record:
    for token in tokens.listed():
        if str(token["id"]) == token_id:
            return token
    raise NotFound


def _row_of(table: str, *columns: str) -> Callable[[str], Record]:
    def get(seq: str) -> Record:
        for row in rows(f"SELECT {', '.join(columns)} FROM {table} WHERE seq = ?", [int(seq)]):
            return dict(zip(columns, row, strict=True))
        raise NotFound

    return get


def _remove_from(table: str) -> Callable[[_Find, Mentions], bool]:
    def remove(found: _Find, _: Mentions) -> bool:
        return bool(execute(f"DELETE FROM {table} WHERE seq = ?", [found.id]).rowcount)

    return remove


class _Table(NamedTuple):
    """How what mentions an address is found in a table, since a place in the change feed; shown, and removed."""

    find: _Finder
    get: Callable[[str], Record]
    remove: Callable[[_Find, Mentions], bool]


# In this order: the change feed comes behind the records whose ends it tells.
_TABLES: Mapping[str, _Table] = {
    "user": _Table(_find_users, get_user, _remove_user),
    "contact": _Table(_find_records(list_contacts), get_contact, _remove_contact),
    "company": _Table(_find_records(list_companies), get_company, _remove_company),
    "email": _Table(_find_emails, get_email, _remove_email),
    "token": _Table(_find_in("token", "id", "label", "user_id"), _get_token, _remove_token),
    "change": _Table(
        _find_in("change", "seq", "record_id"),
        _row_of("change", "seq", "at", "type", "record_id", "action"),
        _remove_from("change"),
    ),
    "refusal": _Table(
        _find_in("refusal", "seq", "route", "address"),
        _row_of("refusal", "seq", "at", "route", "address"),
        _remove_from("refusal"),
    ),
}
