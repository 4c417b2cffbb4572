"""`flask unmatched`: addresses that BrightSync looked up in vain."""

import click

from commands.common import say, uses_database
from web import unmatched as verbs


@click.group()
def unmatched() -> None:
    """Addresses that BrightSync looked up, and that nobody knows."""


@unmatched.command("list")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="The most addresses.")
@uses_database()
def list_unmatched(limit: int) -> None:
    """List them, those that were asked for most first."""
    say(f"{'count':>6}  {'users':>5}  {'last asked':27}  {'free mail':9}  address")
    for one in verbs.list_unmatched(limit):
        free = "yes" if one["freeMail"] else "no"
        say(f"{one['count']:>6}  {one['users']:>5}  {one['lastAsked']:27}  {free:9}  {one['address']}")
