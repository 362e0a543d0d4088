"""What a model that was trained on few things can draw, in its own words, and which of them comes nearest to others.

A property of the model: the file `fluxgate-vocabulary.json` in its folder. A model without one reads any words.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from inference.errors import WeightsError

VOCABULARY = "fluxgate-vocabulary.json"

Words = Annotated[str, Field(min_length=1, max_length=80)]


class Thing(BaseModel):
    """Something it draws. `words`: what it is called, the usual name first. `coloured`: whether colour words count."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    words: tuple[Words, ...] = Field(min_length=1)
    plural: bool = False
    coloured: bool = False


class Place(BaseModel):
    """Where things stand. `phrases`: behind a thing, such as "at night". `alone`: what the place itself is called."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Words
    phrases: tuple[Words, ...] = Field(min_length=1)
    alone: tuple[Words, ...] = Field(min_length=1)


class Vocabulary(BaseModel):
    """All of it, in lower case.

    `known`: words that change a picture or nothing, such as "tilted" and "the", wherever they stand. `near`: another
    word → what comes nearest: the word of a thing, `@` and the name of a place, or both ("tree @meadow").
    `most_things`: in one picture.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    things: tuple[Thing, ...] = Field(min_length=1)
    places: tuple[Place, ...]
    colours: tuple[Words, ...]
    sizes: tuple[Words, ...]
    orders: tuple[Words, ...] = Field(description="what may stand between two things, such as 'left of'")
    backgrounds: tuple[Words, ...] = Field(description="what a colour before it makes the ground, such as 'wall'")
    known: frozenset[str]
    near: Mapping[str, str]
    most_things: Annotated[int, Field(ge=1)]

    def described(self) -> dict[str, list[str]]:
        """For a reader: names of things and places, and what may be said of them."""
        return {
            "things": [thing.words[0] for thing in self.things],
            "places": [place.alone[0] for place in self.places],
            "sizes": list(self.sizes),
            "colours": list(self.colours),
            "things_in_colours": [thing.words[0] for thing in self.things if thing.coloured],
            "between_two_things": list(self.orders),
        }

    @model_validator(mode="after")
    def _nearest_is_drawn(self) -> "Vocabulary":
        things = {word for thing in self.things for word in thing.words}
        places = {place.name for place in self.places}
        for nearest in self.near.values():
            thing, place = thing_and_place(nearest)
            if not nearest or not {thing} - {""} <= things or not {place} - {""} <= places:
                raise ValueError(f"near leads to {nearest}, which is not drawn")
        return self


def thing_and_place(nearest: str) -> tuple[str, str]:
    """The two halves of a value of `near`: a thing's word and a place's name, either of them "" if it names none."""
    thing, _, place = nearest.partition("@")
    return thing.strip(), place


def read_vocabulary(folder: Path) -> Vocabulary | None:
    """The model's vocabulary; None for one that reads any words. Raises `WeightsError` for a broken file."""
    path = folder / VOCABULARY
    if not path.is_file():
        return None
    try:
        return Vocabulary.model_validate_json(path.read_bytes())
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"])) or "file"
        raise WeightsError(f"{path} is not a valid vocabulary ({where}); fetch it again or remove it") from error
