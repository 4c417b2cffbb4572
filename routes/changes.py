"""Changes: what a CRM that keeps a copy of its own has to fetch."""

from typing import Any

import crm
from schemas import Change, ChangeQuery
from web.wire import Blueprint

changes = Blueprint("changes", __name__, url_prefix="/api/v1/changes", description=__doc__)


@changes.get("", scope="admin")
@changes.arguments(ChangeQuery(), location="query")
@changes.response(200, Change(many=True))
@changes.alt_response(409, "CONFLICT")
def list_changes(query: dict[str, Any]) -> Any:
    """List changes

    What was created, changed and deleted, in order. A reader that asks on with the last `seq` misses nothing and sees
    nothing twice. A number that was not given yet is a conflict: it was read from another database.
    """
    return crm.list_changes(**query)
