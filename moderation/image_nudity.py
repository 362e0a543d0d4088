"""Finds exposed bodies with NudeNet: the image classifier `nudity`, of the extra `nudity`. Owns nudenet.

NudeNet's licence files are the AGPL-3.0, though its metadata says MIT. Whoever installs the extra takes that on, so it
is no dependency, and the licence is stated where it is installed, at start and in `/health`.
"""

import hashlib
import importlib.metadata
from collections import Counter
from pathlib import Path

import numpy
from pydantic import BaseModel, ConfigDict

from moderation.classifiers import Pixels
from moderation.errors import ClassifierFailed, PartUnusable
from moderation.picture_views import views
from policies.findings import Category, Fact, Finding, Stage

PART = "nudity"

EXPOSED = frozenset(
    {
        "FEMALE_BREAST_EXPOSED",
        "FEMALE_GENITALIA_EXPOSED",
        "MALE_GENITALIA_EXPOSED",
        "BUTTOCKS_EXPOSED",
        "ANUS_EXPOSED",
    }
)
"""NudeNet's classes that count as `sexual`. Bare feet, bellies, armpits and men's chests are no more than a beach."""

SMALLEST_SIDE = 16
"""Pixels: the model reduces the long side to 320, and less than this shows no body."""


class Nudity:
    """Reports `sexual` by the surest exposed part, and `person` by the surest part of anybody, exposed or not.

    Scores are NudeNet's own confidences, of which it reports those from 0.2 on; below that, 0. `version` names its
    release and the digest of its weights. Several threads may call at once.
    """

    name = PART
    version = "1"
    steady = True
    licence = "AGPL-3.0 (nudenet)"

    class Options(BaseModel):
        """Nothing to choose."""

        model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, options: Options) -> None:
        """Loads the weights in the wheel; nothing is fetched. Raises `PartUnusable` if the extra is missing."""
        try:
            import nudenet
        except ImportError as error:
            remedy = "Install it, if you accept its licence, AGPL-3.0: pip install 'fluxgate[nudity]'"
            raise PartUnusable(PART, "part", "the extra `nudity` is not installed", remedy) from error
        weights = Path(nudenet.__file__).with_name("320n.onnx")
        try:
            self._detector = nudenet.NudeDetector(str(weights))
            digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        except Exception as error:
            raise PartUnusable(PART, "part", "the weights do not load", "Reinstall nudenet") from error
        self.version = f"{importlib.metadata.version('nudenet')}+sha256.{digest}"

    @property
    def categories(self) -> frozenset[str]:
        """`sexual` and the fact `person`."""
        return frozenset({Category.SEXUAL.value, Fact.PERSON.value})

    def classify(self, pixels: Pixels, stage: Stage) -> tuple[Finding, ...]:
        """Both findings. The facts of `sexual` count the exposed parts by class, in the view that shows most.

        `pixels`: (height, width, 3), uint8, sRGB; not changed, not kept. Raises `ClassifierFailed` on anything else,
        and on pictures thinner than `SMALLEST_SIDE`.
        """
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != numpy.uint8:
            raise ClassifierFailed(f"{PART} needs pixels of shape (height, width, 3) and type uint8")
        if min(pixels.shape[:2]) < SMALLEST_SIDE:
            raise ClassifierFailed(f"{PART} sees nothing in a picture thinner than {SMALLEST_SIDE} pixels")
        seen = [self._detector.detect(numpy.ascontiguousarray(view[:, :, ::-1])) for view in views(pixels)]
        exposed = [[part for part in view if part["class"] in EXPOSED] for view in seen]
        counts = Counter(part["class"].lower() for part in max(exposed, key=len))
        said = (
            (Fact.PERSON, _surest(seen), ()),
            (Category.SEXUAL, _surest(exposed), tuple((name, str(count)) for name, count in sorted(counts.items()))),
        )
        return tuple(Finding(what, score, stage, self.name, self.version, facts) for what, score, facts in said)


def _surest(seen: list[list[dict[str, object]]]) -> float:
    return max((min(1.0, float(str(part["score"]))) for view in seen for part in view), default=0.0)
