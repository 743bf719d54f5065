"""What the page counts, for Prometheus: https://prometheus.io/docs/instrumenting/exposition_formats/

Labels take few values: endpoints are the routes of our own and some of Gradio's, models are those on offer. The
memory of the process and its CPU time come with the client library (Linux only).
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from time import perf_counter

from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from starlette.routing import BaseRoute, Match, Mount, Route
from starlette.types import Scope

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
CONTENT_TYPE = CONTENT_TYPE_LATEST

disable_created_metrics()  # a time beside each number, which nobody asked for

REQUESTS = Counter("translate_requests", "Requests that were answered", ("endpoint", "status"))
REQUEST_SECONDS = Histogram(
    "translate_request_seconds", "Time until the answer was sent", ("endpoint",), buckets=SECONDS
)
PICTURES = Counter("translate_pictures", "Pictures that were converted, failed ones included", ("model", "result"))
PICTURE_SECONDS = Histogram("translate_picture_seconds", "Time that a picture took", ("model",), buckets=SECONDS)
WAITING = Gauge("translate_waiting", "Requests that wait for their turn")

_OF_GRADIO = ("call", "run", "file=", "queue/join", "queue/data", "upload", "heartbeat")
"""Paths under /gradio_api/ that are counted by themselves."""


@contextmanager
def counted(model: str) -> Generator[None]:
    """Count a picture and the time that it takes within the block."""
    begun, result = perf_counter(), "failed"
    try:
        yield
        result = "converted"
    finally:
        PICTURES.labels(model, result).inc()
        PICTURE_SECONDS.labels(model).observe(perf_counter() - begun)


def endpoint(scope: Scope, routes: Sequence[BaseRoute]) -> str:
    """What a request is counted as: the pattern of its route, or a part of Gradio; everything else is `page`."""
    path: str = scope["path"]
    for route in routes:
        if isinstance(route, Route | Mount) and route.matches(scope)[0] != Match.NONE:
            return route.path
    rest = path.removeprefix("/gradio_api/")
    if rest == path:
        return "page"
    return next((f"/gradio_api/{known}" for known in _OF_GRADIO if rest.startswith(known)), "/gradio_api")


def text() -> bytes:
    """All numbers in the format of Prometheus."""
    return generate_latest()
