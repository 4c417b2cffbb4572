"""The pictures of docs/: `make screenshots` draws them of made-up data."""

import json
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import sync_playwright

from tests.samples import PROJECT, ask, run_command, serving
from tests.test_browser import CHROMIUM, sign_in
from web.activity import LOGGED, SECONDS

SUBJECTS = [
    "Offer 4711",
    "Re: Offer 4711",
    "Delivery on Friday",
    "Invoice 2026-118",
    "Lunch?",
    "Minutes of our meeting",
]
PEOPLE = [("Jane", "Doe", "acme.example"), ("Bob", "Roe", "globex.example"), ("Ann", "Poe", "initech.example")]


def main() -> None:
    """Draw the overview and an email."""
    with TemporaryDirectory() as folder, serving(Path(folder)) as server, sync_playwright() as playwright:

        def call(method: str, path: str, body: object, token: str = server.token) -> None:
            sent = None if body is None else json.dumps(body).encode()
            status, _, _ = ask(server._replace(token=token), method, f"/api/v1{path}", sent)
            assert status < 300

        for n, (first, last, domain) in enumerate(PEOPLE):
            call("PUT", f"/companies/{n}", {"name": domain.partition(".")[0].title(), "domains": [domain]})
            address = f"{first.lower()}@{domain}"
            person = {"firstName": first, "lastName": last, "emailAddresses": [address], "companyId": str(n)}
            call("PUT", f"/contacts/{n}", person)
        users = []
        for name in ("John Smith", "Carol Lee"):
            address = f"{name.partition(' ')[0].lower()}@crm.example"
            run_command(Path(folder), "commands", "user", "add", address, "--name", name)
            made = run_command(Path(folder), "commands", "token", "create", address, "--label", "BrightSync")
            users.append(made.stdout.strip())
        for address in ("dave@new.example", "erin@gmail.com", "dave@new.example"):
            call("GET", f"/contacts/lookup?emails={address}", None, users[0])
        for n in range(18):
            first, last, domain = PEOPLE[n % 3]
            email = {
                "rfc822MsgId": f"<{n}@{domain}>",
                "syncThreadId": f"thread {n % 6}",
                "receivedAt": f"2026-11-{n + 9:02}T09:{n * 3:02}:00Z",
                "subject": SUBJECTS[n % 6],
                "fromName": f"{first} {last}",
                "fromAddress": f"{first.lower()}@{domain}",
                "toAddresses": ["John Smith <john@crm.example>", "Carol Lee <carol@new.example>"],
                "textBody": "Dear John,\n\nthank you for the call; the details are attached.\n\nBest regards",
                "htmlBody": f"<p>Dear John,</p><p>thank you for the call; the <b>details</b> are attached.</p><ul>"
                f"<li>{n + 12} pieces</li><li>delivery on Friday</li></ul><p>Best regards<br>{first}</p>"
                "<img src='https://tracker.example/pixel.gif'>",
                "attachments": [
                    {"id": "1", "name": "details.pdf", "mimeType": "application/pdf", "content": "JVBERg=="}
                ],
                "relatedTo": [{"type": "Deal", "id": "4711"}],
            }
            call("POST", "/emails", email, users[0])
        time.sleep(SECONDS + 1)  # until it is counted
        with closing(sqlite3.connect(Path(folder) / "connector.db")) as file:  # the month before
            ids = [row[0] for row in file.execute("SELECT DISTINCT user_id FROM token WHERE scope = 'sync'")]
            for n, day in ((n, datetime.now(UTC) - timedelta(days=n)) for n in range(1, 30)):
                for m, user in enumerate(ids):
                    times = (n * 37 + m * 11) % 13 + 4 if day.weekday() < 5 else m
                    row = (str(day.date()), user, 201, LOGGED, times, f"{day.date()}T16:30:00.000000Z")
                    file.execute("INSERT INTO call_count VALUES (?, ?, ?, ?, ?, ?)", row)
            file.commit()
        run_command(Path(folder), "commands", "backup", f"{folder}/copy.db")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1000, "height": 760})
        sign_in(page, server)
        for name, path in (("overview", "/"), ("email", "/emails/18")):
            page.goto(f"http://127.0.0.1:{server.port}{path}")
            page.wait_for_load_state("networkidle")
            page.screenshot(path=PROJECT / "docs" / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
