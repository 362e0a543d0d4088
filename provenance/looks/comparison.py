"""Compares a picture with its original, which has been laid over it, and says where they differ. Pure.

1. soften     both are reduced to one size and softened a little: what JPEG, noise and the watermark do is finer
2. translate  the original's colours and sharpness are fitted to the copy's as a whole, by least squares that heed what
              most places agree on (Geman and McClure 1987): light, contrast, gamma, grey, a vignette, blur, sharpening
3. weigh      around every pixel: the square of what is still different, over what there is to see in either and a
              floor of noise. 0 is the same, about 1 has nothing in common; small shifts are forgiven
4. gather     where that is plainly high, and nearby where it is still raised; specks are dropped
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_SOFTEN: Final = 1.2
_AROUND: Final = 5.0
"""Standard deviation, in pixels of the reduced pictures, of the surroundings that are judged together."""

_NOISE: Final = 5.0
"""Grey levels, root mean square, that count as nothing: JPEG 30 and the mark together stay below after softening."""

_FINE_NOISE: Final = 5.0
_PLAIN: Final = 0.55
_RAISED: Final = 0.38
_FINE_LOST: Final = 0.8
_LEAST_SPECK: Final = 0.0012
"""Share of the picture; a smaller difference is not told."""

_SEEN: Final = np.array([[0.5, 0.3, 0.0], [0.9, -0.3, 0.25], [0.25, 0.0, -0.25]], np.float32)
"""From red, green and blue to brightness, about as loud as all three, and two colour differences, which editors and
JPEG change most, more quietly."""
_RIM: Final = 4
_SHIFTS: Final = tuple((y, x) for y in (-1, 0, 1) for x in (-1, 0, 1))
_FITS: Final = 5
_STRIDE: Final = 3
_DARKEST, _LIGHTEST = 3.0, 252.0


@dataclass(frozen=True, slots=True)
class Compared:
    """All (height, width), of the reduced copy. `inside`: both are there. `structured`: there is something to see in
    both, so that they can agree. `seen`: in the copy. `changed`: they differ."""

    inside: Mask
    structured: Mask
    seen: Mask
    changed: Mask

    @property
    def agreeing(self) -> int:
        """Pixels at which both show something, and the same."""
        return int((self.structured & ~self.changed).sum())

    @property
    def telling(self) -> int:
        """Pixels at which the copy or both show something, so that agreement or difference can be told."""
        return int((self.structured | (self.seen & self.changed)).sum())


def compared(copy: Plane, laid: Plane, covered: Mask) -> Compared:
    """`copy`, `laid`: (height, width, 3), 0 to 255; `covered`: where the original reaches."""
    kernel = np.ones((2 * _RIM + 1, 2 * _RIM + 1), np.uint8)
    framed = cv2.copyMakeBorder(covered.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    inside = cv2.erode(framed, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=1)[1:-1, 1:-1] > 0
    nothing = np.zeros(inside.shape, bool)
    if inside.sum() < 100:
        return Compared(nothing, nothing, nothing, nothing)
    copy, laid = (cv2.GaussianBlur(plane, (0, 0), _SOFTEN) for plane in (copy, laid))
    told = _translated(copy, laid, inside) @ _SEEN
    copy, laid = copy @ _SEEN, laid @ _SEEN
    within = inside.astype(np.float32)
    weight = _local(within) + np.float32(1e-4)
    spread = _variance(copy, within, weight)
    wanted = _variance(told, within, weight)
    different = _least_difference(copy, told, within, weight)
    share = different / (spread + wanted + np.float32(_NOISE**2))
    plain = share > _PLAIN
    plain |= _fine_lost(copy, told, within, weight)
    changed = _gathered(plain & inside, (share > _RAISED) & inside)
    floor = np.float32(_NOISE**2)
    untranslated = _variance(laid, within, weight)
    structured = inside & (spread > floor) & (wanted > floor) & (untranslated > floor)
    return Compared(inside, structured, inside & (spread > floor), changed)


def _local(plane: Plane) -> Plane:
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), _AROUND), np.float32)


def _variance(plane: Plane, within: Plane, weight: Plane) -> Plane:
    """(height, width): mean over the channels of the variance around each pixel."""
    kept = plane * within[..., None]
    mean = _local(kept) / weight[..., None]
    square = _local(kept * plane) / weight[..., None]
    return np.asarray(np.maximum(square - mean * mean, 0).mean(2), np.float32)


def _least_difference(copy: Plane, told: Plane, within: Plane, weight: Plane) -> Plane:
    """Mean square difference around each pixel, at the shift by up to a pixel where it is least."""
    least = np.full(within.shape, np.inf, np.float32)
    padded = cv2.copyMakeBorder(told, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    height, width = within.shape
    for y, x in _SHIFTS:
        away = copy - padded[1 + y : 1 + y + height, 1 + x : 1 + x + width]
        square = np.einsum("ijk,ijk->ij", away, away) * (within / np.float32(3))
        np.minimum(least, _local(square) / weight, out=least)
    return least


def _fine_lost(copy: Plane, told: Plane, within: Plane, weight: Plane) -> Mask:
    """Where fine structure that the original has is gone, as under a blur: the coarse one would hide it."""
    fine, wanted = ((plane - cv2.GaussianBlur(plane, (0, 0), 3.0)).mean(2) for plane in (copy, told))
    there = _local(wanted * wanted * within) / weight
    apart = wanted - fine
    lost = _local(apart * apart * within) / weight
    left = _local(fine * fine * within) / weight
    return np.asarray((lost > _FINE_LOST * (there + _FINE_NOISE**2)) & (left < 0.3 * there), np.bool_)


def _translated(copy: Plane, laid: Plane, inside: Mask) -> Plane:
    """The original in the copy's colours and sharpness."""
    height, width = inside.shape
    luma = laid @ np.array([0.299, 0.587, 0.114], np.float32)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    away = ((y / height - 0.5) ** 2 + (x / width - 0.5) ** 2).astype(np.float32)
    terms = [laid[..., 0], laid[..., 1], laid[..., 2], luma * luma / 255, luma * luma * luma / 255**2, luma * away]
    terms += [away * 255, np.full_like(luma, 255), laid.max(2) - laid.min(2)]
    terms += [laid[..., channel] ** 2 / 255 for channel in range(3)]
    terms += [cv2.GaussianBlur(luma, (0, 0), sigma) for sigma in (1.2, 2.5)]
    features = np.stack(terms, 2).astype(np.float32)
    sample = inside[::_STRIDE, ::_STRIDE]
    known = features[::_STRIDE, ::_STRIDE][sample].astype(np.float64)
    wanted = copy[::_STRIDE, ::_STRIDE][sample].astype(np.float64)
    unclipped = (wanted > _DARKEST) & (wanted < _LIGHTEST)  # where the copy ends, no curve tells what it was
    trust = np.ones(len(known))
    ridge = np.eye(known.shape[1]) * (1e-4 * float((known**2).mean()) * len(known))
    start = np.zeros((known.shape[1], 3))
    start[:3] = np.eye(3)  # where the copy does not say otherwise, nothing was done to the colours
    factors = start.copy()
    for _ in range(_FITS):
        for channel in range(3):
            weighted = known * (trust * unclipped[:, channel])[:, None]
            right = weighted.T @ wanted[:, channel] + ridge @ start[:, channel]
            factors[:, channel] = np.linalg.solve(weighted.T @ known + ridge, right)
        apart = np.sqrt(((wanted - np.clip(known @ factors, 0, 255)) ** 2).mean(1))
        scale = max(1.5 * float(np.median(apart)), 3.0)
        trust = 1 / (1 + (apart / scale) ** 2) ** 2
    return np.asarray(np.clip(features @ factors.astype(np.float32), 0, 255), np.float32)


def _gathered(plain: Mask, raised: Mask) -> Mask:
    """What is plainly different, with its raised surroundings, without specks."""
    either = (plain | raised).astype(np.uint8)
    count, labels = cv2.connectedComponents(either, connectivity=8)
    hits = np.bincount(labels[plain], minlength=count)
    least = _LEAST_SPECK * plain.size
    kept = hits >= least
    kept[0] = False
    return np.asarray(kept[labels], np.bool_)
