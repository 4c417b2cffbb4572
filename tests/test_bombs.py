"""What is made to be too much: refused, or done in little time; and the memory that it took is given back."""

import json
import re
import socket
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest

from store.words import read_search
from tests.samples import EMAILS, Server, serving
from web.wire import MOST_COMMAS

MIB = 1024 * 1024
LIMIT = 36 * MIB
SOON = 20  # seconds: all take less than two where nothing else runs, and minutes or gigabytes without their bounds

HTML = 10_000_000
ADDRESS = 100_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Our own gunicorn with one worker and the ordinary limits."""
    with serving(tmp_path_factory.mktemp("bombs")) as running:
        yield running


def send(
    server: Server, method: str, path: str, body: bytes | Iterable[bytes] | None = None, **headers: str
) -> tuple[int, Any]:
    """Status and body of the answer."""
    named = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json", "Connection": "close"}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=SOON)) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):  # it has heard enough
            connection.request(method, path, body, named)
        answer = connection.getresponse()
        return answer.status, json.load(answer)


def raw(server: Server, parts: Iterable[bytes]) -> list[int]:
    """The statuses of the answers to what is sent until the server hangs up."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=SOON) as connection:
        answer = b""
        try:
            for part in parts:
                connection.sendall(part)
            connection.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has heard enough
        try:
            while piece := connection.recv(65536):
                answer += piece
        except ConnectionResetError:
            pass
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


def mail(size: int) -> bytes:
    """A mail in JSON of so many bytes."""
    return b'{"textBody": "%s"}' % (b"x" * (size - 16))


def pieces(body: bytes) -> Iterator[bytes]:
    """A body that is sent chunked."""
    return (body[n : n + MIB] for n in range(0, len(body), MIB))


def worker(server: Server) -> Path:
    """What Linux tells of the server's worker."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text()
    return Path("/proc") / children.split()[0]


def resident(server: Server, field: str = "VmRSS") -> int:
    """The bytes of memory that the worker uses; VmHWM: the most that it used."""
    return int(re.findall(rf"{field}:\s+(\d+) kB", (worker(server) / "status").read_text())[0]) * 1024


# bodies


@pytest.mark.parametrize("chunked", [False, True])
def test_a_mail_of_36_mib_is_taken_and_one_byte_more_is_too_large(server: Server, chunked: bool) -> None:
    """Also where no header says how large it is."""
    assert len(mail(LIMIT)) == LIMIT
    status, record = send(server, "POST", EMAILS, pieces(mail(LIMIT)) if chunked else mail(LIMIT))
    assert (status, len(record["textBody"])) == (201, LIMIT - 16)
    status, error = send(server, "POST", EMAILS, pieces(mail(LIMIT + 1)) if chunked else mail(LIMIT + 1))
    assert (status, error["code"]) == (413, 413)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("subject", "most"), [("Offer", 7), ("Offer 😀", 15)])
def test_a_large_mail_takes_a_few_times_its_size(server: Server, subject: str, most: int) -> None:
    """While it is logged: one character of four bytes makes all others of Python's text as large."""
    send(server, "GET", "/api/v1/users/me")
    size = 25 * MIB * 4 // 3  # in base64
    sent = {"subject": subject, "attachments": [{"id": "1", "content": "x" * size}]}
    body = json.dumps(sent, ensure_ascii=False).encode()
    before = resident(server)
    (worker(server) / "clear_refs").write_text("5")  # the most from now on
    assert send(server, "POST", EMAILS, body)[0] == 201
    assert resident(server, "VmHWM") - before < most * 25 * MIB


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_memory_of_large_mails_is_given_back(server: Server) -> None:
    """Without it each thread keeps several times the size of the largest one; some is for the code that it needed."""
    send(server, "GET", "/api/v1/users/me")
    before = resident(server)
    words = b'{"textBody": "%s", "htmlBody": "%s"}' % (b" ".join(b"%d" % n for n in range(300_000)), b"<b>" * MIB)
    for n in range(8):
        status, _ = send(server, "POST", EMAILS, mail(LIMIT - n) if n % 2 else words)
        assert status == 201
    assert send(server, "GET", f"{EMAILS}?limit=8")[0] == 200
    deadline = time.monotonic() + SOON
    while resident(server) > before + LIMIT:
        assert time.monotonic() < deadline, (before, resident(server))
        time.sleep(0.1)


def test_a_list_of_large_mails_comes_in_smaller_pages(server: Server) -> None:
    """A hundred of them would be gigabytes: a page ends when it is large, and the next ones bring the rest."""
    made = [
        send(server, "POST", EMAILS, json.dumps({"syncThreadId": "large", "textBody": "x" * 5 * MIB}).encode())
        for _ in range(5)
    ]
    path, found = f"{EMAILS}?syncThreadId=large&limit=100", []
    for _ in range(3):
        with closing(HTTPConnection("127.0.0.1", server.port, timeout=SOON)) as connection:
            connection.request("GET", path, headers={"Authorization": f"Bearer {server.token}"})
            answer: HTTPResponse = connection.getresponse()
            page = json.load(answer)
        assert len(page) <= 2
        found += page
        path = (answer.headers["Link"] or "").partition(">")[0][1:]
    assert not path
    assert found == [record for _, record in reversed(made)]


@pytest.mark.parametrize(
    "body",
    [
        b'{"toAddresses": [%s]}' % b",".join([b'"a@b.example"'] * 1_000_000),
        b'{"toAddresses": [%s]}' % b",".join([b"{}"] * 3_000_000),
        b'{"toAddresses": [%s]}' % b",".join([b"1"] * 1_000_000),
        b'{"attachments": [%s]}' % b",".join([b'{"id": "1", "name": "a"}'] * 100_000),
        b'{"attachments": [{"size": [%s]}]}' % b",".join([b"1e-9"] * 3_000_000),
        b'{"relatedTo": [%s]}' % b",".join([b'{"type":"Contact","id":%d}' % n for n in range(100_000)]),
        b"{%s}" % b",".join([b'"a":1'] * 1_000_000),
        b"{%s}" % b",".join([b'"%d":1' % n for n in range(1_000_000)]),
        b"[%s]" % b",".join([b"[[],[]]"] * 1_000_000),
    ],
    ids=lambda body: str(body[:40]),
)
def test_more_values_than_any_mail_has_are_a_bad_request(server: Server, body: bytes) -> None:
    """They would take a hundred times their size, or hold the lock of writers for a minute."""
    status, error = send(server, "POST", EMAILS, body)
    assert (status, error["code"]) == (400, 400)
    assert str(MOST_COMMAS) in error["message"]


def test_commas_in_texts_are_no_values(server: Server) -> None:
    """As many as an email may have, beside quotation marks and backslashes."""
    text = ',",\\",' * MIB
    status, record = send(server, "POST", EMAILS, json.dumps({"textBody": text, "subject": '\\"'}).encode())
    assert (status, record["textBody"]) == (201, text)


def test_a_mail_to_five_thousand_is_taken(server: Server) -> None:
    """With names, as texts and as objects, to domains in all scripts."""
    texts = [f"Person {n} <p{n}@x{n}.example>" for n in range(2500)]
    objects = [{"name": f"Persön {n}", "address": f"p{n}@bücher{n}.example"} for n in range(2500)]
    status, record = send(server, "POST", EMAILS, json.dumps({"toAddresses": [*texts, *objects]}).encode())
    assert (status, len(record["toAddresses"])) == (201, 5000)


def test_every_field_may_be_huge(server: Server) -> None:
    """Hundreds of kilobytes in each."""
    huge = "ä" * 400_000
    names = ["msgId", "syncThreadId", "inReplyTo", "rfc822MsgId", "subject", "fromAddress", "fromName"]
    sent = dict.fromkeys([*names, "textBody", "htmlBody"], huge)
    status, record = send(server, "POST", EMAILS, json.dumps(sent | {"toAddresses": [huge]}).encode())
    assert status == 201
    assert {name: record[name] for name in sent} == sent
    for field, value in (("receivedAt", "2" * MIB), ("receivedAt", f"2026-01-31T09:30:00.{'1' * MIB}Zz")):
        assert send(server, "POST", EMAILS, json.dumps({field: value}).encode())[0] == 422


@pytest.mark.parametrize(
    "piece",
    [
        *["<div>", "<a b=c ", "x", "x ", "&", "&amp;", "<", "<p>", "<table><tr><td>", "<b><i>", "<!--", "<svg><math>"],
        *["<![CDATA[", "<select><option>", "<template>", "<script>", "<textarea><", "</p>", "<a ", "\ufffd"],
    ],
)
def test_ten_megabytes_of_html_are_read_soon(server: Server, piece: str) -> None:
    """Nested, in attributes, in entities, open, or one giant text."""
    body = json.dumps({"htmlBody": piece * (HTML // len(piece.encode()))}).encode()
    assert send(server, "POST", EMAILS, body)[0] == 201


@pytest.mark.parametrize(
    "piece",
    ['"', "<", ">", "@", "<@", "@<", ",", ".", "\\", " ", "(", '"<', "é", "é.", "xn--.", "a.", "İ", "\u0301", "ß"],
)
def test_an_address_of_any_length_is_normalized_soon(server: Server, piece: str) -> None:
    """In front of the @, behind it, in brackets that are never closed."""
    long = piece * (ADDRESS // len(piece))
    sent = {"fromAddress": f"a@{long}", "toAddresses": [f"{long}@x.example", f"<{long}", f"<@{long}", f"<{long}>"]}
    status, record = send(server, "POST", EMAILS, json.dumps(sent).encode())
    assert (status, record["toAddresses"]) == (201, sent["toAddresses"])


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "application/x-www-form-urlencoded"])
def test_a_form_is_refused_unread(server: Server, kind: str) -> None:
    """However many parts it has."""
    body = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' * 100_000
    assert send(server, "POST", EMAILS, body, Content_Type=kind)[0] == 415


# queries


@pytest.mark.parametrize("query", ['"' + "a " * 3900 + '"', "a." * 3900, "a b " * 1000, '"a ' + "東 " * 800 + '"'])
def test_a_search_has_no_more_words_than_a_sentence(query: str) -> None:
    """A phrase of thousands, found in a mail of a million words, took minutes and four gigabytes."""
    with pytest.raises(ValueError, match="words"):
        read_search(query)


@pytest.mark.parametrize("query", ["a* " * 32, '"' + "a " * 32 + '"', "a* -b* " * 16, "a" * 7000, "*" * 7000 + " a"])
def test_a_search_that_finds_a_million_words_ends_soon(server: Server, query: str) -> None:
    """As many words, beginnings or letters as are allowed."""
    assert send(server, "POST", EMAILS, b'{"rfc822MsgId": "a", "textBody": "%s"}' % (b"a " * 1_000_000))[0] in (
        200,
        201,
    )
    assert send(server, "GET", f"{EMAILS}?limit=1&q={quote_plus(query, safe='*')}")[0] == 200


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("emails?" + "&a" * 4000, 422),
        ("emails?" + "&limit=1" * 1000, 200),
        ("emails?limit=" + "9" * 7000, 422),
        ("emails?cursor=" + "W1tb" * 1900, 422),
        ("emails?receivedAfter=" + "9" * 7000, 422),
        ("changes?after=" + "9" * 7000, 422),
        ("contacts/lookup?emails=" + "," * 8000, 422),
        ("contacts/lookup?emails=" + "%22%5C" * 1300, 200),
        ("contacts/lookup?" + "&emails=a" * 800, 200),
        ("contacts/lookup?emails=" + "%20" * 2000 + "@x", 200),
        ("companies/lookup?domain=" + "a." * 4000, 200),
        ("companies/lookup?domain=" + "%C3%A9." * 1100, 200),
        ("companies/lookup?domain=" + "//" * 4000, 200),
    ],
    ids=lambda part: str(part)[:30],
)
def test_a_query_as_long_as_a_line_is_answered_soon(server: Server, query: str, status: int) -> None:
    """Whatever fills it."""
    assert send(server, "GET", f"/api/v1/{query}")[0] == status


# HTTP


def test_chunks_without_end_are_cut_off(server: Server) -> None:
    """At twice the limit at most, whatever the client does then."""
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        head = f"POST {EMAILS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.token}\r\n"
        yield f"{head}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        while sent < 10 * LIMIT:
            sent += MIB
            yield b"%x\r\n%s\r\n" % (MIB, b"x" * MIB)

    assert raw(server, endless()) in ([413], [])
    assert sent < 3 * LIMIT


@pytest.mark.parametrize(
    ("parts", "statuses"),
    [
        ([b"GET /health/live HTTP/1.1\r\nHost: x\r\n", *[b"X-%d: y\r\n" % n for n in range(10_000)], b"\r\n"], {431}),
        ([b"GET /health/live HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n" % (b"y" * MIB)], {431}),
        ([b"GET /health/live HTTP/1.1\r\nHost: x\r\nX: ", *[b"y" * MIB] * 100], {431}),
        ([b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n" % (b"y" * (8190 - 14))], {404}),
        ([b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n" % (b"y" * (8190 - 13))], {414}),
        ([b"GET /", *[b"y" * MIB] * 100], {414}),
        ([b"y" * MIB] * 100, {414}),
        ([b"GET /health/live\r\n\r\n"], {400}),  # HTTP/0.9
        ([b"GET /health/live HTTP/2.0\r\nHost: x\r\n\r\n"], {400, 505}),
        ([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], {400, 505}),
    ],
    ids=lambda part: str(part)[:40],
)
def test_heads_without_end_are_refused(server: Server, parts: list[bytes], statuses: set[int]) -> None:
    """Headers, lines and other versions of HTTP; a client that sends on may be cut off before it reads why."""
    answers = raw(server, parts)
    assert len(answers) == 1 or sum(map(len, parts)) > MIB
    assert set(answers) <= statuses


def test_a_hundred_calls_at_once_on_one_connection_get_a_hundred_answers(server: Server) -> None:
    """In their order (RFC 9112, 9.3.2)."""
    call = b"GET /health/%s HTTP/1.1\r\nHost: x\r\n\r\n"
    assert raw(server, [call % b"live" + call % b"none"] * 50) == [200, 404] * 50


def test_a_compressed_bomb_is_not_unpacked(server: Server) -> None:
    """No coding of bodies is understood."""
    assert send(server, "POST", EMAILS, b"\x1f\x8b\x08" + b"\0" * 10_000, Content_Encoding="gzip")[0] == 415
