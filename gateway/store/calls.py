"""Runs blocking calls off the event loop, in named threads of their own, each answered within a time."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from gateway.store.database import DatabaseSilent

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


class DatabaseCalls:
    """Reads, and writes that may happen after nobody waits for them any more: a call that is given up still ends.

    `seconds`: after these the caller gets `DatabaseSilent`, also while every thread waits for a database that hangs.
    """

    def __init__(self, seconds: float, threads: int = 16) -> None:
        self._seconds = seconds
        self._pool = ThreadPoolExecutor(threads, "database")

    async def __call__(
        self, call: Callable[Arguments, Answer], *values: Arguments.args, **named: Arguments.kwargs
    ) -> Answer:
        """What `call` returns or raises, or `DatabaseSilent`."""
        work = asyncio.get_running_loop().run_in_executor(self._pool, lambda: call(*values, **named))
        try:
            return await asyncio.wait_for(work, self._seconds)
        except TimeoutError:
            raise DatabaseSilent("the database did not answer in time") from None

    def close(self) -> None:
        """Waits for no call that hangs."""
        self._pool.shutdown(wait=False, cancel_futures=True)
