"""How gunicorn serves the application. HOST, PORT, WORKERS and THREADS come from the environment (see settings.py).

Every name below is a setting of gunicorn's own: https://docs.gunicorn.org/en/stable/settings.html
"""

import ctypes
import json
import os
import platform
import select
import signal
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gunicorn
from gunicorn import util
from gunicorn.glogging import Logger
from gunicorn.http import errors
from gunicorn.workers.gthread import ThreadWorker
from werkzeug.http import HTTP_STATUS_CODES

import database
import settings
from web import logs, worker

_settings = settings.load(os.environ)
if _settings["METRICS"] == "on":
    from web.metrics import observe


class DiscreetLogger(Logger):
    """Requests as JSON, all else as sentences (logs.py); gunicorn's own would quote what people wrote."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(logs.Sentence())
        self.info("BrightSync CRM connector %s, Python %s", settings.VERSION, platform.python_version())

    def debug(self, msg: str, *args: Any, **kwargs: Any) -> None:
        super().debug(msg, *(type(arg).__name__ if isinstance(arg, Exception) else arg for arg in args), **kwargs)

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        status = int(resp.status[:3]) if resp.status else None  # None: it failed before there was an answer
        seconds = request_time.total_seconds()
        line = f"{logs.line(environ, status, seconds)}\n"
        for handler in self.access_log.handlers:  # a record of logging's would take 15 µs, a tenth of a request
            with suppress(OSError, ValueError):  # nobody reads the log any more
                handler.stream.write(line)
                handler.stream.flush()
        if _settings["METRICS"] == "on":
            route = environ.get(logs.ROUTE, "-")
            observe(logs.known(environ["REQUEST_METHOD"]), route, status, seconds, resp.sent)


OURS = hasattr(select, "epoll") and gunicorn.__version__ in worker.TESTED
REFUSALS = {
    errors.LimitRequestLine: (414, "The request line is too long."),
    errors.LimitRequestHeaders: (431, "There are too many header fields, or one is too long."),
    errors.ExpectationFailed: (417, "Of what a client may expect, only 100-continue is understood."),
    errors.UnsupportedTransferCoding: (501, "Of transfer codings, only chunked is understood."),
}


class ConnectorWorker(worker.Worker if OURS else ThreadWorker):  # type: ignore[misc]
    """The worker, which refuses what is not HTTP in the shape of all errors."""

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Refuse what is not HTTP in the shape of all errors; gunicorn's own is a page that quotes the request."""
        ours = isinstance(exc, errors.InvalidResponseHeader | errors.InvalidResponseHeaderName)
        ours = ours or not isinstance(exc, errors.ParseException)
        status, message = (500, "") if ours else REFUSALS.get(type(exc), (400, "This is not HTTP as in RFC 9112."))
        environ = {"REQUEST_METHOD": getattr(req, "method", "-"), logs.REQUEST_ID: logs.request_id()}
        if ours:
            what = "A call failed, which is a fault of the connector. (request %s)"
            self.log.error(what, environ[logs.REQUEST_ID], exc_info=exc)
        name = HTTP_STATUS_CODES[status]
        body = json.dumps({"code": status, "status": name, "message": message, "errors": {}})
        head = (
            f"HTTP/1.1 {status} {name}\r\nConnection: close\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
            f"X-Request-ID: {environ[logs.REQUEST_ID]}\r\n\r\n"
        )
        with suppress(OSError):  # nobody reads it any more
            util.write_nonblock(client, f"{head}{body}".encode())
        self.log.access(SimpleNamespace(status=str(status), sent=len(body)), req, environ, timedelta())


def on_starting(server: Any) -> None:
    """Say where the worker of worker.py is not used."""
    if not OURS:
        server.log.warning("Not Linux, or gunicorn %s is not tested: gthread serves, slower.", gunicorn.__version__)


def release_memory(worker: Any, req: Any, environ: dict[str, Any], resp: Any) -> None:
    """After a large email, of which each thread would keep several times its size.

    An open connection keeps the values of each statement's last run, and glibc what was freed, for the next time:
    after emails of 15 MiB all processes kept 617 MB without this, 85 MB with it, 280 MB with malloc_trim alone.
    """
    received = settings.MIB + 1 if "HTTP_TRANSFER_ENCODING" in environ else int(environ.get("CONTENT_LENGTH") or 0)
    if max(received, resp.sent if resp else 0) > settings.MIB:
        database.stop()
        if hasattr(_libc, "malloc_trim"):  # glibc
            _libc.malloc_trim(0)


_libc = ctypes.CDLL(None)


def pre_request(worker: Any, req: Any) -> None:
    """gunicorn's own logs the path, where it was told to log everything."""


def post_fork(server: Any, worker: Any) -> None:
    """Until it has handlers of its own, a worker has its master's, and would never know that it was told to end."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


wsgi_app = "app:create_app()"
_host = f"[{_settings['HOST']}]" if ":" in _settings["HOST"] else _settings["HOST"]  # IPv6
bind = f"{_host}:{_settings['PORT']}"

# Load the application before the workers are forked: what is wrong with the configuration is said once and ends the
# start, where a worker would be started again and again. No database connection may be open at the fork.
preload_app = True

# Two workers of four threads, of which one at a time works as long as none is slow. Measured on two processors with 16
# connections: gunicorn's "gthread" answers four fifths of the reads and seven tenths of the new emails; its "sync"
# closes each connection after an answer, and a client that keeps it open blocks the worker for two seconds. Three or
# four of our workers answer 5 % fewer reads and 13 to 16 % fewer new emails, as emails are written one after the other
# anyway. More threads cost only memory.
worker_class = ConnectorWorker
workers = _settings["WORKERS"]
threads = _settings["THREADS"]

# A large email's memory is not kept for the next one.
post_request = release_memory

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

# Workers show that they are alive by touching a file; on a disk that is busy this can make them wait.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() and os.access("/dev/shm", os.W_OK) else None

# A line of JSON a request on standard output, sentences on standard error (logs.py). The route is that of the
# application ("/api/v1/contacts/{id}"), put into the environment by app.py: the address itself may hold people's names
# and addresses, in its query and in ids alike.
accesslog = "-"
logger_class = DiscreetLogger

# No second way in: gunicorn listens for its own command-line tool in the user's home by default.
control_socket_disable = True
