"""The people whose mailboxes are watched."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from clock import now
from crm.directory import in_order
from crm.matching import normalize_address
from crm.records import LONGEST_NAME, Conflict, Invalid, NotFound, Record
from crm.seam import store


def add_user(user: Mapping[str, Any]) -> Record:
    """Add a user; without an id, one is made. Raises Conflict where id or address is taken, Invalid for the address
    and for what is too long."""
    user = {"id": uuid4().hex, **user}
    if too_long := [name for name, value in user.items() if len(value or "") > LONGEST_NAME]:
        raise Invalid(**dict.fromkeys(too_long, f"Longer than {LONGEST_NAME} characters."))
    key = normalize_address(user["email"])
    if key is None:
        raise Invalid(email="This can't be read as an e-mail address.")
    with store.transaction():
        if store.users.read([user["id"]]) or store.users.find([key]):
            raise Conflict("A user with this id or address is here already.")
        store.users.insert(user, key, now())
    return user


def get_user(user_id: str) -> Record:
    """The user with this id. Raises NotFound."""
    for user in store.users.read([user_id]):
        return user
    raise NotFound


def remove_user(user_id: str) -> None:
    """Remove a user, with whom the user's tokens end. Raises NotFound."""
    with store.transaction():
        get_user(user_id)
        store.users.delete([user_id])


def lookup_users(addresses: Sequence[str]) -> list[Record]:
    """The users who have any of the addresses, each once, in the order of the addresses."""
    return in_order(addresses, normalize_address, store.users.find)
