"""One run against one server: its fresh names, the requests it makes, the records it has to take away again."""

import json
import secrets
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any, NamedTuple
from urllib.parse import quote, urljoin, urlsplit

from conformance.client import ADMIN, LEFT, Answer, Credentials, Failed, Json, NoAnswer, Request

API = "/api/v1"
NOUNS = ("emails", "contacts", "companies")
MOST_PAGES = 1000


class Named(NamedTuple):
    """A record that the server has: its id, and the address or domain by which it is looked up; "" where not known."""

    id: str
    key: str = ""

    @classmethod
    def of(cls, text: str) -> "Named":
        """From `ID=ADDRESS`."""
        record_id, _, key = text.partition("=")
        return cls(record_id, key)


class Known(NamedTuple):
    """What the server has already, as the caller says."""

    contacts: list[Named]
    companies: list[Named]
    deleted: list[Named]
    users: list[str]
    left_token: str | None = None  # of a user who has left


NOTHING_NAMED = Known([], [], [], [])


class Session:
    """BrightSync, as far as a server can tell; `exchanges` holds what the rule at hand has asked so far."""

    def __init__(
        self,
        base_url: str,
        token: str,
        admin_token: str | None = None,
        named: Known = NOTHING_NAMED,
        timeout: float = 60,
    ) -> None:
        self.base_url = base_url.rstrip("/").removesuffix(API)
        self.token = token
        self.tokens = {"TOKEN": token} | ({ADMIN: admin_token} if admin_token else {})
        self.tokens |= {LEFT: named.left_token} if named.left_token else {}
        self.credentials = Credentials.bearer(token)
        self.admin = Credentials.bearer(admin_token, ADMIN) if admin_token else None
        self.left = Credentials.bearer(named.left_token, LEFT) if named.left_token else None
        self.named = named
        self.timeout = timeout
        self.run = "k" + secrets.token_hex(4)
        self.domain = f"{self.run}.brightsync-check.example"
        self.exchanges: list[Answer] = []
        self.server_errors: list[Answer] = []  # of the whole run
        self._made: dict[tuple[str, str], None] = {}
        self._numbers = count(1)

    # Fresh names

    def fresh(self, word: str = "n") -> str:
        """A word that no run has used before."""
        return f"{word}-{self.run}-{next(self._numbers)}"

    def address(self, name: str = "jane") -> str:
        return f"{name}{next(self._numbers)}@{self.domain}"

    def message_id(self) -> str:
        return f"<{self.fresh('m')}@{self.domain}>"

    def new_domain(self, name: str = "acme") -> str:
        return f"{name}{next(self._numbers)}.{self.domain}"

    def mail(self, **fields: Any) -> Json:
        """An ordinary mail with fresh ids, changed by the fields given."""
        word = self.fresh("offer")
        return {
            "msgId": self.fresh("msg"),
            "rfc822MsgId": self.message_id(),
            "syncThreadId": self.fresh("thread"),
            "inReplyTo": self.message_id(),
            "receivedAt": "2024-05-17T09:30:00Z",
            "subject": f"Subject {word}",
            "fromAddress": self.address("from"),
            "fromName": "Jane Doe",
            "toAddresses": [self.address("to"), self.address("to")],
            "ccAddresses": [self.address("cc")],
            "bccAddresses": [self.address("bcc")],
            "textBody": f"Text {word}",
            "htmlBody": f"<p>Html {word}</p>",
        } | fields

    # Requests

    def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        content_type: str | None = "application/json",
        credentials: Credentials | None = None,
        chunked: bool = False,
        outside: bool = False,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> Answer:
        """The answer to one request; `path` starts below /api/v1 unless it is `outside`.

        A call that the token may not make is made again with the admin token, where there is one.
        """
        url = self.base_url + ("" if outside else API) + path
        request = Request(method, url, credentials or self.credentials, body, content_type, chunked, headers)
        answer = self._send(request)
        if answer.status == 403 and self.admin and credentials is None:
            answer = self._send(Request(method, url, self.admin, body, content_type, chunked, headers))
        return answer

    def _send(self, request: Request) -> Answer:
        try:
            answer = request.send(self.timeout)
        except NoAnswer as failure:
            if failure.answer:
                self.exchanges.append(failure.answer)
            raise
        self.exchanges.append(answer)
        if answer.status >= 500 and answer.status != 501:
            self.server_errors.append(answer)
        self._remember(answer)
        return answer

    def get(self, path: str, **query: str) -> Answer:
        """GET; the query is percent-encoded, and may be written into `path` where a rule is about its spelling."""
        words = "&".join(f"{name}={quote(value, safe='@,')}" for name, value in query.items())
        return self.request("GET", path + ("?" + words if words else ""))

    def post(self, path: str, record: Any) -> Answer:
        return self.request("POST", path, body=json.dumps(record).encode())

    def put(self, path: str, record: Any) -> Answer:
        return self.request("PUT", path, body=json.dumps(record).encode())

    def patch(self, path: str, changes: Any) -> Answer:
        return self.request("PATCH", path, body=json.dumps(changes).encode())

    def delete(self, path: str) -> Answer:
        return self.request("DELETE", path)

    def at_once(self, calls: Sequence[Callable[[], Answer]]) -> list[Answer]:
        """The answers to calls that all start at the same moment, each from a thread of its own."""
        barrier = threading.Barrier(len(calls))

        def go(call: Callable[[], Answer]) -> Answer:
            barrier.wait()
            return call()

        with ThreadPoolExecutor(len(calls)) as pool:
            return list(pool.map(go, calls))

    def walk(self, path: str) -> list[Json]:
        """All records from this page on, by following `Link: rel="next"` to the end."""
        records: list[Json] = []
        target: str | None = path
        for _ in range(MOST_PAGES):
            page = self.request("GET", target or "").offered().expect(200)
            records += page.records
            target = self.next_page(page)
            if target is None:
                return records
        raise Failed("pages that come to an end", f"{MOST_PAGES} pages, and a link to one more")

    def next_page(self, page: Answer) -> str | None:
        """Where the page's `rel="next"` leads, as a path below /api/v1; None on the last page."""
        for link in ", ".join(page.headers.get_all("Link", [])).split(", <"):
            target, _, parameters = link.partition(">")
            if 'rel="next"' in parameters or "rel=next" in parameters:
                parts = urlsplit(urljoin(page.request.url, target.strip().lstrip("<")))
                return (parts.path + "?" + parts.query).partition(API)[2]
        return None

    # Records

    def log(self, **fields: Any) -> tuple[Json, str]:
        """Log a fresh mail; the mail as it was sent, and the id of its record."""
        mail = self.mail(**fields)
        return mail, self.post("/emails", mail).ok().id

    def email(self, email_id: str) -> Json:
        return self.get(at("emails", email_id)).expect(200).record

    def contact(self, *addresses: str, **fields: Any) -> str:
        """The id of a new contact with these addresses; raises NotOffered where the server makes none."""
        named = {"firstName": "Jane", "lastName": self.fresh("Doe"), "emailAddresses": list(addresses)}
        return self._create("/contacts", named | fields)

    def company(self, *domains: str, **fields: Any) -> str:
        """The id of a new company with these domains; raises NotOffered where the server makes none."""
        return self._create("/companies", {"name": self.fresh("Acme"), "domains": list(domains)} | fields)

    def _create(self, path: str, record: Json) -> str:
        answer = self.post(path, record)
        return answer.offered().ok().id

    # Taking away

    def _remember(self, answer: Answer) -> None:
        """Note the record that a POST or PUT made, so that it can be taken away.

        A record that the server says it *found* is only ours if it bears this run's mark: a faulty server
        may have found one of the CRM's own.
        """
        path = urlsplit(answer.request.url).path.removeprefix(urlsplit(self.base_url).path)
        noun, _, record_id = path.removeprefix(API + "/").partition("/")
        ours = answer.status == 201 or (answer.status == 200 and self.run.encode() in answer.body)
        if ours and noun in NOUNS and answer.request.method in ("POST", "PUT"):
            try:
                self._made[noun, answer.id] = None
            except Failed:
                pass  # Without an id there is nothing to take away; the rule at hand says so.

    def clean_up(self) -> list[str]:
        """Delete every record of this run; a sentence for each noun of which some had to stay."""
        left: dict[str, list[str]] = {}
        for noun, record_id in sorted(self._made, key=lambda made: NOUNS.index(made[0])):
            if why := self._take_away(noun, record_id):
                left.setdefault(noun, []).append(why)
        self._made.clear()
        return [f"{len(reasons)} {noun} of this run stay on the server: {reasons[0]}" for noun, reasons in left.items()]

    def _take_away(self, noun: str, record_id: str) -> str:
        """Why the record is still there; empty when it is gone."""
        try:
            forgotten = "?remember=false" if noun == "emails" else ""  # nothing of the kit is to stay, no hash either
            deleted = self.delete(at(noun, record_id) + forgotten)
            if deleted.status < 300 or self.get(at(noun, record_id)).status in (404, 410):
                return ""
            return f"{deleted.request.call} answered {deleted.status}"
        except NoAnswer as failure:
            return failure.got


def at(noun: str, record_id: str, *more: str) -> str:
    """The path of one record; its id may hold any character."""
    return "/".join(["", noun, quote(record_id, safe=""), *more])
