"""The people whose mailboxes are watched: the CRM's users, as long as they are active. The CRM makes them."""

from collections.abc import Sequence
from typing import Any

from . import tables
from .rows import Record, addresses_of, owners

User: Any = tables.User
_ACTIVE = ~User.deleted & User.is_active & User.type.not_in(["portal", "system", "api"])
ORGANISATION, TIMEZONE = "espocrm", "UTC"  # the CRM has one organisation, and the zones in its users' preferences


def read(ids: Sequence[str]) -> list[Record]:
    """The active users with these ids."""
    rows = User.select().where(User.id.in_(ids), _ACTIVE)
    found = [row for row in rows if row.id in ids]
    addresses = addresses_of("User", [row.id for row in found])
    return [
        {
            "id": row.id,
            "orgId": ORGANISATION,
            "name": " ".join(filter(None, [row.first_name, row.last_name])) or None,
            "email": next(iter(addresses[row.id]), ""),
            "timezone": TIMEZONE,
        }
        for row in found
    ]


def find(keys: Sequence[str]) -> list[tuple[str, Record]]:
    """Each active user who has one of the addresses, with the address."""
    pairs = owners("User", keys)
    users = {user["id"]: user for user in read([row_id for _, row_id in pairs])}
    return [(key, users[row_id]) for key, row_id in pairs if row_id in users]


def page(after: str, limit: int) -> list[Record]:
    """Users in the order of their ids, from behind one."""
    ids = sorted(row_id for (row_id,) in User.select(User.id).where(_ACTIVE).tuples())
    return sorted(read([one for one in ids if one > after][:limit]), key=lambda user: str(user["id"]))


def delete(ids: Sequence[str]) -> None:
    """Mark users as deleted."""
    for row_id in ids:
        User.update(deleted=True, is_active=False).where(User.id == row_id).execute()
