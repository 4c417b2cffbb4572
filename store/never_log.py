"""Rules of what is never logged."""

from collections.abc import Sequence
from json import dumps, loads
from typing import Any

from database.query import Prepared, Row, is_any, param
from models import NeverLog

Record = dict[str, Any]

_FIELDS = {
    "kind": NeverLog.kind,
    "key": NeverLog.key,
    "domains": NeverLog.domains,
    "unlessKnown": NeverLog.unless_known,
    "reason": NeverLog.reason,
    "createdAt": NeverLog.created_at,
}
_SETTINGS = [NeverLog.domains, NeverLog.unless_known, NeverLog.reason]


def _select() -> Any:
    return NeverLog.select(NeverLog.id, *_FIELDS.values()).order_by(NeverLog.id)


_FIND = Prepared(lambda: _select().where(is_any(NeverLog.key, "keys")))
_LISTED = Prepared(_select)
_SAVE = Prepared(
    lambda: NeverLog.insert({field: param(name) for name, field in _FIELDS.items()}).on_conflict(
        conflict_target=[NeverLog.key], preserve=_SETTINGS
    )
)
_DELETE = Prepared(lambda: NeverLog.delete().where(NeverLog.id == param("id")))


def find(keys: Sequence[str]) -> list[Record]:
    """The rules with these keys (normalized addresses and domains, "" for that of internal emails), the oldest first:
    id, kind, key, domains, unlessKnown, reason, createdAt."""
    return [_record(row) for row in _FIND(keys=list(keys))]


def listed() -> list[Record]:
    """All rules, the oldest first."""
    return [_record(row) for row in _LISTED()]


def save(rule: Record) -> None:
    """Store a rule without an id, or, where there is one with its key, that one's new settings."""
    _SAVE.run(**{**{name: rule[name] for name in _FIELDS}, "domains": dumps(rule["domains"])})


def delete(rule_id: str) -> bool:
    """Remove a rule; whether there was one."""
    return (
        rule_id.isascii() and rule_id.isdecimal() and len(rule_id) < 19 and bool(_DELETE.run(id=int(rule_id)).rowcount)
    )


def _record(row: Row) -> Record:
    record = dict(zip(("id", *_FIELDS), row, strict=True))
    return {
        **record,
        "id": str(record["id"]),
        "domains": loads(record["domains"]),
        "unlessKnown": bool(record["unlessKnown"]),
    }
