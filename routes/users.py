"""Users: the people whose mailboxes are watched."""

from typing import Any

from flask import g

import crm
from schemas import AddressQuery, User
from web.wire import Blueprint

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
