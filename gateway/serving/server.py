"""Runs the app in uvicorn: binds first, so that a taken port is an error before anything is built."""

import ctypes
import gc
import math
import resource
import socket
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

from gateway.errors import GatewayError
from gateway.serving.app import build_app
from gateway.serving.connections import OpenConnections, bounded_protocol, proxy_networks
from gateway.settings import Settings
from gateway.store.data_folder import open_data_folder
from gateway.wiring import wire


class PortTaken(GatewayError):
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
    gc.freeze()  # what is built by now stays: the collector would walk over all of it, again and again
    _keep_large_blocks_apart()
    _allow_files(settings.intake.connections)
    server = _Announcing(server_config(app, settings))
    server.ready = lambda: announce(url)
    server.run(sockets=[listening])


def server_config(app: ASGIApp, settings: Settings) -> uvicorn.Config:
    """How uvicorn runs `app`: with bounded connections, and with no proxy believed that the settings do not name."""
    networks = proxy_networks(settings.trusted_proxies)
    connections = OpenConnections(settings.intake, networks)
    return uvicorn.Config(
        app,
        http=bounded_protocol(settings.intake, connections, 2 * settings.max_upload_bytes),
        ws="none",
        timeout_keep_alive=math.ceil(settings.intake.idle_timeout_seconds),
        proxy_headers=bool(networks),
        forwarded_allow_ips=[str(network) for network in networks],
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=20,
    )


def _keep_large_blocks_apart() -> None:
    """Has glibc give large blocks, such as bodies, back to the system when they are freed. By itself it soon keeps all
    up to 32 MB, and what lies between smaller ones for good."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK_BYTES)


_M_MMAP_THRESHOLD = -3  # malloc.h
_LARGE_BLOCK_BYTES = 4 << 20


def _allow_files(connections: int) -> None:
    """Raises the soft limit on open files, so that every allowed connection can be accepted beside our own files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OWN_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


_OWN_FILES = 512


class _Announcing(uvicorn.Server):
    ready: Callable[[], None]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.ready()
