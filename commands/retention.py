"""`flask retention`: how long emails are kept."""

import json

import click

import crm
from commands.common import say, uses_database

_OFF = "All emails are kept."


@click.group()
def retention() -> None:
    """How long emails are kept: set it, then let `run` remove what is past its time, each night by a timer."""


@retention.command("set")
@click.option("--after", required=True, help="A number and d, m or y: 90d, 18m, 3y.")
@click.option("--keep-linked", is_flag=True, help="Keep what has a relatedTo.")
@uses_database(make=True)
def set_retention(after: str, keep_linked: bool) -> None:
    """Let emails go after a time, from receivedAt on, else from createdAt. Nothing goes before `run`."""
    crm.set_retention(after, keep_linked)
    _show()


@retention.command("off")
@uses_database()
def turn_off() -> None:
    """Keep all emails."""
    crm.set_retention(None)
    _show()


@retention.command("show")
@uses_database()
def show_retention() -> None:
    """Say how long emails are kept."""
    _show()


def _show() -> None:
    after, keep_linked = crm.get_retention() or (None, False)
    kept = ", but for those with a relatedTo" if keep_linked else ""
    say(f"`retention run` removes emails after {after}{kept}." if after else _OFF)


@retention.command("run")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@uses_database()
def run_retention(dry_run: bool) -> None:
    """Remove the emails that are past their time; prints a receipt with their ids.

    They go as by DELETE /emails/{id}: the change feed tells of each, and another copy makes a record without content.
    Others write meanwhile. Where all emails are kept, none goes.
    """
    click.echo(json.dumps(crm.run_retention(dry_run), indent=2))
