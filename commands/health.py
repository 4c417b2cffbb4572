"""`flask health`: whether the service that runs here can log mail, for a container's HEALTHCHECK."""

from http.client import HTTPException

import click
from flask import current_app
from flask.cli import with_appcontext

from commands.common import ask_ready, reachable_host, say


@click.command()
@with_appcontext
def health() -> None:
    """Ask the service at HOST and PORT whether mail can be logged; ends with 0 if so, else with 1."""
    try:
        answer, text = ask_ready(current_app.config)
    except (OSError, HTTPException):
        where = f"{reachable_host(current_app.config)}, port {current_app.config['PORT']}"
        raise click.ClickException(f"Nothing answers at {where}.") from None
    say(text[:1024].decode(errors="replace").strip())
    if answer.status != 200:
        raise click.exceptions.Exit(1)
