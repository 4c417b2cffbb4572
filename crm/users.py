"""The people whose mailboxes are watched."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any
from uuid import uuid4
from zoneinfo import available_timezones

from clock import now
from crm.directory import in_order
from crm.matching import normalize_address
from crm.records import LONGEST_NAME, Conflict, Cursor, Invalid, NotFound, Page, Record
from crm.seam import Stale, retried, store

_NO_TIME = "1970-01-01T00:00:00.000000Z"  # users have none, by which their list could go on


def add_user(user: Mapping[str, Any]) -> Record:
    """Add a user; without an id, one is made. Raises Conflict where id or address is taken, Invalid for what can't be
    stored: an address that is none, a time zone that nobody knows, what is too long."""
    user = {"id": uuid4().hex, **user}
    key = _key(user)
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


def list_users(after: Cursor | None = None, limit: int = 25) -> Page:
    """A page of the users, in the order of their ids."""
    found = store.users.page(after[1] if after else "", limit + 1)
    return Page(found[:limit], (_NO_TIME, found[limit - 1]["id"]) if len(found) > limit else None)


@retried
def change_user(user_id: str, changes: Mapping[str, Any]) -> Record:
    """Give the named fields of a user new values; tokens stay as they are. Raises NotFound, and as `add_user` does."""
    old = get_user(user_id)
    new = {**old, **changes}
    key = _key(new)
    with store.transaction():
        if get_user(user_id) != old:
            raise Stale
        if any(other["id"] != user_id for _, other in store.users.find([key])):
            raise Conflict("Another user has this address.")
        store.users.update(new, key)
        return new


def remove_user(user_id: str) -> None:
    """Remove a user, with whom the user's tokens end; the mail stays. Raises NotFound."""
    with store.transaction():
        get_user(user_id)
        store.users.delete([user_id])


def lookup_users(addresses: Sequence[str]) -> list[Record]:
    """The users who have any of the addresses, each once, in the order of the addresses."""
    return in_order(addresses, normalize_address, store.users.find)


def _key(user: Mapping[str, Any]) -> str:
    """The normalized address of a user who can be stored."""
    if too_long := [name for name, value in user.items() if len(value or "") > LONGEST_NAME]:
        raise Invalid(**dict.fromkeys(too_long, f"Longer than {LONGEST_NAME} characters."))
    if _zones() and user["timezone"] not in _zones():  # a machine without time zone data knows none
        raise Invalid(timezone="This is no time zone, such as Europe/Berlin.")
    key = normalize_address(user["email"])
    if key is None:
        raise Invalid(email="This can't be read as an e-mail address.")
    return key


@cache
def _zones() -> set[str]:
    return available_timezones()
