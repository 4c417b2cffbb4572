"""`flask backup` while twenty clients log mail: each copy serves, is whole, and holds what was acknowledged before."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

from bench.faults import rig
from bench.faults.report import Outcome, verdict

CLIENTS = 20


def run(quick: bool = False) -> Iterator[Outcome]:
    tries, databases = (2, 1) if quick else (50, 5)  # in a large one, looking takes longer than making the copy
    lost, acknowledged, wrong = 0, 0, []
    for _ in range(databases):
        with rig.service() as service:
            with rig.Writers(service, CLIENTS, pause=0.05) as writers:
                for _ in range(tries // databases):
                    writers.wait_for(CLIENTS)
                    gone, found = _back_up(service, dict(writers.acknowledged))
                    lost += gone
                    wrong += [f"in a copy, {sentence}" for sentence in found]
            gone, found = rig.missing(service.url, writers.acknowledged)
            lost += gone
            wrong += found + [f"{number} answers with {status}" for status, number in writers.refused.items()]
            acknowledged += len(writers.acknowledged)
    yield Outcome(f"backup while {CLIENTS} clients write", tries, acknowledged, lost, verdict(wrong))


def _back_up(service: rig.Service, acknowledged: dict[str, str]) -> tuple[int, list[str]]:
    """Make a copy, restore it in a folder of its own, and look into that."""
    copy, folder = service.file.with_name("copy.db"), service.file.with_name("restored")
    url = f"sqlite:///{folder}/connector.db"
    folder.mkdir()
    try:
        _command("backup", str(copy), service.url)
        _command("restore", str(copy), url)
        return rig.missing(url, acknowledged)
    except subprocess.CalledProcessError as error:
        return 0, [f"{error.cmd[3]} failed: {error.stderr.strip()[-300:]}"]
    finally:
        copy.unlink(missing_ok=True)
        shutil.rmtree(folder)


def _command(name: str, file: str, url: str) -> None:
    words = [sys.executable, "-m", "commands", name, file]
    environment = os.environ | {"DATABASE_URL": url}
    subprocess.run(words, cwd=rig.PROJECT, env=environment, capture_output=True, text=True, check=True)
