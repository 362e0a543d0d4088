"""Whether an image can be made now: everything that a request needs is tried, in threads of its own, with an end.

    engine        every model is loaded
    database      takes a write, which is rolled back
    data_folder   takes a small file
    disk_space    at least `LEAST_FREE_BYTES` are free where data and images are kept
    blob_store    takes a small file, and gives it back
    signer        signs with a certificate that is valid and not revoked
    classifiers   every one answers about a harmless prompt and a plain image
    redis         answers, if limits are counted there

Answers are kept for a moment, so that asking often costs little. `/health/live` asks none of this.
"""

import asyncio
import logging
import os
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np
from sqlalchemy import update

from gateway.errors import GatewayError
from gateway.house import House
from gateway.store.schema import key_changes
from policies.findings import UNANSWERED, Stage

log = logging.getLogger("fluxgate.health")

LEAST_FREE_BYTES: Final = 64 << 20
FRESH_SECONDS: Final = 1.5
PATIENCE_SECONDS: Final = 3.0
"""What takes longer does not answer."""

_SLOW: Final = {"classifiers": (5.0, 15.0)}  # seconds fresh, seconds of patience: a busy machine is not a broken one


class NotAnswering(GatewayError):
    """A part does not do what a request needs of it."""


class Readiness:
    """Of one gateway. Lives on one event loop."""

    def __init__(self, house: House) -> None:
        self._house = house
        checks: dict[str, Callable[[], None]] = {
            "engine": self._engine,
            "database": self._database,
            "data_folder": self._data_folder,
            "disk_space": self._disk_space,
            "blob_store": house.pictures.try_store,
            "signer": house.signer.try_key,
            "classifiers": self._classifiers,
        }
        self._probes: Mapping[str, _Probe] = {
            name: _Probe(name, check, *_SLOW.get(name, (FRESH_SECONDS, PATIENCE_SECONDS)))
            for name, check in checks.items()
        }

    async def missing(self) -> list[str]:
        """Names of what is missing, in the order above; empty if images can be made."""
        asked = await asyncio.gather(*(probe.answers() for probe in self._probes.values()), self._redis())
        return [name for name, there in zip((*self._probes, "redis"), asked, strict=True) if not there]

    async def _redis(self) -> bool:
        return await self._house.limits.answers(PATIENCE_SECONDS)

    # -- blocking, each in its own thread -----------------------------------------------------------------------

    def _engine(self) -> None:
        if not self._house.dispatcher.ready:
            raise NotAnswering

    def _database(self) -> None:
        with self._house.database.connect() as connection, connection.begin() as transaction:
            connection.execute(update(key_changes).values(count=key_changes.c.count))
            transaction.rollback()

    def _data_folder(self) -> None:
        file = self._house.settings.data_dir / f".ready-{secrets.token_hex(8)}"
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, bytes(4096))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
            file.unlink()

    def _disk_space(self) -> None:
        local = self._house.pictures.local_folder
        for folder in {self._house.settings.data_dir, *([local] if local is not None else ())}:
            if shutil.disk_usage(_existing(folder)).free < LEAST_FREE_BYTES:
                raise NotAnswering

    def _classifiers(self) -> None:
        screening = self._house.screening
        plain = np.full((256, 256, 3), 128, np.uint8)
        plain.setflags(write=False)
        findings = (*screening.read("a red apple"), *screening.look(plain, Stage.OUTPUT_IMAGE))
        if silent := sorted({each.classifier for each in findings if each.category == UNANSWERED}):
            raise NotAnswering(", ".join(silent))


def _existing(folder: Path) -> Path:
    return next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())


class _Probe:
    """One check in a thread of its own: while one hangs no other is begun."""

    def __init__(self, name: str, check: Callable[[], None], fresh_seconds: float, patience_seconds: float) -> None:
        self._name = name
        self._check = check
        self._fresh_seconds = fresh_seconds
        self._patience_seconds = patience_seconds
        self._pool = ThreadPoolExecutor(1, f"ready-{name}")
        self._running: Future[bool] | None = None
        self._began = 0.0
        self._last: bool | None = None

    async def answers(self) -> bool:
        now = time.monotonic()
        if self._running is None or (self._running.done() and now - self._began >= self._fresh_seconds):
            self._running, self._began = self._pool.submit(self._try), now
        running = self._running
        left = self._patience_seconds - (now - self._began)
        if not running.done() and left > 0:
            # A check that was answered before is not waited for long: what it said last is true until it is late.
            wait = left if self._last is None else min(left, 1.0)
            await asyncio.wait([asyncio.wrap_future(running)], timeout=wait)
        if running.done():
            self._last = running.result()
        elif time.monotonic() - self._began >= self._patience_seconds:
            self._last = False
        return bool(self._last)

    def _try(self) -> bool:
        try:
            self._check()
        except (Exception, SystemExit) as failure:  # noqa: BLE001  whatever a part raises: it is not ready
            detail = f": {failure}" if isinstance(failure, NotAnswering) and str(failure) else ""
            log.warning("not ready: %s (%s%s)", self._name, type(failure).__name__, detail)
            return False
        return True
