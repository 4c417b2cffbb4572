"""`flask database copy`: from SQLite to PostgreSQL, or back. database_copy.py does it."""

import sys
from collections.abc import Iterable, Iterator
from typing import Any

import click
from flask import current_app
from flask.cli import with_appcontext
from marshmallow import ValidationError

import settings
from commands.common import Refused
from database import NO_POSTGRESQL
from terminal import printable


@click.group()
def database() -> None:
    """The database as a whole."""


def _database_url(_: click.Context, __: click.Parameter, value: str) -> str:
    try:
        settings.usable_database(value)
    except ValidationError as error:
        raise click.BadParameter(" ".join(map(str, error.messages))) from None
    return value


@database.command("copy")
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
    try:
        from commands.database_copy import copy  # not above: psycopg may not be here
    except ImportError:
        raise click.ClickException(f"{NO_POSTGRESQL}.") from None
    try:
        held = copy(current_app.config["DATABASE_URL"], target, _with_bar)
    except Refused as error:
        raise click.ClickException(f"Nothing was copied. {printable(str(error))}") from None
    for line in held:
        last_id = "" if line.last_id is None else f"  last id {line.last_id}"
        click.echo(f"{line.table:16} {line.rows:>11,}  {line.checksum[:16]}{last_id}")
    click.echo("Both databases hold the same. To serve the other one, set DATABASE_URL to it.")


def _with_bar(what: str, total: int, things: Iterable[Any]) -> Iterator[Any]:
    """The things, with a bar on standard error; where that is no terminal, none."""
    hidden = not sys.stderr.isatty()
    with click.progressbar(things, total, what, hidden, file=sys.stderr, update_min_steps=500) as bar:
        yield from bar
