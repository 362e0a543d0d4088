"""Waits with a client for its images, and calls them off when it leaves."""

import asyncio
from typing import Annotated

from fastapi import Header, Request

from gateway.exchange import Outcome
from gateway.work import Work

KeyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="any text of up to 255 characters: for a day, the same request with the same key is not drawn "
        "again, and gets the same images",
    ),
]
"""For the description; `Desk.idempotency_key` reads it."""


async def outcomes(request: Request, work: Work) -> list[Outcome]:
    """The outcomes of all images of one call, in their order.

    If the client closes its connection first, what is not drawn yet is called off: nobody would get it. So it is if no
    answer can be given. With an idempotency key it is not: the client comes again, and gets these images.
    """
    keyed = "idempotency-key" in request.headers
    waiting = asyncio.ensure_future(work)
    leaving = asyncio.create_task(_left(request))
    try:
        await asyncio.wait((waiting, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done() and not keyed:
            await work.call_off()
        return await waiting
    except BaseException:
        if not keyed:
            await work.call_off()
        raise
    finally:
        leaving.cancel()


async def _left(request: Request) -> None:
    """Returns once the client has closed its connection; its whole body has been read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
