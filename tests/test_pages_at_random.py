"""The pages with made-up input: each has an answer, and none of them is a fault."""

import re
from random import Random
from typing import Any

from flask import Flask

import crm
from tests.samples import ACME, JANE, new_random
from tests.test_pages import FORMS, OURS, browser  # noqa: F401
from web import tokens

TEXTS = [
    "",
    " ",
    "x",
    "\0",
    "é",
    "\u202e",
    "\ud7ff",
    "\ufffe",
    "😀" * 50,
    "a" * 2_000,
    "<b>&\"'",
    "(" * 2_000,
    "9" * 30,
]
TEXTS += ["../..", "%00", "a@b", "jane@acme.example", "@", "\r\n", "2026-01-31", "2026-02-30", "1d", "42", "7", "0"]
TEXTS += ["-1", "Europe/Berlin", "acme.example", "com", '""', "-a", "*", "a*", "\\", "null", "[]", "٣", "POST", "on"]
FIELDS = ["firstName", "lastName", "emailAddresses", "company", "name", "domains", "contact", "forget", "address"]
FIELDS += ["after", "value", "reason", "unlessKnown", "internal", "keepLinked", "email", "timezone", "scope", "label"]
ARGUMENTS = ["q", "address", "contactId", "syncThreadId", "since", "until", "cursor", "value", "endpoint", "_method"]
TIMES = [None, "2026-01-31T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"]
TAGS = ["a", "p", "td", "table", "svg", "math", "style", "img", "title", "font", "object", "select"]


def some(random: Random, depth: int = 0) -> Any:
    """A value of JSON."""
    kind = random.randrange(6 if depth < 3 else 4)
    if kind == 5:
        return {random.choice([*TEXTS, "type", "id", "name"]): some(random, depth + 1) for _ in range(3)}
    if kind == 4:
        return [some(random, depth + 1) for _ in range(random.randrange(3))]
    return [random.choice(TEXTS), None, random.random() * 1e300, random.randrange(9)][kind]


def email(random: Random) -> dict[str, Any]:
    """An email that the API takes."""
    pieces = ["<!--", "-->", "]]>", "&lt;", *TEXTS, *(f"<{name} href='x' style=x src=cid:x>" for name in TAGS)]
    pieces += [f"</{name}>" for name in TAGS]
    names = ("subject", "fromName", "fromAddress", "syncThreadId", "textBody", "inReplyTo")
    parts = ("id", "name", "mimeType", "size", "contentId", "content", "inline")
    return {name: random.choice([None, *TEXTS]) for name in names} | {
        "receivedAt": random.choice(TIMES),
        "htmlBody": "".join(random.choices(pieces, k=random.randrange(100))),
        "toAddresses": random.choices(TEXTS, k=random.randrange(5)),
        "attachments": [
            {name: some(random, 1) for name in random.sample(parts, 4)} for _ in range(random.randrange(4))
        ],
        "relatedTo": [
            {"type": random.choice(["contact", "Company", some(random)]), "id": some(random)}
            for _ in range(random.randrange(4))
        ],
    }


def test_no_email_breaks_a_page(app: Flask, client: Any, browser: Any) -> None:  # noqa: F811
    """Nor any of the pages that show it."""
    random = new_random()
    for _ in range(40):
        sent = email(random)
        answer = client.post("/api/v1/emails", json=sent)
        assert answer.status_code == 201, (answer.text, sent)
        own = f"/emails/{answer.json['id']}"
        for path in (own, f"{own}/html", f"{own}/raw", f"{own}/json", f"{own}/text", f"{own}/files/1", "/emails", "/"):
            assert browser.get(path).status_code in (200, 404), (path, sent)


def test_no_form_and_no_argument_breaks_a_page(app: Flask, client: Any, browser: Any) -> None:  # noqa: F811
    """Whatever stands in it."""
    random = new_random()
    crm.put_company("7", ACME)
    crm.put_contact("42", {**JANE, "companyId": "7"})
    forms = [*(re.sub(r"{\w+}", "1", path) for path in FORMS if "sign-out" not in path), "/companies/7", "/sign-in"]
    pages = ["/", "/emails", "/contacts", "/companies", "/contacts/42", "/companies/7", "/settings", "/contacts/new"]
    for _ in range(300):
        fields = {name: random.choice(TEXTS) for name in random.sample(FIELDS, random.randrange(10))}
        record = random.choice([crm.get_contact("42"), crm.get_company("7")])
        path = random.choice(forms)
        answer = browser.post(path, data={**fields, "version": record["updatedAt"]}, headers=OURS)
        assert answer.status_code < 500, (path, fields)
        arguments = {name: random.choice(TEXTS) for name in random.sample(ARGUMENTS, random.randrange(4))}
        path = random.choice(pages)
        answer = browser.get(path, query_string=arguments)
        assert answer.status_code < 500, (path, arguments)
        if answer.status_code == 303:  # the token was revoked, or the user removed
            if not crm.lookup_users(["new@crm.example"]):
                crm.add_user({"email": "new@crm.example", "name": "", "timezone": "UTC", "orgId": "o"})
            token = tokens.create(crm.lookup_users(["new@crm.example"])[0]["id"], "admin")
            browser.post("/sign-in", data={"token": token}, headers=OURS)
