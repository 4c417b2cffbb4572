"""The commands: `flask …` in the project's folder, `python3 connector.pyz …` for the single file."""

import json
import re
import sys
from datetime import UTC, datetime
from itertools import chain, dropwhile
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

import click
from flask import current_app
from flask.cli import FlaskGroup, with_appcontext
from gunicorn.app.base import Application
from marshmallow import ValidationError

import crm
import database
import settings
from clock import now, stamp
from commands import imports, upkeep
from commands.withheld import withheld
from terminal import LINES, printable
from web import tokens

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
        click.echo(crm.add_user(values if user_id is None else {**values, "id": user_id})["id"])
    except (crm.Conflict, crm.Invalid) as error:
        raise click.ClickException(_reason(error)) from None


@user.command("remove")
@click.argument("email", type=TEXT)
@with_appcontext
def remove_user(email: str) -> None:
    """Remove the user with the address EMAIL, whose tokens end with that; the mail stays."""
    for found in crm.lookup_users([email]):
        return crm.remove_user(found["id"])
    raise click.ClickException("There is no user with this address.")


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
    found = crm.lookup_users([email])
    if not found:
        raise click.ClickException("There is no user with this address; add one first: user add EMAIL")
    click.echo(tokens.create(found[0]["id"], scope, label, days))


@token.command("list")
@with_appcontext
def list_tokens() -> None:
    """Show all tokens, without their text."""
    names = ["id", "userId", "scope", "label", "createdAt", "expiresAt", "revokedAt"]
    found = ([printable(str("-" if row[name] is None else row[name])) for name in names] for row in tokens.listed())
    table = [names, *found]
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
@with_appcontext
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
        click.echo("  ".join(name.ljust(width) for name, width in widths.items()))
    try:
        after = 0
        while page := read(after=after, limit=1000):  # a page at a time: a feed may be long
            after = page[-1]["seq"]
            labels = {row["id"]: row["label"] or "" for row in tokens.listed()}
            for row in page:
                if row["at"] >= (since or "") and all(row.get(name) == value for name, value in wanted.items()):
                    line = {**row, "token": _whose(row.get("tokenId"), labels)}
                    click.echo(json.dumps(line) if as_json else _columns(line, widths))
    except crm.NotOffered:
        raise click.ClickException("This CRM tells of no changes.") from None


def _whose(token_id: int | None, labels: dict[int, str]) -> str:
    return "-" if token_id is None else f"token {token_id} {labels.get(token_id, '(deleted)')}".rstrip()


def _columns(line: dict[str, Any], widths: dict[str, int]) -> str:
    # An id is any text, also one that would move the cursor of a terminal.
    texts = {name: printable(str(line[name])) for name in widths}
    return "  ".join(texts[name].ljust(width) for name, width in widths.items())


@click.group()
def person() -> None:
    """What is held about a person: disclose it, erase it."""


@person.command("export")
@click.argument("address", type=TEXT)
@with_appcontext
def export_person(address: str) -> None:
    """Print all that is held about ADDRESS, as one JSON object."""
    written = {"users": 0, "contacts": 0, "companies": 0, "emails": 0}
    under_way = None
    try:
        held = chain(crm.export_person(address), tokens.find_mentions(crm.mentions(address)))
        click.echo(f'{{\n  "address": {_json(address)},\n  "exportedAt": {_json(now())}', nl=False)
        for kind, record in held:  # written as they are read: all together may be larger than the memory
            name = _PLURALS.get(kind, f"{kind}s")
            if name != under_way:
                click.echo(f'{_END if under_way else ""},\n  "{name}": [', nl=False)
                under_way, written[name] = name, 0
            click.echo(f"{',' if written[name] else ''}\n    {_json(record, 2)}", nl=False)
            written[name] += 1
    except crm.Invalid as error:
        raise click.ClickException(_reason(error)) from None
    nothing = "".join(f',\n  "{name}": []' for name, count in written.items() if not count)
    click.echo(f"{_END if under_way else ''}{nothing}\n}}")


_END = "\n  ]"
_PLURALS = {"company": "companies"}
# What would move the cursor of a terminal, or turn the direction of its text.
_UNPRINTABLE = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")


def _json(value: object, depth: int = 0) -> str:
    text = json.dumps(value, ensure_ascii=False, indent=2)
    text = _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    return text.replace("\n", "\n" + "  " * depth)  # of a text in it, every line break is escaped


@person.command("erase")
@click.argument("address", type=TEXT)
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@with_appcontext
def erase_person(address: str, dry_run: bool) -> None:
    """Remove all that is held about ADDRESS; prints a receipt.

    That is: the contacts and users that have or mention it, with the users' tokens; the emails in which it is a sender
    or recipient or is mentioned, in a text or in a file that is text; the name or domain of a company, and the label of
    a token, that mentions it. Nothing of it stays in the tables, the search index or the file; SECURITY.md says what
    can't be found. Copies that you made of the file are not touched.
    """
    try:
        sought = crm.mentions(address)
        own = tokens.erase_mentions(sought, dry_run)
        gone = {**crm.erase_person(address, dry_run), **own}
        if not dry_run:
            tokens.delete(gone["users"])
    except crm.Invalid as error:
        raise click.ClickException(_reason(error)) from None
    receipt = {"address": address, "at": now(), "dryRun": dry_run, **gone}
    click.echo(_json(receipt))


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@with_appcontext
def backup(file: Path) -> None:
    """Write a copy of the database into the new FILE, while the service runs; says what is in it."""
    try:
        emails = database.backup(file)
        size = file.stat().st_size
    except database.Unusable as error:
        raise click.ClickException(f"No backup was made: {printable(database.reason_of(error))}.") from None
    held = "" if emails is None else f", {emails:,} emails"
    click.echo(f"Wrote {printable(str(file.resolve()))}: {size:,} bytes{held}.")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--despite-problems", is_flag=True, help="Take a FILE whose tables do not agree with one another.")
@with_appcontext
def restore(file: Path, despite_problems: bool) -> None:
    """Go back to FILE, a copy that `backup` made. The service may run, unless the database is damaged.

    The copy is brought up to date and checked first, and the old database is kept. While it is being replaced, no mail
    is taken: BrightSync sends it again. Stop the service where the database is of another version than this program.
    """
    if not current_app.config["DATABASE_URL"].startswith("sqlite:"):
        raise click.ClickException("Go back to a dump of a PostgreSQL database with its own pg_restore.")
    path = database.locate(current_app.config["DATABASE_URL"])
    try:
        kept = upkeep.restore(path, file, despite_problems)
    except upkeep.Refused as error:
        raise click.ClickException(f"Nothing was replaced. {printable(str(error), keep=LINES)}") from None
    except OSError as error:
        raise click.ClickException(f"Nothing was replaced. {error.strerror}.") from None
    click.echo(printable(f"{path} is now a copy of {file}."))
    if kept:
        click.echo(printable(f"The old one is kept: {kept}\nTo go back to it: flask restore {kept}", keep=LINES))
    click.echo(
        """
What came after the copy was made is undone:
- a token that was revoked since is valid again; see: flask token list
- a person who was erased since is here again; erase them once more: flask person erase ADDRESS
- mail that was logged since is missing
- a program that reads /changes has to begin again at 0"""
    )


@click.command()
@click.option("--quick", is_flag=True, help="Do not compare all records with one another.")
@with_appcontext
def doctor(quick: bool) -> None:
    """Look this installation over, and say what to do; ends with 1 where there is a problem.

    It can be run while the service runs, and when it does not start. Nothing is changed.
    """
    worst = upkeep.FINE
    for finding in upkeep.examine(current_app.config, quick):
        click.echo(f"{finding.level:8} {printable(finding.text)}")  # file names, ids, what a stranger's port says
        worst = max(worst, finding.level, key=upkeep.LEVELS.index)
    if worst == upkeep.PROBLEM:
        raise click.exceptions.Exit(1)


@click.group("database")
def database_group() -> None:
    """The database as a whole."""


def _database_url(_: click.Context, __: click.Parameter, value: str) -> str:
    try:
        settings.usable_database(value)
    except ValidationError as error:
        raise click.BadParameter(" ".join(map(str, error.messages))) from None
    return value


@database_group.command("copy")
@click.option("--to", "target", required=True, metavar="URL", callback=_database_url, help="Like DATABASE_URL.")
@with_appcontext
def copy_database(target: str) -> None:
    """Copy all there is into another, empty database: from SQLite to PostgreSQL, or back.

    Stop the service first, and start it again on the other database: the copy keeps others from writing for as long
    as it takes, but what a service that still runs receives after that is missing in the copy. Ids, tokens and the
    change feed stay as they are, and the database that is copied is only read. At the end both are read and compared,
    row by row; where something differs, or the copy is interrupted, the other one is left empty: run it again. Where
    it holds a copy already, the two are compared.
    """
    from rich.console import Console  # not above: the server needs none of these
    from rich.progress import Progress

    from commands import database_copy

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        try:
            held = database_copy.copy(
                current_app.config["DATABASE_URL"],
                target,
                lambda what, total, things: progress.track(things, total, description=what),
            )
        except database_copy.Refused as error:
            raise click.ClickException(f"Nothing was copied. {printable(str(error))}") from None
    for line in held:
        last_id = "" if line.last_id is None else f"  last id {line.last_id}"
        click.echo(f"{line.table:16} {line.rows:>11,}  {line.checksum[:16]}{last_id}")
    click.echo("Both databases hold the same. To serve the other one, set DATABASE_URL to it.")


@click.command()
def serve() -> None:
    """Serve through gunicorn on HOST:PORT; makes the tables and the first admin token where there are none."""
    from app import create_app  # not above: app.py takes the commands from here

    app = create_app()
    settings.check_address(app.config)  # first: a token that was shown by a start that failed would be forgotten
    _welcome(app.config)
    database.stop()  # nothing may be open when gunicorn forks

    class Server(Application):
        def init(self, parser: object, opts: object, args: object) -> None:
            """Takes nothing from the command line: that is ours."""

        def load_config(self) -> None:
            self.load_config_from_file(str(Path(__file__).parent.with_name("gunicorn.conf.py")))

        def load(self) -> object:
            return app

    Server().run()


def _welcome(config: dict[str, object]) -> None:
    """Where there is no token yet, make a user who may do all, and show the token."""
    with database.writing():
        if tokens.listed():
            return
        if database.had_rows("token"):  # as after its only user was erased: not everybody who starts it may do all
            click.echo("There is no token left. Make one of a user: token create EMAIL --scope admin", err=True)
            return
        values = {"email": FIRST_USER, "name": "Administrator", "timezone": "UTC", "orgId": config["ORG_ID"]}
        try:
            admin = next(iter(crm.lookup_users([FIRST_USER])), None) or crm.add_user(values)
        except crm.NotOffered:  # users are made elsewhere
            click.echo("There is no token yet. Make one of a user: token create EMAIL --scope admin", err=True)
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
""",
        err=True,  # standard output is for lines of JSON
    )


def _reason(error: crm.Conflict | crm.Invalid) -> str:
    return " ".join(error.errors.values()) if isinstance(error, crm.Invalid) else str(error)


COMMANDS = [user, token, audit, person, withheld, backup, restore, doctor, database_group, *imports.COMMANDS, serve]


# All others work on a database that is there: an empty one in its place would hide a mistyped DATABASE_URL.
_MAKERS = [
    ("run",),
    ("serve",),
    ("user", "add"),
    ("token", "create"),
    ("mail", "import"),
    ("contacts", "import"),
    ("companies", "import"),
]
_FLASKS_OWN = {"run", "routes", "shell"}


def needs_database() -> bool:
    """False for help, for what is no command, and for the commands for a database on which nothing can start."""
    words = _command()
    if words is None:
        return True
    if "--help" in words or words[:1] in [[], ["restore"], ["doctor"], ["database"]]:
        return False
    command = next((command for command in COMMANDS if command.name == words[0]), None)
    for word in words[1:]:
        command = command.commands.get(word) if isinstance(command, click.Group) else command
    return words[0] in _FLASKS_OWN or not (command is None or isinstance(command, click.Group))


def may_make_database() -> bool:
    """Whether the command that is run makes a new database where there is none; a server does."""
    words = _command()
    return words is None or any(tuple(words[: len(maker)]) == maker for maker in _MAKERS)


def _command() -> list[str] | None:
    """The command line from the command's name on, empty without one; None where no command is run."""
    if click.get_current_context(silent=True) is None:
        return None
    names = {command.name for command in COMMANDS} | _FLASKS_OWN
    return list(dropwhile(lambda word: word not in names, sys.argv[1:]))


def main() -> None:
    """The commands without `flask`; none at all means `serve`."""
    from app import create_app

    if not sys.argv[1:]:
        sys.argv.append("serve")  # where `needs_database` looks for it, too
    group = FlaskGroup(create_app=create_app, add_version_option=False)
    group.add_command(serve)
    group.main(prog_name="connector")


if __name__ == "__main__":
    main()
