"""Emails that must not come back, and the key of all hashes. Which they are, only the hashes say."""

from json import dumps, loads
from secrets import token_hex
from typing import Any

from peewee import fn

from database import writing
from database.query import Prepared, param
from models import Secret, Withheld
from store.values import CopyKeys, Logged

_KEY = Prepared(lambda: Secret.select(Secret.key))
_MAKE_KEY = Prepared(lambda: Secret.insert(key=param("key")).on_conflict_ignore())


def _found(condition: Any) -> Any:
    return Withheld.select(
        Withheld.seq, Withheld.email, Withheld.message_key, Withheld.copy_key, Withheld.contents
    ).where(condition)


_FIND = Prepared(
    lambda: _found(Withheld.message_key == param("message_key")).union_all(
        _found(Withheld.copy_key == param("copy_key"))
    )
)
_COLUMNS = ("email", "message_key", "copy_key", "contents", "reason", "at")
_INSERT = Prepared(lambda: Withheld.insert({name: param(name) for name in _COLUMNS}))
_RENAME = Prepared(
    lambda: Withheld.update(
        {Withheld.email: param("email"), Withheld.reason: param("reason"), Withheld.at: param("at")}
    ).where(Withheld.email == param("old"))
)
_DELETE = Prepared(lambda: Withheld.delete().where(Withheld.email == param("email")))
_PAGE = Prepared(
    lambda: (
        Withheld.select(fn.MIN(Withheld.seq).alias("seq"), Withheld.email, Withheld.reason, Withheld.at)
        .group_by(Withheld.email, Withheld.reason, Withheld.at)
        .having(fn.MIN(Withheld.seq) > param("after"))
        .order_by(fn.MIN(Withheld.seq))
        .limit(param("limit"))
    )
)


def key(make: bool = True) -> str:
    """The key of all hashes, in hexadecimal digits: made when it is first asked for. For who must not write (`make`
    is false) it is one that nobody keeps, where there is none.

    Asked for each time: a restore may have put another installation's database in the place of this one.
    """
    return _read_key() or (_make_key() if make else token_hex(32))


def _read_key() -> str | None:
    row = _KEY.first()
    return row[0] if row else None


def _make_key() -> str:
    with writing():
        made = _read_key() or token_hex(32)  # another process may have been the first
        _MAKE_KEY.run(key=made)
    return made


def find(message_key: str | None, copy_key: str | None) -> list[Logged]:
    """What is withheld with this Message-ID, or this msgId, in the order in which it was; both are hashes. The ids are
    those that the records had."""
    rows = _FIND(message_key=message_key, copy_key=copy_key)
    return [Logged(row[1], row[2], [CopyKeys("", row[3], loads(row[4]))]) for row in sorted(set(rows))] if rows else []


def insert(
    email_id: str, message_key: str | None, copy_key: str | None, contents: list[str | None], reason: str, at: str
) -> None:
    """Withhold the email that had this id, as far as one of its copies goes."""
    values = (email_id, message_key, copy_key, dumps(contents), reason, at)
    _INSERT.run(**dict(zip(_COLUMNS, values, strict=True)))


def rename(old_id: str, email_id: str, reason: str, at: str) -> None:
    """What was withheld as the email that had the one id is withheld as that which had the other."""
    _RENAME.run(old=old_id, email=email_id, reason=reason, at=at)


def delete(email_id: str) -> bool:
    """Withhold it no longer; whether it was."""
    return bool(_DELETE.run(email=email_id).rowcount)


def page(after: int, limit: int) -> list[dict[str, Any]]:
    """What is withheld, in the order in which it was, from behind a number: seq, id, reason, at."""
    names = ("seq", "id", "reason", "at")
    return [dict(zip(names, row, strict=True)) for row in _PAGE(after=after, limit=limit)]
