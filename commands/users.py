"""`flask user`, `flask token`: whose mailboxes are watched, and who may call."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
from flask import current_app

import crm
from commands.common import TEXT, address, lines_of_table, say, uses_database
from terminal import program
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
    if user_id is not None and not 1 <= len(user_id) <= 255:
        raise click.BadParameter("An id has 1 to 255 characters.", param_hint="--id")
    values = {"email": email, "name": name, "timezone": timezone, "orgId": org or current_app.config["ORG_ID"]}
    click.echo(crm.add_user(values if user_id is None else {**values, "id": user_id})["id"])


@user.command("list")
@uses_database()
def list_users() -> None:
    """Show all users."""
    _print_table(["id", "email", "name", "timezone"], _all_users())


def _all_users() -> Iterable[crm.Record]:
    page = crm.list_users(limit=1000)
    yield from page.records
    while page.next:
        page = crm.list_users(page.next, 1000)
        yield from page.records


@user.command("change")
@click.argument("email", type=TEXT)
@click.option("--email", "new_email", type=TEXT, help="The new address.")
@click.option("--name", type=TEXT, help="What the user is called.")
@click.option("--timezone", type=TEXT, help="Such as Europe/Berlin.")
@uses_database()
def change_user(email: str, new_email: str | None, name: str | None, timezone: str | None) -> None:
    """Change the user with the address EMAIL; id and tokens stay."""
    given = {"email": new_email, "name": name, "timezone": timezone}
    changes = {field: value for field, value in given.items() if value is not None}
    if not changes:
        raise click.UsageError("Give --email, --name or --timezone.")
    crm.change_user(_id_of(email), changes)


@user.command("remove")
@click.argument("email", type=TEXT)
@uses_database()
def remove_user(email: str) -> None:
    """Remove the user with the address EMAIL, whose tokens end with that; the emails stay."""
    crm.remove_user(_id_of(email))
    say(f"Removed {email}, whose tokens have ended.")


def _id_of(email: str) -> str:
    for found in crm.lookup_users([email]):
        return str(found["id"])
    raise click.ClickException(f"There is no user with this address; see: {program()} user list")


@user.command("sign-in")
@click.argument("email", type=TEXT)
@uses_database()
def sign_in(email: str) -> None:
    """Print a link by which the user with the address EMAIL opens the pages: once, within 15 minutes."""
    token_id = tokens.admin_token(_id_of(email))
    if token_id is None:
        make = f"{program()} token create {email} --scope admin"
        raise click.ClickException(f"{email} has no admin token; make one: {make}")
    click.echo(sign_in_link(current_app.config, token_id))


def sign_in_link(config: Mapping[str, Any], token_id: int) -> str:
    """A link by which one browser signs in, as if with this token."""
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
    click.echo(tokens.create(_id_of(email), scope, label, days))


@token.command("list")
@uses_database()
def list_tokens() -> None:
    """Show all tokens, without their text: whose, what for, and when one was used last, to the hour."""
    names = ["id", "user", "scope", "label", "createdAt", "lastUsedAt", "expiresAt", "revokedAt"]
    _print_table(names, ({**token, "user": _address(token["userId"])} for token in tokens.listed()))


def _address(user_id: str) -> str:
    try:
        return str(crm.get_user(user_id)["email"])
    except (crm.NotFound, crm.NotOffered):
        return f"{user_id} (no such user)"


def _print_table(names: Sequence[str], records: Iterable[crm.Record]) -> None:
    for line in lines_of_table([names, *([one[name] for name in names] for one in records)]):
        say(line)


@token.command("revoke")
@click.argument("token_id", type=click.IntRange(1, 2**63 - 1), metavar="ID")
@uses_database()
def revoke_token(token_id: int) -> None:
    """End the token with this ID at once."""
    if not tokens.revoke(token_id):
        raise click.ClickException(f"There is no such token, or it has ended before; see: {program()} token list")
    token = next(token for token in tokens.listed() if token["id"] == token_id)
    say(f"Revoked token {token_id} of {_address(token['userId'])}, {token['label'] or 'without a label'}.")
