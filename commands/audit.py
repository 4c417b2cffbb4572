"""`flask audit`: which token did what, and which calls were refused."""

import json
from datetime import UTC, datetime
from typing import Any

import click

import crm
from clock import stamp
from commands.common import TEXT, say, uses_database
from web import tokens


class _Moment(click.ParamType[str]):
    """A date or time as RFC 3339 has it, as `clock.stamp` writes it."""

    name = "time"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            moment = datetime.fromisoformat(value)
            return stamp(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
        except (ValueError, OverflowError):
            self.fail("It must be like 2026-01-31 or 2026-01-31T09:30:00+01:00.", param, ctx)


# What `audit` shows, and how wide.
_CHANGES = {"at": 27, "token": 24, "action": 7, "type": 7, "id": 0}
_REFUSALS = {"at": 27, "token": 24, "status": 6, "times": 6, "address": 21, "method": 7, "route": 0}


@click.command()
@click.option("--since", type=_Moment(), help="A date or time; UTC, if it does not say.")
@click.option("--token", "token_id", type=click.IntRange(1, 2**63 - 1), metavar="ID", help="What this token did.")
@click.option("--type", "kind", type=TEXT, help="email, contact or company.")
@click.option("--record", "record_id", type=TEXT, metavar="ID", help="What was done to this record.")
@click.option("--refused", is_flag=True, help="The calls that were refused, and nothing else.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@uses_database()
def audit(
    since: str | None, token_id: int | None, kind: str | None, record_id: str | None, refused: bool, as_json: bool
) -> None:
    """Show which token did what to which record and when; the newest last.

    "-" for the token stands for a command of this machine, for what was done before tokens were noted down, and for a
    refused call whose token is none of ours.
    """
    wanted = {"tokenId": token_id, "type": kind, "id": record_id}
    wanted = {name: value for name, value in wanted.items() if value is not None}
    if refused and wanted.keys() - {"tokenId"}:
        raise click.UsageError("A call that was refused has touched no record: --type and --record don't go with it.")
    widths, read = (_REFUSALS, tokens.list_refusals) if refused else (_CHANGES, crm.list_changes)
    if not as_json:
        say(_columns({name: name for name in widths}, widths))
    after = 0
    while page := read(after=after, limit=1000):  # a page at a time: a feed may be long
        after = page[-1]["seq"]
        labels = {row["id"]: row["label"] or "" for row in tokens.listed()}
        for row in page:
            if row["at"] >= (since or "") and all(row.get(name) == value for name, value in wanted.items()):
                line = {**row, "token": _whose(row.get("tokenId"), labels)}
                click.echo(json.dumps(line)) if as_json else say(_columns(line, widths))


def _whose(token_id: int | None, labels: dict[int, str]) -> str:
    return "-" if token_id is None else f"token {token_id} {labels.get(token_id, '(deleted)')}".rstrip()


def _columns(line: dict[str, Any], widths: dict[str, int]) -> str:
    return "  ".join(str(line[name]).ljust(width) for name, width in widths.items())
