"""Where a copy differs from its original: cells with shares, regions in the pixels of the file, and a drawing."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from provenance.looks.comparison import Compared, Mask, Plane
from provenance.marks.watermarkers import Pixels

_CELLS: Final = 32
"""Along the longer side."""
_MARGIN: Final = 0.008
"""Share of a side from which what lies outside the original is a margin; less is the play of the alignment."""
_MOST_REGIONS: Final = 16
_PLAINLY: Final = 30.0
"""Grey levels by which a pixel of something laid over differs."""
_FLAT: Final = 0.55
"""Share of those pixels in two colours, from which it is a drawing and no photograph."""
_RED: Final = (230, 30, 40)
_BLUE: Final = (40, 90, 230)


class RegionKind(StrEnum):
    """`MARGIN`: outside the original. `OVERLAY`: flat colours, such as text, a sticker or a bar, over it. `CONTENT`:
    something else is shown, or what was there is blurred or painted out."""

    MARGIN = "margin"
    OVERLAY = "overlay"
    CONTENT = "content"


@dataclass(frozen=True, slots=True)
class ChangedRegion:
    """The smallest rectangle around one change, in pixels of the file. `share`: of the file's area that changed."""

    kind: RegionKind
    x: int
    y: int
    width: int
    height: int
    share: float


@dataclass(frozen=True, slots=True)
class ChangeMap:
    """`cells`: rows of cells over the whole file, each the share of it that changed, in [0, 1]; None outside the
    original. `regions`: the largest first."""

    cells: tuple[tuple[float | None, ...], ...]
    regions: tuple[ChangedRegion, ...]

    @property
    def changed(self) -> float:
        """Share of the file's area whose content changed, margins left out."""
        return min(1.0, sum(region.share for region in self.regions if region.kind is not RegionKind.MARGIN))


def mapped(
    found: Compared, copy: Plane, laid: Plane, covered: Mask, shape: tuple[int, ...], *, upright: bool
) -> ChangeMap:
    """`copy`: (height, width, 3), the reduced copy; `laid`: the original over it; `covered`: where that lies. `shape`:
    of the file. `upright`: not turned, so that what lies outside was added and is no corner of a turned picture."""
    height, width = covered.shape
    columns = max(1, round(_CELLS * width / max(height, width)))
    rows = max(1, round(_CELLS * height / max(height, width)))
    shares = cv2.resize(found.changed.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
    there = cv2.resize(covered.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
    cells = tuple(
        tuple(round(float(share), 2) if known >= 0.5 else None for share, known in zip(*row, strict=True))
        for row in zip(shares, there, strict=True)
    )
    factor = (shape[1] / width, shape[0] / height)
    regions = _margins(covered, factor) if upright else []
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(found.changed.astype(np.uint8), connectivity=8)
    for label in range(1, count):
        left, top, across, down, area = (int(value) for value in boxes[label])
        inside = (slice(top, top + down), slice(left, left + across))
        kind = _kind(copy[inside], laid[inside], labels[inside] == label)
        regions.append(_region(kind, (left, top, across, down), area / covered.size, factor))
    regions.sort(key=lambda region: -region.share)
    return ChangeMap(cells, tuple(regions[:_MOST_REGIONS]))


def _region(
    kind: RegionKind, box: tuple[int, int, int, int], share: float, factor: tuple[float, float]
) -> ChangedRegion:
    left, top, across, down = box
    x, y = round(left * factor[0]), round(top * factor[1])
    end_x, end_y = round((left + across) * factor[0]), round((top + down) * factor[1])
    return ChangedRegion(kind, x, y, max(1, end_x - x), max(1, end_y - y), round(share, 4))


def _margins(covered: Mask, factor: tuple[float, float]) -> list[ChangedRegion]:
    """Up to four strips around the original."""
    height, width = covered.shape
    rows, columns = np.flatnonzero(covered.mean(1) > 0.02), np.flatnonzero(covered.mean(0) > 0.02)
    if not len(rows) or not len(columns):
        return []
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    strips = [
        (0, 0, width, top, top / height),
        (0, bottom, width, height - bottom, (height - bottom) / height),
        (0, top, left, bottom - top, left / width),
        (right, top, width - right, bottom - top, (width - right) / width),
    ]
    return [
        _region(RegionKind.MARGIN, (x, y, across, down), across * down / covered.size, factor)
        for x, y, across, down, share in strips
        if share > _MARGIN and across and down
    ]


def _kind(copy: Plane, laid: Plane, where: npt.NDArray[np.bool_]) -> RegionKind:
    """Whether what is there now has the few flat colours of text and drawings."""
    apart = np.abs(copy - laid).max(2)
    plainly = copy[where & (apart > _PLAINLY)]
    if len(plainly) < 20:
        return RegionKind.CONTENT
    levels = (plainly / 24).astype(np.int64)
    counts = np.sort(np.bincount(levels[:, 0] * 121 + levels[:, 1] * 11 + levels[:, 2]))[::-1]
    return RegionKind.OVERLAY if counts[:2].sum() > _FLAT * len(plainly) else RegionKind.CONTENT


def drawn(pixels: Pixels, found: ChangeMap) -> Pixels:
    """The picture, paler, with changed cells in red, margins in blue, and a rectangle around every change."""
    height, width = pixels.shape[:2]
    pale = cv2.addWeighted(pixels, 0.75, np.full_like(pixels, 255), 0.25, 0).astype(np.float32)
    changed = np.array([[cell or 0.0 for cell in row] for row in found.cells], np.float32)
    outside = np.zeros((height, width), np.float32)
    for region in found.regions:
        if region.kind is RegionKind.MARGIN:
            outside[region.y : region.y + region.height, region.x : region.x + region.width] = 1
    cells = cv2.resize(changed, (width, height), interpolation=cv2.INTER_NEAREST)
    for share, colour in ((cells, _RED), (outside, _BLUE)):
        tint = (0.5 * np.minimum(share * 1.5, 1))[..., None]
        pale = pale * (1 - tint) + np.array(colour, np.float32) * tint
    out: Pixels = np.ascontiguousarray(pale.astype(np.uint8))
    thickness = max(2, round(max(height, width) / 300))
    for region in found.regions:
        colour = _BLUE if region.kind is RegionKind.MARGIN else _RED
        end = (region.x + region.width - 1, region.y + region.height - 1)
        cv2.rectangle(out, (region.x, region.y), end, colour, thickness)
    return out
