"""The FastAPI app over the house: routes of every dialect, a lifespan, and one shape for what no dialect answers."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import HTTPException as FastAPIHTTPException
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match

from gateway.desk import Desk
from gateway.dialects.dialect import AskingRoute, Dialect, speaker_at
from gateway.house import House
from gateway.intake.admission import Intake
from gateway.jobs import Jobs
from gateway.parts import BootError, build_part, part_names
from gateway.problems import Problem
from gateway.serving.api_page import PAGE_HEADERS, api_page
from gateway.serving.envelope import Envelope
from gateway.serving.public.routes import Public
from gateway.version import SYSTEM, SYSTEM_VERSION

_NO_ROUTES: dict[str, Any] = {
    "docs_url": None,  # these pages would load scripts from strangers' servers
    "redoc_url": None,
    "redirect_slashes": False,  # the redirection would name whatever host the caller named
}
_DESCRIPTION = """
A self-hosted gateway for FLUX image generation. Every request is a known caller's, within limits, its words and
pictures screened before anything is drawn; every picture is screened, watermarked, C2PA-signed and entered into a
tamper-evident log, or it does not leave. Send your API key as `Authorization: Bearer fg_…`.

The mark in a picture does not discharge a deployer's own duty to label deep fakes (AI Act Art 50(4)).
"""


log = logging.getLogger("fluxgate.boot")

_UNROUTED = {
    404: ("not_found", "Not found", "There is no such route."),
    405: ("method_not_allowed", "Method not allowed", "This route does not take this method."),
}
_UNREADABLE = ("invalid_request", "Request not usable", "The request cannot be read.")


def _methods(routes: Iterable[BaseRoute], request: Request) -> set[str]:
    """The methods that some route at this path takes: a path may have a route for each."""
    there = (route for route in routes if isinstance(route, APIRoute))
    return {
        method for route in there if route.matches(request.scope)[0] is not Match.NONE for method in route.methods or ()
    }


def build_app(house: House, dialects: Sequence[Dialect] | None = None) -> FastAPI:
    """The app. `dialects`: all installed ones unless given."""
    if dialects is None:
        dialects = [build_part("dialects", name, house.settings.parts.get(name, {})) for name in part_names("dialects")]
    jobs = Jobs(house)
    desk = Desk(house, jobs)
    public = Public(house, lambda: jobs.in_work)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        log.info("loading the model")
        await house.dispatcher.start()
        await jobs.start()
        keeping = [asyncio.create_task(house.moderation_log.keep()), asyncio.create_task(house.uploads.keep())]
        yield
        for task in keeping:
            task.cancel()
        await asyncio.wait(keeping)
        await jobs.close()
        await house.close()

    app = FastAPI(title=SYSTEM, version=SYSTEM_VERSION, description=_DESCRIPTION, lifespan=lifespan, **_NO_ROUTES)
    app.state.desk, app.state.jobs = desk, jobs
    app.state.intake = Intake(desk, house.settings, house.limit_settings)
    app.state.routes = routes = list[BaseRoute]()
    speakers = (*dialects, public)
    for dialect in speakers:
        router = dialect.router(desk)
        if not all(isinstance(route, AskingRoute) for route in router.routes):
            raise BootError(f"dialect {dialect.name}: make its router with route_class=speaking(self)")
        routes += router.routes
        app.include_router(router)

    @app.exception_handler(HTTPException)
    @app.exception_handler(FastAPIHTTPException)
    async def unrouted(request: Request, failure: HTTPException) -> Response:
        code, title, detail = _UNROUTED.get(failure.status_code, _UNREADABLE)
        problem = Problem(failure.status_code, code, title, detail, remedy="See /docs for the routes there are.")
        response = speaker_at(request.url.path, speakers).problem(problem, request)
        if failure.status_code == 405:
            response.headers["Allow"] = ", ".join(sorted(_methods(routes, request)))
        return response

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(api_page(app.openapi()), headers=PAGE_HEADERS)

    app.add_middleware(Envelope)
    return app
