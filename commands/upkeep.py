"""What keeps an installation well: `flask restore` goes back to a backup, `flask doctor` looks it over."""

import os
import re
import sqlite3
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from fcntl import LOCK_EX, LOCK_NB, flock
from glob import escape
from http.client import HTTPConnection, HTTPException
from json import loads
from pathlib import Path
from resource import RLIMIT_NOFILE, getrlimit
from secrets import token_hex
from shutil import copyfile, disk_usage
from statistics import median
from tempfile import TemporaryFile
from typing import Any, NamedTuple

import crm
import database
from clock import now, stamp
from commands.consistency import problems
from database.sqlite import UNFINISHED
from settings import MIB
from web import tokens

_UNDER_WAY = "-restoring"  # the copy that is checked before its content is taken
_LEFT = (_UNDER_WAY, "-copying")  # by `flask restore` and `flask database copy`
_KEPT = "-before-"  # and the time of the restore: the old database


class Refused(Exception):
    """A restore that was not begun, or a file that is not good enough; the message is for people."""


def restore(path: Path, file: Path, despite: bool = False) -> Path | None:
    """Go back to `file`, a copy of the database; gives the name under which the old database is kept, if there was one.

    The copy is brought up to date and checked beside the database, before that is touched; `despite` takes one whose
    tables do not agree. A process that is killed at any moment leaves the old database or the new one, whole. The
    service may run: see `database.overwrite`. Raises Refused, and OSError.
    """
    if not file.is_file():
        raise Refused(f"There is no file {file}.")
    if path.exists() and file.samefile(path):
        raise Refused(f"{file} is the database itself.")
    if not path.parent.parent.is_dir():  # else a mistyped DATABASE_URL would look like a database that went back
        raise Refused(f"There is no folder {path.parent.parent}. DATABASE_URL names it.")
    path.parent.mkdir(exist_ok=True, mode=0o700)  # on a new machine, instance/ is not there yet
    new = path.with_name(path.name + _UNDER_WAY)
    kept = path.with_name(f"{path.name}{_KEPT}{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
    with _only_restore(path.parent):
        try:
            _remove(new)
            _prepare(file, new, path, despite)
            return kept if database.overwrite(path, new, kept) else None
        except BlockingIOError:
            raise Refused("The database is damaged, or of another version, and somebody uses it. Stop that.") from None
        except (*database.Unusable, sqlite3.Error) as error:
            raise Refused(f"{database.reason_of(error)}.") from None
        finally:
            database.stop()
            _remove(new)


@contextmanager
def _only_restore(folder: Path) -> Iterator[None]:
    """Two at once would take each other's files. What one that was killed has left is no other's, and is removed."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        flock(handle, LOCK_EX | LOCK_NB)
        yield
    except BlockingIOError:
        raise Refused("Another restore is under way.") from None
    finally:
        os.close(handle)


def _prepare(file: Path, new: Path, path: Path, despite: bool) -> None:
    """Make the file whose content is taken: whole, of the present schema, checked, and on the disk."""
    size = sum(part.stat().st_size for part in _parts(file))
    kept = sum(part.stat().st_size for part in _parts(path))
    database.check_room(new.parent, 2 * size + kept if kept else size)  # this file, the log by which it is taken
    for part in _parts(file):  # with its log, which a backup does not have
        copy = Path(f"{new}{part.name.removeprefix(file.name)}")
        os.close(database.open_private(copy))
        copyfile(part, copy)
    try:
        database.start(f"sqlite:///{new}")
        found = problems()
        if found and not despite:
            raise Refused("\n".join([f"{file} is not good enough:", *found]))
        database.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        database.rows("PRAGMA journal_mode = delete")  # one file, without a log
    except database.Unusable as error:
        raise Refused(f"{database.reason_of(error)}.".replace(str(new), str(file))) from None
    finally:
        database.stop()
    with new.open("rb") as handle:
        os.fsync(handle.fileno())


def _parts(path: Path) -> list[Path]:
    return [part for part in (Path(f"{path}{ending}") for ending in database.PARTS) if part.exists()]


def _remove(path: Path) -> None:
    for part in path.parent.glob(f"{escape(path.name)}*"):
        part.unlink()


# ---- looking over ---------------------------------------------------------------------------------------------------

FINE, WARNING, PROBLEM = LEVELS = ["ok", "warning", "PROBLEM"]  # words: not every terminal has signs

_SOON = timedelta(days=14)
_SLOW = 0.1  # seconds for a commit to reach the disk, above which it is worth a word
_GLANCE = 1  # seconds; a service that serves gives up the write lock sooner
_LITTLE = 200 * MIB
_LOG_LIMIT = 128 * MIB  # twice what SQLite leaves
_FILES_OPEN = 1024  # a worker has a few for each thread, and one for each connection
# Where several programs can't share a write-ahead log or a lock (https://sqlite.org/wal.html), as /proc/mounts has it.
_SHARED = re.compile(r"nfs\d?|cifs|smb\w*|9p|afs|ceph|vboxsf|fuse\.(sshfs|glusterfs|s3fs|rclone|ceph)\S*")
_MOUNTS = Path("/proc/mounts")
_PROC = Path("/proc")
_ANSWER = 64 * 1024  # bytes of an answer of the program that listens at the port; ours are shorter
_FLEETING = {"tmpfs", "ramfs", "overlay"}  # overlay: the container's own layer


class Finding(NamedTuple):
    """What was looked at, how it is, and what to do where it is not well."""

    level: str
    text: str


def examine(config: Mapping[str, Any], quick: bool = False) -> Iterator[Finding]:
    """Look at the machine, the files, the database and the tokens; nothing is changed, nothing is left behind."""
    if not config["DATABASE_URL"].startswith("sqlite:"):
        yield from _server(config["DATABASE_URL"])
        return
    path = database.locate(config["DATABASE_URL"])
    yield from _sqlite()
    yield from _limits()
    if not path.parent.is_dir():
        yield Finding(PROBLEM, f"There is no folder {path.parent}. DATABASE_URL names it; the first start makes it.")
        return
    yield from _attempt("The service", _service(path, config))
    yield from _attempt("The folder", _folder(path))
    yield from _attempt("The disk", _disk(path))
    if not path.exists():
        yield Finding(PROBLEM, f"There is no database {path}. The first start makes one; or: flask restore FILE")
        return
    try:
        database.check(path)
    except database.Unusable as error:
        yield Finding(PROBLEM, f"{database.reason_of(error)}.")
        return
    database.attach(path)
    try:
        yield from _attempt("The database", _database(quick))
        yield from _attempt("Writing", _writing())
        yield from _attempt("The clock", _clock())
        yield from _attempt("The tokens", _tokens())
    finally:
        database.stop()


def _server(url: str) -> Iterator[Finding]:
    """A PostgreSQL database; how its server is, its own means tell."""
    yield from _limits()
    try:
        database.attach_server(url)
        empty = not database.db.table_exists("schema_migration")
    except database.Unusable as error:
        yield Finding(PROBLEM, f"The database can't be used. {database.reason_of(error)}.")
        return
    try:
        if empty:
            yield Finding(PROBLEM, "The database has none of the connector's tables. The first start makes them.")
            return
        yield from _attempt("The database", _database(quick=False))
        yield from _attempt("Writing", _writing())
        yield from _attempt("The clock", _clock())
        yield from _attempt("The tokens", _tokens())
    finally:
        database.stop()


def _attempt(what: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """The findings, up to where one can't be had."""
    try:
        yield from findings
    except (*database.Unusable, sqlite3.Error) as error:
        yield Finding(PROBLEM, f"{what} can't be looked at. {database.reason_of(error)}.")


def _sqlite() -> Iterator[Finding]:
    with closing(sqlite3.connect(":memory:")) as connection:
        try:
            connection.execute("CREATE VIRTUAL TABLE search USING fts5(text)")
        except sqlite3.OperationalError:
            yield Finding(PROBLEM, "Python's SQLite has no full-text search (FTS5). Install another Python.")
    if sqlite3.sqlite_version_info < (3, 35):  # RETURNING
        yield Finding(PROBLEM, f"SQLite {sqlite3.sqlite_version} is too old. Install a newer Python.")
    else:
        yield Finding(FINE, f"SQLite {sqlite3.sqlite_version}")


def _limits() -> Iterator[Finding]:
    most = getrlimit(RLIMIT_NOFILE)[0]
    if most < _FILES_OPEN:
        yield Finding(
            WARNING, f"A process may have {most} files open. Allow {_FILES_OPEN}: ulimit -n, LimitNOFILE= in systemd."
        )


def _folder(path: Path) -> Iterator[Finding]:
    """Whose the files are, who may read them, and which do not belong there."""
    if path.parent.stat().st_mode & 0o077:
        yield Finding(WARNING, f"Others may look into the folder. Unless that is meant: chmod 700 {path.parent}")
    files = [part for part in path.parent.glob(f"{escape(path.name)}*") if part.is_file()]
    for part in files:
        status = part.stat()
        if status.st_mode & 0o077:
            yield Finding(PROBLEM, f"Others may read {part.name}, which holds people's letters: chmod 600 {part}")
        if path.exists() and status.st_uid != path.stat().st_uid:
            yield Finding(PROBLEM, f"{part.name} is another user's than the database: chown --reference {path} {part}")
        if any(ending in part.name for ending in _LEFT):
            yield Finding(
                WARNING, f"{part.name} was left by a restore or copy that was ended. If none is under way, remove it."
            )
        elif _KEPT in part.name:
            yield Finding(
                WARNING, f"{part.name} is an older database, which a restore has kept. Remove it when it isn't needed."
            )
    for part in path.parent.glob(UNFINISHED):
        yield Finding(WARNING, f"{part.name} is an unfinished backup. If none is running, remove it.")
    kind = _file_system(path.parent)
    if _SHARED.fullmatch(kind):
        yield Finding(PROBLEM, f"The folder is on {kind}, where SQLite loses mail. Move it to a disk of this machine.")
    elif kind in _FLEETING:
        yield Finding(
            WARNING, f"The folder is on {kind}, which does not last. Put it on a disk, or a container's volume."
        )


def _file_system(folder: Path) -> str:
    """Its kind, where the system tells; of the mount points above a folder, the longest and last holds it."""
    try:
        mounts = [line.split() for line in _MOUNTS.read_text().splitlines()]
    except OSError:
        return ""
    above = [(len(place), n, kind) for n, (_, place, kind, *_) in enumerate(mounts) if _is_under(folder, place)]
    return max(above)[2] if above else ""


def _is_under(folder: Path, place: str) -> bool:
    return folder.is_relative_to(place.replace("\\040", " "))  # proc(5): a space is written so


def _disk(path: Path) -> Iterator[Finding]:
    """Room, and how long it takes until something is there for good."""
    size = sum(part.stat().st_size for part in _parts(path))
    free = disk_usage(path.parent).free
    told = f"the database takes {size / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free"
    if free < _LITTLE:
        yield Finding(PROBLEM, f"The disk is nearly full: {told}. Make room.")
    elif free < size * 1.1:
        yield Finding(WARNING, f"There is no room for a backup or for `person erase` here: {told}.")
    else:
        yield Finding(FINE, f"Room: {told}")
    log = Path(f"{path}-wal")
    if log.exists() and log.stat().st_size > _LOG_LIMIT:
        yield Finding(
            WARNING, f"The write-ahead log has {log.stat().st_size / 1e6:,.0f} MB: someone reads for long. Start anew."
        )
    with TemporaryFile(dir=path.parent) as probe:
        times = []
        for _ in range(5):
            probe.write(b"\0" * 4096)
            began = time.monotonic()
            probe.flush()
            os.fsync(probe.fileno())
            times.append(time.monotonic() - began)
    slow = median(times)
    what = f"The disk takes {slow * 1000:.1f} ms to keep something for good"
    yield (
        Finding(WARNING, f"{what}: each mail waits for it. Is it busy, or a slow one?")
        if slow > _SLOW
        else Finding(FINE, what)
    )


def _service(path: Path, config: Mapping[str, Any]) -> Iterator[Finding]:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config["HOST"], config["HOST"])
    where = f"{host}, port {config['PORT']}"
    asked = token_hex(16)
    try:
        with closing(HTTPConnection(host, config["PORT"], timeout=10)) as connection:
            connection.request("GET", "/health/ready", headers={"X-Request-ID": asked})
            answer = connection.getresponse()
            health = dict(loads(answer.read(_ANSWER)))
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
    elif (serving := _serves(path, config["PORT"])) is False:
        yield Finding(PROBLEM, f"The service at {where} serves another database. Which one does DATABASE_URL name?")
    elif serving is None:
        yield Finding(WARNING, f"A service answers at {where}; run doctor as its user to see if it has this database.")
    else:
        yield Finding(FINE, f"The service answers at {where}")


def _serves(path: Path, port: int) -> bool | None:
    """Whether a process that listens at the port uses this database; None where the system does not tell.

    The system knows (proc(5)), so that nothing has to be asked of a stranger: a service has the socket and the file
    open.
    """
    listening = set()
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (_PROC / "self/net" / table).read_text().splitlines()[1:]:
                _, local, _, state, *rest = line.split()
                if state == "0A" and int(local.rpartition(":")[2], 16) == port:  # 0A: it listens
                    listening.add(f"socket:[{rest[5]}]")
    in_use = str(path.resolve())
    found = False
    for process in _PROC.glob("[0-9]*/fd"):
        try:
            handles = {os.readlink(handle) for handle in process.iterdir()}
        except OSError:  # another user's, or it has ended
            continue
        if handles & listening:
            found = True
            if in_use in handles:
                return True
    return False if found else None


def _database(quick: bool) -> Iterator[Finding]:
    known = {script.stem for script in database.MIGRATIONS.glob("[0-9]*.py")}
    here = {name for (name,) in database.rows("SELECT name FROM schema_migration")}
    if known - here:
        yield Finding(WARNING, "The database is an older version's. The next start brings it up to date.")
        return
    if quick:
        said = [text for (text,) in database.rows("PRAGMA quick_check(10)")]
        found = [f"The file is damaged: {text}." for text in said if text != "ok"]
    else:
        found = problems()
    for sentence in found:
        yield Finding(PROBLEM, sentence)
    if found:
        yield Finding(PROBLEM, "Go back to a backup: flask restore FILE. Keep the file as it is until you have.")
    else:
        yield Finding(FINE, "The file is sound" if quick else "All records agree with one another")


def _writing() -> Iterator[Finding]:
    with database.writing(_GLANCE):
        pass
    crm.check()
    yield Finding(FINE, "The database can be written")


def _clock() -> Iterator[Finding]:
    times = [database.rows("SELECT max(created_at) FROM token")[0][0]]
    if database.db.table_exists("change"):
        times += [row[0] for row in database.rows("SELECT at FROM change ORDER BY seq DESC LIMIT 1")]
    newest = max(filter(None, times), default="")
    if newest > now():
        yield Finding(PROBLEM, f"The clock is wrong, or was: it is {now()}, and the newest record is of {newest}.")
        return
    try:
        asked = ["timedatectl", "show", "--property=NTPSynchronized", "--value"]
        synchronized = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=False).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        synchronized = ""
    if synchronized == "no":
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
        yield Finding(PROBLEM, "No token is valid: nobody can call. Make one: flask token create EMAIL")
        return
    for token in valid:
        if token["expiresAt"] and token["expiresAt"] < soon:
            yield Finding(
                WARNING, f"Token {token['id']} ends at {token['expiresAt']}. Make another: flask token create"
            )
        try:
            crm.get_user(token["userId"])
        except crm.NotFound:
            yield Finding(
                WARNING, f"Token {token['id']} is of a user who is not here. End it: flask token revoke {token['id']}"
            )
    yield Finding(FINE, f"Valid tokens: {len(valid)}")
