"""The people whose mailboxes are watched: the CRM's own users."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from records import Conflict, Invalid, Record
from storage.directory import in_order

from crm.matching import normalize_address
from database import writing

from .addresses import addresses_of, link_addresses, owners
from .rows import only, write
from .tables import Users

ORGANISATION = "othercrm"  # this CRM has one, and no id for it


def add_user(user: Mapping[str, Any]) -> Record:
    """Add a user, as `user add` does. Raises Conflict where id or address is taken, and Invalid for the address."""
    if normalize_address(user["email"]) is None:
        raise Invalid(email="This can't be read as an e-mail address.")
    user_id = user.get("id", str(uuid4()))
    with writing():
        if users(Users.id == user_id) or lookup_users([user["email"]]):
            raise Conflict("A user with this id or address is here already.")
        write(Users, user_id, {"last_name": user["name"], "time_zone": user["timezone"]}, is_new=True)
        link_addresses("Users", user_id, [user["email"]])
    return get_user(user_id)


def get_user(user_id: str) -> Record:
    """The user with this id. Raises NotFound."""
    return only(users(Users.id == user_id, ~Users.deleted))


def lookup_users(addresses: Sequence[str]) -> list[Record]:
    """The users who have any of the addresses, each once, in the order of the addresses."""
    return in_order(addresses, normalize_address, _find)


def users(*conditions: Any) -> list[Record]:
    """The users who meet the conditions."""
    rows: Any = list(Users.select().where(*conditions).objects())
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


def _find(keys: Sequence[str]) -> dict[str, list[Record]]:
    """For each folded address that is known, its users."""
    having = owners("Users", keys)
    found = {user["id"]: user for user in users(Users.id.in_([user_id for _, user_id in having]), ~Users.deleted)}
    return {key: [found[user_id]] for key, user_id in having if user_id in found}
