"""All commands: `flask …` in the project's folder, `python3 connector.pyz …` for the single file."""

import sys

import click
from flask.cli import FlaskGroup
from werkzeug.utils import import_string

from commands.audit import audit
from commands.backup import backup
from commands.database import database
from commands.doctor import doctor
from commands.health import health
from commands.imports import companies, contacts, mail
from commands.never_log import never_log
from commands.person import person
from commands.restore import restore
from commands.retention import retention
from commands.serve import serve
from commands.sync import sync
from commands.unmatched import unmatched
from commands.users import token, user
from commands.withheld import withheld
from settings import VERSION
from terminal import program


@click.command()
def version() -> None:
    """Show the version of the connector; `flask --version` shows Flask's."""
    click.echo(f"BrightSync CRM connector {VERSION}")


COMMANDS = [
    version,
    user,
    token,
    audit,
    person,
    withheld,
    never_log,
    retention,
    sync,
    unmatched,
    mail,
    contacts,
    companies,
    backup,
    restore,
    doctor,
    health,
    database,
    serve,
]


def main() -> None:
    """The commands without `flask`; none at all means `serve`."""
    create_app = import_string("app:create_app")  # by its name: app.py takes the commands from here
    group = FlaskGroup(create_app=create_app, add_version_option=False)
    click.version_option(VERSION, message="BrightSync CRM connector %(version)s")(group)
    group.main(sys.argv[1:] or ["serve"], prog_name=program())
