"""`flask health`: whether the service that runs here can log mail, for a container's HEALTHCHECK."""

from contextlib import closing
from http.client import HTTPConnection, HTTPException

import click
from flask import current_app
from flask.cli import with_appcontext

from commands.common import reachable_host, say


@click.command()
@with_appcontext
def health() -> None:
    """Ask the service at HOST and PORT whether mail can be logged; ends with 0 if so, else with 1."""
    host, port = reachable_host(current_app.config), current_app.config["PORT"]
    try:
        with closing(HTTPConnection(host, port, timeout=10)) as connection:
            connection.request("GET", "/health/ready")
            answer = connection.getresponse()
            text = answer.read(1024).decode(errors="replace").strip()
    except (OSError, HTTPException):
        raise click.ClickException(f"Nothing answers at {host}, port {port}.") from None
    say(text)
    if answer.status != 200:
        raise click.exceptions.Exit(1)
