"""Who is signed in to the pages: a secret in a cookie, made with an admin's token and ended with it.

One signs in with a token, or by a link that a command prints: it holds a secret that works once, for LINK. A session
that is not used for IDLE is over. Both are random words of 256 bits, and stored as their SHA-256.
"""

import secrets
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from clock import now, stamp
from database import Unavailable, writing
from database.query import Prepared, param
from models import Session, Token
from web.tokens import Caller, caller_of, valid_tokens

IDLE = timedelta(hours=12)
LINK = timedelta(minutes=15)
_MOVED_ON = timedelta(minutes=10)  # how often, at most, a session that is used is written

_COLUMNS = ("sha256", "token", "is_link", "expires_at")
_INSERT = Prepared(lambda: Session.insert({name: param(name) for name in _COLUMNS}))
_FIND = Prepared(
    lambda: (
        valid_tokens()
        .select_extend(Session.expires_at)
        .join(Session)
        .where(
            Token.scope == "admin",
            Session.sha256 == param("sha256"),
            Session.is_link == param("is_link"),
            Session.expires_at > param("now"),
        )
    )
)
_MOVE_ON = Prepared(lambda: Session.update(expires_at=param("expires_at")).where(Session.sha256 == param("sha256")))
_DELETE = Prepared(lambda: Session.delete().where(Session.sha256 == param("sha256")))
_FORGET = Prepared(lambda: Session.delete().where(Session.expires_at <= param("now")))
_COUNT = Prepared(lambda: Session.select(Session.token).where(~Session.is_link, Session.expires_at > param("now")))


def begin(token_id: int) -> str:
    """Sign somebody in who has this token; gives the secret for the cookie."""
    return _make(token_id, is_link=False, lasting=IDLE)


def offer_link(token_id: int) -> str:
    """Let somebody sign in once, as if with this token; gives the secret for the link."""
    return _make(token_id, is_link=True, lasting=LINK)


def redeem(link: str) -> str | None:
    """Sign in by a link, which ends with that; gives the secret for the cookie, None where the link does not work."""
    with writing():
        found = _FIND.first(sha256=_digest(link), is_link=True, now=now())
        if found is None:
            return None
        _DELETE.run(sha256=_digest(link))
        return begin(found[0])


def caller(secret: str) -> Caller | None:
    """Who is signed in with this secret; None for nobody. Of a session that is used the end moves on."""
    digest = _digest(secret)
    found = _FIND.first(sha256=digest, is_link=False, now=now())
    end = datetime.now(UTC) + IDLE
    if found is not None and found[-1] < stamp(end - _MOVED_ON):
        try:
            with writing(0):  # nobody waits for it
                _MOVE_ON.run(sha256=digest, expires_at=stamp(end))
        except Unavailable:
            pass
    return caller_of(found)


def end(secret: str) -> None:
    """Sign out."""
    with writing():
        _DELETE.run(sha256=_digest(secret))


def count() -> dict[int, int]:
    """How many are signed in, by the id of the token that they did it with."""
    tokens = [token_id for (token_id,) in _COUNT(now=now())]
    return {token_id: tokens.count(token_id) for token_id in tokens}


def _make(token_id: int, is_link: bool, lasting: timedelta) -> str:
    secret = secrets.token_urlsafe(32)
    with writing():
        _FORGET.run(now=now())
        expires_at = stamp(datetime.now(UTC) + lasting)
        _INSERT.run(sha256=_digest(secret), token=token_id, is_link=is_link, expires_at=expires_at)
    return secret


def _digest(secret: str) -> str:
    return sha256(secret.encode(errors="replace")).hexdigest()
