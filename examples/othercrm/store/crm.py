"""The CRM's database, CRM_DATABASE_URL, with a pool of connections; `transaction` and `check` for both databases.

MariaDB or MySQL:       mysql://user:pass@host/name?ssl_ca=/etc/ssl/crm.pem
To try things, a file:  sqlite:///crm.db
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import appcontext_tearing_down
from peewee import OperationalError, PeeweeException, SqliteDatabase
from playhouse import db_url
from playhouse.pool import PooledMySQLDatabase

from database import LOCK_TIMEOUT, check_writable, writing

SHOWN = 1_000_000  # characters of a body that the CRM's screens show: a MEDIUMTEXT has room for 4 million
_PACKET = 10 * 2**20  # bytes of the longest statement: two bodies, each character up to 4 bytes


def _open(url: str) -> Any:
    parts: dict[str, Any] = db_url.parse(url, unquote_password=True, unquote_user=True)
    name = parts.pop("database")
    if url.startswith("sqlite:"):
        return SqliteDatabase(name, pragmas={"journal_mode": "wal"})
    from pymysql.constants import CLIENT  # type: ignore[import-untyped]

    ours = {
        "charset": "utf8mb4",
        "sql_mode": "STRICT_TRANS_TABLES",  # a text that is too long is an error, and never cut in silence
        "client_flag": CLIENT.FOUND_ROWS,  # `rowcount` counts rows that an UPDATE found, not only those it changed
        "connect_timeout": 5,
        "read_timeout": 10,
        "write_timeout": 10,
        "init_command": "SET innodb_lock_wait_timeout = 5",
    }
    pool = {"max_connections": 100, "stale_timeout": 300, "timeout": 5}  # a thread has one at the most
    return PooledMySQLDatabase(name, **pool, **ours, **parts)


if "CRM_DATABASE_URL" not in os.environ:
    sys.exit("Set CRM_DATABASE_URL, such as mysql://user:pass@host/espocrm")
crm = _open(os.environ["CRM_DATABASE_URL"])


@appcontext_tearing_down.connect
def _release(*_: Any, **__: Any) -> None:
    """A call or a command has ended: its connection is for others. The pool asks each, before it is used again,
    whether it is alive."""
    if not crm.is_closed():
        crm.close()


def _close() -> None:
    _release()
    if isinstance(crm, PooledMySQLDatabase):
        crm.close_idle()


os.register_at_fork(before=_close)  # gunicorn's workers must not share a connection


@contextmanager
def transaction(timeout: float = LOCK_TIMEOUT) -> Iterator[None]:
    """One for both databases, with the connector's write lock.

    The CRM commits first. What a crash between the two leaves is then in the CRM and was not acknowledged: an email is
    logged again, at the worst twice on the CRM's screens; of a contact or company `sync` tells the change feed.
    """
    with writing(timeout), crm.atomic():
        yield


def check() -> None:
    """Raises one of Unavailable, with a reason that names no host and no user, where an email could not be logged."""
    check_writable()
    try:
        crm.execute_sql("SELECT 1 FROM email_email_address LIMIT 1")
        packet, read_only = _PACKET, False
        if not isinstance(crm, SqliteDatabase):
            packet, read_only = crm.execute_sql("SELECT @@max_allowed_packet, @@global.read_only").fetchone()
    except PeeweeException as error:
        code = error.args[0] if isinstance(error.args[0], int) else type(error).__name__
        raise OperationalError(f"The CRM's database does not serve ({code})") from None
    if packet < _PACKET:
        raise OperationalError(f"max_allowed_packet of the CRM's database is {packet}: it must be {_PACKET}")
    if read_only:
        raise OperationalError("The CRM's database is read-only")
