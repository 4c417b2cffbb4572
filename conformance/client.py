"""HTTP as BrightSync speaks it, down to the bytes, and every request as a curl command that can be pasted."""

import base64
import gzip
import json
import re
import shlex
import string
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPMessage, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

Json = dict[str, Any]

ERROR_SHAPE = ("code", "status", "message", "errors")
NOT_OFFERED = (404, 405, 501)
ADMIN = "ADMIN_TOKEN"
LEFT = "LEFT_TOKEN"
LONGEST_INLINE_BODY = 2000
# What a body is hostile by: a character that no terminal shows, an escape of one, or the same few many times.
_ODD = re.compile(
    r"[^\t\n\r -~\xa0-\ud7ff\ue000-\U0010ffff]|\\\\?(u0000|ud[89a-f]|x[0-9a-f]{2})|(.{1,8})\2{40}", re.IGNORECASE
)


class Failed(Exception):
    """The server broke a rule: what the rule expects, and what came instead."""

    def __init__(self, expected: str, got: str, answer: "Answer | None" = None) -> None:
        super().__init__(f"expected {expected}, got {got}")
        self.expected = expected
        self.got = got
        self.answer = answer


class NotOffered(Exception):
    """The server does without an optional call, or without one that the rule has to begin with."""


class NoAnswer(Failed):
    """The connection was refused, cut or silent."""

    def __init__(self, request: "Request", error: Exception) -> None:
        super().__init__("an answer", f"none: {error!r}", Answer(request, 0, HTTPMessage(), b""))


@dataclass(frozen=True)
class Credentials:
    """An Authorization header, and how to write it for curl without giving the token away."""

    header: str | None
    curl: str

    @classmethod
    def bearer(cls, token: str, name: str = "TOKEN") -> "Credentials":
        return cls(f"Bearer {token}", f'-H "Authorization: Bearer ${name}"')

    @classmethod
    def basic(cls, user: str, password: str, curl: str) -> "Credentials":
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        return cls(f"Basic {pair}", f'-u "{curl}"')

    @classmethod
    def raw(cls, header: str) -> "Credentials":
        return cls(header, "-H " + shlex.quote(f"Authorization: {header}"))


NO_CREDENTIALS = Credentials(None, "")


@dataclass(frozen=True)
class Request:
    """One request; `content_type` None sends no such header, `chunked` sends the body without its length."""

    method: str
    url: str
    credentials: Credentials
    body: bytes | None = None
    content_type: str | None = "application/json"
    chunked: bool = False
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def call(self) -> str:
        """Which call of the contract this is: `PATCH /emails/{id}`."""
        noun, *record = urlsplit(self.url).path.rpartition("/api/v1/")[2].split("/")
        known = ("me", "lookup")
        return "/".join(
            [f"{self.method} /{noun}", *(one if one in known else "{id}" for one in record[:1]), *record[1:]]
        )

    def send(self, timeout: float) -> "Answer":
        """The answer, over a connection of its own.

        Raises NoAnswer when the server can't be reached, hangs up or is silent for `timeout` seconds.
        """
        parts = urlsplit(self.url)
        connection = (HTTPSConnection if parts.scheme == "https" else HTTPConnection)(parts.netloc, timeout=timeout)
        target = parts.path + ("?" + parts.query if parts.query else "")
        body = self._chunks() if self.chunked else self.body
        try:
            try:
                connection.request(self.method, target, body, self._headers(), encode_chunked=self.chunked)
            except (BrokenPipeError, ConnectionResetError):
                pass  # A server may answer before it has read a body that it refuses: read what it says.
            response = connection.getresponse()
            return Answer(self, response.status, response.headers, response.read())
        except (OSError, HTTPException) as error:
            raise NoAnswer(self, error) from error
        finally:
            connection.close()

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json", "Connection": "close", **dict(self.headers)}
        if self.credentials.header is not None:
            headers["Authorization"] = self.credentials.header
        if self.body is not None and self.content_type is not None:
            headers["Content-Type"] = self.content_type
        if self.chunked:
            headers["Transfer-Encoding"] = "chunked"
        return headers

    def _chunks(self) -> list[bytes]:
        body = self.body or b""
        return [body[start : start + 65536] for start in range(0, len(body), 65536)]

    @property
    def is_packed(self) -> bool:
        """Whether a curl line can't show the body as it is."""
        text = (self.body or b"").decode("latin-1")
        return len(text) > LONGEST_INLINE_BODY or not set(text) <= set(string.printable)

    def gist(self) -> str:
        """What is odd about a body that is long or binary: its length, its beginning, and what is around the oddity."""
        text = (self.body or b"").decode("utf-8", "backslashreplace")
        odd = _ODD.search(text)
        around = f", with {text[max(0, odd.start() - 30) : odd.start() + 30]!r}" if odd and odd.start() > 60 else ""
        return f"{len(self.body or b''):,} bytes, beginning with {text[:60]!r}{around}"

    def curl(self) -> str:
        """The same request for a shell, with the token as $TOKEN; a long or binary body travels gzipped."""
        words = ["curl -i -g", f"-X {self.method}" if self.method != "GET" else "", self.credentials.curl]
        words += ["-H " + shlex.quote(f"{name}: {value}") for name, value in self.headers]
        before = ""
        if self.body is not None:
            words.append(
                "-H " + shlex.quote(f"Content-Type: {self.content_type}" if self.content_type else "Content-Type:")
            )
            words.append("-H 'Transfer-Encoding: chunked'" if self.chunked else "")
            if not self.is_packed:
                words.append("--data-binary " + shlex.quote(self.body.decode("latin-1")))
            else:
                packed = base64.b64encode(gzip.compress(self.body, mtime=0)).decode()
                before = f"echo {packed} | base64 -d | gunzip | "
                words.append("--data-binary @-")
        words.append(shlex.quote(self.url))
        return before + " ".join(word for word in words if word)


@dataclass(frozen=True)
class Answer:
    """What came back, with the few demands that most rules make of it; each raises Failed when it is not met."""

    request: Request
    status: int
    headers: HTTPMessage
    body: bytes

    def expect(self, *statuses: int) -> "Answer":
        if self.status not in statuses:
            raise Failed("status " + " or ".join(map(str, statuses)), self.summary(), self)
        return self

    def ok(self) -> "Answer":
        """Any success: which one is the server's choice."""
        if not 200 <= self.status < 300:
            raise Failed("a success (2xx)", self.summary(), self)
        return self

    def offered(self) -> "Answer":
        """This answer, unless it says that the server does without the (optional) call.

        403 says so where no admin token was given: the call may be open to another token.
        """
        if self.status in NOT_OFFERED or (self.status == 403 and ADMIN not in self.request.credentials.curl):
            raise NotOffered(f"{self.request.call} answered {self.status}")
        return self

    def unfailing(self) -> "Answer":
        """Any answer but a server error."""
        if self.status >= 500:
            raise Failed("no server error", self.summary(), self)
        return self

    def unbroken(self) -> "Answer":
        """Any answer but a server error. 501 is none: the call is not offered."""
        return self if self.status == 501 else self.unfailing()

    def refused(self, *statuses: int) -> "Answer":
        """A 4xx (one of `statuses`, if any are given), whatever its body says."""
        if statuses:
            return self.expect(*statuses)
        if not 400 <= self.status < 500:
            raise Failed("a refusal (4xx)", self.summary(), self)
        return self

    def in_our_shape(self) -> "Answer":
        """A refusal in the one error shape."""
        error = self.json
        if not isinstance(error, dict) or not set(ERROR_SHAPE) <= set(error) or error["code"] != self.status:
            shape = f'{{"code": {self.status}, "status", "message", "errors"}}'
            raise Failed(f"the error shape {shape}", self.summary(), self)
        return self

    @property
    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise Failed("a JSON answer", self.summary(), self) from error

    @property
    def record(self) -> Json:
        record = self.json
        if not isinstance(record, dict):
            raise Failed("one JSON object", self.summary(), self)
        return record

    @property
    def records(self) -> list[Json]:
        records = self.json
        if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
            raise Failed("a JSON array of objects", self.summary(), self)
        return records

    @property
    def ids(self) -> list[str]:
        return [str(record.get("id")) for record in self.records]

    @property
    def id(self) -> str:
        """The record's id as text; from Location where the body has none."""
        body = self.json if self.body.strip() else None
        if isinstance(body, dict) and body.get("id") is not None:
            return str(body["id"])
        if "Location" in self.headers:
            return str(self.headers["Location"]).rstrip("/").rpartition("/")[2]
        raise Failed("the id of the record", self.summary(), self)

    def summary(self) -> str:
        said = f"{self.status} {shorten(self.body.decode('utf-8', 'replace'))}".rstrip()
        request_id = self.headers["X-Request-ID"] if self.status >= 500 else None  # the server's log says more
        return f"{said} (X-Request-ID: {request_id})" if request_id else said


def shorten(text: str, most: int = 400) -> str:
    """The text, or its beginning and its length."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"
