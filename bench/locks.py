"""Who holds the write lock, and for how long: `python -m bench.locks URL...`, one table for all.

Each URL names a database made for this, `sqlite:////path/file.db` or `postgresql://…`. Its content is changed, so that
a second run would find less to do: give a new copy to each. One of SQLite's is made by `python -m bench.generate 100000
FILE`, one of PostgreSQL's is a copy of it: `flask database copy`.

While a command or call runs in a process of its own, this one takes the lock and leaves it every half millisecond, as
any writer would. What is told is the longest time that it waited, in ms: the time for which the lock was held, and on a
busy machine a little more.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import database

PROJECT = Path(__file__).parent.parent
MANY = 20_000  # contacts of one company
PEOPLE = 500  # addresses of one contact: crm.records.MOST_ENTRIES
CROWD = 19_000  # recipients of one email; more are refused for their commas: web.wire.MOST_COMMAS
ROWS = 60_000  # of a table

Call = tuple[str, str, Any]  # method, path, body


def _email(kind: str, **more: Any) -> Call:
    people = [f"many{n}@{kind}.example" for n in range(more.pop("people", 3))]
    body = {"rfc822MsgId": f"<{kind}@lock.example>", "subject": kind, "fromAddress": "a@b.example"}
    return "POST", "emails", {**body, "toAddresses": people, "textBody": "Hello", **more}


def calls() -> dict[str, list[Call]]:
    """What is measured is the last call of each; those before it prepare it."""
    large = "word " * (36 * 2**20 // 5 - 100)
    people = [f"many{n}@contact.example" for n in range(PEOPLE)]
    crowd = [f"many{n}@copy.example" for n in range(CROWD)]
    company = ("PUT", "companies/lock", {"name": "Large", "domains": []})
    return {
        "POST email": [_email("usual")],
        f"POST email, {CROWD:,} recipients": [_email("crowd", people=CROWD)],
        f"POST of a copy, {CROWD:,} more": [_email("crowd", people=CROWD), _email("crowd", toAddresses=crowd)],
        f"PATCH email, {CROWD:,} recipients": [
            _email("crowd", people=CROWD),
            ("PATCH", "emails/{id}", {"subject": "x"}),
        ],
        f"DELETE email, {CROWD:,} recipients": [_email("crowd", people=CROWD), ("DELETE", "emails/{id}", None)],
        "POST email, 36 MiB of text": [_email("large", textBody=large)],
        f"PUT contact, {PEOPLE:,} addresses": [("PUT", "contacts/many", {"emailAddresses": people})],
        f"POST contact, {PEOPLE:,} addresses, known": [
            ("PUT", "contacts/many", {"emailAddresses": people[1:]}),
            ("POST", "contacts", {"emailAddresses": [*people[1:], "new@contact.example"]}),
        ],
        f"DELETE company, {MANY:,} contacts": [company, ("DELETE", "companies/lock", None)],
        "refused: 1,000 calls": [("GET", "no-token", None)],
        "search": [("GET", "emails?q=zugzwang", None)],
        "/health/ready": [("GET", "/health/ready", None)],
    }


def commands(folder: Path) -> dict[str, list[str]]:
    """What is run as `flask …`; the starts are in it."""
    table = folder / "people.csv"
    if not table.exists():
        rows = (f",First{n},Last,csv{n}@{n % 999}.example\n" for n in range(ROWS))
        table.write_text("id,firstName,lastName,email\n" + "".join(rows))
        table.with_name("bad.csv").write_text("id,companyId\n" + "1,\n" * 5_000 + "1,nowhere\n")
        for n in range(500):
            mail = EmailMessage()
            mail["From"], mail["To"], mail["Message-ID"] = "a@b.example", "c@d.example", f"<{n}@import.example>"
            mail.set_content("Hello\n" * 100)
            mail.add_alternative("<p>Hello</p>" * 2_000, subtype="html")
            (folder / f"{n}.eml").write_bytes(bytes(mail))
    return {
        f"contacts import --dry-run, {ROWS:,} rows": ["contacts", "import", str(table), "--dry-run"],
        f"contacts import, {ROWS:,} rows": ["contacts", "import", str(table)],
        "contacts import, a bad row": ["contacts", "import", str(table.with_name("bad.csv"))],
        "mail import, 500 emails": ["mail", "import", str(folder)],
        "user add": ["user", "add", f"{time.time_ns()}@lock.example"],
        "token create": ["token", "create", "john@brightsync.example"],
        "token list: a start": ["token", "list"],
        "person export": ["person", "export", "person7@company7.example"],
        "person erase": ["person", "erase", "person7@company7.example"],
        "doctor": ["doctor"],
        "backup (SQLite)": ["backup", str(folder / f"{time.time_ns()}.copy")],
    }


def longest_wait(running: Callable[[], bool]) -> float:
    """The longest time, in seconds, that a writer waits for the lock while something runs."""
    longest = 0.0
    while running():
        asked = time.monotonic()
        with database.writing(60):
            longest = max(longest, time.monotonic() - asked)
        time.sleep(0.0005)
    return longest


def measure_command(url: str, words: list[str]) -> float:
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "flask", "--app", "app", *words],
            cwd=PROJECT,
            env={**os.environ, "DATABASE_URL": url},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        return longest_wait(lambda: process.poll() is None)


def measure_call(url: str, name: str) -> float:
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.locks", "--call", name, url],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    process.stdin.close()
    held = longest_wait(lambda: process.poll() is None)
    print(f"    {name}: {process.stdout.read().strip()}", file=sys.stderr)
    return held


def make_call(url: str, name: str) -> None:
    """The other process: prepare, say so, wait for the word, make the call."""
    import crm
    from app import create_app
    from web import tokens

    client = create_app({"DATABASE_URL": url}).test_client()
    headers = {"Authorization": f"Bearer {tokens.create('u0', 'admin', 'bench.locks', 1)}"}
    *before, (method, path, body) = calls()[name]
    answer: Any = None
    for call in before:
        answer = client.open(f"/api/v1/{call[1]}", method=call[0], json=call[2], headers=headers)
    if name.startswith("DELETE company"):
        for n in range(0, MANY, 1000):
            with database.writing():
                for m in range(n, n + 1000):
                    person = {"firstName": "A", "lastName": None, "emailAddresses": [], "companyId": "lock"}
                    crm.put_contact(f"lock{m}", person)
    if "{id}" in path:
        path = path.format(id=answer.json["id"])
    print("ready", flush=True)
    sys.stdin.read()
    where = path if path.startswith("/") else f"/api/v1/{path}"
    if name.startswith("refused"):
        for _ in range(1_000):
            answer = client.get("/api/v1/users/me", headers={"Authorization": "Bearer nonsense"})
    else:
        answer = client.open(where, method=method, json=body, headers=headers)
    print(answer.status_code)
    assert answer.status_code < 500
    if answer.status_code < 300 and "/emails/" not in where and method == "POST" and "rfc822MsgId" in body:
        # It is new the next time.
        client.delete(f"/api/v1/emails/{answer.json['id']}", headers=headers)
    elif path.startswith("emails/"):
        client.delete(where, headers=headers)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="", help="those whose name holds this")
    parser.add_argument("--call", help=argparse.SUPPRESS)
    parser.add_argument("urls", nargs="+", metavar="URL")
    chosen = parser.parse_args()
    if chosen.call:
        make_call(chosen.urls[0], chosen.call)
        return
    held: dict[str, dict[str, list[float]]] = {}
    for url in chosen.urls:
        with tempfile.TemporaryDirectory() as folder:
            database.start(url)
            names = {**dict.fromkeys(calls()), **commands(Path(folder))}
            for name, words in names.items():
                if chosen.only in name and not ("SQLite" in name and not url.startswith("sqlite")):
                    seconds = measure_command(url, words) if words else measure_call(url, name)
                    held.setdefault(name, {}).setdefault(url.partition(":")[0], []).append(seconds * 1000)
                    print(json.dumps([name, url.partition(":")[0], round(seconds * 1000, 1)]), file=sys.stderr)
            database.stop()
    kinds = list(dict.fromkeys(url.partition(":")[0] for url in chosen.urls))
    print(f"| | {' | '.join(kinds)} |")
    print("|---" * (len(kinds) + 1) + "|")
    for name, found in held.items():
        cells = [f"{min(found[kind]):.0f}–{max(found[kind]):.0f}" if kind in found else "" for kind in kinds]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
