"""What may leave the process as metrics and log lines: ids, codes and categories; never a prompt, a key or a person."""

import logging
import sys
import traceback
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
LIMITS_DEGRADED = Gauge("fluxgate_limits_degraded", "1 while local buckets stand in for Redis.", registry=REGISTRY)
TIMESTAMPS = Gauge("fluxgate_timestamps", "Signatures of this process by time-stamp.", ["result"], registry=REGISTRY)
CERTIFICATE_SECONDS_LEFT = Gauge(
    "fluxgate_certificate_seconds_left", "Seconds until the signing certificate ends.", registry=REGISTRY
)
RETRIES = Counter("fluxgate_retries_total", "Steps that asking again led to.", ["step"], registry=REGISTRY)
CHECKS = Counter("fluxgate_checks_total", "Checks of files from anybody.", ["result"], registry=REGISTRY)
LOG_SIZE = Gauge("fluxgate_log_size", "Entries in the transparency log.", registry=REGISTRY)


class JsonLines(logging.Formatter):
    """One JSON object a line. Exceptions appear by type and place alone: their words may quote a caller."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
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
