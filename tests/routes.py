"""Lists the routes that a dialect declares, without building a house behind it."""

from collections.abc import Iterator
from typing import Any
from unittest.mock import MagicMock

from fastapi.routing import APIRoute

from gateway.limits import LimitSettings


def declared_routes(speaker: Any) -> Iterator[tuple[str, str, str]]:
    """(method, path, summary) of each route. Declaring asks the desk for nothing but the public limit."""
    desk = MagicMock()
    desk.house.limit_settings = LimitSettings(60, 300, 1000.0, 30)
    for route in speaker.router(desk).routes:
        if isinstance(route, APIRoute):
            for method in sorted(route.methods or ()):
                yield method, route.path, route.summary or ""
