"""The change feed, which the triggers of connector.sql write: also for what people change in the CRM's own screens."""

from records import Record

from .rows import wire_time
from .tables import ConnectorChanges


def list_changes(after: int = 0, limit: int = 25) -> list[Record]:
    """What was created, changed and deleted after a sequence number, in order: seq, at, type, id, action.

    A reader that keeps the last `seq` misses nothing, because SQLite has one writer at a time. Elsewhere a number may
    become visible after a higher one: there, give it under a lock that is kept to the end of the transaction.
    """
    rows = ConnectorChanges.select().where(ConnectorChanges.seq > after).order_by(ConnectorChanges.seq).limit(limit)
    return [
        {"seq": row.seq, "at": wire_time(row.at), "type": row.type, "id": row.record_id, "action": row.action}
        for row in rows
    ]
