"""Says whether somebody is in a picture, never who: the image classifier `people`. Owns OpenCV's detectors.

Faces from the front, however turned, faces from either side, and upright figures are looked for by what comes with
OpenCV's wheel: Haar cascades (P. Viola, M. Jones, 2001; R. Lienhart's `frontalface_alt2`, Intel licence) and the
histogram-of-gradients detector (N. Dalal, B. Triggs, 2005). They are old, small and miss people: backs, bodies without
a face, faces that are small, dark or half covered. So "found nobody" is a middling score, and the floor leaves open on
it only what words merely hint at.
"""

import threading
from pathlib import Path

import cv2
import numpy
from pydantic import BaseModel, ConfigDict

from moderation.classifiers import Pixels
from moderation.errors import ClassifierFailed, PartUnusable
from policies.findings import Fact, Finding, Stage

PART = "people"

SOMEBODY, CANNOT_TELL, NOBODY = 0.75, 0.5, 0.25
"""The scale: ranks, not probabilities. On 25 photographs (tests/moderation/test_image_people.py) somebody is found in
all four that show a face or a whole figure, in none of three with helmets or people of a tenth of the height, and in
eight of 18 that show nobody: set to miss little rather than to be right. Hence neither 1 nor 0."""

LONG_SIDE, TURNED_LONG_SIDE = 640, 400
"""Pixels: pictures are reduced to the first, for faces that are not upright to the second; it bounds the time."""

SMALLEST_FACE = 24
"""Pixels after the reduction: the window of OpenCV's face cascades is 20. A thinner picture tells nothing."""

FIGURE_MARGIN = 0.5
"""Distance from the plane of OpenCV's figure detector: below it trees and windows are figures."""


class People:
    """Reports the fact `person`. Deterministic; one picture at a time, because cascades keep state."""

    name = PART
    version = f"opencv-{cv2.__version__}"
    steady = True
    stages = frozenset({Stage.INPUT_IMAGE})
    """Who is in a picture made here changes nothing, so those are not shown to it."""

    class Options(BaseModel):
        """Nothing to choose."""

        model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, options: Options) -> None:
        """Raises `PartUnusable` if OpenCV comes without its detectors, as its version 5 does."""
        if not hasattr(cv2, "CascadeClassifier") or not hasattr(cv2, "HOGDescriptor"):
            problem = f"OpenCV {cv2.__version__} comes without cascades"
            raise PartUnusable(PART, "part", problem, "Install it: pip install 'opencv-python>=4.10,<5'")
        self._front = _cascade("haarcascade_frontalface_alt2.xml")
        self._side = _cascade("haarcascade_profileface.xml")
        self._figures = cv2.HOGDescriptor()
        self._figures.setSVMDetector(cv2.HOGDescriptor.getDefaultPeopleDetector())
        self._lock = threading.Lock()

    @property
    def categories(self) -> frozenset[str]:
        """The one fact."""
        return frozenset({Fact.PERSON.value})

    def classify(self, pixels: Pixels, stage: Stage) -> tuple[Finding, ...]:
        """One finding; its fact says what was seen: `face`, `profile`, `turned_face`, `figure`, `nobody`, `too_small`.

        `pixels`: (height, width, 3), uint8, sRGB, of any size; not changed, not kept. Raises `ClassifierFailed` on
        anything else.
        """
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != numpy.uint8 or not pixels.size:
            raise ClassifierFailed(f"{PART} needs pixels of shape (height, width, 3) and type uint8")
        with self._lock:
            score, seen = self._look(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))
        return (Finding(Fact.PERSON, score, stage, self.name, self.version, (("seen", seen),)),)

    def _look(self, grey: cv2.typing.MatLike) -> tuple[float, str]:
        picture = _reduced(grey, LONG_SIDE)
        if min(picture.shape) < SMALLEST_FACE:
            return CANNOT_TELL, "too_small"
        even = cv2.equalizeHist(picture)
        mirrored = cv2.flip(even, 1)
        if any(_finds(self._front, each, step=1.1, agreeing=2) for each in (even, mirrored)):
            return SOMEBODY, "face"
        if any(_finds(self._side, each, step=1.15, agreeing=2) for each in (even, mirrored)):
            return SOMEBODY, "profile"
        small = _reduced(even, TURNED_LONG_SIDE)
        turned = (numpy.ascontiguousarray(numpy.rot90(small, turns)) for turns in (1, 2, 3))
        if any(_finds(self._front, each, step=1.15, agreeing=3) for each in turned):
            return SOMEBODY, "turned_face"
        window = self._figures.winSize  # (64, 128)
        if picture.shape[1] >= window[0] and picture.shape[0] >= window[1]:
            _, margins = self._figures.detectMultiScale(picture, winStride=(8, 8))
            if len(margins) and float(numpy.max(margins)) >= FIGURE_MARGIN:
                return SOMEBODY, "figure"
        return NOBODY, "nobody"


def _cascade(name: str) -> "cv2.CascadeClassifier":
    found = cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / name))
    if found.empty():
        raise PartUnusable(PART, "part", f"{name} did not come with OpenCV", "Reinstall opencv-python")
    return found


def _reduced(grey: cv2.typing.MatLike, long_side: int) -> cv2.typing.MatLike:
    share = long_side / max(grey.shape)
    if share >= 1:
        return grey
    size = (max(1, round(grey.shape[1] * share)), max(1, round(grey.shape[0] * share)))
    return cv2.resize(grey, size, interpolation=cv2.INTER_AREA)


def _finds(cascade: "cv2.CascadeClassifier", grey: cv2.typing.MatLike, *, step: float, agreeing: int) -> bool:
    """`step`: between the sizes that are tried. `agreeing`: windows close to each other that make a face."""
    return len(cascade.detectMultiScale(grey, step, agreeing, 0, (SMALLEST_FACE, SMALLEST_FACE))) > 0
