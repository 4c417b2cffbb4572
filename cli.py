"""The commands: `flask …` in the project's folder, `python3 connector.pyz …` for the single file."""

import json
import sys
from pathlib import Path
from zoneinfo import available_timezones

import click
from flask import current_app
from flask.cli import FlaskGroup, with_appcontext
from gunicorn.app.base import Application

import database
import imports
import models
import tokens
from clock import now

FIRST_USER = "admin@localhost"


class _Text(click.ParamType[str]):
    """A text that can be stored: what comes from a shell may be no UTF-8."""

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not value.isprintable():
            self.fail("It holds characters that can't be printed, or is not UTF-8.", param, ctx)
        return value


TEXT = _Text()


@click.group()
def user() -> None:
    """The people whose mailboxes are watched."""


@user.command("add")
@click.argument("email", type=TEXT)
@click.option("--name", type=TEXT, help="What the user is called.")
@click.option("--timezone", default="UTC", show_default=True, help="Such as Europe/Berlin.")
@click.option("--id", "user_id", type=TEXT, help="The CRM's own id; made up if there is none.")
@click.option("--org", type=TEXT, help="The id of the organisation; ORG_ID if not given.")
@with_appcontext
def add_user(email: str, name: str | None, timezone: str, user_id: str | None, org: str | None) -> None:
    """Add the user with the address EMAIL; prints the id."""
    zones = available_timezones()
    if zones and timezone not in zones:  # a machine without time zone data knows none
        raise click.BadParameter(f"{timezone} is no time zone, such as Europe/Berlin.", param_hint="--timezone")
    if user_id is not None and not 1 <= len(user_id) <= 255:
        raise click.BadParameter("An id has 1 to 255 characters.", param_hint="--id")
    values = {"email": email, "name": name, "timezone": timezone, "orgId": org or current_app.config["ORG_ID"]}
    try:
        click.echo(models.add_user(values if user_id is None else {**values, "id": user_id})["id"])
    except (models.Conflict, models.Invalid) as error:
        raise click.ClickException(_reason(error)) from None


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
@with_appcontext
def create_token(email: str, scope: str, days: int | None, label: str | None) -> None:
    """Make a token of the user with the address EMAIL; prints it, this once."""
    found = models.lookup_users([email])
    if not found:
        raise click.ClickException("There is no user with this address; add one first: user add EMAIL")
    click.echo(tokens.create(found[0]["id"], scope, label, days))


@token.command("list")
@with_appcontext
def list_tokens() -> None:
    """Show all tokens, without their text."""
    names = ["id", "userId", "scope", "label", "createdAt", "expiresAt", "revokedAt"]
    table = [names, *([str(row[name] if row[name] is not None else "-") for name in names] for row in tokens.listed())]
    widths = [max(len(row[n]) for row in table) for n in range(len(names))]
    for row in table:
        click.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


@token.command("revoke")
@click.argument("token_id", type=click.IntRange(1, 2**63 - 1), metavar="ID")
@with_appcontext
def revoke_token(token_id: int) -> None:
    """End the token with this ID at once."""
    if not tokens.revoke(token_id):
        raise click.ClickException("There is no such token, or it has ended before; see: token list")


@click.group()
def person() -> None:
    """What is held about a person: disclose it, erase it."""


@person.command("export")
@click.argument("address", type=TEXT)
@with_appcontext
def export_person(address: str) -> None:
    """Print all that is held about ADDRESS, as one JSON object."""
    held: dict[str, list[models.Record]] = {"users": [], "contacts": [], "emails": []}
    try:
        for kind, record in models.export_person(address):
            held[f"{kind}s"].append(record)
    except models.Invalid as error:
        raise click.ClickException(_reason(error)) from None
    click.echo(json.dumps({"address": address, "exportedAt": now(), **held}, ensure_ascii=False, indent=2))


@person.command("erase")
@click.argument("address", type=TEXT)
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@with_appcontext
def erase_person(address: str, dry_run: bool) -> None:
    """Remove all that is held about ADDRESS; prints a receipt.

    That is: the contacts that have it, the emails in which it is a sender or recipient or is mentioned, its user with
    his tokens. Nothing of it stays in the tables, the search index or the file. Copies that you made of the file are
    not touched.
    """
    try:
        gone = models.erase_person(address, dry_run=True)
        if not dry_run:
            tokens.delete(gone["users"])  # first: what was deleted is overwritten at the end of the next
            gone = models.erase_person(address)
    except models.Invalid as error:
        raise click.ClickException(_reason(error)) from None
    receipt = {"address": address, "at": now(), "dryRun": dry_run, **gone}
    click.echo(json.dumps(receipt, ensure_ascii=False, indent=2))


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@with_appcontext
def backup(file: Path) -> None:
    """Write a copy of the database into the new FILE, while the service runs."""
    try:
        database.backup(file)
    except database.Unusable as error:
        raise click.ClickException(f"No backup was made: {error}.") from None


@click.command()
def serve() -> None:
    """Serve through gunicorn on HOST:PORT; makes the tables and the first admin token where there are none."""
    from app import create_app  # not above: app.py takes the commands from here

    app = create_app()
    _welcome(app.config)
    database.stop()  # nothing may be open when gunicorn forks

    class Server(Application):
        def init(self, parser: object, opts: object, args: object) -> None:
            """Takes nothing from the command line: that is ours."""

        def load_config(self) -> None:
            self.load_config_from_file(str(Path(__file__).with_name("gunicorn.conf.py")))

        def load(self) -> object:
            return app

    Server().run()


def _welcome(config: dict[str, object]) -> None:
    """Where there is no token yet, make a user who may do all, and show his token."""
    with database.writing():
        if tokens.listed():
            return
        values = {"email": FIRST_USER, "name": "Administrator", "timezone": "UTC", "orgId": config["ORG_ID"]}
        try:
            admin = next(iter(models.lookup_users([FIRST_USER])), None) or models.add_user(values)
        except models.NotOffered:  # users are made elsewhere
            click.echo("There is no token yet. Make one of a user: token create EMAIL --scope admin")
            return
        secret = tokens.create(admin["id"], "admin", "made at the first start")
    host = f"[{config['HOST']}]" if ":" in str(config["HOST"]) else config["HOST"]  # IPv6
    click.echo(
        f"""
This is a new database. Its first user is {FIRST_USER}, with a token that may do all.
It is shown only now:

    {secret}

Try it, as soon as the server runs:

    curl -H "Authorization: Bearer {secret}" http://{host}:{config["PORT"]}/api/v1/users/me
"""
    )


def _reason(error: models.Conflict | models.Invalid) -> str:
    return " ".join(error.errors.values()) if isinstance(error, models.Invalid) else str(error)


COMMANDS = [user, token, person, backup, *imports.COMMANDS, serve]


def main() -> None:
    """The commands without `flask`; none at all means `serve`."""
    from app import create_app

    group = FlaskGroup(create_app=create_app, add_version_option=False)
    group.add_command(serve)
    group.main(args=sys.argv[1:] or ["serve"], prog_name="connector")


if __name__ == "__main__":
    main()
