"""`flask backup` while twenty clients log mail: each copy serves, is whole, and holds what was acknowledged before."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.faults import rig
from bench.faults.report import Outcome, verdict

CLIENTS = 20


def run(quick: bool = False) -> Iterator[Outcome]:
    tries, databases = (2, 1) if quick else (50, 5)  # in a large one, looking takes longer than making the copy
    lost, acknowledged, wrong = 0, 0, []
    for _ in range(databases):
        with rig.service() as service:
            copies: dict[Path, dict[str, str]] = {}
            with rig.Writers(service, CLIENTS, pause=0.05) as writers:
                for n in range(tries // databases):
                    writers.wait_for(CLIENTS)
                    copy = service.file.with_name(f"copy{n}.db")
                    copies[copy] = dict(writers.acknowledged)  # before the copy is begun
                    wrong += _command("backup", copy, service.url)
            for copy, known in copies.items():  # while they write, each look would take longer than the last
                gone, found = _look_into(copy, known)
                lost += gone
                wrong += [f"in a copy, {sentence}" for sentence in found]
            gone, found = rig.missing(service.url, writers.acknowledged)
            lost += gone
            wrong += found + [f"{number} answers with {status}" for status, number in writers.refused.items()]
            acknowledged += len(writers.acknowledged)
    yield Outcome(f"backup while {CLIENTS} clients write", tries, acknowledged, lost, verdict(wrong))


def _look_into(copy: Path, known: dict[str, str]) -> tuple[int, list[str]]:
    """Restore a copy in a folder of its own, and look into that."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/connector.db"
        failed = _command("restore", copy, url)
        return (len(known), failed) if failed else rig.missing(url, known)


def _command(name: str, file: Path, url: str) -> list[str]:
    """Run a command on a file; gives what went wrong."""
    words = [sys.executable, "-m", "commands", name, str(file)]
    environment = os.environ | {"DATABASE_URL": url}
    done = subprocess.run(words, cwd=rig.PROJECT, env=environment, capture_output=True, text=True)
    return [f"{name} failed: {done.stderr.strip()[-300:]}"] if done.returncode else []
