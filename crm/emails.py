"""Emails: logged, changed and deleted. What makes two of them one, and what a copy adds, is decided here."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from json import dumps
from typing import Any, NamedTuple

from clock import now
from crm.changes import calling_user, change_time, record_change
from crm.drafts import KEPT, NEW, bare, body_text, derive, message_keys, only_ids, recipients_of
from crm.identity import COMPARED, Contents, as_logged, contents_of, digest_of, has_another_sender, identify
from crm.merging import Hash, merged, removed_by
from crm.never_log import rules_met
from crm.preview import find_file
from crm.quoting import new_text
from crm.records import Conflict, Cursor, Invalid, NotFound, Page, Record, Versions, check_version
from crm.seam import Stale, in_short_transactions, optional, retried, store
from crm.withheld import forget, hashed_keys, hashes, withhold
from store.values import CopyKeys, Draft, Logged

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
    hashed, user_id = hashes(), calling_user.get()
    copies = [_Copy.of(email, user_id, hashed) for email in emails]
    known = [copy.find() for copy in copies]
    drafts = {n: derive(copy.record) for n, copy in enumerate(copies) if known[n] is None}
    rules = rules_met([draft.recipients for draft in drafts.values()]) if drafts else []
    drafts = {n: bare(drafts[n], _BY_RULE) if rule else drafts[n] for n, rule in zip(drafts, rules, strict=True)}
    for draft in drafts.values():
        optional(store.emails, "prepare")(None, draft)
    logged: dict[int, Record] = {}
    if drafts:
        with store.transaction():
            for n, draft in drafts.items():
                if copies[n].find() is None:  # none came meanwhile, nor in this batch
                    if withheld := copies[n].find_withheld(hashed):
                        copies[n], drafts[n] = copies[n].like(withheld), bare(draft, _DELETED)
                        optional(store.emails, "prepare")(None, drafts[n])  # no text is left that would take time
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
        record = {**NEW, **email}
        contents = contents_of(record, hashed)
        message_key, copy_key = message_keys(record)
        digest = digest_of(record, contents, user_id, hashed)
        return cls(record, message_key, user_id, CopyKeys(digest, copy_key, contents))

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
        message_key, copy_key = hashed_keys(self.message_key, self.keys.copy_key, hashed)
        return identify(store.withheld.find(message_key, copy_key), message_key, self.keys.contents)

    def like(self, withheld: Logged) -> "_Copy":
        """This copy with the hashes of the deleted email too: another email with its msgId is not taken for it."""
        contents = [old or new for old, new in zip(as_logged(withheld), self.keys.contents, strict=True)]
        return self._replace(keys=self.keys._replace(contents=contents))

    def record_for(self, email_id: str, differs: Record) -> None:
        """Keep the copy with the email."""
        copy = {"msgId": self.record["msgId"], "userId": self.user_id, "loggedAt": now(), "differs": differs or None}
        store.emails.record_copy(email_id, self.keys, copy)


_DELETED, _BY_RULE = "deleted", "rule"  # why an email is withheld
_AT_A_TIME, _MOST_AT_A_TIME = 32, 2**20  # emails and characters that are read before they are written


def _log_copy(copy: _Copy, known: Logged | None, hashed: Hash) -> tuple[Record, bool]:
    """Log an email that is here already, or was until now."""
    with suppress(Stale):
        return _merge(copy, known, hashed)
    return retried(lambda: _merge(copy, copy.find(), hashed))()


def _merge(copy: _Copy, known: Logged | None, hashed: Hash) -> tuple[Record, bool]:
    if known is None:  # it came or went in this moment
        return log_email(copy.record)
    found = store.emails.read([known.email_id])
    if not found or message_keys(found[0])[0] != known.message_key:
        raise Stale
    [old] = found
    is_filled = old["withheld"] == _BY_RULE and _may_fill(copy, known, hashed)
    if not is_filled and any(keys.digest == copy.keys.digest for keys in known.copies):
        with store.transaction():  # the commit that made what was found may not be on the disk yet
            return old, False
    change, differs = _outcome(old, copy, known, is_filled, hashed)
    if change:
        optional(store.emails, "prepare")(change.before, change.after)
    with store.transaction():
        if store.emails.version(old["id"]) != old["updatedAt"]:
            raise Stale
        if change:
            key = change.after.message_key
            if key != change.before.message_key and store.emails.find(key, None):
                raise Stale  # the email with this Message-ID came in this moment
            _update(change)
        copy.record_for(old["id"], differs)
    if change:
        optional(store.emails, "catch_up")(change.after)
    if said := [name for name in COMPARED if name in differs]:
        log.warning("email %s: the %s of a copy differs; the first stays", old["id"], ", ".join(said))
    return (change.after.record if change else old), False


class _Change(NamedTuple):
    """An email before and after a change."""

    before: Draft
    after: Draft

    @classmethod
    def of(cls, old: Record, new: Record) -> "_Change | None":
        """None where nothing changes."""
        is_same = new == old and dumps(new, sort_keys=True) == dumps(old, sort_keys=True)  # to Python, true is 1
        return None if is_same else cls(derive(old), derive(new, old))

    @property
    def has_other_recipients(self) -> bool:
        return self.after.recipients != self.before.recipients

    def withheld(self) -> "_Change":
        """The change by which a rule of never log leaves the ids and time alone."""
        return self._replace(after=bare(self.after, _BY_RULE))


def _outcome(old: Record, copy: _Copy, known: Logged, is_filled: bool, hashed: Hash) -> tuple[_Change | None, Record]:
    """What a copy changes in a record, and what it says otherwise. A record that a rule withheld `is_filled` by it."""
    new, differs = _merged({**old, "withheld": None} if is_filled else old, copy, as_logged(known), hashed)
    change = _Change.of(old, new)
    adds_more_than_ids = not new["withheld"] and not is_filled and bool(change or differs)
    if adds_more_than_ids and rules_met([change.after.recipients if change else recipients_of(old)])[0]:
        if change and change.has_other_recipients:
            return change.withheld(), {}
        return _Change.of(old, merged(old, only_ids(copy.record), hashed)[0]), {}  # the email was here before the rule
    return change, differs


def _may_fill(copy: _Copy, known: Logged, hashed: Hash) -> bool:
    """Whether a copy of an email that a rule withheld is logged whole, as neither a rule nor a deletion withholds it
    now."""
    is_stranger = has_another_sender(copy.keys.contents, as_logged(known))
    return not (is_stranger or rules_met([recipients_of(copy.record)])[0] or copy.find_withheld(hashed))


def _merged(old: Record, copy: _Copy, logged: Contents, hashed: Hash) -> tuple[Record, Record]:
    """What becomes of a record by a copy, and what the copy says otherwise."""
    if old["withheld"]:
        return merged(old, only_ids(copy.record), hashed)[0], {}
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
        return {**email, "textBody": new_text(body_text(email))} if body == "new" else email
    raise NotFound


def get_attachment(email_id: str, attachment_id: str) -> Record:
    """A file of an email: name, mimeType and content, decoded to bytes.

    Raises NotFound, also where only the file's description was logged, or a content that is no base64.
    """
    file = find_file(get_email(email_id)["attachments"], attachment_id)
    if file is None:
        raise NotFound
    return file


@retried
def change_email(email_id: str, changes: Mapping[str, Any], versions: Versions = None) -> Record:
    """Give the named fields of an email new values. Raises NotFound, Changed, and Conflict for another's rfc822MsgId.

    Nothing is written where nothing changes. Of an email that is withheld, only ids and time change; and one whose
    sender or recipients change so that it meets a rule of never log is withheld from then on.
    """
    hashed = hashes()
    old = get_email(email_id)
    check_version(old, versions)  # under the write lock it is still the same, or this is stale
    named = {name: value for name, value in changes.items() if name in KEPT or not old["withheld"]}
    new = {**old, **named}
    if _Change.of(old, new) is None:
        with store.transaction():  # the commit that made what was found may not be on the disk yet
            return old
    new["removed"] = removed_by(old, new, hashed)
    change = _Change(derive(old), derive(new, old))
    if change.has_other_recipients and rules_met([change.after.recipients])[0]:
        change = change.withheld()
    before, after = change
    optional(store.emails, "prepare")(before, after)
    with store.transaction():
        if store.emails.version(email_id) != old["updatedAt"]:
            raise Stale
        if after.message_key not in (None, before.message_key) and store.emails.find(after.message_key, None):
            raise Conflict("Another email has this rfc822MsgId.")
        if after.copy_key not in (None, before.copy_key):
            keys = CopyKeys(hashed("msgId", after.copy_key), after.copy_key, [])
            copy = {"msgId": after.record["msgId"], "userId": None, "loggedAt": None, "differs": None}
            store.emails.record_copy(email_id, keys, copy)
        _update(change)
    optional(store.emails, "catch_up")(after)
    return after.record


@retried
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
    hashed = hashes()
    old = derive(get_email(email_id))
    check_version(old.record, versions)
    if unchanged_since not in (None, old.record["updatedAt"]):
        return False
    optional(store.emails, "prepare")(old, None)
    with store.transaction():
        if not _delete(old, reason if remember else None, hashed):
            raise Stale
    return True


def _delete(old: Draft, reason: str | None, hashed: Hash) -> bool:
    """Remove an email, unless it has changed; with a reason its copies stay away."""
    email_id = old.record["id"]
    if store.emails.version(email_id) != old.record["updatedAt"]:
        return False
    logged = store.emails.logged(email_id)
    if reason:
        withhold(logged, reason, hashed)
    else:
        forget(logged, hashed)
    store.emails.delete(old)
    record_change("email", email_id, "deleted")
    return True


# ---- some at a time -------------------------------------------------------------------------------------------------


def delete_emails(emails: Iterable[Record], reason: str) -> Iterator[str]:
    """Remove emails, so that their copies stay away, but for those that have changed since; gives the ids."""
    hashed = hashes()
    changes = ((old, None) for old in map(derive, emails))
    return _write_some(changes, lambda old, _: _delete(old, reason, hashed))


def withhold_emails(emails: Iterable[Record]) -> Iterator[str]:
    """Keep the ids and times of emails alone, as a rule says, but for those that have changed since; gives the ids."""
    return _write_some(((old, bare(old, _BY_RULE)) for old in map(derive, emails)), _strip)


def _strip(old: Draft, new: Draft) -> bool:
    if store.emails.version(old.record["id"]) != old.record["updatedAt"]:
        return False
    _update(_Change(old, new))
    return True


def _write_some(changes: Iterable[tuple[Draft, Any]], write: Callable[[Draft, Any], bool]) -> Iterator[str]:
    """Write what becomes of old emails; gives the ids of those that were written."""

    def written(change: tuple[Draft, Any]) -> str:
        return change[0].record["id"] if write(*change) else ""

    for some in _some(changes):
        yield from filter(None, in_short_transactions(some, written))


def _some(changes: Iterable[tuple[Draft, Any]]) -> Iterator[list[tuple[Draft, Any]]]:
    """Changes, prepared, as many at a time as the memory may hold."""
    some: list[tuple[Draft, Any]] = []
    size = 0
    for old, new in changes:
        optional(store.emails, "prepare")(old, new)
        some.append((old, new))
        size += sum(len(old.record[name] or "") for name in ("textBody", "htmlBody"))
        size += sum(len(str(file.get("content") or "")) for file in old.record["attachments"])
        if len(some) == _AT_A_TIME or size > _MOST_AT_A_TIME:
            yield some
            some, size = [], 0
    yield some


# ---- writing --------------------------------------------------------------------------------------------------------


def _insert(draft: Draft, copy: _Copy) -> Record:
    record = draft.record
    record["createdAt"] = record["updatedAt"] = change_time()
    record["id"] = store.emails.insert(draft)
    copy.record_for(record["id"], {})
    record_change("email", record["id"], "created", record["createdAt"])
    return record


def _update(change: _Change) -> None:
    before, after = change
    after.record["updatedAt"] = change_time()  # it is the version that other writers compare
    store.emails.update(before, after)
    if after.record["withheld"] and not before.record["withheld"]:
        store.emails.strip_copies(after.record["id"])
    record_change("email", after.record["id"], "changed", after.record["updatedAt"])
