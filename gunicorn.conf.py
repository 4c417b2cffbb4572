"""How gunicorn serves the application. HOST, PORT, WORKERS and THREADS come from the environment (see settings.py).

Every name below is a setting of gunicorn's own: https://docs.gunicorn.org/en/stable/settings.html
"""

import os
import select
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

from gunicorn.glogging import Logger

import logs
import settings
from worker import Worker, give_memory_back

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
        line = f"{logs.line(environ, status, seconds)}\n"
        for handler in self.access_log.handlers:  # a record of logging's would take 15 µs, a tenth of a request
            with suppress(OSError, ValueError):  # nobody reads the log any more
                handler.stream.write(line)
                handler.stream.flush()
        if _settings["METRICS"] == "on":
            route = environ.get(logs.ROUTE, "-")
            observe(logs.known(environ["REQUEST_METHOD"]), route, status, seconds, resp.sent)


def on_starting(server: Any) -> None:
    """gunicorn's own words for an address that can't be used are many, and come for five seconds."""
    settings.check_address(_settings)


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

# Two workers of four threads, of which one at a time is at work as long as none is slow. gunicorn's other workers were
# measured, on two processors with 16 connections. Its own with threads ("gthread") answers four fifths of the reads and
# seven tenths of the mails. The one without ("sync") closes each connection after an answer, and waits for its client
# to do the same: who keeps it open stops the worker for two seconds. Of this one, three or four workers answer 5 %
# fewer reads and 13 to 16 % fewer mails than two, as mails are written one after the other anyway; for a machine with
# more processors that was not measured. More threads cost nothing but memory: each is one more slow call that stops
# nobody.
# Where the system has no epoll, gunicorn's own will do for development.
worker_class = Worker if hasattr(select, "epoll") else "gthread"
workers = _settings["WORKERS"]
threads = _settings["THREADS"]

# A large mail's memory is not kept for the next one.
post_request = give_memory_back

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
