"""`serve`: the service."""

from pathlib import Path
from typing import Any

import click
from flask import current_app
from gunicorn.app.base import Application

import crm
import database
from commands.common import address, uses_database
from commands.users import sign_in_link
from terminal import program
from web import tokens

FIRST_USER = "admin@localhost"


@click.command()
@uses_database(make=True)
def serve() -> None:
    """Serve through gunicorn on HOST:PORT; makes the tables and the first admin token where there are none."""
    app = current_app._get_current_object()  # type: ignore[attr-defined]

    class Server(Application):
        def init(self, parser: object, opts: object, args: object) -> None:
            """Takes nothing from the command line: that is ours."""

        def load_config(self) -> None:
            self.load_config_from_file(str(Path(__file__).parent.with_name("gunicorn.conf.py")))
            # Not before it listens: a token that was shown by a start that failed would be forgotten.
            self.cfg.set("when_ready", lambda _: welcome(app.config))

        def load(self) -> object:
            return app

    database.stop()  # nothing may be open when gunicorn forks
    Server().run()


def welcome(config: dict[str, Any]) -> None:
    """Where there is no token yet, make a user who may do all, and show the token. Leaves no connection open."""
    try:
        secret = _first_token(config)
        caller = tokens.authenticate(secret) if secret else None
        link = sign_in_link(config, caller.token_id) if caller and config["PAGES"] == "on" else None
    finally:
        database.stop()
    if secret:
        browser = f"\nSee it in a browser; this link works once, within 15 minutes:\n\n    {link}\n" if link else ""
        click.echo(
            f"""
This is a new database. Its first user is {FIRST_USER}, with a token that may do all.
It is shown only now:

    {secret}
{browser}
Try it, as soon as the server runs:

    curl -H "Authorization: Bearer {secret}" {address(config)}/api/v1/users/me
""",
            err=True,  # standard output is for lines of JSON
        )


def _first_token(config: dict[str, Any]) -> str | None:
    with database.writing():
        if tokens.listed():
            return None
        values = {"email": FIRST_USER, "name": "Administrator", "timezone": "UTC", "orgId": config["ORG_ID"]}
        try:
            if not database.last_id("token"):  # else its only user was erased: not everybody who starts it may do all
                admin = next(iter(crm.lookup_users([FIRST_USER])), None) or crm.add_user(values)
                return tokens.create(admin["id"], "admin", "made at the first start")
        except crm.NotOffered:  # users are made elsewhere
            pass
    click.echo(f"There is no token. Make one of a user: {program()} token create EMAIL --scope admin", err=True)
    return None
