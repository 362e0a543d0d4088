"""Puts a prompt into words that the model knows, if it knows few; whatever is put so is screened like any other prompt.

A property of the model: a card without a vocabulary is of a model that reads any words, and nothing is reworded for it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from inference.engines import ModelCard
from inference.rewording import Reworder


@dataclass(frozen=True, slots=True)
class Reworded:
    """`prompt`: what is drawn instead of the caller's, None for just that. `unknown`: words that are not drawn.

    `nothing_known`: no word of the prompt can be drawn, nor is one near to something that can.
    """

    prompt: str | None = None
    unknown: tuple[str, ...] = ()
    nothing_known: bool = False


AS_ASKED = Reworded()


class Rewriting:
    """Knows the vocabularies of the served models. Blocks for no more than a dictionary takes."""

    def __init__(self, cards: Iterable[ModelCard]) -> None:
        self._models = {card.id: Reworder(card.vocabulary) for card in cards if card.vocabulary is not None}

    def reword(self, model: str, prompt: str) -> Reworded:
        """How `model` is asked for what `prompt` asks for."""
        reworder = self._models.get(model)
        if reworder is None:
            return AS_ASKED
        said = reworder.reword(prompt)
        if said.prompt is None:
            return Reworded(unknown=said.unknown, nothing_known=True)
        return Reworded(None if said.prompt == prompt else said.prompt, said.unknown)

    def readable(self, model: str, prompt: str) -> str:
        """`prompt` as far as its length counts: words that the model does not know are passed over one by one."""
        reworder = self._models.get(model)
        return prompt if reworder is None else reworder.readable(prompt)
