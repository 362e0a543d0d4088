"""Checks files from anybody in processes of their own: few at once, few waiting, each with a limit on CPU time and
memory, and ended when it passes them. The first one starts with the first check; idle ones end.

A process is started bare, not forked: it holds none of our memory, files, variables or keys
(`gateway/verifying/checking.py`).
"""

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any, Final

import orjson

from gateway import telemetry
from gateway.errors import CheckFailed, CheckTooCostly, ServerBusy
from gateway.settings import Settings, VerifyOptions, bare_environment
from gateway.verifying.checking import CheckerSetup
from gateway.verifying.verifier import Records

log = logging.getLogger("fluxgate.checks")

_START_SECONDS: Final = 120.0
_WALL_FACTOR: Final = 4  # of the CPU time, and half a minute: a check stands back behind whatever has a key
_WALL_SECONDS: Final = 30.0
_IDLE_SECONDS: Final = 60.0
_CHECKS_EACH: Final = 200  # then a fresh process takes over: nothing that leaks grows for ever
_MOST_SAID_BYTES: Final = 1 << 20
_TOO_COSTLY: Final = frozenset({-signal.SIGXCPU, -signal.SIGABRT})  # out of time; out of memory in native code
_QUESTIONS: Final = frozenset(name for name in vars(Records) if not name.startswith("_"))


def checker_setup(
    settings: Settings,
    watermark_key: bytes,
    anchors_pem: str,
    timestamp_anchors_pem: str,
    organisations: frozenset[str],
) -> CheckerSetup:
    """Of the settings only what verification needs: no URL, no path, no option of another part."""
    marks = {settings.watermarker, *settings.also_read, *settings.foreign_marks}
    parts = {name: dict(options) for name, options in settings.parts.items() if name in marks}
    if "tile" in marks:
        parts.setdefault("tile", {}).setdefault("keys", [{"id": "own", "hex": watermark_key.hex()}])
    kept = ("watermarker", "also_read", "foreign_marks", "max_upload_bytes", "max_upload_pixels", "unsafe_development")
    needed = Settings(**{name: getattr(settings, name) for name in kept}, parts=parts)
    options = settings.verify
    return CheckerSetup(
        needed,
        anchors_pem,
        timestamp_anchors_pem,
        organisations,
        options.cpu_seconds,
        options.memory_megabytes * 1_000_000,
    )


class Checks:
    """`records`: what the processes may ask. All methods but `close` belong to one event loop."""

    def __init__(self, setup: CheckerSetup, records: Records, options: VerifyOptions) -> None:
        self._setup = setup
        self._records = records
        self._workers = options.workers or max(1, min(4, (os.cpu_count() or 1) // 2))
        self._places = self._workers + options.waiting
        self._inside = 0
        self._pool = ThreadPoolExecutor(self._workers, "fluxgate-checks")
        self._lock = threading.Lock()
        self._idle: list[_Process] = []
        self._all: set[_Process] = set()
        self._closed = False
        self._rest: asyncio.TimerHandle | None = None

    async def verify(self, data: bytes, beside: bytes | None = None) -> dict[str, Any]:
        """`gateway.verifying.verifier.to_dict` of the file. Raises `ServerBusy`, `CheckTooCostly`, `CheckFailed`, or
        what the records raise."""
        return await self._run("verify", data, beside)

    async def match(self, data: bytes, hinted: list[str]) -> dict[str, Any]:
        """`{verdict, algorithm, pdq, record, hinted}` of the file, records as `{content_id, same_picture, score}`."""
        return await self._run("match", data, hinted)

    def close(self) -> None:
        """Ends all processes, whatever they do."""
        with self._lock:
            self._closed = True
            ending, self._idle = list(self._all), []
        for process in ending:
            process.end()
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _run(self, kind: str, data: bytes, more: Any) -> dict[str, Any]:
        if self._inside >= self._places or self._closed:
            telemetry.CHECKS.labels("busy").inc()
            raise ServerBusy
        self._inside += 1
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._pool, self._check, kind, data, more)
        work.add_done_callback(lambda _: self._left(loop))
        return await asyncio.shield(work)  # a caller who leaves does not free the place before the work is over

    def _left(self, loop: asyncio.AbstractEventLoop) -> None:
        self._inside -= 1
        if self._rest is not None:
            self._rest.cancel()
        self._rest = loop.call_later(_IDLE_SECONDS, self._end_idle)

    def _end_idle(self) -> None:
        with self._lock:
            ending, self._idle = self._idle, []
        for process in ending:
            self._drop(process)

    def _check(self, kind: str, data: bytes, more: Any) -> dict[str, Any]:
        """In a thread of the pool: with an idle process, or with a new one."""
        with self._lock:
            process = self._idle.pop() if self._idle else None
        if process is None:
            process = _Process(self._setup)
            with self._lock:
                self._all.add(process)
        try:
            said = process.check(kind, data, more, self._answer)
        except BaseException as failure:
            self._drop(process)
            result = "too_costly" if isinstance(failure, CheckTooCostly) else "failed"
            telemetry.CHECKS.labels(result).inc()
            log.warning("a check ended early: %s", type(failure).__name__)
            raise
        telemetry.CHECKS.labels("done").inc()
        with self._lock:
            keep = not self._closed and process.checks < _CHECKS_EACH
            if keep:
                self._idle.append(process)
        if not keep:
            self._drop(process)
        return said

    def _drop(self, process: "_Process") -> None:
        process.end()
        with self._lock:
            self._all.discard(process)

    def _answer(self, asked: dict[str, Any]) -> Any:
        """What the records say. The question comes from a process that may have been taken over by a file."""
        if asked["ask"] not in _QUESTIONS:
            raise CheckFailed
        subject = bytes.fromhex(asked["hex"]) if "hex" in asked else str(asked["text"])
        return getattr(self._records, asked["ask"])(subject)


class _Process:
    """One process. Used by one thread at a time."""

    def __init__(self, setup: CheckerSetup) -> None:
        ours, theirs = socket.socketpair()
        self._seconds = _WALL_SECONDS + _WALL_FACTOR * setup.cpu_seconds
        self.checks = 0
        with theirs:
            self._child = subprocess.Popen(  # noqa: S603  our own module
                [sys.executable, "-P", "-B", "-m", "gateway.verifying.checking", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                env=bare_environment() | {"PYTHONPATH": os.pathsep.join(filter(None, map(os.path.abspath, sys.path)))},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # whoever interrupts the gateway at a terminal does not interrupt this
            )
        self._connection = Connection(ours.detach())
        try:
            self._connection.send(setup)
            self._received(_START_SECONDS)
        except (EOFError, ConnectionError, ServerBusy) as failure:
            self.end()
            raise CheckFailed from failure

    def check(self, kind: str, data: bytes, more: Any, answer: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """Raises `CheckTooCostly`, `CheckFailed`, `ServerBusy`, or what `answer` raises; then it has to be ended."""
        self.checks += 1
        deadline = time.monotonic() + self._seconds
        try:
            self._connection.send((kind, more))
            self._connection.send_bytes(data)  # not pickled: that would be a copy of it
            while True:
                said = self._received(deadline - time.monotonic())
                if "ask" not in said:
                    break
                self._connection.send(answer(said))
        except (EOFError, ConnectionError):
            raise (CheckTooCostly if self._child.wait() in _TOO_COSTLY else CheckFailed) from None
        except (ValueError, KeyError, TypeError) as failure:  # what it says is not what it was made to say
            raise CheckFailed from failure
        if "said" not in said:
            raise CheckTooCostly if said.get("costly") else CheckFailed
        found: dict[str, Any] = said["said"]
        return found

    def end(self) -> None:
        """Kills it. May be called more than once, and from another thread."""
        self._child.kill()
        self._child.wait()

    def _received(self, seconds: float) -> dict[str, Any]:
        if not self._connection.poll(max(0.0, seconds)):
            raise ServerBusy  # it had its share of time on the wall, not on the processor
        said: dict[str, Any] = orjson.loads(self._connection.recv_bytes(_MOST_SAID_BYTES))
        return said
