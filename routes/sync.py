"""Is it working: what came from each user's mailbox."""

from typing import Any

from flask import current_app

from schemas import SyncState
from web import activity
from web.wire import Blueprint

sync = Blueprint("sync", __name__, url_prefix="/api/v1/sync", description=__doc__)


@sync.get("", scope="admin")
@sync.response(200, SyncState(many=True))
def list_sync() -> Any:
    """Show whether emails come in

    Of each user with a token of scope `sync`: what was logged with it, and which calls were refused and why. An email
    counts whenever it was logged, also as a copy of one that was here. Days are UTC's. What other processes of the
    service have counted within the last five seconds may not be in it yet.
    """
    current_app.extensions["activity"].flush(1)
    return activity.list_activity()
