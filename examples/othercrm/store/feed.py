"""The change feed, in the connector's own table. Triggers write it, also for what is changed in the CRM's screens."""

from models import Change
from store.changes import delete, last, newest, page

__all__ = ["append", "delete", "last", "newest", "page"]


def append(kind: str, record_id: str, action: str, at: str, token_id: int | None) -> None:
    """The trigger has noted the change just now; whose token it was, it did not know."""
    Change.update(at=at, token_id=token_id).where(Change.seq == last()).execute()
