"""Who may call, and who was refused: the connector's own records, wherever the others are kept.

A token belongs to one user of the CRM, named by id alone, so that users may be kept in somebody else's tables. It is
shown once, when it is made, and stored as its SHA-256: it has 178 random bits, which nobody guesses, so no slow
password hash is needed, and the limit of failed logins is not what keeps guessers out. It spares the service the work,
and never concerns a valid token: BrightSync calls for all users from one address.
"""

import logging
import secrets
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http import HTTPMethod
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil
from string import ascii_letters, digits
from threading import Lock
from time import monotonic
from typing import Any, NamedTuple

from clock import now, stamp
from crm.mentions import Mentions
from crm.records import NotOffered
from crm.seam import store
from database import Unavailable, writing
from database.query import Prepared, Row, is_any, param
from models import Refusal, Token

SCOPES = {"sync": {"sync"}, "admin": {"sync", "admin"}}  # a token's scope: the scopes of routes that it may call
PREFIX = "bsc_"  # makes a leaked token easy to find, for people and for secret scanners
_ALPHABET = digits + ascii_letters
_RANDOM = 30  # characters, of 5.95 bits

FAILURES = 10  # logins that may fail within a minute from one address, before they are answered with 429
KEPT, KEPT_DAYS = 100_000, 90  # refusals: about 10 MB, and remote addresses are personal data
A_DAY = 250  # refusals of unknown tokens that a process keeps on a day on which somebody tries many; 20 at once
_MOST_KEYS = 10_000  # addresses and tokens that are counted at a time: 2 MB

log = logging.getLogger(__name__)


class Caller(NamedTuple):
    """Whose token came with a request, and what it may call."""

    token_id: int
    user_id: str
    scopes: set[str]
    label: str | None = None


_COLUMNS = ("sha256", "user_id", "scope", "label", "created_at", "expires_at")
_CREATE = Prepared(lambda: Token.insert({name: param(name) for name in _COLUMNS}))


def valid_tokens() -> Any:
    """A query of the tokens that work now: the columns that `caller_of` reads, with a parameter `now`."""
    return Token.select(Token.id, Token.user_id, Token.scope, Token.label).where(
        Token.revoked_at.is_null(), Token.expires_at.is_null() | (Token.expires_at > param("now"))
    )


_AUTHENTICATE = Prepared(lambda: valid_tokens().where(Token.sha256 == param("sha256")))
_OF_USER = Prepared(lambda: valid_tokens().where(Token.user_id == param("user_id")).order_by(Token.id.desc()))
_FIND = Prepared(lambda: Token.select(Token.id).where(Token.sha256 == param("sha256")))
_LISTED = {
    "id": Token.id,
    "userId": Token.user_id,
    "scope": Token.scope,
    "label": Token.label,
    "createdAt": Token.created_at,
    "expiresAt": Token.expires_at,
    "revokedAt": Token.revoked_at,
    "lastUsedAt": Token.last_used_at,
}
_LIST = Prepared(lambda: Token.select(*_LISTED.values()).order_by(Token.id))
_REVOKE = Prepared(
    lambda: Token.update(revoked_at=param("now")).where(Token.id == param("id"), Token.revoked_at.is_null())
)
_NOTE_USE = Prepared(lambda: Token.update(last_used_at=param("now")).where(Token.id == param("id")))
_UNLABEL = Prepared(lambda: Token.update(label=None).where(Token.id == param("id")))
_DELETE = Prepared(lambda: Token.delete().where(is_any(Token.user_id, "user_ids")))


def create(user_id: str, scope: str = "sync", label: str | None = None, days: int | None = None) -> str:
    """Make a token of a user, that ends after so many days, or never; gives its text, which is kept nowhere."""
    token = PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM))
    expires = stamp(datetime.now(UTC) + timedelta(days=days)) if days is not None else None
    with writing():
        _CREATE.run(
            sha256=_digest(token), user_id=user_id, scope=scope, label=label, created_at=now(), expires_at=expires
        )
    return token


def authenticate(token: str) -> Caller | None:
    """Whose token this is; None for one that is unknown, expired, revoked or mistyped, or whose user is gone."""
    return caller_of(_AUTHENTICATE.first(sha256=_digest(token), now=now())) if token.startswith(PREFIX) else None


def caller_of(row: Row | None) -> Caller | None:
    """Who calls with a token that works; None where there is none, or its user is gone."""
    if row is None or not _is_user(row[1]):
        return None
    return Caller(row[0], row[1], SCOPES[row[2]], row[3])


def admin_token(user_id: str) -> int | None:
    """The id of the user's newest token of scope admin that works."""
    return next((row[0] for row in _OF_USER(user_id=user_id, now=now()) if row[2] == "admin"), None)


def _is_user(user_id: str) -> bool:
    """Whether the user is still there and active; of a CRM that can't say, everyone is."""
    try:
        return bool(store.users.read([user_id]))
    except NotOffered:
        return True


def listed() -> list[dict[str, Any]]:
    """All tokens, without their text: id, userId, scope, label, createdAt, expiresAt, revokedAt, lastUsedAt."""
    return [dict(zip(_LISTED, row, strict=True)) for row in _LIST()]


def revoke(token_id: int) -> bool:
    """End a token at once. False where there is none, or it had ended so before."""
    with writing():
        return bool(_REVOKE.run(now=now(), id=token_id).rowcount)


def delete(user_ids: list[str]) -> None:
    """Remove all tokens of these users."""
    with writing():
        _DELETE.run(user_ids=user_ids)


def _digest(token: str) -> str:
    return sha256(token.encode()).hexdigest()


def keep_uses(moments: Mapping[int, str]) -> None:
    """Keep when tokens were used last; called in a transaction."""
    _NOTE_USE.many([{"id": token_id, "now": at} for token_id, at in moments.items()])


# ---- refusals -------------------------------------------------------------------------------------------------------


class _Counter:
    """How often something happened under a key, in a window of seconds that begins with the first time."""

    def __init__(self, window: float) -> None:
        self._window = window
        self._counts: OrderedDict[object, tuple[float, int]] = OrderedDict()
        self._lock = Lock()

    def count(self, key: object) -> tuple[int, float]:
        """Count once more; gives how often it has happened, and for how many seconds the window lasts."""
        with self._lock:
            moment = monotonic()
            began, times = self._counts.pop(key, (moment, 0))
            if moment >= began + self._window:
                began, times = moment, 0
            self._counts[key] = began, times + 1
            if len(self._counts) > _MOST_KEYS:
                self._counts.popitem(last=False)  # the longest silent
            return times + 1, began + self._window - moment


class _Allowance:
    """So many at once, and so many a day on average."""

    def __init__(self, at_once: int, a_day: int) -> None:
        self._at_once, self._rate = at_once, a_day / 86_400
        self._left, self._at = float(at_once), monotonic()
        self._lock = Lock()

    def take(self) -> bool:
        """Whether one more is allowed."""
        with self._lock:
            moment = monotonic()
            self._left = min(self._at_once, self._left + (moment - self._at) * self._rate)
            self._at = moment
            if self._left < 1:
                return False
            self._left -= 1
            return True


class Brake:
    """What a process remembers of refused calls."""

    def __init__(self) -> None:
        self._failed = _Counter(60)
        self._refused = _Counter(3600)
        self._unknown = _Allowance(20, A_DAY)

    def refuse(self, status: int, token: str, remote: str, method: str, route: str) -> int:
        """Count a call that was refused, 401 for its token or 403 for its scope; gives the seconds to answer 429 for.

        That is 0, but for a login that fails when FAILURES have failed from this address within a minute (of IPv6: from
        its /64, which is one customer's). For `flask audit` a row is kept of the first refused call of an address or
        token within an hour, of the tenth, the hundredth and so on; of unknown tokens no more than A_DAY, so that a
        client that tries many does not push out what was kept before. No call waits for that: where others write, no
        row is kept.
        """
        address = _network(remote)
        found = _FIND.first(sha256=_digest(token)) if token.startswith(PREFIX) else None
        token_id = found[0] if found else None
        seconds = 0
        if status == 401:
            failures, rest = self._failed.count(address)
            seconds = ceil(rest) if failures > FAILURES else 0
        times, _ = self._refused.count((status, token_id or address))
        if str(times).strip("0") == "1" and (token_id is not None or self._unknown.take()):
            _keep(429 if seconds else status, token_id, address, method, route, times)
        return seconds


_ROW = ("at", "status", "method", "route", "address", "token_id", "times")
_INSERT = Prepared(lambda: Refusal.insert({name: param(name) for name in _ROW}).returning(Refusal.seq))
_FORGET = Prepared(lambda: Refusal.delete().where((Refusal.at < param("at")) | (Refusal.seq <= param("seq"))))
_DELETE_REFUSAL = Prepared(lambda: Refusal.delete().where(Refusal.seq == param("seq")))
_REFUSALS = {
    "seq": Refusal.seq,
    "at": Refusal.at,
    "status": Refusal.status,
    "method": Refusal.method,
    "route": Refusal.route,
    "address": Refusal.address,
    "tokenId": Refusal.token_id,
    "times": Refusal.times,
}
_NEWEST = Prepared(lambda: Refusal.select(*_REFUSALS.values()).order_by(Refusal.seq.desc()).limit(param("limit")))
_PAGE = Prepared(
    lambda: (
        Refusal.select(*_REFUSALS.values())
        .where(Refusal.seq > param("after"))
        .order_by(Refusal.seq)
        .limit(param("limit"))
    )
)


def _keep(status: int, token_id: int | None, address: str, method: str, route: str, times: int) -> None:
    values = [now(), status, method if method in HTTPMethod.__members__ else "-", route, address, token_id, times]
    try:
        with writing(0):
            [(seq,)] = _INSERT(**dict(zip(_ROW, values, strict=True)))
            _FORGET.run(at=stamp(datetime.now(UTC) - timedelta(days=KEPT_DAYS)), seq=seq - KEPT)
    except Unavailable:
        log.warning("A refused call could not be kept.")


def list_refusals(after: int = 0, limit: int = 25) -> list[dict[str, Any]]:
    """The refused calls after a number, in order: seq, at, status, method, route, address, tokenId, times.

    `times`: how many such calls this address or token had made within the hour.

    A token that was refused is known where it is one of ours that was revoked or has expired.
    """
    return [dict(zip(_REFUSALS, row, strict=True)) for row in _PAGE(after=after, limit=limit)]


def newest_refusals(limit: int = 25) -> list[dict[str, Any]]:
    """The last refused calls, the newest first."""
    return [dict(zip(_REFUSALS, row, strict=True)) for row in _NEWEST(limit=limit)]


def _network(remote: str) -> str:
    """The address under which a caller is counted; "-" where it is none."""
    try:
        address = ip_address(remote)
    except ValueError:
        return "-"
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or ip_network((int(address) >> 64 << 64, 64)))
    return str(address)


# ---- privacy --------------------------------------------------------------------------------------------------------


def find_mentions(sought: Mentions) -> Iterator[tuple[str, dict[str, Any]]]:
    """What of these records mentions an address: pairs of "token" or "refusal" and the record."""
    yield from (("token", one) for one in listed() if sought.in_text(one["label"]) or sought.in_text(one["userId"]))
    after = 0
    while page := list_refusals(after, 1000):
        after = page[-1]["seq"]
        yield from (("refusal", one) for one in page if sought.in_text(one["route"]) or sought.in_text(one["address"]))


def erase_mentions(sought: Mentions, dry_run: bool) -> dict[str, list[str]]:
    """Remove what `find_mentions` gives; gives the ids.

    Of a token only the label goes; a token whose user's id mentions the address goes whole.
    """
    gone: dict[str, list[str]] = {"tokens": [], "refusals": []}
    for kind, one in list(find_mentions(sought)):
        if not dry_run:
            with writing():
                if kind == "refusal":
                    _DELETE_REFUSAL.run(seq=one["seq"])
                elif sought.in_text(one["userId"]):
                    _DELETE.run(user_ids=[one["userId"]])
                else:
                    _UNLABEL.run(id=one["id"])
        gone[f"{kind}s"].append(str(one["id" if kind == "token" else "seq"]))
    return gone
