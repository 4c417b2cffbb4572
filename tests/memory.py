"""The store once more, on plain dicts: what a developer who brings their own tables has to supply.

It is short rather than fast: it looks at every record for every question. A record is replaced and never changed in
place, so what a function has given away stays as it was.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from threading import RLock
from types import SimpleNamespace

import pytest

import store
from crm.records import Record
from store.search import texts_of
from store.values import DOMAIN, Conditions, CopyKeys, Draft, Logged
from store.words import joined, matches

RECORDS: dict[str, dict[str, Record]] = {"contact": {}, "company": {}, "user": {}}
KEYS: dict[str, dict[str, list[str]]] = {"contact": {}, "company": {}, "user": {}}  # of each record, by its id
EMAILS: dict[str, Draft] = {}
COPIES: dict[str, dict[str, tuple[CopyKeys, Record]]] = {}  # an email's id: its copies by their digests
RULES: list[Record] = []
RETENTION: list[tuple[str, bool]] = []
WITHHELD: list[tuple[Logged, Record]] = []
CHANGES: list[Record] = []
GIVEN: list[int] = []  # numbers of changes, also of those that are not here any more
NUMBERS = count(1)  # of changes and emails
LOCK = RLock()


def stand_in(patch: pytest.MonkeyPatch) -> None:
    """Put these functions in the place of those of `store`, to begin with no record."""
    for records in RECORDS.values():
        records.clear()
    for keys in KEYS.values():
        keys.clear()
    EMAILS.clear()
    COPIES.clear()
    WITHHELD.clear()
    RULES.clear()
    RETENTION.clear()
    CHANGES.clear()
    GIVEN.clear()
    global NUMBERS
    NUMBERS = count(1)
    for name in store.__all__:
        patch.setattr(store, name, globals()[name])


@contextmanager
def transaction() -> Iterator[None]:
    """One at a time. Nothing is taken back when it fails: what `crm` raises, it raises before it writes."""
    with LOCK:
        yield


def check() -> None:
    """It can always be written."""


def purge() -> bool:
    """No trace is left of what was deleted."""
    return True


# ---- contacts, companies, users -------------------------------------------------------------------------------------


class Directory:
    """Records of a kind, and the keys by which they are found."""

    def __init__(self, kind: str) -> None:
        self.kind, self.records, self.keys = kind, RECORDS[kind], KEYS[kind]

    def read(self, ids: Sequence[str]) -> list[Record]:
        """The records with these ids."""
        return [self.records[record_id] for record_id in ids if record_id in self.records]

    def find(self, keys: Sequence[str]) -> list[tuple[str, Record]]:
        """Each record that has one of the keys, with the key."""
        return [(key, self.records[one]) for one, own in self.keys.items() for key in own if key in keys]

    def insert(self, record: Record, keys: Sequence[str | None]) -> None:
        """Keep a record, and what it is found by."""
        self.records[record["id"]] = dict(record)
        self.keys[record["id"]] = [key for key in keys if key]

    def update(self, old: Record, new: Record, keys: Sequence[str | None]) -> None:
        """Keep a record in the place of an old one."""
        self.insert(new, keys)

    def delete(self, record_id: str) -> bool:
        """Forget a record; whether there was one."""
        self.keys.pop(record_id, None)
        return self.records.pop(record_id, None) is not None

    def page(self, since: str, after_id: str, limit: int) -> list[Record]:
        """Records in the order of (updatedAt, id), from behind such a pair."""
        places = sorted((record["updatedAt"], record["id"]) for record in self.records.values())
        return [self.records[place[1]] for place in places if place > (since, after_id)][:limit]

    def deleted(self, since: str, after_id: str, limit: int) -> list[Record]:
        """What was deleted and not made again, in the same order."""
        gone = [one for one in CHANGES if (one["type"], one["action"]) == (self.kind, "deleted")]
        places = sorted((one["at"], one["id"]) for one in gone if one["id"] not in self.records)
        found = [place for place in places if place > (since, after_id)][:limit]
        return [{"id": record_id, "updatedAt": at, "deleted": True} for at, record_id in found]

    def search(self, text: str, after_key: str, after_id: str, limit: int) -> list[tuple[str, Record]]:
        """Records whose normalized name holds a text, with that name, in this order, from behind a pair of name, id."""
        places = sorted((one["nameKey"], one["id"]) for one in self.records.values() if text in one["nameKey"])
        return [(key, self.records[n]) for key, n in places if (key, n) > (after_key, after_id)][:limit]

    def named(self, key: str) -> list[Record]:
        """The companies with this normalized name."""
        return [record for record in self.records.values() if record["nameKey"] == key]

    def of_company(self, company_id: str, limit: int) -> list[str]:
        """The ids of the oldest contacts of a company."""
        found = [record for record in self.records.values() if record["companyId"] == company_id]
        return [record["id"] for record in sorted(found, key=lambda one: (one["createdAt"], one["id"]))][:limit]


contacts, companies, _users = Directory("contact"), Directory("company"), Directory("user")
users = SimpleNamespace(
    read=_users.read,
    find=_users.find,
    insert=lambda user, key, at: _users.insert(user, [key]),
    update=lambda user, key: _users.insert(user, [key]),
    delete=lambda ids: [_users.delete(one) for one in ids],
    page=lambda after, limit: [_users.records[one] for one in sorted(_users.records) if one > after][:limit],
)


# ---- changes --------------------------------------------------------------------------------------------------------


def append(kind: str, record_id: str, action: str, at: str, token_id: int | None) -> None:
    """Note a change."""
    GIVEN.append(next(NUMBERS))
    CHANGES.append({"seq": GIVEN[-1], "at": at, "type": kind, "id": record_id, "action": action, "tokenId": token_id})


changes = SimpleNamespace(
    append=append,
    page=lambda after, limit: [change for change in CHANGES if change["seq"] > after][:limit],
    last=lambda: GIVEN[-1] if GIVEN else 0,
    newest=lambda: CHANGES[-1]["at"] if CHANGES else "",
    delete=lambda seq: CHANGES.__setitem__(slice(None), [change for change in CHANGES if change["seq"] != seq]),
)


# ---- emails ---------------------------------------------------------------------------------------------------------


def read(ids: Sequence[str]) -> list[Record]:
    """The emails with these ids."""
    return [dict(EMAILS[one].record) for one in ids if one in EMAILS]


def version(email_id: str) -> str | None:
    """What changes whenever the email does."""
    return EMAILS[email_id].record["updatedAt"] if email_id in EMAILS else None


def find(message_key: str | None, copy_key: str | None) -> list[Logged]:
    """The emails with this Message-ID, or of which a copy has this msgId, the oldest first."""
    return [
        logged(one)
        for one, email in list(EMAILS.items())
        if (message_key and email.message_key == message_key) or (copy_key and copy_key in own("copy", email))
    ]


def logged(email_id: str) -> Logged:
    """An email's copies."""
    return Logged(email_id, EMAILS[email_id].message_key, [keys for keys, _ in COPIES[email_id].values()])


def record_copy(email_id: str, keys: CopyKeys, copy: Record) -> None:
    """Keep a copy of an email, but for one that was sent before."""
    COPIES[email_id].setdefault(keys.digest, (keys, copy))


def page_of_copies(
    email_id: str, after: tuple[str, str] | None, limit: int
) -> tuple[list[tuple[tuple[str, str], Record]], bool]:
    """The copies of an email with their places, the oldest first, from behind a place; and whether there are more."""
    copies = [((copy["loggedAt"], digest), copy) for digest, (_, copy) in COPIES[email_id].items() if copy["loggedAt"]]
    behind = sorted((one for one in copies if after is None or one[0] > after), key=lambda one: one[0])
    return behind[:limit], len(behind) > limit


def known(kind: str, keys: Sequence[str]) -> set[str]:
    """Those of the keys that any email has."""
    return {key for key in keys if any(key in own(kind, email) for email in EMAILS.values())}


def names(key: str, limit: int) -> list[str]:
    """What the newest emails of an address call it."""
    named = [(email, role, text) for email in EMAILS.values() for role, _, text, one in email.recipients if one == key]
    newest = sorted(named, key=lambda one: one[0].at, reverse=True)[:limit]
    return [(role == "from" and email.record["fromName"]) or text for email, role, text in newest if text]


def own(kind: str, email: Draft) -> set[str | None]:
    """The keys of an email."""
    of: Mapping[str, Callable[[], set[str | None]]] = {
        "message": lambda: {email.message_key},
        "thread": lambda: {email.thread_key},
        "copy": lambda: {keys.copy_key for keys, _ in COPIES[email.record["id"]].values()},
        "address": lambda: {key for *_, key in email.recipients},
    }
    return of[kind]() - {None}


def insert(new: Draft) -> str:
    """Keep a new email. Its id rises, and is never given out again."""
    email_id = str(next(NUMBERS))
    COPIES[email_id] = {}
    EMAILS[email_id] = Draft(**{**vars(new), "record": {**new.record, "id": email_id}})
    return email_id


def update(old: Draft, new: Draft) -> None:
    """Keep an email in the place of an old one."""
    EMAILS[new.record["id"]] = new


def delete(old: Draft) -> None:
    """Forget an email."""
    del EMAILS[old.record["id"]], COPIES[old.record["id"]]


def scan(after: str, limit: int) -> Iterator[Record]:
    """Emails in the order of their ids, from behind one, with the msgIds of their `copies`."""
    for email_id in sorted((one for one in EMAILS if int(one) > int(after or 0)), key=int)[:limit]:
        yield from scan_one(email_id)


def scan_one(email_id: str) -> Iterator[Record]:
    """The email with this id, as `scan` gives it."""
    for email in read([email_id]):
        yield {**email, "copies": [copy["msgId"] for _, copy in COPIES[email_id].values() if copy["msgId"]]}


def scan_copies(after: tuple[str, str], limit: int) -> Iterator[tuple[tuple[str, str], Record]]:
    """The copies that say something otherwise, from behind a place."""
    copies = [
        ((email_id, digest), {"id": email_id, **{name: copy[name] for name in ("msgId", "loggedAt", "differs")}})
        for email_id, of_email in COPIES.items()
        for digest, (_, copy) in of_email.items()
        if copy["differs"]
    ]
    yield from [one for one in sorted(copies, key=lambda one: one[0]) if one[0] > after][:limit]


def page(
    conditions: Conditions, after: tuple[str, str] | None, limit: int, whole: bool
) -> tuple[list[tuple[str, Record]], bool]:
    """The emails that meet the conditions, newest first, from behind a place; and whether there are more."""
    return newest([email for email in EMAILS.values() if meets(email, conditions)], after, limit, whole)


def page_of_any(
    links: Sequence[tuple[str, str]], addresses: Sequence[str], after: tuple[str, str] | None, limit: int
) -> tuple[list[tuple[str, Record]], bool]:
    """The emails with any of these links or addresses, in the same way."""

    def has_any(email: Draft) -> bool:
        return not (set(links).isdisjoint(email.links) and own("address", email).isdisjoint(addresses))

    return newest(list(filter(has_any, EMAILS.values())), after, limit, False)


def newest(
    found: list[Draft], after: tuple[str, str] | None, limit: int, whole: bool
) -> tuple[list[tuple[str, Record]], bool]:
    """A page of these emails."""

    def place(at: str, email_id: str) -> tuple[str, int, str]:
        return at, len(email_id), email_id  # ids are numbers: of two, the longer one is the greater

    places = sorted((place(email.at, email.record["id"]) for email in found), reverse=True)
    behind = [one for one in places if after is None or one < place(*after)]
    return [(at, shown(EMAILS[one], whole)) for at, _, one in behind[:limit]], len(behind) > limit


def meets(email: Draft, asked: Conditions) -> bool:
    """Whether an email meets the conditions."""
    received = email.record["receivedAt"]
    addresses = own("address", email)
    return (
        (not email.record["withheld"] or bool(asked.message_key or asked.copy_key))
        and (asked.message_key is None or email.message_key == asked.message_key)
        and (asked.thread_key is None or email.thread_key == asked.thread_key)
        and (asked.copy_key is None or asked.copy_key in own("copy", email))
        and (asked.address_key is None or asked.address_key in addresses)
        and (asked.domain_key is None or (DOMAIN, asked.domain_key) in email.links)
        and (asked.has_attachments is None or asked.has_attachments == email.has_attachments)
        and (
            asked.contact_id is None
            or ("contact", asked.contact_id) in email.links
            or not addresses.isdisjoint(asked.contact_keys)
        )
        and (asked.received_after is None or bool(received and received >= asked.received_after))
        and (asked.received_before is None or bool(received and received < asked.received_before))
        and (asked.search is None or matches(asked.search, joined(texts_of(email.record))))
    )


def shown(email: Draft, whole: bool) -> Record:
    """An email as a page shows it."""
    if whole:
        return dict(email.record)
    bodies = ("textBody", "htmlText", "htmlBody", "attachments", "withheld", "removed")
    head = {name: value for name, value in email.record.items() if name not in bodies}
    return {**head, "snippet": email.snippet, "hasAttachments": email.has_attachments}


def older(than: str, after: tuple[str, str], limit: int, linked: bool) -> list[tuple[str, str]]:
    """Places of the emails from before a time, from behind one."""
    found = [email for email in EMAILS.values() if email.at < than and (linked or email.record["relatedTo"] == [])]
    places = sorted((email.at, int(email.record["id"])) for email in found)
    return [(at, str(one)) for at, one in places if (at, one) > (after[0], int(after[1] or 0))][:limit]


def strip_copies(email_id: str) -> None:
    """Keep nothing of what the copies of an email say otherwise."""
    COPIES[email_id] = {one: (keys, {**copy, "differs": None}) for one, (keys, copy) in COPIES[email_id].items()}


emails = SimpleNamespace(
    read=read,
    version=version,
    find=find,
    logged=logged,
    known=known,
    prepare=lambda old, new: None,
    insert=insert,
    update=update,
    delete=delete,
    record_copy=record_copy,
    catch_up=lambda new: None,
    page=page,
    page_of_copies=page_of_copies,
    scan=scan,
    scan_one=scan_one,
    scan_copies=scan_copies,
    older=older,
    strip_copies=strip_copies,
    names=names,
)


def threads(
    links: Sequence[tuple[str, str]] | None, addresses: Sequence[str], after: tuple[str, str] | None, limit: int
) -> tuple[list[Record], tuple[str, str] | None]:
    """Conversations, by their newest email that is wanted, and where to go on."""
    wanted = [] if links is None else page_of_any(links, addresses, None, len(EMAILS))[0]
    chosen = [EMAILS[email["id"]] for _, email in wanted]
    last: dict[str, tuple[str, int]] = {}
    for email in EMAILS.values() if links is None else chosen:
        if not email.record["withheld"]:
            last[thread_of(email)] = max(last.get(thread_of(email), ("", 0)), when(email))
    place = (after[0], int(after[1])) if after else ("~", 0)
    found = sorted(((at, one) for one, at in last.items() if at < place), reverse=True)
    records = []
    for _, one in found[:limit]:
        emails = in_thread(one)
        keys = sorted({key for email in emails[-20:] for key in own("address", email) if key})
        first = {"id": emails[0].record["id"], "subject": emails[0].record["subject"], "firstAt": emails[0].at}
        records.append({**first, "participants": keys[:50], "count": len(emails), "lastAt": emails[-1].at})
    return records, (found[limit - 1][0][0], str(found[limit - 1][0][1])) if len(found) > limit else None


def thread(email_id: str, after: tuple[str, str] | None, limit: int) -> tuple[list[tuple[str, Record]], bool] | None:
    """The emails of the conversation that an email belongs to, the oldest first."""
    if email_id not in EMAILS or EMAILS[email_id].record["withheld"]:
        return None
    place = (after[0], int(after[1])) if after else ("", 0)
    found = [email for email in in_thread(thread_of(EMAILS[email_id])) if when(email) > place]
    return [(email.at, shown(email, False)) for email in found[:limit]], len(found) > limit


def when(email: Draft) -> tuple[str, int]:
    """An email's place in time."""
    return email.at, int(email.record["id"])


def in_thread(key: str) -> list[Draft]:
    """The emails of a conversation, the oldest first."""
    return sorted((one for one in EMAILS.values() if not one.record["withheld"] and thread_of(one) == key), key=when)


def thread_of(email: Draft, depth: int = 9) -> str:
    """What all emails of a conversation have."""
    parents = [one for one in EMAILS.values() if email.parent_key and one.message_key == email.parent_key]
    if not email.thread_key and parents and depth:
        return thread_of(parents[0], depth - 1)
    return email.thread_key or email.parent_key or email.message_key or email.record["id"]


timelines = SimpleNamespace(page=page_of_any, threads=threads, thread=thread)


# ---- what stays away ------------------------------------------------------------------------------------------------


def find_withheld(message_key: str | None, copy_key: str | None) -> list[Logged]:
    """What is withheld with this Message-ID, or this msgId."""
    return [
        one
        for one, _ in WITHHELD
        if (message_key and one.message_key == message_key) or (copy_key and one.copies[0].copy_key == copy_key)
    ]


def withhold(
    email_id: str, message_key: str | None, copy_key: str | None, contents: list[str | None], reason: str, at: str
) -> None:
    """Withhold an email, as far as one of its copies goes."""
    entry = {"seq": next(NUMBERS), "id": email_id, "reason": reason, "at": at}
    WITHHELD.append((Logged(email_id, message_key, [CopyKeys("", copy_key, contents)]), entry))


def rename_withheld(old_id: str, email_id: str, reason: str, at: str) -> None:
    """What was withheld as one email is withheld as another."""
    for n, (one, entry) in enumerate(WITHHELD):
        if one.email_id == old_id:
            WITHHELD[n] = one._replace(email_id=email_id), {**entry, "id": email_id, "reason": reason, "at": at}


def forget(email_id: str) -> bool:
    """Withhold an email no longer; whether it was."""
    kept = [one for one in WITHHELD if one[0].email_id != email_id]
    was = len(kept) < len(WITHHELD)
    WITHHELD[:] = kept
    return was


def page_of_withheld(after: int, limit: int) -> list[Record]:
    """What is withheld, in order."""
    first: dict[str, Record] = {}
    for _, entry in WITHHELD:
        first.setdefault(entry["id"], entry)
    return [entry for entry in first.values() if entry["seq"] > after][:limit]


withheld = SimpleNamespace(
    key=lambda make=True: "00" * 32,
    find=find_withheld,
    insert=withhold,
    rename=rename_withheld,
    delete=forget,
    page=page_of_withheld,
)


# ---- never log, retention -------------------------------------------------------------------------------------------


def save_rule(rule: Record) -> None:
    """Store a rule, in the place of the one with its key."""
    fixed = next((one for one in RULES if one["key"] == rule["key"]), {"id": str(next(NUMBERS)), **rule})
    new = {**fixed, **{name: rule[name] for name in ("domains", "unlessKnown", "reason")}}
    RULES[:] = sorted([*(one for one in RULES if one["id"] != new["id"]), new], key=lambda one: int(one["id"]))


def delete_rule(rule_id: str) -> bool:
    """Remove a rule; whether there was one."""
    kept = [one for one in RULES if one["id"] != rule_id]
    was = len(kept) < len(RULES)
    RULES[:] = kept
    return was


def write_retention(after: str | None, keep_linked: bool) -> None:
    """Set how long emails are kept."""
    RETENTION[:] = [(after, keep_linked)] if after else []


never_log = SimpleNamespace(
    find=lambda keys: [rule for rule in RULES if rule["key"] in keys],
    listed=lambda: list(RULES),
    save=save_rule,
    delete=delete_rule,
)
retention = SimpleNamespace(read=lambda: RETENTION[0] if RETENTION else None, write=write_retention)
