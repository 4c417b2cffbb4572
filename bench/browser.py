"""What each page for people costs: `python -m bench.browser FILE`, of bench.generate, or the URL of a database like it.

Through the WSGI application, without a network; each page is asked for 20 times. Prints Markdown. Into the database go
tokens of ten users, what they called in 400 days, 5,000 addresses that nobody knows, and 30 calls that were refused.
"""

import sys
import time
from datetime import UTC, datetime, timedelta
from statistics import median
from urllib.parse import quote

import database
from app import create_app
from bench.generate import RARE, Data
from clock import now
from web import activity, tokens, unmatched

TIMES = 20
OURS = {"Sec-Fetch-Site": "same-origin"}


def fill() -> None:
    """What a company of ten leaves in a year."""
    calls = []
    for user in (f"u{n}" for n in range(10)):
        tokens.create(user, "sync", "bench")
        for day in range(400):
            at = datetime.now(UTC) - timedelta(days=day)
            for status, call in ((200, ""), (201, activity.LOGGED), (422, activity.LOGGED)):
                calls.append(activity._row(user, status, call, 10 + day % 7, at.timestamp()))
    with database.writing():
        activity._ADD.many(calls)
        unmatched.keep({f"nobody{n}@elsewhere.example": (n, now(), {"u1"}) for n in range(5_000)}, True)
    brake = tokens.Brake()
    for n in range(30):
        brake.refuse(401, "", f"192.0.2.{n}", "GET", "/api/v1/emails")


def paths(data: Data) -> dict[str, str]:
    """The pages, by what they are."""
    words = data.vocabulary
    middle = data.emails // 2
    return {
        "overview": "/",
        "emails": "/emails",
        "emails, a rare word": f"/emails?q={RARE}",
        "emails, two words": f"/emails?q={words[900]}+{words[1000]}",
        "emails, a usual word": f"/emails?q={words[2]}",
        "emails, a busy person": f"/emails?address={quote(data.address(0))}",
        "emails, a year": "/emails?since=2023-01-01&until=2024-01-01",
        "an email": f"/emails/{middle}",
        "its HTML, in the frame": f"/emails/{middle}/html",
        "as JSON": f"/emails/{middle}/raw",
        "contacts": "/contacts",
        "contacts, a name": "/contacts?q=Last77",
        "contacts, no such name": "/contacts?q=nobody+here",
        "contacts, an address": f"/contacts?q={quote(data.address(7))}",
        "a contact": f"/contacts/c{data.contacts // 2}",
        "a busy contact": "/contacts/c0",
        "companies": "/companies",
        "companies, a name": "/companies?q=Company+77",
        "a company": "/companies/k0",
        "settings": "/settings",
        "sign in": "/sign-in",
    }


def main(place: str) -> None:
    app = create_app({"DATABASE_URL": place if "://" in place else f"sqlite:///{place}"})
    data = Data(5 * database.rows("SELECT count(*) FROM contact")[0][0])
    fill()
    client = app.test_client()
    client.post("/sign-in", data={"token": tokens.create("u0", "admin", "bench")}, headers=OURS)
    print(f"| page, of {data.emails:,} emails | ms, median | slowest | kB |\n|---|---|---|---|")
    for name, path in paths(data).items():
        seconds = []
        for _ in range(TIMES):
            began = time.thread_time()
            answer = client.get(path)
            seconds.append(time.thread_time() - began)
            if answer.status_code != 200:
                raise SystemExit(f"{path}: {answer.status}")
        size = len(answer.data) / 1000
        print(f"| {name} | {median(seconds) * 1000:.1f} | {max(seconds) * 1000:.1f} | {size:.0f} |")


if __name__ == "__main__":
    main(sys.argv[1])
