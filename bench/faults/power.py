"""The power fails: at no moment is a mail lost that was acknowledged before.

A service is run from its first start under strace, which tells each write to its files, each sync and each answer, in
order. For a moment in it, the files are made as a disk may have them when the power fails then: what was synced is
there; what was written since may be there or not, whole or in sectors, in any order; names that were given since may
be missing. The service has to start on these files, with all mail that was answered before.

The same with `synchronous=OFF` has to lose mail, or the test would prove nothing.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import database
import settings
from bench.faults import rig
from bench.faults.report import Outcome, verdict
from web import tokens

SECTOR = 512
# Changes of files and names, syncs, and what is sent to clients and terminals.
CALLS = "openat,creat,rename,unlink,unlinkat,mkdir,ftruncate,pwrite64,write,writev,fsync,fdatasync,sendto,sendmsg"
# Small, so that many checkpoints happen.
PROGRAM = (
    "import database; from commands import cli; database.sqlite._PRAGMAS.update(wal_autocheckpoint=300, {}); cli.main()"
)


def run(quick: bool = False) -> Iterator[Outcome]:
    points, mails = (40, 40) if quick else (500, 250)
    for fault, program, loses in (
        ("power failure", PROGRAM.format(""), False),
        ("the same with synchronous=OFF", PROGRAM.format("synchronous='off'"), True),
    ):
        if not shutil.which("strace"):
            yield Outcome(fault, 0, 0, 0, "strace is needed: apt-get install strace")
            continue
        with TemporaryDirectory(prefix="faults-") as folder:
            disk = _trace(Path(folder), program, mails)
        results = _crash_all(disk, points)
        lost = sum(one.lost for one in results)
        failed = sum(bool(one.lost or one.wrong) for one in results)
        wrong = [text for one in results for text in one.wrong]
        figures = f"{len(disk.checkpoints)} checkpoints among {disk.end:,} calls"
        if loses:
            said = f"ok: mail lost or the file damaged at {failed} of them, as it must be; {figures}"
            said = said if lost else "no mail was lost: the test is blind"
            yield Outcome(fault, points, len(disk.acknowledged), 0, said)
        else:
            yield Outcome(fault, points, len(disk.acknowledged), lost, verdict(wrong, figures))


# ---- what was done to the disk --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Change:
    """Begun and ended at these lines of the trace. A write at an offset; without data, the file's new size."""

    begun: int
    ended: int
    offset: int
    data: bytes | None


@dataclass(frozen=True)
class _Naming:
    """A name was given to a file, or with None taken away."""

    begun: int
    ended: int
    name: str
    file: "_File | None"


@dataclass(eq=False)
class _File:
    """What was changed in it, and when it was synced: lines of begin and end."""

    changes: list[_Change] = field(default_factory=list)
    syncs: list[tuple[int, int]] = field(default_factory=list)


@dataclass
class _Disk:
    """A folder in its parent, all that was done to it, and what was promised meanwhile."""

    folder: str
    end: int = 0
    files: dict[str, _File] = field(default_factory=dict)  # by their present names
    namings: dict[str, list[_Naming]] = field(default_factory=dict)  # by folder
    syncs: dict[str, list[tuple[int, int]]] = field(default_factory=dict)  # of folders
    acknowledged: dict[str, tuple[int, str]] = field(default_factory=dict)  # mail: line of the answer, id
    token: tuple[int, str] | None = None  # line at which it was shown, text
    checkpoints: list[int] = field(default_factory=list)  # lines of writes to the first page of the database


class _Traced(rig.Service):
    """A service from its very first start, under strace."""

    def __init__(self, folder: Path, program: str) -> None:
        self.file = folder / "new" / "connector.db"
        self.log, self.trace = folder / "log", folder / "trace"
        self.port = rig.port()
        self._program = program
        chosen = {"DATABASE_URL": f"sqlite:///{self.file}", "PORT": str(self.port)}
        self.environment = {name: value for name, value in os.environ.items() if name not in settings.Settings().fields}
        self.environment |= chosen

    def start(self) -> float:
        command = ["strace", "-f", "--seccomp-bpf", "-e", f"trace={CALLS}", "-e", "signal=none"]
        command += ["-y", "-xx", "-s", "100000000", "-o", str(self.trace), sys.executable, "-c", self._program, "serve"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=rig.PROJECT, env=self.environment, stdout=log, stderr=log)
        self.token = ""
        seconds = rig.wait_until(self._has_token, "It does not start.")
        return seconds + rig.wait_until(self._is_ready, "It is never ready.")

    def stop(self) -> None:
        """strace takes no signals; its child does, and both end."""
        for child in self.workers():
            os.kill(child, signal.SIGTERM)
        self.process.wait(rig.WITHIN)

    def _has_token(self) -> bool:
        if self.process.poll() is not None:
            raise SystemExit(f"It does not start: {self.log.read_text()[-2000:]}")
        found = re.search(r"bsc_\w+", self.log.read_text())
        self.token = found[0] if found else ""
        return bool(found)

    def _is_ready(self) -> bool:
        connection = rig.Connection(self)
        try:
            return connection.ask("GET", "/health/ready")[0] == 200
        except rig.Unanswered:
            return False
        finally:
            connection.close()


def _trace(folder: Path, program: str, mails: int) -> _Disk:
    service = _Traced(folder, program)
    service.start()
    try:
        with rig.Writers(service, number=4) as writers:
            writers.wait_for(mails)
    finally:
        service.stop()
    disk = _read(service.trace, str(service.file.parent))
    missed = writers.acknowledged.keys() - disk.acknowledged.keys()
    if missed or not disk.token:
        raise AssertionError(f"The trace does not show {len(missed)} answers that came.")
    return disk


_CALL = re.compile(
    r"(\d+) +(?:(\w+)\((.*?)|<\.\.\. (\w+) resumed>(.*?))(?: +<unfinished \.\.\.>|\) += (-?\d+|\?)(.*))\n"
)
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_PATH = re.compile(r"<((?:\\x[0-9a-f]{2})+)>(\(deleted\))?")


def _plain(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _read(trace: Path, folder: str) -> _Disk:
    disk = _Disk(folder)
    begun: dict[str, tuple[int, str]] = {}  # calls under way, by thread: line, arguments
    answers: dict[str, int] = {}  # by thread: the line at which its answer of 200 or 201 began
    with trace.open() as lines:
        for line_number, line in enumerate(lines):
            found = _CALL.fullmatch(line)
            if not found:
                continue
            thread, call, arguments, resumed, rest, result, after = found.groups()
            disk.end = line_number
            if call:
                _note_promise(disk, answers, thread, line_number, call, arguments)
            if result is None:
                begun[thread] = line_number, arguments
                continue
            began = line_number
            if resumed:
                began, arguments = begun.pop(thread)
                call, arguments = resumed, arguments + rest
            if result.isdigit():
                _note_change(disk, began, line_number, call, arguments, int(result), after)
    return disk


def _note_promise(disk: _Disk, answers: dict[str, int], thread: str, line: int, call: str, arguments: str) -> None:
    """What is sent counts from the moment at which sending begins."""
    if call not in ("sendto", "sendmsg", "write", "writev"):
        return
    sent = b"".join(_plain(text) for text in _TEXT.findall(arguments))
    if sent.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")):
        answers[thread] = line
    mail = re.search(rb'"id": ?"(\d+)".*?"rfc822MsgId": ?"<([\w-]+)@mail\.example>"', sent, re.DOTALL)
    if mail and thread in answers:
        disk.acknowledged.setdefault(mail[2].decode(), (answers.pop(thread), mail[1].decode()))
    shown = re.search(rb"bsc_\w+", sent)
    if shown and disk.token is None:
        disk.token = line, shown[0].decode()


def _note_change(disk: _Disk, began: int, ended: int, call: str, arguments: str, result: int, after: str) -> None:
    texts = [_plain(text) for text in _TEXT.findall(arguments)]
    handle = _PATH.search(after if call == "openat" else arguments)
    open_path = _plain(handle[1]).decode() if handle and not handle[2] else ""
    named = [os.path.join(disk.folder, os.fsdecode(text)) for text in texts]

    def name(path: str, file: _File | None) -> None:
        parent, _, last = path.rpartition("/")
        disk.namings.setdefault(parent, []).append(_Naming(began, ended, last, file))
        if file is None:
            disk.files.pop(path, None)
        else:
            disk.files[path] = file

    if call == "mkdir" and named[0] == disk.folder:
        name(disk.folder, _File())
    elif call in ("fsync", "fdatasync") and open_path in disk.files and open_path != disk.folder:
        disk.files[open_path].syncs.append((began, ended))
    elif call in ("fsync", "fdatasync"):
        disk.syncs.setdefault(open_path, []).append((began, ended))
    elif call == "rename" and named[0] in disk.files:
        file = disk.files[named[0]]
        name(named[0], None)
        name(named[1], file)
    elif call.startswith("unlink") and named[0] in disk.files:
        name(named[0], None)
    elif not open_path.startswith(f"{disk.folder}/"):
        return
    elif call in ("openat", "creat"):
        if "O_TMPFILE" in arguments or ("O_CREAT" not in arguments and call != "creat"):
            return
        if open_path not in disk.files:
            name(open_path, _File())
        elif "O_TRUNC" in arguments or call == "creat":
            disk.files[open_path].changes.append(_Change(began, ended, 0, None))
    elif call == "ftruncate":
        size = int(arguments.rpartition(",")[2])
        disk.files[open_path].changes.append(_Change(began, ended, size, None))
    elif call == "pwrite64":
        offset = int(arguments.rpartition(",")[2])
        disk.files[open_path].changes.append(_Change(began, ended, offset, texts[0][:result]))
        if offset == 0 and open_path.endswith(".db"):
            disk.checkpoints.append(began)
    else:
        raise AssertionError(f"{call} of a file is not expected here.")


# ---- what a disk may have kept of it --------------------------------------------------------------------------------


def _durable(syncs: list[tuple[int, int]], moment: int) -> int:
    """What had ended by this line was synced when the power failed."""
    return max((began for began, ended in syncs if ended < moment), default=-1)


def _content(file: _File, moment: int, keep: str, random: Random) -> bytes:
    """What is in the file after a power failure: of what was not synced none, all, the first or any sectors."""
    synced = _durable(file.syncs, moment)
    pending = [change for change in file.changes if change.begun < moment and change.ended > synced]
    first = random.randint(0, len(pending))
    content = bytearray()
    for change in file.changes:
        if change.begun >= moment:
            break
        if change.ended <= synced or keep == "all":
            _apply(content, change)
        elif keep == "first" and first >= 0:
            first -= 1
            if first >= 0:
                _apply(content, change)
            elif change.data:  # the one in which it happened
                _apply(content, _Change(0, 0, change.offset, change.data[: random.randrange(0, SECTOR * 8, SECTOR)]))
        elif keep == "any":
            if change.data is None:
                if random.random() < 0.5:
                    _apply(content, change)
                continue
            for at in range(0, len(change.data), SECTOR):
                if random.random() < 0.5:
                    _apply(content, _Change(0, 0, change.offset + at, change.data[at : at + SECTOR]))
    return bytes(content)


def _apply(content: bytearray, change: _Change) -> None:
    if change.data is None:
        del content[change.offset :]
        content.extend(bytes(change.offset - len(content)))
        return
    content.extend(bytes(max(0, change.offset - len(content))))
    content[change.offset : change.offset + len(change.data)] = change.data


def _rebuild(disk: _Disk, moment: int, keep: str, random: Random, target: Path) -> None:
    """Write the folder as the disk has it after a power failure at this line of the trace."""

    def named(folder: str) -> dict[str, _File]:
        synced = _durable(disk.syncs.get(folder, []), moment)
        done = [naming for naming in disk.namings.get(folder, []) if naming.begun < moment]
        sure = sum(naming.ended <= synced for naming in done)
        kept = {"none": sure, "all": len(done)}.get(keep, random.randint(sure, len(done)))
        names: dict[str, _File] = {}
        for naming in done[:kept]:  # file systems keep the order of these
            names.pop(naming.name, None)
            if naming.file:
                names[naming.name] = naming.file
        return names

    parent, _, name = disk.folder.rpartition("/")
    if name not in named(parent):
        return
    target.mkdir()
    for name, file in named(disk.folder).items():
        if name.endswith("-shm"):  # written through memory: it may hold anything
            (target / name).write_bytes(random.randbytes(32768))
        else:
            (target / name).write_bytes(_content(file, moment, keep, random))


# ---- whether all is there -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Found:
    lost: int
    wrong: list[str]


_disk: Any = None  # of the processes that look; they are forked with it


def _crash_all(disk: _Disk, points: int) -> list[_Found]:
    global _disk
    _disk = disk
    random = Random(points)
    answers = [line + 1 for line, _ in disk.acknowledged.values()]
    moments = [random.choice(answers) if n % 2 else random.randrange(disk.end) for n in range(points)]
    with ProcessPoolExecutor(os.cpu_count(), get_context("fork")) as processes:
        return list(processes.map(_crash, moments, range(points)))


def _crash(moment: int, number: int) -> _Found:
    keep = ("none", "first", "any", "all")[number // 2 % 4]
    here = f"call {moment:,}, {keep} of the rest kept"
    disk: _Disk = _disk
    with TemporaryDirectory(prefix="faults-", dir=_memory()) as folder:
        target = Path(folder) / "new"
        _rebuild(disk, moment, keep, Random(number), target)
        url = f"sqlite:///{target}/connector.db"
        acknowledged = {name: row for name, (line, row) in disk.acknowledged.items() if line < moment}
        try:
            lost, wrong = rig.missing(url, acknowledged)
            database.start(url)
            if disk.token and disk.token[0] < moment and not tokens.authenticate(disk.token[1]):
                wrong.append("the token that was shown is unknown")
        except Exception as error:  # it does not start
            return _Found(len(acknowledged), [f"{here}: {type(error).__name__}: {error}"])
        finally:
            database.stop()
    return _Found(lost, [f"{here}: {text}" for text in wrong])


def _memory() -> str | None:
    """Where a sync costs nothing, if there is such a place: these files are the disk already."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
