"""`flask user`, `flask token`: whose mailboxes are watched, and who may call."""

from collections.abc import Mapping
from typing import Any
from zoneinfo import available_timezones

import click
from flask import current_app

import crm
from commands.common import TEXT, address, say, uses_database
from web import sessions, tokens


@click.group()
def user() -> None:
    """The people whose mailboxes are watched."""


@user.command("add")
@click.argument("email", type=TEXT)
@click.option("--name", type=TEXT, help="What the user is called.")
@click.option("--timezone", default="UTC", show_default=True, help="Such as Europe/Berlin.")
@click.option("--id", "user_id", type=TEXT, help="The CRM's own id; made up if there is none.")
@click.option("--org", type=TEXT, help="The id of the organisation; ORG_ID if not given.")
@uses_database(make=True)
def add_user(email: str, name: str | None, timezone: str, user_id: str | None, org: str | None) -> None:
    """Add the user with the address EMAIL; prints the id."""
    zones = available_timezones()
    if zones and timezone not in zones:  # a machine without time zone data knows none
        raise click.BadParameter(f"{timezone} is no time zone, such as Europe/Berlin.", param_hint="--timezone")
    if user_id is not None and not 1 <= len(user_id) <= 255:
        raise click.BadParameter("An id has 1 to 255 characters.", param_hint="--id")
    values = {"email": email, "name": name, "timezone": timezone, "orgId": org or current_app.config["ORG_ID"]}
    click.echo(crm.add_user(values if user_id is None else {**values, "id": user_id})["id"])


@user.command("remove")
@click.argument("email", type=TEXT)
@uses_database()
def remove_user(email: str) -> None:
    """Remove the user with the address EMAIL, whose tokens end with that; the mail stays."""
    for found in crm.lookup_users([email]):
        return crm.remove_user(found["id"])
    raise click.ClickException("There is no user with this address.")


@user.command("sign-in")
@click.argument("email", type=TEXT)
@uses_database()
def sign_in(email: str) -> None:
    """Print a link by which the user with the address EMAIL opens the pages: once, within 15 minutes."""
    found = crm.lookup_users([email])
    token_id = tokens.admin_token(found[0]["id"]) if found else None
    if token_id is None:
        raise click.ClickException(f"{email} has no admin token; make one: token create {email} --scope admin")
    click.echo(sign_in_link(current_app.config, token_id))


def sign_in_link(config: Mapping[str, Any], token_id: int) -> str:
    """A link that signs in whoever opens it first, as if with this token."""
    return f"{address(config)}/sign-in/{sessions.offer_link(token_id)}"


@click.group()
def token() -> None:
    """Who may call, and what."""


@token.command("create")
@click.argument("email", type=TEXT)
@click.option(
    "--scope",
    type=click.Choice(list(tokens.SCOPES)),
    default="sync",
    show_default=True,
    help="sync: what BrightSync needs. admin: all.",
)
@click.option("--expires", "days", type=click.IntRange(1, 36_500), metavar="DAYS", help="Never, if not given.")
@click.option("--label", type=TEXT, help="What the token is for.")
@uses_database(make=True)
def create_token(email: str, scope: str, days: int | None, label: str | None) -> None:
    """Make a token of the user with the address EMAIL; prints it, this once."""
    found = crm.lookup_users([email])
    if not found:
        raise click.ClickException("There is no user with this address; add one first: user add EMAIL")
    click.echo(tokens.create(found[0]["id"], scope, label, days))


@token.command("list")
@uses_database()
def list_tokens() -> None:
    """Show all tokens, without their text."""
    names = ["id", "userId", "scope", "label", "createdAt", "expiresAt", "revokedAt"]
    table = [names, *([str("-" if row[name] is None else row[name]) for name in names] for row in tokens.listed())]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        say("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


@token.command("revoke")
@click.argument("token_id", type=click.IntRange(1, 2**63 - 1), metavar="ID")
@uses_database()
def revoke_token(token_id: int) -> None:
    """End the token with this ID at once."""
    if not tokens.revoke(token_id):
        raise click.ClickException("There is no such token, or it has ended before; see: token list")
