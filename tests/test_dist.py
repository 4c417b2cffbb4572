"""connector.pyz as a new user starts it: in an empty folder, with a Python that has nothing installed.

Run by ``make test-dist``, which builds the file first.
"""

import json
import re
import shutil
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from fcntl import ioctl
from pathlib import Path
from urllib.error import URLError
from venv import EnvBuilder
from zipfile import ZipFile

import pytest

from settings import VERSION

pytestmark = pytest.mark.dist

PYZ = Path(__file__).parent.parent / "dist/connector.pyz"
EMAIL = "jane@crm.example"
WANTED = [
    *("app.py", "models.py", "gunicorn.conf.py", "crm/emails.py", "store/emails.py", "database/sqlite.py"),
    *("commands/cli.py", "routes/emails.py", "web/wire.py", "pages/templates/overview.html", "pages/static/style.css"),
    *("LICENSE", "THIRD-PARTY.txt"),
]


class Machine:
    """A folder, a bare Python and no environment variables but these."""

    def __init__(self, folder: Path):
        EnvBuilder(with_pip=False).create(folder / "python")
        self.command = [str(folder / "python/bin/python"), "-I", str(PYZ)]
        self.folder = folder / "empty"
        self.folder.mkdir()
        self.port = free_port()
        self.environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "PORT": str(self.port)}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self.command, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> str:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        return out

    def get(self, path: str, token: str = "") -> tuple[int, str]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}")
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.read().decode()


def free_port() -> int:
    with socket.socket() as probe:
        if not up("lo"):  # a machine without a network has the loopback, but nobody has switched it on
            ioctl(probe, 0x8914, struct.pack("16sH14x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def up(interface: str) -> bool:
    with socket.socket() as probe:
        answer = ioctl(probe, 0x8913, struct.pack("16s16x", interface.encode()))  # SIOCGIFFLAGS
    return bool(struct.unpack("16sH14x", answer)[1] & 1)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def server(machine: Machine) -> Iterator[subprocess.Popen[str]]:
    process = machine.start()
    deadline = time.monotonic() + 60
    while True:
        assert process.poll() is None, process.communicate()
        try:
            machine.get("/health/live")
            break
        except URLError:
            assert time.monotonic() < deadline, "it does not answer"
            time.sleep(0.05)
    yield process
    process.kill()
    process.communicate()


def test_it_serves_runs_commands_and_stops(machine: Machine, server: subprocess.Popen[str]):
    machine.run("user", "add", EMAIL, "--name", "Jane")
    token = machine.run("token", "create", EMAIL).strip()

    status, body = machine.get("/api/v1/users/me", token)
    assert (status, json.loads(body)["email"]) == (200, EMAIL)
    assert machine.get("/openapi.json")[0] == 200
    assert "swagger-ui" in machine.get("/docs")[1]
    assert len(machine.get("/docs/swagger-ui-bundle.js")[1]) > 1_000_000
    assert sorted(path.name for path in machine.folder.iterdir()) == ["instance"]

    server.terminate()
    out, err = server.communicate(timeout=30)
    assert server.returncode == 0, err
    assert "Traceback" not in out + err


def test_it_unpacks_where_it_is_told_to(machine: Machine):
    """SHIV_ROOT is for a user without a home."""
    machine.environment["SHIV_ROOT"] = str(machine.folder / "here")
    machine.run("--help")
    assert list((machine.folder / "here").iterdir())


def test_it_unpacks_nothing_where_it_is_started(machine: Machine):
    """What lies there is run: one who may write to the folder would be who runs it."""
    machine.folder.chmod(0o777)
    machine.run("--help")
    assert list(machine.folder.iterdir()) == []
    assert list((machine.folder.parent / ".cache/connector").iterdir())


def test_it_holds_what_is_deployed_and_nothing_else():
    with ZipFile(PYZ) as archive:
        names = archive.namelist()
    assert {f"site-packages/{name}" for name in WANTED} <= set(names)
    assert not [
        name
        for name in names
        if name.startswith(
            (
                "site-packages/tests",
                "site-packages/instance",
                "site-packages/pytest",
                "site-packages/psycopg",
                "site-packages/rich",
            )
        )
    ]


@pytest.mark.parametrize("minor", [6, 8, 9, 10, 11, 12, 13, 14])
def test_it_runs_on_each_python_or_says_which_it_needs(tmp_path: Path, minor: int):
    """In one sentence, in place of the traceback of whichever library fails first."""
    name = f"python3.{minor}"
    asked = [shutil.which(name) or name, "-c", "import sys; print(sys.executable)"]  # the one behind a shim of pyenv
    python = shutil.which(name) and subprocess.run(asked, capture_output=True, text=True).stdout.strip()
    if not python:
        pytest.skip(f"there is no Python 3.{minor} here")
    command, environment = [python, str(PYZ), "--version"], {"HOME": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    if minor >= 11:
        assert (done.returncode, done.stdout) == (0, f"BrightSync CRM connector {VERSION}\n")
        command[2:] = ["openapi", "print"]
        printed = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        components = json.loads(printed.stdout)["components"]
        for kind, name in re.findall(r'"#/components/(\w+)/(\w+)"', printed.stdout):
            assert name in components[kind]  # names of HTTPStatus differ from one Python to the next
    else:
        told = f"connector.pyz needs Python 3.11 or newer, and this is Python 3.{minor}.\n"
        assert (done.returncode, done.stderr) == (1, told)


def test_what_can_not_be_loaded_is_said_in_a_sentence(tmp_path: Path):
    """As on another processor, for which what is compiled in it is not made."""
    (tmp_path / "nh3.py").write_text("raise ImportError('wrong ELF class')")
    environment = {"HOME": str(tmp_path), "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, PYZ, "user", "list"], env=environment, capture_output=True, text=True)
    assert re.fullmatch(r"connector\.pyz was made by cpython-\S+, and this is \S+: .*make dist\n", done.stderr)


def test_a_postgresql_address_is_refused_in_a_sentence(machine: Machine):
    """With the name of the file that has its library."""
    machine.environment["DATABASE_URL"] = "postgresql://nobody@127.0.0.1/none"
    out, err = machine.start("user", "list").communicate(timeout=60)
    assert "connector-postgresql.pyz has it" in err
    assert "Traceback" not in err


def test_the_licences_of_all_that_is_in_it_are_in_it():
    """Each with its text."""
    with ZipFile(PYZ) as archive:
        text = archive.read("site-packages/THIRD-PARTY.txt").decode()
        libraries = [name.split("/")[1] for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    assert len(libraries) > 15
    for name, version in (library.removesuffix(".dist-info").rsplit("-", 1) for library in libraries):
        assert re.search(rf"^{name.replace('_', '.')} +{version} +\S", text, re.MULTILINE | re.IGNORECASE), name
        assert re.search(rf"^{name.replace('_', '.')} {version}: ", text, re.MULTILINE | re.IGNORECASE), name
