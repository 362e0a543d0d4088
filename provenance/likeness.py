"""Whether one picture is a copy of another: whole or in part, scaled, turned, mirrored, its colours changed.

A hash of the whole picture says nothing of a crop, and a watermark alone proves nothing, since it can be pasted onto
any picture. Where the original is at hand the two are laid over each other:

1. Points of both are described (SIFT, Lowe 2004) and paired, each pair clearly better than the next best one (his
   ratio test, 0.8); once more with the copy mirrored.
2. A similarity (scale, turn, shift) is fitted to the pairs by RANSAC.
3. The original is laid over the copy by it; over what both show, the correlation of brightness decides, less its slow
   part, so that two pictures on like grounds are not alike for that.

Chance pairs fit no common similarity, and a wrong one does not correlate: both must hold.
"""

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from provenance.watermarkers import Pixels

_SIDE: Final = 512
"""Longer sides are reduced to this many pixels first."""
_MOST_POINTS: Final = 500
_MORE_POINTS: Final = 1500
"""Of the original: a crop's points must be among them."""
_RATIO: Final = 0.8
_FEW_POINTS: Final = 24
"""Pictures with fewer are too plain to be told apart by points."""
_LEAST_PAIRS: Final = 8
"""Lowe asks for three that agree; chance gave up to five between different pictures of one style."""
_REACH: Final = 4.0
"""Pixels by which a pair may miss the similarity."""
_LEAST_CORRELATION: Final = 0.5
"""Copies of the test photographs stay above 0.7, different pictures below 0.3."""
_COLOUR: Final = 5.0
"""Of photographs and pictograms at most 3.1 after JPEG 20 or noise, 7 or more after 10 % more light, gamma or grey."""
_LEAST_AREA: Final = 24 * 24

_Plane = npt.NDArray[np.float32]


class Change(StrEnum):
    """A kind of alteration; `METADATA_STRIPPED` and `RE_ENCODED` are seen without laying anything over."""

    METADATA_STRIPPED = "metadata_stripped"
    RE_ENCODED = "re_encoded"
    SET_INTO = "set_into_larger"
    CROPPED = "cropped"
    SCALED = "scaled"
    TURNED = "turned"
    MIRRORED = "mirrored"
    COLOUR = "colour"
    CONTENT = "content"


@dataclass(frozen=True, slots=True)
class Overlay:
    """How a copy lies on its original.

    `scale`: copy's pixels per pixel of the original. `turned`: degrees, counter-clockwise. `mirrored`: left to right.
    `shown`: share of the original's area that is in the copy. `filled`: share of the copy's area that the original
    covers. `correlation`: of what both show, in [-1, 1]. `colour`: how far their colours are apart where both show
    them, slowly varying part only, root mean square in grey levels.
    """

    scale: float
    turned: float
    mirrored: bool
    shown: float
    filled: float
    correlation: float
    colour: float = 0.0

    @property
    def changes(self) -> tuple[tuple[Change, str], ...]:
        """What was done to the picture, by kind and in words."""
        said: list[tuple[Change, str]] = []
        if self.filled < 0.75 and abs(self.turned) <= 0.7:
            said.append((Change.SET_INTO, f"set into a larger picture, of which it covers {self.filled:.0%}"))
        if self.shown < 0.97:
            said.append((Change.CROPPED, f"cropped to {self.shown:.0%}"))
        if abs(math.log(self.scale)) > 0.03:
            said.append((Change.SCALED, f"scaled by {self.scale:.2f}"))
        if abs(self.turned) > 0.7:
            said.append((Change.TURNED, f"turned by {self.turned:.0f} degrees"))
        if self.mirrored:
            said.append((Change.MIRRORED, "mirrored"))
        if self.colour > _COLOUR:
            said.append((Change.COLOUR, "its colours changed"))
        if self.correlation < 0.9:
            said.append((Change.CONTENT, "changed in its content or heavily compressed"))
        return tuple(said)


@dataclass(frozen=True, slots=True)
class Likeness:
    """`same`: whether one is a copy of the other, None if they are too plain to tell. `overlay`: how, if it is."""

    same: bool | None
    overlay: Overlay | None = None


def likeness(copy: Pixels, original: Pixels) -> Likeness:
    """Whether `copy` is one of `original`, or of a part of it.

    Both (height, width, 3), uint8, sRGB; not changed, not kept. About 0.2 s, whatever their size.
    """
    ours, ours_scale = reduced(original)
    theirs, theirs_scale = reduced(copy)
    points, described = _described(ours, _MORE_POINTS)
    fewest = len(points)
    for mirrored in (False, True):
        seen = np.ascontiguousarray(theirs[:, ::-1]) if mirrored else theirs
        seen_points, seen_described = _described(seen)
        fewest = min(fewest, len(seen_points))
        matrix = _fit(points, described, seen_points, seen_described)
        if matrix is None:
            continue
        found = _compare(ours, seen, matrix, ours_scale / theirs_scale, mirrored=mirrored)
        if found is not None and found.correlation >= _LEAST_CORRELATION:
            shown = np.ascontiguousarray(copy[:, ::-1]) if mirrored else copy
            colour = _colour(shown, original, matrix, theirs_scale, ours_scale)
            return Likeness(True, replace(found, colour=colour))
    return Likeness(None if fewest < _FEW_POINTS else False)


def reduced(pixels: Pixels, side: int = _SIDE) -> tuple[_Plane, float]:
    """Brightness, the longer side at most `side` pixels, and the factor it was reduced by."""
    grey = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)
    factor = min(1.0, side / max(grey.shape))
    if factor < 1.0:
        height, width = (max(1, round(length * factor)) for length in grey.shape)
        grey = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
    return grey.astype(np.float32), factor


def _described(plane: _Plane, most: int = _MOST_POINTS) -> tuple[Any, Any]:
    """Places (n, 2) and descriptions (n, 128) of the strongest points; at most `most`."""
    # A lower contrast threshold than Lowe's .04: flat art has few points.
    found, described = cv2.SIFT_create(most, contrastThreshold=0.02).detectAndCompute(  # type: ignore[attr-defined]
        np.clip(plane, 0, 255).astype(np.uint8), None
    )
    if described is None:
        return np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32)
    return np.array([point.pt for point in found], np.float32), described


def _fit(places: Any, described: Any, seen_places: Any, seen: Any) -> npt.NDArray[np.float64] | None:
    """The similarity (2, 3) that takes the original's places to the copy's, if enough pairs agree on one."""
    if min(len(described), len(seen)) < _LEAST_PAIRS:
        return None
    pairs = [
        (first.queryIdx, first.trainIdx)
        for first, second in cv2.BFMatcher(cv2.NORM_L2).knnMatch(seen, described, k=2)
        if first.distance < _RATIO * second.distance
    ]
    if len(pairs) < _LEAST_PAIRS:
        return None
    theirs, ours = np.array(pairs).T
    cv2.setRNGSeed(7)  # equal pictures, equal answer
    matrix, agree = cv2.estimateAffinePartial2D(
        places[ours], seen_places[theirs], method=cv2.RANSAC, ransacReprojThreshold=_REACH, maxIters=2000
    )
    if matrix is None or len({tuple(place) for place in places[ours][agree.ravel() > 0]}) < _LEAST_PAIRS:
        return None
    return np.asarray(matrix, np.float64)


def _compare(
    ours: _Plane, theirs: _Plane, matrix: npt.NDArray[np.float64], reduction: float, *, mirrored: bool
) -> Overlay | None:
    """The overlay by `matrix`. `reduction`: how much more the original was reduced than the copy."""
    height, width = theirs.shape
    laid = cv2.warpAffine(ours, matrix, (width, height), flags=cv2.INTER_AREA)
    covered = cv2.warpAffine(np.ones_like(ours), matrix, (width, height), flags=cv2.INTER_NEAREST) > 0.5
    scale = math.hypot(matrix[0, 0], matrix[1, 0])
    area = float(covered.sum())
    if area < _LEAST_AREA or scale == 0.0:
        return None
    one, other = _without_slow_part(laid, covered), _without_slow_part(theirs, covered)
    norm = float(np.linalg.norm(one) * np.linalg.norm(other))
    turned = -math.degrees(math.atan2(matrix[1, 0], matrix[0, 0]))
    return Overlay(
        scale=scale * reduction,
        turned=turned,
        mirrored=mirrored,
        shown=min(1.0, area / (ours.size * scale**2)),
        filled=area / theirs.size,
        correlation=float(one @ other) / norm if norm > 0 else 0.0,
    )


def _colour(copy: Pixels, original: Pixels, matrix: npt.NDArray[np.float64], theirs: float, ours: float) -> float:
    """See `Overlay.colour`. `matrix` is between the reduced pictures; `theirs`, `ours`: how far each was reduced."""
    ratio = 0.25  # slow parts need few pixels
    reduced_copy = cv2.resize(copy, None, fx=theirs * ratio, fy=theirs * ratio, interpolation=cv2.INTER_AREA)
    reduced_original = cv2.resize(original, None, fx=ours * ratio, fy=ours * ratio, interpolation=cv2.INTER_AREA)
    height, width = reduced_copy.shape[:2]
    smaller = matrix * np.array([[1, 1, ratio], [1, 1, ratio]])
    laid = cv2.warpAffine(reduced_original.astype(np.float32), smaller, (width, height))
    within = cv2.warpAffine(np.ones(reduced_original.shape[:2], np.float32), smaller, (width, height))
    inside = cv2.erode(within, np.ones((3, 3))) > 0.99
    difference = (reduced_copy.astype(np.float32) - laid) * inside[..., None]
    weight = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), 4.0)[..., None] + 1e-6
    slow = (cv2.GaussianBlur(difference, (0, 0), 4.0) / weight)[inside]
    return float(np.sqrt(np.square(slow).mean())) if slow.size else 0.0


def _without_slow_part(plane: _Plane, covered: npt.NDArray[np.bool_]) -> _Plane:
    """The covered pixels less their wide surroundings, slightly softened against noise, mean zero."""
    within = covered.astype(np.float32)
    weight = cv2.GaussianBlur(within, (0, 0), 24.0) + 1e-6
    slow = cv2.GaussianBlur(plane * within, (0, 0), 24.0) / weight
    fine = (cv2.GaussianBlur(plane, (0, 0), 1.5) - slow)[covered]
    centred: _Plane = fine - fine.mean()
    return centred
