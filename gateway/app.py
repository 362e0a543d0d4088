"""The FastAPI app from parts: routes of every dialect, a lifespan, and one shape for what no dialect answers."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import HTTPException as FastAPIHTTPException
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException

from gateway.api_page import api_page
from gateway.asgi import Envelope
from gateway.desk import Desk
from gateway.dialects.dialect import Dialect
from gateway.jobs import Jobs
from gateway.parts import build_part, part_names
from gateway.problems import Problem
from gateway.public import Public
from gateway.version import SYSTEM, SYSTEM_VERSION
from gateway.wiring import Parts

_MULTIPART_OVERHEAD_BYTES = 64 * 1024
_NO_PAGES: dict[str, Any] = {"docs_url": None, "redoc_url": None}  # they would load scripts from strangers' servers
_DESCRIPTION = """
A self-hosted gateway for FLUX image generation. Every request is a known caller's, within limits, its words and
pictures screened before anything is drawn; every picture is screened, watermarked, C2PA-signed and entered into a
tamper-evident log, or it does not leave. Send your API key as `Authorization: Bearer fg_…`.

The mark in a picture does not discharge a deployer's own duty to label deep fakes (AI Act Art 50(4)).
"""


def build_app(parts: Parts, dialects: Sequence[Dialect] | None = None) -> FastAPI:
    """The app. `dialects`: all installed ones unless given."""
    if dialects is None:
        dialects = [build_part("dialects", name, parts.settings.parts.get(name, {})) for name in part_names("dialects")]
    jobs = Jobs(parts)
    desk = Desk(parts, jobs)
    public = Public()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await parts.dispatcher.start()
        await jobs.start()
        yield
        await jobs.close()
        await parts.close()

    app = FastAPI(title=SYSTEM, version=SYSTEM_VERSION, description=_DESCRIPTION, lifespan=lifespan, **_NO_PAGES)
    app.state.desk = desk
    for dialect in (*dialects, public):
        app.include_router(dialect.router(desk))

    @app.exception_handler(HTTPException)
    @app.exception_handler(FastAPIHTTPException)
    async def unrouted(request: Request, failure: HTTPException) -> Response:
        known = {404: ("not_found", "There is no such route."), 405: ("method_not_allowed", "Not with this method.")}
        code, detail = known.get(failure.status_code, ("invalid_request", "The request cannot be read."))
        remedy = "See /docs for the routes there are."
        problem = Problem(failure.status_code, code, str(failure.detail), detail, remedy=remedy)
        return public.problem(problem, request)

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(api_page(app.openapi()))

    app.add_middleware(Envelope, max_body_bytes=parts.settings.max_upload_bytes + _MULTIPART_OVERHEAD_BYTES)
    return app
