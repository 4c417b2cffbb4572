"""What is held about a person, to be disclosed or erased. What is marked as deleted is still held."""

from collections.abc import Iterator
from typing import Any

from records import Invalid, Record

from crm.matching import normalize_address
from database import purge_deleted, writing

from .addresses import with_keys
from .emails import clear, emails, with_addresses
from .people import PEOPLE, bean, people
from .rows import tuples, utcnow
from .tables import ConnectorEmails, ConnectorSightings, EmailAddresses, EmailAddressLinks, Emails, EmailsText, Users
from .users import users

_TEXTS: list[Any] = [Emails.name, EmailsText.description, EmailsText.description_html, EmailsText.to_addrs]
_TEXTS += [EmailsText.from_addr, EmailsText.cc_addrs, EmailsText.bcc_addrs, ConnectorEmails.sent]


def export_person(address: str) -> Iterator[tuple[str, Record]]:
    """All that is held about an address: pairs of "user", "contact" or "email" and the record. Raises Invalid."""
    key = normalize_address(address)
    if key is None:
        raise Invalid(address="This can't be read as an e-mail address.")
    for user in users(Users.id.in_(_having("Users", key))):
        yield "user", user
    for module, table in PEOPLE.items():
        for contact in people(module, table.id.in_(_having(module, key))):
            yield "contact", contact
    concerned = with_addresses(with_keys([key]))
    for text in _TEXTS:
        concerned |= text.contains(key)
    for email in emails(concerned):
        yield "email", email


def erase_person(address: str, dry_run: bool = False) -> Record:
    """Remove all that `export_person` gives, the rows themselves; gives the ids. Raises Invalid."""
    gone: Record = {"users": [], "contacts": [], "emails": []}
    with writing():
        for kind, record in list(export_person(address)):
            gone[f"{kind}s"].append(record["id"])
        if not dry_run:
            for email_id in gone["emails"]:
                clear(email_id)
                ConnectorSightings.delete().where(ConnectorSightings.email == email_id).execute()
                _remove(Emails, email_id)
            for module, bean_id in [*map(bean, gone["contacts"]), *(("Users", user_id) for user_id in gone["users"])]:
                links = EmailAddressLinks.delete().where(EmailAddressLinks.bean_id == bean_id)
                links.where(EmailAddressLinks.bean_module == module).execute()
                _remove({**PEOPLE, "Users": Users}[module], bean_id)
            EmailAddresses.delete().where(EmailAddresses.address_lower == normalize_address(address)).execute()
    if not dry_run:
        purge_deleted()
    return gone


def _having(module: str, key: str) -> list[str]:
    """The ids of the module's records that have or had an address."""
    links = EmailAddressLinks.select(EmailAddressLinks.bean_id).join(EmailAddresses)
    having = links.where(EmailAddressLinks.bean_module == module, EmailAddresses.address_lower == key)
    return [bean_id for (bean_id,) in tuples(having)]


def _remove(table: Any, row_id: str) -> None:
    table.update(deleted=True, date_modified=utcnow()).where(table.id == row_id).execute()  # the change feed sees this
    table.delete().where(table.id == row_id).execute()
