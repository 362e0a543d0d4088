"""From a model folder to its card: the family's facts, overruled by the folder's sheet, overruled by the operator."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from inference.engines import ModelCard
from inference.errors import WeightsError
from inference.flux.families import Family, is_cleared
from inference.flux.modes import names_of
from inference.flux.weights import ModelFolder
from inference.vocabulary import read_vocabulary

SHEET = "fluxgate-model.json"
"""What a model folder says about itself beyond diffusers' files. Optional."""

_PUBLISHED_SIZE = (1024, 1024)  # what the published FLUX models were trained around
_PUBLISHED_MIN_SIDE = 256  # FLUX.1 model cards: from 0.1 megapixels, here as a side
_PUBLISHED_MAX_SIDE = 2048
_MOST_TEXT_TOKENS = 512  # of any FLUX pipeline

Side = Annotated[int, Field(ge=16, le=8192)]


class ModelSheet(BaseModel):
    """Facts that neither the weights nor diffusers' configuration carry; whatever is left out follows the family.

    `trained`: false for random weights. Sides in pixels. `text_tokens`: text window to render with, at most 512;
    a shorter one is faster. `max_enlarged_side`: sizes up to this that the
    model does not draw are made by enlarging what it does. The operator's options overrule the sheet.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    description: Annotated[str, Field(max_length=500)] = ""
    trained: bool = True
    licence: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    commercial_use: bool | None = None
    default_size: tuple[Side, Side] | None = None
    min_side: Side | None = None
    max_side: Side | None = None
    default_steps: Annotated[int, Field(ge=1, le=1000)] | None = None
    max_steps: Annotated[int, Field(ge=1, le=1000)] | None = None
    max_enlarged_side: Side | None = None
    text_tokens: Annotated[int, Field(ge=8, le=512)] | None = None

    @model_validator(mode="after")
    def _licence_goes_with_clearance(self) -> Self:
        if self.commercial_use and self.licence is None:
            raise ValueError("commercial_use needs the licence that grants it")
        return self


def read_sheet(folder: Path) -> ModelSheet:
    """The folder's sheet, an empty one if it has none. Raises `WeightsError` naming file and fields at fault."""
    path = folder / SHEET
    if not path.is_file():
        return ModelSheet()
    try:
        return ModelSheet.model_validate_json(path.read_bytes())
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors())
        raise WeightsError(f"{path} is not a valid model sheet ({faults}); mend or remove it") from error


def build_card(
    folder: ModelFolder,
    family: Family,
    digest: str,
    *,
    model_id: str | None,
    trained: bool | None,
    licence: str | None,
    commercial_use: bool | None,
    price_credits: int,
) -> ModelCard:
    """The card of the model in `folder`. `digest`: of its weights; the rest is the operator's word, None where silent.

    Raises `WeightsError` for a sheet that is broken or names sizes the model cannot draw.
    """
    sheet = read_sheet(folder.path)
    default_size = sheet.default_size or _PUBLISHED_SIZE
    min_side = sheet.min_side or min(_PUBLISHED_MIN_SIDE, *default_size)
    max_side = sheet.max_side or max(_PUBLISHED_MAX_SIDE, *default_size)
    # One latent per 2**(stages - 1) pixels, then packed two by two: as the pipelines compute it.
    multiple_of = 2 ** len(folder.config("vae")["block_out_channels"])
    if any(side % multiple_of for side in (*default_size, min_side, max_side)):
        raise WeightsError(f"{folder.path / SHEET}: this model's sides are multiples of {multiple_of} pixels")
    max_steps = sheet.max_steps or family.max_steps
    return ModelCard(
        id=model_id or sheet.id or folder.hub_id or f"local/{folder.path.name}",
        description=sheet.description,
        family=family.name,
        licence=licence or sheet.licence or family.licence,
        commercial_use=_first(commercial_use, sheet.commercial_use, is_cleared(family, folder.hub_id)),
        trained=_first(trained, sheet.trained),
        modes=names_of(family.modes),
        default_steps=min(sheet.default_steps or family.default_steps, max_steps),
        max_steps=max_steps,
        default_size=default_size,
        min_side=min_side,
        max_side=max_side,
        max_pixels=min(family.max_pixels, max_side * max_side),
        multiple_of=multiple_of,
        price_credits=price_credits,
        default_guidance=family.default_guidance,
        uses_guidance=family.uses_guidance,
        uses_strength=family.uses_strength,
        text_tokens=min(sheet.text_tokens or family.text_tokens, _MOST_TEXT_TOKENS),
        weights_digest=digest,
        max_enlarged_side=sheet.max_enlarged_side or 0,
        vocabulary=read_vocabulary(folder.path),
    )


def _first(*answers: bool | None) -> bool:
    """The first that is an answer; False if none is."""
    return next((answer for answer in answers if answer is not None), False)
