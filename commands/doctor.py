"""`flask doctor`: what is not well with an installation, and what to do about it."""

import sqlite3
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from glob import escape
from http.client import HTTPConnection, HTTPException
from json import loads
from pathlib import Path
from secrets import token_hex
from shlex import quote
from shutil import disk_usage
from typing import Any, NamedTuple

import click
from flask import current_app
from flask.cli import with_appcontext

import crm
import database
from clock import now, stamp
from commands import restore
from commands.common import reachable_host, say
from commands.consistency import problems
from database.copies import UNFINISHED
from settings import MIB
from terminal import program
from web import tokens

FINE, WARNING, PROBLEM = LEVELS = ["ok", "warning", "PROBLEM"]  # words: not every terminal has signs

_SOON = timedelta(days=14)
_LOCK_TIMEOUT = 1  # seconds; a service that serves gives up the write lock sooner
_LITTLE = 200 * MIB
# Where several programs can't share a write-ahead log or a lock (https://sqlite.org/wal.html), as findmnt names it.
_SHARED = ("nfs", "cifs", "smb", "9p", "afs", "ceph", "vboxsf", "fuse.")
_FLEETING = {"tmpfs", "ramfs", "overlay"}  # overlay: the container's own layer
_LONGEST_ANSWER = 64 * 1024  # bytes of an answer of the program that listens at the port; ours are shorter


class Finding(NamedTuple):
    """What was looked at, how it is, and what to do where it is not well."""

    level: str
    text: str


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
            yield from _attempt("The service", _service(path, config))
            yield from _attempt("The folder", _folder(path))
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
        yield from _attempt("Writing", _writing())
        yield from _attempt("The clock", _clock())
        yield from _attempt("The tokens", _tokens())
        yield from _attempt("The database", _database())  # at last: of a million emails it takes long
    finally:
        database.stop()


def _attempt(what: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """The findings, up to where one can't be had."""
    try:
        yield from findings
    except (*database.Unusable, sqlite3.Error) as error:
        yield Finding(PROBLEM, f"{what} can't be looked at. {database.reason_of(error)}.")


def _folder(path: Path) -> Iterator[Finding]:
    """Where it is, whose the files are, who may read them, which do not belong there, and how much room there is."""
    folder = path.parent
    if not folder.is_dir():
        yield Finding(PROBLEM, f"There is no folder {folder}. DATABASE_URL names it; the first start makes it.")
        return
    kind = _answer_of("findmnt", "--noheadings", "--output=FSTYPE", f"--target={folder}")
    if kind.startswith(_SHARED):
        yield Finding(PROBLEM, f"The folder is on {kind}, where SQLite loses mail. Move it to a disk of this machine.")
    elif kind in _FLEETING:
        advice = "Put it on a disk, or a container's volume."
        yield Finding(WARNING, f"The folder is on {kind}, which does not last. {advice}")
    if folder.stat().st_mode & 0o077:
        yield Finding(WARNING, f"Others may look into the folder. Unless that is meant: chmod 700 {quote(str(folder))}")
    for part in [part for part in folder.glob(f"{escape(path.name)}*") if part.is_file()]:
        status, quoted = part.stat(), quote(str(part))
        if status.st_mode & 0o077:
            yield Finding(PROBLEM, f"Others may read {part.name}, which holds people's emails: chmod 600 {quoted}")
        if path.exists() and status.st_uid != path.stat().st_uid:
            yield Finding(
                PROBLEM,
                f"{part.name} is another user's than the database: chown --reference {quote(str(path))} {quoted}",
            )
        if restore.UNDER_WAY in part.name:
            yield Finding(WARNING, f"{part.name} was left by a restore. If none is under way, remove it.")
        elif restore.KEPT in part.name:
            advice = "Remove it when it isn't needed."
            yield Finding(WARNING, f"{part.name} is an older database, which a restore has kept. {advice}")
    for part in folder.glob(UNFINISHED):
        yield Finding(WARNING, f"{part.name} is an unfinished backup. If none is running, remove it.")
    size, free = sum(part.stat().st_size for part in database.parts(path)), disk_usage(folder).free
    room = f"the database takes {size / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free"
    if free < _LITTLE:
        yield Finding(PROBLEM, f"The disk is nearly full: {room}. Make room.")
    elif free < size * 1.1:
        yield Finding(WARNING, f"There is no room for a backup or for `person erase` here: {room}.")
    else:
        yield Finding(FINE, f"Room: {room}")


def _answer_of(*command: str) -> str:
    """What a command of the system prints; "" where it is not there or fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def _service(path: Path, config: Mapping[str, Any]) -> Iterator[Finding]:
    host = reachable_host(config)
    where = f"{host}, port {config['PORT']}"
    asked = token_hex(16)
    try:
        with closing(HTTPConnection(host, config["PORT"], timeout=10)) as connection:
            connection.request("GET", "/health/ready", headers={"X-Request-ID": asked})
            answer = connection.getresponse()
            health = dict(loads(answer.read(_LONGEST_ANSWER)))
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


def _writing() -> Iterator[Finding]:
    with database.writing(_LOCK_TIMEOUT):
        crm.check()
    yield Finding(FINE, "The database can be written")


def _clock() -> Iterator[Finding]:
    times = [database.rows("SELECT max(created_at) FROM token")[0][0]]
    if database.db.table_exists("change"):
        times += [row[0] for row in database.rows("SELECT at FROM change ORDER BY seq DESC LIMIT 1")]
    newest = max(filter(None, times), default="")
    if newest > now():
        yield Finding(PROBLEM, f"The clock is wrong, or was: it is {now()}, and the newest record is of {newest}.")
    elif _answer_of("timedatectl", "show", "--property=NTPSynchronized", "--value") == "no":
        yield Finding(WARNING, "The clock is not kept right by NTP: timedatectl set-ntp true")
    else:
        yield Finding(FINE, f"The clock says {now()}")


def _tokens() -> Iterator[Finding]:
    moment, soon = now(), stamp(datetime.now(UTC) + _SOON)
    valid = [
        token
        for token in tokens.listed()
        if token["revokedAt"] is None and (token["expiresAt"] is None or token["expiresAt"] > moment)
    ]
    if not valid:
        yield Finding(PROBLEM, f"No token is valid: nobody can call. Make one: {program()} token create EMAIL")
        return
    for token in valid:
        if token["expiresAt"] and token["expiresAt"] < soon:
            advice = f"Make another: {program()} token create"
            yield Finding(WARNING, f"Token {token['id']} ends at {token['expiresAt']}. {advice}")
        try:
            crm.get_user(token["userId"])
        except crm.NotFound:
            advice = f"End it: {program()} token revoke {token['id']}"
            yield Finding(WARNING, f"Token {token['id']} is of a user who is not here. {advice}")
    yield Finding(FINE, f"Valid tokens: {len(valid)}")
