"""Makes of a checked request one that its model can draw, before it is accepted: its size, its length, its words.

1. An edit without a size takes the aspect of its input image; whether something of that is cut off is told.
2. A prompt that the model would read only in part is refused, with its length and the limit.
3. For a model that knows few words the prompt is put into its own. If none of its words is near to one of them, the
   answer names them, unless the policy stops the prompt anyway: then it goes its way, to be refused and logged.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from gateway.auth.identity import Principal
from gateway.errors import BadRequest, UnknownWords
from gateway.exchange import ImageRequest
from gateway.notes import GUIDANCE_UNUSED, PROMPT_REVISED, Note, notes_on_size
from gateway.stations.rewriting import Rewriting
from gateway.stations.rulebook import Rulebook
from gateway.stations.screening import Screening
from inference.dispatch import Dispatcher
from inference.sizes import Fit, cuts, fit_to
from policies.evaluate import evaluate
from policies.findings import Stage


class Tailoring:
    """Asks the models' cards, tokenizers and vocabularies; the engines themselves are left alone."""

    def __init__(self, dispatcher: Dispatcher, screening: Screening, rulebook: Rulebook) -> None:
        self._dispatcher = dispatcher
        self._rewriting = Rewriting(dispatcher.models)
        self._screening = screening
        self._rulebook = rulebook

    def sized(self, request: ImageRequest, sent: tuple[int, int] | None) -> ImageRequest:
        """`sent`: width and height of the input image, None if there is none. Pure."""
        drawing = request.drawing
        fitted = Fit(drawing.width, drawing.height, drawing.finish.size, drawing.finish.stretch)
        if sent is not None and request.fits_input:
            fitted = fit_to(self._dispatcher.card(request.model), *sent)
        elif sent is not None:
            fitted = replace(fitted, cuts_input=cuts(*sent, fitted))
        return replace(
            request,
            drawing=replace(
                drawing,
                width=fitted.width,
                height=fitted.height,
                finish=replace(drawing.finish, size=fitted.size, stretch=fitted.stretch),
            ),
            cuts_input=fitted.cuts_input,
            notes=(*notes_on_size(fitted), *self._on_guidance(request)),
        )

    async def worded(self, who: Principal, request: ImageRequest, fields: Mapping[str, str]) -> ImageRequest:
        """The request with the prompt that is drawn. Raises `BadRequest` or `UnknownWords`; nothing is logged then."""
        field = fields.get("prompt", "prompt")
        model = self._dispatcher.card(request.model)
        readable = self._rewriting.readable(model.id, request.prompt)
        tokens = await asyncio.to_thread(self._dispatcher.prompt_tokens, model.id, readable)
        if tokens is not None and tokens > model.text_tokens:
            raise BadRequest(field, f"has {tokens} tokens, and this model reads {model.text_tokens}", "Shorten it")
        said = self._rewriting.reword(model.id, request.prompt)
        if not said.nothing_known:
            notes = request.notes if said.prompt is None else (*request.notes, PROMPT_REVISED)
            return replace(request, revised_prompt=said.prompt, not_drawn=said.unknown, notes=notes)
        # An edit has its input image to go by; and what its words mean for that, only the pipeline judges.
        if not request.uploads and not await self._is_stopped(who, request):
            raise UnknownWords(field, said.unknown)
        return request

    def _on_guidance(self, request: ImageRequest) -> tuple[Note, ...]:
        card = self._dispatcher.card(request.model)
        is_idle = not card.uses_guidance and request.drawing.guidance != card.default_guidance
        return (GUIDANCE_UNUSED,) if is_idle else ()

    async def _is_stopped(self, who: Principal, request: ImageRequest) -> bool:
        policy = self._rulebook.policy_for(who.tenant, request.tolerance, subject=request.id)
        read = await self._screening.prompt(request.prompt)
        return evaluate(policy, read, stage=Stage.PROMPT, assurance=int(who.assurance)).stops
