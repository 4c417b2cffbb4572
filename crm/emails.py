"""Emails: what makes two of them one, what a copy adds, and how they are found."""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from json import dumps
from time import monotonic
from typing import Any, NamedTuple

from clock import now
from crm.changes import calling_user, change_time, record_change
from crm.identity import (
    COMPARED,
    Contents,
    as_logged,
    contents_of,
    digest_of,
    has_another_sender,
    hash_with,
    identify,
    is_same,
)
from crm.matching import candidate_keys, domains_of, normalize_address, normalize_addresses, normalize_message_id
from crm.merging import LISTS, NO_EMAIL, Hash, entries, merged, relation, removed_by
from crm.never_log import rules_met
from crm.preview import SNIPPET_LENGTH, find_file, has_files, lines_of, snippet, text_of
from crm.quoting import new_text
from crm.records import Conflict, Cursor, Invalid, NotFound, Page, Record, Versions, check_version
from crm.seam import attempts, let_others_write, optional, store
from store.drafts import MOST_RECIPIENTS, Conditions, CopyKeys, Draft, Logged
from store.words import read_search

log = logging.getLogger(__name__)


def log_email(email: Mapping[str, Any]) -> tuple[Record, bool]:
    """Log an email; gives the record and whether it is new.

    An email is its rfc822MsgId. A msgId says which it is only where one of the two has no rfc822MsgId, and nothing
    contradicts (`identity`); without either, it is new. A copy of an email that is here adds what the record lacks;
    what it says otherwise is kept with the copy (`merging`), and by its msgId the record can be found from then on. Of
    what was deleted, so that it stays away, or meets a rule of never log, there is a record with its ids and time, and
    nothing else. Where only a rule was the reason, and none is any more, the next copy fills it.
    """
    return log_emails([email])[0]


def log_emails(emails: Sequence[Mapping[str, Any]]) -> list[tuple[Record, bool]]:
    """Log several emails, the new ones in one transaction. Everything that takes time is done before it."""
    hashed, user_id = _hash(), calling_user.get()
    copies = [_Copy.of(email, user_id, hashed) for email in emails]
    known = [copy.find() for copy in copies]
    drafts = {n: derive(copy.record) for n, copy in enumerate(copies) if known[n] is None}
    rules = rules_met([draft.recipients for draft in drafts.values()]) if drafts else []
    drafts = {n: _bare(drafts[n], _BY_RULE) if rule else drafts[n] for n, rule in zip(drafts, rules, strict=True)}
    for draft in drafts.values():
        optional(store.emails, "prepare")(None, draft)
    logged: dict[int, Record] = {}
    if drafts:
        with store.transaction():
            for n, draft in drafts.items():
                if copies[n].find() is None:  # none came meanwhile, nor in this batch
                    if withheld := copies[n].find_withheld(hashed):
                        copies[n], drafts[n] = copies[n].like(withheld), _bare(draft, _DELETED)
                    logged[n] = _insert(drafts[n], copies[n])
    for n in logged:
        optional(store.emails, "catch_up")(drafts[n])
    return [(logged[n], True) if n in logged else _log_copy(copy, known[n], hashed) for n, copy in enumerate(copies)]


class _Copy(NamedTuple):
    """An email as it was sent, and what it is known by."""

    record: Record
    message_key: str | None
    user_id: str | None
    keys: CopyKeys

    @classmethod
    def of(cls, email: Mapping[str, Any], user_id: str | None, hashed: Hash) -> "_Copy":
        record = {**_NEW, **email}
        contents = contents_of(record, hashed)
        message_key, copy_key = _keys(record)
        return cls(
            record, message_key, user_id, CopyKeys(digest_of(record, contents, user_id, hashed), copy_key, contents)
        )

    def find(self) -> Logged | None:
        """The email of which this is a copy."""
        if not (self.message_key or self.keys.copy_key):
            return None
        known = store.emails.find(self.message_key, self.keys.copy_key)
        return identify(known, self.message_key, self.keys.contents)

    def find_withheld(self, hashed: Hash) -> Logged | None:
        """What was deleted before, and is to stay away, if this is a copy of it."""
        if not (self.message_key or self.keys.copy_key):
            return None
        message_key, copy_key = _hashed_keys(self.message_key, self.keys.copy_key, hashed)
        return identify(store.withheld.find(message_key, copy_key), message_key, self.keys.contents)

    def like(self, withheld: Logged) -> "_Copy":
        """This copy with the hashes of the deleted email too: another email with its msgId is not taken for it."""
        contents = [old or new for old, new in zip(as_logged(withheld), self.keys.contents, strict=True)]
        return self._replace(keys=self.keys._replace(contents=contents))

    def record_for(self, email_id: str, differs: Record) -> None:
        """Keep the copy with the email."""
        store.emails.record_copy(
            email_id,
            self.keys,
            {
                "msgId": self.record["msgId"],
                "userId": self.user_id,
                "loggedAt": now(),
                "differs": differs or None,
            },
        )


DOMAIN = "Domain"  # the type of a link to a domain of sender or recipients; those of relatedTo are in lower case
_NEW: Record = {"id": None, **NO_EMAIL, "withheld": None, "removed": None}
_DELETED, _BY_RULE = "deleted", "rule"  # why an email is withheld
_AT_A_TIME, _MOST_AT_A_TIME = 32, 2**20  # emails and characters that are read for one transaction …
_HELD = 0.02  # … and seconds for which one writes
_MOST_CHARACTERS = 1_000_000  # of recipients, of which addresses are read
_BEGINNING = 2_000  # characters, in which the words of a snippet are sought
_KEPT = ("msgId", "rfc822MsgId", "receivedAt")  # of an email that is withheld


def _log_copy(copy: _Copy, known: Logged | None, hashed: Hash) -> tuple[Record, bool]:
    """Log an email that is here already, or was until now."""
    for attempt in attempts():
        with attempt:
            known = known or copy.find()
            if known is None:  # it was deleted in this moment
                return log_email(copy.record)
            one, known = known, None  # another try looks anew
            found = store.emails.read([one.email_id])
            if not found or _keys(found[0])[0] != one.message_key:  # it has another Message-ID since this moment
                continue
            [old] = found
            is_filled = old["withheld"] == _BY_RULE and _may_fill(copy, one, hashed)
            if not is_filled and any(keys.digest == copy.keys.digest for keys in one.copies):
                with store.transaction():  # the commit that made what was found may not be on the disk yet
                    return old, False
            new, differs = _merged({**old, "withheld": None} if is_filled else old, copy, as_logged(one), hashed)
            before, after = (None, None) if _same(old, new) else (derive(old), derive(new, old))
            is_kept = not new["withheld"] and not is_filled and bool(after or differs)  # more of the copy than its ids
            if is_kept and rules_met([after.recipients if after else recipients_of(old)])[0]:
                if before and after and after.recipients != before.recipients:
                    after = _bare(after, _BY_RULE)
                else:  # the email was here before the rule
                    new = merged(old, _only_ids(copy.record), hashed)[0]
                    before, after = (None, None) if _same(old, new) else (derive(old), derive(new, old))
                differs = {}
            if before and after:
                optional(store.emails, "prepare")(before, after)
            with store.transaction():
                if store.emails.version(old["id"]) != old["updatedAt"]:
                    continue
                if before and after:
                    if after.message_key != before.message_key and store.emails.find(after.message_key, None):
                        continue  # the email with this Message-ID came in this moment
                    _update(before, after)
                copy.record_for(old["id"], differs)
            if after:
                optional(store.emails, "catch_up")(after)
            if said := [name for name in COMPARED if name in differs]:
                log.warning("email %s: the %s of a copy differs; the first stays", old["id"], ", ".join(said))
            return (after.record if after else old), False
    raise AssertionError


def _may_fill(copy: _Copy, known: Logged, hashed: Hash) -> bool:
    """Whether a copy of an email that a rule withheld is logged whole, as neither a rule nor a deletion withholds it
    now."""
    is_stranger = has_another_sender(copy.keys.contents, as_logged(known))
    return not (is_stranger or rules_met([recipients_of(copy.record)])[0] or copy.find_withheld(hashed))


def _merged(old: Record, copy: _Copy, logged: Contents, hashed: Hash) -> tuple[Record, Record]:
    """What becomes of a record by a copy, and what the copy says otherwise."""
    if old["withheld"]:
        return merged(old, _only_ids(copy.record), hashed)[0], {}
    contents = copy.keys.contents
    is_stranger = has_another_sender(contents, logged) and has_another_sender(
        contents,
        logged,
        contents_of(old, hashed),  # people may have corrected it
    )
    return merged(old, copy.record, hashed, is_stranger)


def list_copies(email_id: str, after: Cursor | None = None, limit: int = 25) -> Page:
    """A page of the copies of an email, the oldest first: msgId, userId (whose token; None for a command), loggedAt,
    differs (the fields in which the record, as it was then, was another; None for none). Raises NotFound."""
    if store.emails.version(email_id) is None:
        raise NotFound
    found, more = store.emails.page_of_copies(email_id, after, limit)
    return Page([copy for _, copy in found], found[-1][0] if more else None)


def get_email(email_id: str, body: str | None = None) -> Record:
    """The email with this id; with `body` "new", its textBody is what it adds. Raises NotFound and Invalid."""
    if body not in (None, "new"):
        raise Invalid(body="Not new.")
    for email in store.emails.read([email_id]):
        return {**email, "textBody": new_text(_text(email))} if body == "new" else email
    raise NotFound


def get_attachment(email_id: str, attachment_id: str) -> Record:
    """A file of an email: name, mimeType and content, decoded to bytes.

    Raises NotFound, also where only the file's description was logged, or a content that is no base64.
    """
    file = find_file(get_email(email_id)["attachments"], attachment_id)
    if file is None:
        raise NotFound
    return file


def change_email(email_id: str, changes: Mapping[str, Any], versions: Versions = None) -> Record:
    """Give the named fields of an email new values. Raises NotFound, Changed, and Conflict for another's rfc822MsgId.

    Nothing is written where nothing changes. Of an email that is withheld, only ids and time change; and one whose
    sender or recipients change so that it meets a rule of never log is withheld from then on.
    """
    hashed = _hash()
    for attempt in attempts():
        with attempt:
            old = get_email(email_id)
            check_version(old, versions)  # under the write lock it is still the same, or all is tried again
            named = {name: value for name, value in changes.items() if name in _KEPT or not old["withheld"]}
            new = {**old, **named}
            if _same(old, new):
                with store.transaction():  # the commit that made what was found may not be on the disk yet
                    return old
            new["removed"] = removed_by(old, new, hashed)
            before, after = derive(old), derive(new, old)
            if after.recipients != before.recipients and rules_met([after.recipients])[0]:
                after = _bare(after, _BY_RULE)
            optional(store.emails, "prepare")(before, after)
            with store.transaction():
                if store.emails.version(email_id) != old["updatedAt"]:
                    continue
                if after.message_key not in (None, before.message_key) and store.emails.find(after.message_key, None):
                    raise Conflict("Another email has this rfc822MsgId.")
                if after.copy_key not in (None, before.copy_key):
                    keys = CopyKeys(hashed("msgId", after.copy_key), after.copy_key, [])
                    store.emails.record_copy(email_id, keys, dict.fromkeys(("msgId", "userId", "loggedAt", "differs")))
                _update(before, after)
            optional(store.emails, "catch_up")(after)
            return after.record
    raise AssertionError


def delete_email(
    email_id: str,
    unchanged_since: str | None = None,
    remember: bool = True,
    reason: str = "deleted",
    versions: Versions = None,
) -> bool:
    """Remove an email and all that was derived from it; False where it has another updatedAt than is given.

    To `remember` it means that its copies stay away: hashes of its ids and contents are kept, with the `reason`. If
    not, nothing is kept, nor what was kept of it before. Raises NotFound and Changed.
    """
    hashed = _hash()
    for attempt in attempts():
        with attempt:
            old = derive(get_email(email_id))
            check_version(old.record, versions)
            if unchanged_since not in (None, old.record["updatedAt"]):
                return False
            optional(store.emails, "prepare")(old, None)
            with store.transaction():
                if _delete(old, reason if remember else None, hashed):
                    return True
    raise AssertionError


def _delete(old: Draft, reason: str | None, hashed: Hash) -> bool:
    """Remove an email, unless it has changed; with a reason its copies stay away."""
    email_id = old.record["id"]
    if store.emails.version(email_id) != old.record["updatedAt"]:
        return False
    logged = store.emails.logged(email_id)
    _forget(logged, hashed)
    if reason:
        _withhold(logged, reason, hashed)
    store.emails.delete(old)
    record_change("email", email_id, "deleted")
    return True


# ---- some at a time -------------------------------------------------------------------------------------------------


def delete_emails(emails: Iterable[Record], reason: str) -> Iterator[str]:
    """Remove emails, so that their copies stay away, but for those that have changed since; gives the ids."""
    hashed = _hash()
    pairs = ((old, None) for old in map(derive, emails))
    return _write_some(pairs, lambda old, _: _delete(old, reason, hashed))


def withhold_emails(emails: Iterable[Record]) -> Iterator[str]:
    """Keep the ids and times of emails alone, as a rule says, but for those that have changed since; gives the ids."""
    return _write_some(((old, _bare(old, _BY_RULE)) for old in map(derive, emails)), _strip)


def _strip(old: Draft, bare: Draft) -> bool:
    if store.emails.version(old.record["id"]) != old.record["updatedAt"]:
        return False
    _update(old, bare)
    return True


def _write_some(pairs: Iterable[tuple[Draft, Any]], write: Callable[[Draft, Any], bool]) -> Iterator[str]:
    """Write old emails and what becomes of them, in transactions of _HELD seconds; gives the ids of those written."""
    waiting: deque[tuple[Draft, Any]] = deque()
    size = 0

    def flush() -> Iterator[str]:
        while waiting:
            with store.transaction():
                end = monotonic() + _HELD
                done: list[str] = []
                while waiting and (not done or monotonic() < end):
                    old, new = waiting.popleft()
                    done.append(old.record["id"] if write(old, new) else "")
            yield from filter(None, done)
            let_others_write()

    for old, new in pairs:
        optional(store.emails, "prepare")(old, new)
        waiting.append((old, new))
        size += sum(len(old.record[name] or "") for name in ("textBody", "htmlBody"))
        size += sum(len(str(file.get("content") or "")) for file in old.record["attachments"])
        if len(waiting) == _AT_A_TIME or size > _MOST_AT_A_TIME:
            yield from flush()
            size = 0
    yield from flush()


# ---- what stays away ------------------------------------------------------------------------------------------------


def list_withheld(after: int = 0, limit: int = 100) -> list[Record]:
    """Emails that were deleted and stay away, in the order in which they were, from behind a number: seq, id (that the
    record had), reason (deleted, erased, retention), at."""
    return store.withheld.page(after, limit)


def forget_withheld(email_id: str | None = None, message_id: str | None = None) -> list[str]:
    """Let an email that was deleted be logged anew, by the id that it had or by its rfc822MsgId; gives the ids."""
    ids = [email_id] if email_id is not None else []
    with store.transaction():
        if key := normalize_message_id(message_id):
            ids += [one.email_id for one in store.withheld.find(_hash()("rfc822MsgId", key), None)]
        return [one for one in dict.fromkeys(ids) if store.withheld.delete(one)]


def _withhold(logged: Logged, reason: str, hashed: Hash) -> None:
    contents, at = as_logged(logged), now()
    for message_key, copy_key in _all_hashed_keys(logged, hashed):
        store.withheld.insert(logged.email_id, message_key, copy_key, contents, reason, at)


def _forget(logged: Logged, hashed: Hash) -> None:
    """Drop what was kept of an email before."""
    contents = as_logged(logged)
    for message_key, copy_key in _all_hashed_keys(logged, hashed):
        for one in store.withheld.find(message_key, copy_key):
            if (message_key and one.message_key == message_key) or is_same(one, message_key, contents):
                store.withheld.delete(one.email_id)


def _all_hashed_keys(logged: Logged, hashed: Hash) -> list[tuple[str | None, str | None]]:
    """The keys of each copy of an email as hashes; of one without any there is nothing by which it could be known."""
    copy_keys = dict.fromkeys(copy.copy_key for copy in logged.copies if copy.copy_key)
    keys = copy_keys or ([None] if logged.message_key else [])
    return [_hashed_keys(logged.message_key, copy_key, hashed) for copy_key in keys]


def _hashed_keys(message_key: str | None, copy_key: str | None, hashed: Hash) -> tuple[str | None, str | None]:
    return message_key and hashed("rfc822MsgId", message_key), copy_key and hashed("msgId", copy_key)


def _hash() -> Hash:
    return hash_with(store.withheld.key())


def _only_ids(email: Record) -> Record:
    return {**_NEW, **{name: email[name] for name in _KEPT}}


def _bare(draft: Draft, why: str) -> Draft:
    """Of an email that is withheld: its ids and time, and nothing else."""
    record = {**draft.record, **_only_ids(draft.record), "htmlText": None, "withheld": why}
    record |= {name: draft.record[name] for name in ("id", "createdAt", "updatedAt") if name in draft.record}
    bare = Draft(record, draft.message_key, draft.copy_key, None, None, [], [], [], "", False)
    optional(store.emails, "prepare")(None, bare)
    return bare


# ---- writing --------------------------------------------------------------------------------------------------------


def _keys(email: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """An email's rfc822MsgId and msgId, normalized."""
    return normalize_message_id(email["rfc822MsgId"]), normalize_message_id(email["msgId"])


def _insert(draft: Draft, copy: _Copy) -> Record:
    record = draft.record
    record["createdAt"] = record["updatedAt"] = change_time()
    record["id"] = store.emails.insert(draft)
    copy.record_for(record["id"], {})
    record_change("email", record["id"], "created", record["createdAt"])
    return record


def _update(before: Draft, after: Draft) -> None:
    after.record["updatedAt"] = change_time()  # it is the version that other writers compare
    store.emails.update(before, after)
    if after.record["withheld"] and not before.record["withheld"]:
        store.emails.strip_copies(after.record["id"])
    record_change("email", after.record["id"], "changed", after.record["updatedAt"])


def _same(old: Record, new: Record) -> bool:
    return new == old and dumps(new, sort_keys=True) == dumps(old, sort_keys=True)  # to Python, true is 1


def derive(record: Record, old: Record | None = None) -> Draft:
    """An email with all that follows from its fields; of an `old` one, what has not changed is not parsed again."""
    html = record["htmlBody"]
    if "htmlText" not in record or (old is not None and html != old["htmlBody"]):
        record = {**record, "htmlText": text_of(html) if html else None}
    else:
        record = dict(record)
    people = people_of(record)
    message_key, copy_key = _keys(record)
    recipients = _recipients(people)
    domains = [(DOMAIN, one) for one in domains_of(key for *_, key in recipients if key)[:MOST_RECIPIENTS]]
    return Draft(
        record=record,
        message_key=message_key,
        copy_key=copy_key,
        thread_key=normalize_message_id(record["syncThreadId"]),
        parent_key=normalize_message_id(record["inReplyTo"]),
        recipients=recipients,
        more_recipients=[(role, text) for role, _, text in people[MOST_RECIPIENTS:]],
        links=[*dict.fromkeys(filter(None, map(relation, entries(record["relatedTo"])))), *domains],
        snippet=snippet(new_text(_text(record, _BEGINNING), 2 * SNIPPET_LENGTH)),
        has_attachments=has_files(record["attachments"]),
    )


def recipients_of(email: Mapping[str, Any]) -> list[tuple[str, int, str | None, str | None]]:
    """Sender and recipients of an email, as a Draft has them."""
    return _recipients(people_of(email))


def _text(record: Mapping[str, Any], most: int | None = None) -> str:
    """The text of an email, or of its HTML; at least as many characters from its beginning as `most` says."""
    text, html = record["textBody"], record["htmlBody"] or ""
    if text:
        return str(text) if most is None else text.lstrip()[:most]
    return lines_of(html) if most is None else lines_of(html, most)


def people_of(record: Mapping[str, Any]) -> list[tuple[str, int, str]]:
    """Sender and recipients of an email: role, position and text."""
    sender = [] if record["fromAddress"] is None else [record["fromAddress"]]
    lists = {"from": sender, **{role: record[name] for role, name in LISTS.items()}}
    return [(role, place, text) for role, texts in lists.items() for place, text in enumerate(texts)]


def _recipients(people: Sequence[tuple[str, int, str]]) -> list[tuple[str, int, str | None, str | None]]:
    """The rows of sender and recipients, as models.py has them; bounded, whatever one email has in its lists."""
    behind = {role: place + 1 for role, place, _ in people}  # where the further addresses of a role begin
    rows: list[tuple[str, int, str | None, str | None]] = []
    further: list[tuple[str, str]] = []
    characters = _MOST_CHARACTERS
    for role, place, text in people[:MOST_RECIPIENTS]:
        characters -= len(text)
        key, *more = (normalize_addresses(text) if characters >= 0 else ()) or (None,)
        rows.append((role, place, text, key))
        further += [(role, one) for one in more if one]
    for role, key in further[: MOST_RECIPIENTS - len(rows)]:
        rows.append((role, behind[role], None, key))
        behind[role] += 1
    return rows


# ---- finding --------------------------------------------------------------------------------------------------------


def find_emails(filters: Mapping[str, str], after: Cursor | None = None, limit: int = 25, whole: bool = True) -> Page:
    """A page of the emails that pass every filter, newest first (by receivedAt, else by createdAt).

    Those that are not `whole` have no bodies and files, but a snippet and hasAttachments.

    Filters: rfc822MsgId, msgId, syncThreadId, address, contactId, receivedAfter (at or after), receivedBefore, and q,
    words and "phrases" to be found in subject, bodies, names and addresses. One with an empty value matches nothing.
    Raises Invalid for a q that can't be searched for.
    """
    try:
        conditions = _conditions(filters)
    except _NoMatch:
        return Page([], None)
    return page_where(conditions, after, limit, whole)


def page_where(conditions: Conditions, after: Cursor | None, limit: int, whole: bool) -> Page:
    """A page of the emails that meet conditions."""
    return page_of(*store.emails.page(conditions, after, limit, whole))


def participants(email: Record) -> list[Record]:
    """Sender and recipients of an email, each address once: role, text (as written), address (normalized), the contacts
    who have it, and the users. What is no address, and what is behind the first 200, has none of these."""
    keys: dict[str, None] = {}
    people: list[Record] = []
    for role, _, text in people_of(email):
        address = normalize_address(text) if len(people) < 200 else None
        if address is None or address not in keys:
            people.append({"role": role, "text": text, "address": address})
        if address is not None:
            keys[address] = None
    for kind, find in (("contacts", store.contacts.find), ("users", store.users.find)):
        found = find(list(keys)) if keys else []
        for person in people:
            person[kind] = [record for key, record in found if key == person["address"]]
    return people


def page_of(found: Sequence[tuple[str, Record]], more: bool) -> Page:
    """A page of emails that a store gives with their places in time."""
    return Page([record for _, record in found], (found[-1][0], found[-1][1]["id"]) if more else None)


class _NoMatch(Exception):
    """No email can pass these filters."""


def _conditions(filters: Mapping[str, str]) -> Conditions:
    """What the filters ask for. Raises Invalid and _NoMatch."""
    if not all(filters.values()):
        raise _NoMatch
    asked: dict[str, Any] = {}
    for name, (condition, kind, normalize) in _KEYS.items():
        if name in filters:
            asked[condition] = _known_key(filters[name], kind, normalize)
    for name, condition in (("receivedAfter", "received_after"), ("receivedBefore", "received_before")):
        if name in filters:
            asked[condition] = filters[name]
    if "contactId" in filters:
        contacts = store.contacts.read([filters["contactId"]])  # none: a link may name a contact that is not here
        asked["contact_id"] = filters["contactId"]
        asked["contact_keys"] = keys_of(contacts[0]) if contacts else ()
    if "q" in filters:
        try:
            asked["search"] = read_search(filters["q"])
        except ValueError as error:
            raise Invalid(q=str(error)) from None
    return Conditions(**asked)


_KEYS: dict[str, tuple[str, str, Callable[[str], str | None]]] = {
    "rfc822MsgId": ("message_key", "message", normalize_message_id),
    "syncThreadId": ("thread_key", "thread", normalize_message_id),
    "msgId": ("copy_key", "copy", normalize_message_id),
    "address": ("address_key", "address", normalize_address),
}


def _known_key(value: str, kind: str, normalize: Callable[[str], str | None]) -> str:
    """The key that a filter's value means: the first of its candidate_keys that an email has, else as it came."""
    keys = candidate_keys(value, normalize)
    if not keys:
        raise _NoMatch
    if len(keys) > 1:  # only a value with spaces in it costs a question
        known = store.emails.known(kind, keys)
        return next((key for key in keys if key in known), keys[0])
    return keys[0]


def keys_of(contact: Record) -> tuple[str, ...]:
    """The normalized addresses of a contact, each once."""
    return tuple(dict.fromkeys(filter(None, map(normalize_address, contact["emailAddresses"]))))
