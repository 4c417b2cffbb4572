"""What the service tells of its work: a line of JSON a request for machines, and sentences for people.

The lines go to standard output, the sentences to standard error. Neither holds what somebody wrote: no path, query,
header or body; of an exception its type and its places in the code, but not its message, which may quote an email.
"""

import json
import logging
import re
import secrets
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPMethod
from typing import Any

from click import unstyle
from flask import has_request_context, request
from flask.logging import default_handler

from clock import now, stamp
from crm.records import BadRecord

# Of the WSGI environment, in which the application tells the server what to log.
REQUEST_ID, ROUTE, LABEL = "connector.request_id", "connector.route", "connector.token_label"

_HARMLESS = re.compile(r"[A-Za-z0-9._-]{1,64}")


def request_id(sent: str = "") -> str:
    """The id by which a request is found in the logs: the caller's own where it is harmless, else a new one."""
    return sent if _HARMLESS.fullmatch(sent) else secrets.token_hex(8)


def known(method: str) -> str:
    """A method of HTTP; "-" for others, which may be any word."""
    return method if method in HTTPMethod.__members__ else "-"


def line(environ: Mapping[str, Any], status: int | None, seconds: float) -> str:
    """A request as JSON: RFC 3339 time of the answer, id, method, route as the API's description has it, status, how
    long it took in milliseconds, and the label of the token, null where it has none."""
    label = environ.get(LABEL)
    return (  # what needs no escape is written as it is: of all that a request costs, its line is to be little
        f'{{"time": "{now()}", "requestId": "{environ.get(REQUEST_ID, "-")}", '
        f'"method": "{known(environ["REQUEST_METHOD"])}", "route": "{environ.get(ROUTE, "-")}", '
        f'"status": {status or "null"}, "ms": {seconds * 1000:.1f}, "token": {json.dumps(label)}}}'
    )


class Sentence(logging.Formatter):
    """Time, level, message, the id of the request that it is about, and where in the code an exception comes from."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        record.exc_text = None  # another handler's words for the exception, which would be used again
        return super().format(record)

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return stamp(datetime.fromtimestamp(record.created, UTC))

    def formatMessage(self, record: logging.LogRecord) -> str:
        message = super().formatMessage(record)
        if not sys.stderr.isatty():
            message = unstyle(message)  # Flask's own server writes colours into a file, too
        return f"{message} (request {request.environ.get(REQUEST_ID)})" if has_request_context() else message

    def formatException(self, ei: Any) -> str:
        parts: list[str] = []
        error: BaseException | None = ei[1]
        while error:
            said = f": {error}" if isinstance(error, BadRecord) else ""  # other messages may quote what was sent
            parts += [f"{type(error).__module__}.{type(error).__qualname__}{said}, at:\n"]
            parts += traceback.format_tb(error.__traceback__)
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return "".join(parts).rstrip()


def start() -> None:
    """Send the warnings of all modules to standard error, as sentences."""
    default_handler.setFormatter(Sentence())
    logging.getLogger().addHandler(default_handler)
