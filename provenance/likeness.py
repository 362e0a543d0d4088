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
from dataclasses import dataclass
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
_LEAST_AREA: Final = 24 * 24

_Plane = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Overlay:
    """How a copy lies on its original.

    `scale`: copy's pixels per pixel of the original. `turned`: degrees, counter-clockwise. `mirrored`: left to right.
    `shown`: share of the original's area that is in the copy. `filled`: share of the copy's area that the original
    covers. `correlation`: of what both show, in [-1, 1].
    """

    scale: float
    turned: float
    mirrored: bool
    shown: float
    filled: float
    correlation: float

    @property
    def changes(self) -> tuple[str, ...]:
        """What was done to the picture, in words."""
        said = []
        if self.filled < 0.75 and abs(self.turned) <= 0.7:
            said.append(f"set into a larger picture, of which it covers {self.filled:.0%}")
        if self.shown < 0.97:
            said.append(f"cropped to {self.shown:.0%}")
        if abs(math.log(self.scale)) > 0.03:
            said.append(f"scaled by {self.scale:.2f}")
        if abs(self.turned) > 0.7:
            said.append(f"turned by {self.turned:.0f} degrees")
        if self.mirrored:
            said.append("mirrored")
        if self.correlation < 0.9:
            said.append("changed in its content or heavily compressed")
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
            return Likeness(True, found)
    return Likeness(None if fewest < _FEW_POINTS else False)


def reduced(pixels: Pixels) -> tuple[_Plane, float]:
    """Brightness at `_SIDE` pixels at most, and the factor it was reduced by."""
    grey = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)
    factor = min(1.0, _SIDE / max(grey.shape))
    if factor < 1.0:
        grey = cv2.resize(grey, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
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


def _without_slow_part(plane: _Plane, covered: npt.NDArray[np.bool_]) -> _Plane:
    """The covered pixels less their wide surroundings, slightly softened against noise, mean zero."""
    within = covered.astype(np.float32)
    weight = cv2.GaussianBlur(within, (0, 0), 24.0) + 1e-6
    slow = cv2.GaussianBlur(plane * within, (0, 0), 24.0) / weight
    fine = (cv2.GaussianBlur(plane, (0, 0), 1.5) - slow)[covered]
    centred: _Plane = fine - fine.mean()
    return centred
