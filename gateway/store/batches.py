"""Inserts rows of concurrent callers together: one transaction and one wait for the disk for all who came meanwhile."""

import asyncio
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine, Table, insert

MAX_ROWS = 256


class Batches:
    """Rows of one table. Lives on one event loop. Alone, a caller waits for nobody."""

    def __init__(self, engine: Engine, table: Table) -> None:
        self._engine = engine
        self._insert = insert(table)
        self._waiting: list[tuple[Mapping[str, Any], asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def insert(self, row: Mapping[str, Any]) -> None:
        """Returns once the row is on disk. Raises what the database raises: then no row of its group is there."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((row, done))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        await done

    async def _write(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting[:MAX_ROWS], self._waiting[MAX_ROWS:]
            failure: Exception | None = None
            try:
                await asyncio.to_thread(self._commit, [row for row, _ in group])
            except Exception as error:  # noqa: BLE001  it belongs to the callers
                failure = error
            for _, done in group:
                if done.done():  # its caller has gone
                    continue
                if failure is None:
                    done.set_result(None)
                else:
                    done.set_exception(failure)

    def _commit(self, rows: list[Mapping[str, Any]]) -> None:
        with self._engine.begin() as connection:
            connection.execute(self._insert, rows)
