"""How gunicorn serves the application. HOST, PORT, WORKERS and THREADS come from the environment (see settings.py).

Every name below is a setting of gunicorn's own: https://docs.gunicorn.org/en/stable/settings.html
"""

import ctypes
import json
import os
import signal
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from gunicorn import util
from gunicorn.glogging import Logger
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
import settings

_settings = settings.load(os.environ)
if _settings["METRICS"] == "on":
    from metrics import observe


class DiscreetLogger(Logger):
    """Requests as JSON, all else as sentences (logs.py); gunicorn's own would quote what people wrote."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(logs.Sentence())

    def debug(self, msg: str, *args: Any, **kwargs: Any) -> None:
        super().debug(msg, *(type(arg).__name__ if isinstance(arg, Exception) else arg for arg in args), **kwargs)

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        status = int(resp.status[:3]) if resp.status else None  # None: it failed before there was an answer
        seconds = request_time.total_seconds()
        self.access_log.info(logs.line(environ, status, seconds))
        if _settings["METRICS"] == "on":
            route = environ.get(logs.ROUTE, "-")
            observe(logs.known(environ["REQUEST_METHOD"]), route, status, seconds, resp.sent)


class Worker(ThreadWorker):
    """Ends without dropping a caller, and leaves the port to the next one.

    gunicorn's own keeps the port open while it ends, for up to `graceful_timeout`, but takes nobody from it any more:
    who gets connected meanwhile is cut off without an answer. And one whose master was killed goes on for as long as
    its clients stay connected, so that no new master can have the port. `make faults` shows both.
    """

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
        status, message = (500, "") if ours else _REFUSALS.get(type(exc), (400, "This is not HTTP as RFC 9112 has it."))
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


def on_starting(server: Any) -> None:
    """gunicorn's own words for an address that can't be used are many, and come for five seconds."""
    settings.check_address(_settings)


def pre_request(worker: Any, req: Any) -> None:
    """gunicorn's own logs the path, where it was told to log everything."""


def post_fork(server: Any, worker: Any) -> None:
    """Until it has handlers of its own, a worker has its master's, and would never know that it was told to end."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def post_request(worker: Any, req: Any, environ: dict[str, Any], resp: Any) -> None:
    """Give the memory of a large mail back; each thread would keep several times its size.

    An open connection keeps the values of each statement's last run, and glibc what was freed, for the next time.
    """
    received = settings.MIB + 1 if "HTTP_TRANSFER_ENCODING" in environ else int(environ.get("CONTENT_LENGTH") or 0)
    if max(received, resp.sent if resp else 0) > settings.MIB:
        database.stop()
        if hasattr(_libc, "malloc_trim"):
            _libc.malloc_trim(0)


# One heap for all threads: with one for each, glibc keeps more, and a large mail takes up to ten times as long. What is
# as large as a mail stays out of it, else glibc takes that in too once it has seen some.
_libc = ctypes.CDLL(None)
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
if hasattr(_libc, "mallopt"):  # another C library has others
    _libc.mallopt(_M_ARENA_MAX, 1)
    _libc.mallopt(_M_MMAP_THRESHOLD, settings.MIB)

wsgi_app = "app:create_app()"
_host = f"[{_settings['HOST']}]" if ":" in _settings["HOST"] else _settings["HOST"]  # IPv6
bind = f"{_host}:{_settings['PORT']}"

# Load the application before the workers are forked: what is wrong with the configuration is said once and ends the
# start, where a worker would be started again and again. No database connection may be open at the fork.
preload_app = True

# Threads, because each worker of the other kind ("sync") waits for its client to hang up after an answer: one client
# that keeps its connection open stops it for two seconds. A thread takes no connection that has nothing to read.
# Measured on two processors with 16 connections: beside 2 x 4, 2 x 1 logs a quarter more mails a second, as threads
# fight for the interpreter, but reads a tenth to a quarter less, and two calls that wait for something would stop it;
# 4 x 1 logs 8 % more and reads 7 % less, for 25 MB more memory.
worker_class = Worker
workers = _settings["WORKERS"]
threads = _settings["THREADS"]

# A worker that is stuck altogether is replaced after `timeout`. It does not end a slow request in a thread: what
# drips its request in can hold a thread, which is why a proxy belongs in front of a public address.
timeout = 60
# After SIGTERM, requests that have begun may take this long to end; container managers kill after 30 or less.
graceful_timeout = 25
# Seconds that a connection stays open for the client's next request; it costs no thread.
keepalive = 5

# As long as gunicorn allows: a look-up names up to 200 addresses in its query, which is 40 characters for each.
limit_request_line = 8190
limit_request_fields = 64
limit_request_field_size = 8190
_REFUSALS = {
    LimitRequestLine: (414, f"The request line is longer than {limit_request_line} bytes."),
    LimitRequestHeaders: (
        431,
        f"There are more than {limit_request_fields} header fields, or one is longer than "
        f"{limit_request_field_size} bytes.",
    ),
    ExpectationFailed: (417, "Of what a client may expect, only 100-continue is understood."),
    UnsupportedTransferCoding: (501, "Of transfer codings, only chunked is understood."),
}

# Workers show that they are alive by touching a file; on a disk that is busy this can make them wait.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() and os.access("/dev/shm", os.W_OK) else None

# A line of JSON a request on standard output, sentences on standard error (logs.py). The route is that of the
# application ("/api/v1/contacts/{id}"), put into the environment by app.py: the address itself may hold people's names
# and addresses, in its query and in ids alike.
accesslog = "-"
logger_class = DiscreetLogger

# No second way in: gunicorn listens for its own command-line tool in the user's home by default.
control_socket_disable = True
