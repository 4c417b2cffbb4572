"""What is SQLite's own: the file, the write lock, its problems, full text.

A connection is opened by the first call of each thread and kept: opening and closing one costs more than a commit.
Nothing is open when this module has done its work at start, so that a server may fork after it.
"""

import errno
import os
import sqlite3
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock
from typing import Any

from peewee import OperationalError, SqliteDatabase, __exception_wrapper__  # type: ignore[attr-defined]

from database.common import (
    LOCK_TIMEOUT,
    Damaged,
    DatabaseProblem,
    StorageError,
    TookTooLong,
    check_schema,
    db,
    execute,
    make_tables,
    rows,
)
from database.free_space import overwrite_free_space, page_size
from terminal import program

_PRAGMAS = {
    "journal_mode": "wal",  # readers never wait for a writer
    "synchronous": "full",  # an email that was acknowledged survives a power failure; NORMAL loses the last ones
    "foreign_keys": 1,  # off by default
    "wal_autocheckpoint": 4000,  # pages (16 MB): the next emails write most of them again; the default, 1000, costs 7 %
    "secure_delete": 1,  # what is deleted is overwritten, whatever SQLite was built for
    "journal_size_limit": 16 * 1024 * 1024,  # as large as that: a long read or import leaves no larger log behind
}
_READ_WHOLE = 256 * 1024 * 1024  # bytes: a file up to this size is checked at each start, which takes 0.15 s
PARTS = ("", "-wal", "-journal")  # the files of a database; -shm holds nothing
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.0002, 0.005  # seconds between two looks at the lock file
_MERGED = 50  # pages of the search index, written in a transaction: about 10 ms
_OVERWRITTEN = 2000  # pages of which what is unused is overwritten at a time: about 20 ms
_LOOKED_AT = 500  # steps of a query, after which one looks at the clock; a step of the full text reads a page
LEAST_ROOM = 1024 * 1024  # bytes: with less than this the disk counts as full


class _Connection(sqlite3.Connection):
    """Knows which files it has open: database and write-ahead log, by device and inode; None for one that is not."""

    files: tuple[Any, Any]


class _File(SqliteDatabase):
    """A database file that is there, and of the present schema once `schema` is set."""

    schema: set[str] | None = None  # the names of the migrations
    locked_until = 0.0  # after one has waited in vain, nobody else waits as long for a while: threads would pile up

    def _connect(self) -> _Connection:
        before, _ = _files(self.database)
        connection = open_file(self.database, _Connection)
        try:
            self._add_conn_hooks(connection)  # type: ignore[attr-defined]
            if self.schema is not None and self.schema != applied(connection):
                raise OperationalError("The file in the database's place has another schema. Start the service anew")
            connection.files = _files(self.database)
            if connection.files[0] != before:  # the log may be the new file's
                raise OperationalError("The database file was replaced a moment ago")
        except BaseException:
            connection.close()
            raise
        return connection

    def begin(self, lock_type: str | None = None) -> None:
        reopen_if_replaced()
        super().begin(lock_type)

    def stream(self, sql: str, parameters: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
        with closing(execute(sql, parameters)) as found:
            yield from found


def open_file(path: Path | str, kind: type[sqlite3.Connection] = sqlite3.Connection) -> Any:
    # mode=rw: SQLite's own would make an empty file in the place of one that is gone.
    uri = f"{Path(path).as_uri()}?mode=rw"
    return sqlite3.connect(uri, uri=True, timeout=LOCK_TIMEOUT, isolation_level=None, factory=kind)


def start(url: str, most_connections: int | None = None, make: bool = True) -> None:
    path = locate(url)
    if not make and not path.is_file():
        raise FileNotFoundError(errno.ENOENT, f"There is no database {path}")
    if not path.parent.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        sync(path.parent.parent)
    file = _use(path)
    try:
        with write_lock(path, timeout=300):  # another process's migration, or a restore, may take its time
            if not path.exists():
                _make(path)
            check(path, make)
            file.schema = make_tables(file)
    finally:
        db.close()


def locate(url: str) -> Path:
    """The file of a database."""
    return Path(url.removeprefix("sqlite:///")).resolve()


def attach(url: str) -> None:
    check(locate(url))
    _use(locate(url))


def _use(path: Path) -> _File:
    # IMMEDIATE: read-then-write in a deferred transaction fails at once with SQLITE_BUSY_SNAPSHOT, whatever timeout.
    file = _File(str(path), pragmas=_PRAGMAS, timeout=LOCK_TIMEOUT, lock_type="IMMEDIATE")
    db.initialize(file)
    return file


@contextmanager
def exclusive_use(url: str) -> Iterator[sqlite3.Connection]:
    path = locate(url)
    if not path.is_file():
        raise FileNotFoundError(errno.ENOENT, f"There is no database {path}")
    with ExitStack() as held:
        try:
            held.enter_context(write_lock(path, timeout=1))
        except OperationalError:
            raise BlockingIOError from None
        yield held.enter_context(only_connection(path))


@contextmanager
def only_connection(path: Path, timeout: float = 1) -> Iterator[sqlite3.Connection]:
    with closing(open_file(path)) as connection:
        connection.execute(f"PRAGMA busy_timeout = {timeout * 1000:.0f}")
        connection.execute("PRAGMA locking_mode = exclusive")  # a lock, once taken, is kept
        try:
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                raise BlockingIOError from None
            raise
        yield connection


def is_in_use(path: Path) -> bool:
    """Whether somebody has the database open, as a service has from its first call on. Holds up nobody."""
    try:
        with only_connection(path, timeout=0):
            return False
    except BlockingIOError:
        return True


def open_private(path: Path | str) -> int:
    """Open a file that its owner alone can read, and make it where there is none; gives a handle.

    What root makes belongs to the owner of the folder: the service could not open a file of root's.
    """
    with suppress(FileNotFoundError):
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if os.geteuid() == 0:
        owner = os.stat(Path(path).parent)
        os.fchown(handle, owner.st_uid, owner.st_gid)
    return handle


def _make(path: Path) -> None:
    """A new file appears whole, with its header, or not at all: so one of no bytes is always one that lost them."""
    new = path.with_name(f"{path.name}-new")
    new.unlink(missing_ok=True)
    os.close(open_private(new))  # SQLite gives its side files the same owner and mode
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


def check(path: Path, make: bool = True) -> None:
    """Raises DatabaseError, with a sentence, for a file that must not be served or changed."""
    back = f"Go back to a backup: {program()} restore FILE"
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
            raise Damaged(f"{path} is damaged, or not a database. {back}")
        scripts = applied(connection)
    check_schema(
        str(path), tables, scripts or set(), make
    )  # not above: Peewee's wrapper would take its error for damage


def applied(connection: sqlite3.Connection) -> set[str] | None:
    """The names of the migrations that a file has; None for a file that is not ours."""
    if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'schema_migration'").fetchall():
        return None
    return {name for (name,) in connection.execute("SELECT name FROM schema_migration")}


def parts(path: Path) -> list[Path]:
    """The files of a database that are there; none of them may be left out when it is moved."""
    return [part for part in (Path(f"{path}{ending}") for ending in PARTS) if part.exists()]


def _files(path: str) -> tuple[Any, Any]:
    found: list[Any] = []
    for name in (path, f"{path}-wal"):
        try:
            status = os.stat(name)
            found.append((status.st_dev, status.st_ino))
        except OSError:
            found.append(None)
    return found[0], found[1]


def reopen_if_replaced() -> None:
    """Notice that the file which this thread has open was taken away, and open the one that was put in its place.

    Asked before each write: what would be written to a file without a name would be gone with the process. Raises
    FileNotFoundError where there is none now, and OperationalError where another one must not be opened; what is open
    can be read all the same.
    """
    if db.is_closed():
        return
    database, log = db.connection().files
    database_now, log_now = _files(db.database)
    if (database, log) == (database_now, log_now):
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
    if db.obj is not None and not db.is_closed():
        db.close()


def is_retryable(error: Exception) -> bool:
    """Never: whatever can be waited for was waited for."""
    return False


@contextmanager
def writing(timeout: float = LOCK_TIMEOUT) -> Iterator[None]:
    """Writers wait for a lock of ours first: two that sleep in SQLite's own busy handler were seen to wait 1.9 s.

    What is left of the time is for a lock of another program.
    """
    if db.in_transaction():
        with db.atomic():
            yield
        return
    file, began = db.obj, time.monotonic()
    in_vain = began < file.locked_until
    if in_vain:  # long enough for other writers, once the cause is gone
        timeout = min(timeout, 0.2)
    with ExitStack() as held:
        try:
            left = held.enter_context(write_lock(db.database, timeout))
            held.enter_context(_busy_timeout(0 if in_vain else left))
            held.enter_context(db.atomic())
        except OperationalError:
            ended = time.monotonic()
            if ended - began > LOCK_TIMEOUT / 2:
                file.locked_until = ended + LOCK_TIMEOUT
            raise
        except OSError as error:  # of the lock file, or of the database file that is gone
            raise _storage_error(error) from error
        file.locked_until = 0
        yield


@contextmanager
def _busy_timeout(seconds: float) -> Iterator[None]:
    """How long SQLite itself waits for a lock of another program; as ever, if that is about as long."""
    if abs(seconds - LOCK_TIMEOUT) < 0.1:
        yield
        return
    execute(f"PRAGMA busy_timeout = {seconds * 1000:.0f}")
    try:
        yield
    finally:
        execute(f"PRAGMA busy_timeout = {LOCK_TIMEOUT * 1000}")


_thread_locks: defaultdict[str, Lock] = defaultdict(Lock)  # of each database
_held: set[int] = set()  # the handles of the lock files that this process has open


def _forget_locks() -> None:
    """A process that was forked has none of its parent's locks, which would last as long as its copy of the handle."""
    for handle in _held:
        os.close(handle)
    _held.clear()
    _thread_locks.clear()


os.register_at_fork(after_in_child=_forget_locks)


@contextmanager
def write_lock(path: Path | str, timeout: float = LOCK_TIMEOUT) -> Iterator[float]:
    """Hold the write lock of a database; gives the seconds that are left. Raises OperationalError after `timeout`.

    One thread of each process waits for the lock file, and asks again and again; the others wait for that thread. The
    system drops the lock of a process that was killed.
    """
    deadline = time.monotonic() + timeout
    threads = _thread_locks[str(path)]
    if not threads.acquire(timeout=timeout):
        raise OperationalError("database is locked")
    try:
        # A file of its own: closing any handle of the database file would drop SQLite's locks on it.
        handle = open_private(f"{path}-lock")
        _held.add(handle)
        try:
            pause = _SHORTEST_PAUSE
            while not _try_lock(handle):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise OperationalError("database is locked")
                time.sleep(min(pause, left))
                pause = min(pause * 1.02, _LONGEST_PAUSE)
            yield max(deadline - time.monotonic(), 0)
        finally:
            if handle in _held:  # not in a process that was forked meanwhile
                _held.remove(handle)
                flock(handle, LOCK_UN)  # also where one that is being forked still has a copy
                os.close(handle)
    finally:
        threads.release()


def _try_lock(handle: int) -> bool:
    try:
        flock(handle, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    connection, deadline = db.connection(), time.monotonic() + seconds
    connection.set_progress_handler(lambda: time.monotonic() > deadline, _LOOKED_AT)
    try:
        yield
    except OperationalError as error:
        if sqlite3.SQLITE_INTERRUPT in [code for code, _ in _codes(error)]:
            raise TookTooLong from None
        raise
    finally:
        connection.set_progress_handler(None, 0)


@contextmanager
def snapshot() -> Iterator[None]:
    with db.transaction("DEFERRED"):
        yield


def purge_deleted() -> bool:
    """Leave no trace of what was deleted: in the search index, the write-ahead log, or between the rows of a page.

    Others write meanwhile, as each step takes some milliseconds. Closes this thread's connection; no other thread of
    the process may have one. False where somebody reads for long, or the file has been given auto_vacuum.
    """
    if db.table_exists("email_words"):  # not where the emails are kept in somebody else's tables
        # All pieces of the index become one, some pages a transaction: 'optimize' would keep the write lock for seconds
        # (https://sqlite.org/fts5.html, 6.9).
        pages, before = -_MERGED, -2
        while _changes() - before >= 2:
            with writing():
                before = _changes()
                execute("INSERT INTO email_words (email_words, rank) VALUES ('merge', ?)", [pages])
            pages = _MERGED
            rows("PRAGMA wal_checkpoint(PASSIVE)")  # while others may write: a full log is emptied under the lock
    path = Path(db.database)
    db.close()
    file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        size, first = page_size(file), 1  # the first page has the tables' definitions and nothing else
        if size is None:
            return False
        with closing(open_file(path)) as connection:
            connection.execute("PRAGMA busy_timeout = 20")  # others may wait for the write lock
            deadline = time.monotonic() + LOCK_TIMEOUT
            while first * size < os.fstat(file).st_size and time.monotonic() < deadline:
                if _overwrite_free_space(path, connection, file, first, size):
                    first += _OVERWRITTEN
                    deadline = time.monotonic() + LOCK_TIMEOUT
                time.sleep(_LONGEST_PAUSE)
        os.fsync(file)
        return first * size >= os.fstat(file).st_size
    finally:
        os.close(file)  # not before the connection, which would lose its locks


def _overwrite_free_space(path: Path, connection: sqlite3.Connection, file: int, first: int, size: int) -> bool:
    """Overwrite what is unused in some pages; False where somebody reads, or another program writes."""
    with write_lock(path):
        if connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            return False
        with connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            if os.stat(f"{path}-wal").st_size:
                return False
            overwrite_free_space(file, first, _OVERWRITTEN, size)
            # Who has read a page before would write it as it was: a change makes all of them read anew.
            [(version,)] = connection.execute("PRAGMA user_version")
            connection.execute(f"PRAGMA user_version = {(version + 1) % 2**31}")
    return True


def _changes() -> int:
    """How many rows this connection has changed since it was opened."""
    return int(rows("SELECT total_changes()")[0][0])


def last_id(table: str, column: str = "id") -> int:
    return int(rows("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = ?", [table])[0][0])


def raise_last_ids(schema: str = "main", more: int = 0) -> None:
    """Let no table give an id again that the one of the same name in another schema (an attached file) has given, nor
    any of so many `more`."""
    both = f"SELECT * FROM main.sqlite_sequence UNION ALL SELECT * FROM {schema}.sqlite_sequence"
    for (table,) in rows("SELECT name FROM main.sqlite_schema WHERE sql LIKE '%AUTOINCREMENT%'"):
        [(last,)] = rows(f"SELECT coalesce(max(seq), 0) FROM ({both}) WHERE name = ?", [table])
        execute("DELETE FROM main.sqlite_sequence WHERE name = ?", [table])
        execute("INSERT INTO main.sqlite_sequence (name, seq) VALUES (?, ?)", [table, last + more])


def size() -> int:
    return sum(part.stat().st_size for part in parts(Path(db.database)))


def check_writable() -> None:
    with writing():
        execute("UPDATE schema_migration SET name = name WHERE 0")
        try:
            _check_room()
        except OSError as error:
            raise _storage_error(error) from error


def _storage_error(error: OSError) -> StorageError:
    return StorageError(error.errno, error.strerror or type(error).__name__)


def _check_room() -> None:
    """Raises OSError where the disk is full. Takes a file without a name, and with it its room, for a moment."""
    with TemporaryFile(dir=Path(db.database).parent) as probe:
        os.posix_fallocate(probe.fileno(), 0, LEAST_ROOM)


# What SQLite can meet without a fault of ours, by its result code (https://sqlite.org/rescode.html).
_PROBLEMS = {
    sqlite3.SQLITE_BUSY: "The database is locked by another program",
    sqlite3.SQLITE_NOMEM: "There is no memory left",
    sqlite3.SQLITE_READONLY: "The database is readonly",
    sqlite3.SQLITE_IOERR: "The disk fails",
    sqlite3.SQLITE_CORRUPT: f"The database is damaged; see: {program()} doctor",
    sqlite3.SQLITE_FULL: "The disk is full",
    sqlite3.SQLITE_CANTOPEN: "The database file can't be opened",
    sqlite3.SQLITE_PROTOCOL: "The database can't be locked",
    sqlite3.SQLITE_NOTADB: "The file is not a database",
}


def _codes(error: BaseException | None) -> list[tuple[int, str]]:
    """SQLite's result codes and their names, the latest first."""
    codes = []
    while error:  # Peewee names an error anew, and then fails to roll back what SQLite rolled back by itself
        if isinstance(error, sqlite3.Error) and hasattr(error, "sqlite_errorcode"):
            codes.append((error.sqlite_errorcode & 0xFF, error.sqlite_errorname))
        error = error.__context__
    return codes


def problem_of(error: Exception) -> DatabaseProblem | None:
    """Closes this thread's connection where it would go on like that after the file was repaired."""
    if isinstance(error, StorageError):
        return DatabaseProblem(error.strerror or type(error).__name__, error.errno in (errno.ENOSPC, errno.EDQUOT))
    codes = _codes(error)
    if not codes:  # our own words, or Peewee's
        return DatabaseProblem(str(error), False)
    code, name = next((one for one in codes if one[0] in _PROBLEMS), codes[0])
    if code not in _PROBLEMS:
        return None
    if code == sqlite3.SQLITE_FULL or (code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN) and _is_full()):
        return DatabaseProblem(_PROBLEMS[sqlite3.SQLITE_FULL], True)
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        stop()
    return DatabaseProblem(f"{_PROBLEMS[code]} ({name})", False)


def _is_full() -> bool:
    # A few kilobytes are missing, for the file by which the processes share the log's index: SQLite calls that a fault.
    try:
        _check_room()
    except OSError as error:
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return False
