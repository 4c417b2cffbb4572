"""Emails: found, read, linked, deleted."""

import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from urllib.parse import quote

from flask import Response, abort, redirect, request, url_for
from markupsafe import Markup, escape
from werkzeug.urls import iri_to_uri

import crm
from clock import stamp
from crm.drafts import body_text
from crm.merging import entries, relation
from crm.preview import find_file
from crm.quoting import new_text
from pages import mail_html
from pages.site import cursor, if_offered, pages, show, user_of, zone
from web.fields import RECORD_ID
from web.wire import download

_FILTERS = ("q", "contactId", "syncThreadId")
_MOST_TEXT = 10_000  # characters of an email that its page shows
_MOST_LINKED, _MOST_OF_THREAD = 20, 10
_LONGEST_VALUE = 2_000  # characters of a value in the JSON of a page


@pages.get("/emails")
@show("emails.html")
def emails() -> dict[str, Any]:
    """Emails, newest first; those that pass the filters of the form."""
    who = request.args.get("address", "").strip()
    dates = {"receivedAfter": _midnight("since", 0), "receivedBefore": _midnight("until", 1)}
    filters: dict[str, Any] = {name: request.args.get(name, "").strip() for name in _FILTERS} | dates
    filters |= {"address": who} if "@" in who else {"domain": _domain(who)}
    filters["hasAttachments"] = "files" in request.args
    filters = {name: value for name, value in filters.items() if value}
    return {"page": crm.find_emails(filters, cursor(), whole=False), "sought": filters.get("q", "")}


def _domain(text: str) -> str:
    """A domain, also by the name of its company."""
    named = if_offered(crm.lookup_companies, name=text) if text and "." not in text else None
    return next((domain for company in named or () for domain in company["domains"]), text)


def _midnight(name: str, days: int) -> str:
    """When a day that was asked for, or so many after it, begins for the user; "" where none was. Raises Invalid."""
    text = request.args.get(name, "").strip()
    try:
        day = date.fromisoformat(text) if text else date.min
        begin = datetime.combine(day + timedelta(days=days), time(), zone())
        return stamp(begin.astimezone(UTC)) if text else ""
    except ValueError:
        raise crm.Invalid(**{name: "There is no such day. Give one such as 2026-01-31."}) from None
    except OverflowError:  # before or after all that there is
        return ""


@pages.get("/emails/<record_id:email_id>")
@show("email.html")
def email(email_id: str) -> dict[str, Any]:
    """An email, with everybody in it and its thread."""
    record = crm.get_email(email_id)
    outline = mail_html.outline(record["htmlBody"]) if record["htmlBody"] else None
    text = record["textBody"] or "" if outline else body_text(record)
    page = if_offered(crm.list_copies, email_id)
    copies, people = page.records if page else [], crm.participants(record)
    return {
        "email": record,
        "html": outline,
        "sandbox": mail_html.SANDBOX,
        "text": text,
        "new_text": "" if outline else new_text(text, 2 * _MOST_TEXT),  # each line of it takes time
        "most_text": _MOST_TEXT,
        "people": people,
        "linked": _linked(record),
        "copies": copies,
        "mailboxes": {one["userId"]: user_of(one["userId"]) for one in copies if one["userId"]},
        "thread": if_offered(crm.get_thread, email_id, limit=_MOST_OF_THREAD),
    }


@pages.get("/emails/<record_id:email_id>/html")
def email_html(email_id: str) -> Response:
    """The email's HTML, harmless, for a frame: no script runs in it, nothing is loaded, no cookie is there."""
    record = crm.get_email(email_id)
    if not record["htmlBody"] or not mail_html.outline(record["htmlBody"]):
        abort(404)
    files = {str(entry.get("contentId") or "").strip("<>"): entry for entry in reversed(record["attachments"])}
    html = mail_html.shown(record["htmlBody"], lambda cid: find_file([files[cid]], "#1") if cid in files else None)
    looks = "<style>body { font: 1rem/1.5 system-ui, sans-serif; color: #1c2430; background: #fff }</style>"
    answer = Response(f'<!doctype html><meta charset="utf-8"><title>Email</title>{looks}{html}')
    answer.headers["Content-Security-Policy"] = mail_html.POLICY
    return answer


@pages.get("/emails/<record_id:email_id>/text")
def email_text(email_id: str) -> Response:
    """All of a text that is too long for the page."""
    return Response(body_text(crm.get_email(email_id)), mimetype="text/plain")


@pages.get("/emails/<record_id:email_id>/raw")
@show("raw.html")
def email_raw(email_id: str) -> dict[str, Any]:
    """The record as the API gives it, without most of its long values."""
    record = _raw(email_id)
    short = _shortened(record)
    return {"email": record, "text": json.dumps(short, ensure_ascii=False, indent=2), "is_cut": short != record}


@pages.get("/emails/<record_id:email_id>/json")
def email_json(email_id: str) -> Response:
    """All of the record, to be saved."""
    answer = Response(json.dumps(_raw(email_id), ensure_ascii=False, indent=2), mimetype="application/json")
    answer.headers["Content-Disposition"] = "attachment; filename=email.json"
    return answer


def _raw(email_id: str) -> crm.Record:
    return {name: value for name, value in crm.get_email(email_id).items() if name not in ("htmlText", "removed")}


def _shortened(value: Any) -> Any:
    if isinstance(value, str) and len(value) > _LONGEST_VALUE:
        return f"{value[:_LONGEST_VALUE]}… ({len(value)} characters)"
    if isinstance(value, dict):
        return {_shortened(name): _shortened(one) for name, one in value.items()}
    return list(map(_shortened, value)) if isinstance(value, list) else value


def _linked(record: crm.Record) -> list[dict[str, Any]]:
    """The records to which an email is linked: type, id and, of a contact or company that is here, page and record."""
    found = []
    for entry in entries(record["relatedTo"])[:_MOST_LINKED]:
        kind, record_id = str(entry.get("type") or "record"), str(entry["id"] if entry.get("id") is not None else "")
        page, read = _PAGES.get(kind.lower(), (None, None))
        here = _there(read, record_id) if read else None
        found.append({"type": kind, "id": record_id, "page": page if here else None, "record": here})
    return found


_PAGES: dict[str, tuple[str, Callable[[str], crm.Record]]] = {
    "contact": ("pages.contact", crm.get_contact),
    "company": ("pages.company", crm.get_company),
    "account": ("pages.company", crm.get_company),
}


def _there(read: Callable[[str], crm.Record], record_id: str) -> crm.Record | None:
    try:
        return if_offered(read, record_id) if re.fullmatch(RECORD_ID, record_id) else None
    except crm.NotFound:
        return None


@pages.get("/emails/<record_id:email_id>/files/<int:place>")
def file(email_id: str, place: int) -> Response:
    """A file of the email, to be saved."""
    return download(crm.get_attachment(email_id, f"#{place}"))


@pages.get("/emails/<record_id:email_id>/link")
@pages.get("/emails/<record_id:email_id>/delete")
def back_to_email(email_id: str) -> Any:
    """Where a form was sent to, there is a page, for who opens that address once more."""
    return redirect(url_for("pages.email", email_id=email_id), 303)


@pages.post("/emails/<record_id:email_id>/link")
def link(email_id: str) -> Any:
    """Link the email to a contact, by name, address or id."""
    record, wanted = crm.get_email(email_id), request.form.get("contact", "").strip()
    contacts = _contacts(wanted)
    if not contacts:
        raise crm.Invalid(contact="Nobody has this name or address.")
    if len(contacts) > 1:
        raise crm.Invalid(contact="Several contacts have this name. Give the address of the one you mean.")
    links, new = entries(record["relatedTo"]), {"type": "Contact", "id": contacts[0]["id"]}
    if relation(new) not in map(relation, links):
        crm.change_email(email_id, {"relatedTo": [*links, new]}, {record["updatedAt"]})
    return redirect(url_for("pages.email", email_id=email_id), 303)


def _contacts(wanted: str) -> list[crm.Record]:
    """The contacts that may be meant by an address, an id or a name."""
    if "@" in wanted:
        return crm.lookup_contacts([wanted])[:1]
    there = _there(crm.get_contact, wanted)
    if there or not wanted:
        return [there] if there else []
    page = if_offered(crm.search_contacts, wanted, limit=2)
    return page.records if page else []


@pages.post("/emails/<record_id:email_id>/delete")
def delete_email(email_id: str) -> Any:
    """Delete the email; its copies stay away, unless the form says otherwise."""
    crm.delete_email(email_id, remember="forget" not in request.form)
    return redirect(url_for("pages.emails"), 303)


_MOST_MARKS = 20  # in a text


@pages.app_template_filter("marked")
def _marked(text: str | None, sought: str) -> Markup:
    """A text in which the words that were sought are marked."""
    words = [re.escape(word) for word in re.findall(r"\w+", sought)[:_MOST_MARKS]]
    if not text or not words:
        return escape(text or "")
    parts = re.split(f"({'|'.join(words)})", text, maxsplit=_MOST_MARKS, flags=re.IGNORECASE)
    pairs = ((escape(part), n % 2) for n, part in enumerate(parts))
    return Markup("").join(Markup("<mark>{}</mark>").format(part) if is_word else part for part, is_word in pairs)


@pages.app_template_filter("target")
def _target(url: str) -> str:
    """Where a link leads, in letters that can't be taken for others."""
    try:
        return iri_to_uri(url)
    except ValueError:
        return quote(url)
