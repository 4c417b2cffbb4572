"""The people whose mailboxes are watched."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from clock import now
from database import insert, placeholders, rows, writing
from folding import fold_address
from records import Conflict, Invalid, NotFound, Record
from storage.directory import in_order

_USER_FIELDS = ["id", "orgId", "name", "email", "timezone"]
_USER = "id, org_id, name, email, timezone"


def add_user(user: Mapping[str, Any]) -> Record:
    """Store a user of the CRM; without an id it is given one. Raises Conflict where id or address is taken."""
    user = {"id": uuid4().hex, **user}
    key = fold_address(user["email"])
    if key is None:
        raise Invalid(email="This can't be read as an e-mail address.")
    with writing():
        if rows("SELECT 1 FROM crm_user WHERE id = ? OR folded = ?", [user["id"], key]):
            raise Conflict("A user with this id or address is here already.")
        values = [*(user[field] for field in _USER_FIELDS), key, now()]
        insert(f"INTO crm_user ({_USER}, folded, created_at)", f"({placeholders(values)})", [values])
    return user


def get_user(user_id: str) -> Record:
    """The user with this id. Raises NotFound."""
    for row in rows(f"SELECT {_USER} FROM crm_user WHERE id = ?", [user_id]):
        return dict(zip(_USER_FIELDS, row, strict=True))
    raise NotFound


def lookup_users(addresses: Sequence[str]) -> list[Record]:
    """The users who have any of the addresses, each once, in the order of the addresses."""

    def find(keys: Sequence[str]) -> dict[str, list[Record]]:
        found = rows(f"SELECT folded, {_USER} FROM crm_user WHERE folded IN ({placeholders(keys)})", keys)
        return {key: [dict(zip(_USER_FIELDS, row, strict=True))] for key, *row in found}

    return in_order(addresses, fold_address, find)
