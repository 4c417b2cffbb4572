"""What is PostgreSQL's own: sessions, the turn of writers, its words for what SQLite says otherwise, full text.

Connections come from Peewee's pool, which asks each whether it is alive as a call takes it. None is open at a fork.
"""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from threading import local
from typing import Any
from unicodedata import normalize

import psycopg
from peewee import DatabaseError, OperationalError, __exception_wrapper__, logger  # type: ignore[attr-defined]
from playhouse.migrations import Runner
from playhouse.pool import MaxConnectionsExceeded
from playhouse.postgres_ext import PooledPsycopg3Database, Psycopg3ExtAdapter
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.string import TextLoader

from database.common import MIGRATIONS, PATIENCE, Trouble, db

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

# Of a session. Read committed: what was read under the writers' lock must be what others have left. A call that is
# stopped in the middle must not keep the lock. What was acknowledged was synced, by a synchronous standby too where
# there is one; a stricter setting stays. Warnings: see `commit`.
# A plan made before it is known which words are searched for walks through all mails: 6 s at a million, for 16 ms.
_SESSION = f"""
    SET client_encoding = 'UTF8';
    SET default_transaction_isolation = 'read committed';
    SET lock_timeout = '{PATIENCE}s';
    SET statement_timeout = '60s';
    SET idle_in_transaction_session_timeout = '15s';
    SET plan_cache_mode = 'force_custom_plan';
    SET client_min_messages = 'warning';
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') IN ('off', 'local')
"""
_STALE = 300  # seconds, after which a connection is replaced: so all come to know of a server that has moved

# Where there is a synchronous standby, a transaction that has changed nothing waits for it as well: what it has found,
# and is about to acknowledge, may be a mail whose own wait was broken off. It has to write something for that.
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
    for json in ("json", "jsonb"):  # text to the rooms above
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
        super().__init__(url, max_connections=most_connections, stale_timeout=_STALE, timeout=PATIENCE, **ours)
        # Of this thread's call. `committed`: it has asked that something be kept; `warned`: the server has warned of it
        self.calls = local()

    def connect(self, reuse_if_open: bool = False) -> Any:
        try:
            return super().connect(reuse_if_open)
        except MaxConnectionsExceeded:
            raise OperationalError("All connections are in use") from None

    def begin(self, patience: float = PATIENCE) -> None:
        """Begin a transaction and wait for the writers' turn; raises OperationalError after so many seconds.

        The lock ends with the transaction, after what was written has become visible to others.
        """
        wait = "" if patience == PATIENCE else f"SET LOCAL lock_timeout = {max(1, patience * 1000):.0f};"  # 0: for ever
        if patience > PATIENCE:  # what may wait for so long may also take long
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
        for model in models:
            model._meta.without_rowid = False  # a word of SQLite's alone
        super().create_tables(models, **options)

    def dialect(self, sql: str) -> str:
        """A statement in PostgreSQL's words."""
        for theirs, ours in _WORDS.items():
            sql = sql.replace(theirs, ours)
        return sql

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


_WORDS = {
    "%": "%%",
    "?": "%s",
    "json_group_array(": "jsonb_agg(",
    "json_array(": "jsonb_build_array(",
    "CROSS JOIN": "JOIN",  # SQLite's way of saying with which table to begin
}


def start(url: str, most_connections: int | None = None, make: bool = True) -> None:
    """See `database.start`."""
    server = Server(url, most_connections)
    db.initialize(server)
    try:
        with server.atomic(300):  # another process's migration may take its time
            _check(server)
            if not make and not server.table_exists("schema_migration"):
                raise DatabaseError("It has none of the connector's tables")
            Runner(server, str(MIGRATIONS)).up()
    finally:
        stop()


@contextmanager
def alone(url: str) -> Iterator["psycopg.Connection[Any]"]:
    """A session beside the pool, while which nobody else writes. Raises BlockingIOError where others are connected.

    Those are seen by the name that they give their sessions, once they have served a call; one that is not seen may
    read, and waits for its turn to write in vain.
    """
    deadline = time.monotonic() + PATIENCE  # a session that was closed, or whose program was killed, may take a moment
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


def _check(server: Server) -> None:
    """Raises DatabaseError, with a sentence, for a database that must not be served or changed."""
    if server.execute_sql("SHOW server_encoding").fetchone() != ("UTF8",):
        raise DatabaseError("Its encoding must be UTF8")
    tables = server.get_tables()
    if tables and "schema_migration" not in tables:
        raise DatabaseError("It is the database of another program")
    known = {script.stem for script in MIGRATIONS.glob("[0-9]*.py")}
    newer = sorted(Runner(server, str(MIGRATIONS)).applied().keys() - known)
    if newer:
        raise DatabaseError(f"It was written by a newer version, which has {newer[-1]}. Install that one")


def release() -> None:
    """Give this thread's connection back to the pool."""
    if not db.is_closed():
        db.close()


def stop() -> None:
    """Close this thread's connection, and those that nobody uses."""
    release()
    db.close_idle()


def follow(glance: float = 0) -> None:
    """A call begins. Whether its connection is alive, the pool asks as it takes one."""
    db.calls.committed = False


@contextmanager
def writing(patience: float = PATIENCE) -> Iterator[None]:
    """A transaction that writes; all of it is kept, or nothing. May be nested."""
    with db.atomic(patience):
        yield


def forget() -> bool:
    """Give the room of what was deleted to others. Until they take it, the server's files hold what no query finds."""
    db.execute_sql("VACUUM")
    return True


def backup(file: Path) -> int | None:
    """Raises OSError: PostgreSQL has means of its own."""
    raise OSError("Copy a PostgreSQL database with its own pg_dump")


def check_writable() -> None:
    """Raises one of Unavailable where nothing can be written."""
    with writing():
        db.execute_sql("UPDATE schema_migration SET name = name WHERE false")


# What the server can meet without a fault of ours, by code or class of codes
# (https://www.postgresql.org/docs/current/errcodes-appendix.html).
_TROUBLES = {
    "08": "There is no connection to the database",
    "25006": "The database is readonly",
    "28": "The database does not let the connector in",
    "3D": "There is no such database",
    "40": "Others were in the way",
    "42501": "The database does not allow it",
    "53": "The database server has no room",
    "55P03": "The database is locked by another program",
    "57": "The database broke off, or took too long",
    "58": "The disk fails",
    "XX": "The database is damaged",
}
_FULL = "53100"
# Of a try that ended so nothing is kept, unless it had asked for that: lost connections, deadlocks, a server that ends.
_BROKEN_OFF = ("08", "40", "57P", "25P03")


def _code(error: Exception) -> str | None:
    """The server's code for an error; "08" where the connection was lost, None for what it did not say."""
    cause: Any = error
    while hasattr(cause, "orig"):
        cause = cause.orig
    if isinstance(cause, psycopg.OperationalError) and cause.sqlstate is None:
        return "08"
    return getattr(cause, "sqlstate", None)


def trouble(error: Exception) -> Trouble | None:
    """What one of Unavailable means; None for an error that is a fault of the program."""
    code = _code(error)
    if code is None:
        return Trouble(str(error), False)  # our own words, or Peewee's
    why = next((text for known, text in _TROUBLES.items() if code.startswith(known)), None)
    return Trouble(f"{why} ({code})", code == _FULL) if why else None


def may_repeat(error: Exception) -> bool:
    """Whether a call that ended with this error has certainly left nothing, and may do better at once.

    A connection that is lost while it commits may have done so: that call is not repeated.
    """
    code = _code(error)
    if code is None or not code.startswith(_BROKEN_OFF) or getattr(db.calls, "committed", False):
        return False
    stop()  # the others of the pool are probably lost too
    return True


# ---- full text ------------------------------------------------------------------------------------------------------

# The words are found here, not by the server's own parser, for which an address or a file's path is one word: so that
# the same words are found in both databases. These are the rules of SQLite's tokenizer "unicode61": runs of letters
# and digits, without the accents of Latin letters.
_WORD = re.compile(r"[^\W_]+")
_LATIN = re.compile("[\u00c0-\u024f\u1e00-\u1eff]+")
_ACCENTS = re.compile("[\u0300-\u036f]+")

# What a tsvector holds (https://www.postgresql.org/docs/current/textsearch-limitations.html). Of a text that is larger,
# the first words are found in phrases too, those that follow alone, and what comes after 1 MB of words not at all.
_ROOM = 1_000_000  # bytes
_LAST_PLACE = 16_383
_MOST_PLACES = 255  # of one word
_LONGEST = 500  # characters of a word; 2,046 bytes fit


def _words(text: str) -> Iterator[str]:
    if not text.isascii():
        text = _ACCENTS.sub("", _LATIN.sub(lambda found: normalize("NFD", found[0]), text))
    return (found[0][:_LONGEST] for found in _WORD.finditer(text.lower().replace("ς", "σ")))


def indexed(texts: Sequence[str | None]) -> dict[str, str]:
    """The column of the words of an email, by which it is found."""
    places: dict[str, list[str]] = {}
    place, room = 0, _ROOM
    for text in texts:
        place += 1  # no phrase goes from one text to the next
        for word in _words(text or ""):
            place += 1
            if word not in places:
                room -= len(word.encode()) + 4
                if room < 0:
                    break
                places[word] = []
            if place < _LAST_PLACE and len(places[word]) < _MOST_PLACES:
                places[word].append(str(place))
                room -= 2
    return {"words": " ".join(f"'{word}':{','.join(at)}" if at else f"'{word}'" for word, at in places.items())}


def full_text(wanted: list[tuple[str, bool]], unwanted: list[tuple[str, bool]]) -> tuple[str, str, str]:
    """See `database.full_text`."""
    match = " & ".join([*map(_match, wanted), *(f"!{_match(phrase)}" for phrase in unwanted)])
    # OFFSET 0: all that are found, and then in order. The server takes a rare word to be in one mail of 200, and would
    # walk through all mails in order of time: 8 s at a million, for 2 ms.
    return "(SELECT * FROM email WHERE words @@ CAST(? AS tsquery) OFFSET 0) e", "true", match


def _match(phrase: tuple[str, bool]) -> str:
    text, beginning = phrase
    words = " <-> ".join(f"'{word}'" for word in _words(text))
    return f"({words}{':*' * beginning})"
