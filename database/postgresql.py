"""What is PostgreSQL's own: sessions, the write lock, what it says when it can't serve.

Connections come from Peewee's pool, which asks each whether it is alive as a call takes it. None is open at a fork.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from threading import local
from typing import Any

import psycopg
from peewee import DatabaseError, OperationalError, __exception_wrapper__, logger  # type: ignore[attr-defined]
from playhouse.migrations import Runner
from playhouse.pool import MaxConnectionsExceeded
from playhouse.postgres_ext import PooledPsycopg3Database, Psycopg3ExtAdapter
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.string import TextLoader

from database.common import LOCK_TIMEOUT, MIGRATIONS, DatabaseProblem, TookTooLong, check_schema, db, make_tables

# Of a connection (https://www.postgresql.org/docs/current/libpq-connect.html), unless the URL says otherwise: a server
# that is gone without a word is noticed within about ten seconds.
_CONNECTION = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "application_name": "connector",
}

# Of a session. Read committed: what was read under the write lock must be what others have left. A call that is
# stopped in the middle must not keep the lock. What was acknowledged was synced, by a synchronous standby too where
# there is one; a stricter setting stays. Warnings: see `commit`.
# A plan made before it is known which words are searched for walks through all emails: 6 s at a million, for 16 ms.
_STATEMENT_TIMEOUT = "60s"
_RESET_TIMEOUT = f"SET statement_timeout = '{_STATEMENT_TIMEOUT}'"
_SESSION = f"""
    SET client_encoding = 'UTF8';
    SET default_transaction_isolation = 'read committed';
    SET lock_timeout = '{LOCK_TIMEOUT}s';
    SET statement_timeout = '{_STATEMENT_TIMEOUT}';
    SET idle_in_transaction_session_timeout = '15s';
    SET plan_cache_mode = 'force_custom_plan';
    SET client_min_messages = 'warning';
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') IN ('off', 'local')
"""
_STALE = 300  # seconds, after which a connection is replaced: so all come to know of a server that has moved

# Where there is a synchronous standby, a transaction that has changed nothing waits for it as well: what it has found,
# and is about to acknowledge, may be an email whose own wait was interrupted. It has to write something for that.
_COMMIT = """
    SELECT pg_logical_emit_message(true, 'connector', '')
        WHERE pg_current_xact_id_if_assigned() IS NULL AND current_setting('synchronous_standby_names') != '';
    COMMIT
"""

_WRITERS = 0x627363  # "bsc": the number of the writers' advisory lock


class _Adapter(Psycopg3ExtAdapter):
    def connect(self, db: Any, **parameters: Any) -> Any:
        if db.hosts:
            parameters |= {
                "host": ",".join(host for host, _ in db.hosts),
                "port": ",".join(port for _, port in db.hosts),
            }
        connection = super().connect(db, **parameters)
        try:
            _begin_session(connection)
            connection.add_notice_handler(_hear)
        except BaseException:
            connection.close()
            raise
        chosen = connection.info.host, str(connection.info.port)
        db.hosts.sort(key=lambda known: (known[0], known[1] or chosen[1]) != chosen)
        return connection


def _hear(said: psycopg.errors.Diagnostic) -> None:
    if said.severity_nonlocalized == "WARNING":
        db.calls.warned = True


def _begin_session(connection: "psycopg.Connection[Any]") -> None:
    connection.autocommit = True
    for json in ("json", "jsonb"):  # text to the modules above
        connection.adapters.register_loader(json, TextLoader)
    connection.execute(_SESSION)


def _parameters(url: str) -> dict[str, Any]:
    """Those of _CONNECTION that the URL leaves to us. Raises DatabaseError for what is no URL."""
    try:
        theirs = conninfo_to_dict(url)
    except psycopg.ProgrammingError:  # which quotes what may be the password
        raise DatabaseError("It must be like postgresql://user@host/name") from None
    return {name: value for name, value in _CONNECTION.items() if name not in theirs}


class Server(PooledPsycopg3Database):
    """A database of a PostgreSQL server."""

    psycopg3_adapter = _Adapter
    # Texts are compared byte by byte, as by SQLite; JSON comes back to the letter, where jsonb would make 1e22 another
    # number and order the keys anew; keys have 64 bits.
    field_types = {
        **PooledPsycopg3Database.field_types,
        "TEXT": 'TEXT COLLATE "C"',
        "JSON": "JSON",
        "INT": "BIGINT",
        "AUTO": "BIGSERIAL",
    }

    def __init__(self, url: str, most_connections: int | None) -> None:
        ours = _parameters(url)
        self.hosts = _several_hosts(conninfo_to_dict(url))
        super().__init__(url, max_connections=most_connections, stale_timeout=_STALE, timeout=LOCK_TIMEOUT, **ours)
        # Of this thread's call. `committed`: it has asked that something be kept; `warned`: the server has warned of it
        self.calls = local()

    def connect(self, reuse_if_open: bool = False) -> Any:
        try:
            return super().connect(reuse_if_open)
        except MaxConnectionsExceeded:
            raise OperationalError("All connections are in use") from None

    def begin(self, timeout: float = LOCK_TIMEOUT) -> None:
        """Begin a transaction and wait for the write lock; raises OperationalError after so many seconds.

        The lock ends with the transaction, after what was written has become visible to others.
        """
        milliseconds = max(1, timeout * 1000)  # 0 would be for ever
        wait = "" if timeout == LOCK_TIMEOUT else f"SET LOCAL lock_timeout = {milliseconds:.0f};"
        if timeout > LOCK_TIMEOUT:  # what may wait for so long may also take long
            wait += "SET LOCAL statement_timeout = 0;"
        try:
            with __exception_wrapper__:
                self.cursor().execute(f"BEGIN; {wait} SELECT pg_advisory_xact_lock({_WRITERS})")
        except BaseException:
            self.close()  # which ends what has begun
            raise

    def commit(self) -> None:
        """Raises OperationalError also where it is kept, but not by the synchronous standby.

        Where the wait for that is cancelled, by an administrator or a timeout, the server just warns
        (https://www.postgresql.org/docs/current/warm-standby.html#SYNCHRONOUS-REPLICATION).
        """
        self.calls.committed, self.calls.warned = True, False
        with __exception_wrapper__:
            self.cursor().execute(_COMMIT)
        if self.calls.warned:
            raise OperationalError("The standby does not have it yet")

    def create_tables(self, models: Sequence[Any], **options: Any) -> None:
        ours = [model._meta for model in models if model._meta.without_rowid]
        try:
            for meta in ours:
                meta.without_rowid = False  # a word of SQLite's alone
            super().create_tables(models, **options)
        finally:
            for meta in ours:
                meta.without_rowid = True

    def stream(self, sql: str, parameters: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
        logger.debug((sql, parameters))  # as Peewee does with the others
        with closing(self.cursor().stream(sql, parameters)) as found:
            yield from found


def _several_hosts(theirs: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The hosts and ports of a URL that names several. The one that let us in last is to be asked first.

    Else each new connection would wait for one that is gone and says nothing.
    """
    hosts, ports = theirs.get("host", "").split(","), str(theirs.get("port", "")).split(",")
    several = len(hosts) > 1 and "hostaddr" not in theirs
    return list(zip(hosts, ports if len(ports) > 1 else ports * len(hosts), strict=False)) if several else []


def attach(url: str) -> None:
    server = Server(url, None)
    db.initialize(server)
    try:
        _check(server)
    finally:
        stop()


def start(url: str, most_connections: int | None = None, make: bool = True) -> None:
    server = Server(url, most_connections)
    db.initialize(server)
    try:
        with server.atomic(300):  # another process's migration may take its time
            _check(server, make)
            make_tables(server)
    finally:
        stop()


@contextmanager
def exclusive_use(url: str) -> Iterator["psycopg.Connection[Any]"]:
    """See `database.exclusive_use`. Others are seen by the name that they give their sessions, once they have served a
    call; one that is not seen may read, and waits for the write lock in vain."""
    # A session that was closed, or whose program was killed, may take a moment.
    deadline = time.monotonic() + LOCK_TIMEOUT
    with __exception_wrapper__:
        connection = psycopg.connect(url, **{**_parameters(url), "application_name": "connector copy"})
    with connection:
        _begin_session(connection)
        connection.execute(_UNHURRIED)
        while connection.execute(_TAKE_TURN, [_WRITERS]).fetchone() != (True,):
            if time.monotonic() > deadline:
                raise BlockingIOError
            time.sleep(0.05)
        yield connection


# Of a session that has to do with all rows. The server notices that its program was killed while it makes an index.
_UNHURRIED = """
    SET statement_timeout = 0;
    SET idle_in_transaction_session_timeout = 0;
    SET client_connection_check_interval = '1s';
    SET maintenance_work_mem = '256MB'
"""
_TAKE_TURN = """SELECT pg_try_advisory_lock(%s) AND NOT EXISTS (SELECT 1 FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'connector')"""


def _check(server: Server, make: bool = True) -> None:
    """Raises DatabaseError, with a sentence, for a database that must not be served or changed."""
    if server.execute_sql("SHOW server_encoding").fetchone() != ("UTF8",):
        raise DatabaseError("Its encoding must be UTF8")
    tables = set(server.get_tables())
    applied = set(Runner(server, str(MIGRATIONS)).applied()) if "schema_migration" in tables else set()
    check_schema("The database", tables, applied, make)


def release() -> None:
    """A call has ended: give its connection back to the pool, which asks whether it is alive before the next."""
    db.calls.committed = False
    if not db.is_closed():
        db.close()


def stop() -> None:
    release()
    db.close_idle()


@contextmanager
def writing(timeout: float = LOCK_TIMEOUT) -> Iterator[None]:
    with db.atomic(timeout):
        yield


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    db.execute_sql(f"SET statement_timeout = {seconds * 1000:.0f}")  # SET takes no parameters
    try:
        yield
    except OperationalError as error:
        if _code(error) == _CANCELED:
            raise TookTooLong from None
        raise
    finally:
        db.execute_sql(_RESET_TIMEOUT)


@contextmanager
def snapshot() -> Iterator[None]:
    with __exception_wrapper__:
        db.cursor().execute(f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {_NO_TIMEOUTS}")
    try:
        yield
    except BaseException:
        db.close()  # which ends it, whatever has happened to the connection
        raise
    db.cursor().execute("ROLLBACK")


# Of a transaction that only reads, and holds up nobody.
_NO_TIMEOUTS = "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0"


def purge_deleted() -> bool:
    """Give the room of what was deleted to others. Until they take it, the server's files hold what no query finds."""
    db.execute_sql("SET statement_timeout = 0")  # of the largest tables it takes longer
    try:
        db.execute_sql("VACUUM")
    finally:
        db.execute_sql(_RESET_TIMEOUT)
    return True


def last_id(table: str, column: str = "id") -> int:
    query = "SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence(%s, %s)::regclass), 0)"
    return int(db.execute_sql(query, [table, column]).fetchone()[0])


def size() -> int:
    return int(db.execute_sql("SELECT pg_database_size(current_database())").fetchone()[0])


def check_writable() -> None:
    with writing():
        db.execute_sql("UPDATE schema_migration SET name = name WHERE false")


# What the server can meet without a fault of ours, by code or class of codes
# (https://www.postgresql.org/docs/current/errcodes-appendix.html).
_PROBLEMS = {
    "08": "There is no connection to the database",
    "25006": "The database is readonly",
    "28": "The database does not let the connector in",
    "3D": "There is no such database",
    "40": "Others were in the way",
    "42501": "The database does not allow it",
    "53": "The database server has no room",
    "55P03": "The database is locked by another program",
    "57": "The connection was lost, or the call took too long",
    "58": "The disk fails",
    "XX": "The database is damaged",
}
_FULL = "53100"
_CANCELED = "57014"
# Of a try that ended so nothing is kept, unless it had asked for that: lost connections, deadlocks, a server that ends.
_RETRYABLE = ("08", "40", "57P", "25P03")


def _code(error: Exception) -> str | None:
    """The server's code for an error; "08" where the connection was lost, None for what it did not say."""
    cause: Any = error
    while hasattr(cause, "orig"):
        cause = cause.orig
    if isinstance(cause, psycopg.OperationalError) and cause.sqlstate is None:
        return "08"
    return getattr(cause, "sqlstate", None)


def problem_of(error: Exception) -> DatabaseProblem | None:
    code = _code(error)
    if code is None:
        return DatabaseProblem(str(error), False)  # our own words, or Peewee's
    why = next((text for known, text in _PROBLEMS.items() if code.startswith(known)), None)
    return DatabaseProblem(f"{why} ({code})", code == _FULL) if why else None


def is_retryable(error: Exception) -> bool:
    """A connection that is lost while it commits may have done so: that call is not repeated."""
    code = _code(error)
    if code is None or not code.startswith(_RETRYABLE) or getattr(db.calls, "committed", False):
        return False
    stop()  # the others of the pool are probably lost too
    return True
