"""Copies of a SQLite database: made while others write, and put in its place."""

import errno
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from pathlib import Path
from shutil import disk_usage
from tempfile import mkstemp

from peewee import DatabaseError, OperationalError, __exception_wrapper__  # type: ignore[attr-defined]

from database.common import LOCK_TIMEOUT, Damaged, execute, rows
from database.sqlite import (
    LEAST_ROOM,
    PARTS,
    applied,
    check,
    only_connection,
    open_file,
    open_private,
    sync,
    write_lock,
)

_STEP = 1000  # pages that are copied before one looks whether it goes on
UNFINISHED = "*-????????-unfinished"  # a backup under way, or one that was killed
UNDER_WAY = "-restoring"  # the copy that a restore checks before its content is taken
KEPT = "-before-"  # and the time of the restore: the old database


def backup(file: Path) -> int | None:
    """See `database.backup`. Copying the file itself would lose what is still in the write-ahead log."""
    if not file.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "There is no such folder", str(file.parent))
    if file.exists():  # it may be the last good copy
        raise FileExistsError(errno.EEXIST, "There is such a file already", str(file))
    check_room(file.parent, rows("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")[0][0])
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        _remove_unfinished(file.parent, folder)
        flock(folder, LOCK_SH)
        # A file of another name: one that is killed leaves no copy that looks finished. An empty one is made first:
        # SQLite's own would be readable by others.
        handle, copy = mkstemp(prefix=f"{file.name}-", suffix="-unfinished", dir=file.parent)
        try:
            execute("VACUUM INTO ?", [copy])
            emails = _count_emails(copy)
            os.fsync(handle)
            os.rename(copy, file)
            sync(file.parent)
        except BaseException:
            os.unlink(copy)
            raise
        finally:
            os.close(handle)
    finally:
        os.close(folder)
    return emails


def _remove_unfinished(folder: Path, handle: int) -> None:
    """Remove what backups that were killed have left in a folder, unless one is running there now."""
    try:
        flock(handle, LOCK_EX | LOCK_NB)
    except OSError:  # another backup has its shared lock; or the file system has no such locks
        return
    for left in folder.glob(UNFINISHED):
        with suppress(OSError):
            if left.lstat().st_uid == os.geteuid():
                left.unlink()


def _count_emails(copy: str) -> int | None:
    """None where the emails are kept in somebody else's tables."""
    with __exception_wrapper__, closing(sqlite3.connect(f"{Path(copy).as_uri()}?mode=ro", uri=True)) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'email'").fetchall():
            return None
        return int(connection.execute("SELECT count(*) FROM email").fetchone()[0])


def overwrite(path: Path, new: Path, kept: Path, complete: Callable[[Path | None], None]) -> bool:
    """Make a database hold what `new` does, a whole file without a log; the old one is kept. False where there is none.

    It happens in one transaction on the same file, so owner and mode stay, others may have it open, and they see the
    old database or the new one; so does who comes after this process was killed. Before that, when nobody writes any
    more, `complete` may write to `new`; it is given the copy of the old database, or None where that can't be read.

    Two databases must not be open elsewhere (BlockingIOError): one of another schema, which another version of the
    connector may serve, and one that is damaged. That one is kept as it is, with its log, and `new` takes its place.
    """
    with write_lock(path):
        try:
            if not path.exists():
                return _take_place(path, new, kept, complete)
            check(path)
        except Damaged:
            return _take_place(path, new, kept, complete)
        except DatabaseError:  # of another version, or somebody else's: it may well be replaced
            pass
        with closing(open_file(new)) as source, closing(open_file(path)) as present:
            same = applied(source) == applied(present)
            [(size,)] = present.execute("PRAGMA page_size")
            if source.execute("PRAGMA page_size").fetchone() != (size,):  # of a file in use it can't be changed
                source.execute(f"PRAGMA page_size = {size}")
                source.execute("VACUUM")
        with closing(open_file(path)) if same else only_connection(path) as live:
            unfinished = Path(f"{new}-kept")
            os.close(open_private(unfinished))
            with closing(open_file(unfinished)) as old:
                _copy(live, old)
            complete(unfinished)
            unfinished.rename(kept)
            sync(path.parent)
            live.execute("PRAGMA journal_mode = wal")
            with closing(open_file(new)) as source:
                _copy(source, live)
            live.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return True


def _copy(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    """Copy all pages in one transaction. SQLite's own waits for ever where another program holds the target's lock."""
    deadline = time.monotonic() + LOCK_TIMEOUT

    def watch(status: int, remaining: int, total: int) -> None:
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) and time.monotonic() > deadline:
            raise OperationalError("database is locked")

    with __exception_wrapper__:
        source.backup(target, pages=_STEP, progress=watch, sleep=0.01)


def _take_place(path: Path, new: Path, kept: Path, complete: Callable[[Path | None], None]) -> bool:
    """Give what is left of a database other names, and leave nothing that the new one would take for its log."""
    with suppress(sqlite3.DatabaseError), only_connection(path):
        pass  # so nobody has it open who could still read it
    complete(None)
    parts = [ending for ending in PARTS if Path(f"{path}{ending}").exists()]
    for ending in parts:
        os.link(f"{path}{ending}", f"{kept}{ending}")
    sync(path.parent)
    for ending in ("-shm", *parts[1:]) if parts[:1] == [""] else ("-shm", *parts):
        Path(f"{path}{ending}").unlink(missing_ok=True)
    new.replace(path)
    sync(path.parent)
    return bool(parts)


def check_room(folder: Path, size: int) -> None:
    """Raises OSError where a folder has no room for so many bytes."""
    free = disk_usage(folder).free
    if free < size + LEAST_ROOM:
        what = f"{size / 1e6:,.0f} MB are needed, and {free / 1e6:,.0f} MB free"
        raise OSError(errno.ENOSPC, f"There is no room: {what}", str(folder))
