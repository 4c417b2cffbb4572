"""gunicorn's worker process: which thread answers a request, and how the process ends."""

import select
import socket
import time
from contextlib import suppress
from threading import Lock, Semaphore, Thread
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

TESTED = {"27.0.1"}  # versions of gunicorn; gunicorn.conf.py serves with gthread under any other
SLOW = 0.01  # seconds after which a request no longer keeps others waiting


class Worker(ThreadWorker):
    """gthread, but one quick request at a time, by the thread that received it. Needs Linux's epoll.

    Of gthread with a lock around its application, a read on a kept connection took 28 % more CPU, other calls -1 to 9 %
    more (one run, busy machine). And when gthread stops it closes the port late: who connects meanwhile is dropped.
    """

    def init_process(self) -> None:
        self._epoll = select.epoll()  # all threads wait here for all connections
        self._idle: dict[int, Any] = {}  # connections in epoll, by file descriptor; no thread reads from them
        self._may_work = Semaphore(1)  # a thread that has acquired it waits for a request, or answers one
        self._threads_added = 0  # because of slow requests
        self._lock = Lock()
        self._nr_at_accept = 0  # requests answered until the last accept
        # Else gunicorn computes each setting anew at each use.
        self.cfg.__dict__.update({name: setting.get() for name, setting in self.cfg.settings.items()})
        super().init_process()

    def run(self) -> None:
        for target in [self._serve] * self.cfg.threads + [self._watch]:
            Thread(target=target, daemon=True).start()
        super().run()

    def accept(self, listener: Any) -> None:
        # Callers come faster than they are answered: up to 2 ms are left to other workers, which may be idle. Else one
        # has been seen to take 17 of 18 connections, which then stay with it. A worker that answers does not wait.
        if self.nr == self._nr_at_accept:
            time.sleep(min(self.nr_conns, 10) / 5000)
        self._nr_at_accept = self.nr
        with self._lock:  # for nr_conns
            super().accept(listener)

    def enqueue_req(self, conn: Any) -> None:
        conn.data_ready = True  # by the time that a thread takes it
        self._wait_for(conn, self._epoll.register)

    def _wait_for(self, conn: Any, in_epoll: Any) -> None:
        conn.set_timeout()
        self._idle[conn.sock.fileno()] = conn
        in_epoll(conn.sock.fileno(), select.EPOLLIN | select.EPOLLONESHOT)  # one thread is told, once

    def _serve(self) -> None:
        self._may_work.acquire()
        while True:
            conn = self._idle.pop(self._epoll.poll(maxevents=1)[0][0])
            began = time.monotonic()
            try:
                while (kept := self.handle(conn)) and conn.parser.unreader.buf.getvalue():
                    pass  # the next request came along with this one
                if kept:
                    self._wait_for(conn, self._epoll.modify)
                else:
                    conn.close(graceful=True)
            except Exception as error:
                kept = False
                conn.close()
                self.log.error("A connection was closed.", exc_info=error)
            with self._lock:
                self.nr_conns -= not kept
                too_many = self._threads_added > 0 and time.monotonic() - began >= SLOW
                self._threads_added -= too_many
            if too_many:  # another thread was added because of this request
                self._may_work.acquire()

    def _watch(self) -> None:
        """Add a thread that answers, where a request waits and none was taken for SLOW seconds."""
        while True:
            select.select([self._epoll], [], [])
            nr = self.nr
            time.sleep(SLOW)
            waiting = nr == self.nr and select.select([self._epoll], [], [], 0)[0]
            if waiting and self._threads_added < self.cfg.threads - 1:
                with self._lock:
                    self._threads_added += 1
                self._may_work.release()

    def murder_keepalived(self, force: bool = False) -> None:
        """Called once a second or more. The thread that reads a connection's end closes it, and answers first."""
        for conn in list(self._idle.values()):
            if force or conn.timeout < time.monotonic():
                with suppress(OSError):  # the client was quicker
                    conn.sock.shutdown(socket.SHUT_RD)

    def _cap_keepalive(self, deadline: float) -> None:
        for conn in list(self._idle.values()):
            conn.timeout = min(conn.timeout, deadline)

    def is_parent_alive(self) -> bool:
        self.alive: bool = self.alive and super().is_parent_alive()  # an orphan tells its clients to close, too
        return self.alive

    def set_accept_enabled(self, enabled: bool) -> None:
        super().set_accept_enabled(enabled)
        for listener in () if self.alive else self.sockets:  # take all who are connected already, then nobody
            before = -1
            while before != (before := self.nr_conns):
                self.accept(listener)
            listener.close()
