"""Emails: the connector's own, and what the CRM's screens show of them."""

from datetime import datetime
from typing import Any

from store import emails
from store.values import Draft

from . import tables
from .crm import SHOWN
from .rows import address_ids, insert_rows, mark_deleted, save, to_moment

Email: Any = tables.Email
Address: Any = tables.EmailEmailAddress
_FIRST = datetime.fromisoformat("1000-01-01")  # MySQL knows no earlier years
_PARENTS = {"contact": "Contact", "lead": "Lead", "account": "Account", "company": "Account"}


class _Shown:
    """The connector's store of emails. What is written is written for the CRM's screens as well."""

    def __getattr__(self, name: str) -> Any:
        return getattr(emails, name)

    def insert(self, new: Draft) -> str:
        """Store a new email; gives its id."""
        email_id = emails.insert(new)
        _show(email_id, new)
        return email_id

    def update(self, old: Draft, new: Draft) -> None:
        """Store an email in the place of an old one."""
        emails.update(old, new)
        _show(new.record["id"], new)

    def delete(self, old: Draft) -> None:
        """Remove an email; to the CRM it is marked as deleted."""
        emails.delete(old)
        mark_deleted(Email, _row_id(old.record["id"]))


shown = _Shown()


def _row_id(email_id: str) -> str:
    """An email has the same id in the CRM each time it is written: so nothing is there twice."""
    return f"bsc{int(email_id):014d}"


def _show(email_id: str, draft: Draft) -> None:
    record, row_id = draft.record, _row_id(email_id)
    message_id = draft.message_key and f"<{draft.message_key}>"[: Email.message_id.max_length]
    # One that the CRM has fetched itself is on its screens already.
    theirs = Email.select().where(Email.message_id == message_id, ~Email.deleted, Email.id != row_id)
    if record["withheld"] or any(email.message_id == message_id for email in theirs):
        mark_deleted(Email, row_id)
        return
    ids = address_ids(key for _, _, _, key in draft.recipients)
    sender = next((key for role, _, _, key in draft.recipients if role == "from"), None)
    save(
        Email,
        row_id,
        record["createdAt"],
        name=(record["subject"] or "")[: Email.name.max_length],
        from_string=(record["fromName"] or record["fromAddress"] or "")[: Email.from_string.max_length],
        message_id=message_id,
        body_plain=record["textBody"] and record["textBody"][:SHOWN],
        body=(record["htmlBody"] or record["textBody"] or "")[:SHOWN],
        is_html=bool(record["htmlBody"]),
        date_sent=max(to_moment(draft.at), _FIRST),
        from_email_address_id=ids.get(sender or ""),
        modified_at=to_moment(record["updatedAt"]),
        **_parent(draft),
    )
    Address.delete().where(Address.email_id == row_id).execute()
    pairs = {(role, ids[key]) for role, _, _, key in draft.recipients if key in ids}
    insert_rows(Address, [{"email_id": row_id, "email_address_id": one, "address_type": role} for role, one in pairs])


def _parent(draft: Draft) -> dict[str, str | None]:
    """The first of the CRM's records that the email belongs to: an email of the CRM's has one."""
    for kind, record_id in draft.links:
        bare = record_id.removeprefix("lead:")
        if kind in _PARENTS and len(bare) <= Email.parent_id.max_length:
            return {"parent_type": "Lead" if bare != record_id else _PARENTS[kind], "parent_id": bare}
    return {"parent_type": None, "parent_id": None}
