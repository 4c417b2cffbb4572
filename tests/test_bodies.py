"""What a client may send: whatever it is, the answer is a record or an error that says what is wrong, never a 500."""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

import pytest
from flask import Flask

from app import create_app
from tests.samples import WITHIN, Server, assert_error, serving

EMAILS = "/api/v1/emails"
LIMIT = 1024 * 1024  # more than the sockets' buffers hold
CHUNKED = "Transfer-Encoding: chunked"
SECRET = "hushhush"


def post(
    client: Any, data: bytes, kind: str | None = "application/json", path: str = EMAILS, method: str = "POST"
) -> Any:
    """The answer to a body as it is."""
    return client.open(path, method=method, data=data, content_type=kind)


# JSON


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" ",
        b"{",
        b'{"subject": "x"',
        b'{"subject": "x"}}',
        b'{"subject": "x"} {"subject": "y"}',
        b"{'subject': 'x'}",
        b'{"subject": "x",}',
        b'{subject: "x"}',
        b"// a mail\n{}",
        b"subject=x",
        b'{"subject": "a\nb"}',
        b'{"subject": "a\x00b"}',
        b'{"subject": "\\x"}',
        b'{"subject": "\\u12"}',
        b'{"other": NaN}',
        b'{"other": [Infinity]}',
        b'{"attachments": [{"size": -Infinity}]}',
        b'{"other": 01}',
        b'{"subject": "\xff"}',
        b'{"subject": "caf\xe9"}',
        b'{"subject": "\xed\xa0\x80"}',
        b'{"\xc0\xaf": 1}',
        '{"subject": "x"}'.encode("utf-16"),
        '{"subject": "x"}'.encode("utf-32"),
        b"\xef\xbb\xbf",
        b"\xef\xbb\xbf\xef\xbb\xbf{}",
        b"\x1f\x8b\x08\x00",
        b"\x00" * 100,
    ],
)
def test_what_is_no_json_is_a_bad_request(client: Any, data: bytes) -> None:
    """400; JSON is UTF-8 and nothing else (RFC 8259)."""
    for method, path in (("POST", EMAILS), ("PUT", "/api/v1/contacts/1"), ("PATCH", f"{EMAILS}/1")):
        assert_error(post(client, data, path=path, method=method), 400)


@pytest.mark.parametrize(
    "data",
    [
        b'{"subject": "x", "subject": "y"}',
        b'{"subject": "x", "\\u0073ubject": "y"}',
        b'{"attachments": [{"id": 1, "id": 2}]}',
        b'{"other": 1%s}' % (b"0" * 400),
        b'{"attachments": [{"size": 1%s}]}' % (b"0" * 5000),
        b'{"attachments": [{"size": -1%s}]}' % (b"0" * 309),
        b'{"attachments": [{"size": 1e400}]}',
        b'{"relatedTo": {"id": -1e400}}',
        b'{"attachments": %s%s}' % (b"[" * 33, b"]" * 33),
        b'{"attachments": %s%s}' % (b"[" * 1000, b"]" * 1000),
        b'{"attachments": %s%s}' % (b"[" * 100_000, b"]" * 100_000),
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b"[" * 1_000_000,
    ],
    ids=lambda data: str(data[:40]),
)
def test_json_that_would_lose_something_is_a_bad_request(sync: Any, data: bytes) -> None:
    """Two values for one name, numbers that no double holds, nesting without end."""
    assert_error(post(sync, data), 400)


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "deflate", "br", "zstd", "gzip, identity"])
def test_a_compressed_body_is_refused(sync: Any, encoding: str) -> None:
    """415, with what is taken: a kilobyte may stand for a gigabyte."""
    answer = sync.post(EMAILS, json={"subject": "x"}, headers={"Content-Encoding": encoding})
    assert_error(answer, 415)
    assert answer.headers["Accept-Encoding"] == "identity"
    assert sync.post(EMAILS, json={"subject": "x"}, headers={"Content-Encoding": "identity"}).status_code == 201


@pytest.mark.parametrize("data", [b"[]", b'[{"subject": "x"}]', b"null", b'"subject"', b"1", b"1.5", b"true"])
def test_json_that_is_no_object_is_refused(client: Any, data: bytes) -> None:
    """422: it can be read, and is not a record."""
    for method, path in (("POST", EMAILS), ("POST", "/api/v1/contacts"), ("PUT", "/api/v1/companies/1")):
        assert_error(post(client, data, path=path, method=method), 422)


@pytest.mark.parametrize(
    "kind", [None, "", "text/plain", "application/x-www-form-urlencoded", "application/jsonx", "json"]
)
def test_a_body_that_does_not_say_that_it_is_json_is_refused(sync: Any, kind: str | None) -> None:
    """415, also without any Content-Type or body: nothing is guessed, and no empty mail is made."""
    for data in (b'{"subject": "x"}', b""):
        assert_error(post(sync, data, kind), 415)
    assert sync.get(EMAILS).json == []


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON", "application/json; charset=utf-8", "application/vnd.mail+json"]
)
def test_a_body_that_says_that_it_is_json_is_taken(sync: Any, kind: str) -> None:
    """In any spelling of it."""
    assert post(sync, b'{"subject": "caf\xc3\xa9"}', kind).json["subject"] == "café"


def test_a_byte_order_mark_is_no_obstacle(sync: Any) -> None:
    """Some clients write one (RFC 8259, 8.1: a reader may ignore it)."""
    response = post(sync, b'\xef\xbb\xbf{"subject": "x"}')
    assert (response.status_code, response.json["subject"]) == (201, "x")


def test_numbers_and_nesting_within_the_limits_are_kept(sync: Any) -> None:
    """What is no text of a mail's own field is JSON, and returned as such."""
    nested: Any = 1
    for _ in range(28):
        nested = [nested]
    attachment = {
        "size": 2**63 - 1,
        "low": -(2**64),
        "uid": 2**64,
        "ratio": 1.5e300,
        "tiny": 5e-324,
        "no": None,
        "nested": nested,
    }
    made = sync.post(EMAILS, json={"attachments": [attachment]})
    assert made.status_code == 201, made.text
    assert sync.get(made.headers["Location"]).json["attachments"] == [attachment]


def test_a_body_of_a_get_is_no_obstacle(sync: Any) -> None:
    """It means nothing (RFC 9110, 9.3.1)."""
    assert post(sync, b"{", method="GET").status_code == 200


# what no database stores


@pytest.mark.parametrize("odd", ["\\u0000", "\\ud800", "\\udfff", "\\uDC00"])
def test_nul_and_lone_surrogates_become_the_replacement_character(sync: Any, odd: str) -> None:
    """In every text of a mail, in keys too: one odd character never stops a mailbox."""
    text = f'"a{odd}b"'
    fields = ["msgId", "syncThreadId", "inReplyTo", "rfc822MsgId", "subject", "fromAddress", "fromName", "textBody"]
    body = ", ".join(
        [
            *(f'"{name}": {text}' for name in [*fields, "htmlBody"]),
            *(f'"{name}": [{text}, {{"name": {text}, "address": {text}}}]' for name in ("toAddresses", "ccAddresses")),
            f'"attachments": [{{{text}: {text}, "list": [[{text}]]}}]',
            f'"relatedTo": {{"type": {text}, "id": {text}, {text}: 1}}',
            f"{text}: {text}",
        ]
    )
    made = post(sync, f"{{{body}}}".encode())
    assert made.status_code == 201, made.text
    record = sync.get(made.headers["Location"]).json
    assert {record[name] for name in [*fields, "htmlBody"]} == {"a\ufffdb"}
    assert record["toAddresses"] == record["ccAddresses"] == ["a\ufffdb", "a\ufffdb <a\ufffdb>"]
    assert record["attachments"] == [{"a\ufffdb": "a\ufffdb", "list": [["a\ufffdb"]]}]
    assert record["relatedTo"] == {"type": "a\ufffdb", "id": "a\ufffdb", "a\ufffdb": 1}


def test_pairs_of_surrogates_are_characters(sync: Any) -> None:
    """And a backslash before a u is not always an escape."""
    made = post(sync, b'{"subject": "\\ud83d\\ude00 \\\\ud800 \\\\u0000 \xf0\x9f\x98\x80"}')
    assert made.json["subject"] == "😀 \\ud800 \\u0000 😀"


def test_nul_in_a_query_and_in_an_id_finds_what_was_sent_with_it(client: Any) -> None:
    """It is replaced there as in bodies."""
    made = post(client, b'{"rfc822MsgId": "<a\\u0000b@acme.example>"}').json
    assert client.get(f"{EMAILS}?rfc822MsgId=a%00b@acme.example").json == [made]
    contact = client.put("/api/v1/contacts/4%002", json={"emailAddresses": ["a\x00b@acme.example"]})
    assert (contact.status_code, contact.json["id"]) == (201, "4\ufffd2")
    assert client.get(contact.headers["Location"]).json == contact.json
    assert client.get("/api/v1/contacts/4%002").json == contact.json
    assert client.get("/api/v1/contacts/lookup?emails=a%00b@acme.example").json == [contact.json]


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/emails/{}",
        "/api/v1/contacts/a{}b",
        "/api/v1/companies/{}{}",
        "/api/v1/contacts/{}/emails",
        "/api/v1/contacts/lookup?emails={}",
        "/api/v1/users/lookup?emails={}@acme.example",
        "/api/v1/companies/lookup?domain={}",
        "/api/v1/companies/lookup?{}=x",
        "/api/v1/emails?q={}",
        "/api/v1/emails?address={}&msgId={}",
        "/api/v1/emails?contactId={}",
        "/api/v1/emails?cursor={}",
        "/api/v1/contacts?limit={}&updatedSince={}",
        "/api/v1/changes?after={}",
    ],
)
def test_odd_bytes_in_an_address_are_no_fault_of_the_server(client: Any, path: str) -> None:
    """An answer or an error of the client's, whatever is in the path or the query."""
    for odd in ("%00", "%ff", "%ED%A0%80", "%C0%80", "%", "%u0000", "%F0%9F%98%80", "%0d%0a", "%e2%80%ae"):
        assert client.get(path.replace("{}", odd)).status_code in (200, 404, 422), odd


# errors


@pytest.mark.parametrize(
    ("method", "path", "data", "status"),
    [
        ("POST", EMAILS, b"{%s", 400),
        ("POST", EMAILS, b'{"%s": 1, "%s": 2}', 400),
        ("POST", EMAILS, b'{"subject": ["%s"]}', 422),
        ("POST", EMAILS, b'{"receivedAt": "%s"}', 422),
        ("POST", EMAILS, b'{"toAddresses": [{"name": ["%s"]}], "relatedTo": "%s"}', 422),
        ("POST", EMAILS, b'{"attachments": ["%s", {"%s": 1}]}', 422),
        ("POST", "/api/v1/contacts", b'{"companyId": "%s"}', 422),
        ("POST", "/api/v1/contacts", b'{"id": "%s/", "emailAddresses": "%s"}', 422),
        ("PUT", "/api/v1/contacts/hushhush", b'["%s"]', 422),
        ("PATCH", "/api/v1/contacts/hushhush", b"{}", 404),
        ("PATCH", f"{EMAILS}/hushhush", b'{"subject": "%s"}', 404),
        ("DELETE", "/api/v1/companies/hushhush", b"", 404),
        ("GET", "/api/v1/hushhush", b"", 404),
        ("HUSHHUSH", EMAILS, b"", 405),
        ("GET", f"{EMAILS}?limit=hushhush", b"", 422),
        ("GET", f"{EMAILS}?cursor=hushhush&receivedAfter=hushhush", b"", 422),
        ("GET", f"{EMAILS}?q=%22hushhush", b"", 422),
        ("GET", "/api/v1/contacts/lookup?hushhush=hushhush", b"", 422),
    ],
)
def test_no_error_repeats_what_the_client_sent(
    client: Any, caplog: pytest.LogCaptureFixture, method: str, path: str, data: bytes, status: int
) -> None:
    """Neither the answer nor the log: both end up where people's emails do not belong."""
    response = post(client, data.replace(b"%s", SECRET.encode()), path=path, method=method)
    assert_error(response, status)
    assert SECRET not in f"{response.text}{response.headers}{caplog.text}".casefold()


def test_a_log_line_about_a_copy_that_differs_does_not_quote_it(client: Any, caplog: pytest.LogCaptureFixture) -> None:
    """It names the record, and what differs."""
    first, second = ({"rfc822MsgId": SECRET, "subject": f"{SECRET} {n}"} for n in range(2))
    assert [client.post(EMAILS, json=mail).status_code for mail in (first, second)] == [201, 200]
    assert "subject" in caplog.text
    assert SECRET not in caplog.text


@pytest.fixture
def limited(app: Flask, client: Any) -> Any:
    """A client of an application that takes only small bodies."""
    small = create_app({"DATABASE_URL": app.config["DATABASE_URL"], "BODY_LIMIT": 1024})
    small.test_client_class = app.test_client_class
    with_token: Any = small.test_client()
    with_token.token = client.token
    return with_token


@pytest.mark.parametrize("path", [EMAILS, "/api/v1/contacts", "/api/v1/companies"])
def test_a_body_over_the_limit_is_too_large(limited: Any, path: str) -> None:
    """413 from one byte too many; the limit itself is taken."""
    fits = b'{"a": "%s"}' % (b"x" * 1015)
    assert len(fits) == 1024
    assert post(limited, fits, path=path).status_code == 201
    error = assert_error(post(limited, fits + b" ", path=path), 413)
    assert "1024" in error["message"]


# as it is served


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Our own gunicorn with a small limit."""
    with serving(tmp_path_factory.mktemp("bodies"), BODY_LIMIT=LIMIT, THREADS=2) as running:
        yield running


def mail(size: int) -> bytes:
    """A mail in JSON of so many bytes."""
    empty = json.dumps({"textBody": ""}).encode()
    return empty[:-2] + b"x" * (size - len(empty)) + empty[-2:]


def chunked(body: bytes, size: int) -> list[bytes]:
    """A body in chunks of so many bytes, and the end of it."""
    pieces = [body[n : n + size] for n in range(0, len(body), size)]
    return [*(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces), b"0\r\n\r\n"]


def exchange(
    server: Server, framing: str, *parts: bytes, call: str = f"POST {EMAILS}", token: str = "", hang_up: bool = False
) -> tuple[int, Any]:
    """Status and body of the answer to a request written by hand; `framing` is the header that says how long it is.

    Sends on, as clients do, until it can't; `hang_up` then says that nothing more will come.
    """
    head = f"{call} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token or server.token}\r\n"
    head += f"Content-Type: application/json\r\nConnection: close\r\n{framing}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=WITHIN) as connection:
        answer = b""
        try:
            for part in (head.encode(), *parts):
                connection.sendall(part)
            if hang_up:
                connection.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass
        while piece := connection.recv(65536):
            answer += piece
    start, _, rest = answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n").partition(b"\r\n\r\n")
    return int(start.split()[1]), json.loads(rest)


def count(server: Server) -> int:
    """How many mails are there."""
    status, found = exchange(server, "Accept: */*", call=f"GET {EMAILS}?limit=100")
    assert status == 200
    return len(found)


@pytest.mark.parametrize(
    ("size", "chunk"), [(1000, None), (LIMIT, None), (1000, 1), (1000, 7), (LIMIT, 8192), (LIMIT, LIMIT)]
)
def test_a_body_up_to_the_limit_arrives_whole(server: Server, size: int, chunk: int | None) -> None:
    """With Content-Length or in chunks of any size."""
    body = mail(size)
    if chunk is None:
        status, record = exchange(server, f"Content-Length: {len(body)}", body)
    else:
        status, record = exchange(server, CHUNKED, b"".join(chunked(body, chunk)))
    assert status == 201
    assert record["textBody"] == json.loads(body)["textBody"]


@pytest.mark.parametrize("size", [LIMIT + 1, 3 * LIMIT, 30 * LIMIT])
@pytest.mark.parametrize("way", ["length", "chunked", "expect"])
def test_a_body_over_the_limit_is_refused_and_the_client_learns_why(server: Server, size: int, way: str) -> None:
    """413 reaches a client that is still sending; a chunked body is never cut short and stored."""
    before = count(server)
    body = mail(size)
    if way == "chunked":
        status, error = exchange(server, CHUNKED, *chunked(body, 16 * 1024))
    else:
        expect = "\r\nExpect: 100-continue" if way == "expect" else ""
        status, error = exchange(server, f"Content-Length: {size}{expect}", body)
    assert (status, error["code"], error["errors"]) == (413, 413, {})
    assert str(LIMIT) in error["message"]
    assert count(server) == before


@pytest.mark.parametrize("headers", [{}, {"Transfer-Encoding": "chunked"}])
def test_an_ordinary_client_learns_that_its_body_is_a_little_too_large(server: Server, headers: dict[str, str]) -> None:
    """One that reads no answer before it has sent everything: up to twice the limit is taken, and thrown away."""
    named = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json", **headers}
    body = mail(2 * LIMIT)
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=WITHIN)) as connection:
        connection.connect()
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)  # so that it is not done too early
        connection.request("POST", EMAILS, iter([body]) if headers else body, named, encode_chunked=bool(headers))
        response = connection.getresponse()
        assert (response.status, json.load(response)["code"]) == (413, 413)


@pytest.mark.parametrize("size", [1000, 30 * LIMIT])
@pytest.mark.parametrize("way", ["length", "chunked"])
def test_a_client_without_a_token_learns_it_whatever_it_sends(server: Server, size: int, way: str) -> None:
    """401, also to a client that is still sending a large body."""
    body = mail(size)
    if way == "chunked":
        status, error = exchange(server, CHUNKED, *chunked(body, 16 * 1024), token="x")
    else:
        status, error = exchange(server, f"Content-Length: {size}", body, token="x")
    assert (status, error["code"]) == (401, 401)


@pytest.mark.parametrize(
    "body",
    [
        b"zz\r\nhushhush",
        b"-1\r\nhushhush\r\n",
        b"\r\n\r\n",
        b"5\r\nhushhush\r\n0\r\n\r\n",
        b"2\r\n{}hushhush\r\n0\r\n\r\n",
        b"2\r\n{}\r\n0\r\nhush hush\r\n\r\n",
        b"2;hush hush\r\n{}\r\n0\r\n\r\n",
        b"2" * 10_000,
    ],
    ids=lambda body: str(body[:20]),
)
def test_chunks_that_are_malformed_are_a_bad_request(server: Server, body: bytes) -> None:
    """400 in the shape of all errors, and nothing is stored."""
    before = count(server)
    status, error = exchange(server, CHUNKED, body, hang_up=True)
    assert (status, error["code"], error["errors"]) == (400, 400, {})
    assert SECRET not in error["message"]
    assert count(server) == before


@pytest.mark.parametrize(
    ("framing", "body"),
    [
        ("Content-Length: 1000", b'{"subject": "hushhush'),
        ("Content-Length: 1000", b'{"subject": "hushhush"}'),
        ("Content-Length: 1000", b""),
        (CHUNKED, b"ff\r\nhushhush"),
        (CHUNKED, b'17\r\n{"subject": "hushhush"}\r\n'),
        (CHUNKED, b""),
    ],
)
def test_a_client_that_hangs_up_in_the_middle_stores_nothing(server: Server, framing: str, body: bytes) -> None:
    """Also where what has arrived could be read as a mail; one that still listens gets 400."""
    before = count(server)
    status, error = exchange(server, framing, body, hang_up=True)
    assert (status, error["code"]) == (400, 400)
    assert count(server) == before


@pytest.mark.parametrize("framing", ["Content-Length: 1000", CHUNKED])
def test_a_client_that_is_cut_off_is_no_fault_of_the_server(server: Server, framing: str) -> None:
    """A connection that is reset while its body is read."""
    before = count(server)
    head = f"PUT {EMAILS}/{SECRET} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.token}\r\n"
    for _ in range(5):
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=WITHIN)
        connection.sendall(f"{head}Content-Type: application/json\r\n{framing}\r\n\r\nff\r\n".encode())
        # Linger for no time: close() resets (RST) instead of saying good-bye (FIN).
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()
    assert count(server) == before


def test_a_client_that_sends_all_before_it_reads_learns_that_it_has_no_token(server: Server) -> None:
    """As requests and most libraries do: 401, and no connection that was cut off."""
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=WITHIN)) as connection:
        headers = {"Authorization": "Bearer no", "Content-Type": "application/json"}
        connection.request("POST", EMAILS, bytes(LIMIT), headers)
        assert connection.getresponse().status == 401


def test_expect_100_continue_is_answered_before_the_body(server: Server) -> None:
    """curl asks so before a large mail, and waits a second in vain where nobody answers."""
    body = mail(1000)
    head = f"POST {EMAILS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.token}\r\nConnection: close\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=WITHIN) as connection:
        connection.sendall(head.encode())
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 201 ")


@pytest.mark.parametrize("way", ["length", "chunked"])
def test_a_body_that_was_not_read_is_not_the_next_request(server: Server, way: str) -> None:
    """On a connection that is kept, what was refused with its body can't smuggle a call in."""
    smuggled = f"GET {EMAILS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.token}\r\n\r\n".encode()
    framing = f"Content-Length: {len(smuggled)}" if way == "length" else "Transfer-Encoding: chunked"
    body = smuggled if way == "length" else b"".join(chunked(smuggled, 50))
    first = f"POST {EMAILS} HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n".encode() + body
    second = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=WITHIN) as connection:
        connection.sendall(first + second)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    statuses = [line.split()[1] for line in answer.splitlines() if line.startswith(b"HTTP/1.1 ")]
    assert statuses == [b"401", b"200"]
    assert b'"live"' in answer


@pytest.mark.parametrize(
    "request_line",
    [
        f"GET {EMAILS}?q={SECRET * 1100} HTTP/1.1",
        f"GET /api/v1/{SECRET} {SECRET} HTTP/1.1",
        SECRET,
        f"GET {EMAILS} {SECRET}/1.1",
        f"GET {EMAILS} HTTP/1.1\r\n{SECRET} {SECRET}: x",
        f"GET {EMAILS} HTTP/1.1\r\n{SECRET}: {SECRET * 1100}",
        f"POST {EMAILS} HTTP/1.1\r\nContent-Length: {SECRET}",
        f"POST {EMAILS} HTTP/1.1\r\nTransfer-Encoding: {SECRET}",
    ],
    ids=lambda line: line[-30:],
)
def test_what_is_no_http_is_refused(server: Server, request_line: str) -> None:
    """4xx or 501 by the server itself, before the application sees it."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=WITHIN) as connection:
        connection.sendall(f"{request_line}\r\nHost: x\r\n\r\n".encode())
        connection.shutdown(socket.SHUT_WR)
        head, _, body = b"".join(iter(lambda: connection.recv(65536), b"")).decode().partition("\r\n\r\n")
    status, *headers = head.split("\r\n")
    assert status.split()[1] in {"400", "414", "431", "501"}
    named = dict(header.casefold().split(": ") for header in headers)
    assert (named["content-type"], named["cache-control"]) == ("application/json", "no-store")
    assert named["x-content-type-options"] == "nosniff"
    error = json.loads(body)
    assert (error["code"], error["errors"]) == (int(status.split()[1]), {})
    assert status == f"HTTP/1.1 {error['code']} {error['status']}"
    assert error["message"]
    assert SECRET not in f"{head}{body}".casefold()


def test_the_log_of_all_that_has_no_fault_and_nothing_that_was_sent(server: Server) -> None:
    """Routes in the place of paths; a caller's mistakes are no errors of the server."""
    for path in (f"/api/v1/contacts/{SECRET}?{SECRET}", f"/api/v1/{SECRET}", f"/{SECRET}"):
        assert exchange(server, "Accept: */*", call=f"GET {path}")[0] == 404
    requests, sentences = server.requests.read_text(), server.output.read_text().partition("Booting worker")[2]
    assert '"/api/v1/contacts/{id}"' in requests
    assert SECRET not in f"{requests}{sentences}".casefold()
    assert server.token not in f"{requests}{sentences}"
    assert [one for one in map(json.loads, requests.splitlines()) if one["status"] in (500, 503)] == []
    assert re.findall("Traceback|ERROR", sentences) == []
