"""Who is signed in to the pages: a secret in a cookie, made with an admin's token and ended with it.

One signs in with a token, or by a link that a command prints: it holds a secret that works once, for LINK. A session
that is not used for IDLE is over. Both are random words of 256 bits, and stored as their SHA-256.
"""

import secrets
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from clock import now, stamp
from database import Unavailable, writing
from database.query import Prepared, param
from models import Session, Token
from web.tokens import Caller, caller_of, valid_tokens

IDLE = timedelta(hours=12)
LINK = timedelta(minutes=15)
_MOVED_ON = timedelta(minutes=10)  # how often, at most, a session that is used is written

_COLUMNS = ("sha256", "token", "is_link", "created_at", "expires_at")
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
_LIST = Prepared(
    lambda: (
        valid_tokens()
        .select_extend(Session.sha256, Session.created_at, Session.expires_at)
        .join(Session)
        .where(Token.scope == "admin", ~Session.is_link, Session.expires_at > param("now"))
        .order_by(Session.expires_at.desc())
        .limit(param("limit"))
    )
)


def begin(token_id: int) -> str:
    """Sign somebody in who has this token; gives the secret for the cookie."""
    return _make(token_id, is_link=False, lasting=IDLE)


def offer_link(token_id: int) -> str:
    """Let somebody sign in once, as if with this token; gives the secret for the link."""
    return _make(token_id, is_link=True, lasting=LINK)


def is_link(secret: str) -> bool:
    """Whether one can sign in by the link with this secret."""
    return _FIND.first(sha256=id_of(secret), is_link=True, now=now()) is not None


def redeem(link: str) -> str | None:
    """Sign in by a link, which ends with that; gives the secret for the cookie, None where the link does not work."""
    if not is_link(link):  # who guesses does not take the write lock
        return None
    with writing():
        found = _FIND.first(sha256=id_of(link), is_link=True, now=now())
        if found is None:
            return None
        _DELETE.run(sha256=id_of(link))
        return begin(found[0])


def caller(secret: str) -> Caller | None:
    """Who is signed in with this secret; None for nobody. Of a session that is used the end moves on."""
    digest = id_of(secret)
    found = _FIND.first(sha256=digest, is_link=False, now=now())
    end = datetime.now(UTC) + IDLE
    if found is not None and found[-1] < stamp(end - _MOVED_ON):
        try:
            with writing(0):  # nobody waits for it
                _MOVE_ON.run(sha256=digest, expires_at=stamp(end))
        except Unavailable:
            pass
    return caller_of(found)


def end(session_id: str) -> None:
    """End a session."""
    with writing():
        _DELETE.run(sha256=session_id)


def listed(limit: int = 50) -> list[dict[str, Any]]:
    """Who is signed in, the last who used a page first: id, tokenId, userId, since, lastUsed (to ten minutes)."""
    found = []
    for token_id, user_id, _, _, session_id, since, expires in _LIST(now=now(), limit=limit):
        used = stamp(datetime.fromisoformat(expires) - IDLE)
        found.append({"id": session_id, "tokenId": token_id, "userId": user_id, "since": since, "lastUsed": used})
    return found


def _make(token_id: int, is_link: bool, lasting: timedelta) -> str:
    secret = secrets.token_urlsafe(32)
    moment = datetime.now(UTC)
    times = {"created_at": stamp(moment), "expires_at": stamp(moment + lasting)}
    with writing():
        _FORGET.run(now=stamp(moment))
        _INSERT.run(sha256=id_of(secret), token=token_id, is_link=is_link, **times)
    return secret


def id_of(secret: str) -> str:
    """The id of the session that has this secret, which says nothing of it."""
    return sha256(secret.encode(errors="replace")).hexdigest()
