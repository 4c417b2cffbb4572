"""What is quickly seen of an installation, and what to do where it is not well: for `flask doctor` and the overview.

Nothing is changed, nothing is left behind, and no other program is asked.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from glob import escape
from pathlib import Path
from shlex import quote
from shutil import disk_usage
from stat import S_ISREG
from typing import Any, NamedTuple

import crm
import database
from clock import now, stamp
from database.copies import KEPT, UNDER_WAY, UNFINISHED
from database.query import Prepared, param
from models import Backup
from settings import MIB
from terminal import program
from web import tokens

FINE, WARNING, PROBLEM = LEVELS = ["ok", "warning", "PROBLEM"]  # words: not every terminal has signs

_SOON = timedelta(days=14)
_LITTLE = 200 * MIB
# Where several programs can't share a write-ahead log or a lock (https://sqlite.org/wal.html), as the system names it.
_SHARED = ("nfs", "cifs", "smb", "9p", "afs", "ceph", "vboxsf", "fuse.")
_FLEETING = {"tmpfs", "ramfs", "overlay"}  # overlay: the container's own layer


class Finding(NamedTuple):
    """What was looked at, how it is, and what to do where it is not well."""

    level: str
    text: str


def look(config: Mapping[str, Any]) -> list[Finding]:
    """What a page can show: within milliseconds, also while others write."""
    url = config["DATABASE_URL"]
    place = folder(database.locate(url)) if url.startswith("sqlite:") else size()
    parts = {"The folder": place, "Writing": _writing_at_once(), "The clock": clock(), "The tokens": valid_tokens()}
    return [finding for what, findings in parts.items() for finding in attempt(what, findings)]


def attempt(what: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """The findings, up to where one can't be had."""
    try:
        yield from findings
    except (*database.Unusable, sqlite3.Error) as error:
        yield Finding(PROBLEM, f"{what} can't be looked at. {database.reason_of(error)}.")


def folder(path: Path) -> Iterator[Finding]:
    """Where it is, whose the files are, who may read them, which do not belong there, and how much room there is."""
    folder = path.parent
    if not folder.is_dir():
        yield Finding(PROBLEM, f"There is no folder {folder}. DATABASE_URL names it; the first start makes it.")
        return
    kind = _file_system(folder)
    if kind.startswith(_SHARED):
        yield Finding(PROBLEM, f"The folder is on {kind}, where SQLite loses mail. Move it to a disk of this machine.")
    elif kind in _FLEETING:
        advice = "Put it on a disk, or a container's volume."
        yield Finding(WARNING, f"The folder is on {kind}, which does not last. {advice}")
    if folder.stat().st_mode & 0o077:
        yield Finding(WARNING, f"Others may look into the folder. Unless that is meant: chmod 700 {quote(str(folder))}")
    for part, status in _files(folder.glob(f"{escape(path.name)}*")):
        quoted = quote(str(part))
        if status.st_mode & 0o077:
            yield Finding(PROBLEM, f"Others may read {part.name}, which holds people's emails: chmod 600 {quoted}")
        if path.exists() and status.st_uid != path.stat().st_uid:
            advice = f"chown --reference {quote(str(path))} {quoted}"
            yield Finding(PROBLEM, f"{part.name} is another user's than the database: {advice}")
        if UNDER_WAY in part.name:
            yield Finding(WARNING, f"{part.name} was left by a restore. If none is under way, remove it.")
        elif KEPT in part.name:
            advice = "Remove it when it isn't needed."
            yield Finding(WARNING, f"{part.name} is an older database, which a restore has kept. {advice}")
    for part in folder.glob(UNFINISHED):
        yield Finding(WARNING, f"{part.name} is an unfinished backup. If none is running, remove it.")
    size, free = sum(status.st_size for _, status in _files(database.parts(path))), disk_usage(folder).free
    room = f"the database takes {_in_words(size)}, and {_in_words(free)} are free"
    if free < _LITTLE:
        yield Finding(PROBLEM, f"The disk is nearly full: {room}. Make room.")
    elif free < size * 1.1:
        yield Finding(WARNING, f"There is no room for a backup or for `person erase` here: {room}.")
    else:
        yield Finding(FINE, f"Room: {room}")


def _files(parts: Iterable[Path]) -> Iterator[tuple[Path, os.stat_result]]:
    """Those of the paths that are files; a backup that ends, or the last one who closes the log, removes some."""
    for part in parts:
        with suppress(FileNotFoundError):
            status = part.stat()
            if S_ISREG(status.st_mode):
                yield part, status


def _in_words(size: float) -> str:
    if size < 1e7:
        return f"{size / 1e6:.1f} MB"
    return f"{size / 1e9:,.0f} GB" if size >= 1e10 else f"{size / 1e6:,.0f} MB"


def _file_system(folder: Path) -> str:
    """What kind of file system a folder is on, "" where the system does not say (proc_pid_mountinfo(5))."""
    device = folder.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
    except OSError:
        return ""
    mounts = (line.partition(" - ") for line in lines)
    return next((kind.split()[0] for mount, _, kind in mounts if mount.split()[2] == wanted), "")


def size() -> Iterator[Finding]:
    """How large a database of a server is."""
    yield Finding(FINE, f"Room: the database takes {_in_words(database.size())}")


def writing(timeout: float) -> Iterator[Finding]:
    """Whether the database can be written, if others stop writing for a moment within so many seconds."""
    with database.writing(timeout):
        crm.check()
    yield Finding(FINE, "The database can be written")


def _writing_at_once() -> Iterator[Finding]:
    try:
        yield from writing(0.005)
    except database.Unavailable as error:
        if "locked" not in database.reason_of(error):
            raise
        yield Finding(WARNING, "Somebody else writes at this moment, so writing was not tried")


def clock() -> Iterator[Finding]:
    """Whether it is later than the newest record."""
    times = [database.rows("SELECT max(created_at) FROM token")[0][0]]
    if database.db.table_exists("change"):
        times += [row[0] for row in database.rows("SELECT at FROM change ORDER BY seq DESC LIMIT 1")]
    newest = max(filter(None, times), default="")
    if newest > now():
        yield Finding(PROBLEM, f"The clock is wrong, or was: it is {now()}, and the newest record is of {newest}.")
    else:
        yield Finding(FINE, f"The clock says {now()[:19]}Z")


def valid_tokens() -> Iterator[Finding]:
    """Whether somebody can call, which tokens end soon, and which are of users who are gone."""
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
        except crm.NotOffered:
            continue
        except crm.NotFound:
            advice = f"End it: {program()} token revoke {token['id']}"
            yield Finding(WARNING, f"Token {token['id']} is of a user who is not here. {advice}")
    yield Finding(FINE, f"Valid tokens: {len(valid)}")


# ---- backups --------------------------------------------------------------------------------------------------------

_LAST_BACKUP = Prepared(lambda: Backup.select(Backup.at))
_CLEAR = Prepared(lambda: Backup.delete())
_NOTE_BACKUP = Prepared(lambda: Backup.insert(at=param("at")))


def last_backup() -> str | None:
    """When `flask backup` made its last copy; None for never. Of other copies the database does not know."""
    row = _LAST_BACKUP.first()
    return row[0] if row else None


def note_backup() -> None:
    """A copy was made now."""
    with database.writing(1):
        _CLEAR.run()
        _NOTE_BACKUP.run(at=now())
