"""What all of this CRM's tables have in common: ids of 36 characters, soft deletion, pages."""

from typing import Any

from peewee import Tuple, chunked

from clock import now
from database import purge_deleted, writing

from . import tables as t


def save(table: Any, row_id: str, record: dict[str, Any], **columns: Any) -> None:
    """Insert or update a row. One that was marked as deleted is taken back into use."""
    columns |= {"date_entered": record["createdAt"], "date_modified": record["updatedAt"], "deleted": False}
    if not table.update(columns).where(table.id == row_id).execute():
        table.insert(id=row_id, **columns).execute()


def mark_deleted(table: Any, row_id: str) -> bool:
    """Delete a row as the CRM does; whether there was one."""
    deletion = table.update(deleted=True, date_modified=now()).where(table.id == row_id, ~table.deleted)
    return bool(deletion.execute())


def insert(table: Any, rows: list[dict[str, Any]]) -> None:
    """Insert many rows, 500 in a statement."""
    for part in chunked(rows, 500):
        table.insert_many(part).execute()


def behind(moment: Any, row_id: Any, place: tuple[str, str]) -> Any:
    """The condition for what comes behind a pair of time and id."""
    return Tuple(moment, row_id) > Tuple(moment.db_value(place[0]), place[1])


def purge() -> bool:
    """Remove the rows that are marked as deleted, whoever deleted them, addresses that nobody has, and their traces."""
    with writing():
        mails = t.Emails.select(t.Emails.id).where(t.Emails.deleted)
        parts: list[Any] = [t.EmailsText, t.EmailRecipients, t.EmailBeans, t.ConnectorEmails, t.ConnectorCopies]
        for part in parts:
            part.delete().where(part.email.in_(mails)).execute()
        t.Notes.delete().where(t.Notes.parent_type == "Emails", t.Notes.parent_id.in_(mails)).execute()
        accounts = t.Accounts.select(t.Accounts.id).where(t.Accounts.deleted)
        t.ConnectorDomains.delete().where(t.ConnectorDomains.account.in_(accounts)).execute()
        people: list[Any] = [t.Contacts, t.Leads]
        for table in people:
            table.update(account=None).where(table.account.in_(accounts)).execute()
        deletable: list[Any] = [t.EmailAddressLinks, t.Emails, t.Contacts, t.Leads, t.Users, t.Accounts]
        for table in deletable:
            table.delete().where(table.deleted).execute()
        used = t.EmailAddressLinks.select(t.EmailAddressLinks.email_address)
        used |= t.EmailRecipients.select(t.EmailRecipients.email_address)
        t.EmailAddresses.delete().where(t.EmailAddresses.id.not_in(used)).execute()
    return purge_deleted()
