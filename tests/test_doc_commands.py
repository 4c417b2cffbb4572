"""The commands in the README and in docs/: each block is run as it is printed, page by page, or is named below."""

import faulthandler
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, takewhile
from pathlib import Path
from typing import Any

import pytest

from tests.samples import PROJECT, WITHIN, free_port, until

PAGES = ["README.md", *sorted(str(path.relative_to(PROJECT)) for path in PROJECT.glob("docs/*.md"))]

# What is not run, and why: blocks by how they begin, of all pages and of one.
_FOLLOWED = "tests/test_example.py follows the page, on three databases"
NOT_RUN = {
    "": {
        "make run": "the server of these tests is started by it",
        "make test": "these are the tests",
        "make dist": "tests/test_dist.py",
        "python3 connector.pyz": "tests/test_dist.py",
        "flask database copy": "it needs another server; tests/test_database_copy.py",
        "python -m conformance": "it takes a minute; tests/test_conformance.py",
        "git clone": "the tests copy the tree",
    },
    "docs/deploy.md": {
        "docker compose ": "tests/test_image.py",
        "install -d -m 700 secrets": "tests/test_image.py gives a secret in a file",
        "sudo ": "it needs root, systemd and a name of one's own; tests/test_deploy.py runs its parts",
    },
    "docs/own-tables.md": {
        "source ": _FOLLOWED,
        "python ": _FOLLOWED,
        "TOKEN=$(python": _FOLLOWED,
        "export CRM_DATABASE_URL": _FOLLOWED,
        "sudo ": "it needs an administrator of a database; tests/test_example.py does the same",
        "echo 'pymysql": "it changes what is installed",
        "  pytest -k memory": "these are the tests",
    },
}
# Pages that go on where others end, which are run with them.
AFTER = {"docs/use.md": ["README.md"]}
# What a reader puts in.
TYPED = {
    "sign-in EMAIL": "sign-in admin@localhost",
    "revoke ID": "revoke 2",
    "https://connector.crm.example": "http://127.0.0.1:8080",
    "flask run --debug": ": it would serve until Ctrl-C",
}
# What is there before a page begins; the last line that this prints is its token.
BEFORE = {
    "docs/import.md": """
        printf 'Name,Company domain name\n Globex,globex.example\n' > hubspot-companies.csv
        printf 'First Name,Last Name,E-mail 1 - Value\nBob,Roe,bob@globex.example\n' > contacts.csv""",
    "docs/aurinko.md": """
        flask user add john@crm.example --id u-17 --name "John Smith" --timezone Europe/Berlin
        printf 'id,name,domain\n7,Acme Ltd,acme.example\n' > companies.csv
        printf 'id,firstName,lastName,email,companyId\n42,Jane,Doe,jane@acme.example;jd@home.example,7\n' > contacts.csv
        flask companies import companies.csv
        flask contacts import contacts.csv
        flask token create john@crm.example""",
}
# Commands that are to fail, with their exit status: curl has 22 for a refusal.
FAILING = {'"receivedAt": "yesterday"': 22, "If-Match: ": 22}


def blocks(page: str) -> Iterator[str]:
    """The blocks of commands and of what they print: indented, or fenced as `sh`; an empty line ends one."""
    text = (PROJECT / page).read_text()
    text = re.sub(r"^```sh\n(.*?)^```$", lambda found: re.sub("(?m)^", "    ", found[1]), text, flags=re.DOTALL | re.M)
    text = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.M)
    for found in re.finditer(r"(?<=\n\n)(?: {4}.*\n)+", text):
        yield re.sub("(?m)^ {4}", "", found[0])


def is_printed(block: str) -> bool:
    """Whether it is an answer, or a drawing."""
    return block.startswith(("{", "[", "HTTP/")) or "──" in block


def reason(page: str, block: str) -> str | None:
    """Why a block is not run."""
    return next(
        (why for begin, why in {**NOT_RUN[""], **NOT_RUN.get(page, {})}.items() if block.startswith(begin)), None
    )


@contextmanager
def cloned(folder: Path) -> Iterator[tuple[int, str]]:
    """The project in a folder of its own, with this environment, and its server, by `make run`: port and token."""
    left_out = shutil.ignore_patterns(".git", ".venv", "build", "dist", "*.db", "*.db-*", "__pycache__", ".*_cache")
    shutil.copytree(PROJECT, folder, ignore=left_out)
    (folder / ".venv").mkdir()
    for part in Path(sys.prefix).iterdir():
        if part.suffix != ".stamp":
            (folder / ".venv" / part.name).symlink_to(part)
    (folder / ".venv/run.stamp").touch()
    port, output = free_port(), folder / "output"
    with output.open("wb") as written:
        server = subprocess.Popen(
            ["make", "run"], cwd=folder, env=_environment(port), stdout=written, stderr=written, start_new_session=True
        )
    try:
        until(lambda: "Booting worker" in output.read_text() or server.poll() is not None)
        [token] = set(re.findall(r"^ +(bsc_\w+)$", output.read_text(), re.M))
        yield port, token
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(WITHIN)


def _environment(port: int) -> dict[str, str]:
    path = f"{sys.prefix}/bin:{os.environ['PATH']}"  # use.md says in words to activate the environment
    return os.environ | {"PORT": str(port), "WORKERS": "1", "PYTHONPATH": "", "PATH": path}


def run(folder: Path, port: int, token: str, page: str) -> None:
    """Run the commands of a page in one shell; what is printed below one as JSON is what it answers."""
    for line in _bash(folder, port, token, BEFORE.get(page, "")).split():
        token = line if line.startswith("bsc_") else token
    ready = [block for block in blocks(page) if is_printed(block) or not reason(page, block)]
    lines = ['curl() { command curl --no-progress-meter --fail-with-body --max-time 30 "$@"; }']
    for n, block in enumerate(ready):
        if not is_printed(block):
            for old, new in {**TYPED, "bsc_…": token, ":8080": f":{port}"}.items():
                block = block.replace(old, new)
            status = next((FAILING[words] for words in FAILING if words in block), None)
            lines += [f"printf '\\x01{n}\\n'", f"{block.rstrip()} || test $? = {status}" if status else block]
    for one in _bash(folder, port, token, "\n".join(lines)).split("\x01")[1:]:
        place, _, printed = one.partition("\n")
        below = "".join(takewhile(is_printed, ready[int(place) + 1 :]))
        if shown := re.search(r"^[{[].*", below, re.DOTALL | re.MULTILINE):
            answer = printed.replace("\r", "").rpartition("\n\n")[2]  # of curl -i
            assert _masked(answer) == _masked(shown[0]), ready[int(place)]


def _bash(folder: Path, port: int, token: str, script: str) -> str:
    environment = {**_environment(port), "TOKEN": token}  # as whoever reads a second page still has it
    done = subprocess.run(
        ["bash", "-e"], cwd=folder, env=environment, input=script, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, (done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout


def _masked(text: str) -> Any:
    """JSON without what differs at each run."""
    text = re.sub(r'("(?:createdAt|updatedAt)": ?)"[^"]*"', r'\1"…"', text)
    return json.loads(re.sub(r'("id": ?)"[0-9a-f]{32}"', r'\1"…"', text))


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
@pytest.mark.parametrize("page", [page for page in PAGES if page not in chain(*AFTER.values())])
def test_each_block_of_commands_works_as_it_is_printed(tmp_path: Path, page: str) -> None:
    """In the order of the page, in the project's folder, on the server that `make run` has started."""
    if all(is_printed(block) or reason(page, block) for block in blocks(page)):
        return
    faulthandler.cancel_dump_traceback_later()  # of some hundred commands each takes a second
    with cloned(tmp_path / "connector") as (port, token):
        for one in [*AFTER.get(page, []), page]:
            run(tmp_path / "connector", port, token, one)


def test_what_is_not_run_is_there() -> None:
    """No reason is left of a block that has gone."""
    for name, reasons in NOT_RUN.items():
        begun = [block for page in ([name] if name else PAGES) for block in blocks(page)]
        assert [begin for begin in reasons if not any(block.startswith(begin) for block in begun)] == []
