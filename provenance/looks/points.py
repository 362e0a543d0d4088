"""Lays one picture over another by points that both have (SIFT, Lowe 2004). Pure.

Each point of the copy is paired with the original's point that is clearly likest (his ratio test); a similarity is
fitted to the pairs by RANSAC, upright and mirrored; what it lays over each other must correlate.
"""

from collections.abc import Iterator
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

_Plane = npt.NDArray[np.float32]

_MOST_POINTS: Final = 500
_MORE_POINTS: Final = 1500
"""Of the original: a crop's points must be among them."""
_RATIO: Final = 0.8
_LEAST_PAIRS: Final = 8
"""Lowe asks for three that agree; chance gave up to five between different pictures of one style."""
_REACH: Final = 4.0
"""Pixels by which a pair may miss the similarity."""
_LEAST_CORRELATION: Final = 0.5
"""Copies of the test photographs stay above 0.7, different pictures below 0.3."""
_LEAST_AREA: Final = 24 * 24


def by_points(copy: _Plane, original: _Plane) -> Iterator[npt.NDArray[np.float64]]:
    """(3, 3) matrices from places (x, y) of the original to those of the copy; none, one or two. Both: brightness."""
    points, described = _described(original, _MORE_POINTS)
    for mirrored in (False, True):
        seen = np.ascontiguousarray(copy[:, ::-1]) if mirrored else copy
        seen_points, seen_described = _described(seen)
        matrix = _fit(points, described, seen_points, seen_described)
        if matrix is None or not _correlation(original, seen, matrix) >= _LEAST_CORRELATION:
            continue
        back = np.array([[-1.0, 0, copy.shape[1] - 1], [0, 1, 0], [0, 0, 1]]) if mirrored else np.eye(3)
        yield back @ np.vstack([matrix, [0, 0, 1]])


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


def _correlation(ours: _Plane, theirs: _Plane, matrix: npt.NDArray[np.float64]) -> float:
    """Of the reduced pictures, laid over each other by `matrix`, (2, 3)."""
    height, width = theirs.shape
    laid = cv2.warpAffine(ours, matrix, (width, height), flags=cv2.INTER_AREA)
    covered = cv2.warpAffine(np.ones_like(ours), matrix, (width, height), flags=cv2.INTER_NEAREST) > 0.5
    return correlated(laid, theirs, covered) if covered.sum() >= _LEAST_AREA else 0.0


def correlated(laid: _Plane, theirs: _Plane, covered: npt.NDArray[np.bool_]) -> float:
    """Of what is `covered`, without its slow part, in [-1, 1]."""
    one, other = _without_slow_part(laid, covered), _without_slow_part(theirs, covered)
    norm = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / norm if norm > 0 else 0.0


def _without_slow_part(plane: _Plane, covered: npt.NDArray[np.bool_]) -> _Plane:
    """The covered pixels less their wide surroundings, slightly softened against noise, mean zero."""
    within = covered.astype(np.float32)
    weight = cv2.GaussianBlur(within, (0, 0), 24.0) + 1e-6
    slow = cv2.GaussianBlur(plane * within, (0, 0), 24.0) / weight
    fine = (cv2.GaussianBlur(plane, (0, 0), 1.5) - slow)[covered]
    centred: _Plane = fine - fine.mean()
    return centred
