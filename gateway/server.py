"""Runs the app in uvicorn: binds first, so that a taken port is an error before anything is built."""

import socket
from collections.abc import Callable

import uvicorn

from gateway.app import build_app
from gateway.data_folder import open_data_folder
from gateway.settings import Settings
from gateway.wiring import wire


class PortTaken(Exception):
    """Somebody else listens there."""


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises `PortTaken`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as failure:
        listening.close()
        raise PortTaken(f"cannot listen on {host}:{port} ({failure.strerror}): choose another --port") from failure
    return listening


def serve(settings: Settings, announce: Callable[[str], None]) -> None:
    """Serves until a signal ends it. `announce` gets the base URL once requests are answered."""
    listening = bind(settings.host, settings.port)
    host, port = listening.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    app = build_app(wire(open_data_folder(settings.data_dir, settings)))
    server = _Announcing(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=20))
    server.ready = lambda: announce(url)
    server.run(sockets=[listening])


class _Announcing(uvicorn.Server):
    ready: Callable[[], None]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.ready()
