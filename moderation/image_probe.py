"""Scores a picture by linear probes that the operator trained on labelled folders: the image classifier `probe`.

`fluxgate train-probe` makes the file (`probe_files.py`). The part looks with the same open_clip model as the probes
were trained on; with another it does not start. Beside the part `clip` with the same weights it shares them. A large or
long picture is also looked at in parts (`picture_views.py`); a category's highest probability counts.
"""

from pathlib import Path
from typing import Any

from pydantic import Field

from moderation.classifiers import Pixels
from moderation.errors import PartUnusable
from moderation.open_clip_models import ModelOptions, OpenedModel
from moderation.probes.files import PART, read_probe
from policies.findings import Finding, Stage


class Probe:
    """Reports a calibrated probability for each category of its file.

    `version` is `sha256:` over the probe file, which names the digest of the model's weights in turn.
    """

    name = PART
    version = "1"
    steady = True

    class Options(ModelOptions):
        """Also which probes.

        `probe`: the path of the file. `probe_sha256`: 64 hex digits of it; another file is refused.
        """

        probe: Path
        probe_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")

    @staticmethod
    def open_eyes(**options: Any) -> OpenedModel:
        """What training looks with; takes the fields of `ModelOptions`. Raises `ValidationError`, `PartUnusable`."""
        return ModelOptions(**options).opened()

    def __init__(self, options: Options) -> None:
        """Raises `PartUnusable` if the model or the file is missing, or they do not belong together."""
        self._file, digest = read_probe(options.probe, options.probe_sha256)
        self._eyes = options.opened()
        if self._eyes.weights_digest != self._file.weights_sha256:
            problem = (
                f"{options.probe} was trained on the model {self._file.model} with weights of the digest "
                f"{self._file.weights_sha256}, these have {self._eyes.weights_digest}"
            )
            raise PartUnusable(PART, "weights", problem, "Name the weights it was trained on, or train it anew")
        if self._eyes.eyes_digest != self._file.eyes_sha256:
            problem = f"{options.probe} was trained on these weights with another architecture or preprocessing"
            raise PartUnusable(PART, "model", problem, "Name the model it was trained on, or train it anew")
        self.version = "sha256:" + digest

    @property
    def categories(self) -> frozenset[str]:
        """Exactly the categories of the file."""
        return frozenset(category.value for category in self._file.categories)

    def classify(self, pixels: Pixels, stage: Stage) -> tuple[Finding, ...]:
        """One finding per category, sorted by category.

        `pixels`: (height, width, 3), uint8, sRGB, of any size; not changed, not kept. Raises `ClassifierFailed` on
        anything else.
        """
        seen = self._eyes.look(pixels)
        return tuple(
            Finding(category.value, float(probe.probabilities(seen).max()), stage, self.name, self.version)
            for category, probe in sorted(self._file.categories.items())
        )
