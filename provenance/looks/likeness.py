"""Whether one picture is a copy of another: whole or in part, scaled, turned, mirrored, its colours changed; and where
the two differ.

A hash of the whole picture says nothing of a crop, and a watermark alone proves nothing, since it can be pasted onto
any picture. Where the original is at hand the two are laid over each other:

1. lay      by the mark's own grid; as a whole; or by points (SIFT, Lowe 2004) paired by his ratio test, to which a
            similarity is fitted by RANSAC, upright and mirrored (`alignment.py`)
2. compare  around every pixel of what both show (`comparison.py`)
3. decide   a copy, if enough is to be seen in both and enough of it agrees; another picture, if enough is to be seen
            and it does not; else there is too little to tell

Chance pairs fit no common similarity, and a wrong one does not agree: both must hold.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from provenance.looks.alignment import Matrix, by_mark, lay, reach, refined, scaled, whole
from provenance.looks.change_map import ChangeMap, RegionKind, mapped
from provenance.looks.comparison import Compared, Mask, compared
from provenance.looks.points import by_points, correlated
from provenance.marks.watermarkers import MarkGrid, Pixels

_SIDE: Final = 512
"""Longer sides are reduced to this many pixels first."""
_COLOUR: Final = 5.0
"""Of photographs and pictograms at most 3.1 after JPEG 20 or noise, 7 or more after 10 % more light, gamma or grey."""
_LEAST_SEEN: Final = 0.008
"""Share of the picture that must show something, in both to be a copy and in either to be another picture."""
_AGREEING: Final = 0.3
_WELL: Final = 0.85
"""Share of what is seen that agrees, from which no other way to lay the original is tried."""
_NO_DIFFERENCE: Final = 4.0
"""Grey levels, everywhere, below which a copy of the same size is the same picture, however plain."""
_LEAST_SIDE: Final = 24
_TOLD: Final = 3

_Plane = npt.NDArray[np.float32]


class Change(StrEnum):
    """A kind of alteration; `METADATA_STRIPPED` and `RE_ENCODED` are seen without laying anything over."""

    METADATA_STRIPPED = "metadata_stripped"
    RE_ENCODED = "re_encoded"
    SET_INTO = "set_into_larger"
    CROPPED = "cropped"
    SCALED = "scaled"
    SQUEEZED = "squeezed"
    TURNED = "turned"
    MIRRORED = "mirrored"
    COLOUR = "colour"
    OVERLAID = "overlaid"
    CONTENT = "content"


@dataclass(frozen=True, slots=True)
class Overlay:
    """How a copy lies on its original.

    `scale`: copy's pixels per pixel of the original. `turned`: degrees, counter-clockwise. `mirrored`: left to right.
    `shown`: share of the original's area that is in the copy. `filled`: share of the copy's area that the original
    covers. `correlation`: of what both show, in [-1, 1]. `colour`: how far their colours are apart where both show
    them, slowly varying part only, root mean square in grey levels. `squeeze`: scale across over scale down.
    `map`: where they differ.
    """

    scale: float
    turned: float
    mirrored: bool
    shown: float
    filled: float
    correlation: float
    colour: float = 0.0
    squeeze: float = 1.0
    map: ChangeMap | None = None

    @property
    def changes(self) -> tuple[tuple[Change, str], ...]:
        """What was done to the picture, by kind and in words."""
        said: list[tuple[Change, str]] = []
        margins = self._regions(RegionKind.MARGIN)
        if margins:
            said.append((Change.SET_INTO, f"set into a larger picture, of which it covers {self.filled:.0%}{margins}"))
        if self.shown < 0.97:
            said.append((Change.CROPPED, f"cropped to {self.shown:.0%}"))
        if abs(math.log(self.scale)) > 0.03 and abs(math.log(self.squeeze)) <= 0.03:
            said.append((Change.SCALED, f"scaled by {self.scale:.2f}"))
        if abs(math.log(self.squeeze)) > 0.03:
            said.append((Change.SQUEEZED, f"its width scaled by {self.squeeze:.2f} against its height"))
        if abs(self.turned) > 0.7:
            said.append((Change.TURNED, f"turned by {self.turned:.0f} degrees"))
        if self.mirrored:
            said.append((Change.MIRRORED, "mirrored"))
        if self.colour > _COLOUR:
            said.append((Change.COLOUR, "its colours changed"))
        if overlays := self._regions(RegionKind.OVERLAY):
            said.append((Change.OVERLAID, f"covered in part by text or another flat drawing{overlays}"))
        if contents := self._regions(RegionKind.CONTENT):
            said.append((Change.CONTENT, f"changed in its content{contents}"))
        return tuple(said)

    def _regions(self, kind: RegionKind) -> str:
        """Where, in words; empty if nowhere."""
        found = [region for region in self.map.regions if region.kind is kind] if self.map is not None else []
        if not found:
            return ""
        places = "; ".join(f"{one.width} x {one.height} at {one.x}, {one.y}" for one in found[:_TOLD])
        more = f"; and {len(found) - _TOLD} more" if len(found) > _TOLD else ""
        return f" ({sum(region.share for region in found):.1%} of the picture: {places}{more})"


@dataclass(frozen=True, slots=True)
class Likeness:
    """`same`: whether one is a copy of the other, None if there is too little to tell. `overlay`: how, if it is."""

    same: bool | None
    overlay: Overlay | None = None


@dataclass(frozen=True, slots=True)
class _Laid:
    """One way to lay the original: `matrix` from the whole original to the reduced copy."""

    matrix: Matrix
    covered: Mask
    found: Compared

    @property
    def agreement(self) -> float:
        return self.found.agreeing / max(self.found.telling, 1)


def likeness(copy: Pixels, original: Pixels, grid: MarkGrid | None = None) -> Likeness:
    """Whether `copy` is one of `original`, or of a part of it.

    Both (height, width, 3), uint8, sRGB; not changed, not kept. `grid`: how a mark says that the original lies in the
    copy. About 0.3 s, whatever their size.
    """
    ours, ours_scale = reduced(original)
    theirs, theirs_scale = reduced(copy)
    size = (theirs.shape[1], theirs.shape[0])
    small = cv2.resize(copy, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    if min(theirs.shape) < _LEAST_SIDE or min(ours.shape) < _LEAST_SIDE:
        return Likeness(None)
    within = original if ours_scale > 0.5 else cv2.resize(original, None, fx=2 * ours_scale, fy=2 * ours_scale)
    to_ours = scaled(ours.shape[1] / within.shape[1], ours.shape[0] / within.shape[0])
    best: _Laid | None = None
    for matrix in _ways(theirs, ours, grid, (theirs_scale, ours_scale)):
        exact = refined(theirs, ours, matrix) @ to_ours
        covered = reach(within.shape, exact, theirs.shape)
        laid = _Laid(exact, covered, compared(small, lay(within.astype(np.float32), exact, theirs.shape), covered))
        if best is None or (laid.found.agreeing, laid.agreement) > (best.found.agreeing, best.agreement):
            best = laid
        if best.agreement >= _WELL and best.found.agreeing > _LEAST_SEEN * theirs.size:
            break
    assert best is not None
    overlay = _overlay(best, small, within, copy.shape, original.shape)
    least = _LEAST_SEEN * theirs.size
    if best.found.agreeing > least and best.agreement >= _AGREEING:
        return Likeness(True, overlay)
    if copy.shape == original.shape and _no_difference(small, original, size):
        return Likeness(True, overlay)
    return Likeness(False if best.found.telling > least else None)


def _ways(theirs: _Plane, ours: _Plane, grid: MarkGrid | None, reductions: tuple[float, float]) -> Iterator[Matrix]:
    """Ways in which the reduced original may lie in the reduced copy, the likeliest first."""
    if grid is not None:
        yield from by_mark(theirs, ours, grid, reductions)
    yield whole(theirs.shape, ours.shape)
    yield from by_points(theirs, ours)


def _no_difference(small: _Plane, original: Pixels, size: tuple[int, int]) -> bool:
    other = cv2.resize(original, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    return bool(np.abs(cv2.GaussianBlur(small - other, (0, 0), 1.5)).max() < _NO_DIFFERENCE)


def _overlay(
    laid: _Laid, small: _Plane, original: Pixels, shape: tuple[int, ...], original_shape: tuple[int, ...]
) -> Overlay:
    """`original`: perhaps reduced; `original_shape`: as it is kept; `shape`: of the copy."""
    height, width = laid.covered.shape
    full = scaled(shape[1] / width, shape[0] / height) @ laid.matrix
    full = full @ scaled(original.shape[1] / original_shape[1], original.shape[0] / original_shape[0])
    centre = np.array([original_shape[1] / 2, original_shape[0] / 2, 1.0])
    place = full @ centre
    linear = (full[:2, :2] - np.outer(place[:2] / place[2], full[2, :2])) / place[2]
    mirrored = bool(np.linalg.det(linear) < 0)
    if mirrored:
        linear = np.diag([-1.0, 1.0]) @ linear
    across, down = np.linalg.norm(linear, axis=0)
    turned = -math.degrees(math.atan2(linear[1, 0], linear[0, 0]))
    tilt = abs((turned + 45) % 90 - 45)
    area = float(laid.covered.sum()) * shape[0] * shape[1] / laid.covered.size
    under = lay(original.astype(np.float32), laid.matrix, laid.covered.shape)
    grey, plain = (cv2.cvtColor(plane, cv2.COLOR_RGB2GRAY) for plane in (small, under))
    return Overlay(
        scale=float(math.sqrt(across * down)),
        turned=turned,
        mirrored=mirrored,
        shown=min(1.0, area / (original_shape[0] * original_shape[1] * float(across * down))),
        filled=float(laid.covered.mean()),
        correlation=correlated(plain, grey, laid.covered),
        colour=_colour(small - under, laid.found.inside & ~laid.found.changed),
        squeeze=float(across / down),
        map=mapped(laid.found, small, under, laid.covered, shape, upright=tilt <= 0.7),
    )


def reduced(pixels: Pixels, side: int = _SIDE) -> tuple[_Plane, float]:
    """Brightness, the longer side at most `side` pixels, and the factor it was reduced by."""
    grey = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)
    factor = min(1.0, side / max(grey.shape))
    if factor < 1.0:
        height, width = (max(1, round(length * factor)) for length in grey.shape)
        grey = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
    return grey.astype(np.float32), factor


def _colour(difference: _Plane, inside: Mask) -> float:
    """See `Overlay.colour`. What changed is left out: its colours are its own."""
    weight = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), 16.0)[..., None] + 1e-6
    slow = (cv2.GaussianBlur(difference * inside[..., None], (0, 0), 16.0) / weight)[inside]
    return float(np.sqrt(np.square(slow).mean())) if slow.size else 0.0
