"""The OpenAPI description is true: schemathesis calls all of it, and finds no fault.

`make fuzz` runs it; it is not among the tests of `make test`, which take seconds.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from socket import create_server
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import settings
from schemathesis.config import SchemathesisConfig

from database import db

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
TOP = CONFIGURATION.parents[2]


@pytest.fixture(autouse=True)
def _token(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An admin's token, where schemathesis.toml looks for it."""
    monkeypatch.setenv("TOKEN", client.token)


@pytest.fixture
def server(app: Flask, url: str) -> Iterator[str]:
    """The address of gunicorn, with the configuration that it has in service, on the database of `app`."""
    with create_server(("127.0.0.1", 0)) as listener:  # handed over, so that nobody takes the port in between
        number = listener.fileno()
        command = [sys.executable, "-m", "gunicorn", "--bind", f"fd://{number}", "--access-logfile", "/dev/null"]
        process = subprocess.Popen(command, cwd=TOP, env={**os.environ, "DATABASE_URL": url}, pass_fds=[number])
        try:
            yield "http://{}:{}".format(*listener.getsockname())
        finally:
            process.terminate()
            process.wait()


def test_each_operation_is_as_described(server: str) -> None:
    """Its examples, its limits, and 200 calls that were made up, right and wrong ones, with every check there is."""
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIGURATION), "run", "--checks", "all"]
    options = ["--phases", "examples,coverage,fuzzing", "--wait-for-schema", "30", f"{server}/openapi.json"]
    run = subprocess.run([*command, *options], cwd=TOP, text=True, capture_output=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.sqlite("a transaction around the calls undoes each try; on PostgreSQL they give their connection back")
def test_records_live_and_die_as_described(app: Flask) -> None:
    """200 chains of calls on what the calls before them gave: what was made is there, what was removed is gone."""
    schema = schemathesis.openapi.from_wsgi("/openapi.json", app, config=SchemathesisConfig.from_path(CONFIGURATION))

    class Chain(schema.as_state_machine()):  # type: ignore[misc]
        """Calls on a database that is empty at the start."""

        def setup(self) -> None:
            super().setup()
            self.leftovers = ExitStack()
            self.leftovers.callback(self.leftovers.enter_context(db.atomic()).rollback)

        def teardown(self) -> None:
            self.leftovers.close()
            super().teardown()

    Chain.run(
        settings=settings(max_examples=200, stateful_step_count=20, deadline=None, derandomize=True, database=None)
    )
