"""Compares a picture with sentences by an open_clip model: the image classifier `clip`.

The policy's data names the sentences:

    [[category]]
    id = "weapons"
    prompts = ["a photo of a gun", "a photo of a knife used as a weapon"]

    [benign]
    prompts = ["a photo of a landscape", "a photo of people having dinner"]

Score of a category c, with cos the cosine of picture and sentence embeddings, s the model's own trained logit scale and
T the option `prompt_temperature`:

    e(p)     = exp(s · cos(picture, p) / T)
    score(c) = Σ e(p) over p of c  /  ( Σ e(p) over p of c  +  Σ e(p) over benign p )

A large or long picture is also looked at in parts (`moderation/picture_views.py`); a category's highest score counts.

Categories do not compete with each other, only with the benign sentences, since one picture may well fall under two
that look alike; with `categories_compete` the sentences of all other categories join the benign ones. A picture equally
near to every sentence scores (sentences of c) / (sentences of c + benign sentences), so thresholds belong to one model
and one set of sentences and are to be calibrated on both.
"""

from typing import Annotated

import numpy
import numpy.typing
import torch
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from moderation.classifiers import Pixels
from moderation.errors import PartUnusable
from moderation.open_clip_models import ModelOptions
from policies.findings import Category, Finding, Stage

PART = "clip"

Prompts = Annotated[tuple[Annotated[str, StringConstraints(min_length=1, max_length=300)], ...], Field(min_length=1)]


class CategoryPrompts(BaseModel):
    """Sentences that describe pictures of one category."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Category
    prompts: Prompts


class BenignPrompts(BaseModel):
    """Sentences that describe what every category is weighed against."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompts: Prompts


class PromptTable(BaseModel):
    """One table of the policy's data; several are added up, and a category may stand in more than one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    category: tuple[CategoryPrompts, ...] = ()
    benign: BenignPrompts | None = None


class Clip:
    """Reports for each category of its data how much nearer the picture is to its sentences than to benign ones.

    `version` is `sha256:` over the weights' file. Equal pixels, weights and device give equal scores. One picture is
    looked at at a time: a second thread waits, so that memory is bounded. Nothing is fetched after construction.
    """

    name = PART
    version = "1"
    steady = True

    class Options(ModelOptions):
        """Also which sentences.

        `prompt_temperature`: T of the formula above. `categories_compete`: for categories that are different things,
        so that a dagger is not also said to be half a syringe.
        """

        data: tuple[PromptTable, ...]
        prompt_temperature: float = Field(default=1.0, gt=0.0, allow_inf_nan=False)
        categories_compete: bool = False

    def __init__(self, options: Options) -> None:
        """Loads the model and embeds every sentence. Raises `PartUnusable` if any of it is missing or does not fit."""
        by_category: dict[str, list[str]] = {}
        benign: list[str] = []
        for table in options.data:
            for described in table.category:
                by_category.setdefault(described.id.value, []).extend(described.prompts)
            benign += table.benign.prompts if table.benign else ()
        if not by_category or not benign:
            remedy = "Give at least one [[category]] and [benign] with prompts"
            raise PartUnusable(PART, "data", "nothing to compare pictures with", remedy)

        opened = options.opened()
        self.version = "sha256:" + opened.weights_digest
        self._opened = opened
        self._compete = options.categories_compete
        with torch.inference_mode():
            self._scale = float(opened.network.logit_scale.float().exp()) / options.prompt_temperature
            self._benign = self._embed(benign)
            self._described = {category: self._embed(prompts) for category, prompts in by_category.items()}

    @property
    def categories(self) -> frozenset[str]:
        """Exactly the categories of the data."""
        return frozenset(self._described)

    def classify(self, pixels: Pixels, stage: Stage) -> tuple[Finding, ...]:
        """One finding per category, sorted by category, scored as the module's docstring says.

        `pixels`: (height, width, 3), uint8, sRGB, of any size; not changed, not kept. Raises `ClassifierFailed` on
        anything else.
        """
        pictures = self._opened.look(pixels)
        scored = [self._scores(picture) for picture in pictures]
        return tuple(
            Finding(category, max(scores[category] for scores in scored), stage, self.name, self.version)
            for category in scored[0]
        )

    def _scores(self, picture: numpy.typing.NDArray[numpy.float32]) -> dict[str, float]:
        """By category, in order. `picture`: the embedding of one view."""
        benign = _log_sum_exp(self._scale * (self._benign @ picture))
        near = {name: _log_sum_exp(self._scale * (said @ picture)) for name, said in sorted(self._described.items())}

        def score(category: str) -> float:
            """The formula above with both sums as logarithms: a sigmoid of their difference."""
            others = [value for name, value in near.items() if self._compete and name != category]
            against = float(numpy.logaddexp.reduce([benign, *others]))
            return float(numpy.exp(-numpy.logaddexp(0.0, against - near[category])))

        return {category: score(category) for category in near}

    def _embed(self, prompts: list[str]) -> numpy.typing.NDArray[numpy.float32]:
        """(len(prompts), embedding width), rows of length one."""
        tokens = self._opened.tokenizer(prompts).to(self._opened.device)
        embedded = self._opened.network.encode_text(tokens, normalize=True).float().cpu().numpy()
        return numpy.asarray(embedded, dtype=numpy.float32)


def _log_sum_exp(logits: numpy.typing.NDArray[numpy.float32]) -> float:
    return float(numpy.logaddexp.reduce(logits.astype(numpy.float64)))
