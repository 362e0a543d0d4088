"""Writes of concurrent callers together: one transaction and one wait for the disk for all who came meanwhile."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

MOST_TOGETHER = 256

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Batches(Generic[Item, Answer]):
    """Lives on one event loop. Alone, a caller waits for nobody.

    `write`: blocks; writes a group in one transaction and returns an answer, or the failure of that one, for each.
    `kind`: only items of one kind are written together.
    """

    def __init__(
        self, write: Callable[[Sequence[Item]], Sequence[Answer | Exception]], kind: Callable[[Item], object]
    ) -> None:
        self._write_group = write
        self._kind = kind
        self._waiting: list[tuple[Item, asyncio.Future[Answer]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def add(self, item: Item) -> Answer:
        """Returns once the item is on disk. Raises its own failure, or the database's: then no item of its group is."""
        done: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, done))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        return await done

    async def _write(self) -> None:
        while self._waiting:
            kind = self._kind(self._waiting[0][0])
            group = [each for each in self._waiting if self._kind(each[0]) == kind][:MOST_TOGETHER]
            self._waiting = [each for each in self._waiting if each not in group]
            answers: Sequence[Answer | Exception]
            try:
                answers = await asyncio.to_thread(self._write_group, [item for item, _ in group])
            except Exception as failure:  # noqa: BLE001  it belongs to the callers
                answers = [failure] * len(group)
            for (_, done), answer in zip(group, answers, strict=True):
                if done.done():  # its caller has gone
                    continue
                if isinstance(answer, Exception):
                    done.set_exception(answer)
                else:
                    done.set_result(answer)
