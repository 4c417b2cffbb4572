"""GET /metrics: what was answered and how fast, in Prometheus' text format; there only with METRICS=on.

Each worker counts in files of its own, which is the client library's multiprocess mode; the one that is asked adds all
of them up, also those of workers that have ended, so no number ever falls while the service runs. It needs no token,
as Prometheus calls from inside: it names nobody, but tells how much mail there is. A proxy should not pass it on.
"""

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flask import Blueprint, Response

_FOLDER = tempfile.mkdtemp(prefix="connector-metrics-")
_MAKER = os.getpid()
os.environ["PROMETHEUS_MULTIPROC_DIR"] = _FOLDER

# Not above: the library reads the variable as it is imported.
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Histogram, generate_latest  # noqa: E402
from prometheus_client.multiprocess import MultiProcessCollector  # noqa: E402
from prometheus_client.registry import Collector  # noqa: E402

metrics = Blueprint("metrics", __name__)

_REQUESTS = Counter(
    "connector_requests",
    "Answers. Of POST /api/v1/emails 201 is a new email and 200 a copy; 503: the database can't serve.",
    ["method", "route", "status"],
    registry=None,
)
_SECONDS = Histogram(
    "connector_request_duration_seconds",
    "From the head of a request to the end of its answer.",
    ["method", "route"],
    buckets=[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registry=None,
)
_LOOKUPS = Counter(
    "connector_lookups",
    "Look-ups that were answered, by whether anything was found (hit) or not (miss).",
    ["route", "outcome"],
    registry=None,
)


class _AllWorkers(Collector):
    def collect(self) -> Iterable[Any]:
        # A file is empty for a moment after it was made, and for ever if the worker was killed in it. The library's own
        # collector fails of one: https://github.com/prometheus/client_python/issues/1199
        return MultiProcessCollector.merge([str(file) for file in Path(_FOLDER).glob("*.db") if file.stat().st_size])


@metrics.get("/metrics")
def show() -> Response:
    """The sums of all workers."""
    return Response(generate_latest(_AllWorkers()), content_type=CONTENT_TYPE_LATEST)


def observe(method: str, route: str, status: int | None, seconds: float, sent: int) -> None:
    """Count an answer, of so many bytes."""
    _REQUESTS.labels(method, route, status).inc()
    _SECONDS.labels(method, route).observe(seconds)
    if route.endswith("/lookup") and (method, status) == ("GET", 200):
        _LOOKUPS.labels(route, "hit" if sent > len("[]\n") else "miss").inc()


@atexit.register
def _remove() -> None:
    if os.getpid() == _MAKER:  # not as a worker ends
        shutil.rmtree(_FOLDER, ignore_errors=True)
