"""What was accepted, for whoever waits for it: images in work, their outcomes, and the way to call them off."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from gateway.exchange import Outcome
from gateway.jobs import Jobs


@dataclass(frozen=True, slots=True)
class Work:
    """The accepted images of one call. `ids`: of their jobs, in the order of the images. `again`: an earlier call with
    the same idempotency key was accepted instead.

    Awaiting it gives the outcomes of all, in their order; whoever stops awaiting stops no work. Raises
    `LedgerUnavailable` or `LeaseLost` for all of them.
    """

    ids: tuple[str, ...]
    again: bool
    _tenant: str
    _jobs: Jobs
    _finished: Callable[[str], Coroutine[Any, Any, Outcome]]

    def __await__(self) -> Generator[Any, None, list[Outcome]]:
        return asyncio.shield(asyncio.gather(*map(self._finished, self.ids))).__await__()

    @property
    def steps_done(self) -> int:
        """Denoising steps done in this process, of all images."""
        return sum(map(self._jobs.steps_done_here, self.ids))

    async def call_off(self) -> None:
        """Stops what is not drawn yet; it ends as failed: `cancelled`."""
        for job_id in self.ids:
            with contextlib.suppress(SQLAlchemyError):  # what runs here stops without the database too
                await self._jobs.cancel(job_id, self._tenant)
