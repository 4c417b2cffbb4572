"""What nobody knows: addresses that BrightSync looked up in vain."""

from typing import Any

from schemas import Contact, UnmatchedAddress, UnmatchedQuery
from web import unmatched as verbs
from web.wire import ETAG, LOCATION, Blueprint, created_or_ok

unmatched = Blueprint("unmatched", __name__, url_prefix="/api/v1/unmatched", description=__doc__)


@unmatched.get("", scope="admin")
@unmatched.arguments(UnmatchedQuery(), location="query")
@unmatched.response(200, UnmatchedAddress(many=True))
def list_unmatched(query: dict[str, Any]) -> Any:
    """List addresses that nobody knows

    Those that were looked up with a token of scope `sync`, within the last 30 days, and that no contact and no user
    has by now; what was asked for most comes first.
    """
    return verbs.list_unmatched(**query)


@unmatched.post("/{address}/contact", scope="admin")
@unmatched.response(201, Contact(), headers=LOCATION, description="Created")
@unmatched.alt_response(200, schema=Contact(), headers=ETAG, description="Found", success=True)
def add_unmatched_contact(address: str) -> Any:
    """Create a contact of such an address

    With the company of its domain, and with the names that emails give it; what can't be told is null.
    """
    return created_or_ok(verbs.add_unmatched_contact(address), "contacts")


@unmatched.post("/{address}/ignore", scope="admin")
@unmatched.response(204)
def ignore_unmatched(address: str) -> None:
    """Keep such an address off the list"""
    verbs.ignore_unmatched(address)
