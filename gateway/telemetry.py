"""What may leave the process as metrics and log lines: ids, codes and categories; never a prompt, a key or a person."""

import logging
import sys
import time
import traceback
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any

import orjson
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()
OUTCOMES = Counter("fluxgate_outcomes_total", "Requests by outcome.", ["outcome", "dialect"], registry=REGISTRY)
ANSWERS = Counter("fluxgate_http_answers_total", "HTTP answers.", ["method", "status"], registry=REGISTRY)
ANSWER_SECONDS = Histogram(
    "fluxgate_http_answer_seconds",
    "Time from the request's first byte to the answer's last.",
    registry=REGISTRY,
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100),
)
IN_WORK = Gauge("fluxgate_jobs_in_work", "Accepted pictures this process is working on.", registry=REGISTRY)
QUEUE_DEPTH = Gauge("fluxgate_render_queue_depth", "Orders waiting for the engine.", registry=REGISTRY)
LIMITS_DEGRADED = Gauge(
    "fluxgate_limits_degraded",
    "1 while Redis does not answer.",
    registry=REGISTRY,
)
TIMESTAMPS = Gauge("fluxgate_timestamps", "Signatures of this process by time-stamp.", ["result"], registry=REGISTRY)
CERTIFICATE_SECONDS_LEFT = Gauge(
    "fluxgate_certificate_seconds_left", "Seconds until the signing certificate ends.", registry=REGISTRY
)
STOPS = Counter(
    "fluxgate_stops_total",
    "Held and refused requests, by every category and stage that a deciding rule named.",
    ["outcome", "category", "stage"],
    registry=REGISTRY,
)
STAGE_SECONDS = Histogram(
    "fluxgate_stage_seconds",
    "Time of a request by stage: prompt and image until each was decided on (engine: of that, on the device), sealing, "
    "recording.",
    ["stage"],
    registry=REGISTRY,
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300),
)
RETRIES = Counter("fluxgate_retries_total", "Steps that asking again led to.", ["step"], registry=REGISTRY)
CHECKS = Counter("fluxgate_checks_total", "Checks of files from anybody.", ["result"], registry=REGISTRY)
LOG_SIZE = Gauge("fluxgate_log_size", "Entries in the transparency log.", registry=REGISTRY)


REQUEST_IDS: ContextVar[list[str]] = ContextVar("REQUEST_IDS")
"""The ids that an HTTP request's entries have in the log; `Envelope` makes the list, the desk adds to it."""

_requests = logging.getLogger("fluxgate.requests")


def entry_will_have(request_id: str) -> None:
    """Makes `request_id` the `x-request-id` of the answer that is being made, if one is."""
    REQUEST_IDS.get([]).append(request_id)


def entries_are_those_of(request_ids: Iterable[str]) -> None:
    """The same for an answer about requests that were accepted before."""
    REQUEST_IDS.get([])[:] = request_ids


class Laps:
    """How long each stage of one request took, in seconds. A stage ends where the next one begins."""

    def __init__(self) -> None:
        self._since = time.perf_counter()
        self.seconds: dict[str, float] = {}

    def end(self, stage: str) -> None:
        """Ends `stage`, which began where the last one ended."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._since
        self._since = now


def request_ended(
    *,
    request_id: str,
    outcome: str,
    dialect: str,
    stage: str,
    stops: Iterable[tuple[str, str]],
    failure: str | None,
    seconds: dict[str, float],
) -> None:
    """Counts a request that has its entry, and writes one line about it. `stops`: category and stage of each reason."""
    OUTCOMES.labels(outcome, dialect).inc()
    stopped = sorted(set(stops))
    for category, where in stopped:
        STOPS.labels(outcome, category, where).inc()
    for name, took in seconds.items():
        STAGE_SECONDS.labels(name).observe(took)
    said: dict[str, Any] = {
        "request_id": request_id,
        "outcome": outcome,
        "dialect": dialect,
        "stage": stage,
        "categories": sorted({category for category, _ in stopped}),
        "failure": failure,
        "seconds": {name: round(took, 4) for name, took in seconds.items()},
    }
    _requests.info("request ended", extra={"fields": said})


class JsonLines(logging.Formatter):
    """One JSON object a line. Exceptions appear by type and place alone: their words may quote a caller."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[0]:
            line["exception"] = record.exc_info[0].__name__
            frames = traceback.extract_tb(record.exc_info[2])
            line["at"] = [f"{frame.filename}:{frame.lineno}" for frame in frames[-6:]]
        return orjson.dumps(line).decode()


def configure_logging(level: int = logging.INFO) -> None:
    """Sends everything to standard error as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("uvicorn.access").disabled = True  # URLs may carry what a caller typed; metrics count instead
