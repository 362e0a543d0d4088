"""What a dialect is: routes in a foreign wire shape, and that shape's way of saying no. It translates, nothing else."""

import re
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, ClassVar, Protocol

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from slowapi.errors import RateLimitExceeded
from starlette.exceptions import HTTPException

from gateway.desk import Desk
from gateway.dialects.described import KEY, Answers, refusals
from gateway.errors import BadRequest, GatewayError
from gateway.intake.admission import Intake, asked_by, called
from gateway.limits import LimitReached
from gateway.limits.headers import limit_headers
from gateway.problems import Problem, problem_of
from inference.errors import PART_FAILURES

_WHERE = frozenset({"body", "query", "path", "flat", "nested", "str"})  # places and union tags, not names of fields
_FIELD = re.compile(r"[A-Za-z0-9_.-]{1,64}")  # what may be a field's name; anything else is content, and not echoed


RECEIPT_HEADER = "X-Fluxgate-Receipt"
"""Holds the address of the receipt: proxies take 4 kB of headers together by default, and a receipt is longer."""


class Dialect(Protocol):
    """One wire format. Found by entry point `fluxgate.dialects`; knows no other dialect.

    `prefix`: every path below it is this dialect's, also one that is no route: `/v1`. `unusable`: the status of a
    request that cannot be used. `error`, `answers`: their shapes, for the API's description (`described.py`).
    """

    name: str
    version: str
    prefix: str
    unusable: int
    error: ClassVar[dict[str, Any]]
    answers: Answers

    def router(self, desk: Desk) -> APIRouter:
        """The routes, made with `route_class=speaking(self)` so that every error leaves in this dialect's shape."""
        ...

    def problem(self, problem: Problem, request: Request) -> Response:
        """`problem` in this dialect's shape."""
        ...


def speaker_at(path: str, dialects: Iterable[Dialect]) -> Dialect:
    """In whose shape an error at `path` leaves: the dialect with the longest prefix. One of them has the prefix ''."""
    at = [dialect for dialect in dialects if f"{path}/".startswith(f"{dialect.prefix}/")]
    return max(at, key=lambda dialect: len(dialect.prefix))


class AskingRoute(APIRoute):
    """A route that reads nothing before it knows who asks. The gateway starts with no other."""


def speaking(dialect: Dialect) -> type[APIRoute]:
    """A route class that asks for a key before anything is read (`gateway/intake/admission.py`), turns every exception
    into the dialect's own error, and adds our headers."""

    class Route(AskingRoute):
        def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
            (method,) = options["methods"]
            asks = asked_by(endpoint)
            refused = refusals(asks, method, dialect.unusable, dialect.error)
            answers = dialect.answers[f"{method} {path}"]
            options["responses"] = refused | answers
            if "content" in answers.get(200, {}):
                options["response_class"] = Response  # a file or a text: FastAPI would describe JSON beside it
            if asks.scope is not None:
                options["dependencies"] = [*(options.get("dependencies") or ()), *KEY]
            super().__init__(path, endpoint, **options)

        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()
            asks, name = asked_by(self.endpoint), f"{'/'.join(sorted(self.methods or ()))} {self.path}"

            async def answer(request: Request) -> Response:
                intake: Intake = request.app.state.intake
                try:
                    async with intake.admitted(request, asks, name) as admitted:
                        response = await handle(admitted)
                except PART_FAILURES as failure:  # the last place where it can get the right shape
                    response = refusal(dialect, failure, request)
                response.headers.update(getattr(request.state, "headers", {}))
                return response

            return answer

    return Route


def refusal(dialect: Dialect, failure: BaseException, request: Request) -> Response:
    """The answer to an exception, in the dialect's shape."""
    desk: Desk = request.app.state.desk
    problem = desk.telling.explained(called(request), problem_of(_translated(failure)))
    _let_go(failure)
    if problem.status >= 500:
        request.state.failure = failure  # for the access log: its type, never its words
    response = dialect.problem(problem, request)
    if problem.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"  # RFC 9110, section 15.5.2
    if problem.retry_after is not None:
        response.headers["Retry-After"] = str(problem.retry_after)
    if isinstance(failure, LimitReached):
        response.headers.update(limit_headers(failure.state))
    return response


def _let_go(failure: BaseException | None) -> None:
    """Frees what a foreseen failure holds: its traceback keeps the frames, and they the body, in a cycle that only the
    garbage collector ends, long after the body's memory was counted as free."""
    while isinstance(failure, GatewayError | HTTPException | RequestValidationError):
        failure.__traceback__ = None
        failure = failure.__cause__ or failure.__context__


def _translated(failure: BaseException) -> BaseException:
    """FastAPI's own exceptions as ours; bodies are never echoed, so only place and kind of the fault are taken over."""
    if isinstance(failure, RequestValidationError):
        first = failure.errors()[0]
        where = ".".join(str(step) for step in first["loc"] if step not in _WHERE and "[" not in str(step))
        field = where if _FIELD.fullmatch(where) and first["type"] != "json_invalid" else "body"
        return BadRequest(field, *_explained(first["type"], first["msg"], first.get("ctx", {})))
    if isinstance(failure, HTTPException) and not isinstance(failure, RateLimitExceeded):
        if isinstance(failure.__cause__, GatewayError):  # raised while FastAPI read the body
            return failure.__cause__
        return BadRequest("body", "cannot be read", "Send a complete body of the type that Content-Type says")
    return failure


def _explained(kind: str, message: str, context: dict[str, Any]) -> tuple[str, str]:
    match kind:
        case "missing":
            return "is missing", "Send it"
        case "extra_forbidden":
            return "is or holds no field of this request", "Remove it, or check its spelling"
        case "none_required":
            return "is not offered here", "Leave it out"
        case "json_invalid":
            return f"is not valid JSON ({context.get('error', 'syntax error')})", "Send one JSON object"
        case "union_tag_invalid":
            return "has an unknown type", "Send one of the documented types"
        case "literal_error":
            offered = context["expected"].replace("'", "").replace("False", "false").replace("True", "true")
            return "has a value that is not offered here", f"Send {offered}, or leave it out"
        case _:
            return "has a value that cannot be used", message
