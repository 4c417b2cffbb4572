"""Databases of earlier versions, from which each later one must go forward: tests/test_migrations.py opens them.

    python -m tests.databases 1.0.0

keeps one of the version that is checked out: as SQLite has it, as pg_dump tells it, and what its calls answered. It is
run once for each version, before the release, and for a version that is released never again. The data is made up, and
every table and column has some.
"""

import json
import lzma
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import psycopg

import database
import models
from app import create_app
from commands import database_copy
from tests import postgresql
from tests.samples import MAIL
from web import sessions, tokens

FOLDER = Path(__file__).parent
VERSIONS = sorted(path.name.removesuffix(".json.xz") for path in FOLDER.glob("*.json.xz"))
ADMIN, SYNC = (tokens.PREFIX + digit * 30 for digit in "12")  # of nobody: no service has such a database
API = "/api/v1"
# A path of each call that reads, and more where a condition has an index of its own.
READS = [
    *("/users", "/users/me", "/users/lookup?emails=JOHN@brightsync.example", "/never-log", "/sync", "/unmatched"),
    *("/companies", "/companies?updatedSince=2026-01-01T00:00:00Z&includeDeleted=true", "/companies/7"),
    *("/companies/lookup?domain=x.acme.example", "/companies/lookup?name=acme+LTD", "/companies/7/emails"),
    *("/contacts", "/contacts/42", "/contacts/lookup?emails=JANE@acme.example", "/contacts/42/emails", "/changes"),
    *(
        "/emails?limit=100",
        "/emails?q=offer",
        "/emails?q=p7",
        "/emails?q=見積",
        "/emails?rfc822MsgId=hello@acme.example",
    ),
    *("/emails?msgId=18c2f0a9d1e4", "/emails?msgId=another", "/emails?syncThreadId=18c2f0a9d1e0"),
    *("/emails?address=p7@many.example", "/emails?contactId=42", "/emails?receivedAfter=2026-02-01T00:00:00Z"),
    *("/emails/1", "/emails/3?body=new", "/emails/1/copies", "/emails/1/attachments/1"),
    *("/threads", "/threads?contactId=42", "/threads?companyId=7", "/threads/1"),
]


def keep(version: str) -> None:
    """Make the three files of a version."""
    with TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/connector.db"
        app = create_app({"DATABASE_URL": url})
        emails = _fill(app)
        kept = {"emails": emails, "answers": _answers(app)}
        assert app.test_cli_runner().invoke(args=["backup", f"{folder}/first.db"]).exit_code == 0
        database.backup(Path(folder, "kept.db"))
        database.stop()
        file = Path(folder, "kept.db").read_bytes()
        _require_all_columns(Path(folder, "kept.db"))
        server = postgresql.Server()
        try:
            database_copy.copy(url, server.url, lambda _, __, things: things)
            dump = server.dump()
        finally:
            server.remove()
    for ending, content in (("json", json.dumps(kept, indent=1).encode()), ("db", file), ("sql", dump.encode())):
        (FOLDER / f"{version}.{ending}.xz").write_bytes(lzma.compress(content))


def kept(version: str) -> dict[str, Any]:
    """What was logged (body and id), and what calls answered."""
    found: dict[str, Any] = json.loads(lzma.decompress((FOLDER / f"{version}.json.xz").read_bytes()))
    return found


def lay(version: str, url: str) -> None:
    """Put the database of a version where the URL says."""
    if url.startswith("sqlite"):
        database.locate(url).write_bytes(lzma.decompress((FOLDER / f"{version}.db.xz").read_bytes()))
        database.locate(url).chmod(0o600)
    else:
        with psycopg.connect(url) as connection:
            connection.execute(lzma.decompress((FOLDER / f"{version}.sql.xz").read_bytes()))


def call(app: Any, token: str, method: str, path: str, body: Any = None) -> Any:
    """The JSON of an answer that is no refusal; of anything else its text."""
    answer = app.test_client().open(path, method=method, json=body, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code < 300, (method, path, answer.text)
    return answer.json if answer.text and answer.is_json else answer.text


def _fill(app: Any) -> list[list[Any]]:
    """Use all there is; gives what was logged, with the ids."""
    runner = app.test_cli_runner()

    def run(*words: str) -> str:
        done = runner.invoke(args=words)
        assert done.exit_code == 0, done.output
        return str(done.stdout)

    def admin(method: str, path: str, body: Any = None) -> Any:
        return call(app, ADMIN, method, f"{API}{path}", body)

    def log(**fields: Any) -> str:
        record = call(app, SYNC, "POST", f"{API}/emails", fields)
        logged.append([fields, record["id"]])
        return str(record["id"])

    logged: list[list[Any]] = []
    run("user", "add", "john@brightsync.example", "--id", "u1", "--name", "John Smith", "--timezone", "Europe/Berlin")
    for token, scope in ((ADMIN, "admin"), (SYNC, "sync")):
        with patch("secrets.choice", return_value=token[-1]):
            run("token", "create", "john@brightsync.example", "--scope", scope, "--label", scope, "--expires", "36500")
    run("token", "create", "john@brightsync.example")
    run("token", "revoke", "3")
    sessions.begin(1)
    sessions.offer_link(1)

    for number, name in ((7, "Acme Ltd"), (8, "Globex")):
        domains = [f"{name.partition(' ')[0].lower()}.example", "no domain"]
        admin("PUT", f"/companies/{number}", {"name": name, "domains": domains})
    for number, first, address in ((42, "Jane", "jane@acme.example"), (43, "Bob", "bob@globex.example")):
        person = {"firstName": first, "lastName": "Doe", "emailAddresses": [address, "none"]}
        admin("PUT", f"/contacts/{number}", {**person, "companyId": "7" if number == 42 else None})
    admin("DELETE", "/companies/8")

    run("never-log", "add", "private.example", "--unless-known", "--reason", "asked us to")
    run("never-log", "add", "--internal", "brightsync.example")
    run("retention", "set", "--after", "99y", "--keep-linked")
    files = [{**file, "content": "JVBERi0="} for file in MAIL["attachments"]]
    first = log(**{**MAIL, "attachments": files, "relatedTo": [{"type": "Deal", "id": "1"}, *MAIL["relatedTo"]]})
    log(**{**MAIL, "msgId": "of Carol", "subject": "Offer 4711, seen by Carol", "attachments": []})
    admin("PATCH", f"/emails/{first}", {"relatedTo": MAIL["relatedTo"], "msgId": "another"})
    log(rfc822MsgId="<re@brightsync.example>", inReplyTo=MAIL["rfc822MsgId"], subject="Re: Offer 4711")
    log(msgId="only a msgId", syncThreadId=MAIL["syncThreadId"], textBody="Grüße, 見積 und \u0e04\u0e33\n> quoted")
    log(subject="without any id", receivedAt="2026-02-01T00:00:00Z", fromAddress="new@elsewhere.example")
    log(rfc822MsgId="<all@acme.example>", toAddresses=[f"p{n}@many.example" for n in range(2001)])
    log(rfc822MsgId="<secret@private.example>", fromAddress="sue@private.example", subject="never logged")
    gone = log(rfc822MsgId="<gone@acme.example>", msgId="gone", subject="deleted")
    admin("DELETE", f"/emails/{gone}")

    missed = ["new@elsewhere.example", "ignored@elsewhere.example"]
    call(app, SYNC, "GET", f"{API}/contacts/lookup?emails={','.join(missed)}")
    for token in (SYNC, tokens.PREFIX + "9" * 30):  # 403 and 401
        app.test_client().get(f"{API}/changes", headers={"Authorization": f"Bearer {token}"}).close()
    admin("GET", "/sync")
    admin("POST", f"/unmatched/{missed[1]}/ignore")
    return logged


def _answers(app: Any) -> dict[str, Any]:
    """What each call that reads answers, by its path."""
    routes = app.url_map.bind("localhost")
    read = {rule.endpoint for rule in app.url_map.iter_rules() if rule.rule.startswith(API) and "GET" in rule.methods}
    missing = read - {routes.match(f"{API}{path.partition('?')[0]}")[0] for path in READS}
    assert not missing, f"READS has no path for {missing}"
    return {path: call(app, ADMIN, "GET", f"{API}{path}") for path in READS}


def _require_all_columns(file: Path) -> None:
    """Else a later version would not be seen to lose what is in one."""
    with closing(sqlite3.connect(file)) as connection:
        for model in (table for table in models.tables() if table is not models.EmailWords):
            for field in model._meta.sorted_fields:
                name, column = model._meta.table_name, field.column_name
                held = connection.execute(f'SELECT 1 FROM "{name}" WHERE "{column}" IS NOT NULL').fetchone()
                assert held, f"{name}.{column} is empty"


if __name__ == "__main__":
    keep(*sys.argv[1:])
