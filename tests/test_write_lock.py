"""The write lock between threads and processes: it ends with its holder, and is nobody's who did not take it."""

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import database
from database.sqlite import write_lock
from tests.samples import WITHIN

pytestmark = pytest.mark.sqlite("its lock file")


def in_child(path: Path, timeout: float) -> bool:
    """Whether a process that is forked now gets the lock."""
    pid = os.fork()
    if pid == 0:
        try:
            with write_lock(path, timeout):
                os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "connector.db"


def test_one_holder_at_a_time(path: Path) -> None:
    """Of all threads; each gets it."""
    held: list[int] = []

    def take(n: int) -> int:
        with write_lock(path, WITHIN):
            held.append(n)
            assert held == [n]
            held.remove(n)
        return n

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(take, range(200))) == list(range(200))


def test_a_holder_that_is_killed_has_it_no_more(path: Path) -> None:
    """Although a process that it has forked meanwhile lives on."""
    reading, writing = os.pipe()
    if (pid := os.fork()) == 0:
        with write_lock(path):
            if (child := os.fork()) == 0:
                signal.pause()
            os.write(writing, b"%d" % child)
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    child = int(os.read(reading, 20))
    try:
        with write_lock(path, WITHIN):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.close(reading)
        os.close(writing)


def test_a_forked_process_has_nothing_of_its_parents_lock(path: Path) -> None:
    """Neither of one that another thread holds, nor of its own thread's; and can take it when that has ended."""
    taken, end = threading.Event(), threading.Event()

    def hold() -> None:
        with write_lock(path):
            taken.set()
            end.wait(WITHIN)

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait(WITHIN)
    assert not in_child(path, 0)
    end.set()
    thread.join()
    assert in_child(path, 1)
    with write_lock(path):
        assert not in_child(path, 0)
        assert not in_child(path, 0)  # what the first one left
    assert in_child(path, 1)


def test_nothing_is_left_of_those_who_waited_in_vain(path: Path) -> None:
    """No handle, no thread."""
    with write_lock(path):
        pass
    before = len(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(20):
        with write_lock(path), pytest.raises(database.Unavailable), write_lock(path, 0):
            pass
        with write_lock(path):
            other = f"{path.parent}/./{path.name}"  # another name: it waits for the file, not for this thread
            with pytest.raises(database.Unavailable), write_lock(other, 0.001):
                pass
    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == before
