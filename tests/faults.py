"""Faults that a connector may have, to be planted into the in-memory one; and for each the rules that have to find it.

    rules, plant = FAULTS["blind copies are dropped"]
    plant(patch, app)

A plant changes the verbs of `crm` or what they are made of, the store of tests/memory.py, or the requests and answers
on their way; the MonkeyPatch undoes it.
"""

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from datetime import timedelta, timezone
from io import BytesIO
from itertools import chain
from threading import Lock
from types import SimpleNamespace
from typing import Any
from unicodedata import normalize
from urllib.parse import parse_qsl, urlencode

import pytest
from flask import Flask
from werkzeug.wrappers import Request, Response

import crm
import schemas
from clock import now
from conformance.rules import emails as rules
from conformance.rules import upkeep
from crm import directory, drafts, emails, finding, merging, timelines
from crm.matching import bare_address, normalize_address, normalize_domain, normalize_message_id, parent_domains
from crm.merging import LISTS, NO_EMAIL, entries, union
from crm.records import Conflict, Cursor, Invalid, NotFound, Page, Record
from store.values import Draft
from tests import memory
from web import fields, tokens, unmatched, wire
from web.activity import Activity

Plant = Callable[[pytest.MonkeyPatch, Flask], None]

# As they are without a fault.
REAL = SimpleNamespace(**{name: getattr(crm, name) for name in crm.__all__})
EMAILS = SimpleNamespace(**(vars(drafts) | vars(finding) | vars(emails)))
DIRECTORY = SimpleNamespace(**vars(directory))
ALL = 1_000_000  # emails on a page

# ---- ways to plant --------------------------------------------------------------------------------------------------


def attribute(module: Any, name: str, value: Any) -> Plant:
    """Another value in the place of a module's own."""
    return lambda patch, app: patch.setattr(module, name, value)


def verb(name: str, function: Callable[..., Any]) -> Plant:
    """Another function in the place of a verb."""
    return attribute(crm, name, function)


def inside(name: str, value: Any) -> Plant:
    """Another value in the place of one that the verbs are made of, wherever it is used."""

    def plant(patch: pytest.MonkeyPatch, app: Flask) -> None:
        users = [module for module in (directory, drafts, emails, finding, timelines) if hasattr(module, name)]
        assert users, f"nothing is named {name} any more"
        for module in users:
            patch.setattr(module, name, value)

    return plant


def together(*plants: Plant) -> Plant:
    """All of these."""

    def plant(patch: pytest.MonkeyPatch, app: Flask) -> None:
        for one in plants:
            one(patch, app)

    return plant


def saved(kind: str, change: Callable[[Record], Record]) -> Plant:
    """Records of a kind are changed before they are stored, whichever verb does it."""
    if kind == "email":
        return inside("derive", lambda new, old=None: EMAILS.derive(change(new), old))

    def store(of: Any, old: Record | None, new: Record, keys: list[str | None]) -> Record:
        changed = change(new) if of.name == kind else new
        record: Record = DIRECTORY.store_record(of, old, changed, of.keys(changed))
        return record

    return inside("store_record", store)


def drafted(change: Callable[[Draft], object]) -> Plant:
    """What follows from an email's fields is changed before it is stored."""

    def draft(new: Record, old: Record | None = None) -> Draft:
        made: Draft = EMAILS.derive(new, old)
        change(made)
        return made

    return inside("derive", draft)


def field(name: str, change: Callable[[Any], Any]) -> Plant:
    """A field of a mail is changed before it is stored."""
    return saved("email", lambda mail: {**mail, name: change(mail[name])} if mail[name] else mail)


def compared(kind: str, normalize: Callable[[str], str | None]) -> Plant:
    """Addresses of contacts, or domains of companies, are compared in another form."""
    name = kind.upper()
    of_kind = attribute(directory, name, getattr(directory, name)._replace(normalize=normalize))
    return together(of_kind, attribute(directory, "normalize_address", normalize)) if kind == "contact" else of_kind


def ids_compared(normalize: Callable[[str | None], str | None]) -> Plant:
    """Message-IDs, msgIds and thread ids are compared in another form."""

    def plant(patch: pytest.MonkeyPatch, app: Flask) -> None:
        patch.setattr(drafts, "normalize_message_id", normalize)
        for name in ("rfc822MsgId", "msgId", "syncThreadId"):
            patch.setitem(finding._KEYS, name, (*EMAILS._KEYS[name][:2], normalize))

    return plant


def first_key_alone(directory: memory.Directory) -> Plant:
    """A record is found by the first of its addresses or domains."""
    return attribute(directory, "insert", lambda record, keys: memory.Directory.insert(directory, record, keys[:1]))


def contacts_where(holds: Callable[[str, Record], bool]) -> Plant:
    """A contact is found where this holds for the address asked for and the contact."""

    def lookup(addresses: Iterable[str]) -> list[Record]:
        return [one for one in memory.RECORDS["contact"].values() if any(holds(text, one) for text in addresses)]

    return verb("lookup_contacts", lookup)


def companies_where(holds: Callable[[str, str], bool]) -> Plant:
    """A company is found where this holds for the domain asked for and one of its own, both normalized."""

    def lookup(domain: str, **_: Any) -> list[Record]:
        asked = normalize_domain(domain) or domain
        companies = memory.RECORDS["company"].values()
        return [one for one in companies if any(holds(asked, own) for own in memory.KEYS["company"][one["id"]])]

    return verb("lookup_companies", lookup)


def emails_where(name: str, holds: Callable[[str, Record], Any]) -> Plant:
    """An email passes a filter where this holds for the filter's value and the email."""

    def find(filters: Mapping[str, str], after: Cursor | None = None, limit: int = 25) -> Page:
        others = {of: value for of, value in filters.items() if of != name}
        found = REAL.find_emails(others, None, ALL).records
        return page_of([one for one in found if name not in filters or holds(filters[name], one)], after, limit)

    return verb("find_emails", find)


def page_response(page: Callable[[list[Record], Cursor | None, int], Page]) -> Plant:
    """Pages of emails are made in another way."""
    return inside(
        "page_where",
        lambda conditions, after, limit, whole: page(
            EMAILS.page_where(conditions, None, ALL, whole).records, after, limit
        ),
    )


def page_of(
    found: Iterable[Record],
    after: Cursor | None,
    limit: int,
    key: Callable[[Record], Any] | None = None,
    behind: Callable[[Record, Cursor], bool] | None = None,
) -> Page:
    """A page of emails, by a key, the greatest first, that begins with what is behind the cursor."""
    is_behind = behind or (lambda email, after: place(email) < (after[0], int(after[1])))
    rest = [one for one in sorted(found, key=key or place, reverse=True) if after is None or is_behind(one, after)]
    last = rest[limit - 1] if len(rest) > limit else None
    return Page(rest[:limit], (place(last)[0], last["id"]) if last else None)


def doubled(key: str) -> Plant:
    """A copy's recipients, or entries of relatedTo, are added although they are here."""
    return attribute(
        merging,
        "union",
        lambda here, others, by: [*here, *others] if by is getattr(merging, key) else union(here, others, by),
    )


def related_by(key: Callable[[Mapping[str, Any]], Any]) -> Plant:
    """Another key makes two entries of relatedTo the same."""
    return together(inside("relation", key), attribute(merging, "relation", key))


def asked(change: Callable[[dict[str, Any]], None]) -> Plant:
    """Requests are changed on the way in: their WSGI environment."""

    def plant(patch: pytest.MonkeyPatch, app: Flask) -> None:
        inner = app.wsgi_app

        def changed(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            change(environ)
            return inner(environ, start_response)

        patch.setattr(app, "wsgi_app", changed)

    return plant


def query(change: Callable[[list[tuple[str, str]]], list[tuple[str, str]]]) -> Plant:
    """Query strings are changed on the way in."""

    def changed(environ: dict[str, Any]) -> None:
        pairs = parse_qsl(environ["QUERY_STRING"], keep_blank_values=True)
        environ["QUERY_STRING"] = urlencode(change(pairs))

    return asked(changed)


def body(change: Callable[[bytes], bytes]) -> Plant:
    """Bodies are changed on the way in."""

    def changed(environ: dict[str, Any]) -> None:
        if environ.get("CONTENT_LENGTH"):
            new = change(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
            environ["wsgi.input"], environ["CONTENT_LENGTH"] = BytesIO(new), str(len(new))

    return asked(changed)


def answered(change: Callable[[Request, Response], Any]) -> Plant:
    """Answers are changed on the way out."""

    def plant(patch: pytest.MonkeyPatch, app: Flask) -> None:
        inner = app.wsgi_app

        def changed(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            response = Response.from_app(inner, environ, buffered=True)
            change(Request(environ, populate_request=False), response)
            return response(environ, start_response)

        patch.setattr(app, "wsgi_app", changed)

    return plant


def text(pattern: str, new: str) -> Plant:
    """What matches in the body of an answer is another text."""
    return answered(lambda _, response: response.set_data(re.sub(pattern, new, response.get_data(as_text=True))))


def status(new: int, old: int, where: str, text: str | None = None) -> Plant:
    """Answers of one status, where method and path match, have another one, and another body if one is given."""

    def change(request: Request, response: Response) -> None:
        if response.status_code == old and re.search(where, f"{request.method} {request.path}"):
            response.status_code = new
            if text is not None:
                response.set_data(text)

    return answered(change)


def crash(name: str, holds: Callable[..., Any], error: Exception | None = None) -> Plant:
    """A verb fails where this holds for its arguments: in a way that nobody foresaw, or with an error of its own."""

    def failing(*arguments: Any, **options: Any) -> Any:
        if holds(*arguments, **options):
            raise error or RuntimeError("not foreseen")
        return getattr(REAL, name)(*arguments, **options)

    return verb(name, failing)


def raced(place: Any, name: str) -> Plant:
    """Nothing is locked between looking for a record and making it."""
    find = getattr(place, name)

    def slowly(*arguments: Any) -> Any:
        found = find(*arguments)
        time.sleep(0.02)
        return found

    return together(attribute(memory, "LOCK", nullcontext()), attribute(place, name, slowly))


# ---- what some faults need ------------------------------------------------------------------------------------------


def like(pattern: str, text: str | None) -> bool:
    """What SQL's LIKE says."""
    wanted = re.escape(pattern).replace("%", ".*").replace("_", ".")
    return re.fullmatch(wanted, text or "", re.IGNORECASE | re.DOTALL) is not None


def ascii_lower(text: str) -> str:
    """What SQLite's lower() gives."""
    return re.sub("[A-Z]", lambda found: found[0].lower(), text)


def place(mail: Record) -> tuple[str, int]:
    """Where a mail stands in the order of mails."""
    return mail["receivedAt"] or mail["createdAt"], int(mail["id"])


def by_offset(mails: Iterable[Record], after: Cursor | None, limit: int) -> Page:
    """A page that begins so many mails behind the first one, whatever came or went meanwhile."""
    start = int(after[1]) if after else 0
    rest = sorted(mails, key=place, reverse=True)[start:]
    return Page(rest[:limit], (now(), str(start + limit)) if len(rest) > limit else None)


def any_filter(filters: Mapping[str, str], after: Cursor | None = None, limit: int = 25) -> Page:
    """The emails that pass one of the filters."""
    pages = [REAL.find_emails({name: value}, None, ALL) for name, value in filters.items()]
    found = {email["id"]: email for page in pages for email in page.records}
    return page_of(found.values(), after, limit)


def known_filters(filters: Mapping[str, str], after: Cursor | None = None, limit: int = 25) -> Page:
    """The emails that pass those filters that some email passes."""
    known = {name: value for name, value in filters.items() if REAL.find_emails({name: value}).records}
    page: Page = REAL.find_emails(known, after, limit)
    return page


def truth_as_number(value: Any) -> Any:
    """What is left of true in a column of integers."""
    if isinstance(value, dict):
        return {key: truth_as_number(one) for key, one in value.items()}
    if isinstance(value, list):
        return [truth_as_number(one) for one in value]
    return int(value) if isinstance(value, bool) else value


def only_keys(entries: Iterable[Record], *keys: str) -> list[Record]:
    """The entries as they are in a table that has only these columns."""
    return [{key: entry[key] for key in keys if key in entry} for entry in entries]


def identified(change: Callable[..., Any]) -> Plant:
    """Another rule says of which email one is a copy: it is given the right one first."""
    return inside("identify", lambda *arguments: change(EMAILS.identify, *arguments))


def merging_as(change: Callable[[Record, Record, Record, Record], tuple[Record, Record]]) -> Plant:
    """A copy makes something else of the record, or is kept in another way: from the record, the copy, and what the
    right outcome is."""
    return inside("merged", lambda record, copy, *more: change(record, copy, *EMAILS.merged(record, copy, *more)))


def find_copy(email: Mapping[str, Any]) -> Any:
    """The email of which this is a copy."""
    return EMAILS._Copy.of({**NO_EMAIL, **email}, None, EMAILS.hashes()).find()


def find_without_ids(copy: Any) -> Any:
    """Emails without any id are one email."""
    if copy.message_key or copy.keys.copy_key:
        return FIND_COPY(copy)
    known = [memory.logged(one) for one in list(memory.EMAILS)]
    return next((one for one in known if not one.message_key and not any(c.copy_key for c in one.copies)), None)


FIND_COPY = emails._Copy.find
MEETS = memory.meets


def add_without_keys(kind: Any, values: Mapping[str, Any]) -> tuple[Record, bool]:
    """Contacts without an address are one contact."""
    nameless = [{"id": one} for one, keys in memory.KEYS[kind.name].items() if not keys]
    more = nameless[0] if nameless and not any(kind.keys(values)) else {}
    return DIRECTORY._add(kind, {**values, **more})


def forgets_its_msg_id(email: Mapping[str, Any]) -> tuple[Record, bool]:
    return REAL.log_email({**email, "msgId": None} if find_copy(email) else email)


def change_forgets_msg_id(email_id: str, changes: Mapping[str, Any], *_: Any) -> Record:
    old = EMAILS.message_keys(REAL.get_email(email_id))[1]
    record: Record = REAL.change_email(email_id, changes)
    if EMAILS.message_keys(record)[1] != old:
        copies = memory.COPIES[email_id]
        memory.COPIES[email_id] = {n: one for n, one in copies.items() if one[0].copy_key != old}
    return record


def put_forgets_ids(environ: dict[str, Any]) -> None:
    if environ["REQUEST_METHOD"] == "PUT" and "/emails/" in environ["PATH_INFO"]:
        body = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        sent = json.dumps({"msgId": None, "rfc822MsgId": None} | body).encode()
        environ["wsgi.input"], environ["CONTENT_LENGTH"] = BytesIO(sent), str(len(sent))


def change_without_conflict(email_id: str, changes: Mapping[str, Any], *_: Any) -> Record:
    try:
        return REAL.change_email(email_id, changes)
    except Conflict:
        new = EMAILS.derive({**REAL.get_email(email_id), **changes})
        memory.update(new, new)
        return new.record


def change_before_conflict(email_id: str, changes: Mapping[str, Any], *_: Any) -> Record:
    REAL.change_email(email_id, {name: value for name, value in changes.items() if name != "rfc822MsgId"})
    return REAL.change_email(email_id, changes)


def change_by_adding(email_id: str, changes: Mapping[str, Any], *_: Any) -> Record:
    old = REAL.get_email(email_id)
    lists = {name: old[name] + value for name, value in changes.items() if isinstance(value, list)}
    return REAL.change_email(email_id, {**changes, **lists})


def change_or_create(email_id: str, changes: Mapping[str, Any], *_: Any) -> Record:
    return REAL.change_email(email_id, changes) if email_id in memory.EMAILS else REAL.log_email(changes)[0]


def update_without_time(old: Draft, new: Draft) -> None:
    new.record["updatedAt"] = old.record["updatedAt"]
    memory.update(old, new)


def update_as_new(old: Draft, new: Draft) -> None:
    new.record["createdAt"] = new.record["updatedAt"]
    memory.update(old, new)


def busy() -> bool:
    """Whether somebody else is at it."""
    if not WORK.acquire(blocking=False):
        return True
    time.sleep(0.02)
    WORK.release()
    return False


WORK = Lock()


def page_of_then(conditions: Any, after: Cursor | None, limit: int, whole: bool) -> Page:
    """Links by address are made when an email is logged: a contact has the emails that came after it."""
    page = EMAILS.page_where(conditions, after, limit, whole)
    if conditions.contact_id is None:
        return page
    contact = memory.RECORDS["contact"].get(conditions.contact_id)
    came = [email for email in page.records if contact and contact["createdAt"] < email["createdAt"]]
    return Page(came, page.next)


def deleted_softly(patch: pytest.MonkeyPatch, app: Flask) -> None:
    """A deleted record can't be got any more, but is still found."""
    deleted: set[str] = set()

    def delete(record_id: str) -> bool:
        gone = record_id in deleted
        deleted.add(record_id)
        return not gone

    for part in (memory.emails, memory.contacts, memory.companies):
        read = part.read
        patch.setattr(part, "read", lambda ids, read=read: read([one for one in ids if one not in deleted]))
    for part in (memory.contacts, memory.companies):
        patch.setattr(part, "delete", delete)
    patch.setattr(memory.emails, "delete", lambda old: delete(old.record["id"]))


def deleted_once(directory: memory.Directory, since: str, after_id: str, limit: int) -> list[Record]:
    """What was ever deleted, whether it was made again or not."""
    gone = [one for one in memory.CHANGES if (one["type"], one["action"]) == (directory.kind, "deleted")]
    found = [one for one in gone if (one["at"], one["id"]) > (since, after_id)][:limit]
    return [{"id": one["id"], "updatedAt": one["at"], "deleted": True} for one in found]


def delete_with_mail(contact_id: str, *_: Any) -> None:
    for email in REAL.timeline(contact_id, None, ALL).records:
        REAL.delete_email(email["id"])
    REAL.delete_contact(contact_id)


def add_overwriting(contact: Mapping[str, Any]) -> tuple[Record, bool]:
    same = REAL.lookup_contacts(contact["emailAddresses"])
    return REAL.put_contact(same[0]["id"], contact) if same else REAL.add_contact(contact)


def put_merging(contact_id: str, contact: Mapping[str, Any], *_: Any) -> tuple[Record, bool]:
    same = REAL.lookup_contacts(contact["emailAddresses"])
    return REAL.put_contact(same[0]["id"] if same else contact_id, contact)


def add_to_parent(kind: Any, values: Mapping[str, Any]) -> tuple[Record, bool]:
    """A company is the company of its parent domain."""
    parents = list(chain.from_iterable(map(REAL.lookup_companies, values.get("domains", []))))
    return DIRECTORY._add(kind, {**values, "id": parents[0]["id"]} if parents else values)


def refuse_unknown_fields(sent: bytes) -> bytes:
    known = {*schemas.EmailIn().fields, *schemas.ContactNew().fields, *schemas.CompanyNew().fields}
    try:
        return sent if json.loads(sent).keys() <= known else b"refused"
    except (ValueError, AttributeError, RecursionError):
        return sent


def cut_chunks(environ: dict[str, Any]) -> None:
    if environ.get("wsgi.input_terminated"):
        environ["wsgi.input"] = BytesIO(environ["wsgi.input"].read(65536))


def authenticate_any_case(token: str) -> tokens.Caller | None:
    if caller := AUTHENTICATE(token):
        CALLERS_SEEN[token.lower()] = caller
    return CALLERS_SEEN.get(token.lower())


AUTHENTICATE = tokens.authenticate
CALLERS_SEEN: dict[str, tokens.Caller] = {}


def nobody_is_404(request: Request, response: Response) -> None:
    if response.get_data().strip() == b"[]":
        response.status_code = 404


def nobody_for_basic(request: Request, response: Response) -> None:
    if request.authorization and request.authorization.type == "basic":
        response.set_data("{}")


def unpaged(request: Request, response: Response) -> None:
    """The link of the next page forgets what was asked for."""
    if "Link" in response.headers:
        response.headers["Link"] = re.sub(r"\?.*(?=cursor=)", "?", response.headers["Link"])


# ---- the faults -----------------------------------------------------------------------------------------------------

KEPT: dict[str, tuple[str, Plant]] = {
    "subjects are not kept": ("email-subject email-logged email-least", field("subject", lambda text: None)),
    "subjects are cut at 255 characters": ("email-long-subject", field("subject", lambda text: text[:255])),
    "subjects are trimmed": ("email-subject-space", field("subject", str.strip)),
    "bodies are cut at 65,535 bytes": ("email-long-text", field("textBody", lambda text: text[:65535])),
    "bodies are trimmed": ("email-text email-body-space", field("textBody", str.strip)),
    "bodies are normalized": ("email-composed", field("textBody", lambda text: normalize("NFC", text))),
    "CRLF becomes LF": ("email-line-ends", field("textBody", lambda text: text.replace("\r\n", "\n"))),
    "LF becomes CRLF": ("email-line-ends", field("htmlBody", lambda text: re.sub("\r?\n", "\r\n", text))),
    "control characters are dropped": (
        "email-controls",
        field("textBody", lambda text: re.sub("[\x0b\x7f]", "", text)),
    ),
    "a character has three bytes at most": (
        "email-emoji",
        field("subject", lambda text: re.sub("[\U00010000-\U0010ffff]", "?", text)),
    ),
    "scripts are cut out of HTML": (
        "email-html-letter",
        field("htmlBody", lambda text: re.sub("(?s)<script.*?</script>", "", text)),
    ),
    "HTML is made text": ("email-html", field("htmlBody", lambda text: re.sub("<[^>]*>", "", text))),
    "blind copies are dropped": ("email-bcc", field("bccAddresses", lambda texts: [])),
    "copies become recipients": (
        "email-cc",
        saved(
            "email", lambda mail: {**mail, "toAddresses": mail["toAddresses"] + mail["ccAddresses"], "ccAddresses": []}
        ),
    ),
    "the first recipient is enough": ("email-to email-many-recipients", field("toAddresses", lambda texts: texts[:1])),
    "a hundred recipients are enough": ("email-many-recipients", field("toAddresses", lambda texts: texts[:100])),
    "recipients are lower-cased": ("email-address-case", field("toAddresses", lambda texts: [*map(str.lower, texts)])),
    "senders are lower-cased": ("email-address-case", field("fromAddress", str.lower)),
    "recipients are sorted": ("email-address-order", field("ccAddresses", sorted)),
    "recipients are a set": ("email-duplicates", field("toAddresses", lambda texts: list(dict.fromkeys(texts)))),
    "recipients are bare addresses": (
        "email-nonsense",
        field("toAddresses", lambda texts: [*map(bare_address, texts)]),
    ),
    "recipients are joined by commas": (
        "email-nonsense",
        field("ccAddresses", lambda texts: ",".join(texts).split(",")),
    ),
    "what is no address is dropped": (
        "email-nonsense",
        field("toAddresses", lambda texts: [*filter(normalize_address, texts)]),
    ),
    "addresses are cut at 320 characters": (
        "email-long-address",
        field("toAddresses", lambda texts: [text[:320] for text in texts]),
    ),
    "an address must be called address": (
        "participant-email",
        body(lambda sent: re.sub(rb'"email": ', b'"mail": ', sent)),
    ),
    "Graph is not known": (
        "participant-graph",
        body(lambda sent: re.sub(rb'"emailAddress": ', b'"graph": ', sent)),
    ),
    "an object without an address is an empty recipient": (
        "participant-without-address",
        attribute(
            fields.Recipient,
            "_deserialize",
            lambda field, value, attr, data, **more: value.get("address") or value.get("name") or "",
        ),
    ),
    "a null in a list is not foreseen": (
        "participant-null",
        body(lambda sent: b"refused" if re.search(rb"\[null|null\]", sent) else sent),
    ),
    "a sender has to be an address": ("email-from-odd", field("fromAddress", normalize_address)),
    "a sender's name is not kept": ("email-from", field("fromName", lambda text: None)),
    "an object's name is lost": (
        "email-address-object",
        body(lambda sent: re.sub(rb'"name": "[^"]*", (?="address")', b"", sent)),
    ),
    "a mail forgets what it answers": ("email-reply", field("inReplyTo", lambda text: None)),
    "a mail forgets its thread": ("email-thread", field("syncThreadId", lambda text: None)),
    "a mail forgets its Message-ID": (
        "email-ids email-lookup",
        field("rfc822MsgId", lambda text: None),
    ),
    "offsets of times are lost": (
        "email-time-offset",
        body(lambda sent: re.sub(rb'("receivedAt": "[^"]{19,26})[+-]\d\d:\d\d"', rb'\1Z"', sent)),
    ),
    "times are of another day": ("email-time", field("receivedAt", lambda text: text.replace("-29T", "-28T"))),
    "times are kept to the second": (
        "email-time-microseconds",
        field("receivedAt", lambda text: text[:19] + ".000000Z"),
    ),
    "times are kept to the millisecond": (
        "email-time-microseconds",
        field("receivedAt", lambda text: text[:23] + "000Z"),
    ),
    "times go out with +00:00": ("email-time-shape record-times", text(r'(At":"[^"]*)Z"', r'\1+00:00"')),
    "times without an offset are local": (
        "email-time-no-offset",
        attribute(fields, "UTC", timezone(timedelta(hours=2))),
    ),
    "times begin in 1970": (
        "email-time-extremes",
        field("receivedAt", lambda text: max(text, "1970-01-01T00:00:00.000000Z")),
    ),
    "a date is a time": (
        "email-time-date-alone email-time-nonsense patch-refused",
        attribute(fields, "_RFC3339", re.compile(r".*?(?P<second>)")),
    ),
    "unknown keys of attachments are dropped": (
        "email-attachment-keys",
        field("attachments", lambda files: only_keys(files, *rules.ATTACHMENT)),
    ),
    "attachments lose their content": (
        "email-attachments",
        field("attachments", lambda files: [{**file, "content": None} for file in files]),
    ),
    "files have no place": ("attachment-download", status(404, 200, "attachments/#")),
    "attachments are not kept": ("email-attachment-names", field("attachments", lambda files: [])),
    "true becomes 1": ("email-attachments email-attachment-keys", field("attachments", truth_as_number)),
    "relatedTo is not kept": ("email-related", field("relatedTo", lambda related: [])),
    "relatedTo is always a list": ("email-related-object", field("relatedTo", entries)),
    "a relatedTo of one is never a list": (
        "email-related-list",
        field("relatedTo", lambda related: related[0] if len(entries(related)) == 1 else related),
    ),
    "relatedTo is flattened to type and id": (
        "email-related-keys",
        field("relatedTo", lambda related: only_keys(entries(related), "type", "id")),
    ),
    "an empty list is null": ("email-empty email-nulls", text(r'(Addresses":)\[\]', r"\1null")),
    "no text is an empty text": ("email-empty email-nulls", text(r'(subject":)null', r'\1""')),
    "null is missing": ("email-empty", text(r'"subject":null,', "")),
    "unknown fields are refused": ("email-unknown-fields contact-unknown-fields", body(refuse_unknown_fields)),
}

IDENTITY: dict[str, tuple[str, Plant]] = {
    "Message-IDs are stored without their brackets": (
        "email-lookup-brackets copy-trimmed",
        field("rfc822MsgId", lambda text: text.strip("<>")),
    ),
    "letter case of ids is ignored": (
        "email-lookup-case identity-msgid emails-by-msgid emails-by-thread-trimmed",
        ids_compared(lambda text: (normalize_message_id(text) or "").lower() or None),
    ),
    "brackets of ids count": (
        "email-lookup-brackets copy-trimmed",
        ids_compared(lambda text: (text or "").strip() or None),
    ),
    "all brackets of ids are taken off": (
        "email-lookup-one-pair hostile-message-ids",
        ids_compared(lambda text: (text or "").strip().strip("<>") or None),
    ),
    "white space around ids counts": (
        "email-lookup-white-space copy-trimmed",
        ids_compared(lambda text: (text or "").removeprefix("<").removesuffix(">") or None),
    ),
    "ids are compared by 200 characters": (
        "email-lookup-long",
        ids_compared(lambda text: (normalize_message_id(text) or "")[:200] or None),
    ),
    "a mail is its msgId first": (
        "identity-message-id-first",
        identified(
            lambda identify, known, key, contents: identify(known, None, contents) or identify(known, key, contents)
        ),
    ),
    "a msgId alone makes mails one": (
        "identity-contradiction",
        identified(lambda identify, known, key, contents: identify(known, key, [None] * len(contents))),
    ),
    "a mail with a Message-ID is never known by its msgId": (
        "identity-either-order",
        identified(
            lambda identify, known, key, contents: identify(
                [] if key and not any(one.message_key == key for one in known) else known, key, contents
            )
        ),
    ),
    "a Message-ID that a copy brings is dropped": (
        "identity-either-order",
        merging_as(lambda record, copy, new, differs: ({**new, "rfc822MsgId": record["rfc822MsgId"]}, differs)),
    ),
    "a mail without Message-ID is always new": (
        "identity-msgid race-msgid",
        identified(lambda identify, known, key, contents: identify(known, key, contents) if key else None),
    ),
    "mails without ids are one": ("identity-none", attribute(emails._Copy, "find", find_without_ids)),
    "each POST makes a record": (
        "copy-repeated-post copy-same-record race-message-id",
        identified(lambda identify, known, key, contents: None),
    ),
    "a copy is refused": (
        "copy-same-record copy-repeated-post",
        crash("log_email", find_copy, Conflict("here already")),
    ),
    "a copy overwrites": (
        "copy-first-stays",
        merging_as(lambda record, copy, new, differs: ({**record, **copy, "id": record["id"]}, differs)),
    ),
    "a copy changes the msgId": (
        "copy-both-msgids copy-first-stays",
        merging_as(lambda record, copy, new, differs: ({**new, "msgId": copy["msgId"]}, differs)),
    ),
    "a copy's msgId is forgotten": ("copy-both-msgids race-message-id", verb("log_email", forgets_its_msg_id)),
    "a copy adds nothing": (
        "copy-adds-recipients copy-adds-related copy-fills-gaps changes-copy",
        merging_as(lambda record, copy, new, differs: (record, differs)),
    ),
    "a copy's files are dropped": (
        "copy-adds-files",
        merging_as(lambda record, copy, new, differs: ({**new, "attachments": record["attachments"]}, differs)),
    ),
    "what a copy says otherwise is dropped": (
        "copy-otherwise copy-stranger",
        merging_as(lambda record, copy, new, differs: (new, {})),
    ),
    "a stolen Message-ID opens the mail": ("copy-stranger", inside("has_another_sender", lambda *senders: False)),
    "a copy brings back what people took away": ("copy-not-brought-back", inside("removed_by", lambda *changed: None)),
    "a copy's recipients replace the others": (
        "copy-adds-recipients copy-keeps-recipients",
        merging_as(
            lambda record, copy, new, differs: ({**record, **{name: copy[name] for name in LISTS.values()}}, differs)
        ),
    ),
    "recipients of a copy come twice": ("copy-adds-recipients", doubled("address_key")),
    "entries of a copy come twice": ("copy-adds-related copy-related-shape copy-related-same", doubled("_same_entry")),
    "types are compared with letter case": (
        "copy-related-same timeline-roles",
        related_by(lambda entry: (str(entry.get("type")), str(entry.get("id")))),
    ),
    "ids are compared by their type": (
        "patch-integer-id",
        related_by(lambda entry: (str(entry.get("type")).lower(), repr(entry.get("id")))),
    ),
    "each copy makes relatedTo a list": (
        "copy-related-shape",
        merging_as(lambda record, copy, new, differs: ({**new, "relatedTo": entries(record["relatedTo"])}, differs)),
    ),
    "two that log a mail at once make two": (
        "race-message-id race-msgid race-either-order",
        raced(emails._Copy, "find"),
    ),
    "two that meet a stranger at once make two": ("contact-race company-race", raced(memory.Directory, "find")),
    "of several that log at once, one is refused": (
        "race-different",
        crash("log_email", lambda email: busy()),
    ),
}

CHANGED: dict[str, tuple[str, Plant]] = {
    "PATCH wipes what it does not name": (
        "email-link patch-related patch-each-field patch-nothing",
        verb("change_email", lambda email_id, changes, *_: REAL.change_email(email_id, {**NO_EMAIL, **changes})),
    ),
    "PATCH adds to lists": ("patch-list patch-each-field", verb("change_email", change_by_adding)),
    "null changes nothing": (
        "patch-null put-replaces",
        verb(
            "change_email",
            lambda email_id, changes, *_: REAL.change_email(email_id, {k: v for k, v in changes.items() if v}),
        ),
    ),
    "PATCH is not kept": (
        "patch-related email-link",
        verb("change_email", lambda email_id, changes, *_: {**REAL.get_email(email_id), **changes}),
    ),
    "PATCH creates": ("patch-unknown put-unknown", verb("change_email", change_or_create)),
    "a Message-ID may be another's": ("patch-conflict put-conflict", verb("change_email", change_without_conflict)),
    "a conflict changes half": ("patch-conflict put-conflict", verb("change_email", change_before_conflict)),
    "a mail's own Message-ID is a conflict": (
        "patch-message-id",
        crash(
            "change_email",
            lambda email_id, changes, *_: find_copy({"rfc822MsgId": changes.get("rfc822MsgId")}),
            Conflict("taken"),
        ),
    ),
    "a mail is not found by the msgId that PATCH gave it": (
        "patch-ids",
        drafted(lambda draft: setattr(draft, "copy_key", None)),
    ),
    "a mail is no longer found by the msgId that it had": (
        "copy-msgid-stays",
        verb("change_email", change_forgets_msg_id),
    ),
    "PUT takes the ids away": ("put-keeps-ids", asked(put_forgets_ids)),
    "what was deleted comes back": (
        "email-withheld",
        attribute(memory.withheld, "find", lambda message_key, copy_key: []),
    ),
    "what was deleted comes back without a trace": ("email-withheld", inside("bare", lambda draft, why: draft)),
    "rules are kept and not asked": ("never-log", inside("rules_met", lambda mails: [None] * len(mails))),
    "what a rule kept away is not logged anew": ("never-log", inside("_may_fill", lambda *_: False)),
    "what is withheld is in lists": (
        "email-withheld",
        attribute(
            memory,
            "meets",
            lambda email, asked: MEETS(Draft(**{**vars(email), "record": {**email.record, "withheld": False}}), asked),
        ),
    ),
    "what was deleted stays away for good": (
        "email-forgotten",
        verb("delete_email", lambda email_id, **query: REAL.delete_email(email_id)),
    ),
    "updatedAt stays": (
        "updated-at",
        attribute(memory.emails, "update", update_without_time),
    ),
    "createdAt moves": (
        "updated-at patch-own-fields contact-put",
        together(
            attribute(memory.emails, "update", update_as_new),
            attribute(
                emails._Change, "of", lambda old, new: emails._Change(EMAILS.derive(old), EMAILS.derive(new, old))
            ),
            inside(
                "store_record",
                lambda kind, old, new, keys: DIRECTORY.store_record(
                    kind, old and {**old, "createdAt": now()}, new, keys
                ),
            ),
        ),
    ),
    "a deleted mail is still found": (
        "email-delete contact-delete company-delete",
        deleted_softly,
    ),
    "deleting what is not there is fine": ("email-delete contact-delete company-delete", status(204, 404, "DELETE")),
    "deletion is answered with 200": ("email-delete contact-delete company-delete", status(200, 204, "DELETE", "{}")),
}

FOUND: dict[str, tuple[str, Plant]] = {
    "Message-IDs are compared by LIKE": (
        "email-lookup-stranger",
        emails_where(
            "rfc822MsgId", lambda value, mail: like(value.strip("<> "), (mail["rfc822MsgId"] or "").strip("<> "))
        ),
    ),
    "the beginning of a Message-ID finds it": (
        "email-lookup-stranger",
        emails_where("rfc822MsgId", lambda value, mail: value and (mail["rfc822MsgId"] or "").startswith(value)),
    ),
    "the same mail is found whichever is asked for": (
        "email-lookup",
        emails_where("rfc822MsgId", lambda value, mail: True),
    ),
    "msgIds are compared by LIKE": (
        "emails-by-msgid",
        emails_where("msgId", lambda value, mail: like(value.strip("<> "), mail["msgId"])),
    ),
    "a + that came as a space finds nothing": (
        "email-lookup-plus lookup-plus-as-space emails-by-address-normalized",
        inside("candidate_keys", lambda value, form: [key for key in [form(value)] if key]),
    ),
    "every space is a +": (
        "email-lookup-exact-wins lookup-display-form",
        inside("candidate_keys", lambda value, form: [key for key in [form(value.strip().replace(" ", "+"))] if key]),
    ),
    "an empty filter is none": (
        "emails-filter-empty email-lookup-empty",
        verb("find_emails", lambda filters, **page: REAL.find_emails({k: v for k, v in filters.items() if v}, **page)),
    ),
    "an unknown filter value is none": (
        "email-lookup-none emails-by-contact emails-by-thread",
        verb("find_emails", known_filters),
    ),
    "one filter is enough": ("emails-filters-together", verb("find_emails", any_filter)),
    "threads are not looked at": ("emails-by-thread", emails_where("syncThreadId", lambda value, mail: True)),
    "the mail of an address is what it received": (
        "emails-by-address",
        emails_where(
            "address", lambda value, mail: normalize_address(value) in map(normalize_address, mail["toAddresses"])
        ),
    ),
    "addresses of mail are compared as written": (
        "emails-by-address-normalized",
        drafted(
            lambda draft: draft.recipients.__setitem__(
                slice(None),
                [(*one[:3], one[3] if one[2] == (one[2] or "").lower() else None) for one in draft.recipients],
            )
        ),
    ),
    "the first address of an entry is enough": (
        "emails-by-each-address",
        drafted(
            lambda draft: draft.recipients.__setitem__(
                slice(None), [one for one in draft.recipients if one[2] is not None]
            )
        ),
    ),
    "unknown filters are ignored": (
        "emails-unknown-filter",
        query(lambda pairs: [one for one in pairs if one[0] in schemas.EmailQuery().fields]),
    ),
    "links by address are copies": (
        "emails-by-contact emails-by-new-address timeline-later",
        inside("page_where", page_of_then),
    ),
    "times are compared as written": (
        "emails-by-time",
        query(lambda pairs: [(name, re.sub(r"[+-]\d\d:\d\d$", "Z", value)) for name, value in pairs]),
    ),
    "a time before is a time after": (
        "emails-by-time",
        emails_where("receivedBefore", lambda value, mail: mail["receivedAt"] and mail["receivedAt"] > value),
    ),
    "oldest first": (
        "emails-newest-first timeline-pages",
        page_response(lambda mails, after, limit: Page(page_of(mails, after, limit).records[::-1], None)),
    ),
    "logged last comes first": (
        "emails-newest-first",
        page_response(lambda mails, after, limit: page_of(mails, after, limit, key=lambda mail: mail["createdAt"])),
    ),
    "pages lose mail of one moment": (
        "emails-pages",
        page_response(
            lambda mails, after, limit: page_of(
                mails, after, limit, behind=lambda mail, after: place(mail)[0] < after[0]
            )
        ),
    ),
    "pages are counted": ("emails-pages-steady", page_response(by_offset)),
    "mail without a time is on no page": (
        "emails-pages-without-time",
        page_response(lambda mails, after, limit: page_of([one for one in mails if one["receivedAt"]], after, limit)),
    ),
    "the next page forgets the filters": ("emails-pages-filtered", answered(unpaged)),
    "there is only one page": (
        "emails-pages emails-pages-filtered timeline-pages contacts-list companies-list",
        answered(lambda _, response: response.headers.remove("Link")),
    ),
    "a page holds 20": (
        "emails-limit",
        query(lambda pairs: [("limit", "20"), *pairs][:: -1 if dict(pairs).get("limit") else 1]),
    ),
    "lists are objects": (
        "email-lookup emails-bare-array lookup-one company-lookup users-lookup",
        text(r"(?s)^\[.*\]$", r'{"items":\g<0>}'),
    ),
    "lists hold no attachments": (
        "emails-bare-array email-same-everywhere",
        text(r'(?s)^(\[.*"attachments":)\[.+?\]', r"\1[]"),
    ),
    "what is not there is an empty record": (
        "email-unknown email-unknown-404 contact-unknown company-unknown error-shape",
        status(200, 404, "GET .*/", "{}"),
    ),
    "an id that is no number is not foreseen": (
        "email-unknown-404",
        crash("get_email", lambda email_id: int(email_id) < 0),
    ),
}

LOOKED_UP: dict[str, tuple[str, Plant]] = {
    "addresses are compared by LIKE": (
        "lookup-whole-address",
        contacts_where(lambda asked, contact: any(like(asked, own) for own in contact["emailAddresses"])),
    ),
    "a part of an address finds it": (
        "lookup-whole-address lookup-nonsense your-contact-stranger",
        contacts_where(lambda asked, contact: any(asked.strip() in own for own in contact["emailAddresses"])),
    ),
    "everybody is found": (
        "lookup-stranger lookup-none your-contact-lookup",
        contacts_where(lambda asked, contact: True),
    ),
    "nobody is found": (
        "lookup-one lookup-two lookup-200 your-contact-lookup your-contacts-together",
        contacts_where(lambda asked, contact: False),
    ),
    "addresses are compared as written": (
        "lookup-case lookup-display-form contact-found your-contact-letter-case",
        compared("contact", lambda text: text.strip()),
    ),
    "only ASCII has letter case": (
        "lookup-case-beyond-ascii",
        compared("contact", lambda text: ascii_lower(bare_address(text))),
    ),
    "accents are compared as written": (
        "lookup-composed",
        compared("contact", lambda text: bare_address(text).casefold().removesuffix(".")),
    ),
    "names are part of addresses": (
        "lookup-display-form lookup-quoted-comma",
        compared("contact", lambda text: normalize_address(text.strip("<> ")) if "<" not in text else text),
    ),
    "international domains have one form": (
        "lookup-idna",
        compared("contact", lambda text: normalize("NFC", bare_address(text)).casefold().removesuffix(".")),
    ),
    "a final dot counts": (
        "lookup-final-dot",
        compared("contact", lambda text: (normalize_address(text) or "") + "." * text.strip(" >").endswith(".")),
    ),
    "white space around addresses counts": (
        "lookup-white-space",
        compared(
            "contact",
            lambda text: normalize_address(text) and text.replace(text.strip(), normalize_address(text) or ""),
        ),
    ),
    "addresses are looked for where they are written best": (
        "lookup-comment lookup-mailto lookup-invisible lookup-quotes lookup-punctuation lookup-quoted-local-part",
        compared("contact", lambda text: bare_address(text).casefold()),
    ),
    "dots in local parts are dropped": (
        "lookup-no-tricks",
        compared("contact", lambda text: re.sub(r"\.(?=.*@)", "", normalize_address(text) or "") or None),
    ),
    "tags in local parts are dropped": (
        "lookup-no-tricks",
        compared("contact", lambda text: re.sub(r"\+[^@]*@", "@", normalize_address(text) or "") or None),
    ),
    "the primary address alone counts": (
        "lookup-any-address contact-found",
        first_key_alone(memory.contacts),
    ),
    "one contact for each address": (
        "lookup-shared contact-put-never-merges",
        inside("_by_key", lambda found: {k: v[:1] for k, v in DIRECTORY._by_key(found).items()}),
    ),
    "of several contacts the youngest comes first": (
        "lookup-shared",
        inside("_by_key", lambda found: {k: v[::-1] for k, v in DIRECTORY._by_key(found).items()}),
    ),
    "contacts come by age": (
        "lookup-order",
        verb(
            "lookup_contacts",
            lambda addresses: sorted(REAL.lookup_contacts(addresses), key=lambda one: one["createdAt"]),
        ),
    ),
    "contacts come once for each address": (
        "lookup-each-once",
        verb(
            "lookup_contacts",
            lambda addresses: [one for text in addresses for one in REAL.lookup_contacts([text])],
        ),
    ),
    "contacts come with their primary address alone": (
        "lookup-whole-contacts contact-addresses-as-written",
        verb(
            "lookup_contacts",
            lambda texts: [{**one, "emailAddresses": one["emailAddresses"][:1]} for one in REAL.lookup_contacts(texts)],
        ),
    ),
    "only the last emails= is read": ("lookup-repeated lookup-mix", query(lambda pairs: list(dict(pairs).items()))),
    "only the first emails= is read": (
        "lookup-repeated lookup-mix users-lookup-several",
        query(lambda pairs: list(dict(pairs[::-1]).items())),
    ),
    "emails[]= is not known": (
        "lookup-brackets lookup-mix",
        query(lambda pairs: [one for one in pairs if "[" not in one[0]]),
    ),
    "a comma separates nothing": ("lookup-comma", attribute(schemas, "split_addresses", lambda values: values)),
    "a comma in quotes separates": (
        "lookup-quoted-comma",
        attribute(schemas, "split_addresses", lambda values: ",".join(values).split(",")),
    ),
    "a repeated address counts again": (
        "lookup-200-distinct",
        attribute(schemas, "normalize_address", lambda text: str(time.monotonic_ns())),
    ),
    "a hundred addresses are the most": ("lookup-200", attribute(schemas, "MOST_ADDRESSES", 100)),
    "any number of addresses is taken": ("lookup-201", attribute(schemas, "MOST_ADDRESSES", 1000)),
    "one odd address stops a look-up": (
        "lookup-nonsense",
        crash(
            "lookup_contacts",
            lambda addresses: not all(map(normalize_address, addresses)),
            Invalid(emails="no address"),
        ),
    ),
    "no address finds nobody": ("lookup-empty", status(200, 422, "contacts/lookup", "[]")),
    "nobody is 404": (
        "lookup-none email-lookup-none company-none",
        answered(nobody_is_404),
    ),
    "a contact by id is another": (
        "contact-by-id contact-kept",
        verb("get_contact", lambda contact_id: {**REAL.get_contact(contact_id), "firstName": "Jane"}),
    ),
    "a contact by id is the one that came first": (
        "your-contact-by-id",
        verb("get_contact", lambda contact_id: next(iter(memory.RECORDS["contact"].values()))),
    ),
    "a contact's times are those of SQL": (
        "your-records-whole",
        verb("get_contact", lambda contact_id: {**REAL.get_contact(contact_id), "createdAt": "2025-01-03 08:00:00"}),
    ),
    "no contact has an id": (
        "your-contact-by-id contact-by-id",
        crash("get_contact", lambda contact_id: True, NotFound()),
    ),
    "a contact that was deleted is shown": (
        "your-deleted",
        verb("get_contact", lambda contact_id: {**next(iter(memory.RECORDS["contact"].values())), "id": contact_id}),
    ),
}

COMPANIES: dict[str, tuple[str, Plant]] = {
    "domains are compared by LIKE": ("company-stranger your-company-stranger", companies_where(like)),
    "no company has an id": (
        "your-company-by-id company-kept",
        crash("get_company", lambda company_id: True, NotFound()),
    ),
    "a company that was deleted is shown": (
        "your-deleted",
        verb("get_company", lambda company_id: {**next(iter(memory.RECORDS["company"].values())), "id": company_id}),
    ),
    "the end of a domain finds it": (
        "company-no-sibling your-company-stranger",
        companies_where(lambda asked, own: asked.endswith(own)),
    ),
    "no company is found": ("company-lookup your-company-lookup", companies_where(lambda asked, own: False)),
    "a child's domain finds the parent's": (
        "company-no-sibling",
        companies_where(lambda asked, own: own.endswith(asked)),
    ),
    "parents are not looked at": ("company-parent", companies_where(lambda asked, own: asked == own)),
    "the farthest parent is found": (
        "company-nearest-parent",
        inside("parent_domains", lambda domain: parent_domains(domain)[::-1]),
    ),
    "the beginning of a domain finds it": (
        "company-stranger company-lookup-empty",
        companies_where(lambda asked, own: own.startswith(asked.strip("@. "))),
    ),
    "the first domain alone counts": (
        "company-any-domain",
        first_key_alone(memory.companies),
    ),
    "letter case of domains counts": ("company-case", compared("company", lambda text: text.strip())),
    "domains are normalized on look-up only": (
        "company-www company-url company-address company-final-dot",
        compared("company", lambda text: text.lower()),
    ),
    "domains are normalized as written": (
        "company-idna",
        compared("company", lambda text: re.sub(r"^www\.", "", text.casefold().strip("."))),
    ),
    "a public suffix is a parent": (
        "company-public-suffix",
        inside("parent_domains", lambda domain: [domain, *(domain[at.end() :] for at in re.finditer(r"\.", domain))]),
    ),
    "free mail is a company": ("company-free-mail", inside("is_free_mail", lambda domains: False)),
    "every company has the name": (
        "company-by-name",
        attribute(memory.companies, "named", lambda key: [*memory.RECORDS["company"].values()]),
    ),
    "a company's name is not kept": (
        "company-lookup company-kept company-put company-patch",
        saved("company", lambda one: {**one, "name": None}),
    ),
    "a company of a sub-domain is its parent's": ("company-parent-not-merged", inside("_add", add_to_parent)),
    "each POST makes a company": (
        "company-created",
        verb("add_company", lambda company: REAL.put_company(str(time.monotonic_ns()), company)),
    ),
    "PATCH of a company wipes": (
        "company-patch",
        verb(
            "change_company",
            lambda company_id, changes, *_: REAL.put_company(company_id, {"name": None, "domains": [], **changes})[0],
        ),
    ),
}

CONTACTS: dict[str, tuple[str, Plant]] = {
    "the addresses of contacts are sorted": (
        "contact-kept contact-patch-list",
        saved("contact", lambda one: {**one, "emailAddresses": sorted(one["emailAddresses"])}),
    ),
    "a new contact is answered with 200": (
        "contact-created contact-without-address contact-race",
        status(200, 201, "POST .*/contacts"),
    ),
    "a known contact is overwritten": ("contact-found contact-gaps", verb("add_contact", add_overwriting)),
    "each POST makes a contact": (
        "contact-found contact-oldest contact-gaps",
        inside("_add", lambda kind, values: DIRECTORY._put(kind, str(time.monotonic_ns()), values)),
    ),
    "a contact with an id is the one that has the address": (
        "contact-own-id",
        inside(
            "find_same",
            lambda kind, values, keys: DIRECTORY.find_same(kind, values, keys) or DIRECTORY.find_same(kind, {}, keys),
        ),
    ),
    "two changes may have one time": ("times-move-on", inside("change_time", lambda: f"{now()[:20]}000000Z")),
    "the youngest contact is found": (
        "contact-oldest",
        lambda patch, app: patch.setattr(directory, "min", max, raising=False),
    ),
    "contacts without an address are one": ("contact-without-address", inside("_add", add_without_keys)),
    "a contact's company is not kept": (
        "contact-company contact-company-integer contact-patch",
        saved("contact", lambda one: {**one, "companyId": None}),
    ),
    "a company need not be there": ("contact-company-unknown", status(201, 422, "/contacts", '{"id":"1"}')),
    "PUT merges": ("contact-put-never-merges", verb("put_contact", put_merging)),
    "letter case of a contact's id is ignored": (
        "contact-id-case",
        together(
            verb("get_contact", lambda contact_id: REAL.get_contact(contact_id.lower())),
            verb("put_contact", lambda contact_id, contact, *_: REAL.put_contact(contact_id.lower(), contact)),
        ),
    ),
    "PATCH of a contact wipes": (
        "contact-patch",
        verb(
            "change_contact",
            lambda contact_id, changes, *_: REAL.put_contact(
                contact_id, {"firstName": None, "lastName": None, "emailAddresses": [], "companyId": None, **changes}
            )[0],
        ),
    ),
    "a contact takes its mail along": ("contact-delete", verb("delete_contact", delete_with_mail)),
}

CALLERS: dict[str, tuple[str, Plant]] = {
    "getMe does not say the organisation": ("users-me", text(r'"orgId":"[^"]*",', "")),
    "with Basic, getMe is nobody": (
        "token-basic-password token-basic-user",
        answered(nobody_for_basic),
    ),
    "the list of users stops at the first": ("users-list", verb("list_users", lambda **_: Page([], None))),
    "a user may be anything": (
        "users-change",
        verb("change_user", lambda user_id, changes: {**REAL.get_user(user_id), **changes}),
    ),
    "every user is found": ("users-lookup", verb("lookup_users", lambda addresses: [*memory.RECORDS["user"].values()])),
    "users are found by their address as written": (
        "users-lookup-normalized your-user-lookup",
        verb(
            "lookup_users",
            lambda addresses: [one for one in memory.RECORDS["user"].values() if one["email"] in addresses],
        ),
    ),
    "getMe is another user": (
        "your-user-me",
        verb("get_user", lambda user_id: {**REAL.get_user(user_id), "email": "other@connector.example"}),
    ),
    "who has left may go on calling": ("door-left-user", attribute(tokens, "_is_user", lambda user_id: True)),
    "nobody needs a token": (
        "token-missing token-wrong token-malformed token-basic-wrong door-without-token door-wrong-token "
        "door-nothing-kept",
        attribute(
            tokens,
            "authenticate",
            lambda token: tokens.Caller(0, next(iter(memory.RECORDS["user"])), {"sync", "admin"}),
        ),
    ),
    "POST needs no token": (
        "token-missing token-wrong door-without-token door-wrong-token",
        status(200, 401, "POST /api/v1/contacts"),
    ),
    "letter case of tokens is ignored": ("token-changed", attribute(tokens, "authenticate", authenticate_any_case)),
    "there is no Basic": (
        "token-basic-password token-basic-user",
        asked(
            lambda environ: (
                environ.get("HTTP_AUTHORIZATION", "").startswith("Basic") and environ.pop("HTTP_AUTHORIZATION")
            )
        ),
    ),
    "an odd Authorization is not foreseen": (
        "token-malformed",
        asked(lambda environ: environ.get("HTTP_AUTHORIZATION", "").encode("ascii")),
    ),
    "401 has no challenge": (
        "token-missing token-wrong token-malformed",
        answered(lambda _, response: response.headers.remove("WWW-Authenticate")),
    ),
    "every token may do all": (
        "scope-sync",
        lambda patch, app: patch.setitem(tokens.SCOPES, "sync", {"sync", "admin"}),
    ),
    "sync may only find and create": (
        "scope-sync-upkeep",
        status(403, 201, "PUT .*/(contacts|companies)"),
    ),
    "there are no health calls": ("health-live health-ready", status(500, 200, "/health/")),
    "the description is not OpenAPI 3": ("openapi", text(r'"openapi": *"3', '"swagger": "2')),
    "the page loads from elsewhere": (
        "docs",
        text("<head>", '<head><script src="https://cdn.example/ui.js"></script>'),
    ),
}

HOSTILE: dict[str, tuple[str, Plant]] = {
    "deep nesting is not foreseen": (
        "hostile-nesting hostile-everywhere",
        attribute(wire, "parse_json", json.loads),
    ),
    "JSON is read as Python reads it": (
        "hostile-nan hostile-duplicate-keys hostile-huge-number",
        attribute(wire, "_DECODER", json.JSONDecoder()),
    ),
    "bodies are read as Latin-1": (
        "hostile-utf-8 hostile-no-json",
        body(lambda sent: sent.decode("latin-1").replace("'", '"').encode()),
    ),
    "no body is an empty mail": ("hostile-empty-body", body(lambda sent: sent.strip() or b"{}")),
    "no object is an empty mail": (
        "hostile-no-object",
        body(lambda sent: sent if sent.startswith(b"{") else b"{}"),
    ),
    "any media type is taken": (
        "hostile-content-type hostile-everywhere",
        asked(lambda environ: environ.update(CONTENT_TYPE="application/json")),
    ),
    "compressed bodies are read as they are": (
        "hostile-compressed",
        asked(lambda environ: environ.pop("HTTP_CONTENT_ENCODING", None)),
    ),
    "NUL is kept": ("hostile-nul hostile-nul-contact", attribute(wire, "_UNSTORABLE", re.compile("[\ud800-\udfff]"))),
    "surrogates are kept": ("hostile-surrogate", attribute(wire, "_UNSTORABLE", re.compile("\0"))),
    "NUL is dropped": (
        "hostile-nul hostile-surrogate hostile-nul-contact",
        body(lambda sent: re.sub(rb"(?i)\\u(0000|d800|dfff|dc00)", b"", sent)),
    ),
    "an entry without type is not foreseen": (
        "hostile-types",
        crash("log_email", lambda email: [entry["type"] for entry in entries(email["relatedTo"])] and False),
    ),
    "an apostrophe is not foreseen": (
        "hostile-queries server-errors",
        crash("find_emails", lambda filters, **page: "'" in "".join(filters.values())),
    ),
    "too many recipients are not foreseen": (
        "hostile-long-list",
        crash("log_email", lambda email: len(email["toAddresses"]) > 999),
    ),
    "subjects get a letter": ("kept-once-acknowledged never-mixed email-subject", text('"subject":"', '"subject":"x')),
    "errors are pages": ("error-shape", status(404, 404, "", "<h1>Not Found</h1>")),
    "errors do not name the field": ("error-shape", text(r'"receivedAt":\["Not', '"field":["Not')),
    "bodies are cut in chunks": ("body-chunked", asked(cut_chunks)),
    "a body has a megabyte at most": (
        "body-large body-chunked",
        lambda patch, app: patch.setitem(app.config, "BODY_LIMIT", 1 << 20),
    ),
    "a body that is too large is cut": ("body-too-large", status(201, 413, "", '{"id": "1"}')),
    "a new mail is answered with 200": ("email-created race-message-id", status(200, 201, "POST .*/emails")),
    "a new mail has no Location": ("email-created", answered(lambda _, response: response.headers.remove("Location"))),
    "ids are numbers": ("ids-opaque", text(r'"id":"(\d+)"', r'"id":\1')),
}

impatient = attribute(upkeep, "COUNT_TIMEOUT", 0)

OWN_USE: dict[str, tuple[str, Plant]] = {
    "blind copies are not in the timeline": (
        "timeline-roles",
        inside("LISTS", {role: name for role, name in LISTS.items() if role != "bcc"}),
    ),
    "links are not in the timeline": ("timeline-roles", inside("relation", lambda entry: ("", ""))),
    "a company has no domains": ("company-timeline", inside("domains_of", lambda addresses: [])),
    "a domain of free mail is a company's": ("company-timeline", inside("is_free_mail", lambda domains: False)),
    "a company's contacts count for nothing": (
        "company-timeline",
        attribute(memory.contacts, "of_company", lambda company_id, limit: []),
    ),
    "snippets are cut out of HTML": ("timeline-shape", inside("lines_of", lambda html, most=0: html)),
    "what a mail quotes is new": ("email-new-text", inside("new_text", lambda text: text)),
    "a thread is a syncThreadId": (
        "threads",
        attribute(memory, "thread_of", lambda email: email.thread_key or str(id(email))),
    ),
    "every mail has attachments": ("timeline-attachments", inside("has_files", lambda files: True)),
    "an unknown contact has no mail": ("timeline-unknown", status(200, 404, "/emails$", "[]")),
    "updatedSince is not looked at": (
        "contacts-list companies-list",
        query(lambda pairs: [one for one in pairs if one[0] != "updatedSince"]),
    ),
    "includeDeleted is not looked at": (
        "contacts-deleted companies-deleted",
        query(lambda pairs: [one for one in pairs if one[0] != "includeDeleted"]),
    ),
    "what was made again is told to be deleted": (
        "contacts-deleted companies-deleted",
        attribute(memory.Directory, "deleted", deleted_once),
    ),
    "records have no version": (
        "etag if-match if-match-at-once if-none-match",
        answered(lambda _, response: response.headers.remove("ETag")),
    ),
    "If-Match is not looked at": (
        "if-match if-match-at-once",
        asked(lambda environ: environ.pop("HTTP_IF_MATCH", None)),
    ),
    "every version is the record's": (
        "if-none-match",
        asked(lambda environ: environ.update(HTTP_IF_NONE_MATCH="*") if "HTTP_IF_NONE_MATCH" in environ else None),
    ),
    "deletions are not told": (
        "changes",
        inside(
            "record_change",
            lambda kind, record_id, action, at=None: (
                action == "deleted" or EMAILS.record_change(kind, record_id, action, at)
            ),
        ),
    ),
    "changes are told as creations": (
        "changes changes-copy",
        inside(
            "record_change",
            lambda kind, record_id, action, at=None: EMAILS.record_change(
                kind, record_id, action.replace("changed", "created"), at
            ),
        ),
    ),
    "emails are not counted": (
        "sync-counts",
        together(impatient, attribute(Activity, "count", lambda *_: None)),
    ),
    "what was looked up in vain is forgotten": (
        "unmatched unmatched-contact unmatched-ignored",
        together(impatient, attribute(unmatched, "keep", lambda *_: None)),
    ),
    "ignored addresses are listed": ("unmatched-ignored", attribute(unmatched, "ignore_unmatched", lambda _: None)),
    "the feed has no end": ("changes-beyond-the-end", attribute(memory.changes, "last", lambda: 2**63)),
    "the last change is told again": (
        "changes changes-at-once changes-copy",
        verb("list_changes", lambda after, limit: REAL.list_changes(max(after - 1, 0), limit)),
    ),
}

FAULTS = {**KEPT, **IDENTITY, **CHANGED, **FOUND, **LOOKED_UP, **COMPANIES, **CONTACTS, **CALLERS, **HOSTILE, **OWN_USE}
