"""Emails: rows in, rows out, and pages."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from functools import cache, reduce
from hashlib import blake2b
from itertools import groupby
from json import dumps, loads
from operator import or_
from secrets import token_hex
from threading import BoundedSemaphore
from time import monotonic
from typing import Any, NamedTuple

from peewee import JOIN, SQL, Join, OperationalError, Select, Tuple, fn

from database import TookTooLong, Unavailable, db, time_limit, writing
from database.query import Prepared, Row, is_any, json_list, on_sqlite, param
from models import Copy, Email, Link, Recipient
from store import search
from store.drafts import Conditions, CopyKeys, Draft, Logged
from store.words import joined

Record = dict[str, Any]

# Of a record, what every list shows; then what else the fields on the wire need. `htmlText` is not on the wire.
_HEAD = {
    "id": Email.id,
    "msgId": Email.msg_id,
    "syncThreadId": Email.sync_thread_id,
    "inReplyTo": Email.in_reply_to,
    "receivedAt": Email.received_at,
    "rfc822MsgId": Email.rfc822_msg_id,
    "subject": Email.subject,
    "fromName": Email.from_name,
    "relatedTo": Email.related_to,
    "createdAt": Email.created_at,
    "updatedAt": Email.updated_at,
}
_TEXTS = {"textBody": Email.text_body, "htmlText": Email.html_text}
_OWN = {"withheld": Email.withheld, "removed": Email.removed}  # not on the wire either
_WHOLE = {**_HEAD, **_TEXTS, "htmlBody": Email.html_body, "attachments": Email.attachments, **_OWN}
_LISTED = {**_HEAD, "snippet": Email.snippet, "hasAttachments": Email.has_attachments}
_LISTS = {"to": "toAddresses", "cc": "ccAddresses", "bcc": "bccAddresses"}

_LARGEST_PAGE = 8 * 1024 * 1024  # characters, after which a page ends early: a hundred large emails are gigabytes


SEARCH_TIMEOUT = 2  # seconds; what an index gives at once has none
_SEARCHES = BoundedSemaphore(2)  # in a process at the same time, so that threads are left for other calls
_LONGEST_WAIT = 0.2  # seconds: a usual search takes some milliseconds
_BOTH = {"address_key", "contact_id"}  # of two that write much, but not to each other, all emails are looked through


# ---- one by one -----------------------------------------------------------------------------------------------------


def _select(fields: Mapping[str, Any]) -> Any:
    recipients = Recipient.select().where(Recipient.email == Email.id).order_by(Recipient.role, Recipient.position)
    return Email.select(*fields.values(), Email.more_recipients, json_list(recipients, Recipient.role, Recipient.text))


def _record(fields: Mapping[str, Any], row: Row) -> Record:
    *values, more, recipients = row
    record = dict(zip(fields, values, strict=True))
    record["id"] = str(record["id"])
    for name in ("relatedTo", "attachments"):
        if name in record:
            record[name] = loads(record[name]) if record[name] else []
    if "hasAttachments" in record:
        record["hasAttachments"] = bool(record["hasAttachments"])
    if "removed" in record:
        record["removed"] = record["removed"] and loads(record["removed"])
    lists: dict[str, list[str]] = {"from": [], "to": [], "cc": [], "bcc": []}
    for role, text in loads(recipients or "[]") + loads(more or "[]"):
        if text is not None:  # a further address of an entry
            lists[role].append(text)
    record["fromAddress"] = lists["from"][0] if lists["from"] else None
    for role, name in _LISTS.items():
        record[name] = lists[role]
    return record


_READ = Prepared(lambda: _select(_WHOLE).where(is_any(Email.id, "ids")))
_READ_LISTED = Prepared(lambda: _select(_LISTED).where(Email.id == param("id")))
_VERSION = Prepared(lambda: Email.select(Email.updated_at).where(Email.id == param("id")))
_FIND = Prepared(
    lambda: (
        Email.select(Email.id)
        .where(Email.message_key == param("message_key"))
        .union_all(Copy.select(Copy.email).where(Copy.msg_key == param("copy_key")))
    )
)
_LOGGED = Prepared(
    lambda: (
        Email.select(Email.id, Email.message_key, Copy.digest, Copy.msg_key, Copy.contents)
        .join(Copy, JOIN.LEFT_OUTER, on=Copy.email == Email.id)
        .where(is_any(Email.id, "ids"))
        .order_by(Email.id, Copy.logged_at.asc(nulls="LAST"), Copy.digest)
    )
)
_COPY = ("email", "digest", "msg_key", "contents", "msg_id", "user_id", "logged_at", "differs")
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
    """An email's columns. It belongs to the conversation of its syncThreadId, else to that of the email that it
    answers; if that is not here, it waits for it under its Message-ID, as what it belongs to is unknown."""
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

_WAITING = Prepared(
    lambda: _select({**_HEAD, **_TEXTS}).where(Email.id > param("after")).order_by(Email.id).limit(param("limit"))
)
_VERSIONS = Prepared(lambda: Email.select(Email.id, Email.updated_at).where(Email.id > param("after")))
_CATCH_UP_TIMEOUT = 0.1  # seconds

_KNOWN = {
    "message": Prepared(lambda: Email.select(Email.message_key).where(is_any(Email.message_key, "keys"))),
    "thread": Prepared(
        lambda: Email.select(Email.thread_key).where(is_any(Email.thread, "threads"), is_any(Email.thread_key, "keys"))
    ),
    "copy": Prepared(lambda: Copy.select(Copy.msg_key).where(is_any(Copy.msg_key, "keys")).distinct()),
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
    return [_record(_WHOLE, row) for row in _READ(ids=rows)] if rows else []


def listed(places: Iterable[tuple[str, int]], limit: int) -> tuple[list[tuple[str, Record]], bool]:
    """The emails at these places (time, row), as lists show them, and whether there are more: `limit`, or fewer where
    they are large."""
    found: list[tuple[str, Record]] = []
    room = _LARGEST_PAGE
    for at, row_id in places:
        if room < 0 or len(found) == limit:
            return found, True
        for row in _READ_LISTED(id=row_id):  # none where it was deleted in this moment
            found.append((at, _record(_LISTED, row)))
            room -= sum(len(value) for value in row if isinstance(value, str))
    return found, False


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
    row_id, thread, is_awaited = _INSERT.first(**values) or (0, None, False)
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


def record_copy(email_id: str, keys: CopyKeys, copy: Record) -> None:
    """Keep a copy of an email (msgId, userId, loggedAt, differs), but for one with the digest of another."""
    _RECORD_COPY.run(
        email=int(email_id),
        digest=keys.digest,
        msg_key=keys.copy_key,
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
    places = _PLACES_OF_COPIES(id=row_id, at=at, digest=digest, limit=limit + 1)
    found: list[tuple[tuple[str, str], Record]] = []
    room = _LARGEST_PAGE
    for at, digest in places[:limit]:
        if room < 0:
            break
        for msg_id, user_id, differs in _READ_COPY(id=row_id, digest=digest):
            room -= len(differs or "")
            copy = {"msgId": msg_id, "userId": user_id, "loggedAt": at, "differs": differs and loads(differs)}
            found.append(((at, digest), copy))
    return found, len(found) < len(places)


def catch_up(new: Draft) -> None:
    """Do what `insert` has put off, so that emails are logged quickly. Called outside a transaction, after the last of
    some was logged; where others write, the next one catches up."""
    if not on_sqlite():
        return
    size = sum(len(text or "") for text in search.texts_of(new.record))
    last = int(new.record["id"])
    while size > search.LARGE or last - search.last_indexed() >= search.AT_A_TIME:
        size = 0
        if not _index(_waiting(search.AT_A_TIME)):
            return


def index_all() -> Iterator[str]:
    """Put all emails that wait into the search index (on PostgreSQL, where none waits: all), in the transaction at
    hand; gives the id of each."""
    after = search.last_indexed() if on_sqlite() else 0
    while found := [_record({**_HEAD, **_TEXTS}, row) for row in _WAITING(after=after, limit=search.AT_A_TIME)]:
        for record in found:
            after = int(record["id"])
            search.put_in(after, search.words(search.texts_of(record)))
            yield record["id"]


def _index(waiting: list[tuple[int, Record]]) -> bool:
    """Put emails into the search index; False where others are in the way."""
    words = [(row_id, record["updatedAt"], search.words(search.texts_of(record))) for row_id, record in waiting]
    try:
        with writing(_CATCH_UP_TIMEOUT):
            versions: dict[int, str] = dict(_VERSIONS(after=search.last_indexed()))
            for row_id, updated_at, texts in words:
                if row_id not in versions:  # removed, or indexed by another process
                    continue
                if versions[row_id] != updated_at:
                    return False  # this one and those behind it wait, as the index only grows at its end
                search.put_in(row_id, texts)
    except Unavailable:
        return False
    return bool(waiting)


def _waiting(limit: int) -> list[tuple[int, Record]]:
    """The first emails that are not indexed yet, with what is searched in them."""
    found = [_record({**_HEAD, **_TEXTS}, row) for row in _WAITING(after=search.last_indexed(), limit=limit)]
    return [(int(record["id"]), record) for record in found]


_words: dict[int, tuple[Any, str, list[str]]] = {}  # of emails that wait: the database, the version and the words


def _waiting_words() -> dict[int, list[str]]:
    """The words of the emails that are not indexed yet, by their rows. Each is read and split once in a process.

    Raises TookTooLong after SEARCH_TIMEOUT: where others have written for long, many wait. What was split is kept.
    """
    if not on_sqlite():
        return {}
    deadline = monotonic() + SEARCH_TIMEOUT
    versions = {row_id: (db.obj, updated_at) for row_id, updated_at in _VERSIONS(after=search.last_indexed())}
    kept = {row_id: words for row_id, (*version, words) in _words.copy().items() if versions.get(row_id) == (*version,)}
    if kept.keys() != versions.keys():
        for row_id in _words.keys() - kept.keys():
            _words.pop(row_id, None)
        for row_id in versions.keys() - kept.keys():
            for row in _WAITING(after=row_id - 1, limit=1):
                record = _record({**_HEAD, **_TEXTS}, row)
                if record["id"] == str(row_id):  # not where it was deleted in this moment
                    kept[row_id] = joined(search.texts_of(record))
                    _words[row_id] = db.obj, record["updatedAt"], kept[row_id]
            if monotonic() > deadline:
                raise TookTooLong
    return kept


def row_of(text: str) -> int | None:
    """The row of an email's id; None for what can't be one."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 and str(int(text)) == text else None


def _columns(draft: Draft) -> dict[str, Any]:
    record = draft.record
    own = _hash(draft.message_key) if draft.message_key else token_hex(16)
    return {
        "parent_key": draft.parent_key,
        "thread_of_sync": draft.thread_key and _hash(draft.thread_key),
        "thread_of_parent": draft.parent_key and _hash(draft.parent_key),
        "thread_of_own": None if record["withheld"] else own,
        **{column.name: record[name] for name, column in _WHOLE.items()},
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
    query = _select(_WHOLE)
    return query.columns(copies, *query.selected_columns)


_SCAN = Prepared(lambda: _scan().where(Email.id > param("after")).order_by(Email.id).limit(param("limit")))
_SCAN_ONE = Prepared(lambda: _scan().where(Email.id == param("id")))


def scan(after: str, limit: int) -> Iterator[Record]:
    """Emails in the order of their ids, from behind one: whole, with the msgIds of their `copies`. Some of all there
    are: `limit`, or fewer where they are large."""
    room = _LARGEST_PAGE
    with closing(_SCAN.each(after=int(after or 0), limit=limit)) as rows:
        for copies, *row in rows:
            yield {**_record(_WHOLE, tuple(row)), "copies": loads(copies or "[]")}
            room -= sum(len(value) for value in row if isinstance(value, str))
            if room < 0:
                return


def scan_one(email_id: str) -> Iterator[Record]:
    """The email with this id, as `scan` gives it."""
    for copies, *row in _SCAN_ONE(id=int(email_id)):
        yield {**_record(_WHOLE, tuple(row)), "copies": loads(copies or "[]")}


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
    room = _LARGEST_PAGE
    with closing(_SCAN_COPIES.each(id=int(after[0] or 0), digest=after[1], limit=limit)) as rows:
        for row_id, digest, msg_id, at, differs in rows:
            copy = {"id": str(row_id), "msgId": msg_id, "loggedAt": at, "differs": loads(differs)}
            yield (str(row_id), digest), copy
            room -= len(differs)
            if room < 0:
                return


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
    hasAttachments. The cost does not depend on how many emails there are, but for a search, and for an address
    with a contact: raises TookTooLong for one that takes longer than SEARCH_TIMEOUT.
    """
    given = {name: value for name, value in conditions._asdict().items() if value not in (None, ())}
    values: dict[str, Any] = {**given, "limit": limit + 1}
    # The place behind which the page begins and the time before which it lies are one bound: of two, an index can use
    # only one, and would walk through all that the other leaves out.
    bounds = [(after[0], row_of(after[1]) or 0)] if after else []
    if "received_before" in given:
        bounds.append((given["received_before"], 0))
    if bounds:
        values["at"], values["id"] = min(bounds)
    keys = conditions.contact_keys
    if "thread_key" in given:
        values["thread"] = _hash(given["thread_key"])
    separate = len(keys) <= _MOST_STREAMS
    values |= {f"key{n}": key for n, key in enumerate(keys)} if separate else {}
    values["contact_keys"] = list(keys)
    limited = _search() if "search" in given or given.keys() >= _BOTH else nullcontext()
    query = _page(frozenset(given), len(keys) if separate else None, bool(bounds), whole)
    fields = _WHOLE if whole else _LISTED
    found: list[tuple[str, Record]] = []
    room = _LARGEST_PAGE
    with limited:
        if "search" in given:
            values |= search.values(given["search"], _waiting_words())
        with closing(query.each(**values)) as rows:
            for at, *row in rows:
                if room < 0 or len(found) == limit:
                    return found, True
                found.append((at, _record(fields, tuple(row))))
                room -= sum(len(value) for value in row if isinstance(value, str))
    return found, False


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


_FIRST = JOIN.CROSS  # to SQLite it says: begin with the table on the left (https://sqlite.org/optoverview.html, 8.2)
_E = Email.alias("e")  # within a stream; outside is the email as it is returned
_MOST_STREAMS = 50  # of a contact's addresses; SQLite merges 500 at most, and nobody has as many


class _Stream(NamedTuple):
    """Emails in the order of time, as an index gives them."""

    at: Any
    id: Any
    query: Any  # selects nothing yet
    knows_email: bool = False  # whether Email is among its tables


@cache
def _page(given: frozenset[str], keys: int | None, bounded: bool, whole: bool) -> Prepared:
    """The query of a page, for the conditions of these names. It merges streams, and takes each email once."""
    driving = next((name for name in ("search", "address_key", "contact_id") if name in given), None)
    if given & {"message_key", "thread_key", "copy_key"}:  # these find but few emails, which the others then test
        driving = None

    def build() -> Any:
        parts = [_part(stream, given - {driving}, bounded) for stream in _streams(driving, keys)]
        union = reduce(or_, [Select((part.alias("found"),), (SQL('"at"'), SQL('"id"'))) for part in parts])
        place = union.order_by(SQL("1").desc(), SQL("2").desc()).limit(param("limit")).alias("place")
        query = _select(_WHOLE if whole else _LISTED)
        query = query.join(place, on=Email.id == place.c.id).order_by(place.c.at.desc(), place.c.id.desc())
        return query.columns(place.c.at, *query.selected_columns)

    return Prepared(build)


def _streams(driving: str | None, keys: int | None) -> Iterator[_Stream]:
    """What to walk through: one stream for each address, as each has its own order of time."""
    if driving is None:
        yield _Stream(_E.at, _E.id, _E.select(), knows_email=True)
    elif driving == "search":
        found = search.found().alias("match")
        query = Select((Join(found, _E, _FIRST),)).where(_E.id == found.c.id)
        yield _Stream(_E.at, _E.id, query, knows_email=True)
    elif driving == "address_key":
        yield _recipients(Recipient.normalized == param("address_key"))
    else:
        yield _Stream(Link.at, Link.email, Link.select().where(*_is_linked()))
        if keys is None:
            yield _recipients(is_any(Recipient.normalized, "contact_keys"))
        for n in range(keys or 0):
            yield _recipients(Recipient.normalized == param(f"key{n}"))


def _recipients(condition: Any) -> _Stream:
    return _Stream(Recipient.at, Recipient.email, Recipient.select().where(condition))


def _is_linked() -> tuple[Any, Any]:
    return Link.type == "contact", Link.record_id == param("contact_id")


def _part(stream: _Stream, given: frozenset[str | None], bounded: bool) -> Any:
    """The newest emails of a stream that meet the conditions."""
    conditions = list(_conditions(stream, given))
    query = stream.query
    if conditions and not stream.knows_email:
        query = query.join(_E, _FIRST).where(_E.id == stream.id)
    if bounded:
        conditions.append(Tuple(stream.at, stream.id) < Tuple(param("at"), param("id")))
    query = query.columns(stream.at.alias("at"), stream.id.alias("id")).distinct()
    if conditions:
        query = query.where(*conditions)
    return query.order_by(stream.at.desc(), stream.id.desc()).limit(param("limit"))


def _conditions(stream: _Stream, given: frozenset[str | None]) -> Iterator[Any]:
    """What each email of a stream has to meet. Who asks by an id finds what is withheld as well."""
    if stream.knows_email and not given & {"message_key", "copy_key"}:  # it has neither addresses nor links
        yield _E.withheld.is_null()
    if "message_key" in given:
        yield _E.message_key == param("message_key")
    if "thread_key" in given:
        yield _E.thread == param("thread")  # by its index
        yield _E.thread_key == param("thread_key")
    if "copy_key" in given:
        yield _E.id.in_(Copy.select(Copy.email).where(Copy.msg_key == param("copy_key")))
    if "received_after" in given:
        yield stream.at >= param("received_after")
    if given & {"received_after", "received_before"}:
        yield _E.received_at.is_null(False)
    own = Recipient.alias("own")
    recipients = own.select(SQL("1")).where(own.email == _E.id)
    key = own.normalized.concat("")  # so that the recipients of the email are tested, not all emails of the address
    if "address_key" in given:
        yield fn.EXISTS(recipients.where(key == param("address_key")))
    if "contact_id" in given:
        links = Link.select(SQL("1")).where(Link.email == _E.id, *_is_linked())
        yield fn.EXISTS(recipients.where(is_any(key, "contact_keys"))) | fn.EXISTS(links)
    if "search" in given:
        found = search.found().alias("match")
        yield _E.id.in_(Select((found,), (found.c.id,)))
