"""The file of linear probes: what is in it, how it is written and read. Probes are trained in `probe_training.py`.

JSON of a few kilobytes per category. A picture's embedding e, of length one, gets the probability

    p(category) = 1 / (1 + exp(-(slope · (weights · e + bias) + intercept)))

`slope` and `intercept` calibrate (J. Platt, 1999) on folds that the weights were not fitted on. Weights say something
about embeddings of one model only, so the file carries digests of what made them.
"""

import hashlib
import os
from pathlib import Path
from typing import Annotated, Literal

import numpy
import numpy.typing
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from moderation.errors import PartUnusable
from policies.findings import OF_FILES_SENT_IN, OF_PROMPTS, Category

PART = "probe"

FLOOR = frozenset({Category.CSAE, Category.NCII})
"""Never trained on folders: pictures of these must not be collected. Lists of known pictures are for them."""

TRAINABLE = frozenset(Category) - FLOOR - OF_FILES_SENT_IN - OF_PROMPTS - {Category.EVASION}
"""What pixels can show."""

MAX_BYTES = 16 * 1024 * 1024

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Real = Annotated[float, Field(allow_inf_nan=False)]
Embeddings = numpy.typing.NDArray[numpy.float32]


class CategoryProbe(BaseModel):
    """One category against everything else. `regularisation`: the L2 strength; `pictures`: how many have the label."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: tuple[Real, ...]
    bias: Real
    slope: Annotated[Real, Field(gt=0.0)]
    intercept: Real
    regularisation: Annotated[Real, Field(gt=0.0)]
    pictures: Annotated[int, Field(gt=0)]

    def probabilities(self, embeddings: Embeddings) -> numpy.typing.NDArray[numpy.float64]:
        """(pictures,), in [0, 1]. `embeddings`: (pictures, width), rows of length one."""
        logits = embeddings.astype(numpy.float64) @ numpy.array(self.weights) + self.bias
        return numpy.asarray(numpy.exp(-numpy.logaddexp(0.0, -(self.slope * logits + self.intercept))))


class ProbeFile(BaseModel):
    """The whole file. `eyes_sha256`: over all that an embedding depends on, `OpenedModel.eyes_digest`."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    format: Literal["fluxgate-probe/1"] = "fluxgate-probe/1"
    model: str
    weights_sha256: Digest
    eyes_sha256: Digest
    width: Annotated[int, Field(gt=0)]
    seed: int
    harmless_pictures: Annotated[int, Field(gt=0)]
    categories: Annotated[dict[Category, CategoryProbe], Field(min_length=1)]

    @field_validator("categories")
    @classmethod
    def _pixels_show(cls, probes: dict[Category, CategoryProbe]) -> dict[Category, CategoryProbe]:
        if strange := sorted(probes.keys() - TRAINABLE):
            raise ValueError(f"no probe can be trained for {strange[0]}")
        return probes

    @model_validator(mode="after")
    def _widths_agree(self) -> "ProbeFile":
        for category, probe in self.categories.items():
            if len(probe.weights) != self.width:
                raise ValueError(f"{category.value} has {len(probe.weights)} weights, the file says {self.width}")
        return self


def write_probe(probe: ProbeFile, path: Path) -> None:
    """Writes the file whole or not at all; raises `OSError`."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(probe.model_dump_json() + "\n", "utf-8")
    os.replace(partial, path)


def read_probe(path: Path, sha256: str | None = None) -> tuple[ProbeFile, str]:
    """The probes, and the SHA-256 of their file. Raises `PartUnusable`; `sha256`: what the file must have."""
    remedy = "Make one with `fluxgate train-probe`"
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise PartUnusable(PART, "probe", f"{path} cannot be read ({error.strerror})", remedy) from error
    if len(data) > MAX_BYTES:
        raise PartUnusable(PART, "probe", f"{path} has more than {MAX_BYTES} bytes", remedy)
    digest = hashlib.sha256(data).hexdigest()
    if sha256 not in (None, digest):
        changed = "Find out who changed the file, or pin the new digest"
        raise PartUnusable(PART, "probe_sha256", f"{path} has the digest {digest}, pinned is {sha256}", changed)
    try:
        return ProbeFile.model_validate_json(data), digest
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "file"
        raise PartUnusable(PART, "probe", f"{path}: {where}: {first['msg']}", remedy) from error
