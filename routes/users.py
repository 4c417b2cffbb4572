"""Users: the people whose mailboxes are watched."""

from typing import Any

from flask import g

import crm
from schemas import AddressQuery, PageQuery, User, UserPatch
from web.wire import NEXT, Blueprint, page_response

users = Blueprint("users", __name__, url_prefix="/api/v1/users", description=__doc__)


@users.get("/me", scope="sync")
@users.response(200, User())
def get_me() -> Any:
    """Get the user whose token this is"""
    return crm.get_user(g.caller.user_id)


@users.get("/lookup", scope="sync")
@users.arguments(AddressQuery(), location="query")
@users.response(200, User(many=True))
def lookup_users(query: dict[str, Any]) -> Any:
    """Look users up by address"""
    return crm.lookup_users(query["emails"])


@users.get("", scope="admin")
@users.arguments(PageQuery(), location="query")
@users.response(200, User(many=True), headers=NEXT)
def list_users(query: dict[str, Any]) -> Any:
    """List users

    In the order of their ids.
    """
    return page_response(crm.list_users(**query))


@users.patch("/{userId}", scope="admin")  # not {id}: users have no version for If-Match
@users.arguments(UserPatch())
@users.response(200, User())
@users.alt_response(409, "CONFLICT")
def change_user(changes: dict[str, Any], user_id: str) -> Any:
    """Change fields of a user

    Only the named fields change. The user's tokens stay as they are.
    """
    return crm.change_user(user_id, changes)


@users.delete("/{userId}", scope="admin")
@users.response(204)
def delete_user(user_id: str) -> None:
    """Remove a user

    The user's tokens end with that, this one's too; the emails stay.
    """
    crm.remove_user(user_id)
