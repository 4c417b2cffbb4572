"""Who may call: the connector's own records, which stay when `models` is replaced.

A token belongs to one user of the CRM, named by his id alone, so that users may live in somebody else's tables. It is
shown once, when it is made, and stored as its SHA-256: it has 178 random bits, which nobody guesses, so no slow
password hash is needed.
"""

import secrets
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from string import ascii_letters, digits
from typing import Any, NamedTuple
from zlib import crc32

from clock import now, stamp
from database import execute, insert, marks, rows, writing

SCOPES = {"sync": {"sync"}, "admin": {"sync", "admin"}}  # a token's scope: the scopes of routes that it may call
PREFIX = "bsc_"  # makes a leaked token easy to find, for people and for secret scanners

_ALPHABET = digits + ascii_letters
_RANDOM, _CHECK = 30, 6  # characters


class Caller(NamedTuple):
    """Whose token came with a request, and what it may call."""

    token_id: int
    user_id: str
    scopes: set[str]


def create(user_id: str, scope: str = "sync", label: str | None = None, days: int | None = None) -> str:
    """Make a token of a user, that ends after so many days, or never; gives its text, which is kept nowhere."""
    text = "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM))
    token = f"{PREFIX}{text}{_checksum(text)}"
    expires = stamp(datetime.now(UTC) + timedelta(days=days)) if days is not None else None
    values = [_digest(token), user_id, scope, label, now(), expires]
    with writing():
        insert("INTO token (sha256, user_id, scope, label, created_at, expires_at)", f"({marks(values)})", [values])
    return token


def authenticate(token: str) -> Caller | None:
    """Whose token this is; None for one that is unknown, expired, revoked or mistyped."""
    text, check = token[len(PREFIX) : -_CHECK], token[-_CHECK:]
    if not token.startswith(PREFIX) or _checksum(text) != check:  # no need to ask the database
        return None
    found = rows(
        "SELECT id, user_id, scope FROM token "
        "WHERE sha256 = ? AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?)",
        [_digest(token), now()],
    )
    return Caller(found[0][0], found[0][1], SCOPES[found[0][2]]) if found else None


def listed() -> list[dict[str, Any]]:
    """All tokens, without their text: id, userId, scope, label, createdAt, expiresAt, revokedAt."""
    names = ["id", "userId", "scope", "label", "createdAt", "expiresAt", "revokedAt"]
    found = rows("SELECT id, user_id, scope, label, created_at, expires_at, revoked_at FROM token ORDER BY id")
    return [dict(zip(names, row, strict=True)) for row in found]


def revoke(token_id: int) -> bool:
    """End a token at once. False where there is none, or it had ended so before."""
    with writing():
        ended = execute("UPDATE token SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL", [now(), token_id])
        return bool(ended.rowcount)


def delete(user_ids: list[str]) -> None:
    """Remove all tokens of these users."""
    with writing():
        execute(f"DELETE FROM token WHERE user_id IN ({marks(user_ids)})", user_ids)


def _digest(token: str) -> str:
    return sha256(token.encode()).hexdigest()


def _checksum(text: str) -> str:
    number, check = crc32(text.encode()), ""
    for _ in range(_CHECK):
        number, rest = divmod(number, len(_ALPHABET))
        check = _ALPHABET[rest] + check
    return check
