"""What OpenAPI says of every route beside its parameters: who may call it, what it answers, and how it says no.

A route gets the refusals of its dialect by what it asks for (`gateway/intake/admission.py`); its own answers stand in
the dialect's `answers`. Generated clients know both.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from fastapi import params
from fastapi.security import APIKeyHeader, HTTPBearer
from pydantic import BaseModel, ConfigDict

from gateway.auth.identity import KEY_HEADERS
from gateway.intake.admission import Asks
from gateway.problems import documented

Answers = Mapping[str, dict[int | str, dict[str, Any]]]
"""`METHOD /path` → status → what FastAPI's `responses` takes."""

_BEARER = HTTPBearer(
    scheme_name="key", bearerFormat="fg_…", description="`Authorization: Bearer fg_…`", auto_error=False
)
KEY: Final = [
    params.Depends(_BEARER),
    *(params.Depends(APIKeyHeader(name=name, scheme_name=f"key in {name}", auto_error=False)) for name in KEY_HEADERS),
]
"""For the description alone: nothing of it decides, that is `Desk.identify`'s to do."""

_HEADERS: Final[dict[int, dict[str, Any]]] = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}, "description": "how to send a key"}},
    429: {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds after which to ask again"}},
    503: {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds after which to ask again"}},
}


class Answer(BaseModel):
    """Base of what routes answer, for the description. More fields may come with a later version."""

    model_config = ConfigDict(extra="allow")


def binary(*media_types: str) -> dict[str, Any]:
    """An answer that is a file."""
    return {"content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in media_types}}


def text(*media_types: str) -> dict[str, Any]:
    """An answer that is text."""
    return {"content": {kind: {"schema": {"type": "string"}} for kind in media_types}}


def refusals(asks: Asks, method: str, unusable: int, error: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    """Status → description and shape. `unusable`: the dialect's status for a request that cannot be used."""
    statuses = {unusable, 404, 500, 503}
    if asks.scope is not None:
        statuses |= {401, 403, 429}
    if asks.rated:
        statuses.add(429)
    if method == "POST":
        statuses |= {400, 408, 409, 413, 415}
    made: dict[int | str, dict[str, Any]] = {}
    for status in sorted(statuses & {unusable, *_codes()}):
        codes = _codes().get(status, set()) | (_codes()[422] if status == unusable else set())
        headers = {"headers": _HEADERS[status]} if status in _HEADERS else {}
        made[status] = {"description": f"One of {', '.join(f'`{code}`' for code in sorted(codes))}", **headers, **error}
    # FastAPI adds an answer of its own, which is never given, where nothing speaks for 422.
    made["4XX"] = {"description": "Another fault of the request", **error}
    return made


@cache
def _codes() -> dict[int, set[str]]:
    found: dict[int, set[str]] = {}
    for problem in documented():
        found.setdefault(problem.status, set()).add(problem.code)
    return found
