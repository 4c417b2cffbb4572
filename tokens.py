"""Who may call, and who was refused: the connector's own records, which stay when `models` is replaced.

A token belongs to one user of the CRM, named by his id alone, so that users may live in somebody else's tables. It is
shown once, when it is made, and stored as its SHA-256: it has 178 random bits, which nobody guesses, so no slow
password hash is needed.

Nor is the limit of failed logins what keeps guessers out. It shows that somebody tries, and spares the service the
work. So it never concerns a valid token: BrightSync calls for all users from one address, and one who shows a revoked
token must not stop the mail of the others.
"""

import logging
import secrets
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http import HTTPMethod
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil
from string import ascii_letters, digits
from time import monotonic, sleep
from typing import Any, NamedTuple
from zlib import crc32

from clock import now, stamp
from database import LOCK_TIMEOUT, Unusable, execute, insert, placeholders, rows, writing

SCOPES = {"sync": {"sync"}, "admin": {"sync", "admin"}}  # a token's scope: the scopes of routes that it may call
PREFIX = "bsc_"  # makes a leaked token easy to find, for people and for secret scanners

WINDOW = timedelta(seconds=60)
FAILURES = 10  # logins that may fail in a WINDOW from one address, before they are answered with 429
MOST = 100  # failed logins of a WINDOW that are kept from all addresses: what somebody with many of them can write
KEPT, KEPT_DAYS = 100_000, 90  # refusals: about 10 MB, and remote addresses are personal data

_ALPHABET = digits + ascii_letters
_RANDOM, _CHECK = 30, 6  # characters


class Caller(NamedTuple):
    """Whose token came with a request, and what it may call."""

    token_id: int
    user_id: str
    scopes: set[str]
    label: str | None = None


caller: ContextVar[Caller | None] = ContextVar("caller", default=None)  # of this request; None for a command

log = logging.getLogger(__name__)


def create(user_id: str, scope: str = "sync", label: str | None = None, days: int | None = None) -> str:
    """Make a token of a user, that ends after so many days, or never; gives its text, which is kept nowhere."""
    text = "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM))
    token = f"{PREFIX}{text}{_checksum(text)}"
    expires = stamp(datetime.now(UTC) + timedelta(days=days)) if days is not None else None
    values = [_digest(token), user_id, scope, label, now(), expires]
    with writing():
        columns = "sha256, user_id, scope, label, created_at, expires_at"
        insert(f"INTO token ({columns})", f"({placeholders(values)})", [values])
    return token


def authenticate(token: str) -> Caller | None:
    """Whose token this is; None for one that is unknown, expired, revoked or mistyped."""
    text, check = token[len(PREFIX) : -_CHECK], token[-_CHECK:]
    if not token.startswith(PREFIX) or _checksum(text) != check:  # no need to ask the database
        return None
    found = rows(
        "SELECT id, user_id, scope, label FROM token "
        "WHERE sha256 = ? AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?)",
        [_digest(token), now()],
    )
    return Caller(found[0][0], found[0][1], SCOPES[found[0][2]], found[0][3]) if found else None


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
        execute(f"DELETE FROM token WHERE user_id IN ({placeholders(user_ids)})", user_ids)


def refuse(status: int, token: str, remote: str, method: str, route: str) -> int:
    """Keep that a call was refused, 401 for its token or 403 for its scope; gives the seconds for which to answer 429.

    That is 0, but for a login that fails when FAILURES have failed from this address (of IPv6: from its /64, which is
    one customer's) in the last WINDOW. They are counted in the table, so all processes count together, and a new start
    does not forget. Of what is answered 429 one row a WINDOW is kept; of a token's 403 as many as of an address's 401.

    Never raises: where no row can be written, there is none. A failed login waits a tenth of a second for that at most,
    so that nobody without a token keeps the service waiting; a missing scope as long as any call that writes.
    """
    timeout = LOCK_TIMEOUT if status == 403 else 0
    address, seconds, deadline = _network(remote), 0, monotonic() + 0.1
    while True:
        try:
            token_id = next((row[0] for row in rows("SELECT id FROM token WHERE sha256 = ?", [_digest(token)])), None)
            seconds, keep = _judge(status, token_id, address)
            if keep:
                with writing(timeout):
                    seconds, keep = _judge(status, token_id, address)  # others may have come in between
                    if keep:
                        _keep(429 if seconds else status, token_id, address, method, route)
            return seconds
        except Unusable as error:
            if monotonic() > deadline:
                log.warning("A refused call could not be kept: %s", error)
                return seconds
            sleep(0.005)


def _judge(status: int, token_id: int | None, address: str) -> tuple[int, bool]:
    """For how many seconds to answer 429 to a call that is refused now, and whether a row of it is to be kept."""
    moment = datetime.now(UTC)
    recent = rows(
        "SELECT at, status, address, token_id FROM refusal WHERE at > ? AND at <= ?",
        [stamp(moment - WINDOW), stamp(moment)],
    )
    if status == 403:
        return 0, sum(row[1] == 403 and row[3] == token_id for row in recent) < FAILURES
    room = sum(row[1] != 403 for row in recent) < MOST
    failed = [row[0] for row in recent if row[1] == 401 and row[2] == address]
    if len(failed) < FAILURES:
        return 0, room
    seconds = ceil((datetime.fromisoformat(min(failed)) + WINDOW - moment).total_seconds())
    return seconds, room and all(row[1] != 429 or row[2] != address for row in recent)


def _keep(status: int, token_id: int | None, address: str, method: str, route: str) -> None:
    values = [now(), status, method if method in HTTPMethod.__members__ else "-", route, address, token_id]
    insert("INTO refusal (at, status, method, route, address, token_id)", f"({placeholders(values)})", [values])
    execute("DELETE FROM refusal WHERE at < ?", [stamp(datetime.now(UTC) - timedelta(days=KEPT_DAYS))])
    execute("DELETE FROM refusal WHERE seq <= (SELECT max(seq) FROM refusal) - ?", [KEPT])


def _network(remote: str) -> str:
    """The address under which a caller is counted; "-" where it is none."""
    try:
        address = ip_address(remote)
    except ValueError:
        return "-"
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or ip_network((int(address) >> 64 << 64, 64)))
    return str(address)


def list_refusals(after: int = 0, limit: int = 25) -> list[dict[str, Any]]:
    """The refused calls after a number, in order: seq, at, status, method, route, address, tokenId.

    A token that was refused is known where it is one of ours that was revoked or has expired.
    """
    names = ["seq", "at", "status", "method", "route", "address", "tokenId"]
    page = "SELECT seq, at, status, method, route, address, token_id FROM refusal WHERE seq > ? ORDER BY seq LIMIT ?"
    return [dict(zip(names, row, strict=True)) for row in rows(page, [after, limit])]


def _digest(token: str) -> str:
    return sha256(token.encode()).hexdigest()


def _checksum(text: str) -> str:
    number, check = crc32(text.encode()), ""
    for _ in range(_CHECK):
        number, rest = divmod(number, len(_ALPHABET))
        check = _ALPHABET[rest] + check
    return check
