"""What becomes of the emails that are here already: what is past its time goes, and what a new rule never logs."""

import logging
import re
from calendar import monthrange
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from clock import now, stamp
from crm.drafts import recipients_of
from crm.emails import delete_emails, withhold_emails
from crm.merging import NO_EMAIL
from crm.never_log import meets, new_rule, rules_met
from crm.records import Invalid, Record
from crm.seam import store
from store.values import Conditions

log = logging.getLogger(__name__)

_AFTER = re.compile(r"([1-9]\d{0,4})([dmy])", re.ASCII)
_MOST = {"d": 36_500, "m": 1_200, "y": 100}
_AT_A_TIME = 100


# ---- retention ------------------------------------------------------------------------------------------------------


def get_retention() -> tuple[str, bool] | None:
    """After which time emails go, such as 3y, and whether those with a relatedTo stay; None where all stay."""
    found: tuple[str, bool] | None = store.retention.read()
    return found


def set_retention(after: str | None, keep_linked: bool = False) -> None:
    """Let emails go after a time: a number and d, m or y. None: all stay. It is `run_retention` that removes them.
    Raises Invalid."""
    if after is not None:
        cutoff(after, now())
    with store.transaction():
        store.retention.write(after, keep_linked)


def cutoff(after: str, at: str) -> str:
    """The time before which emails are past theirs; of months that are shorter, the last day. Raises Invalid."""
    found = _AFTER.fullmatch(after)
    if not found or int(found[1]) > _MOST[found[2]]:
        raise Invalid(after="Give a number and d, m or y, such as 90d, 18m or 3y; 100y at most.")
    moment, number = datetime.fromisoformat(at).astimezone(UTC), int(found[1])
    if found[2] == "d":
        return stamp(moment - timedelta(days=number))
    years, month = divmod(moment.year * 12 + moment.month - 1 - number * (12 if found[2] == "y" else 1), 12)
    return stamp(moment.replace(year=years, month=month + 1, day=min(moment.day, monthrange(years, month + 1)[1])))


def run_retention(dry_run: bool = False) -> Record:
    """Remove the emails that are past their time, by receivedAt, else createdAt; or only look which they are.

    They go as by DELETE: their copies stay away, and the feed tells of each. Others write meanwhile. Gives a receipt:
    after, keepLinked, before (the time), at, dryRun, emails (the ids).
    """
    after, keep_linked = get_retention() or (None, False)
    at = now()
    before = cutoff(after, at) if after else None
    ids: list[str] = []
    if before and dry_run:
        ids = [email_id for _, email_id in _places(before, keep_linked)]
    elif before:
        found = (email for _, email_id in _places(before, keep_linked) for email in store.emails.read([email_id]))
        past = (one for one in found if (one["receivedAt"] or one["createdAt"]) < before)  # it may have changed
        ids = list(delete_emails((one for one in past if not (keep_linked and one["relatedTo"])), "retention"))
        _purge(ids)
    return {"after": after, "keepLinked": keep_linked, "before": before, "at": at, "dryRun": dry_run, "emails": ids}


def _places(before: str, keep_linked: bool) -> Iterator[tuple[str, str]]:
    place = ("", "")
    while page := store.emails.older(before, place, _AT_A_TIME, not keep_linked):
        place = page[-1]
        yield from page


def _purge(ids: list[str]) -> None:
    if ids and not store.purge():
        log.warning("What was removed is in unused parts of the file until others stop reading, and this is run again.")


# ---- never log ------------------------------------------------------------------------------------------------------


def rule_for(email: Mapping[str, Any]) -> Record | None:
    """The rule of never log that an email meets, if there is one."""
    return rules_met([recipients_of({**NO_EMAIL, **email})])[0]


def apply_rule(rule: Mapping[str, Any], dry_run: bool = False) -> list[str]:
    """Keep of the emails that are here already, and meet a rule, their ids and times alone; gives their ids, which in a
    dry run is all that is done. The rule need not be among those that are kept. Raises Invalid."""
    checked = new_rule(rule)
    done: list[str] = []
    while found := list(_meeting(checked)):  # at last once more: what was being logged, or has changed, meanwhile
        if dry_run:
            return found
        emails = (email for email_id in found for email in store.emails.read([email_id]))
        done += withhold_emails(one for one in emails if meets(checked, recipients_of(one)))
    _purge(done)
    return done


def _meeting(rule: Record) -> Iterator[str]:
    """The ids of the emails that meet a rule, the newest first."""
    conditions = Conditions(address_key=rule["key"] if rule["kind"] == "address" else None)
    place, more = None, True
    while more:
        found, more = store.emails.page(conditions, place, _AT_A_TIME, False)
        for at, email in found:
            place = at, email["id"]
            if meets(rule, recipients_of(email)):
                yield email["id"]
