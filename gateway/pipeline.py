"""THE MAIN PATH. Read this first: how one request becomes a sealed picture, a refusal, or a failure with a name.

    1. Read the words, and the pictures sent in, before spending anything on them.
    2. Decide. Anything that holds or refuses stops here, with a receipt.
    3. Render.
    4. Look at the picture before anyone else does, and decide again: a decision only ever gets harder. Then finish it:
       recoloured or enlarged, it shows what was looked at, and gets the same decision.
    5. Seal. From here on only bytes exist, never bare pixels.
    6. Record. No receipt, no image: every outcome is built from the log's receipt and in no other way.

Every admitted request ends in exactly one log entry, also when a part breaks on the way; a part that breaks is a
failure, never a pass. Who may ask, and how much, was settled before (`gateway/limits/`); how an outcome looks to
the caller comes after (`gateway/dialects/`).
"""

import asyncio
from collections.abc import Callable
from threading import Event

from gateway.auth.identity import Principal
from gateway.exchange import ImageRequest, Outcome
from gateway.house import House
from gateway.stations.progress import Progress
from gateway.stations.records import UNRECORDABLE
from inference.engines import RenderOrder
from inference.errors import PART_FAILURES, RenderCancelled
from inference.finishing import finish
from policies.findings import Stage
from policies.verdicts import Verdict


async def produce(
    house: House,
    who: Principal,
    request: ImageRequest,
    *,
    attempt: int,
    on_step: Callable[[int, int], None],
    cancel: Event,
) -> Outcome:
    """Takes an accepted request through the six stations and returns its recorded outcome.

    `attempt` fences the job: a worker that lost its lease cannot record. `on_step(done, total)` counts denoising
    steps. Setting `cancel` stops the drawing at its next step. Raises `LedgerUnavailable` or `LeaseLost` if nothing
    could be recorded, and nothing else that a part can raise: a part that calls `sys.exit` ends its request.
    """
    policy = house.rulebook.policy_for(who.tenant, request.tolerance, subject=request.id)
    progress = Progress(request, who, policy, attempt)
    record = house.records

    def drawn(done: int, total: int) -> None:
        progress.steps_drawn = done
        on_step(done, total)

    try:
        if cancel.is_set():
            raise RenderCancelled

        # 1. Read the words, and every picture sent in, with what its credentials say.
        sent = await house.uploads.open(request, who.tenant)
        before = await house.chains.before(who, request)
        read = await house.screening.prompt(request.prompt, before)
        if request.revised_prompt is not None:  # it is what reaches the model
            read += await house.screening.prompt(request.revised_prompt)
        seen = [await house.uploads.screened(picture) for picture in sent.pictures]

        # 2. Decide about the words together with the pictures: what may be drawn may not be done to somebody in a
        #    picture. Then about each picture; asking again for what was refused makes it harder.
        progress.decide(read, Stage.PROMPT, seen)
        for found in seen:
            progress.decide(found, Stage.INPUT_IMAGE)
        await house.retries.weigh(progress)
        if progress.decision.stops:
            return await record.stopped(progress)
        house.chains.keep(who, request, before)

        # 3. Render.
        order = RenderOrder(
            request.drawn,
            request.model,
            init_pixels=sent.parent.pixels if sent.parent else None,
            mask=sent.mask,
            references=tuple(picture.pixels for picture in sent.references),
        )
        rendering = await house.dispatcher.render(order, progress=drawn, cancel=cancel, share=(who.tenant, who.key_id))
        progress.is_drawn = True

        # 4. Look at the picture, decide again.
        progress.decide(await house.screening.image(rendering.pixels, Stage.OUTPUT_IMAGE), Stage.OUTPUT_IMAGE)
        if progress.decision.verdict is Verdict.REFUSE:
            await house.retries.weigh(progress)
            return await record.stopped(progress)

        rendering = await asyncio.to_thread(finish, rendering, order.drawing.finish)

        # 5. Seal.
        sealed = await house.sealing.seal(rendering, request, sent, who.tenant)
        await house.pictures.keep(request.id, sealed.content_id, sealed.image)
    except UNRECORDABLE:
        raise
    except PART_FAILURES as failure:  # a part may raise anything, and each must end in the log
        return await asyncio.shield(record.failed(progress, failure))

    # 6. Record. Nothing from here on is cancelled: what is in the log has happened.
    return await asyncio.shield(record.sealed(progress, rendering, sealed))
