"""Waits with a client for its images, and calls them off when it leaves."""

import asyncio
import contextlib
from typing import Annotated

from fastapi import Header, Request
from sqlalchemy.exc import SQLAlchemyError

from gateway.auth.identity import Principal
from gateway.desk import Desk
from gateway.exchange import Outcome
from gateway.store.jobs import Accepted

KeyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="any text of up to 255 characters: for a day, the same request with the same key is not drawn "
        "again, and gets the same images",
    ),
]
"""For the description; `Desk.idempotency_key` reads it."""


async def outcomes(desk: Desk, request: Request, who: Principal, accepted: Accepted) -> list[Outcome]:
    """The outcomes of all jobs of one call, in their order. Raises `LedgerUnavailable` or `LeaseLost` for all of them.

    If the client closes its connection first, what is not drawn yet is called off: nobody would get it. So it is if no
    answer can be given. With an idempotency key it is not: the client comes again, and gets these images.
    """
    keyed = "idempotency-key" in request.headers
    waiting = asyncio.gather(*(desk.finished(who, job_id) for job_id in accepted.ids))
    leaving = asyncio.create_task(_left(request))
    try:
        await asyncio.wait((waiting, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done() and not keyed:
            await _call_off(desk, who, accepted)
        return await waiting
    except BaseException:
        if not keyed:
            await _call_off(desk, who, accepted)
        raise
    finally:
        leaving.cancel()


async def _call_off(desk: Desk, who: Principal, accepted: Accepted) -> None:
    for job_id in accepted.ids:
        with contextlib.suppress(SQLAlchemyError):  # what runs here stops without the database too
            await desk.jobs.cancel(job_id, who.tenant)


async def _left(request: Request) -> None:
    """Returns once the client has closed its connection; its whole body has been read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
