"""Which served model a name in a request stands for: a model's own id, or an alias that the operator chose.

Clients have names of other systems in their code. What they name decides which model draws and nothing else: manifest,
log entry and answer name the model that drew.
"""

from collections.abc import Mapping, Sequence

from gateway.parts import BootError
from inference.engines import ModelCard
from inference.errors import UnknownModel

EVERY_OTHER_NAME = "*"


def served_model(name: str | None, cards: Sequence[ModelCard], aliases: Mapping[str, str]) -> ModelCard:
    """The model that `name` stands for; without a name, the first one. Raises `UnknownModel`."""
    if name is None:
        return cards[0]
    by_id = {card.id: card for card in cards}
    found = by_id.get(name) or by_id.get(aliases.get(name, aliases.get(EVERY_OTHER_NAME, "")))
    if found is None:
        raise UnknownModel(tuple(by_id))
    return found


def aliases_of(card: ModelCard, aliases: Mapping[str, str]) -> list[str]:
    """The other names of a model, sorted; `*` if every name that is none leads to it."""
    return sorted(alias for alias, model in aliases.items() if model == card.id != alias)


def check_aliases(aliases: Mapping[str, str], cards: Sequence[ModelCard]) -> None:
    """Raises `BootError` for an alias that leads nowhere, and for one that is the id of another served model."""
    served = [card.id for card in cards]
    for alias, model in aliases.items():
        if model not in served:
            raise BootError(
                f"aliases: `{alias}` stands for `{model}`, which is not served here; choose {' or '.join(served)}."
            )
        if alias in served and alias != model:
            raise BootError(f"aliases: `{alias}` is a served model's own id and cannot stand for `{model}`; remove it.")
