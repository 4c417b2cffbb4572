"""`flask doctor`: what is not well with an installation, and what to do about it."""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from http.client import HTTPException
from json import loads
from pathlib import Path
from secrets import token_hex
from typing import Any

import click
from flask import current_app
from flask.cli import with_appcontext

import database
from commands.common import ask_ready, reachable_host, say
from commands.consistency import problems
from terminal import program
from web import checkup
from web.checkup import FINE, LEVELS, PROBLEM, WARNING, Finding, attempt

_LOCK_TIMEOUT = 1  # seconds; a service that serves gives up the write lock sooner


@click.command()
@with_appcontext
def doctor() -> None:
    """Look this installation over, and say what to do; ends with 1 where there is a problem.

    It can be run while the service runs, and when it does not start. Nothing is changed.
    """
    worst = FINE
    for finding in examine(current_app.config):
        say(f"{finding.level:8} {finding.text}")  # file names, ids, what a stranger's port says
        worst = max(worst, finding.level, key=LEVELS.index)
    if worst == PROBLEM:
        raise click.exceptions.Exit(1)


def examine(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Look at the machine, the files, the database and the tokens; nothing is changed, nothing is left behind."""
    url = config["DATABASE_URL"]
    try:
        if url.startswith("sqlite:"):
            path = database.locate(url)
            yield from attempt("The service", _service(path, config))
            yield from attempt("The folder", checkup.folder(path))
            if not path.exists():
                advice = f"The first start makes one; or: {program()} restore FILE"
                yield Finding(PROBLEM, f"There is no database {path}. {advice}")
                return
        database.attach(url)
        if not database.db.table_exists("schema_migration"):
            yield Finding(PROBLEM, "The database has none of the connector's tables. The first start makes them.")
            return
    except database.Unusable as error:
        yield Finding(PROBLEM, f"The database can't be used. {database.reason_of(error)}.")
        return
    finally:
        database.stop()
    try:
        if not url.startswith("sqlite:"):
            yield from attempt("Room", checkup.size())
        yield from attempt("Writing", checkup.writing(_LOCK_TIMEOUT))
        yield from attempt("The clock", checkup.clock())
        yield from _synchronization()
        yield from attempt("The tokens", checkup.valid_tokens())
        yield from attempt("The database", _database())  # at last: of a million emails it takes long
    finally:
        database.stop()


def _service(path: Path, config: Mapping[str, Any]) -> Iterator[Finding]:
    where = f"{reachable_host(config)}, port {config['PORT']}"
    asked = token_hex(16)
    try:
        answer, text = ask_ready(config, asked)
        health = dict(loads(text))
    except (OSError, HTTPException, ValueError):
        if path.exists() and database.is_in_use(path):
            yield Finding(WARNING, f"The database is in use, but nothing answers at {where}. By other settings?")
        else:
            yield Finding(FINE, "The service does not run")
        return
    good = answer.status == 200 and health == {"status": "ready"}
    bad = answer.status == 503 and health.keys() == {"code", "status", "message", "errors"}
    if answer.getheader("X-Request-ID") != asked or not (good or bad):
        yield Finding(PROBLEM, f"Another program answers at {where}. Change PORT, or end that program.")
    elif bad:
        yield Finding(PROBLEM, f"The service is not ready: 503 {str(health['message'])[:200]}")
    elif not path.exists() or not database.is_in_use(path):  # it has its own open since it answered that it is ready
        yield Finding(PROBLEM, f"The service at {where} serves another database. Which one does DATABASE_URL name?")
    else:
        yield Finding(FINE, f"The service answers at {where}")


def _synchronization() -> Iterator[Finding]:
    """Whether the clock is kept right, where there is a systemd to say it: it may take seconds."""
    asked = ("timedatectl", "show", "--property=NTPSynchronized", "--value")
    with suppress(OSError, subprocess.SubprocessError):
        if subprocess.run(asked, capture_output=True, text=True, timeout=10, check=True).stdout.strip() == "no":
            yield Finding(WARNING, "The clock is not kept right by NTP: timedatectl set-ntp true")


def _database() -> Iterator[Finding]:
    here = {name for (name,) in database.rows("SELECT name FROM schema_migration")}
    if {script.stem for script in database.MIGRATIONS.glob("[0-9]*.py")} - here:
        yield Finding(WARNING, "The database is an older version's. The next start brings it up to date.")
        return
    found = problems()
    for sentence in found:
        yield Finding(PROBLEM, sentence)
    if found:
        back = f"Go back to a backup: {program()} restore FILE"
        yield Finding(PROBLEM, f"{back}. Keep the file as it is until you have.")
    else:
        yield Finding(FINE, "All records agree with one another")
