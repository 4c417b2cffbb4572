"""`flask backup`: a copy of the database while the service runs. restore.py goes back to it."""

from contextlib import suppress
from pathlib import Path

import click

import database
from commands.common import say, uses_database
from terminal import printable
from web import checkup


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@uses_database()
def backup(file: Path) -> None:
    """Write a copy of the database into the new FILE, while the service runs; says what is in it."""
    try:
        emails = database.backup(file)
        size = file.stat().st_size
    except database.Unusable as error:
        raise click.ClickException(f"No backup was made: {printable(database.reason_of(error))}.") from None
    with suppress(*database.Unavailable):  # somebody writes for long: then the overview does not know of this copy
        checkup.note_backup()
    held = "" if emails is None else f", {emails:,} email{'' if emails == 1 else 's'}"
    say(f"Wrote {file.resolve()}: {size:,} bytes{held}.")
