"""What the commands have in common: the database that they work on, their errors, and texts from a shell."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from functools import wraps
from http.client import HTTPConnection, HTTPResponse
from typing import Any

import click
from flask import current_app
from flask.cli import with_appcontext

import crm
import database
import settings
from terminal import printable

_LONGEST_ANSWER = 64 * 1024  # bytes; at the port another program may listen


class _Text(click.ParamType[str]):
    """A text that can be stored: what comes from a shell may be no UTF-8."""

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not value.isprintable():
            self.fail("It holds characters that can't be printed, or is not UTF-8.", param, ctx)
        return value


TEXT = _Text()


class Refused(Exception):
    """What was not done, and why; the message is for people, and quotes nothing of what is stored."""


def start_database(config: Mapping[str, Any], make: bool) -> None:
    """Open the database of DATABASE_URL. With `make`, a new one is made where there is none: only where a server or a
    command stores something, as an empty database would hide a mistyped DATABASE_URL. Raises settings.Misconfigured."""
    try:
        database.start(config["DATABASE_URL"], config["THREADS"], make)
    except database.Unusable as error:
        reason = database.reason_of(error)
        raise settings.Misconfigured(f"The configuration can't be used. DATABASE_URL: {reason}.") from None


def uses_database(make: bool = False) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command that works on the database; what the verbs and the database raise becomes a sentence."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @with_appcontext
        @wraps(command)
        def run(*args: Any, **kwargs: Any) -> None:
            if database.db.obj is None:  # else the application has opened it
                start_database(current_app.config, make)
            try:
                command(*args, **kwargs)
            except crm.Invalid as error:
                raise click.ClickException(" ".join(error.errors.values())) from None
            except crm.Conflict as error:
                raise click.ClickException(str(error)) from None
            except crm.NotOffered:
                raise click.ClickException("This CRM does not implement what the command needs.") from None
            except database.Unavailable as error:
                problem = database.problem_of(error)
                if problem is None:
                    raise
                advice = "Run this again when it can serve."
                raise click.ClickException(f"The database can't serve now: {problem.reason}. {advice}") from None

        return run

    return decorate


def say(text: str, keep: str = "") -> None:
    """Print a text on standard output, without what could move the cursor of a terminal."""
    click.echo(printable(text, keep))


def lines_of_table(table: Iterable[Sequence[Any]]) -> list[str]:
    """The lines of a table, whose first row are the names of its columns; "-" for what is not known."""
    rows = [["-" if cell is None else str(cell) for cell in row] for row in table]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def reachable_host(config: Mapping[str, Any]) -> str:
    """The address at which a program on this machine finds the service."""
    host: str = config["HOST"]
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def ask_ready(config: Mapping[str, Any], request_id: str = "-") -> tuple[HTTPResponse, bytes]:
    """What the service of this machine says of its health, with what it says. Raises OSError and HTTPException."""
    with closing(HTTPConnection(reachable_host(config), config["PORT"], timeout=10)) as connection:
        connection.request("GET", "/health/ready", headers={"X-Request-ID": request_id})
        answer = connection.getresponse()
        return answer, answer.read(_LONGEST_ANSWER)


def address(config: Mapping[str, Any]) -> str:
    """Where the service listens, as a browser on this machine calls it."""
    host = f"[{config['HOST']}]" if ":" in config["HOST"] else config["HOST"]  # IPv6
    return f"http://{host}:{config['PORT']}"
