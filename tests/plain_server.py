"""A connector that was written from Aurinko's page alone, with other choices than ours; and faults to plant into it.

    with serve() as url: …
    plant(monkeypatch)                  # FAULTS[name] = rules, plant

Integer ids, 200 for a new record, 409 for an email that is here, 400 with a plain text for what it refuses, PUT but no
PATCH, comma lists only, no deletion by the API, times with an offset, no Basic, no look-up of users.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

TOKEN = "other-token"
ADDRESS = "jane@connector.example"
Record = dict[str, Any]
Answer = tuple[int, object]
_LOOKUPS = {"contacts": ("emails", "emailAddresses"), "companies": ("domain", "domains")}


class PlainServer(BaseHTTPRequestHandler):
    """The server. Each of its methods is what a fault takes the place of."""

    ids: ClassVar[Iterator[int]] = count(1)
    emails: ClassVar[dict[int, Record]] = {}
    contacts: ClassVar[dict[int, Record]] = {}
    companies: ClassVar[dict[int, Record]] = {}
    deleted: ClassVar[dict[int, Record]] = {}  # contacts that people have deleted in the CRM
    lock: ClassVar[threading.RLock] = threading.RLock()

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.lock:
            status, answer = self.answer(body)
        sent = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def answer(self, body: bytes) -> Answer:
        if not self.is_allowed():
            return 401, "no"
        url = urlsplit(self.path)
        noun, *rest = url.path.removeprefix("/api/v1/").split("/")
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if (self.command, noun, rest) == ("GET", "users", ["me"]):
            return 200, {"id": 1, "orgId": None, "name": "Jane", "email": ADDRESS, "timezone": None}
        records: dict[int, Record] | None = getattr(self, noun, None) if noun in ("emails", *_LOOKUPS) else None
        if records is None:
            return 404, "no"
        try:
            if self.command == "GET":
                return self.read(noun, records, rest, query)
            if self.command == "POST" and not rest:
                return self.create(noun, records, json.loads(body))
            if self.command == "PUT" and noun == "emails":
                return 200, self.replace(int(rest[0]), json.loads(body))
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
            return 400, "no"
        return 405, "no"

    def is_allowed(self) -> bool:
        return self.headers["Authorization"] == f"Bearer {TOKEN}"

    def read(self, noun: str, records: dict[int, Record], rest: list[str], query: dict[str, str]) -> Answer:
        if rest == ["lookup"]:
            if "name" in query:
                return 200, [one for one in records.values() if one["name"] == query["name"]]
            wanted, field = _LOOKUPS[noun]
            return 200, self.look_up(noun, field, query.get(wanted, "").split(","))
        if not rest:
            return 200, self.find(query["rfc822MsgId"]) if query else list(self.emails.values())
        one = self.by_id(noun, int(rest[0])) if rest[0].isdigit() else None
        return (200, one) if one else (404, "no")

    def look_up(self, noun: str, field: str, texts: list[str]) -> list[Record]:
        values = {text.casefold() for text in texts}
        records = getattr(self, noun).values()
        return [one for one in records if values & {text.casefold() for text in one[field]}]

    def find(self, message_id: str) -> list[Record]:
        return [mail for mail in self.emails.values() if mail["rfc822MsgId"] == _plain(message_id)]

    def by_id(self, noun: str, record_id: int) -> Record | None:
        found: Record | None = getattr(self, noun).get(record_id)
        return found

    def create(self, noun: str, records: dict[int, Record], fields: Record) -> Answer:
        new = next(self.ids)
        if noun != "emails":
            records[new] = fields | {"id": new, "owner": "Jane"}
            return 200, {"id": new}
        if fields.get("rfc822MsgId") and self.find(fields["rfc822MsgId"]):
            return 409, "here already"
        self.keep(new, fields)
        return 200, {"id": new}

    def replace(self, email_id: int, fields: Record) -> Record:
        if email_id not in self.emails:
            raise KeyError
        self.keep(email_id, fields)
        return self.emails[email_id]

    def keep(self, email_id: int, fields: Record) -> None:
        related = fields.get("relatedTo") or []
        received = fields.get("receivedAt")
        when = datetime.fromisoformat(received).astimezone(UTC).isoformat(timespec="seconds") if received else None
        mail = fields | {"id": email_id, "rfc822MsgId": _plain(fields.get("rfc822MsgId")), "receivedAt": when}
        mail["relatedTo"] = related if isinstance(related, list) else [related]
        self.emails[email_id] = mail


def _plain(message_id: str | None) -> str:
    return (message_id or "").strip("<>")


@contextmanager
def serve() -> Iterator[str]:
    """The address of the server, while it runs."""
    with ThreadingHTTPServer(("127.0.0.1", 0), PlainServer) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


# ---- faults ---------------------------------------------------------------------------------------------------------

Plant = Callable[[pytest.MonkeyPatch], None]
S = PlainServer
REAL_KEEP, REAL_CREATE, REAL_ANSWER = S.keep, S.create, S.answer
REAL_LOOK_UP, REAL_BY_ID = S.look_up, S.by_id


def method(name: str, function: Callable[..., Any]) -> Plant:
    return lambda patch: patch.setattr(PlainServer, name, function)


def loses(*fields: str) -> Plant:
    """Emails are kept without these fields."""
    return method("keep", lambda self, n, mail: REAL_KEEP(self, n, {k: v for k, v in mail.items() if k not in fields}))


def of(noun: str, function: Callable[..., Any]) -> Plant:
    """Look-ups of one noun give something else: `function(server, field, texts)`."""

    def look_up(self: Any, kind: str, field: str, texts: list[str]) -> Any:
        return function(self, field, texts) if kind == noun else REAL_LOOK_UP(self, kind, field, texts)

    return method("look_up", look_up)


def exactly(noun: str) -> Plant:
    """Letter case counts."""
    return of(
        noun, lambda self, field, texts: [one for one in getattr(self, noun).values() if set(texts) & set(one[field])]
    )


def in_parts(noun: str) -> Plant:
    """A part of an address, or of a domain, finds it."""

    def look_up(self: Any, field: str, texts: list[str]) -> list[Record]:
        return [one for one in getattr(self, noun).values() if any(t in own for t in texts for own in one[field])]

    return of(noun, look_up)


def no_such_contact(self: Any, noun: str, record_id: int) -> Record | None:
    return None if noun == "contacts" else REAL_BY_ID(self, noun, record_id)


def the_first_contact(self: Any, noun: str, record_id: int) -> Record | None:
    known = self.contacts.values()
    return next(iter(known)) if noun == "contacts" and record_id in self.contacts else REAL_BY_ID(self, noun, record_id)


def deleted_too(self: Any, noun: str, record_id: int) -> Record | None:
    return REAL_BY_ID(self, noun, record_id) or (self.deleted.get(record_id) if noun == "contacts" else None)


def open_for(*methods: str) -> Plant:
    """These methods need no token."""
    return method(
        "is_allowed", lambda self: self.command in methods or self.headers["Authorization"] == f"Bearer {TOKEN}"
    )


def acknowledges_only(self: Any, noun: str, records: Any, fields: Record) -> Answer:
    return (200, {"id": next(self.ids)}) if noun == "emails" else REAL_CREATE(self, noun, records, fields)


def takes_the_place(self: Any, noun: str, records: Any, fields: Record) -> Answer:
    if noun != "emails" or not self.emails:
        return REAL_CREATE(self, noun, records, fields)
    last = max(self.emails)
    self.keep(last, fields)
    return 200, {"id": last}


def is_known_by_msg_id(self: Any, noun: str, records: Any, fields: Record) -> Answer:
    same = [n for n, mail in self.emails.items() if noun == "emails" and mail.get("msgId") == fields.get("msgId")]
    return (200, {"id": same[0]}) if same else REAL_CREATE(self, noun, records, fields)


def stores_then_refuses(self: Any, body: bytes) -> Answer:
    if not self.is_allowed() and self.command == "POST" and self.path.endswith("/emails"):
        self.keep(next(self.ids), json.loads(body))
    return REAL_ANSWER(self, body)


def fails_for_the_unforeseen(self: Any, body: bytes) -> Answer:
    status, answer = REAL_ANSWER(self, body)
    return (500, "oops") if status == 400 else (status, answer)


def changes_nothing(self: Any, email_id: int, fields: Record) -> Record:
    return self.emails[email_id] | fields | {"id": email_id}


def changes_the_first(self: Any, email_id: int, fields: Record) -> Record:
    self.keep(next(iter(self.emails)), fields)
    return self.emails[email_id]


FAULTS: dict[str, tuple[str, Plant]] = {
    "no contact is found": ("lookup-one your-contact-lookup", of("contacts", lambda self, field, texts: [])),
    "everybody is found": (
        "lookup-stranger your-contact-lookup",
        of("contacts", lambda self, field, texts: list(self.contacts.values())),
    ),
    "a contact's letter case counts": ("your-contact-letter-case", exactly("contacts")),
    "a part of an address finds it": ("lookup-whole-address your-contact-stranger", in_parts("contacts")),
    "only the first address is looked up": (
        "lookup-two your-contacts-together",
        of("contacts", lambda self, field, texts: REAL_LOOK_UP(self, "contacts", field, texts[:1])),
    ),
    "contacts have no id": ("contact-by-id your-contact-by-id", method("by_id", no_such_contact)),
    "a contact by id is another": ("contact-by-id your-contact-by-id", method("by_id", the_first_contact)),
    "a deleted contact is shown": ("your-deleted", method("by_id", deleted_too)),
    "a deleted contact is found": (
        "your-deleted",
        of(
            "contacts",
            lambda self, field, texts: [
                *REAL_LOOK_UP(self, "contacts", field, texts),
                *(one for one in self.deleted.values() if set(texts) & set(one[field])),
            ],
        ),
    ),
    "a company by id is another": (
        "company-kept your-company-by-id",
        method("by_id", lambda self, noun, n: next(iter(self.companies.values()))),
    ),
    "no company has an id": (
        "company-kept your-company-by-id",
        method("by_id", lambda self, noun, n: None if noun == "companies" else REAL_BY_ID(self, noun, n)),
    ),
    "a part of a domain finds it": ("company-stranger your-company-stranger", in_parts("companies")),
    "no company is found": ("company-lookup your-company-lookup", of("companies", lambda self, field, texts: [])),
    "every company is found": (
        "company-stranger your-company-lookup",
        of("companies", lambda self, field, texts: list(self.companies.values())),
    ),
    "a domain's letter case counts": ("your-company-lookup", exactly("companies")),
    "POST needs no token": ("door-without-token door-wrong-token door-nothing-kept", open_for("POST")),
    "an empty token is one": (
        "door-without-token",
        method("is_allowed", lambda self: self.headers["Authorization"] in (f"Bearer {TOKEN}", "Bearer", "Bearer ")),
    ),
    "GET needs no token": ("door-without-token door-wrong-token", open_for("GET")),
    "PUT needs no token": ("door-nothing-kept", open_for("PUT")),
    "a refused email is stored": ("door-nothing-kept", method("answer", stores_then_refuses)),
    "emails are acknowledged and not kept": (
        "email-logged kept-once-acknowledged",
        method("create", acknowledges_only),
    ),
    "a second email takes the place of the first": ("never-mixed", method("create", takes_the_place)),
    "emails of one msgId are one": ("never-mixed", method("create", is_known_by_msg_id)),
    "no email is found by its Message-ID": ("email-lookup", method("find", lambda self, message_id: [])),
    "every email is found": (
        "email-lookup-stranger",
        method("find", lambda self, message_id: list(self.emails.values())),
    ),
    "an update is answered and not kept": ("email-link", method("replace", changes_nothing)),
    "an update changes another email": ("email-link", method("replace", changes_the_first)),
    "what is not foreseen is a server error": (
        "hostile-nesting server-errors",
        method("answer", fails_for_the_unforeseen),
    ),
    "subject is not kept": ("email-subject kept-once-acknowledged never-mixed", loses("subject")),
    "fromAddress is not kept": ("email-from", loses("fromAddress")),
    "toAddresses is not kept": ("email-to never-mixed", loses("toAddresses")),
    "bccAddresses is not kept": ("email-bcc", loses("bccAddresses")),
    "ccAddresses is not kept": ("email-cc", loses("ccAddresses")),
    "relatedTo is not kept": ("email-related email-link", loses("relatedTo")),
    "textBody is not kept": ("email-text", loses("textBody")),
    "htmlBody is not kept": ("email-html", loses("htmlBody")),
    "attachments is not kept": ("email-attachment-names", loses("attachments")),
}
