"""What calls with each user's token came to, and when tokens were used: the connector's own records.

Each process counts in memory. A thread of its own writes that down some seconds later, in one short transaction, so no
call waits for it or asks the database once more. What can't be written at once, as others write, is tried again; a
process that is killed loses what it has counted since. Counted are calls with tokens of scope sync, which are
BrightSync's: per user, day and outcome, and never who wrote to whom.
"""

import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from threading import Event, Lock, Thread
from time import monotonic, sleep, time

from peewee import EXCLUDED, Case, fn

from clock import now, stamp
from crm.mentions import Mentions
from crm.records import NotOffered, Record
from crm.seam import store
from database import Unavailable, release, writing
from database.query import Prepared, is_any, param
from models import CallCount
from web import tokens, unmatched

SECONDS = 5  # that counts wait in memory
KEPT_DAYS = 400
LOGGED = "POST /api/v1/emails"
_MOST_MISSED = 500  # addresses that wait in memory; of more, none is taken

log = logging.getLogger(__name__)

# Day, user, status and call: how often, and when last. Address: how often, when last, and by which users.
_Calls = dict[tuple[int, str, int, str], tuple[int, float]]
_Missed = dict[str, tuple[int, float, set[str]]]

_ADD = Prepared(
    lambda: CallCount.insert(
        {name: param(name) for name in ("day", "user_id", "status", "call", "times", "last_at")}
    ).on_conflict(
        conflict_target=[CallCount.day, CallCount.user_id, CallCount.status, CallCount.call],
        update={
            CallCount.times: CallCount.times + EXCLUDED.times,
            CallCount.last_at: Case(
                None, [(EXCLUDED.last_at > CallCount.last_at, EXCLUDED.last_at)], CallCount.last_at
            ),
        },
    )
)
_FORGET = Prepared(lambda: CallCount.delete().where(CallCount.day < param("day")))
_DELETE = Prepared(lambda: CallCount.delete().where(is_any(CallCount.user_id, "user_ids")))
_USERS = Prepared(lambda: CallCount.select(CallCount.user_id).distinct())
_DAYS = Prepared(lambda: CallCount.select().where(CallCount.user_id == param("user_id")).order_by(CallCount.day))


_SUMS = Prepared(
    lambda: (
        CallCount.select(
            CallCount.user_id, CallCount.status, CallCount.call, fn.MAX(CallCount.last_at), fn.SUM(CallCount.times)
        )
        .where(CallCount.day >= param("since"))
        .group_by(CallCount.user_id, CallCount.status, CallCount.call)
        .order_by(CallCount.status, CallCount.call)
    )
)
_EARLIER = Prepared(
    lambda: (
        CallCount.select(
            CallCount.user_id,
            fn.MAX(CallCount.last_at),
            fn.MAX(Case(None, [((CallCount.call == LOGGED) & (CallCount.status < 400), CallCount.last_at)])),
        )
        .where(is_any(CallCount.user_id, "user_ids"))
        .group_by(CallCount.user_id)
    )
)
_EMAILS = Prepared(
    lambda: (
        CallCount.select(CallCount.user_id, CallCount.day, fn.SUM(CallCount.times))
        .where(CallCount.call == LOGGED, CallCount.status < 400, CallCount.day >= param("since"))
        .group_by(CallCount.user_id, CallCount.day)
    )
)


class Activity:
    """What a process has counted and not yet written."""

    def __init__(self, seconds: float | None = SECONDS, keeps_unmatched: bool = True) -> None:
        """With None it is written by `flush` alone."""
        self._seconds, self._keeps_unmatched = seconds, keeps_unmatched
        self._calls: _Calls = {}
        self._missed: _Missed = {}
        self._uses: dict[int, float] = {}
        self._next_use: dict[int, float] = {}  # of a token: before this time its use is known well enough
        self._lock, self._writing = Lock(), Lock()
        self._waiting = Event()
        self._thread: Thread | None = None  # begins with the first call: a worker is forked before

    def count(self, user_id: str, status: int, call: str, missed: Iterable[str] = ()) -> None:
        """Count a call, as method and route, and the addresses that it looked up in vain."""
        at = time()  # as a text it would take as long as all the rest
        key = int(at // 86_400), user_id, status, call if status >= 400 or call == LOGGED else ""
        missed = {address: (1, at, {user_id}) for address in missed} if missed and self._keeps_unmatched else {}
        self._add({key: (1, at)}, missed, {})

    def note_use(self, token_id: int) -> None:
        """Remember when a token was used, of each token once an hour."""
        moment = monotonic()
        if moment >= self._next_use.get(token_id, 0):
            self._next_use[token_id] = moment + 3600
            self._add({}, {}, {token_id: time()})

    def _add(self, calls: _Calls, missed: _Missed, uses: dict[int, float]) -> None:
        with self._lock:
            self._uses = uses | self._uses
            for key, (times, at) in calls.items():
                before, last = self._calls.get(key, (0, at))
                self._calls[key] = before + times, max(at, last)
            for address, asked in missed.items():
                if address in self._missed:
                    before, last, users = self._missed[address]
                    self._missed[address] = before + asked[0], max(last, asked[1]), users | asked[2]
                elif len(self._missed) < _MOST_MISSED:
                    self._missed[address] = asked
            if self._thread is None and self._seconds is not None:
                self._thread = Thread(target=self._work, daemon=True)
                self._thread.start()
        if not self._waiting.is_set():
            self._waiting.set()

    def _work(self) -> None:
        while self._waiting.wait():
            sleep(self._seconds or 0)
            try:
                self.flush()
            except Exception as error:
                log.error("What was counted is lost, which is a fault of the connector.", exc_info=error)
            release()

    def flush(self, timeout: float = 0) -> None:
        """Write down what was counted, if others stop writing for a moment within so many seconds."""
        with self._writing:
            self._waiting.clear()
            with self._lock:
                calls, missed, uses = self._calls, self._missed, self._uses
                self._calls, self._missed, self._uses = {}, {}, {}
            if not (calls or missed or uses):
                return
            rows = [_row(*key[1:], *counted) for key, counted in calls.items()]
            asked = {address: (times, _text(at), users) for address, (times, at, users) in missed.items()}
            try:
                with writing(timeout):
                    _ADD.many(rows)
                    _FORGET.run(day=_day(KEPT_DAYS))
                    unmatched.keep(asked, self._keeps_unmatched)
                    tokens.keep_uses({token_id: _text(at) for token_id, at in uses.items()})
            except Unavailable:
                self._add(calls, missed, uses)


def _row(user_id: str, status: int, call: str, times: int, at: float) -> Record:
    last = _text(at)
    return {"day": last[:10], "user_id": user_id, "status": status, "call": call, "times": times, "last_at": last}


def _text(moment: float) -> str:
    return stamp(datetime.fromtimestamp(moment, UTC))


def _day(ago: int) -> str:
    return _text(time() - ago * 86_400)[:10]


def list_activity() -> list[Record]:
    """Of each user with a token of scope sync, by address: userId, email, since (when the first token was made),
    lastCall, lastEmail, emailsToday, emails7Days, emails30Days, emailsByDay (of these thirty, today's at last); and
    refusals of 30 days: status, call, count, last.

    An email counts whenever it was logged, also as a copy of one that was here. Days are UTC's.
    """
    since: dict[str, str] = {}
    moment = now()
    for one in tokens.listed():
        if one["scope"] == "sync" and not one["revokedAt"] and (one["expiresAt"] is None or one["expiresAt"] > moment):
            since.setdefault(one["userId"], one["createdAt"])
    try:
        emails = {user["id"]: user["email"] for user in store.users.read(list(since))}
    except NotOffered:  # then every token is valid
        emails = dict.fromkeys(since)
    found = {
        user_id: {
            "userId": user_id,
            "email": email,
            "since": since[user_id],
            "lastCall": None,
            "lastEmail": None,
            "emailsByDay": [0] * 30,
            "refusals": [],
        }
        for user_id, email in sorted(emails.items(), key=lambda one: (one[1] or "", one[0]))
    }
    days = {_day(29 - n): n for n in range(30)}
    for user_id, status, call, last, count in _SUMS(since=_day(29)):
        if (user := found.get(user_id)) is None:
            continue
        user["lastCall"] = max(user["lastCall"] or "", last)
        if status < 400 and call == LOGGED:
            user["lastEmail"] = max(user["lastEmail"] or "", last)
        elif status >= 400:
            user["refusals"].append({"status": status, "call": call, "count": int(count), "last": last})
    silent = [user_id for user_id, user in found.items() if user["lastEmail"] is None]
    for user_id, last_call, last_email in _EARLIER(user_ids=silent) if silent else []:  # it reads more than a year
        found[user_id].update(lastCall=last_call, lastEmail=last_email)
    for user_id, day, count in _EMAILS(since=_day(29)):
        if user_id in found and day in days:
            found[user_id]["emailsByDay"][days[day]] = int(count)
    for user in found.values():
        counts = user["emailsByDay"]
        user.update(emailsToday=counts[-1], emails7Days=sum(counts[-7:]), emails30Days=sum(counts))
    return list(found.values())


def silent_since(moment: str) -> list[str]:
    """The users, by address, whose tokens are older than a moment, and who have logged no email since."""
    users = (user for user in list_activity() if max(user["since"], user["lastEmail"] or "") < moment)
    return [user["email"] or user["userId"] for user in users]


# ---- privacy --------------------------------------------------------------------------------------------------------


def find_mentions(sought: Mentions) -> list[tuple[str, Record]]:
    """What of these records mentions an address, which only a user's id can: pairs of "activity" and the record."""
    names = ("day", "userId", "status", "call", "count", "last")
    return [
        ("activity", dict(zip(names, row, strict=True))) for one in _mentioned(sought) for row in _DAYS(user_id=one)
    ]


def erase_mentions(sought: Mentions, dry_run: bool) -> list[str]:
    """Remove what `find_mentions` gives; gives the ids of the users."""
    found = _mentioned(sought)
    if found and not dry_run:
        delete(found)
    return found


def _mentioned(sought: Mentions) -> list[str]:
    return [user_id for (user_id,) in _USERS() if sought.in_text(user_id)]


def delete(user_ids: list[str]) -> None:
    """Remove what was counted of these users."""
    with writing():
        _DELETE.run(user_ids=user_ids)
