"""Every verb of `models` once more, on plain dicts: what whoever puts his own tables behind them has to supply.

It is short rather than fast: it looks at every record for every question. A record is replaced and never changed in
place, so what a verb has given away stays as it was.
"""

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import wraps
from inspect import isfunction
from json import dumps
from threading import RLock
from typing import Any, ParamSpec, TypeVar
from unicodedata import combining, normalize
from uuid import uuid4

import pytest

import crm
import tokens
from clock import now
from folding import bare_address, fold_address, fold_domain, fold_message_id, parent_domains, readings
from merging import LISTS, NO_EMAIL, entries, merged, relation, union
from preview import find_file, has_files, snippet, text_of
from records import Conflict, Cursor, Invalid, NotFound, Page, Record

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)

RECORDS: dict[str, dict[str, Record]] = {"email": {}, "contact": {}, "company": {}, "user": {}}
SEEN: dict[str, set[str | None]] = {}  # an email's id: the folded msgId of each copy
CHANGES: list[Record] = []
LOCK = RLock()

# What contacts and companies are found by: the field that lists it, and the form in which two of them are compared.
KEYS: dict[str, tuple[str, Callable[[str], str | None]]] = {
    "contact": ("emailAddresses", fold_address),
    "company": ("domains", fold_domain),
}


def stand_in(patch: pytest.MonkeyPatch) -> None:
    """Put these verbs in the place of those of `models`, to begin with no record."""
    for records in RECORDS.values():
        records.clear()
    SEEN.clear()
    CHANGES.clear()
    for name in models.__all__:
        if isfunction(getattr(models, name)):
            patch.setattr(crm, name, globals()[name])


def transaction(verb: Callable[P, T]) -> Callable[P, T]:
    """One at a time: of two that look for a record and miss it, only one may make it."""

    @wraps(verb)
    def alone(*args: P.args, **kwargs: P.kwargs) -> T:
        with LOCK:
            return verb(*args, **kwargs)

    return alone


# ---- emails ---------------------------------------------------------------------------------------------------------


@transaction
def log_email(email: Mapping[str, Any]) -> tuple[Record, bool]:
    """A mail that is here already gets what this copy adds; any other is new."""
    email = {**NO_EMAIL, **email}
    here = find_copy(email)
    if here is None:
        record = save("email", None, {"id": str(len(CHANGES) + 1), **email})  # rises, and is never given out again
        SEEN[record["id"]] = {fold_message_id(email["msgId"])}
        return record, True
    for name in ("subject", "textBody", "htmlBody"):
        if here[name] and email[name] and here[name] != email[name]:
            log.warning("email %s: the %s of a copy differs; the first stays", here["id"], name)
    SEEN[here["id"]].add(fold_message_id(email["msgId"]))
    return save("email", here, merged(here, email)), False


def find_copy(email: Mapping[str, Any]) -> Record | None:
    """A mail is its rfc822MsgId; without one, any msgId under which it was seen; without either, none is its copy."""
    if key := fold_message_id(email["rfc822MsgId"]):
        copies = [mail for mail in RECORDS["email"].values() if fold_message_id(mail["rfc822MsgId"]) == key]
    elif key := fold_message_id(email["msgId"]):
        copies = [mail for mail in RECORDS["email"].values() if key in SEEN[mail["id"]]]
    else:
        copies = []
    return copies[0] if copies else None


@transaction
def get_email(email_id: str) -> Record:
    """The email with this id."""
    return get("email", email_id)


@transaction
def get_attachment(email_id: str, attachment_id: str) -> Record:
    """A file of an email, decoded."""
    file = find_file(get("email", email_id)["attachments"], attachment_id)
    if file is None:
        raise NotFound
    return file


@transaction
def change_email(email_id: str, changes: Mapping[str, Any]) -> Record:
    """The named fields change, the others stay; no two emails may have one rfc822MsgId."""
    old = get("email", email_id)
    new = {**old, **changes}
    taken = find_copy({**new, "msgId": None})
    if taken and taken["id"] != email_id:
        raise Conflict("Another email has this rfc822MsgId.")
    if new["msgId"] != old["msgId"]:
        SEEN[email_id] = SEEN[email_id] - {fold_message_id(old["msgId"])} | {fold_message_id(new["msgId"])}
    return save("email", old, new)


@transaction
def delete_email(email_id: str) -> None:
    """The email is gone."""
    delete("email", email_id)


@transaction
def find_emails(filters: Mapping[str, str], after: Cursor | None = None, limit: int = 25) -> Page:
    """The emails that pass every filter, newest first; an empty value passes none."""
    if not all(filters.values()):
        return Page([], None)
    found = list(RECORDS["email"].values())
    for name, value in filters.items():
        passing = {mail["id"] for mail in pass_filter(name, value)}
        found = [mail for mail in found if mail["id"] in passing]
    return newest_first(found, after, limit)


def pass_filter(name: str, value: str) -> list[Record]:
    """The emails that pass one filter."""
    mails = RECORDS["email"].values()
    match name:
        case "rfc822MsgId" | "syncThreadId":
            return having(value, fold_message_id, mails, lambda mail: [fold_message_id(mail[name])])
        case "msgId":
            return having(value, fold_message_id, mails, lambda mail: SEEN[mail["id"]])
        case "address":
            return having(value, fold_address, mails, lambda mail: map(fold_address, sum(people(mail).values(), [])))
        case "contactId":
            return [mail for mail in mails if roles(mail, value)]
        case "receivedAfter":
            return [mail for mail in mails if mail["receivedAt"] and mail["receivedAt"] >= value]
        case "receivedBefore":
            return [mail for mail in mails if mail["receivedAt"] and mail["receivedAt"] < value]
        case "q":
            return search(value, mails)
    raise ValueError(name)


def having(
    value: str,
    fold: Callable[[str], str | None],
    records: Iterable[Record],
    keys: Callable[[Record], Iterable[str | None]],
) -> list[Record]:
    """The records that have a value for a key: as it came, else with the `+` that became spaces on the way."""
    found = ([record for record in records if key in keys(record)] for key in readings(value, fold))
    return next(filter(None, found), [])


def people(mail: Record) -> dict[str, list[str]]:
    """Who sent and received a mail, by role."""
    sender = [mail["fromAddress"]] if mail["fromAddress"] else []
    return {"from": sender, **{role: mail[name] for role, name in LISTS.items()}}


def roles(mail: Record, contact_id: str) -> list[str]:
    """Why a mail is a contact's: for the addresses that the contact has today, or for a link."""
    contact = RECORDS["contact"].get(contact_id)
    addresses = folded_keys("contact", contact) if contact else []
    result = [role for role, texts in people(mail).items() if any(fold_address(text) in addresses for text in texts)]
    return result + ["relatedTo"] * (("contact", contact_id) in map(relation, entries(mail["relatedTo"])))


def newest_first(mails: Iterable[Record], after: Cursor | None, limit: int) -> Page:
    """The page of mails behind a place: keyset paging, which nothing that happens meanwhile can shift."""

    def place(at: str, email_id: str) -> tuple[str, int, str]:
        return at, len(email_id), email_id  # ids are numbers: of two, the longer one is the greater

    ends = {mail["id"]: (mail["receivedAt"] or mail["createdAt"], mail["id"]) for mail in mails}
    behind = [mail for mail in mails if after is None or place(*ends[mail["id"]]) < place(*after)]
    behind.sort(key=lambda mail: place(*ends[mail["id"]]), reverse=True)
    return Page(behind[:limit], ends[behind[limit - 1]["id"]] if len(behind) > limit else None)


def search(query: str, mails: Iterable[Record]) -> list[Record]:
    """The mails with every word, "phrase" and beginning*, and without the -excluded ones."""
    if query.count('"') % 2:
        raise Invalid(q="A quotation mark is not closed.")
    terms = [term for term in re.findall(r'-?"[^"]*"|[^\s"]+', query) if words(term).strip()]
    if all(term.startswith("-") for term in terms):
        raise Invalid(q="There is no word to search for.")
    if len(terms) > 32:
        raise Invalid(q="More than 32 words.")

    def found(term: str, mail: Record) -> bool:
        senders = [mail["fromName"], *sum(people(mail).values(), [])]
        texts = [mail["subject"], mail["textBody"], text_of(mail["htmlBody"] or ""), " ".join(filter(None, senders))]
        wanted = words(term).rstrip() if term.endswith("*") else words(term)
        return any(wanted in words(text or "") for text in texts)

    return [mail for mail in mails if all(found(term, mail) != term.startswith("-") for term in terms)]


def words(text: str) -> str:
    """The words of a text, without case and accents, each with a space before and after it."""
    plain = "".join(one for one in normalize("NFD", text) if not combining(one)).lower()
    return " ".join(["", *re.findall(r"[^\W_]+", plain), ""])


@transaction
def timeline(contact_id: str, after: Cursor | None = None, limit: int = 25) -> Page:
    """A contact's mail, newest first, with what a list shows of it, and why it is here."""
    get("contact", contact_id)
    mails = [mail for mail in RECORDS["email"].values() if roles(mail, contact_id)]
    page = newest_first(mails, after, limit)
    return Page([{**shown(mail), "roles": roles(mail, contact_id)} for mail in page.records], page.next)


def shown(mail: Record) -> Record:
    """A mail as a list shows it: with what is seen of the bodies and attachments in their place."""
    head = {name: value for name, value in mail.items() if name not in ("textBody", "htmlBody", "attachments")}
    text = mail["textBody"] or text_of(mail["htmlBody"] or "")
    return {**head, "snippet": snippet(text), "hasAttachments": has_files(mail["attachments"])}


# ---- contacts and companies -----------------------------------------------------------------------------------------


@transaction
def lookup_contacts(addresses: Sequence[str]) -> list[Record]:
    """The contacts that have any of the addresses, each once: in the order asked for, then by age, then by id."""
    found = [contact for address in addresses for contact in oldest_first("contact", address)]
    return list({contact["id"]: contact for contact in found}.values())


@transaction
def lookup_companies(domain: str) -> list[Record]:
    """The companies that have the domain, else those that have its nearest parent."""
    found = (oldest_first("company", name) for name in parent_domains(fold_domain(domain) or ""))
    return next(filter(None, found), [])


def oldest_first(kind: str, key: str) -> list[Record]:
    """The records that have this address or domain."""
    records = having(key, KEYS[kind][1], RECORDS[kind].values(), lambda record: folded_keys(kind, record))
    return sorted(records, key=lambda record: (record["createdAt"], record["id"]))


def folded_keys(kind: str, record: Mapping[str, Any]) -> list[str]:
    """A record's addresses or domains, folded; without those that can't be read."""
    field, fold = KEYS[kind]
    return [key for key in map(fold, record[field]) if key]


@transaction
def get_contact(contact_id: str) -> Record:
    """The contact with this id."""
    return get("contact", contact_id)


@transaction
def get_company(company_id: str) -> Record:
    """The company with this id."""
    return get("company", company_id)


@transaction
def list_contacts(updated_since: str | None = None, after: Cursor | None = None, limit: int = 25) -> Page:
    """The contacts that were changed at or after a time, the longest unchanged first."""
    return longest_unchanged_first("contact", updated_since, after, limit)


@transaction
def list_companies(updated_since: str | None = None, after: Cursor | None = None, limit: int = 25) -> Page:
    """The companies that were changed at or after a time, the longest unchanged first."""
    return longest_unchanged_first("company", updated_since, after, limit)


def longest_unchanged_first(kind: str, since: str | None, after: Cursor | None, limit: int) -> Page:
    """A page of records; an empty time matches none."""
    ends = sorted((record["updatedAt"], record["id"]) for record in RECORDS[kind].values())
    behind = [end for end in ends if since != "" and end > (after or (since or "", ""))]
    return Page([RECORDS[kind][end[1]] for end in behind[:limit]], behind[limit - 1] if len(behind) > limit else None)


@transaction
def add_contact(contact: Mapping[str, Any]) -> tuple[Record, bool]:
    """Found by its id or an address, only its gaps are filled; else it is new."""
    return add("contact", contact)


@transaction
def add_company(company: Mapping[str, Any]) -> tuple[Record, bool]:
    """Found by its id or a domain, only its gaps are filled; else it is new."""
    return add("company", company)


def add(kind: str, sent: Mapping[str, Any]) -> tuple[Record, bool]:
    here = find_same(kind, sent)
    if here is None:
        return save(kind, None, {"id": uuid4().hex, **sent}), True
    field, fold = KEYS[kind]
    keys = union(here[field], sent[field], lambda text: fold(text) or text)
    gaps = {name: value for name, value in sent.items() if value and not here[name]}
    return save(kind, here, {**here, **gaps, field: keys}), False


def find_same(kind: str, sent: Mapping[str, Any]) -> Record | None:
    """The record with the same id, else the oldest with one of the addresses or domains."""
    keys = folded_keys(kind, sent)
    same = [record for record in RECORDS[kind].values() if not set(keys).isdisjoint(folded_keys(kind, record))]
    oldest = min(same, key=lambda record: (record["createdAt"], record["id"]), default=None)
    return RECORDS[kind].get(sent.get("id", ""), oldest)


@transaction
def put_contact(contact_id: str, contact: Mapping[str, Any]) -> tuple[Record, bool]:
    """What the CRM says of a contact is so, whatever others have."""
    return put("contact", contact_id, contact)


@transaction
def put_company(company_id: str, company: Mapping[str, Any]) -> tuple[Record, bool]:
    """What the CRM says of a company is so, whatever others have."""
    return put("company", company_id, company)


def put(kind: str, record_id: str, sent: Mapping[str, Any]) -> tuple[Record, bool]:
    old = RECORDS[kind].get(record_id)
    return save(kind, old, {**(old or {}), **sent, "id": record_id}), old is None


@transaction
def change_contact(contact_id: str, changes: Mapping[str, Any]) -> Record:
    """The named fields change, the others stay."""
    old = get("contact", contact_id)
    return save("contact", old, {**old, **changes})


@transaction
def change_company(company_id: str, changes: Mapping[str, Any]) -> Record:
    """The named fields change, the others stay."""
    old = get("company", company_id)
    return save("company", old, {**old, **changes})


@transaction
def delete_contact(contact_id: str) -> None:
    """The contact is gone; its mail stays."""
    delete("contact", contact_id)


@transaction
def delete_company(company_id: str) -> None:
    """The company is gone; its contacts stay, without it."""
    for contact in list(RECORDS["contact"].values()):
        if contact["companyId"] == company_id:
            save("contact", contact, {**contact, "companyId": None})
    delete("company", company_id)


# ---- users, changes, persons ----------------------------------------------------------------------------------------


@transaction
def add_user(user: Mapping[str, Any]) -> Record:
    """A user has an address that can be read, and shares neither it nor his id with another."""
    user = {"id": uuid4().hex, **user}
    key = fold_address(user["email"])
    if key is None:
        raise Invalid(email="This can't be read as an e-mail address.")
    if any(one["id"] == user["id"] or fold_address(one["email"]) == key for one in RECORDS["user"].values()):
        raise Conflict("A user with this id or address is here already.")
    RECORDS["user"][user["id"]] = user
    return user


@transaction
def get_user(user_id: str) -> Record:
    """The user with this id."""
    return get("user", user_id)


@transaction
def lookup_users(addresses: Sequence[str]) -> list[Record]:
    """The users who have any of the addresses, each once, in the order asked for."""
    users = RECORDS["user"].values()
    found = [having(address, fold_address, users, lambda user: [fold_address(user["email"])]) for address in addresses]
    return list({user["id"]: user for some in found for user in some}.values())


@transaction
def list_changes(after: int = 0, limit: int = 25) -> list[Record]:
    """What was created, changed and deleted after a number, in order."""
    return CHANGES[after : after + limit]


@transaction
def export_person(address: str) -> Iterator[tuple[str, Record]]:
    """All that is held about an address."""
    return iter([(kind, record) for kind, records in held(address).items() for record in records])


@transaction
def erase_person(address: str, dry_run: bool = False) -> Record:
    """Remove all that is held about an address; the ids of what went."""
    found = held(address)
    for kind, records in reversed(found.items()):
        for record in [] if dry_run else records:
            delete(kind, record["id"])
    return {f"{kind}s": [record["id"] for record in records] for kind, records in found.items()}


def held(address: str) -> dict[str, list[Record]]:
    """The user and the contacts that have an address, and the mail that it sent, received or is mentioned in."""
    key = fold_address(address)
    if key is None:
        raise Invalid(address="This can't be read as an e-mail address.")
    spellings = "|".join(map(re.escape, {key, bare_address(address).casefold()}))
    mention = re.compile(rf"(?<![\w.+-])(?:{spellings})(?!\.?[\w-])")

    def concerns(mail: Record) -> bool:
        written = any(fold_address(text) == key for texts in people(mail).values() for text in texts)
        return written or any(mention.search(str(value).casefold()) for value in mail.values())

    return {
        "user": [user for user in RECORDS["user"].values() if fold_address(user["email"]) == key],
        "contact": [one for one in RECORDS["contact"].values() if key in folded_keys("contact", one)],
        "email": [mail for mail in RECORDS["email"].values() if concerns(mail)],
    }


# ---- every record ---------------------------------------------------------------------------------------------------


def get(kind: str, record_id: str) -> Record:
    """The record with this id. Raises NotFound."""
    if record_id not in RECORDS[kind]:
        raise NotFound
    return RECORDS[kind][record_id]


def save(kind: str, old: Record | None, new: Record) -> Record:
    """Keep a record, and tell the change feed; where nothing has changed, nothing happens."""
    if new == old and dumps(new, sort_keys=True) == dumps(old, sort_keys=True):  # to Python alone, 1 is True
        return old
    company_id = new.get("companyId")
    if company_id is not None and company_id not in RECORDS["company"]:
        raise Invalid(companyId="There is no such company.")
    moment = now()
    new = {**new, "createdAt": old["createdAt"] if old else moment, "updatedAt": moment}
    RECORDS[kind][new["id"]] = new
    tell(kind, new["id"], "changed" if old else "created")
    return new


def delete(kind: str, record_id: str) -> None:
    """Remove a record, and tell the change feed. Raises NotFound."""
    get(kind, record_id)
    del RECORDS[kind][record_id]
    SEEN.pop(record_id if kind == "email" else "", None)
    tell(kind, record_id, "deleted")


def tell(kind: str, record_id: str, action: str) -> None:
    """Add to the change feed, in which a change's number is its place."""
    if kind != "user":
        by = tokens.caller.get()
        change = {"seq": len(CHANGES) + 1, "at": now(), "type": kind, "id": record_id, "action": action}
        CHANGES.append({**change, "tokenId": by.token_id if by else None})
