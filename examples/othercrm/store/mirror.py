"""Contacts and companies: what the CRM's tables say, and beside it, in the connector's own, what they can't hold.

A record is the CRM's. What was written through the connector is kept a second time, to the letter, in the connector's
own tables: long names, addresses as written, all domains, microseconds, and the normalized keys. That one is given as
long as the CRM's tables say of the record what they said when it was written (`Seen`); once somebody has changed it in
the CRM, theirs is. `sync` then takes it over, and tells the change feed.
"""

from collections.abc import Callable, Iterator, Sequence
from json import dumps
from typing import Any

from clock import later, now
from crm.matching import normalize_address, normalize_domain
from database.query import Prepared, is_any, param
from store import changes, directory

from . import people
from .crm import transaction
from .rows import Record, new_id
from .tables import Seen

_SEEN = Prepared(lambda: Seen.select(Seen.id, Seen.record).where(Seen.kind == param("kind"), is_any(Seen.id, "ids")))
_SEE = Prepared(
    lambda: Seen.insert(kind=param("kind"), id=param("id"), record=param("record")).on_conflict(
        conflict_target=[Seen.kind, Seen.id], preserve=[Seen.record]
    )
)
_FORGET = Prepared(lambda: Seen.delete().where(Seen.kind == param("kind"), Seen.id == param("id")))
_ALL_SEEN = Prepared(lambda: Seen.select(Seen.id).where(Seen.kind == param("kind")))
_AT_A_TIME = 100


class Mirrored:
    """One kind of record: the CRM's tables that have it, and the connector's own."""

    new_id = staticmethod(new_id)

    def __init__(self, kind: str, listed: str, normalize: Callable[[str], str | None], own: Any, *theirs: Any) -> None:
        """`listed`: the field that a record is found by; `own`: the part of the connector's store."""
        self._kind, self._listed, self._normalize, self._own, self._theirs = kind, listed, normalize, own, theirs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)  # pages, and what was deleted: as `sync` has left them

    def read(self, ids: Sequence[str]) -> list[Record]:
        """The records with these ids, in any order."""
        return [record for record, _ in self._current(ids).values()]

    def find(self, keys: Sequence[str]) -> list[tuple[str, Record]]:
        """Each record that has one of the keys, with the key; in any order."""
        theirs = [pair for table in self._theirs for pair in table.owners(keys)] if keys else []
        own = [(key, record["id"]) for key, record in self._own.find(keys)]
        current = self._current([record_id for _, record_id in theirs + own])
        found = [pair for pair in theirs if pair[1] in current]
        found += [pair for pair in own if current.get(pair[1], (None, False))[1]]
        return [(key, current[record_id][0]) for key, record_id in found]

    def named(self, key: str) -> list[Record]:
        """The companies with this normalized name, as `sync` has left them."""
        found = self.read([record["id"] for record in self._own.named(key)])
        return [record for record in found if record["nameKey"] == key]

    def insert(self, record: Record, keys: Sequence[str | None]) -> None:
        """Store a new record. Raises Invalid and Conflict where its id is not one for the CRM."""
        self._table(record["id"]).write(record, keys)
        self._keep(record, keys)

    def update(self, old: Record, new: Record, keys: Sequence[str | None]) -> None:
        """Store a record in the place of an old one."""
        self.insert(new, keys)

    def delete(self, record_id: str) -> bool:
        """Mark a record as deleted; whether there was one."""
        if not self._read_theirs([record_id]):
            return False
        self._table(record_id).delete(record_id)
        self._forget(record_id)
        return True

    def of_company(self, company_id: str, limit: int) -> list[str]:
        """The ids of some contacts of a company."""
        return [one for table in self._theirs for one in table.ids(company_id, limit)][:limit]

    def sync(self) -> Iterator[tuple[str, str]]:
        """Take over what was changed in the CRM, past the connector; gives each id, and what has become of it."""
        ids = [one for table in self._theirs for one in table.ids()]
        for start in range(0, len(ids), _AT_A_TIME):
            current = self._current(ids[start : start + _AT_A_TIME]).values()
            changed = [(record, self._keys(record)) for record, own in current if not own]
            if changed:
                with transaction():
                    yield from self._take_over(changed)
        gone = {record_id for (record_id,) in _ALL_SEEN(kind=self._kind)} - set(ids)
        for record_id in sorted(gone):
            with transaction():
                if not self._read_theirs([record_id]):
                    self._forget(record_id)
                    changes.append(self._kind, record_id, "deleted", now(), None)
                    yield record_id, "deleted"

    def keep_theirs(self, record_id: str | None) -> None:
        """Let the connector's tables have a record of the CRM that `sync` has not met yet."""
        if record_id and not self._own.read([record_id]):
            record = self._read_theirs([record_id])[record_id]
            self._keep(record, self._keys(record))

    # ---- below ----

    def _table(self, record_id: str) -> Any:
        return self._theirs[-1] if record_id.startswith("lead:") else self._theirs[0]

    def _keys(self, record: Record) -> list[str | None]:
        return [self._normalize(text) for text in record[self._listed]]

    def _read_theirs(self, ids: Sequence[str]) -> dict[str, Record]:
        """To the CRM `ABC` and `abc` are one id, and to us two."""
        wanted = set(ids)
        return {one["id"]: one for table in self._theirs for one in table.read(ids) if one["id"] in wanted}

    def _current(self, ids: Sequence[str]) -> dict[str, tuple[Record, bool]]:
        """Records by their ids, and of each whether it is the connector's own."""
        theirs = self._read_theirs(ids)
        seen: dict[str, str] = dict(_SEEN(kind=self._kind, ids=list(theirs)))
        own = {record["id"]: record for record in self._own.read(list(theirs))}
        return {
            one: (own[one], True) if one in own and seen.get(one) == _as_text(record) else (record, False)
            for one, record in theirs.items()
        }

    def _keep(self, record: Record, keys: Sequence[str | None]) -> None:
        """Keep a record as it is, and what the CRM's tables say of it now."""
        if "companyId" in record:
            companies.keep_theirs(record["companyId"])
        old = self._own.read([record["id"]])
        self._own.update(old[0], record, keys) if old else self._own.insert(record, keys)
        theirs = self._read_theirs([record["id"]])[record["id"]]
        _SEE.run(kind=self._kind, id=record["id"], record=_as_text(theirs))

    def _take_over(self, changed: Sequence[tuple[Record, Sequence[str | None]]]) -> Iterator[tuple[str, str]]:
        current = self._current([record["id"] for record, _ in changed])
        own = {record["id"]: record for record in self._own.read(list(current))}
        for record, keys in changed:
            record_id = record["id"]
            if current.get(record_id) != (record, False):  # changed once more: next time
                continue
            old = own.get(record_id)
            moment = later(old["updatedAt"]) if old else now()
            self._keep({**record, "updatedAt": moment}, keys)
            action = "changed" if old else "created"
            changes.append(self._kind, record_id, action, moment, None)
            yield record_id, action

    def _forget(self, record_id: str) -> None:
        self._own.delete(record_id)
        _FORGET.run(kind=self._kind, id=record_id)


def _as_text(record: Record) -> str:
    return dumps(record, ensure_ascii=False)


companies = Mirrored("company", "domains", normalize_domain, directory.companies, people.accounts)
contacts = Mirrored("contact", "emailAddresses", normalize_address, directory.contacts, people.contacts, people.leads)
