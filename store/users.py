"""The people whose mailboxes are watched."""

from collections.abc import Mapping, Sequence
from typing import Any

from clock import now
from database.query import Prepared, is_any, param
from models import Token, User

Record = dict[str, Any]

_FIELDS = {"id": User.id, "orgId": User.org_id, "name": User.name, "email": User.email, "timezone": User.timezone}

_READ = Prepared(lambda: User.select(*_FIELDS.values()).where(is_any(User.id, "ids")).order_by(User.id))
_FIND = Prepared(lambda: User.select(User.normalized, *_FIELDS.values()).where(is_any(User.normalized, "keys")))
_INSERT = Prepared(
    lambda: User.insert(
        {field: param(name) for name, field in _FIELDS.items()}
        | {User.normalized: param("key"), User.created_at: param("at")}
    )
)
_UPDATE = Prepared(
    lambda: User.update(
        {field: param(name) for name, field in _FIELDS.items()} | {User.normalized: param("key")}
    ).where(User.id == param("id"))
)
_PAGE = Prepared(
    lambda: User.select(*_FIELDS.values()).where(User.id > param("after")).order_by(User.id).limit(param("limit"))
)
_END_TOKENS = Prepared(
    lambda: Token.update(revoked_at=param("now")).where(is_any(Token.user_id, "ids"), Token.revoked_at.is_null())
)
_DELETE = Prepared(lambda: User.delete().where(is_any(User.id, "ids")))


def read(ids: Sequence[str]) -> list[Record]:
    """The users with these ids."""
    return [dict(zip(_FIELDS, row, strict=True)) for row in _READ(ids=list(ids))]


def find(keys: Sequence[str]) -> list[tuple[str, Record]]:
    """Each user whose normalized address is one of the keys, with the key."""
    return [(key, dict(zip(_FIELDS, row, strict=True))) for key, *row in _FIND(keys=list(keys))]


def insert(user: Mapping[str, Any], key: str, at: str) -> None:
    """Store a new user, with the normalized address."""
    _INSERT.run(**{name: user[name] for name in _FIELDS}, key=key, at=at)


def update(user: Mapping[str, Any], key: str) -> None:
    """Store a user in the place of the one with this id."""
    _UPDATE.run(**{name: user[name] for name in _FIELDS}, key=key)


def delete(ids: Sequence[str]) -> None:
    """Remove users. Their tokens end for good, also where one is added again under the same id."""
    _END_TOKENS.run(now=now(), ids=list(ids))
    _DELETE.run(ids=list(ids))


def page(after: str, limit: int) -> list[Record]:
    """Users in the order of their ids, from behind one."""
    return [dict(zip(_FIELDS, row, strict=True)) for row in _PAGE(after=after, limit=limit)]
