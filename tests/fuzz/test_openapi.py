"""The OpenAPI description is true: schemathesis calls all of it, on a real server, and finds no fault.

`make fuzz` runs it; it is not among the tests of `make test`, which take seconds.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from socket import create_server
from typing import Any

import pytest

HERE = Path(__file__).parent
TOP = HERE.parents[1]


@pytest.fixture
def server(client: Any, url: str) -> Iterator[str]:
    """The address of gunicorn, with the configuration that it has in service, on the database of `client`."""
    with create_server(("127.0.0.1", 0)) as listener:  # handed over, so that nobody takes the port in between
        environment = {**os.environ, "DATABASE_URL": url, "GUNICORN_FD": str(listener.fileno())}
        command = [sys.executable, "-m", "gunicorn", "--access-logfile", "/dev/null"]
        process = subprocess.Popen(command, cwd=TOP, env=environment, pass_fds=[listener.fileno()])
        try:
            yield "http://{}:{}".format(*listener.getsockname())
        finally:
            process.terminate()
            process.wait()


def test_the_description_is_true(server: str, client: Any) -> None:
    """Each operation, 200 examples and more: every check that schemathesis has, see schemathesis.toml."""
    command = ["-m", "schemathesis.cli", "--config-file", HERE / "schemathesis.toml", "run", f"{server}/openapi.json"]
    options = ["--header", f"Authorization: Bearer {client.token}", "--checks", "all", "--wait-for-schema", "30"]
    run = subprocess.run([sys.executable, *command, *options], cwd=TOP, text=True, capture_output=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
