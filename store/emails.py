"""Emails: rows in, rows out, and pages."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from functools import cache
from hashlib import blake2b
from itertools import groupby, islice
from json import dumps, loads
from secrets import token_hex
from threading import BoundedSemaphore
from typing import Any

from peewee import JOIN, OperationalError, Tuple, fn

from database import time_limit
from database.query import Prepared, Row, is_any, json_list, param
from models import Copy, Email, Link, Recipient
from store import indexing, search
from store.email_rows import BEGIN, END, LISTED, WHOLE, Record, filling, record_of, row_of, select
from store.page_query import DRIVING, MOST_STREAMS, driving_filter, places, tests_many
from store.values import Conditions, CopyKeys, Draft, Logged

SEARCH_TIMEOUT = 2  # seconds; what an index gives at once has none
_SEARCHES = BoundedSemaphore(2)  # in a process at the same time, so that threads are left for other calls
_LONGEST_WAIT = 0.2  # seconds: a usual search takes some milliseconds


# ---- one by one -----------------------------------------------------------------------------------------------------


_READ = Prepared(lambda: select(WHOLE).where(is_any(Email.id, "ids")))
_READ_LISTED = Prepared(lambda: select(LISTED).where(Email.id == param("id")))
_VERSION = Prepared(lambda: Email.select(Email.updated_at).where(Email.id == param("id")))
_FIND = Prepared(
    lambda: (
        Email.select(Email.id)
        .where(Email.message_key == param("message_key"))
        .union_all(Copy.select(Copy.email).where(Copy.copy_key == param("copy_key")))
    )
)
_LOGGED = Prepared(
    lambda: (
        Email.select(Email.id, Email.message_key, Copy.digest, Copy.copy_key, Copy.contents)
        .join(Copy, JOIN.LEFT_OUTER, on=Copy.email == Email.id)
        .where(is_any(Email.id, "ids"))
        .order_by(Email.id, Copy.logged_at.asc(nulls="LAST"), Copy.digest)
    )
)
_COPY = ("email", "digest", "copy_key", "contents", "msg_id", "user_id", "logged_at", "differs")
_RECORD_COPY = Prepared(lambda: Copy.insert({name: param(name) for name in _COPY}).on_conflict_ignore())
_PLACES_OF_COPIES = Prepared(
    lambda: (
        Copy.select(Copy.logged_at, Copy.digest)
        .where(Copy.email == param("id"), Tuple(Copy.logged_at, Copy.digest) > Tuple(param("at"), param("digest")))
        .order_by(Copy.logged_at, Copy.digest)
        .limit(param("limit"))
    )
)
_READ_COPY = Prepared(
    lambda: Copy.select(Copy.msg_id, Copy.user_id, Copy.differs).where(
        Copy.email == param("id"), Copy.digest == param("digest")
    )
)
_DELETE = Prepared(lambda: Email.delete().where(Email.id == param("id")))
_STRIP_COPIES = Prepared(lambda: Copy.update(differs=None).where(Copy.email == param("id")))

_COLUMNS = [name for name in Email._meta.sorted_field_names if name not in ("id", "thread")]
_other = Email.alias("other")


def _values() -> dict[str, Any]:
    """An email's columns. Its thread is that of its syncThreadId, else of the email that it answers; while that one is
    not here, a thread named after that one's Message-ID, which it will join."""
    parents = _other.select(_other.thread).where(_other.message_key == param("parent_key"))
    thread = fn.COALESCE(param("thread_of_sync"), parents, param("thread_of_parent"), param("thread_of_own"))
    return {name: param(name) for name in _COLUMNS} | {"thread": thread}


def _replies_to(own: Any) -> Any:
    return _other.select(_other.id).where(_other.thread == own, _other.thread_key.is_null())


_INSERT = Prepared(
    lambda: Email.insert(_values()).returning(
        Email.id, Email.thread, fn.EXISTS(_replies_to(param("thread_of_own"))).alias("is_awaited")
    )
)
_UPDATE = Prepared(lambda: Email.update(_values()).where(Email.id == param("id")).returning(Email.thread))
_MOST_REPLIES = 500  # emails that join a conversation at a time, as the write lock is held
_JOIN = Prepared(
    lambda: Email.update(thread=param("thread")).where(
        Email.id.in_(_replies_to(param("thread_of_own")).limit(_MOST_REPLIES))
    )
)
_INSERT_RECIPIENT = Prepared(
    lambda: Recipient.insert({name: param(name) for name in ("email", "role", "position", "text", "normalized", "at")})
)
_INSERT_LINK = Prepared(lambda: Link.insert({name: param(name) for name in ("email", "type", "record_id", "at")}))
_DELETE_RECIPIENTS = Prepared(lambda: Recipient.delete().where(Recipient.email == param("id")))
_DELETE_LINKS = Prepared(lambda: Link.delete().where(Link.email == param("id")))

_KNOWN = {
    "message": Prepared(lambda: Email.select(Email.message_key).where(is_any(Email.message_key, "keys"))),
    "thread": Prepared(
        lambda: Email.select(Email.thread_key).where(is_any(Email.thread, "threads"), is_any(Email.thread_key, "keys"))
    ),
    "copy": Prepared(lambda: Copy.select(Copy.copy_key).where(is_any(Copy.copy_key, "keys")).distinct()),
    "address": Prepared(
        lambda: Recipient.select(Recipient.normalized).where(is_any(Recipient.normalized, "keys")).distinct()
    ),
}

_NAMES = Prepared(
    lambda: (
        Recipient.select(Recipient.text, Recipient.role, Email.from_name)
        .join(Email)
        .where(Recipient.normalized == param("key"), Recipient.text.is_null(False))
        .order_by(Recipient.at.desc())
        .limit(param("limit"))
    )
)


def read(ids: Sequence[str]) -> list[Record]:
    """The emails with these ids, whole, in any order."""
    rows = [row for row in map(row_of, ids) if row is not None]
    return [record_of(WHOLE, row) for row in _READ(ids=rows)] if rows else []


def listed(places: Iterable[tuple[str, int]], limit: int) -> tuple[list[tuple[str, Record]], bool]:
    """The emails at these places (time, row), as lists show them, and whether there are more: `limit`, or fewer where
    they are large."""
    rows = ((at, *row) for at, row_id in places for row in _READ_LISTED(id=row_id))  # none that was deleted meanwhile
    return _page_of(LISTED, rows, limit)


def _page_of(fields: Mapping[str, Any], rows: Iterator[Row], limit: int) -> tuple[list[tuple[str, Record]], bool]:
    """The emails of rows with their place in time, as many as a page takes, and whether there are more."""
    found = [(at, record_of(fields, tuple(row))) for at, *row in islice(filling(rows), limit)]
    return found, next(rows, None) is not None


def version(email_id: str) -> str | None:
    """The updatedAt of an email, None where there is none: an email is unchanged as long as this is."""
    row_id = row_of(email_id)
    row = _VERSION.first(id=row_id) if row_id is not None else None
    return row[0] if row else None


def find(message_key: str | None, copy_key: str | None) -> list[Logged]:
    """The emails with this normalized rfc822MsgId, of which there is one at the most, and those of which a copy has
    this normalized msgId, the oldest first."""
    return _logged([row_id for (row_id,) in _FIND(message_key=message_key, copy_key=copy_key)])


def logged(email_id: str) -> Logged:
    """What is known of an email that is here by its copies."""
    [found] = _logged([int(email_id)])
    return found


def _logged(ids: list[int]) -> list[Logged]:
    rows = _LOGGED(ids=ids) if ids else []  # nearly always there is none
    return [
        Logged(str(row_id), key, [CopyKeys(row[2], row[3], loads(row[4])) for row in of_email if row[2] is not None])
        for (row_id, key), of_email in groupby(rows, lambda row: row[:2])
    ]


def known(kind: str, keys: Sequence[str]) -> set[str]:
    """Those of the keys that any email has: of the kind message, thread, copy or address."""
    return {key for (key,) in _KNOWN[kind](keys=list(keys), threads=list(map(_hash, keys)))}


def names(key: str, limit: int) -> list[str]:
    """What the newest emails of an address call it: `Jane Doe <jane@acme.example>`, or their fromName."""
    return [(role == "from" and name) or text for text, role, name in _NAMES(key=key, limit=limit)]


def prepare(old: Draft | None, new: Draft | None) -> None:
    """Do what takes time before the write lock is taken: of an email that is to be inserted, updated or deleted."""
    search.prepare(old, new)


def insert(new: Draft) -> str:
    """Store a new email; gives its id."""
    values = _columns(new)
    [(row_id, thread, is_awaited)] = _INSERT(**values)
    if is_awaited and thread != values["thread_of_own"]:
        _JOIN.run(thread=thread, thread_of_own=values["thread_of_own"])
    _insert_recipients(row_id, new)
    _insert_links(row_id, new)
    search.insert(row_id, new)
    return str(row_id)


def update(old: Draft, new: Draft) -> None:
    """Store an email in the place of an old one."""
    row_id = int(new.record["id"])
    values = _columns(new)
    [(thread,)] = _UPDATE(**{**values, "id": row_id})
    keys = [(one.thread_key, one.parent_key, one.message_key) for one in (old, new)]
    if keys[0] != keys[1] and thread != values["thread_of_own"]:
        _JOIN.run(thread=thread, thread_of_own=values["thread_of_own"])
    if (new.at, new.recipients) != (old.at, old.recipients):
        _DELETE_RECIPIENTS.run(id=row_id)
        _insert_recipients(row_id, new)
    if (new.at, new.links) != (old.at, old.links):
        _DELETE_LINKS.run(id=row_id)
        _insert_links(row_id, new)
    search.update(row_id, old, new)


def delete(old: Draft) -> None:
    """Remove an email and all that hangs on it."""
    row_id = int(old.record["id"])
    search.delete(row_id, old)
    _DELETE.run(id=row_id)


def catch_up(new: Draft) -> None:
    """Do what `insert` has put off, so that emails are logged quickly. Called outside a transaction, after the last of
    some was logged; where others write, the next one catches up."""
    indexing.catch_up(new)


def record_copy(email_id: str, keys: CopyKeys, copy: Record) -> None:
    """Keep a copy of an email (msgId, userId, loggedAt, differs), but for one with the digest of another."""
    _RECORD_COPY.run(
        email=int(email_id),
        digest=keys.digest,
        copy_key=keys.copy_key,
        contents=dumps(keys.contents),
        msg_id=copy["msgId"],
        user_id=copy["userId"],
        logged_at=copy["loggedAt"],
        differs=copy["differs"] and _json(copy["differs"]),
    )


def strip_copies(email_id: str) -> None:
    """Keep nothing of what the copies of an email say otherwise; their ids stay."""
    _STRIP_COPIES.run(id=int(email_id))


def page_of_copies(
    email_id: str, after: tuple[str, str] | None, limit: int
) -> tuple[list[tuple[tuple[str, str], Record]], bool]:
    """The copies of an email with their places, the oldest first, from behind a place, and whether there are more.

    There are `limit`, or fewer where they are large.
    """
    row_id, (at, digest) = int(email_id), after or ("", "")
    places = iter(_PLACES_OF_COPIES(id=row_id, at=at, digest=digest, limit=limit + 1))
    rows = ((*place, *row) for place in places for row in _READ_COPY(id=row_id, digest=place[1]))
    found = [
        ((at, digest), {"msgId": msg_id, "userId": user_id, "loggedAt": at, "differs": differs and loads(differs)})
        for at, digest, msg_id, user_id, differs in islice(filling(rows), limit)
    ]
    return found, next(places, None) is not None


def _columns(draft: Draft) -> dict[str, Any]:
    record = draft.record
    own = _hash(draft.message_key) if draft.message_key else token_hex(16)
    return {
        "parent_key": draft.parent_key,
        "thread_of_sync": draft.thread_key and _hash(draft.thread_key),
        "thread_of_parent": draft.parent_key and _hash(draft.parent_key),
        "thread_of_own": None if record["withheld"] else own,
        **{column.name: record[name] for name, column in WHOLE.items()},
        "at": draft.at,
        "message_key": draft.message_key,
        "thread_key": draft.thread_key,
        "has_attachments": draft.has_attachments,
        "snippet": draft.snippet,
        "related_to": _json(record["relatedTo"]),
        "attachments": _json(record["attachments"]),
        "removed": record["removed"] and _json(record["removed"]),
        "more_recipients": _json(draft.more_recipients),
    }


def _hash(key: str) -> str:
    """What stands for a thread's id or a Message-ID: it may be that of an email that was erased."""
    return blake2b(key.encode(), digest_size=16).hexdigest()


def _json(value: Any) -> str | None:
    return None if value == [] else dumps(value, ensure_ascii=False)


def _insert_recipients(row_id: int, draft: Draft) -> None:
    names = ("role", "position", "text", "normalized")
    more = {"email": row_id, "at": draft.at}
    _INSERT_RECIPIENT.many([dict(zip(names, recipient, strict=True), **more) for recipient in draft.recipients])


def _insert_links(row_id: int, draft: Draft) -> None:
    at = draft.at
    _INSERT_LINK.many([{"email": row_id, "type": kind, "record_id": one, "at": at} for kind, one in draft.links])


# ---- all of them ----------------------------------------------------------------------------------------------------


def _scan() -> Any:
    copies = json_list(Copy.select().where(Copy.email == Email.id, Copy.msg_id.is_null(False)), Copy.msg_id)
    query = select(WHOLE)
    return query.columns(copies, *query.selected_columns)


_SCAN = Prepared(lambda: _scan().where(Email.id > param("after")).order_by(Email.id).limit(param("limit")))
_SCAN_ONE = Prepared(lambda: _scan().where(Email.id == param("id")))


def scan(after: str, limit: int) -> Iterator[Record]:
    """Emails in the order of their ids, from behind one: whole, with the msgIds of their `copies`. Some of all there
    are: `limit`, or fewer where they are large."""
    with closing(_SCAN.each(after=int(after or 0), limit=limit)) as rows:
        yield from map(_scanned, filling(rows))


def _scanned(row: Row) -> Record:
    copies, *rest = row
    return {**record_of(WHOLE, tuple(rest)), "copies": loads(copies or "[]")}


def scan_one(email_id: str) -> Iterator[Record]:
    """The email with this id, as `scan` gives it."""
    return map(_scanned, _SCAN_ONE(id=int(email_id)))


_SCAN_COPIES = Prepared(
    lambda: (
        Copy.select(Copy.email, Copy.digest, Copy.msg_id, Copy.logged_at, Copy.differs)
        .where(Copy.differs.is_null(False), Tuple(Copy.email, Copy.digest) > Tuple(param("id"), param("digest")))
        .order_by(Copy.email, Copy.digest)
        .limit(param("limit"))
    )
)


def scan_copies(after: tuple[str, str], limit: int) -> Iterator[tuple[tuple[str, str], Record]]:
    """The copies of all emails that say something otherwise, with their places, from behind one: `limit`, or fewer
    where they are large. The id is the email's."""
    with closing(_SCAN_COPIES.each(id=int(after[0] or 0), digest=after[1], limit=limit)) as rows:
        for row_id, digest, msg_id, at, differs in filling(rows):
            copy = {"id": str(row_id), "msgId": msg_id, "loggedAt": at, "differs": loads(differs)}
            yield (str(row_id), digest), copy


def _older(linked: bool) -> Any:
    place = Tuple(Email.at, Email.id)
    found = Email.select(Email.at, Email.id).where(Email.at < param("than"), place > Tuple(param("at"), param("id")))
    found = found if linked else found.where(Email.related_to.is_null())
    return found.order_by(Email.at, Email.id).limit(param("limit"))


_OLDER = {False: Prepared(lambda: _older(linked=False)), True: Prepared(lambda: _older(linked=True))}


def older(than: str, after: tuple[str, str], limit: int, linked: bool) -> list[tuple[str, str]]:
    """Places (time, id) of the emails from before a time, the oldest first, from behind one; also of those that are
    withheld. Unless `linked`, without those that have a relatedTo."""
    rows = _OLDER[linked](than=than, at=after[0], id=int(after[1] or 0), limit=limit)
    return [(at, str(row_id)) for at, row_id in rows]


# ---- pages ----------------------------------------------------------------------------------------------------------


def page(
    conditions: Conditions, after: tuple[str, str] | None, limit: int, whole: bool
) -> tuple[list[tuple[str, Record]], bool]:
    """Emails with their place in time, newest first, from behind a place (time, id), and whether there are more.

    There are `limit`, or fewer where they are large. `whole`: with bodies and attachments; else with snippet and
    hasAttachments. The cost does not depend on how many emails there are, but for a search, and for conditions
    of which each is met by many emails, and both by few: raises TookTooLong for what takes longer than SEARCH_TIMEOUT.
    """
    given = {name: value for name, value in conditions._asdict().items() if value not in (None, ())}
    values: dict[str, Any] = {**given, "limit": limit + 1}
    # The place behind which the page begins and the time before which it lies are one bound: of two, an index can use
    # only one, and would walk through all that the other leaves out.
    bounds = [(after[0], row_of(after[1]) or 0)] if after else []
    if "received_before" in given:
        bounds.append((given["received_before"], 0))
    values["at"], values["id"] = min(bounds, default=END)
    keys = conditions.contact_keys
    if "thread_key" in given:
        values["thread"] = _hash(given["thread_key"])
    separate = len(keys) <= MOST_STREAMS
    values |= {f"key{n}": key for n, key in enumerate(keys)} if separate else {}
    values["contact_keys"] = list(keys)
    names = frozenset(given)

    def rows(driving: str | None, names: frozenset[str] = names) -> tuple[list[tuple[str, Record]], bool]:
        query = _page(names, driving, len(keys) if separate else None, whole)
        with closing(query.each(**values)) as found:
            return _page_of(WHOLE if whole else LISTED, found, limit)

    if "search" not in given:
        with _search() if tests_many(names) else nullcontext():
            return rows(driving_filter(names))
    with _search():
        values |= search.values(given["search"], indexing.waiting_words(SEARCH_TIMEOUT))
        if not search.is_common(given["search"], values):
            return rows(driving_filter(names))
        if names & DRIVING:
            return rows(driving_filter(names - {"search"}))
        # Of many, the page is mostly among the newest emails: before all are put in order, some of these are tested.
        for offset in _WINDOWS:
            oldest = _AT_OFFSET.first(at=values["at"], id=values["id"], offset=offset) or BEGIN
            values |= {"oldest_at": oldest[0], "oldest_id": oldest[1]}
            found, more = rows(None, names | {"window"})
            if more or oldest == BEGIN or oldest[0] < given.get("received_after", ""):
                return found, more
        return rows("search")


_WINDOWS = (1_000, 10_000)  # emails
_AT_OFFSET = Prepared(
    lambda: (
        Email.select(Email.at, Email.id)
        .where(Tuple(Email.at, Email.id) < Tuple(param("at"), param("id")))
        .order_by(Email.at.desc(), Email.id.desc())
        .limit(1)
        .offset(param("offset"))
    )
)


@contextmanager
def _search() -> Iterator[None]:
    """What may take long. Raises OperationalError, for a 503, where others search, and TookTooLong."""
    if not _SEARCHES.acquire(timeout=_LONGEST_WAIT):
        raise OperationalError("Too many searches at the same time")
    try:
        with time_limit(SEARCH_TIMEOUT):
            yield
    finally:
        _SEARCHES.release()


@cache
def _page(given: frozenset[str], driving: str | None, keys: int | None, whole: bool) -> Prepared:
    """The query of a page, for the conditions of these names."""

    def build() -> Any:
        place = places(given, driving, keys).alias("place")
        query = select(WHOLE if whole else LISTED)
        query = query.join(place, on=Email.id == place.c.id).order_by(place.c.at.desc(), place.c.id.desc())
        return query.columns(place.c.at, *query.selected_columns)

    return Prepared(build)
