"""What is SQLite's own: the file, the lock of writers, its troubles, full text.

A connection is opened by the first call of each thread and kept: opening and closing one costs more than a commit.
Nothing is open when this module has done its work at start, so that a server may fork after it.
"""

import errno
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager, suppress
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from pathlib import Path
from shutil import disk_usage
from tempfile import TemporaryFile, mkstemp
from threading import Thread
from typing import Any

from peewee import DatabaseError, OperationalError, SqliteDatabase, __exception_wrapper__  # type: ignore[attr-defined]
from playhouse.migrations import Runner

from database.common import MIGRATIONS, PATIENCE, Damaged, Trouble, db, execute, rows

_PRAGMAS = {
    "journal_mode": "wal",  # readers never wait for a writer
    "synchronous": "full",  # a mail that was acknowledged survives a power failure; NORMAL loses the last ones
    "foreign_keys": 1,  # off by default
    "wal_autocheckpoint": 4000,  # pages (16 MB): most are written again by the next mails; the default, 1000, costs 7 %
    "journal_size_limit": 16 * 1024 * 1024,  # as large as that: a long read or import leaves no larger log behind
}
_READ_WHOLE = 256 * 1024 * 1024  # bytes: a file up to this size is checked at each start, which takes 0.15 s
UNFINISHED = "*-????????-unfinished"  # a backup under way, or one that was killed
_ROOM = 1024 * 1024  # bytes: with less than this the disk counts as full


class _Connection(sqlite3.Connection):
    """Knows which files it has open: database and write-ahead log, by device and inode; None for one that is not."""

    files: tuple[Any, Any]
    seen = 0.0  # when that was last compared with what is there


class _File(SqliteDatabase):
    """A database file that is there, and of the present schema once `schema` is set."""

    schema: set[str] | None = None  # the names of the migrations
    locked_until = 0.0  # after one has waited in vain for another program, nobody else does for a while

    def _connect(self) -> _Connection:
        # Before it is opened: a file that is put in its place meanwhile is noticed.
        before, _ = _files(self.database)
        # mode=rw: SQLite's own would make an empty file in the place of one that is gone.
        connection = sqlite3.connect(
            f"{Path(self.database).as_uri()}?mode=rw",
            uri=True,
            timeout=self.timeout,
            isolation_level=None,
            factory=_Connection,
        )
        try:
            self._add_conn_hooks(connection)  # type: ignore[attr-defined]
            if self.schema is not None and self.schema != applied(connection):
                raise OperationalError("The file in the database's place has another schema. Start the service anew")
            connection.files = before, _files(self.database)[1]
        except BaseException:
            connection.close()
            raise
        return connection

    def begin(self, lock_type: str | None = None) -> None:
        follow()
        began = time.monotonic()
        try:
            with _waiting(0 if began < self.locked_until else PATIENCE):
                super().begin(lock_type)
        except OperationalError:
            ended = time.monotonic()
            if ended - began > PATIENCE / 2:
                self.locked_until = ended + PATIENCE
            raise

    def dialect(self, sql: str) -> str:
        """A statement in SQLite's words."""
        return sql

    def stream(self, sql: str, parameters: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
        with closing(execute(sql, parameters)) as found:
            yield from found


def start(url: str, most_connections: int | None = None, make: bool = True) -> None:
    """See `database.start`."""
    path = locate(url)
    if not make and not path.is_file():
        raise FileNotFoundError(errno.ENOENT, f"There is no database {path}")
    if not path.parent.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        sync(path.parent.parent)
    file = attach(path)
    _show_use(path)
    try:
        with _only_writer(patience=300):  # another process's migration may take its time
            if not path.exists():
                _make(path)
            check(path)
            if not make:
                with (
                    __exception_wrapper__,
                    closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection,
                ):
                    if not applied(connection):
                        raise DatabaseError(f"{path} is not a database of the connector: it has none of its tables")
            runner = Runner(file, str(MIGRATIONS))
            runner.up()
            file.schema = set(runner.applied())
    finally:
        db.close()


def locate(url: str) -> Path:
    """The file of a database."""
    return Path(url.removeprefix("sqlite:///")).resolve()


def attach(path: Path) -> _File:
    """See `database.attach`."""
    # IMMEDIATE: read-then-write in a deferred transaction fails at once with SQLITE_BUSY_SNAPSHOT, whatever timeout.
    file = _File(str(path), pragmas=_PRAGMAS, timeout=PATIENCE, lock_type="IMMEDIATE")
    db.initialize(file)
    return file


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Have a database to oneself: no process has started on it, and none can. Raises BlockingIOError."""
    handle = _lock_use(path, LOCK_EX)
    try:
        yield
    finally:
        os.close(handle)


_in_use: list[int] = []


def _show_use(path: Path) -> None:
    """Show that this process uses the database, until it ends; those that it forks share the lock, and keep it."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            _in_use.append(_lock_use(path, LOCK_SH))
            break
        except BlockingIOError:  # `alone` may want but a moment
            if time.monotonic() > deadline:
                raise OSError(f"{path} is being replaced; try again when flask restore has ended") from None
            time.sleep(0.05)
    while len(_in_use) > 1:
        os.close(_in_use.pop(0))


def _lock_use(path: Path, kind: int) -> int:
    handle = os.open(f"{path}-inuse", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if os.geteuid() == 0:  # others, who serve the database, must be able to open it as well
            owner = path.parent.stat()
            os.fchown(handle, owner.st_uid, owner.st_gid)
        flock(handle, kind | LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle


def _make(path: Path) -> None:
    """A new file appears whole, with its header, or not at all: so one of no bytes is always one that lost them."""
    new = path.with_name(f"{path.name}-new")
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)  # people's letters: readable by nobody else; SQLite gives its side files the same mode
    with closing(sqlite3.connect(new)) as connection:
        connection.execute("PRAGMA journal_mode = wal")
    new.rename(path)
    sync(path.parent)


def sync(folder: Path) -> None:
    """Make the names of files in a folder survive a power failure."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def check(path: Path) -> None:
    """Raises DatabaseError, with a sentence, for a file that must not be served or changed."""
    back = "Go back to a backup: flask restore FILE"
    if path.is_file() and not path.stat().st_size:
        raise Damaged(f"{path} has lost its content. {back}")
    with __exception_wrapper__, closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)) as connection:
        try:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
            check = "PRAGMA quick_check(1)" if path.stat().st_size <= _READ_WHOLE else "SELECT 'ok'"
            whole = connection.execute(check).fetchone() == ("ok",)
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise
            whole = False
        if not whole:
            raise Damaged(f"{path} is damaged, or no database. {back}")
        if tables and "schema_migration" not in tables and (taken := sorted(tables & _own_tables())):
            raise DatabaseError(f"{path} belongs to another program, which has a table {taken[0]} too")
        known = {script.stem for script in MIGRATIONS.glob("[0-9]*.py")}
        newer = sorted(applied(connection) - known)
        if newer:
            raise DatabaseError(f"{path} was written by a newer version, which has {newer[-1]}. Install that one")


def _own_tables() -> set[str]:
    """What the migrations make; for the rare case that they are to go beside somebody else's tables."""
    fresh = SqliteDatabase(":memory:")
    with closing(fresh):
        Runner(fresh, str(MIGRATIONS)).up()
        return {name for name in fresh.get_tables() if not name.startswith("sqlite_")}


def applied(connection: sqlite3.Connection) -> set[str]:
    """The names of the migrations that were run on a file; none, if it is not ours."""
    if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'schema_migration'").fetchall():
        return set()
    return {name for (name,) in connection.execute("SELECT name FROM schema_migration")}


def _files(path: str) -> tuple[Any, Any]:
    found: list[Any] = []
    for name in (path, f"{path}-wal"):
        try:
            status = os.stat(name)
            found.append((status.st_dev, status.st_ino))
        except OSError:
            found.append(None)
    return found[0], found[1]


def follow(glance: float = 0) -> None:
    """Notice that the file which this thread has open was taken away, and open the one that was put in its place.

    What would be written to a file without a name would be gone with the process. Raises FileNotFoundError where there
    is none now, and OperationalError where another one must not be opened; what is open can be read all the same.
    """
    if db.is_closed():
        return
    connection = db.connection()
    moment = time.monotonic()
    if moment < connection.seen + glance:
        return
    database, log = connection.files
    database_now, log_now = _files(db.database)
    same = (database, log) == (database_now, log_now)
    connection.seen = moment if same else 0.0
    if same:
        return
    if database_now is None:
        raise FileNotFoundError(errno.ENOENT, "The database file is gone")
    if database == database_now:  # only the log was removed: what is in it is still at hand
        if rows("PRAGMA wal_checkpoint(TRUNCATE)")[0][0]:
            raise OperationalError("The write-ahead log was removed, and can't be saved yet")
    elif log == log_now:  # SQLite would write it into the new file, page by page
        raise OperationalError("The database file was replaced, and the old one's write-ahead log (-wal) left there")
    db.close()


def release() -> None:
    """A thread keeps its connection."""


def stop() -> None:
    """Close this thread's connection."""
    if db.obj is not None and not db.is_closed():
        db.close()


def may_repeat(error: Exception) -> bool:
    """Never: whatever can be waited for was waited for."""
    return False


@contextmanager
def writing(patience: float = PATIENCE) -> Iterator[None]:
    """Writers take turns at a lock of the system, which wakes the next at once; two that sleep in SQLite's own busy
    handler have been seen to wait 1.9 s.
    """
    if db.in_transaction():
        with db.atomic():
            yield
    else:
        with _only_writer(patience), _waiting(patience), db.atomic():
            yield


@contextmanager
def _waiting(patience: float) -> Iterator[None]:
    """SQLite itself waits as long for a lock of another program."""
    if patience == PATIENCE:
        yield
        return
    execute(f"PRAGMA busy_timeout = {patience * 1000:.0f}")
    try:
        yield
    finally:
        execute(f"PRAGMA busy_timeout = {PATIENCE * 1000}")


_given_up: set[int] = set()  # while there are calls that waited in vain, others don't: threads would pile up


@contextmanager
def _only_writer(patience: float = PATIENCE) -> Iterator[None]:
    """Hold the writers' lock; raises OperationalError where others don't give it up for so many seconds.

    They queue in the system, which wakes the longest waiting one at once and forgets those that were killed. The
    system's queue can't be left, so it is a thread that waits there, and lets go again where the call has gone.
    """
    # A file of its own: closing any handle of the database file would drop SQLite's locks on it. Opened anew each
    # time, because processes forked later would share a kept handle, and with it the lock.
    handle = os.open(f"{db.database}-lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    turn: Future[None] = Future()

    def wait() -> None:
        flock(handle, LOCK_EX)
        turn.set_result(None)

    def leave(_: object) -> None:
        _given_up.discard(handle)
        os.close(handle)

    try:
        flock(handle, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        if not patience or _given_up:
            os.close(handle)
            raise OperationalError("database is locked") from None
        Thread(target=wait, daemon=True).start()
        try:
            turn.result(patience)
        except TimeoutError:
            _given_up.add(handle)
            turn.add_done_callback(leave)
            raise OperationalError("database is locked") from None
    try:
        yield
    finally:
        os.close(handle)


def forget() -> bool:
    """Leave no trace of what was deleted, neither in the search index nor in the file's free pages.

    Writes the whole file anew, which takes its size again on the disk meanwhile. False where someone's long reading
    kept the write-ahead log from being emptied; it is overwritten later, as mail is logged.
    """
    if db.table_exists("email_search"):  # not where the emails are kept in somebody else's tables
        with writing():
            execute("INSERT INTO email_search (email_search) VALUES ('optimize')")
    with _only_writer():
        execute("VACUUM")
        return not rows("PRAGMA wal_checkpoint(TRUNCATE)")[0][0]


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


def check_room(folder: Path, size: int) -> None:
    """Raises OSError where a folder has no room for so many bytes."""
    free = disk_usage(folder).free
    if free < size + _ROOM:
        what = f"{size / 1e6:,.0f} MB are needed, and {free / 1e6:,.0f} MB free"
        raise OSError(errno.ENOSPC, f"There is no room: {what}", str(folder))


def check_writable() -> None:
    """Raises one of Unavailable, or OSError, where nothing can be written."""
    with writing():
        execute("UPDATE schema_migration SET name = name WHERE 0")
        _check_room()


def _check_room() -> None:
    """Raises OSError where the disk is full. Takes a file without a name, and with it its room, for a moment."""
    with TemporaryFile(dir=Path(db.database).parent) as probe:
        os.posix_fallocate(probe.fileno(), 0, _ROOM)


# What SQLite can meet without a fault of ours, by its result code (https://sqlite.org/rescode.html).
_TROUBLES = {
    sqlite3.SQLITE_BUSY: "The database is locked by another program",
    sqlite3.SQLITE_NOMEM: "There is no memory left",
    sqlite3.SQLITE_READONLY: "The database is readonly",
    sqlite3.SQLITE_IOERR: "The disk fails",
    sqlite3.SQLITE_CORRUPT: "The database is damaged; see: flask doctor",
    sqlite3.SQLITE_FULL: "The disk is full",
    sqlite3.SQLITE_CANTOPEN: "The database file can't be opened",
    sqlite3.SQLITE_PROTOCOL: "The database can't be locked",
    sqlite3.SQLITE_NOTADB: "The database file is no database",
}


def trouble(error: Exception) -> Trouble | None:
    """What one of Unavailable or an OSError means; None for an error that is a fault of the program.

    Closes this thread's connection where it would go on like that after the file was repaired.
    """
    if isinstance(error, OSError):
        return Trouble(error.strerror or type(error).__name__, error.errno in (errno.ENOSPC, errno.EDQUOT))
    codes = []
    cause: BaseException | None = error
    while cause:  # Peewee names an error anew, and then fails to roll back what SQLite rolled back by itself
        if isinstance(cause, sqlite3.Error) and hasattr(cause, "sqlite_errorcode"):
            codes.append((cause.sqlite_errorcode & 0xFF, cause.sqlite_errorname))
        cause = cause.__context__
    if not codes:  # our own words, or Peewee's
        return Trouble(str(error), False)
    code, name = next((one for one in codes if one[0] in _TROUBLES), codes[0])
    if code not in _TROUBLES:
        return None
    if code == sqlite3.SQLITE_FULL or (code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN) and _is_full()):
        return Trouble(_TROUBLES[sqlite3.SQLITE_FULL], True)
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        stop()
    return Trouble(f"{_TROUBLES[code]} ({name})", False)


def _is_full() -> bool:
    # A few kilobytes are missing, for the file by which the processes share the log's index: SQLite calls that a fault.
    try:
        _check_room()
    except OSError as error:
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return False


def indexed(texts: Sequence[str | None]) -> dict[str, str]:
    """Nothing: triggers keep the search index in step."""
    return {}


def full_text(wanted: list[tuple[str, bool]], unwanted: list[tuple[str, bool]]) -> tuple[str, str, str]:
    """See `database.full_text`. Indexes the mails that wait for it, so that a search finds them all."""
    waiting = "FROM email WHERE id > coalesce((SELECT max(id) FROM email_search_docsize), 0)"
    if rows(f"SELECT 1 {waiting} LIMIT 1"):
        columns = "subject, people, text_body, html_text"
        with writing():
            execute(f"INSERT INTO email_search (rowid, {columns}) SELECT id, {columns} {waiting}")
    match = " AND ".join(map(_match, wanted)) + (f" NOT ({' OR '.join(map(_match, unwanted))})" if unwanted else "")
    return "email_search s CROSS JOIN email e ON e.id = s.rowid", "s.email_search MATCH ?", match


def _match(phrase: tuple[str, bool]) -> str:
    text, beginning = phrase
    return f'"{text}"{"*" * beginning}'
