"""Brings a picture of known geometry onto the reading plane: half the canonical size, upright. Pure."""

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from provenance.marks.tile.code import Floats
from provenance.marks.tile.plane import normalise, whiten

Matrix = npt.NDArray[np.float64]

_LARGEST_SIDE: Final = 2048  # of a plane; what would be larger is a wrong guess
_RIM: Final = 9  # samples at the picture's edge that the warp and the filters have made up


def rectify(luma: Floats, matrix: Matrix) -> tuple[Floats, Matrix] | None:
    """The plane of a picture, and the (3, 3) homography from plane to picture places; None if it would be absurd.

    `matrix`: (2, 2), picture pixels (x, y) to canonical ones.
    """
    if abs(np.linalg.det(matrix)) < 1e-6:
        return None
    height, width = luma.shape
    corners = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float64)
    mapped = corners @ (matrix.T / 2)
    least = mapped.min(0)
    across, down = (int(side) + 1 for side in mapped.max(0) - least)
    if max(across, down) > _LARGEST_SIDE or min(across, down) < 16:
        return None
    inverse = np.linalg.inv(matrix / 2)
    back = np.eye(3)
    back[:2, :2] = inverse
    back[:2, 2] = inverse @ least
    return warp(luma, back, (down, across)), back


def warp(luma: Floats, back: Matrix, shape: tuple[int, int]) -> Floats:
    """The plane of `shape` whose place p shows the picture at `back` (3, 3) times p; reduced without aliasing."""
    step = float(np.sqrt(abs(np.linalg.det(back[:2, :2] - np.outer(back[:2, 2], back[2, :2])))))
    if step >= 1.5:
        width = round(step)
        luma = cv2.blur(luma, (width, width))
        shift = 0.5 if width % 2 == 0 else 0.0  # a box of even width sits half a pixel to the left
        back = np.array([[1, 0, shift], [0, 1, shift], [0, 0, 1]]) @ back
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (shape[1], shape[0])
    if np.allclose(back[2], (0, 0, 1)):
        return np.asarray(cv2.warpAffine(luma, back[:2], size, flags=flags, borderMode=cv2.BORDER_REPLICATE))
    return np.asarray(cv2.warpPerspective(luma, back, size, flags=flags, borderMode=cv2.BORDER_REPLICATE))


def rough_plane(plane: Floats, back: Matrix, picture: tuple[int, int], *, whitened: bool) -> Floats:
    """The normalised plane, zero where the picture does not reach."""
    rough = normalise(whiten(plane) if whitened else plane)
    height, width = picture
    corners = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float64)
    onto = cv2.perspectiveTransform(corners[None], np.linalg.inv(back))[0]
    valid = np.zeros(plane.shape, np.uint8)
    cv2.fillConvexPoly(valid, np.rint(onto).astype(np.int32), 1)
    valid[0], valid[-1], valid[:, 0], valid[:, -1] = 0, 0, 0, 0
    kernel = np.ones((_RIM // 2 * 2 + 1,) * 2, np.uint8)
    rough *= cv2.erode(valid, kernel)
    return rough
