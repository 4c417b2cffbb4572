"""What nobody knows: addresses that BrightSync looked up, and that no contact had. The connector's own records.

They are kept for 30 days after they were last asked for, and no more than 10,000. Whether somebody knows an address by
now is asked when they are listed.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from json import dumps, loads
from typing import Any

from peewee import EXCLUDED, fn

import crm
from clock import stamp
from crm.matching import is_free_mail, parent_domains
from crm.mentions import Mentions
from crm.names import guess_names
from crm.records import NotFound, NotOffered, Record
from crm.seam import store
from database import writing
from database.query import Prepared, is_any, param
from models import Unmatched

KEPT, KEPT_DAYS = 10_000, 30
MOST_USERS = 100  # of whom it is known that they have asked for an address
_AT_A_TIME = 200

Asked = tuple[int, str, set[str]]  # how often, when last, and by whom
Missed = dict[str, Asked]

_COLUMNS = ("address", "times", "last_at", "users")
_FIELDS = (Unmatched.address, Unmatched.times, Unmatched.last_at, Unmatched.users)
_READ = Prepared(lambda: Unmatched.select(*_FIELDS).where(is_any(Unmatched.address, "addresses")))
_KEEP = Prepared(
    lambda: Unmatched.insert({**{name: param(name) for name in _COLUMNS}, "ignored": False}).on_conflict(
        conflict_target=[Unmatched.address],
        update={field: getattr(EXCLUDED, name) for field, name in zip(_FIELDS[1:], _COLUMNS[1:], strict=True)},
    )
)
_FORGET = Prepared(lambda: Unmatched.delete().where(Unmatched.last_at < param("at")))
_COUNT = Prepared(lambda: Unmatched.select(fn.COUNT(Unmatched.address)))
_LONGEST_SILENT = Prepared(
    lambda: Unmatched.delete().where(
        Unmatched.address.in_(Unmatched.select(Unmatched.address).order_by(Unmatched.last_at).limit(param("limit")))
    )
)
_LIST = Prepared(
    lambda: (
        Unmatched.select(*_FIELDS)
        .where(~Unmatched.ignored, Unmatched.last_at >= param("at"))
        .order_by(Unmatched.times.desc(), Unmatched.address)
        .limit(param("limit"))
        .offset(param("offset"))
    )
)
_ALL = Prepared(lambda: Unmatched.select(*_FIELDS).order_by(Unmatched.address))
_IGNORE = Prepared(lambda: Unmatched.update(ignored=True).where(Unmatched.address == param("address")))
_DELETE = Prepared(lambda: Unmatched.delete().where(Unmatched.address == param("address")))


def keep(missed: Missed, wanted: bool) -> None:
    """Add to what was asked; called in a transaction. Removes what is too old, or too much; all, if none is wanted."""
    if missed:
        known = {address: asked for address, *asked in _rows(_READ(addresses=list(missed)))}
        _KEEP.many([_row(address, asked, known.get(address, (0, "", []))) for address, asked in missed.items()])
    _FORGET.run(at=_oldest() if wanted else "9")
    too_many = _COUNT()[0][0] - KEPT if missed else 0
    if too_many > 0:
        _LONGEST_SILENT.run(limit=too_many)


def _row(address: str, asked: Asked, before: Sequence[Any]) -> Record:
    users = sorted(asked[2].union(before[2]))[:MOST_USERS]
    values = address, before[0] + asked[0], max(before[1], asked[1]), dumps(users)
    return dict(zip(_COLUMNS, values, strict=True))


def _rows(found: list[Any]) -> Iterator[tuple[str, int, str, list[str]]]:
    for address, times, at, users in found:
        yield address, times, at, loads(users)


def _oldest() -> str:
    return stamp(datetime.now(UTC) - timedelta(days=KEPT_DAYS))


def list_unmatched(limit: int = 100) -> list[Record]:
    """The addresses that were asked for most, and that no contact and no user has by now: address, count, lastAsked,
    users (how many asked, at most MOST_USERS), freeMail."""
    found: list[Record] = []
    for offset in range(0, KEPT, _AT_A_TIME):
        some = _LIST(at=_oldest(), limit=_AT_A_TIME, offset=offset)
        known = _known([row[0] for row in some])
        strangers = [row for row in some if row[0] not in known][: limit - len(found)]
        found += [_record(*row) for row in _rows(strangers)]
        if len(found) == limit or len(some) < _AT_A_TIME:
            break
    return found


def _known(addresses: list[str]) -> set[str]:
    known = {key for key, _ in store.contacts.find(addresses)}
    try:
        return known | {key for key, _ in store.users.find(addresses)}
    except NotOffered:
        return known


def _record(address: str, times: int, at: str, users: list[str]) -> Record:
    free = is_free_mail(parent_domains(address.rpartition("@")[2]))
    return {"address": address, "count": times, "lastAsked": at, "users": len(users), "freeMail": free}


def add_unmatched_contact(address: str) -> tuple[Record, bool]:
    """Make a contact of an address on the list; gives the record and whether it is new. Raises NotFound.

    Its company is the oldest of the address's domain, its names are what emails call it.
    """
    if not _READ(addresses=[address]):
        raise NotFound
    first, last = guess_names(address)
    contact = {"firstName": first, "lastName": last, "emailAddresses": [address], "companyId": None}
    return crm.add_contact_of_domain(contact)


def ignore_unmatched(address: str) -> None:
    """Keep an address off the list, as long as it is asked for once in 30 days. Raises NotFound."""
    with writing():
        if not _IGNORE.run(address=address).rowcount:
            raise NotFound


# ---- privacy --------------------------------------------------------------------------------------------------------


def find_mentions(sought: Mentions) -> list[tuple[str, Record]]:
    """What of these records mentions an address: pairs of "unmatched" and the record."""
    rows = _rows(_ALL())
    return [("unmatched", _record(*row)) for row in rows if sought.in_value([row[0], row[3]])]


def erase_mentions(sought: Mentions, dry_run: bool) -> list[str]:
    """Remove what `find_mentions` gives; gives the addresses."""
    found = [record["address"] for _, record in find_mentions(sought)]
    with writing():
        for address in [] if dry_run else found:
            _DELETE.run(address=address)
    return found
