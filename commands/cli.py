"""All commands: `flask …` in the project's folder, `python3 connector.pyz …` for the single file."""

import sys

from flask.cli import FlaskGroup
from werkzeug.utils import import_string

from commands.audit import audit
from commands.backup import backup
from commands.database_copy import database
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
from terminal import program

COMMANDS = [
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
    FlaskGroup(create_app=create_app, add_version_option=False).main(sys.argv[1:] or ["serve"], prog_name=program())
