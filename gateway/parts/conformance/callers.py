"""Checks of identity providers and of dialects: the parts that face callers."""

import asyncio
import inspect
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from gateway.auth.identity import NotAuthenticated, Principal
from gateway.dialects.dialect import AskingRoute
from gateway.parts.conformance.samples import Samples
from gateway.problems import Problem


def identity_faults(part: Any, samples: Samples) -> Iterator[str]:
    """Faults of an identity provider."""
    if not inspect.iscoroutinefunction(part.identify_fresh):
        yield "`identify_fresh` must be a coroutine function: `async def`"
        return
    for headers in ({}, {"accept": "image/png"}):
        answer = _asked(part, headers)
        if answer is not None:
            yield f"`identify_fresh` must return None for a request without credentials, and gave {_named(answer)}"
    if samples.credentials:
        answer = _asked(part, samples.credentials)
        if not isinstance(answer, Principal):
            yield f"`identify_fresh` must return a `Principal` for `credentials`, and gave {_named(answer)}"
        elif not answer.key_id or not answer.tenant:
            yield "the principal lacks a key id or a tenant"
        elif any(value and value in repr(answer) for value in samples.credentials.values()):
            yield "the principal holds the credential itself: only a public id may leave the provider"
    if samples.refused_credentials:
        answer = _asked(part, samples.refused_credentials)
        if not isinstance(answer, NotAuthenticated):
            yield f"`identify_fresh` must raise `NotAuthenticated` for `refused_credentials`, and gave {_named(answer)}"
        elif any(value and value in str(answer) for value in samples.refused_credentials.values()):
            yield "the exception quotes the credential"


def _asked(part: Any, headers: Mapping[str, str]) -> Any:
    try:
        return asyncio.run(part.identify_fresh(headers, datetime.now(UTC)))
    except Exception as error:  # noqa: BLE001  it is the answer
        return error


def _named(answer: object) -> str:
    return "None" if answer is None else type(answer).__name__


def dialect_faults(part: Any, samples: Samples) -> Iterator[str]:
    """Faults of a dialect: its routes, and its way to say no."""
    if not isinstance(part.prefix, str) or (part.prefix and (part.prefix[0] != "/" or part.prefix[-1] == "/")):
        yield "`prefix` must be empty, or begin with a slash and not end with one"
        return
    if part.unusable not in (400, 422):
        yield "`unusable` must be 400 or 422, the status of a request that cannot be used"
    if not isinstance(part.error, dict) or not part.error:
        yield '`error` must describe the shape of errors for the API\'s description, such as `{"model": …}`'
    routes = part.router(_AnyDesk()).routes
    if not routes:
        yield "`router` must return at least one route"
    for route in routes:
        yield from _route_faults(part, route)
    yield from _problem_faults(part)


def _route_faults(part: Any, route: BaseRoute) -> Iterator[str]:
    path = getattr(route, "path", "?")
    if not isinstance(route, AskingRoute):
        yield f"{path} is no route of this dialect: make the router with `route_class=speaking(self)`"
        return
    if not f"{path}/".startswith(f"{part.prefix}/") and not path.startswith("/.well-known/"):
        yield f"{path} lies outside the prefix {part.prefix!r}: another dialect would answer for its errors"
    missing = [method for method in sorted(route.methods or ()) if f"{method} {path}" not in part.answers]
    if missing:
        yield f"`answers` does not describe {', '.join(missing)} {path}"


def _problem_faults(part: Any) -> Iterator[str]:
    problem = Problem(429, "rate_limited", "Too many requests", "There were too many requests.")
    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": part.prefix or "/",
        "headers": [],
        "query_string": b"",
    }
    answer = part.problem(problem, Request(scope))
    if not isinstance(answer, Response):
        yield "`problem` must return a response"
        return
    if answer.status_code != problem.status:
        yield f"`problem` answered {answer.status_code} to a problem of status {problem.status}"
    if problem.detail not in bytes(answer.body).decode("utf-8", "replace"):
        yield "`problem` must tell the caller the problem's `detail`"


class _AnyDesk:
    """Stands where the desk will be while routes are built: every attribute is there, and holds nothing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *arguments: object, **options: object) -> Any:
        return self

    def __iter__(self) -> Iterator[Any]:
        return iter(())
