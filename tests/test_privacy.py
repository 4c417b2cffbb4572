"""What people write is in the database, and nowhere else: not in a log, not in an error, not in a metric."""

import base64
import json
import os
import socket
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.samples import EMAILS, MAIL, PROJECT, WITHIN, Server, ask, environment, run_command, serving, until

SECRET = "hushhush"  # in every place in which something can be sent
ADDRESS = f"{SECRET}@acme.example"
CONTACTS, COMPANIES = "/api/v1/contacts", "/api/v1/companies"
LIMIT = 20_000

LETTER = MAIL | {
    "rfc822MsgId": f"<{SECRET}@acme.example>",
    "msgId": SECRET,
    "syncThreadId": SECRET,
    "inReplyTo": f"<{SECRET}>",
    "subject": SECRET,
    "fromAddress": ADDRESS,
    "fromName": SECRET,
    "toAddresses": [f"{SECRET} <{ADDRESS}>"],
    "textBody": f"Dear {SECRET}",
    "htmlBody": f"<p>{SECRET}</p>",
    "attachments": [{"id": SECRET, "name": SECRET, "content": base64.b64encode(SECRET.encode()).decode()}],
    "relatedTo": [{"type": SECRET, "id": SECRET}],
}
PERSON = {"id": SECRET, "firstName": SECRET, "lastName": SECRET, "emailAddresses": [ADDRESS]}
COMPANY = {"id": f"{SECRET}2", "name": SECRET, "domains": [f"{SECRET}.example"]}

# Method, path, body (text as it is, all else as JSON), headers, and what is answered.
CALLS: list[tuple[str, str, Any, dict[str, str], int]] = [
    ("POST", EMAILS, LETTER, {}, 201),
    ("POST", EMAILS, LETTER, {}, 200),
    ("POST", EMAILS, LETTER | {"subject": f"{SECRET}!", "textBody": SECRET, "msgId": f"{SECRET}2"}, {}, 200),
    ("POST", CONTACTS, PERSON, {}, 201),
    ("POST", COMPANIES, COMPANY, {}, 201),
    ("GET", f"{EMAILS}?rfc822MsgId={SECRET}@acme.example&address={ADDRESS}", None, {}, 200),
    ("GET", f"{EMAILS}?q={SECRET}", None, {}, 200),
    ("GET", f"{EMAILS}?syncThreadId={SECRET}&limit=1", None, {}, 200),
    ("GET", f"{CONTACTS}/lookup?emails={ADDRESS},x{ADDRESS}", None, {}, 200),
    ("GET", f"{COMPANIES}/lookup?domain={SECRET}.example", None, {}, 200),
    ("GET", f"/api/v1/users/lookup?emails={ADDRESS}", None, {}, 200),
    ("GET", f"{CONTACTS}/{SECRET}/emails", None, {}, 200),
    ("PATCH", f"{CONTACTS}/{SECRET}", {"firstName": f"{SECRET}!"}, {}, 200),
    ("GET", f"{EMAILS}/1/attachments/{SECRET}", None, {}, 200),
    ("GET", f"{EMAILS}/1/attachments/{SECRET}?{SECRET}", None, {"Range": SECRET, "If_None_Match": SECRET}, 416),
    # the caller's mistakes
    ("POST", EMAILS, f'{{"subject": "{SECRET}', {}, 400),
    ("POST", EMAILS, f'{{"{SECRET}": 1, "{SECRET}": 2}}', {}, 400),
    ("GET", EMAILS, None, {"Authorization": f"Bearer bsc_{SECRET}"}, 401),
    ("GET", EMAILS, None, {"Authorization": f"{SECRET} {SECRET}"}, 401),
    ("GET", EMAILS, None, {"Authorization": f"Basic {base64.b64encode(f'{ADDRESS}:{SECRET}'.encode()).decode()}"}, 401),
    ("GET", f"/api/v1/{SECRET}", None, {"Authorization": ""}, 401),
    ("GET", f"{CONTACTS}/{SECRET}x?{SECRET}={SECRET}", None, {}, 404),
    ("GET", f"/{SECRET}/{ADDRESS}?{SECRET}", None, {"Cookie": SECRET, "Referer": SECRET, "User_Agent": SECRET}, 404),
    ("GET", f"/docs/{SECRET}", None, {}, 404),
    ("GET", "/health/live", None, {"X_Request_ID": ADDRESS, "Host": f"{SECRET}.example", "Forwarded": SECRET}, 200),
    (SECRET.upper(), f"/health/live?{SECRET}", SECRET, {}, 405),
    ("PATCH", f"{EMAILS}/2", {"rfc822MsgId": SECRET + "@acme.example"}, {}, 404),
    ("POST", EMAILS, {"textBody": SECRET * LIMIT}, {}, 413),
    ("POST", EMAILS, SECRET, {"Content_Type": f"text/{SECRET}"}, 415),
    ("POST", EMAILS, {"receivedAt": SECRET, "toAddresses": SECRET, "attachments": [SECRET]}, {}, 422),
    ("POST", CONTACTS, {"firstName": SECRET, "companyId": SECRET}, {}, 422),
    ("GET", f"{EMAILS}?cursor={SECRET}&receivedAfter={SECRET}&limit={SECRET}", None, {}, 422),
    ("GET", f'{EMAILS}?q="{SECRET}'.replace('"', "%22"), None, {}, 422),
]

NO_HTTP = [
    f"GET /{SECRET}",
    f"GET /health/live HTTP/1.1\r\n{SECRET}: {SECRET}\r\n",
    f"{SECRET}\r\n\r\n",
    f"GET /{SECRET * 1100} HTTP/1.1\r\n\r\n",
    f"GET /{SECRET} {SECRET}/1.1\r\n\r\n",
    f"GET / HTTP/1.1\r\n{SECRET}: {SECRET * 1100}\r\n\r\n",
    f"GET / HTTP/1.1\r\n{SECRET} {SECRET}: {SECRET}\r\n\r\n",
    f"GET / HTTP/1.1\r\nExpect: {SECRET}\r\n\r\n",
    f"GET /{SECRET} HTTP/1.1\r\nSCRIPT_NAME: /{SECRET}2\r\n\r\n",
    f"POST / HTTP/1.1\r\nContent-Length: {SECRET}\r\n\r\n",
    f"POST / HTTP/1.1\r\nTransfer-Encoding: {SECRET}\r\n\r\n",
    f"POST {EMAILS} HTTP/1.1\r\nAuthorization: Bearer TOKEN\r\nContent-Type: application/json\r\n"
    f"Transfer-Encoding: chunked\r\n\r\n{SECRET}\r\n",
    f"POST {EMAILS} HTTP/1.1\r\nAuthorization: Bearer TOKEN\r\nContent-Type: application/json\r\n"
    f"Content-Length: 1000\r\n\r\n{SECRET}",
    f"POST /{SECRET} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{SECRET}",
]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """gunicorn with everything on that tells of its work, as talkative as it can be made."""
    run_command(tmp_path, "flask", "user", "add", "john@brightsync.example")
    token = run_command(
        tmp_path, "flask", "token", "create", "john@brightsync.example", "--scope", "admin"
    ).stdout.strip()
    options = ("--log-level", "debug", "--capture-output")
    with serving(tmp_path, "gunicorn", *options, METRICS="on", WORKERS=2, BODY_LIMIT=LIMIT) as running:
        yield running._replace(token=token)


def send(server: Server, text: str) -> None:
    """Send what no client library would, and wait for the end of the answer."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=WITHIN) as connection:
        connection.sendall(text.replace("TOKEN", server.token).encode())
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    if answer:  # none to a request whose connection was lost
        assert b"application/json" in answer
        assert b"Cache-Control: no-store" in answer
        assert SECRET not in answer.decode().casefold()


def test_nothing_that_was_sent_is_told(server: Server, tmp_path: Path) -> None:
    """Whatever comes of it: mail that is logged, mistakes, faults, a database that fails, what is no HTTP."""
    for method, path, body, headers, expected in CALLS:
        sent = body if isinstance(body, str) else None if body is None else json.dumps(body)
        status, _, answer = ask(server, method, path, sent.encode() if sent else None, **headers)
        assert status == expected, (method, path, answer)
        assert status < 400 or SECRET not in answer.decode().casefold()
    for text in NO_HTTP:
        send(server, text)

    mail = tmp_path / f"{SECRET}.eml"
    mail.write_text(f"Message-ID: <{SECRET}3>\nFrom: {ADDRESS}\nSubject: {SECRET}\n\n{SECRET}\n")
    mail.with_name("copy.eml").write_text(f"Message-ID: <{SECRET}3>\nFrom: {ADDRESS}\nSubject: {SECRET}!\n\n{SECRET}\n")
    imports = [
        run_command(tmp_path, "flask", "mail", "import", str(tmp_path / file)) for file in ("copy.eml", mail.name)
    ]
    told = "".join(f"{done.stdout}{done.stderr}" for done in imports).replace(mail.name, "")  # that was typed
    assert "copy differs" in told

    token = run_command(tmp_path, "flask", "token", "create", "john@brightsync.example").stdout.strip()
    with sqlite3.connect(tmp_path / "connector.db") as other:  # a fault, whose message is what the table holds
        other.execute("PRAGMA ignore_check_constraints = 1")
        other.execute("UPDATE token SET scope = ? WHERE id = 2", [SECRET])
        other.execute("UPDATE email SET related_to = ? WHERE id = 1", [f"{{{SECRET}"])
    other.close()
    assert ask(server, "GET", f"{CONTACTS}/{SECRET}?{SECRET}", Authorization=f"Bearer {token}")[0] == 500
    assert ask(server, "GET", f"{EMAILS}/1?{SECRET}")[0] == 500

    lock = tmp_path / "connector.db-lock"
    lock.unlink()
    lock.mkdir()
    other_letter = LETTER | {"rfc822MsgId": f"<{SECRET}9@acme.example>"}  # of the first the record is damaged by now
    assert ask(server, "POST", f"{EMAILS}?{SECRET}", json.dumps(other_letter).encode())[0] == 503
    lock.rmdir()

    seen = len(CALLS) + len(NO_HTTP) // 2
    until(lambda: len(server.requests.read_text().splitlines()) > seen)
    status, _, metrics = ask(server, "GET", "/metrics", Authorization="")
    assert (status, b'route="/api/v1/emails"' in metrics) == (200, True)
    requests, output = server.requests.read_text(), server.output.read_text()
    assert {json.loads(line)["status"] for line in requests.splitlines()} >= {
        *(200, 201, 400, 401, 404, 405, 413, 414, 415, 417, 422, 431, 500, 501, 503)
    }
    for wanted in ("DEBUG", "copy differs", "KeyError", "JSONDecodeError", "The database can't serve"):
        assert wanted in output
    for text in (told, requests, output, metrics.decode()):
        assert SECRET not in text.casefold()
        assert base64.b64encode(SECRET.encode()).decode().rstrip("=") not in text
        assert server.token[4:] not in text
        assert token[4:] not in text


def test_files_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    """The database, all that SQLite and the connector put beside it, and copies; whatever the machine's habit is."""
    folder = tmp_path / "data"
    before = os.umask(0)
    try:
        with serving(tmp_path, DATABASE_URL=f"sqlite:///{folder}/connector.db") as server:
            assert ask(server, "POST", EMAILS, json.dumps(LETTER).encode())[0] == 201
            done = subprocess.run(
                [sys.executable, "-m", "flask", "backup", f"{folder}/backup.db"],
                cwd=PROJECT,
                env=environment(tmp_path, DATABASE_URL=f"sqlite:///{folder}/connector.db"),
            )
            assert done.returncode == 0
            files = {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert files.keys() >= {"connector.db", "connector.db-wal", "connector.db-shm", "connector.db-lock", "backup.db"}
    assert set(files.values()) == {0o600}, files


def test_every_answer_forbids_caches_and_guesses(client: Any, anonymous: Any) -> None:
    """Also where there is nothing, and what is no part of the API; but for the page's own files, which are nobody's."""
    for path in ("/", "/nowhere", "/docs", "/docs/nothing", "/openapi.json", "/health/live", "/health/ready", EMAILS):
        for caller in (client, anonymous):
            for method in ("GET", "HEAD", "POST", "OPTIONS"):
                answer = caller.open(path, method=method)
                assert answer.headers["Cache-Control"] == "no-store", path
                assert answer.headers["X-Content-Type-Options"] == "nosniff", path
    with anonymous.get("/docs/swagger-ui.css") as asset:
        assert asset.headers["X-Content-Type-Options"] == "nosniff"
