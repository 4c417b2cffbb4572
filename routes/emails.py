"""Emails: logged by BrightSync, found by their ids, linked to what the CRM knows."""

from http import HTTPStatus
from typing import Any

from flask import request

import crm
from schemas import Email, EmailCopy, EmailDelete, EmailIn, EmailPatch, EmailPut, EmailQuery, PageQuery
from web.wire import (
    ETAG,
    FILE_NAME,
    LOCATION,
    NEXT,
    Blueprint,
    created_or_ok,
    download,
    if_match,
    page_response,
    record_response,
)

BODY = {
    "in": "query",
    "name": "body",
    "description": "`new`: as textBody what the email adds.",
    "schema": {"type": "string", "enum": ["new"]},
    "example": "new",
}

emails = Blueprint("emails", __name__, url_prefix="/api/v1/emails", description=__doc__)


@emails.post("", scope="sync")
@emails.arguments(EmailIn())
@emails.response(201, Email(), headers=LOCATION, description="Logged")
@emails.alt_response(
    200, schema=Email(), headers=ETAG, description="Here already; what the copy adds was kept", success=True
)
def log_email(email: dict[str, Any]) -> Any:
    """Log an email

    Two emails with one `rfc822MsgId` are one. Where one of them has none, an equal `msgId` decides, if subject, sender,
    time and bodies are equal wherever both have them. An email with neither id makes a new record at each call. A copy
    of an email that is here adds recipients, files and `relatedTo` entries, and fills what was empty, except what
    people took away. The rest stays as it was first logged; what the copy says otherwise is kept with the copy. From
    then on the record is found by the copy's `msgId` too. Of an email that was deleted, or that meets a never-log rule,
    only ids and time are recorded.
    """
    return created_or_ok(crm.log_email(email))


@emails.get("", scope="sync")
@emails.arguments(EmailQuery(), location="query")
@emails.response(200, Email(many=True), headers=NEXT)
def find_emails(query: dict[str, Any]) -> Any:
    """Find emails

    Those that pass every filter, newest first. An id or address that is not known and holds spaces is tried once more
    with `+` for each of them: clients often leave the `+` unencoded.
    """
    return page_response(crm.find_emails(**query))


@emails.get("/{id}", scope="sync")
@emails.doc(parameters=[BODY])  # not as `arguments`, which cost a tenth of the call
@emails.response(200, Email(), headers=ETAG)
@emails.alt_response(422, HTTPStatus(422).name)  # Python 3.13 has another one for it
def get_email(record_id: str) -> Any:
    """Get an email

    With `body=new` the `textBody` is what the email adds: without quoted text, signature and disclaimers; made from the
    HTML where there is no text. What is stored does not change, and `htmlBody` is whole.
    """
    return record_response(crm.get_email(record_id, request.args.get("body")))


@emails.patch("/{id}", scope="sync")
@emails.arguments(EmailPatch())
@emails.response(200, Email(), headers=ETAG)
@emails.alt_response(409, "CONFLICT")
def change_email(changes: dict[str, Any], record_id: str) -> Any:
    """Change fields of an email

    Only the named fields change; a list is replaced whole. An email that meets a never-log rule by its new participants
    keeps only its ids and time. To link an email to a contact: `{"relatedTo": [{"type": "Contact", "id": "1"}]}`.
    """
    return record_response(crm.change_email(record_id, changes, if_match()))


@emails.put("/{id}", scope="sync")
@emails.arguments(EmailPut())
@emails.response(200, Email(), headers=ETAG)
@emails.alt_response(409, "CONFLICT")
def replace_email(email: dict[str, Any], record_id: str) -> Any:
    """Replace an email

    All fields change: those that are not named become empty, but for `msgId` and `rfc822MsgId`.
    """
    return record_response(crm.change_email(record_id, email, if_match()))


@emails.delete("/{id}", scope="admin")
@emails.arguments(EmailDelete(), location="query")
@emails.response(204)
def delete_email(query: dict[str, Any], record_id: str) -> None:
    """Remove an email

    It stays away: another copy of it makes a record without content. Hashes of its ids and contents are kept for that;
    with `remember=false` nothing is kept, and a copy is logged anew.
    """
    crm.delete_email(record_id, **query, versions=if_match())


@emails.get("/{id}/copies", scope="admin")
@emails.arguments(PageQuery(), location="query")
@emails.response(200, EmailCopy(many=True), headers=NEXT)
def list_copies(query: dict[str, Any], record_id: str) -> Any:
    """List the copies of an email

    One for each copy that was logged, the oldest first: in which mailbox, and what it says otherwise than the record.
    """
    return page_response(crm.list_copies(record_id, **query))


@emails.get("/{id}/attachments/{attachmentId}", scope="admin")
@emails.response(200, {}, content_type="*/*", headers=FILE_NAME)
def get_attachment(record_id: str, attachment_id: str) -> Any:
    """Download an attachment

    The decoded file, under its name and media type, always to be saved and never to be shown by a browser. By its id
    or, where that is missing, twice there or can't stand in a path, by its place: `#1`, as `%231`, is the first. 404
    where only its description was logged.
    """
    return download(crm.get_attachment(record_id, attachment_id))
