"""`flask sync`: whether emails come in."""

import re
from datetime import UTC, datetime, timedelta

import click

from clock import stamp
from commands.common import lines_of_table, say, uses_database
from web import activity

_COLUMNS = {
    "user": "email",
    "last call": "lastCall",
    "last email": "lastEmail",
    "today": "emailsToday",
    "7 days": "emails7Days",
    "30 days": "emails30Days",
}


class _Duration(click.ParamType[timedelta]):
    """A number of minutes, hours or days."""

    name = "duration"

    def convert(self, value: str | timedelta, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        found = re.fullmatch(r"([1-9][0-9]{0,4})([mhd])", value) if isinstance(value, str) else None
        if found is None:
            self.fail("It must be like 90m, 24h or 3d.", param, ctx)
        return int(found[1]) * {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}[found[2]]


@click.command()
@click.option("--silent-for", "silent_for", type=_Duration(), help="Such as 24h: exit with 1 where no email came.")
@uses_database()
def sync(silent_for: timedelta | None) -> None:
    """Show of each user with a token of scope sync what was logged and what was refused.

    An email counts whenever it was logged, also as a copy. Days are UTC's. A service that is running writes down what
    it has counted within five seconds.

    For a monitor: with --silent-for 24h the exit status is 1 where a user has logged no email for so long, by tokens
    that are older than that.
    """
    if silent_for is not None:
        silent = activity.silent_since(stamp(datetime.now(UTC) - silent_for))
        for user in silent:
            say(f"No email for so long: {user}")
        raise SystemExit(bool(silent))
    users = activity.list_activity()
    table = lines_of_table([list(_COLUMNS), *([user[name] or None for name in _COLUMNS.values()] for user in users)])
    for line, refusals in zip(table, [[], *(user["refusals"] for user in users)], strict=True):
        say(line)
        for one in refusals:
            say(f"    refused: {one['status']} {one['call']}, {one['count']} times in 30 days, last {one['last']}")
