"""A MariaDB server of our own for the tests, from the system's package: in a folder of its own, as any user."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.samples import free_port

WITHIN = 60  # seconds, in which it starts
MISSING = [
    name for name in ("mariadbd", "mariadb-install-db") if not shutil.which(name, path="/usr/sbin:/usr/bin:/bin")
]
MISSING += [] if find_spec("pymysql") else ["pymysql"]


class Server:
    """A MariaDB in a folder of its own, reached by a socket there; ended by `remove`. As root it runs as nobody."""

    def __init__(self, options: Sequence[str] = ()) -> None:
        self.options, self.port = options, free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="my-"))  # short: a socket's path has room for 107 bytes
        self.user: Any = {}
        if os.geteuid() == 0:
            self.user = {"user": "nobody", "group": "nogroup", "extra_groups": []}
            shutil.chown(self.folder, "nobody")
        self._ours = ["--no-defaults", f"--datadir={self.folder}/data"]
        install = [_path("mariadb-install-db"), *self._ours, "--auth-root-authentication-method=normal"]
        done = subprocess.run(
            [*install, "--skip-test-db"], capture_output=True, text=True, cwd=self.folder, **self.user
        )
        assert done.returncode == 0, done.stdout + done.stderr
        self.start()

    def start(self, *options: str) -> None:
        """Start it, with options besides those it was made with."""
        hasty = ["--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=32M"]
        where = [f"--socket={self.folder}/s", f"--pid-file={self.folder}/pid", f"--log-error={self.folder}/log"]
        where += ["--bind-address=127.0.0.1", f"--port={self.port}"]
        command = [_path("mariadbd"), *self._ours, *hasty, *where, *self.options, *options]
        self.process = subprocess.Popen(
            command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **self.user
        )
        deadline = time.monotonic() + WITHIN
        while not (self.folder / "s").exists():  # it is there as soon as calls are answered
            assert self.process.poll() is None, (self.folder / "log").read_text(encoding="utf-8")
            assert time.monotonic() < deadline, "MariaDB does not answer."
            time.sleep(0.05)

    def stop(self) -> None:
        """End it, as its service does."""
        self.process.terminate()
        self.process.wait(WITHIN)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def create(self, name: str) -> str:
        """The URL of a new database, with the collation that EspoCRM's tables have."""
        self.run(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci")
        return f"mysql://root@localhost/{name}?unix_socket={self.folder}/s"

    def run(self, sql: str, parameters: Sequence[Any] = (), database: str | None = None) -> list[Any]:
        """What another program finds in a database, or changes there."""
        import pymysql  # type: ignore[import-untyped]  # not above: where MariaDB is not installed, it need not be either

        where: Any = {"unix_socket": f"{self.folder}/s", "user": "root", "charset": "utf8mb4"}
        connection = pymysql.connect(database=database, autocommit=True, **where)
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, parameters)
                return list(cursor.fetchall())
        finally:
            connection.close()


def _path(name: str) -> str:
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/bin")
    assert found
    return found
