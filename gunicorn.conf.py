"""How gunicorn serves the application. HOST, PORT, WORKERS and THREADS come from the environment (see settings.py).

Every name below is a setting of gunicorn's own: https://docs.gunicorn.org/en/stable/settings.html
"""

import os
import re
from pathlib import Path
from typing import Any

from gunicorn.glogging import Logger

import settings

_settings = settings.load(os.environ)


class DiscreetLogger(Logger):
    """Leaves out what people wrote.

    Of a request that can't be parsed gunicorn logs the line it stumbled over, and of one that fails the whole address:
    a look-up's query, a token or a piece of a mail.
    """

    def warning(self, msg: str, *args: Any, **kwargs: Any) -> None:
        msg = re.sub(r"^Invalid request from ip=\S*: ([\w ]*).*", r"Invalid request: \1", msg, flags=re.DOTALL)
        super().warning(msg, *args, **kwargs)

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        """Method, route, status, milliseconds. gunicorn's own first gathers all that any format could name."""
        method, route, status = environ["REQUEST_METHOD"], environ.get("connector.route", "-"), str(resp.status)[:3]
        self.access_log.info("%s %s %s %d ms", method, route, status, request_time.total_seconds() * 1000)

    def exception(self, msg: str, *args: Any, **kwargs: Any) -> None:
        super().exception(msg, *(str(arg).partition("?")[0] for arg in args), **kwargs)


wsgi_app = "app:create_app()"
_host = f"[{_settings['HOST']}]" if ":" in _settings["HOST"] else _settings["HOST"]  # IPv6
bind = f"{_host}:{_settings['PORT']}"

# Load the application before the workers are forked: what is wrong with the configuration is said once and ends the
# start, where a worker would be started again and again. No database connection may be open at the fork.
preload_app = True

# Threads, because each worker of the other kind ("sync") waits for its client to hang up after an answer: one client
# that keeps its connection open stops it for two seconds. A thread takes no connection that has nothing to read.
worker_class = "gthread"
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

# Workers show that they are alive by touching a file; on a disk that is busy this can make them wait.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() and os.access("/dev/shm", os.W_OK) else None

# One line a request on standard output, as DiscreetLogger writes it. The route is that of the application
# ("/api/v1/contacts/{id}"), put into the environment by app.py: the address itself may hold people's names and
# addresses, in its query and in ids alike.
accesslog = "-"
logger_class = DiscreetLogger

# No second way in: gunicorn listens for its own command-line tool in the user's home by default.
control_socket_disable = True
