"""A Debian of its own, made by debootstrap, in which a real systemd runs; what it writes is forgotten with it."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.samples import PROJECT, WITHIN, until

BASE = PROJECT / "build/machine"
PACKAGES = "systemd,systemd-sysv,dbus,python3,nginx,openssl"
_MISSING = [name for name in ("debootstrap", "systemd-nspawn", "nsenter") if not shutil.which(name)]

needs_machine = pytest.mark.skipif(
    bool(_MISSING) or os.geteuid() != 0, reason=f"only root can make a machine, by {_MISSING or 'debootstrap'}"
)


class Machine:
    """A machine that runs; its network is its own, with nobody else in it."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._children = Path(f"/proc/{process.pid}/task/{process.pid}/children")

    def run(self, *words: str, stdin: str = "", check: bool = True) -> "subprocess.CompletedProcess[str]":
        """A command of its root."""
        first = self._children.read_text().strip()  # its process 1; another one while it is being made
        inside = ["nsenter", f"--target={first}", "--all", "--", *words]
        done = subprocess.run(inside, input=stdin, capture_output=True, text=True, timeout=120, check=False)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done


def _make_base() -> None:
    if not BASE.exists():
        made = BASE.with_name("machine.unfinished")
        shutil.rmtree(made, ignore_errors=True)
        made.parent.mkdir(exist_ok=True)
        command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(made)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        made.rename(BASE)


@contextmanager
def booted(**mounts: Path) -> Iterator[Machine]:
    """A machine that has booted; the folders are there read-only, below /srv, by the names that they are given."""
    _make_base()
    command = ["systemd-nspawn", "--quiet", "--boot", f"--directory={BASE}", "--volatile=overlay"]
    command += ["--register=no", "--keep-unit", "--private-network", "--console=pipe"]
    command += [f"--bind-ro={folder}:/srv/{name}" for name, folder in mounts.items()]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
    try:
        machine = Machine(process)
        running = "running\n", "degraded\n"  # degraded: something that is not ours
        until(lambda: machine.run("systemctl", "is-system-running", check=False).stdout in running)
        yield machine
    finally:
        process.terminate()
        try:
            process.wait(WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(WITHIN)
