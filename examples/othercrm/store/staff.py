"""The people whose mailboxes are watched: the CRM's users."""

from collections.abc import Sequence
from typing import Any

from .rows import Record, addresses_of, link_addresses, mark_deleted, owners, save, with_keys
from .tables import Users

ORGANISATION = "othercrm"  # this CRM has one, and no id for it


def read(ids: Sequence[str]) -> list[Record]:
    """The users with these ids."""
    return _users(Users.id.in_(ids))


def find(keys: Sequence[str]) -> list[tuple[str, Record]]:
    """Each user who has one of the addresses, with the address."""
    return with_keys(owners("Users", keys), read)


def insert(user: Record, key: str, at: str) -> None:
    """Store a new user."""
    times = {"createdAt": at, "updatedAt": at}
    save(Users, user["id"], times, last_name=user["name"], time_zone=user["timezone"])
    link_addresses("Users", user["id"], [user["email"]], [key])


def delete(ids: Sequence[str]) -> None:
    """Mark users as deleted."""
    for user_id in ids:
        link_addresses("Users", user_id)
        mark_deleted(Users, user_id)


def page(after: str, limit: int) -> list[Record]:
    """Users in the order of their ids, from behind one."""
    return _users(Users.id > after, limit)


def _users(condition: Any, limit: int | None = None) -> list[Record]:
    rows: list[Any] = list(Users.select().where(condition, ~Users.deleted).order_by(Users.id).limit(limit))
    addresses = addresses_of("Users", [row.id for row in rows])
    return [
        {
            "id": row.id,
            "orgId": ORGANISATION,
            "name": " ".join(filter(None, [row.first_name, row.last_name])) or None,
            "email": next(iter(addresses[row.id]), ""),
            "timezone": row.time_zone or "UTC",
        }
        for row in rows
    ]
