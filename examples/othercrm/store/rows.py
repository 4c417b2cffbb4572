"""What this CRM's tables have in common: ids of 36 characters, soft deletion, addresses that several records share."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from uuid import uuid4

from peewee import Tuple, chunked

from clock import now
from database import purge_deleted, writing

from . import tables

Record = dict[str, Any]
t: Any = tables  # Peewee's types say little of rows
Links = t.EmailAddressLinks

_KEY = t.EmailAddresses.address_lower
_BEANS: dict[str, Any] = {"Contacts": t.Contacts, "Leads": t.Leads, "Users": t.Users}


def with_keys(having: list[tuple[str, str]], read: Callable[[list[str]], list[Record]]) -> list[tuple[str, Record]]:
    """For pairs of a key and an id, the pairs of key and record."""
    records = {record["id"]: record for record in read([record_id for _, record_id in having])}
    return [(key, records[record_id]) for key, record_id in having if record_id in records]


def behind(moment: Any, row_id: Any, place: tuple[str, str]) -> Any:
    """The condition for what comes behind a pair of time and id."""
    return Tuple(moment, row_id) > Tuple(moment.db_value(place[0]), place[1])


def save(table: Any, row_id: str, record: Record, **columns: Any) -> None:
    """Insert or update a row. One that was marked as deleted is taken back into use."""
    columns |= {"date_entered": record["createdAt"], "date_modified": record["updatedAt"], "deleted": False}
    if not table.update(columns).where(table.id == row_id).execute():
        table.insert(id=row_id, **columns).execute()


def insert_rows(table: Any, rows: Iterable[Record]) -> None:
    """Insert many rows, 500 in a statement."""
    for part in chunked(rows, 500):
        table.insert_many(part).execute()


def mark_deleted(table: Any, row_id: str) -> bool:
    """Delete a row as the CRM does; whether there was one."""
    deletion = table.update(deleted=True, date_modified=now()).where(table.id == row_id, ~table.deleted)
    return bool(deletion.execute())


def deleted_rows(table: Any, place: tuple[str, str], limit: int, row_id: Any = None) -> list[Record]:
    """What is marked as deleted, from behind a place: id, deleted, and updatedAt, which is when."""
    row_id = row_id or table.id
    query = table.select(row_id.alias("id"), table.date_modified.alias("updatedAt"), table.deleted)
    query = query.where(table.deleted, behind(table.date_modified, row_id, place))
    return list(query.order_by(table.date_modified, row_id).limit(limit).dicts())


def purge() -> bool:
    """Remove for good what is marked as deleted, by any program, and addresses that nobody has."""
    with writing():
        for module, table in _BEANS.items():
            gone = Links.bean_id.in_(table.select(table.id).where(table.deleted))
            Links.delete().where((Links.bean_module == module) & gone | Links.deleted).execute()
        mails = t.Emails.select(t.Emails.id).where(t.Emails.deleted)
        t.Notes.delete().where(t.Notes.parent_type == "Emails", t.Notes.parent_id.in_(mails)).execute()
        parts = [t.EmailsText, t.EmailRecipients, t.EmailBeans, t.ConnectorEmails, t.ConnectorCopies]
        for part in parts:
            part.delete().where(part.email.in_(mails)).execute()
        accounts = t.Accounts.select(t.Accounts.id).where(t.Accounts.deleted)
        t.ConnectorDomains.delete().where(t.ConnectorDomains.account.in_(accounts)).execute()
        for people in (t.Contacts, t.Leads):
            people.update(account=None).where(people.account.in_(accounts)).execute()
        deletable = [t.Emails, *_BEANS.values(), t.Accounts]
        for table in deletable:
            table.delete().where(table.deleted).execute()
        used = Links.select(Links.email_address) | t.EmailRecipients.select(t.EmailRecipients.email_address)
        t.EmailAddresses.delete().where(t.EmailAddresses.id.not_in(used)).execute()
    return purge_deleted()


# ---- addresses ------------------------------------------------------------------------------------------------------


def owners(module: str, keys: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of a normalized address and the id of a record of the module that has it."""
    links = Links.select(_KEY, Links.bean_id).join(t.EmailAddresses)
    return list(links.where(_KEY.in_(keys), Links.bean_module == module, ~Links.deleted).tuples())


def addresses_of(module: str, bean_ids: Sequence[str]) -> defaultdict[str, list[str]]:
    """The addresses of each record as it writes them, the primary one first."""
    links = Links.select(Links.bean_id, Links.connector_text, t.EmailAddresses.address).join(t.EmailAddresses)
    links = links.where(Links.bean_module == module, Links.bean_id.in_(bean_ids), ~Links.deleted)
    places = Links.primary_address.desc(), Links.connector_position.asc(nulls="LAST"), Links.id
    found: defaultdict[str, list[str]] = defaultdict(list)
    for bean_id, text, address in links.order_by(*places).tuples():
        found[bean_id].append(address if text is None else text)
    return found


def link_addresses(module: str, bean_id: str, texts: Sequence[str] = (), keys: Sequence[str | None] = ()) -> None:
    """Link a record to these addresses, the first as the primary one, and to no other."""
    links = Links.update(deleted=True).where(Links.bean_id == bean_id, Links.bean_module == module, ~Links.deleted)
    links.execute()
    own = [key or text for key, text in zip(keys, texts, strict=True)]
    ids = address_ids(own)
    rows = [(ids[key], place == 0, text, place) for place, (key, text) in enumerate(zip(own, texts, strict=True))]
    names = ("email_address", "primary_address", "connector_text", "connector_position")
    insert_rows(Links, with_ids(names, rows, bean_module=module, bean_id=bean_id))


def address_ids(keys: Iterable[str]) -> dict[str, str]:
    """For each key the id of its row in `email_addresses`, which is made where there is none.

    The CRM compares addresses by `address_lower`. For ASCII that is our normalized address; where it is not, as for
    info@bücher.example, the rows that the CRM wrote have to be normalized once.
    """
    wanted = list(dict.fromkeys(keys))
    ids: dict[str, str] = {}
    for part in chunked(wanted, 500):
        ids |= dict(t.EmailAddresses.select(_KEY, t.EmailAddresses.id).where(_KEY.in_(part)).tuples())
    new = {key: str(uuid4()) for key in wanted if key not in ids}
    insert_rows(t.EmailAddresses, [{"id": one, "address": key, "address_lower": key} for key, one in new.items()])
    return ids | new


def with_ids(names: Sequence[str], rows: Iterable[Sequence[Any]], **more: Any) -> list[Record]:
    """New rows of a table, each with an id."""
    return [{"id": str(uuid4()), **dict(zip(names, row, strict=True)), **more} for row in rows]
