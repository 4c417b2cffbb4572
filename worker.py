"""gunicorn's worker process: how connections come to threads, and how each request and the worker itself end."""

import ctypes
import json
import select
import signal
import socket
import time
from datetime import timedelta
from threading import Lock, Semaphore, Thread
from types import SimpleNamespace
from typing import Any

from gunicorn import util
from gunicorn.http.errors import (
    ExpectationFailed,
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)
from gunicorn.workers.gthread import ThreadWorker
from werkzeug.http import HTTP_STATUS_CODES

import database
import logs
from settings import MIB

SLOW = 0.01  # seconds after which a request no longer keeps others waiting


class Worker(ThreadWorker):
    """Answers one request after the other, and others beside one that is slow. Needs Linux's epoll.

    The interpreter runs one thread at a time. gunicorn's own worker hands each request from the thread that waits for
    all connections to one that answers, and the connection back; and the threads that answer fight for the interpreter
    at each statement of SQLite's. Here a thread takes a request and answers it, and as long as that is quick, no other
    takes one: a quarter more reads and a third more mails a second were measured, and half the p99 of reads.

    It ends without dropping a caller, and leaves the port to the next one. gunicorn's own keeps the port open while it
    ends, for up to `graceful_timeout`, but takes nobody from it any more: who gets connected meanwhile is cut off
    without an answer. And one whose master was killed goes on for as long as its clients stay connected, so that no new
    master can have the port. `make faults` shows both.
    """

    def init_process(self) -> None:
        self._readable = select.epoll()  # by which all threads wait for all connections
        self._waiting: dict[int, Any] = {}  # the connections in it: those of which no thread reads now
        self._turns = Semaphore(1)  # a thread that has one waits for a request, or answers it
        self._more_turns = 0  # those that were given out besides, because of slow requests
        self._counting = Lock()
        self._taken = 0  # requests so far
        self._ended = False
        # gunicorn looks its settings up some 25 times a request, each time by two calls: 5 % of all time.
        self.cfg.__dict__.update({name: setting.get() for name, setting in self.cfg.settings.items()})
        super().init_process()

    def run(self) -> None:
        for work in [self._serve] * self.cfg.threads + [self._relieve]:
            Thread(target=work, daemon=True).start()  # daemon: nobody waits for one that waits for requests
        super().run()

    def enqueue_req(self, conn: Any) -> None:
        """A connection was accepted."""
        conn.data_ready = True  # by the time that a thread takes it
        self._wait_for(conn, self._readable.register)

    def _wait_for(self, conn: Any, in_epoll: Any) -> None:
        conn.set_timeout()
        handle = conn.sock.fileno()
        self._waiting[handle] = conn
        in_epoll(handle, select.EPOLLIN | select.EPOLLONESHOT)  # one thread is told, once

    def _serve(self) -> None:
        self._turns.acquire()
        while True:
            [(handle, _)] = self._readable.poll(maxevents=1)
            conn = self._waiting.pop(handle)
            self._taken += 1
            began = time.monotonic()
            try:
                kept = self.handle(conn)
                while kept and conn.parser.unreader.buf.getvalue():  # sent with the one before
                    kept = self.handle(conn)
                if kept:
                    self._wait_for(conn, self._readable.modify)
                else:
                    conn.close(graceful=True)
            except Exception as error:
                kept = False
                conn.close()
                self.log.error("A connection was given up.", exc_info=error)
            if not kept:
                with self._counting:
                    if not self._ended:
                        self.method_queue.defer(self._count_closed)
            if self._more_turns and time.monotonic() - began >= SLOW:
                self._give_back()

    def _relieve(self) -> None:
        """Let a thread more answer, where a request waits and for SLOW none was taken."""
        pending = select.poll()
        pending.register(self._readable, select.POLLIN)
        while True:
            pending.poll()
            taken = self._taken
            time.sleep(SLOW)
            if taken == self._taken and pending.poll(0):
                with self._counting:
                    if self._more_turns < self.cfg.threads - 1:
                        self._more_turns += 1
                        self._turns.release()

    def _give_back(self) -> None:
        """End a turn that another thread was given because of this one; one turn is always left."""
        with self._counting:
            if not self._more_turns:
                return
            self._more_turns -= 1
        self._turns.acquire()

    def _keepalive_after(self, conn: Any, keepalive: bool) -> bool:
        """gunicorn looks for what an application has not read of a body, also where there is nothing left of it."""
        if getattr(conn.parser.mesg.body.reader, "length", None) == 0:
            return bool(keepalive)
        return bool(super()._keepalive_after(conn, keepalive))

    def _count_closed(self) -> None:
        self.nr_conns -= 1

    def murder_keepalived(self, force: bool = False) -> None:
        """End connections that were silent for too long. The thread that takes one then reads its end, and closes it;
        what came in the same moment is answered first."""
        if force:  # the queue is closed next, and then the number of its pipe may be that of the database
            with self._counting:
                self._ended = True
        now = time.monotonic()
        for conn in list(self._waiting.values()):
            if force or conn.timeout < now:
                try:
                    conn.sock.shutdown(socket.SHUT_RD)
                except OSError:
                    pass  # the client was quicker

    def _cap_keepalive(self, deadline: float) -> None:
        for conn in list(self._waiting.values()):
            conn.timeout = min(conn.timeout, deadline)

    def is_parent_alive(self) -> bool:
        if not super().is_parent_alive():
            self.alive = False
            signal.alarm(self.cfg.graceful_timeout)  # no master is there to kill what hangs
        return self.alive

    def set_accept_enabled(self, enabled: bool) -> None:
        super().set_accept_enabled(enabled)
        if self.alive:
            return
        for listener in self.sockets:  # take all who are connected already, then nobody
            taken = -1
            while taken != self.nr_conns:
                taken = self.nr_conns
                self.accept(listener)
            listener.close()

    def accept(self, listener: Any) -> None:
        """Let a worker that has fewer connections be first.

        gunicorn's own takes all callers of a moment while the others are still waking up, and they stay with it as
        long as they keep their connections: it has been seen to serve all of sixteen alone, at a third of the rate.
        """
        time.sleep(min(self.nr_conns, 10) / 5000)
        super().accept(listener)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Refuse what is no HTTP in the shape of all errors; gunicorn's own is a page, which quotes the request."""
        ours = not isinstance(exc, ParseException) or isinstance(exc, InvalidResponseHeader | InvalidResponseHeaderName)
        status, message = (500, "") if ours else self._refusal(exc)
        request_id = logs.request_id()
        if ours:
            self.log.error("A call failed, which is a fault of the connector. (request %s)", request_id, exc_info=exc)
        name = HTTP_STATUS_CODES[status]
        body = json.dumps({"code": status, "status": name, "message": message, "errors": {}})
        head = (
            f"HTTP/1.1 {status} {name}\r\nConnection: close\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
            f"X-Request-ID: {request_id}\r\n\r\n"
        )
        try:
            util.write_nonblock(client, f"{head}{body}".encode())
        except OSError:
            pass  # nobody reads it any more
        environ = {"REQUEST_METHOD": getattr(req, "method", "-"), logs.REQUEST_ID: request_id}
        self.log.access(SimpleNamespace(status=str(status), sent=len(body)), req, environ, timedelta())

    def _refusal(self, error: BaseException) -> tuple[int, str]:
        if isinstance(error, LimitRequestLine):
            return 414, f"The request line is longer than {self.cfg.limit_request_line} bytes."
        if isinstance(error, LimitRequestHeaders):
            fields, size = self.cfg.limit_request_fields, self.cfg.limit_request_field_size
            return 431, f"There are more than {fields} header fields, or one is longer than {size} bytes."
        if isinstance(error, ExpectationFailed):
            return 417, "Of what a client may expect, only 100-continue is understood."
        if isinstance(error, UnsupportedTransferCoding):
            return 501, "Of transfer codings, only chunked is understood."
        return 400, "This is not HTTP as RFC 9112 has it."


def give_memory_back(worker: Any, req: Any, environ: dict[str, Any], resp: Any) -> None:
    """After a large mail, of which each thread would keep several times its size. gunicorn's hook `post_request`.

    An open connection keeps the values of each statement's last run, and glibc what was freed, for the next time.
    """
    received = MIB + 1 if "HTTP_TRANSFER_ENCODING" in environ else int(environ.get("CONTENT_LENGTH") or 0)
    if max(received, resp.sent if resp else 0) > MIB:
        database.stop()
        if hasattr(_libc, "malloc_trim"):
            _libc.malloc_trim(0)


# One heap for all threads: with one for each, glibc keeps more, and a large mail takes up to ten times as long. What is
# as large as a mail stays out of it, else glibc takes that in too once it has seen some.
_libc = ctypes.CDLL(None)
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
if hasattr(_libc, "mallopt"):  # another C library has others
    _libc.mallopt(_M_ARENA_MAX, 1)
    _libc.mallopt(_M_MMAP_THRESHOLD, MIB)
