"""What the public routes answer, for the API's description."""

from typing import Any

from gateway.dialects.described import Answer, Answers, binary, text
from gateway.statements import Statement

PROBLEM: dict[str, Any] = {
    "content": {
        "application/problem+json": {
            "schema": {
                "type": "object",
                "description": "RFC 9457. `error`, below /v1, is what OpenAI's clients read.",
                "required": ["type", "title", "status", "detail", "code"],
                "properties": {
                    "type": {"type": "string"},
                    "title": {"type": "string"},
                    "status": {"type": "integer"},
                    "detail": {"type": "string"},
                    "code": {"type": "string"},
                    "field": {"type": "string"},
                    "remedy": {"type": "string"},
                    "decision_url": {"type": "string"},
                    "error": {"type": "object"},
                },
            }
        }
    }
}

_IMAGES = ("image/png", "image/jpeg", "image/webp", "image/avif", "image/tiff")


class Layer(Answer):
    """What one way of checking found, in plain words, and how sure it is."""

    confidence: Any
    explanation: str


class Verification(Answer):
    """What is true of the file: a verdict, then each layer by itself."""

    verdict: str
    summary: str
    sha256: str
    media_type: str | None
    layers: dict[str, Layer]


class Receipt(Answer):
    """An entry with its proof in the log."""

    request_id: str
    index: int
    leaf: str
    proof: list[str]
    checkpoint: str


class Consistency(Answer):
    """RFC 6962: hashes in hex that lead from the old tree to the new one."""

    old: int
    new: int
    proof: list[str]


class Live(Answer):
    """The process answers."""

    status: str


class Ready(Answer):
    """Whether the gateway is ready, and what it waits for if it is not."""

    status: str
    waiting_for: list[str]


class Health(Answer):
    """What runs here."""

    system: str
    version: str
    provider: str
    policy: dict[str, str]
    accepted_gaps: list[dict[str, Any]]
    classifiers: list[dict[str, str]]
    models: list[dict[str, Any]]
    limits_degraded: bool


_EXPIRED: dict[int | str, dict[str, Any]] = {403: {"description": "`link_expired`", **PROBLEM}}

ANSWERS: Answers = {
    "GET /files/images/{name}": {200: binary(*_IMAGES), **_EXPIRED},
    "GET /files/manifests/{name}": {200: binary("application/c2pa")},
    "GET /files/uploads/{upload_id}": {200: binary(*_IMAGES), **_EXPIRED},
    "POST /v1/verify": {200: {"model": Verification}},
    "GET /v1/decisions/{decision}/reasons": {200: {"model": Statement}},
    "GET /d/{decision}": {200: text("text/html"), 404: text("text/html")},
    "GET /d/{decision}/receipt": {200: {"model": Receipt}},
    "GET /v1/log/checkpoint": {200: text("text/plain")},
    "GET /v1/log/key": {200: text("text/plain")},
    "GET /v1/log/consistency": {200: {"model": Consistency}},
    "GET /v1/receipts/{request_id}": {200: {"model": Receipt, **text("text/plain")}},
    "GET /health/live": {200: {"model": Live}},
    "GET /health/ready": {200: {"model": Ready}, 503: {"model": Ready, "description": "Not yet"}},
    "GET /health": {200: {"model": Health}},
    "GET /metrics": {200: text("text/plain")},
}
