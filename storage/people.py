"""What is held about a person, by address: to be disclosed, or to be erased without a trace."""

import logging
import re
from collections.abc import Iterator

from database import execute, placeholders, purge_deleted, rows, writing
from folding import bare_address, fold_address
from records import Invalid, Record
from storage.directory import delete_contact, get_contact
from storage.emails import delete_email, get_email
from storage.users import get_user

# Every column in which an address may stand as text; files inside `attachments` are base64 and are not looked into.
_TEXTS = ["subject", "people", "text_body", "html_body", "attachments", "related_to"]
_TEXTS += ["in_reply_to", "rfc822_msg_id", "msg_id", "sync_thread_id"]

log = logging.getLogger(__name__)

_CAPITALS = re.compile("[A-Z]+")


def export_person(address: str) -> Iterator[tuple[str, Record]]:
    """All that is held about an address: pairs of "user", "contact" or "email" and the record. Raises Invalid.

    Emails are those in which the address is a sender or recipient, and those whose text, in any place, mentions it.
    """
    users, contacts, emails = _find(address)
    yield from (("user", get_user(user_id)) for user_id in users)
    yield from (("contact", get_contact(contact_id)) for contact_id in contacts)
    yield from (("email", get_email(str(row_id))) for row_id in emails)


def erase_person(address: str, dry_run: bool = False) -> Record:
    """Remove all that `export_person` gives, from the tables, the search index and the file itself; gives the ids.

    The receipt names what went (or, in a dry run, would go): users, contacts, emails. The change feed keeps that these
    records were deleted: their ids and nothing else. Raises Invalid.
    """
    with writing():
        users, contacts, emails = _find(address)
        if not dry_run:
            for row_id in emails:
                delete_email(str(row_id))
            for contact_id in contacts:
                delete_contact(contact_id)
            execute(f"DELETE FROM crm_user WHERE id IN ({placeholders(users)})", users)
    if not dry_run and not purge_deleted():
        log.warning(
            "What was erased is in the write-ahead log until others stop reading; erase the same address again."
        )
    return {"users": users, "contacts": contacts, "emails": [str(row_id) for row_id in emails]}


def _find(address: str) -> tuple[list[str], list[str], list[int]]:
    """The ids of the users, contacts and emails that hold an address."""
    key = fold_address(address)
    if key is None:
        raise Invalid(address="This can't be read as an e-mail address.")
    written = rows(
        "SELECT text FROM recipient WHERE folded = ? UNION SELECT text FROM contact_address WHERE folded = ?",
        [key, key],
    )
    forms = {key, *(bare_address(text) for (text,) in written), bare_address(address)}
    users = rows("SELECT id FROM crm_user WHERE folded = ? ORDER BY id", [key])
    contacts = rows("SELECT DISTINCT contact_id FROM contact_address WHERE folded = ? ORDER BY contact_id", [key])
    emails = rows("SELECT DISTINCT email_id FROM recipient WHERE folded = ?", [key])
    return (
        [row[0] for row in users],
        [row[0] for row in contacts],
        sorted({row[0] for row in emails} | set(_mentioning(forms))),
    )


def _mentioning(forms: set[str]) -> Iterator[int]:
    """The ids of the emails in whose texts a form stands as a whole: mary-jane@x.org does not mention jane@x.org."""
    whole = re.compile(rf"(?<![\w.+-])(?:{'|'.join(map(re.escape, forms))})(?![\w-]|\.\w)", re.IGNORECASE)
    needles = _spellings(forms)
    mentions = " OR ".join(rf"lower(CAST({column} AS TEXT)) LIKE ? ESCAPE '\'" for column in _TEXTS for _ in needles)
    values = [f"%{needle}%" for _ in _TEXTS for needle in needles]
    for row_id, *texts in rows(f"SELECT id, {', '.join(_TEXTS)} FROM email WHERE {mentions}", values):
        if any(whole.search(text) for text in texts if text):
            yield row_id


def _spellings(forms: set[str]) -> list[str]:
    """The forms in small and in capital letters, as a database writes them that knows the small ones of ASCII only."""
    lowered = {_CAPITALS.sub(lambda found: found[0].lower(), text) for form in forms for text in (form, form.upper())}
    return sorted(re.sub(r"([\\%_])", r"\\\1", text) for text in lowered)
